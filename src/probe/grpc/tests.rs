use super::*;
use crate::net::servers::certs::{Kind, Pki};
use crate::net::servers::{Server, faults, grpc as servers};
use crate::net::{Endpoint, Route, TlsOptions};
use crate::probe::What;

struct Asked {
    service: &'static str,
    tls: Option<TlsOptions>,
}

const WHOLE: Asked = Asked { service: "", tls: None };

async fn ask(server: &Server, asked: Asked) -> Result<Found, Trouble> {
    let grpc = Grpc {
        at: Endpoint { host: "127.0.0.1".to_owned(), port: server.port() },
        service: asked.service.to_owned(),
        tls: asked.tls.is_some(),
    };
    let spec = Spec {
        what: What::Grpc(grpc.clone()),
        timeout: Duration::from_secs(5),
        route: Route::default(),
        tls: asked.tls.unwrap_or_default(),
    };
    look(&grpc, &spec, &Net::default(), &Trace::default()).await
}

#[track_caller]
fn check(found: Result<Found, Trouble>, verdict: Verdict, words: &str, status: Option<&str>) {
    let found = found.expect("an answer");
    let seen = (found.verdict, found.words.as_str(), found.detail.grpc_status.as_deref());
    assert_eq!(seen, (verdict, words, status));
}

