//! Probes by TLS: which certificates are believed, and what is said of the others.

use std::net::SocketAddr;

use super::told::{fails, found, told};
use crate::servers::certs::{Kind, Pki};
use crate::servers::faults::{Fault, answering, closing, proxy};
use crate::servers::http::HttpServer;
use crate::support::Cb;

fn ca(pki: &Pki) -> String {
    pki.ca().display().to_string()
}

/// Looks at a server by its port and by its page, and finds the same.
#[track_caller]
fn both_fail(cb: &Cb, at: SocketAddr, args: &[&str], why: &str) {
    let (at, url) = (at.to_string(), format!("https://{at}/"));
    fails(cb, &[&["--tls", &at], args].concat(), "tls", why);
    fails(cb, &[&["--http", &url], args].concat(), "tls", why);
}

#[test]
fn a_good_certificate_is_told() {
    let (cb, pki) = (Cb::new(), Pki::new());
    let web = HttpServer::tls(pki.server(Kind::Days(40)));
    let at = web.address().to_string();
    let report = told(&cb, 0, ["--tls", &at, "--ca", &ca(&pki)]);
    let tls = &report["tls"];
    assert_eq!(found(&report), "TLSv1.3, certificate good for 40 days");
    assert_eq!((&tls["version"], &tls["days_left"]), (&"TLSv1.3".into(), &40.into()));
    let told_of = |key: &str| tls[key].as_str().expect("a text").to_owned();
    assert!(told_of("subject").contains("a server"), "{tls}");
    assert!(told_of("issuer").contains("cb test root"), "{tls}");
    assert!(told_of("not_after").ends_with('Z'), "{tls}");
    assert!(report["phases"]["tls_ms"].as_f64() > Some(0.0), "{report}");
    let page = told(&cb, 0, ["--http", &web.localhost("/"), "--ca", &ca(&pki)]);
    assert_eq!((&page["tls"]["days_left"], &page["http"]["status"]), (&40.into(), &200.into()));
}

#[test]
fn a_chain_and_a_name_that_is_asked_for() {
    let (cb, pki) = (Cb::new(), Pki::new());
    let web = HttpServer::tls(pki.server(Kind::Chained));
    let at = web.address().to_string();
    told(&cb, 0, ["--tls", &at, "--ca", &ca(&pki)]);
    let other = HttpServer::tls(pki.server(Kind::WrongName));
    let at = other.address().to_string();
    told(&cb, 0, ["--tls", &at, "--ca", &ca(&pki), "--server-name", "other.example"]);
    let port = other.address().port();
    let pin = format!("other.example:{port}:127.0.0.1");
    let url = format!("https://other.example:{port}/");
    told(&cb, 0, ["--http", &url, "--ca", &ca(&pki), "--resolve", &pin]);
}

#[test]
fn certificates_that_are_not_believed() {
    let (cb, pki) = (Cb::new(), Pki::new());
    let bad = |kind: Kind, why: &str| {
        let web = HttpServer::tls(pki.server(kind));
        both_fail(&cb, web.address(), &["--ca", &ca(&pki)], why);
    };
    bad(Kind::Expired, "the certificate expired 3 days ago");
    bad(Kind::NotYet, "the certificate is not valid before 3 days from now");
    bad(Kind::WrongName, "other.example");
    bad(Kind::SelfSigned, "the certificate is self-signed, and not trusted here");
}

#[test]
fn authorities_that_are_not_known() {
    let (pki, other) = (Pki::new(), Pki::new());
    let web = HttpServer::tls(pki.server(Kind::Good));
    // The two have the same name, which is no proof.
    let cb = Cb::new().env("SSL_CERT_DIR", "").env("SSL_CERT_FILE", other.ca());
    let why = "the certificate has a signature that is not its issuer's";
    both_fail(&cb, web.address(), &["--ca", &ca(&other)], why);
    both_fail(&cb, web.address(), &[], why);
    // What the machine trusts is that file, where this says so.
    let cb = Cb::new().env("SSL_CERT_DIR", "").env("SSL_CERT_FILE", pki.ca());
    told(&cb, 0, ["--http", &web.url("/")]);
    told(&cb, 0, ["--tls", &web.address().to_string()]);
}

