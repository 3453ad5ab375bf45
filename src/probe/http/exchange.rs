//! One request and its answer, on a connection of its own.

use std::error::Error;
use std::io;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;

use super::heard::{Heard, Listened, Stream};
use super::request::{Given, Page};
use super::{expect, is_bodiless};
use crate::model::text::excerpt;
use crate::net::tls::{self, Facts, Ready, handshake, ready};
use crate::net::{Net, Phase, TlsOptions, Trace, Trouble, connect};
use crate::probe::tasks::Tasks;
use crate::probe::{Spec, spec};

/// The head of an answer is no larger.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// And has no more headers.
const HEADERS_MAX: usize = 256;
/// So much may be on its way to us before we read it.
const WINDOW_BYTES: u32 = 256 << 10;
/// An error's own words are no longer where they are told.
const CAUSE_CHARS_MAX: usize = 160;

/// An answer, and the connection that the rest of it comes by.
pub(super) struct Answer {
    response: Response<Incoming>,
    facts: Option<Facts>,
    heard: Heard,
    sender: Sender,
    connection: Tasks,
}

/// What was read of a body.
pub(super) struct Read {
    /// What is needed to judge it; empty where nothing is expected.
    pub(super) bytes: Vec<u8>,
    /// How much was read.
    pub(super) len: u64,
    /// Whether that is all.
    pub(super) is_whole: bool,
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

/// Connects, and asks for a page.
pub(super) async fn ask(
    page: &Page,
    it: &spec::Http,
    given: &Given,
    spec: &Spec,
    net: &Net,
    trace: &Trace,
) -> Result<Answer, Trouble> {
    let ready = match page.is_encrypted() {
        true => Some(encrypted(page, it, spec, net).await?),
        false => None,
    };
    let (stream, facts) = match &it.unix_socket {
        Some(path) => secured(connect::unix(path, trace).await?, ready, trace).await?,
        None => {
            let stream = connect::tcp(net, &page.endpoint(), &spec.route, trace).await?;
            secured(stream, ready, trace).await?
        }
    };
    let version = version(it.version, facts.as_ref())?;
    let request = page.request(given, version)?;
    trace.enter(Phase::FirstByte);
    // By HTTP/2 the first bytes are no answer yet.
    let told = (version != Version::HTTP_2).then(|| trace.clone());
    let (stream, heard) = Listened::new(stream, told);
    let connection = Tasks::default();
    let failed = |error: hyper::Error| trouble(&error, version, &heard, "before it answered");
    let mut sender = match version {
        Version::HTTP_2 => Sender::Two(http2(&connection, stream).await.map_err(failed)?),
        _ => Sender::One(http1(&connection, stream).await.map_err(failed)?),
    };
    let response = match &mut sender {
        Sender::One(sender) => sender.send_request(request).await,
        Sender::Two(sender) => sender.send_request(request).await,
    };
    let response = response.map_err(failed)?;
    if trace.phase() != Some(Phase::Body) {
        trace.enter(Phase::Body);
    }
    Ok(Answer { response, facts, heard, sender, connection })
}

/// The connection as it is, or with TLS on it.
async fn secured<S: Stream + 'static>(
    stream: S,
    ready: Option<Ready>,
    trace: &Trace,
) -> Result<(Box<dyn Stream>, Option<Facts>), Trouble> {
    let Some(ready) = ready else { return Ok((Box::new(stream), None)) };
    let (stream, facts) = handshake(ready, stream, trace).await?;
    Ok((Box::new(stream), Some(facts)))
}

/// Our side of TLS.
async fn encrypted(page: &Page, it: &spec::Http, spec: &Spec, net: &Net) -> Result<Ready, Trouble> {
    let alpn: &[&[u8]] = match it.version {
        spec::Version::Negotiated => &[b"h2", b"http/1.1"],
        spec::Version::Http1 => &[b"http/1.1"],
        spec::Version::Http2 => &[b"h2"],
    };
    let elsewhere = TlsOptions {
        ca: spec.tls.ca.clone(),
        insecure: spec.tls.insecure,
        // Who we are is for the first origin, as is its name.
        ..TlsOptions::default()
    };
    let options = if page.at_home { &spec.tls } else { &elsewhere };
    ready(net, options, &page.endpoint().host, alpn).await
}

