//! A web server that does as the path says, by HTTP/1.1 and HTTP/2, with TLS or
//! without.
//!
//! | path                    | what it does                                          |
//! |-------------------------|-------------------------------------------------------|
//! | `/`                     | 200 `fine`                                            |
//! | `/status/CODE`          | answers with the code                                 |
//! | `/headers`              | the request's headers, as JSON                        |
//! | `/echo`                 | the request's body                                    |
//! | `/json`                 | `{"status":"ok","deep":{"list":[1,{"a/b":null}]}}`    |
//! | `/text?TEXT`            | this text, `%` and two digits for any byte            |
//! | `/bytes/COUNT`          | so many `x`, whose number is told                     |
//! | `/redirect/COUNT`       | redirects so often, then 200                          |
//! | `/redirect-to/CODE?URL` | redirects there, by this code                         |
//! | `/loop`                 | redirects to itself                                   |
//! | `/slow-loop/MS`         | the same after so many ms                             |
//! | `/retry-after/CODE/HOW` | the code, with `Retry-After: HOW`                     |
//! | `/slow/MS`              | 200 after so many ms                                  |
//! | `/drip/MS`              | a body without end, a byte every so many ms           |
//! | `/endless`              | a body without end, as fast as it can                 |
//! | `/late/MS`              | the headers at once, the body after so many ms        |
//! | `/silent`               | never answers                                         |
//! | `/big-header/BYTES`     | a header of that length                               |
//! | `/odd-header`           | a header that would steer a terminal                  |
//!
//! Any other is 404.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::time::{Sleep, sleep};

use super::{Connection, Server};

/// A web server.
pub struct HttpServer {
    server: Server,
    log: Arc<Log>,
    scheme: &'static str,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// With the query.
    pub path: String,
    /// "HTTP/1.1", "HTTP/2.0".
    pub version: String,
    pub headers: HeaderMap,
    /// Who was asked for: the `Host` header, or the authority.
    pub host: Option<String>,
    pub body: Vec<u8>,
}

#[derive(Default)]
struct Log {
    connections: AtomicUsize,
    seen: Mutex<Vec<Seen>>,
}

impl HttpServer {
    /// Without TLS.
    pub fn new() -> Self {
        Self::with(None)
    }

    /// With TLS, as this says.
    pub fn tls(config: Arc<ServerConfig>) -> Self {
        Self::with(Some(config))
    }

    /// Without TLS, on this address.
    pub fn at(address: SocketAddr) -> Self {
        let log = Arc::new(Log::default());
        let logged = Arc::clone(&log);
        let server = Server::start_at(address, move |stream| serve(stream, Arc::clone(&logged)));
        HttpServer { server, log, scheme: "http" }
    }

    /// Without TLS, on a socket in the file system.
    pub fn unix(path: &Path) -> Self {
        let log = Arc::new(Log::default());
        let logged = Arc::clone(&log);
        let server = Server::start_unix(path, move |stream| serve(stream, Arc::clone(&logged)));
        HttpServer { server, log, scheme: "http" }
    }

    fn with(tls: Option<Arc<ServerConfig>>) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let log = Arc::new(Log::default());
        let logged = Arc::clone(&log);
        let server = Server::start_tls(tls, move |stream| serve(stream, Arc::clone(&logged)));
        HttpServer { server, log, scheme }
    }

    /// The URL of a path, by the server's address.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.server.address())
    }

    /// The URL of a path, by the name `localhost`.
    pub fn localhost(&self, path: &str) -> String {
        format!("{}://localhost:{}{path}", self.scheme, self.server.port())
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The connections so far (with TLS: those with a handshake).
    pub fn connections(&self) -> usize {
        self.log.connections.load(Ordering::SeqCst)
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.log.seen.lock().expect("not poisoned").clone()
    }

    /// The latest request.
    #[track_caller]
    pub fn last(&self) -> Seen {
        self.seen().pop().expect("a request")
    }
}

