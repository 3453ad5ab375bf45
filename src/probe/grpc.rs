//! The health service of gRPC (grpc.health.v1.Health/Check): one call by HTTP/2.
//!
//! Invariants: what is kept of an answer has a bound; the tasks of the connection
//! end with the probe.

mod message;

use std::error::Error as _;
use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use self::message::{Health, status_name};
use super::{Detail, Found, Spec, Verdict, tls};
use crate::model::text::excerpt;
use crate::net::tls::{handshake, ready};
use crate::net::{Net, Phase, Trace, Trouble, connect};
use crate::probe::spec::Grpc;
use crate::probe::tasks::Tasks;

const PATH: &str = "/grpc.health.v1.Health/Check";
/// The answer has a few bytes.
const BODY_BYTES_MAX: usize = 4096;
const HEADERS_BYTES_MAX: u32 = 16 << 10;
/// What a server says in its own words is cut.
const WORDS_CHARS_MAX: usize = 200;

/// Asks for the health of a service.
pub(super) async fn look(
    grpc: &Grpc,
    spec: &Spec,
    net: &Net,
    trace: &Trace,
) -> Result<Found, Trouble> {
    if !grpc.tls {
        let stream = connect::tcp(net, &grpc.at, &spec.route, trace).await?;
        return check(grpc, spec, stream, trace).await;
    }
    let ready = ready(net, &spec.tls, &grpc.at.host, &[b"h2"]).await?;
    let stream = connect::tcp(net, &grpc.at, &spec.route, trace).await?;
    let (stream, facts) = handshake(ready, stream, trace).await?;
    let mut found = check(grpc, spec, stream, trace).await?;
    found.detail.tls = Some(tls::detail(facts));
    Ok(found)
}

async fn check<S>(grpc: &Grpc, spec: &Spec, stream: S, trace: &Trace) -> Result<Found, Trouble>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    trace.enter(Phase::FirstByte);
    let tasks = Tasks::default();
    let (mut sender, connection) = http2::Builder::new(tasks.spawner())
        .max_header_list_size(HEADERS_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| broken(&e))?;
    tasks.drive(connection);
    let request = request(grpc, spec.timeout)?;
    let response = sender.send_request(request).await.map_err(|e| broken(&e))?;
    if let Some(why) = not_grpc(&response) {
        return Err(Trouble::Unhealthy(why));
    }
    trace.enter(Phase::Body);
    let answer = Answer::read(response).await?;
    trace.leave();
    Ok(answer.judge(grpc))
}

fn request(grpc: &Grpc, timeout: Duration) -> Result<Request<Full<Bytes>>, Trouble> {
    let scheme = if grpc.tls { "https" } else { "http" };
    Request::builder()
        .method(Method::POST)
        .uri(format!("{scheme}://{}{PATH}", grpc.at))
        .header(CONTENT_TYPE, "application/grpc")
        .header(TE, "trailers")
        .header(USER_AGENT, concat!("cb/", env!("CARGO_PKG_VERSION")))
        .header("grpc-timeout", grpc_timeout(timeout))
        .body(Full::from(message::request(&grpc.service)))
        .map_err(|_| Trouble::Unknown(format!("{} is no host to ask", excerpt(&grpc.at.host, 80))))
}

/// At most eight digits and a unit.
fn grpc_timeout(timeout: Duration) -> String {
    match timeout.as_millis() {
        ms @ ..=99_999_999 => format!("{ms}m"),
        _ => format!("{}S", timeout.as_secs().min(99_999_999)),
    }
}

/// What an answer is, if it is none of gRPC.
fn not_grpc(response: &Response<Incoming>) -> Option<String> {
    if response.status() != StatusCode::OK {
        return Some(format!("not gRPC: HTTP {}", response.status().as_u16()));
    }
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    match kind {
        Some(kind) if kind.starts_with(b"application/grpc") => None,
        Some(kind) => Some(format!("not gRPC: {}", cut(&String::from_utf8_lossy(kind)))),
        None => Some("not gRPC: an answer without a type".to_owned()),
    }
}

/// What came.
struct Answer {
    body: Vec<u8>,
    /// `grpc-status`, and the words with it.
    status: u16,
    words: String,
}

impl Answer {
    async fn read(response: Response<Incoming>) -> Result<Self, Trouble> {
        let (head, mut incoming) = response.into_parts();
        let mut body = Vec::new();
        let mut trailers = HeaderMap::new();
        while let Some(frame) = incoming.frame().await {
            match frame.map_err(|e| broken(&e))?.into_data() {
                Ok(data) if body.len() + data.len() > BODY_BYTES_MAX => {
                    let why = format!("the answer has more than {BODY_BYTES_MAX} bytes");
                    return Err(Trouble::Unhealthy(why));
                }
                Ok(data) => body.extend(data),
                Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
            }
        }
        // An answer without a body has the status in front.
        let from = if head.headers.contains_key("grpc-status") { &head.headers } else { &trailers };
        let text = |name: &str| from.get(name).map(HeaderValue::as_bytes).unwrap_or_default();
        let status = std::str::from_utf8(text("grpc-status")).ok().and_then(|it| it.parse().ok());
        let words = cut(&message::percent_decoded(text("grpc-message")));
        match status {
            Some(status) => Ok(Answer { body, status, words }),
            None => Err(Trouble::Unhealthy("not gRPC: an answer without a status".to_owned())),
        }
    }

    fn judge(self, grpc: &Grpc) -> Found {
        let unhealthy =
            |words: String| Found { verdict: Verdict::Unhealthy, ..Found::healthy(words) };
        if self.status != 0 {
            return unhealthy(self.refusal(grpc));
        }
        let Some(health) = message::health(&self.body) else {
            return unhealthy("the answer of the health service makes no sense".to_owned());
        };
        let found = match health {
            Health::Serving => Found::healthy(health.name()),
            _ => unhealthy(health.name()),
        };
        let detail = Detail { grpc_status: Some(health.name()), ..Detail::default() };
        Found { detail, ..found }
    }

    fn refusal(&self, grpc: &Grpc) -> String {
        let name = status_name(self.status);
        match (name.as_str(), self.words.is_empty()) {
            ("UNIMPLEMENTED", _) => format!("{name}: the server has no health service"),
            ("NOT_FOUND", _) => format!("{name}: unknown service {}", grpc.service),
            (_, true) => name,
            (_, false) => format!("{name}: {}", self.words),
        }
    }
}

/// Why there is no answer.
fn broken(error: &hyper::Error) -> Trouble {
    let sources = || std::iter::successors(error.source(), |inner| (*inner).source());
    let closed = "the server closed the connection before it answered".to_owned();
    let io = sources().find_map(|inner| inner.downcast_ref::<io::Error>());
    Trouble::Unhealthy(match (io, io.map(io::Error::kind)) {
        (Some(io), _) if connect::is_ours(io) => return Trouble::Unknown(connect::words(io)),
        // What a server thinks of our certificate it says after the handshake.
        (Some(io), Some(io::ErrorKind::InvalidData)) => format!("TLS: {}", cut(&io.to_string())),
        // Or it ended within a frame.
        (
            Some(_),
            Some(io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof | io::ErrorKind::Other),
        ) => closed,
        (Some(io), _) => connect::words(io),
        (None, _) if error.is_closed() || error.is_canceled() => closed,
        (None, _) => match sources().last() {
            Some(cause) => format!("not gRPC: {}", cut(&cause.to_string())),
            None => format!("not gRPC: {error}"),
        },
    })
}

fn cut(text: &str) -> String {
    text.chars().take(WORDS_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests;