#[track_caller]
fn broken_by(found: Result<Found, Trouble>) -> String {
    match found {
        Err(Trouble::Unhealthy(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_real_health_server_is_understood() {
    let server = servers::health_server(None);
    let of = async |service| ask(&server, Asked { service, ..WHOLE }).await;
    check(of("").await, Verdict::Healthy, "SERVING", Some("SERVING"));
    check(of("up.Service").await, Verdict::Healthy, "SERVING", Some("SERVING"));
    check(of("down.Service").await, Verdict::Unhealthy, "NOT_SERVING", Some("NOT_SERVING"));
    check(of("odd.Service").await, Verdict::Unhealthy, "UNKNOWN", Some("UNKNOWN"));
    let unknown = "NOT_FOUND: unknown service gone.Service";
    check(of("gone.Service").await, Verdict::Unhealthy, unknown, None);
}

#[tokio::test]
async fn by_tls_as_well() {
    let pki = Pki::new();
    let server = servers::health_server(Some(pki.server(Kind::Good)));
    let trusting = TlsOptions { ca: Some(pki.ca()), ..TlsOptions::default() };
    let found = ask(&server, Asked { tls: Some(trusting), ..WHOLE }).await;
    let tls = found.clone().expect("an answer").detail.tls.expect("a handshake");
    assert_eq!(tls.alpn.as_deref(), Some("h2"));
    check(found, Verdict::Healthy, "SERVING", Some("SERVING"));
    let server = servers::health_server(Some(pki.server_for_clients(Kind::Good)));
    let known =
        TlsOptions { ca: Some(pki.ca()), cert: Some(pki.client()), ..TlsOptions::default() };
    let found = ask(&server, Asked { tls: Some(known), ..WHOLE }).await;
    check(found, Verdict::Healthy, "SERVING", Some("SERVING"));
    let unknown = TlsOptions { ca: Some(pki.ca()), ..TlsOptions::default() };
    let why = broken_by(ask(&server, Asked { tls: Some(unknown), ..WHOLE }).await);
    // Once a request is under way, the HTTP/2 library keeps the server's reason.
    let reasons = [
        "TLS: received fatal alert: CertificateRequired",
        "the server closed the connection before it answered",
    ];
    assert!(reasons.contains(&why.as_str()), "{why}");
    // The wrong way round: neither side understands the other.
    broken_by(ask(&server, WHOLE).await);
}

#[tokio::test]
async fn a_server_without_the_service_says_so() {
    let server = servers::without_health();
    let why = "UNIMPLEMENTED: the server has no health service";
    check(ask(&server, WHOLE).await, Verdict::Unhealthy, why, None);
}

const GRPC: (&str, &str) = ("content-type", "application/grpc+proto");
const OK: (&str, &str) = ("grpc-status", "0");

#[tokio::test]
async fn a_status_in_front_or_behind_counts() {
    let serving = [0, 0, 0, 0, 2, 8, 1];
    let server = servers::answering(&[GRPC], &serving, &[OK]);
    check(ask(&server, WHOLE).await, Verdict::Healthy, "SERVING", Some("SERVING"));
    let server = servers::answering(&[GRPC, OK], &serving, &[]);
    check(ask(&server, WHOLE).await, Verdict::Healthy, "SERVING", Some("SERVING"));
    let busy = [("grpc-status", "14"), ("grpc-message", "over%20loaded%1b%5b")];
    let words = "UNAVAILABLE: over loaded\u{1b}[";
    let server = servers::answering(&[GRPC, busy[0], busy[1]], &[], &[]);
    check(ask(&server, WHOLE).await, Verdict::Unhealthy, words, None);
    let server = servers::answering(&[GRPC], &serving, &busy);
    check(ask(&server, WHOLE).await, Verdict::Unhealthy, words, None);
}

#[tokio::test]
async fn what_is_no_answer_of_grpc_is_told() {
    let why = async |headers: &[_], body: &[u8], trailers: &[_]| {
        broken_by(ask(&servers::answering(headers, body, trailers), WHOLE).await)
    };
    let html = ("content-type", "text/html");
    assert_eq!(why(&[html], b"hello", &[]).await, "not gRPC: text/html");
    assert_eq!(why(&[], b"", &[]).await, "not gRPC: an answer without a type");
    assert_eq!(why(&[GRPC], b"", &[]).await, "not gRPC: an answer without a status");
    let odd = ("grpc-status", "x");
    assert_eq!(why(&[GRPC], b"", &[odd]).await, "not gRPC: an answer without a status");
    let long = why(&[GRPC], &[0; BODY_BYTES_MAX + 1], &[OK]).await;
    assert_eq!(long, "the answer has more than 4096 bytes");
    let server = servers::answering(&[GRPC], &[1, 2, 3], &[OK]);
    let nonsense = "the answer of the health service makes no sense";
    check(ask(&server, WHOLE).await, Verdict::Unhealthy, nonsense, None);
}

#[tokio::test]
async fn a_broken_connection_is_told() {
    let why = async |server: &Server| broken_by(ask(server, WHOLE).await);
    let closed = "the server closed the connection before it answered";
    assert_eq!(why(&faults::closing()).await, closed);
    // Which of the two is seen depends on whether something was still to be sent.
    let reset = |why: &str| why == closed || why == "connection reset by the server";
    let why_reset = why(&faults::resetting()).await;
    assert!(reset(&why_reset), "{why_reset}");
    let web = faults::answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let not = why(&web).await;
    assert!(not.starts_with("not gRPC: "), "{not}");
    let real = servers::health_server(None);
    let cut = faults::proxy(real.address(), faults::Fault::Reset, 60);
    let why_reset = why(&cut).await;
    assert!(reset(&why_reset), "{why_reset}");
}

#[tokio::test]
async fn an_address_that_swallows_connections_is_waited_for() {
    let hole = faults::BlackHole::new();
    let grpc = Grpc {
        at: Endpoint { host: "127.0.0.1".to_owned(), port: hole.address().port() },
        service: String::new(),
        tls: false,
    };
    let spec = Spec {
        what: What::Grpc(grpc.clone()),
        timeout: Duration::from_secs(5),
        route: Route::default(),
        tls: TlsOptions::default(),
    };
    let (net, trace) = (Net::default(), Trace::default());
    let looked = tokio::time::timeout(Duration::from_millis(100), look(&grpc, &spec, &net, &trace));
    assert!(looked.await.is_err());
    assert_eq!(trace.phase(), Some(Phase::Connect));
    // One that answers slowly is in the middle of its answer.
    let real = servers::health_server(None);
    let slow = faults::proxy(real.address(), faults::Fault::Stall, 60);
    let grpc = Grpc { at: Endpoint { port: slow.port(), ..grpc.at }, ..grpc };
    let looked = tokio::time::timeout(Duration::from_millis(300), look(&grpc, &spec, &net, &trace));
    assert!(looked.await.is_err());
    assert!(trace.phase() >= Some(Phase::FirstByte), "{:?}", trace.phase());
}

#[test]
fn a_deadline_fits_into_eight_digits() {
    let written = |secs| grpc_timeout(Duration::from_secs(secs));
    assert_eq!(written(5), "5000m");
    assert_eq!(written(99_999), "99999000m");
    assert_eq!(written(100_000), "100000S");
    assert_eq!(written(u64::MAX), "99999999S");
}
