//! gRPC's own health server (tonic-health), and servers that answer oddly.

use std::convert::Infallible;
use std::sync::Arc;
use std::thread;

use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tonic::service::Routes;
use tonic_health::ServingStatus;

use super::http::Pieces;
use super::{Connection, Server};

/// The server as a whole and `up.Service` are serving, `down.Service` is not, and
/// of `odd.Service` nothing is known.
pub fn health_server(tls: Option<Arc<ServerConfig>>) -> Server {
    let (reporter, service) = tonic_health::server::health_reporter();
    // The caller may be in a runtime of its own.
    let set_up = thread::spawn(move || {
        super::run(async move {
            let statuses = [
                ("up.Service", ServingStatus::Serving),
                ("down.Service", ServingStatus::NotServing),
                ("odd.Service", ServingStatus::Unknown),
            ];
            for (name, status) in statuses {
                reporter.set_service_status(name, status).await;
            }
        });
    });
    set_up.join().expect("set up");
    serving(tls, Routes::new(service).prepare())
}

/// A server of gRPC that has no health service.
pub fn without_health() -> Server {
    serving(None, Routes::default().prepare())
}

fn serving(tls: Option<Arc<ServerConfig>>, routes: Routes) -> Server {
    Server::start_tls(tls, move |stream: Box<dyn Connection>| {
        let service = TowerToHyperService::new(routes.clone());
        async move {
            let http2 = http2::Builder::new(TokioExecutor::new());
            let _ = http2.serve_connection(TokioIo::new(stream), service).await;
        }
    })
}

/// A server that answers each call with these headers, this body, and these
/// trailers where there are any.
pub fn answering(
    headers: &[(&'static str, &'static str)],
    body: &[u8],
    trailers: &[(&'static str, &'static str)],
) -> Server {
    let (headers, trailers) = (map(headers), map(trailers));
    let body = Bytes::copy_from_slice(body);
    Server::start_tls(None, move |stream: Box<dyn Connection>| {
        let (headers, body, trailers) = (headers.clone(), body.clone(), trailers.clone());
        let service = service_fn(move |_: Request<Incoming>| {
            let pieces = Pieces::whole(body.clone()).with_trailers(trailers.clone());
            let mut response = Response::new(pieces);
            *response.headers_mut() = headers.clone();
            async { Ok::<_, Infallible>(response) }
        });
        async move {
            let http2 = http2::Builder::new(TokioExecutor::new());
            let _ = http2.serve_connection(TokioIo::new(stream), service).await;
        }
    })
}

fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(*name, value.parse().expect("a value"));
    }
    map
}