/// Serves one connection; also for a socket in the file system.
async fn serve(stream: impl Connection + 'static, log: Arc<Log>) {
    log.connections.fetch_add(1, Ordering::SeqCst);
    let service = service_fn(move |request| {
        let log = Arc::clone(&log);
        async move { Ok::<_, Infallible>(respond(request, &log).await) }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn respond(request: Request<Incoming>, log: &Log) -> Response<Pieces> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let host = match head.headers.get("host") {
        Some(host) => host.to_str().ok().map(str::to_owned),
        None => head.uri.authority().map(ToString::to_string),
    };
    log.seen.lock().expect("not poisoned").push(Seen {
        method: head.method.to_string(),
        path: path.clone(),
        version: format!("{:?}", head.version),
        headers: head.headers.clone(),
        host,
        body: body.clone(),
    });
    let (path, query) = path.split_once('?').unwrap_or((&path, ""));
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts[..] {
        [""] => text(200, "fine\n"),
        ["status", code] => text(number(code), &format!("status {code}\n")),
        ["headers"] => text(200, &as_json(&head.headers)),
        ["echo"] => whole(200, body),
        ["json"] => text(200, r#"{"status":"ok","deep":{"list":[1,{"a/b":null}]}}"#),
        ["text"] => whole(200, decoded(query)),
        ["bytes", count] => whole(200, vec![b'x'; number(count)]),
        ["redirect", "0"] => text(200, "arrived\n"),
        ["redirect", count] => redirect(302, &format!("/redirect/{}", number::<u32>(count) - 1)),
        ["redirect-to", code] => redirect(number(code), query),
        ["loop"] => redirect(302, "/loop"),
        ["slow-loop", ms] => {
            sleep(ms_of(ms)).await;
            redirect(302, path)
        }
        ["retry-after", code, how] => {
            let how = String::from_utf8(decoded(how)).expect("text");
            with_header(text(number(code), "later\n"), "retry-after", &how)
        }
        ["slow", ms] => {
            sleep(ms_of(ms)).await;
            text(200, "slow\n")
        }
        ["drip", ms] => Response::new(Pieces::endless(b"x", ms_of(ms))),
        ["endless"] => Response::new(Pieces::endless(&[b'x'; 16 << 10], Duration::ZERO)),
        ["late", ms] => {
            Response::new(Pieces { left: Some(1), ..Pieces::endless(b"late\n", ms_of(ms)) })
        }
        ["silent"] => std::future::pending().await,
        ["big-header", len] => with_header(text(200, "fine\n"), "x-big", &"x".repeat(number(len))),
        ["odd-header"] => {
            let mut response = text(200, "fine\n");
            // C1 controls stand in a header's value; 0x9b begins a sequence.
            let odd = HeaderValue::from_bytes(b"\xc2\x9b31m\xe2\x80\xae\xff").expect("a value");
            response.headers_mut().insert("x-odd", odd);
            response
        }
        _ => text(404, "no such page\n"),
    }
}

fn text(code: u16, text: &str) -> Response<Pieces> {
    whole(code, text.as_bytes().to_vec())
}

fn whole(code: u16, body: Vec<u8>) -> Response<Pieces> {
    let mut response = Response::new(Pieces::whole(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(code).expect("a status");
    response
}

fn redirect(code: u16, to: &str) -> Response<Pieces> {
    with_header(text(code, "elsewhere\n"), "location", to)
}

fn with_header(
    mut response: Response<Pieces>,
    name: &'static str,
    value: &str,
) -> Response<Pieces> {
    let value = HeaderValue::from_str(value).expect("a value");
    response.headers_mut().insert(HeaderName::from_static(name), value);
    response
}

#[track_caller]
fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("the path has a number")
}

fn ms_of(text: &str) -> Duration {
    Duration::from_millis(number(text))
}

fn as_json(headers: &HeaderMap) -> String {
    let mut map = serde_json::Map::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        map.insert(name.to_string(), value.into());
    }
    serde_json::Value::Object(map).to_string()
}

fn decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.bytes().next() {
        match first {
            b'%' => {
                decoded.push(u8::from_str_radix(&rest[1..3], 16).expect("two digits"));
                rest = &rest[3..];
            }
            _ => {
                decoded.push(first);
                rest = &rest[1..];
            }
        }
    }
    decoded
}

/// A body: the same piece a number of times, or without end.
pub struct Pieces {
    piece: Bytes,
    left: Option<u64>,
    every: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    trailers: Option<HeaderMap>,
}

impl Pieces {
    pub fn whole(piece: Bytes) -> Self {
        let left = u64::from(!piece.is_empty());
        Pieces { piece, left: Some(left), every: Duration::ZERO, pause: None, trailers: None }
    }

    pub fn with_trailers(self, trailers: HeaderMap) -> Self {
        Pieces { trailers: (!trailers.is_empty()).then_some(trailers), ..self }
    }

    fn endless(piece: &[u8], every: Duration) -> Self {
        Pieces { left: None, every, ..Self::whole(Bytes::copy_from_slice(piece)) }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == Some(0) {
            return Poll::Ready(self.trailers.take().map(|it| Ok(Frame::trailers(it))));
        }
        if !self.every.is_zero() {
            let every = self.every;
            let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(every)));
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        self.left = self.left.map(|left| left - 1);
        Poll::Ready(Some(Ok(Frame::data(self.piece.clone()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == Some(0) && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            Some(left) => SizeHint::with_exact(left * self.piece.len() as u64),
            None => SizeHint::default(),
        }
    }
}
