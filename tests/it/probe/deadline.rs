//! The deadline: whatever a server does, or does not do, the probe ends in time,
//! and names the phase that took it.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, bind, listen, socket};

use super::told::{found, told};
use crate::servers::certs::{Kind, Pki};
use crate::servers::dns::{NameServer, Reply};
use crate::servers::faults::{BlackHole, Fault, proxy, silent};
use crate::servers::grpc::health_server;
use crate::servers::http::HttpServer;
use crate::support::Cb;

/// The deadline of these probes, in ms.
const DEADLINE_MS: f64 = 1000.0;
/// A machine that is busy with other tests may take so much longer, in ms.
const SLACK_MS: f64 = 2000.0;

/// The deadline ends this probe, in this phase.
#[track_caller]
fn ends_in(phase: &str, args: &[&str]) {
    let cb = Cb::new();
    let told = told(&cb, 1, [&["pay", "--timeout", "1s"], args].concat());
    let took = told["duration_ms"].as_f64().expect("a time");
    assert_eq!((&told["timed_out"], found(&told)), (&true.into(), "no answer within 1s"), "{told}");
    assert_eq!(told["failed_phase"], phase, "{told}");
    assert!((DEADLINE_MS..=1.1 * DEADLINE_MS + SLACK_MS).contains(&took), "{told}");
    // The phase that failed has the rest of the time.
    let in_phase = told["phases"][format!("{phase}_ms")].as_f64().expect("a time");
    assert!(in_phase > 0.0 && in_phase <= took, "{told}");
    assert_eq!(cb.total("pay", "timed_out"), 1);
}

fn url(at: SocketAddr) -> String {
    format!("http://{at}/")
}

fn millis(count: u64) -> std::time::Duration {
    std::time::Duration::from_millis(count)
}

#[test]
fn a_server_that_accepts_and_is_silent() {
    let server = silent();
    let (at, page) = (server.address().to_string(), url(server.address()));
    ends_in("first_byte", &["--http", &page]);
    ends_in("first_byte", &["--http", &page, "--http-version", "2"]);
    ends_in("first_byte", &["--grpc", &at]);
    ends_in("tls", &["--tls", &at, "--insecure"]);
    ends_in("tls", &["--http", &page.replace("http", "https"), "--insecure"]);
    ends_in("tls", &["--grpc", &at, "--grpc-tls", "--insecure"]);
}

#[test]
fn a_server_that_thinks_for_ever() {
    let (web, pki) = (HttpServer::new(), Pki::new());
    ends_in("first_byte", &["--http", &web.url("/silent")]);
    let by_tls = HttpServer::tls(pki.server(Kind::Good));
    ends_in("first_byte", &["--http", &by_tls.url("/silent"), "--insecure"]);
}

#[test]
fn a_byte_now_and_then() {
    let (web, pki) = (HttpServer::new(), Pki::new());
    ends_in("body", &["--http", &web.url("/drip/50")]);
    ends_in("body", &["--http", &web.url("/late/600000")]);
    ends_in("body", &["--http", &web.url("/drip/50"), "--http-version", "2"]);
    let head = proxy(web.address(), Fault::Drip(millis(50)), 0);
    ends_in("body", &["--http", &url(head.address())]);
    let by_tls = HttpServer::tls(pki.server(Kind::Good));
    let shake = proxy(by_tls.address(), Fault::Drip(millis(50)), 0);
    ends_in("tls", &["--tls", &shake.address().to_string(), "--insecure"]);
}

#[test]
fn an_answer_that_stops() {
    let (web, pki) = (HttpServer::new(), Pki::new());
    let stalled = |to: SocketAddr, after: usize| proxy(to, Fault::Stall, after);
    let in_head = stalled(web.address(), 10);
    ends_in("body", &["--http", &url(in_head.address())]);
    let in_body = stalled(web.address(), 5000);
    ends_in("body", &["--http", &format!("http://{}/bytes/100000", in_body.address())]);
    let by_tls = HttpServer::tls(pki.server(Kind::Good));
    let in_handshake = stalled(by_tls.address(), 100);
    ends_in("tls", &["--tls", &in_handshake.address().to_string(), "--insecure"]);
    let grpc = health_server(None);
    let in_frame = stalled(grpc.address(), 30);
    ends_in("first_byte", &["--grpc", &in_frame.address().to_string()]);
}

#[test]
fn a_loop_of_redirects() {
    let web = HttpServer::new();
    ends_in("first_byte", &["--http", &web.url("/slow-loop/200"), "--redirects", "20"]);
    // One that is fast has a bound of its own.
    let told = told(&Cb::new(), 1, ["--http", &web.url("/loop"), "--redirects", "20"]);
    assert_eq!(told["timed_out"], false, "{told}");
}

#[test]
fn an_address_where_nobody_answers() {
    let hole = BlackHole::new();
    let (at, page) = (hole.address().to_string(), url(hole.address()));
    ends_in("connect", &["--http", &page]);
    ends_in("connect", &["--tcp", &at]);
    ends_in("connect", &["--tls", &at, "--insecure"]);
    ends_in("connect", &["--grpc", &at]);
    // Others are tried meanwhile, and one that answers is enough.
    let port = hole.address().port();
    let web = HttpServer::at(SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), port)));
    let pin = format!("pay.example:{port}:127.0.0.1,127.0.0.2");
    let url = format!("http://pay.example:{port}/");
    let report = told(&Cb::new(), 0, ["--http", &url, "--resolve", &pin]);
    assert_eq!(report["address"], web.address().to_string());
}

#[test]
fn a_socket_whose_queue_is_full() {
    let cb = Cb::new();
    let path = cb.path("full.sock");
    let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
    bind(&listener, &SocketAddrUnix::new(&path).expect("a path")).expect("a free path");
    listen(&listener, 0).expect("a listener");
    // One more than fits would wait.
    let _queued = UnixStream::connect(&path).expect("the queue has room for one");
    let socket = path.display().to_string();
    let args = ["--unix", &socket, "--timeout", "1s"];
    let report = told(&cb, 1, args);
    assert_eq!(report["failed_phase"], "connect", "{report}");
}

#[test]
fn a_name_server_that_is_silent() {
    let names = NameServer::new(|_, _| Reply::Silence);
    ends_in("dns", &["--dns", &format!("pay.example@{}", names.address())]);
    assert!(!names.asked().is_empty());
}

#[test]
fn a_socket_in_the_file_system_that_is_silent() {
    let cb = Cb::new();
    let path = cb.path("silent.sock");
    let _web = HttpServer::unix(&path);
    let socket = path.display().to_string();
    ends_in("first_byte", &["--http", "http://x/silent", "--unix-socket", &socket]);
    ends_in("body", &["--http", "http://x/drip/50", "--unix-socket", &socket]);
}

#[test]
fn the_deadline_of_the_config_file() {
    let server = silent();
    let cb = Cb::new().config(&format!(
        "[defaults.probe]\ntimeout = \"300ms\"\n[breaker.pay.probe]\nhttp = \"{}\"\n",
        url(server.address())
    ));
    let report = told(&cb, 1, ["pay"]);
    assert_eq!((found(&report), &report["timed_out"]), ("no answer within 300ms", &true.into()));
    let report = told(&cb, 1, ["pay", "--timeout", "200ms"]);
    assert_eq!(found(&report), "no answer within 200ms");
}
