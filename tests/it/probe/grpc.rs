//! Probes of gRPC's health service.

use super::told::{fails, found, told};
use crate::servers::certs::{Kind, Pki};
use crate::servers::faults::{Fault, closing, proxy};
use crate::servers::grpc::{answering, health_server, without_health};
use crate::servers::http::HttpServer;
use crate::support::Cb;

#[test]
fn services_that_serve_and_that_do_not() {
    let (cb, server) = (Cb::new(), health_server(None));
    let at = server.address().to_string();
    let of = |service: &str| format!("{at}{service}");
    let whole = told(&cb, 0, ["pay", "--grpc", &at]);
    assert_eq!((found(&whole), &whole["grpc"]["status"]), ("SERVING", &"SERVING".into()));
    assert_eq!((&whole["address"], &whole["target"]), (&at.clone().into(), &at.clone().into()));
    told(&cb, 0, ["--grpc", &of("/")]);
    let up = told(&cb, 0, ["pay", "--grpc", &of("/up.Service")]);
    assert_eq!(up["target"], of("/up.Service"));
    let down = fails(&cb, &["pay", "--grpc", &of("/down.Service")], "null", "NOT_SERVING");
    assert_eq!(down["grpc"]["status"], "NOT_SERVING");
    fails(&cb, &["--grpc", &of("/odd.Service")], "null", "UNKNOWN");
    fails(
        &cb,
        &["--grpc", &of("/none.Service")],
        "null",
        "NOT_FOUND: unknown service none.Service",
    );
    assert_eq!((cb.total("pay", "succeeded"), cb.total("pay", "failed")), (2, 1));
    drop(server);
    fails(&cb, &["--grpc", &at], "connect", "connection refused");
}

#[test]
fn by_tls() {
    let (cb, pki) = (Cb::new(), Pki::new());
    let server = health_server(Some(pki.server(Kind::Good)));
    let (at, ca) = (format!("{}/up.Service", server.address()), pki.ca().display().to_string());
    let report = told(&cb, 0, ["--grpc", &at, "--grpc-tls", "--ca", &ca]);
    assert_eq!((&report["tls"]["alpn"], found(&report)), (&"h2".into(), "SERVING"));
    told(&cb, 0, ["--grpc", &at, "--grpc-tls", "--insecure"]);
    let other = Pki::new();
    let (known, gone) = (other.ca().display().to_string(), cb.path("gone").display().to_string());
    fails(&cb, &["--grpc", &at, "--grpc-tls", "--ca", &known], "tls", "its issuer's");
    told(&cb, 125, ["--grpc", &at, "--grpc-tls", "--ca", &gone]);
    let wrong = health_server(Some(pki.server(Kind::WrongName)));
    let wrong = wrong.address().to_string();
    fails(&cb, &["--grpc", &wrong, "--grpc-tls", "--ca", &ca], "tls", "");
    // One side speaks TLS, the other does not.
    assert_eq!(told(&cb, 1, ["--grpc", &at])["timed_out"], false);
    let plain = health_server(None);
    let plain = plain.address().to_string();
    fails(&cb, &["--grpc", &plain, "--grpc-tls", "--ca", &ca], "tls", "");
}

#[test]
fn the_config_file_names_it_too() {
    let (server, pki) = (health_server(None), Pki::new());
    let by_tls = health_server(Some(pki.server(Kind::Good)));
    let cb = Cb::new().config(&format!(
        "[breaker.up.probe]\ngrpc = \"{0}/up.Service\"\n[breaker.down.probe]\n\
         grpc = \"{0}/down.Service\"\n[breaker.safe.probe]\ngrpc = \"{1}\"\ngrpc_tls = true\nca = {2:?}\n",
        server.address(),
        by_tls.address(),
        pki.ca().display().to_string()
    ));
    told(&cb, 0, ["up"]);
    told(&cb, 1, ["down"]);
    told(&cb, 0, ["safe"]);
}

#[test]
fn servers_that_know_no_health_service() {
    let (cb, web) = (Cb::new(), HttpServer::new());
    let at = |server: &crate::servers::Server| server.address().to_string();
    let none = without_health();
    fails(&cb, &["--grpc", &at(&none)], "null", "UNIMPLEMENTED: the server has no health service");
    fails(&cb, &["--grpc", &web.address().to_string()], "first_byte", "not gRPC");
    let closes = closing();
    fails(&cb, &["--grpc", &at(&closes)], "first_byte", "closed");
    let real = health_server(None);
    let breaks = proxy(real.address(), Fault::HalfClose, 30);
    assert_eq!(told(&cb, 1, ["--grpc", &at(&breaks)])["timed_out"], false);
}

#[test]
fn answers_that_make_no_sense() {
    let cb = Cb::new();
    let grpc = [("content-type", "application/grpc")];
    let bodies: [&[u8]; 6] = [
        b"",
        b"\0",
        b"\0\0\0\0\x02\x08",
        b"\0\xff\xff\xff\xff\x08\x01",
        b"\x01\0\0\0\x02\x08\x01",
        b"\0\0\0\0\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ];
    for body in bodies {
        let server = answering(&grpc, body, &[("grpc-status", "0")]);
        let told = told(&cb, 1, ["--grpc", &server.address().to_string()]);
        assert_eq!(told["timed_out"], false, "{told}");
    }
    for status in ["", "x", "-1", "99999999999", "7"] {
        let trailers = [("grpc-status", status), ("grpc-message", "%1b[2J%zz")];
        let server = answering(&grpc, b"\0\0\0\0\x02\x08\x01", &trailers);
        let ran = cb.run(["probe", "--grpc", &server.address().to_string()]).code(1);
        let text = ran.stdout_text();
        assert!(!text.trim_end().contains(char::is_control), "{text:?}");
    }
}