fn version(wanted: spec::Version, facts: Option<&Facts>) -> Result<Version, Trouble> {
    let agreed = facts.map(|facts| facts.alpn.as_deref() == Some("h2"));
    match (wanted, agreed) {
        (spec::Version::Negotiated, Some(true)) | (spec::Version::Http2, None | Some(true)) => {
            Ok(Version::HTTP_2)
        }
        (spec::Version::Http2, Some(false)) => {
            Err(Trouble::Unhealthy("the server does not speak HTTP/2".to_owned()))
        }
        _ => Ok(Version::HTTP_11),
    }
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn version(&self) -> Version {
        self.response.version()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Of the handshake, if there was one.
    pub(super) fn facts(&self) -> Option<&Facts> {
        self.facts.as_ref()
    }

    /// Reads the body, as far as its bound.
    pub(super) async fn read(&mut self, it: &spec::Http) -> Result<Read, Trouble> {
        let is_kept = expect::needs_body(it);
        let mut read = Read { bytes: Vec::new(), len: 0, is_whole: true };
        if is_bodiless(&it.method) {
            return Ok(read);
        }
        let version = self.response.version();
        while let Some(frame) = self.response.body_mut().frame().await {
            let frame = frame.map_err(|error| {
                trouble(&error, version, &self.heard, "in the middle of the body")
            })?;
            let Some(data) = frame.data_ref() else { continue };
            let room = usize::try_from(it.body_bytes_max - read.len).unwrap_or(usize::MAX);
            let taken = &data[..data.len().min(room)];
            read.len += taken.len() as u64;
            if is_kept {
                read.bytes.extend_from_slice(taken);
            }
            if data.len() > room {
                read.is_whole = false;
                break;
            }
        }
        Ok(read)
    }

    /// Ends the connection in order, as far as that takes no time: a server that
    /// is not told may write a line to its log for each probe.
    pub(super) async fn bid_farewell(self) {
        let Answer { response, sender, connection, facts, .. } = self;
        let in_order = facts.is_some() || matches!(sender, Sender::Two(_));
        drop((response, sender));
        if in_order {
            connection.farewell().await;
        }
    }
}

async fn http1(tasks: &Tasks, stream: Listened) -> hyper::Result<http1::SendRequest<Full<Bytes>>> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .handshake(TokioIo::new(stream))
        .await?;
    tasks.drive(connection);
    Ok(sender)
}

async fn http2(tasks: &Tasks, stream: Listened) -> hyper::Result<http2::SendRequest<Full<Bytes>>> {
    let (sender, connection) = http2::Builder::new(tasks.spawner())
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).expect("a small number"))
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .handshake(TokioIo::new(stream))
        .await?;
    tasks.drive(connection);
    Ok(sender)
}

/// What it means that an exchange broke off.
fn trouble(error: &hyper::Error, version: Version, heard: &Heard, when: &str) -> Trouble {
    let sources = || std::iter::successors(error.source(), |inner| (*inner).source());
    if let Some(fault) = heard.fault() {
        return Trouble::Unhealthy(format!("{} ({when})", tls::words(&fault)));
    }
    let first = heard.first();
    let is_http = version == Version::HTTP_2 || first.iter().zip(b"HTTP/").all(|(a, b)| a == b);
    if !is_http {
        let begin = excerpt(&String::from_utf8_lossy(&first), first.len());
        return Trouble::Unhealthy(format!("not HTTP: the answer begins with '{begin}'"));
    }
    let ended = match heard.count() {
        0 => "before it answered",
        _ if error.is_parse() || when.ends_with("body") => when,
        _ => "in the middle of its answer",
    };
    if let Some(io) = sources().find_map(|inner| inner.downcast_ref::<io::Error>()) {
        return match io.kind() {
            _ if connect::is_ours(io) => Trouble::Unknown(connect::words(io)),
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
                Trouble::Unhealthy(format!("the server closed the connection {ended}"))
            }
            // The body's form, not the connection.
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                let io = excerpt(&io.to_string(), CAUSE_CHARS_MAX);
                Trouble::Unhealthy(format!("not HTTP as it should be: {io}"))
            }
            _ => Trouble::Unhealthy(format!("{} {ended}", connect::words(io))),
        };
    }
    let cause = sources().last().map(|inner| excerpt(&inner.to_string(), CAUSE_CHARS_MAX));
    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    Trouble::Unhealthy(if error.is_parse() && heard.count() > HEAD_BYTES_MAX as u64 {
        format!("the head of the answer has more than {HEAD_BYTES_MAX} bytes")
    } else if error.is_parse() {
        format!("not HTTP as it should be: {error}{cause}")
    } else if version == Version::HTTP_2 && heard.count() > 0 {
        format!("HTTP/2 broke off{cause}")
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        format!("the server closed the connection {ended}")
    } else {
        format!("{error}{cause}")
    })
}