#[test]
fn insecure_believes_all_and_tells_whose_it_was() {
    let (cb, pki) = (Cb::new(), Pki::new());
    for (kind, days) in [(Kind::Expired, -4), (Kind::WrongName, 364), (Kind::SelfSigned, 364)] {
        let web = HttpServer::tls(pki.server(kind));
        let report = told(&cb, 0, ["--http", &web.url("/"), "--insecure"]);
        let left = report["tls"]["days_left"].as_i64().expect("a number");
        assert!((left - days).abs() <= 1, "{report}");
        told(&cb, 0, ["--tls", &web.address().to_string(), "--insecure"]);
    }
}

#[test]
fn days_until_it_expires() {
    let (cb, pki) = (Cb::new(), Pki::new());
    let web = HttpServer::tls(pki.server(Kind::Days(7)));
    let (at, ca) = (web.address().to_string(), ca(&pki));
    for target in [["--tls", &at], ["--http", &web.url("/")]] {
        let with = |days: &str, code| {
            told(&cb, code, [&target[..], &["--ca", &ca, "--min-days", days]].concat())
        };
        with("7", 0);
        let few = with("8", 1);
        assert_eq!(found(&few), "the certificate is good for 7 days, less than 8 days");
        assert_eq!(few["tls"]["days_left"], 7);
    }
}

#[test]
fn a_certificate_of_the_client() {
    let (cb, pki, other) = (Cb::new(), Pki::new(), Pki::new());
    let web = HttpServer::tls(pki.server_for_clients(Kind::Good));
    let url = web.url("/");
    let base = ["--http", &url, "--ca", &ca(&pki)].map(str::to_owned);
    let with = |code: i32, more: &[&std::path::Path], names: &[&str]| {
        let more = names.iter().zip(more);
        let more = more.flat_map(|(name, path)| [(*name).to_owned(), path.display().to_string()]);
        told(&cb, code, base.iter().cloned().chain(more))
    };
    with(0, &[&pki.client()], &["--cert"]);
    let (cert, key) = pki.client_pair();
    with(0, &[&cert, &key], &["--cert", "--key"]);
    // Without, or with one of somebody else's, the server says no.
    for refused in [with(1, &[], &[]), with(1, &[&other.client()], &["--cert"])] {
        assert_eq!(refused["timed_out"], false);
        // Whoever is writing when the server hangs up does not hear why.
        let why = found(&refused);
        assert!(
            ["certificate", "refused", "closed", "reset"].iter().any(|it| why.contains(it)),
            "{why}"
        );
    }
    // The fault is ours where a file has no certificate, or the key is another's.
    let (_, other_key) = other.client_pair();
    for ours in
        [with(125, &[&cert, &other_key], &["--cert", "--key"]), with(125, &[&key], &["--cert"])]
    {
        assert_eq!(
            (&ours["failed_phase"], &ours["health"]),
            (&serde_json::Value::Null, &"unknown".into())
        );
    }
}

#[test]
fn servers_that_speak_no_tls() {
    let (cb, pki, web) = (Cb::new(), Pki::new(), HttpServer::new());
    let ca = ca(&pki);
    both_fail(&cb, web.address(), &["--ca", &ca], "");
    both_fail(&cb, closing().address(), &["--ca", &ca], "");
    both_fail(&cb, answering(b"220 mail\x1b[2J ESMTP\r\n").address(), &["--ca", &ca], "");
    let by_tls = HttpServer::tls(pki.server(Kind::Good));
    both_fail(&cb, proxy(by_tls.address(), Fault::HalfClose, 200).address(), &["--ca", &ca], "");
    let reset = proxy(by_tls.address(), Fault::Reset, 200);
    both_fail(&cb, reset.address(), &["--ca", &ca], "");
    // And one that does, asked without.
    let plain = format!("http://{}/", by_tls.address());
    told(&cb, 1, ["--http", &plain]);
}

#[test]
fn the_store_of_trust_is_not_opened_without_need() {
    // It cannot be read, which only whoever needs it notices.
    let cb = Cb::new().env("SSL_CERT_DIR", "").env("SSL_CERT_FILE", "/nonexistent/file");
    let (web, pki) = (HttpServer::new(), Pki::new());
    told(&cb, 0, ["--http", &web.url("/")]);
    let by_tls = HttpServer::tls(pki.server(Kind::Good));
    told(&cb, 0, ["--http", &by_tls.url("/"), "--ca", &ca(&pki)]);
    told(&cb, 0, ["--http", &by_tls.url("/"), "--insecure"]);
    let needs = told(&cb, 125, ["--http", &by_tls.url("/")]);
    assert!(found(&needs).contains("/nonexistent/file"), "{needs}");
}
