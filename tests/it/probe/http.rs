//! Probes of web servers: what is sent, by which way, and where redirects lead.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;

use super::told::{fails, found, told};
use crate::servers::certs::{Kind, Pki};
use crate::servers::faults::{Fault, answering, closing, proxy, resetting};
use crate::servers::http::HttpServer;
use crate::support::{Cb, not_here};

/// All values of a header of the latest request.
fn sent(web: &HttpServer, name: &str) -> Vec<String> {
    let values = web.last();
    let values = values.headers.get_all(name).iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

#[test]
fn a_page_that_is_well() {
    let (cb, web) = (Cb::new(), HttpServer::new());
    let told = told(&cb, 0, ["pay", "--http", &web.url("/")]);
    let target = web.url("/");
    assert_eq!((&told["breaker"], &told["kind"]), (&"pay".into(), &"http".into()));
    assert_eq!((&told["target"], &told["health"]), (&target.clone().into(), &"healthy".into()));
    assert_eq!((found(&told), &told["failed_phase"]), ("HTTP 200", &Value::Null));
    assert_eq!((&told["timed_out"], &told["slow"]), (&false.into(), &false.into()));
    assert_eq!(told["address"], web.address().to_string());
    assert_eq!(told["retry_after_ms"], Value::Null);
    let page = serde_json::json!({
        "status": 200, "version": "HTTP/1.1", "url": target, "redirects": 0, "body_bytes": 5,
    });
    assert_eq!(told["http"], page);
    assert_eq!(told["tls"], Value::Null);
    // Each phase has a time, and none was longer than all of it.
    for phase in ["connect_ms", "first_byte_ms", "body_ms"] {
        let took = told["phases"][phase].as_f64().expect("a time");
        assert!((0.0..=told["duration_ms"].as_f64().expect("a time")).contains(&took), "{told}");
    }
    assert_eq!(told["phases"]["tls_ms"], Value::Null);
    assert_eq!(told["fed"]["recorded"], true);
    assert_eq!((cb.total("pay", "succeeded"), web.connections()), (1, 1));
}

#[test]
fn what_is_asked_reaches_the_server() {
    let (cb, web) = (Cb::new(), HttpServer::new());
    told(&cb, 0, ["--http", &web.url("/headers?a=b")]);
    let seen = web.last();
    assert_eq!((&*seen.method, &*seen.path), ("GET", "/headers?a=b"));
    assert_eq!((&*seen.version, seen.host), ("HTTP/1.1", Some(web.address().to_string())));
    let agent = concat!("cb/", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (sent(&web, "user-agent"), sent(&web, "accept")),
        (vec![agent.into()], vec!["*/*".into()])
    );
    assert!(seen.body.is_empty() && sent(&web, "accept-encoding").is_empty());

    let url = web.url("/echo");
    told(
        &cb,
        0,
        ["--http", &url, "--header", "X-One: 1", "--header", "x-one:2", "--method", "PUT"],
    );
    assert_eq!((&*web.last().method, sent(&web, "x-one")), ("PUT", vec!["1".into(), "2".into()]));
    told(&cb, 0, ["--http", &url, "--body", "hello", "--expect-body", "hello"]);
    assert_eq!((&*web.last().method, &*web.last().body), ("POST", &b"hello"[..]));
    fs::write(cb.path("body"), [0, 255, 10]).expect("a file");
    let file = cb.path("body").display().to_string();
    told(&cb, 0, ["--http", &url, "--body-file", &file, "--method", "PATCH"]);
    assert_eq!((&*web.last().method, &*web.last().body), ("PATCH", &[0, 255, 10][..]));
    let head = told(&cb, 0, ["--http", &web.url("/bytes/99"), "--method", "HEAD"]);
    assert_eq!((&*web.last().method, &head["http"]["body_bytes"]), ("HEAD", &0.into()));
    let other = ["--http", &url, "--header", "Host: name.test", "--header", "User-Agent: me"];
    told(&cb, 0, other);
    assert_eq!(
        (web.last().host.as_deref(), sent(&web, "user-agent")),
        (Some("name.test"), vec!["me".into()])
    );
}

#[test]
fn headers_come_from_files_and_variables_too() {
    let (web, cb) = (HttpServer::new(), Cb::new().env("PAY_TOKEN", "Bearer from-env"));
    fs::write(cb.path("headers"), "X-File: from-file\nX-More:  two words \n").expect("a file");
    let file = cb.path("headers").display().to_string();
    let from = ["--header-env", "Authorization: PAY_TOKEN", "--header-file", &file];
    let url = web.url("/headers");
    told(&cb, 0, [&["--http", &url][..], &from].concat());
    assert_eq!(sent(&web, "authorization"), ["Bearer from-env"]);
    assert_eq!(
        (sent(&web, "x-file"), sent(&web, "x-more")),
        (vec!["from-file".into()], vec!["two words".into()])
    );
}

/// All that cb writes of a probe, however it is asked: lines, JSON, for Nagios,
/// a file, the settings, an error.
fn everything_written(cb: &Cb, args: &[&str]) -> String {
    let file = cb.path("kept").display().to_string();
    let mut all = String::new();
    let ways: [&[&str]; 5] = [&[], &["--json"], &["--nagios"], &["--output", &file], &["--quiet"]];
    for way in ways {
        let ran = cb.run([&["probe"], way, args].concat());
        assert!(matches!(ran.status().code(), Some(0..=2)), "{ran}");
        all += &format!("{ran}");
    }
    all += &fs::read_to_string(cb.path("kept")).expect("the latest result");
    all
}

#[test]
fn secrets_are_never_written() {
    let web = HttpServer::new();
    let port = web.address().port();
    let cb = Cb::new().env("PAY_TOKEN", "hush-env").config(&format!(
        "[breaker.pay.probe]\nhttp = \"http://user:hush-url@127.0.0.1:{port}/status/503?key=hush-query\"\n\
         header = [\"X-Given: hush-given\"]\nbody = \"hush-body\"\nredirects = 2\n"
    ));
    fs::write(cb.path("headers"), "X-File: hush-file\n").expect("a file");
    let file = cb.path("headers").display().to_string();
    let from = ["--header-env", "X-Env: PAY_TOKEN", "--header-file", &file];
    let seen_by = |path: &str| {
        let url = format!("http://user:hush-url@127.0.0.1:{port}{path}");
        let own = everything_written(&cb, &[&["pay"][..], &from].concat());
        let given =
            ["pay", "--http", &url, "--header", "X-Given: hush-given", "--body", "hush-body"];
        let given = everything_written(&cb, &[&given[..], &from, &["--redirects", "1"]].concat());
        own + &given
    };
    for path in
        ["/", "/?hush-query", "/loop?hush-query", "/status/404?hush-query#hush", "/status/500"]
    {
        let written = seen_by(path);
        assert!(!written.contains("hush"), "{written}");
    }
    assert_eq!(sent(&web, "authorization"), ["Basic dXNlcjpodXNoLXVybA=="]);
    let all = ["x-given", "x-env", "x-file"].map(|name| sent(&web, name).concat());
    assert_eq!(all, ["hush-given", "hush-env", "hush-file"]);
    assert_eq!(web.last().body, b"hush-body");
    let shown = cb.run(["config", "show", "pay"]).code(0).to_string();
    assert!(
        !["hush-url", "hush-query", "hush-given", "hush-body"].iter().any(|it| shown.contains(it)),
        "{shown}"
    );
    assert!(
        !cb.run(["config", "show", "--json", "pay"]).code(0).to_string().contains("hush-given")
    );
}

#[test]
fn the_query_of_a_page_is_not_told_either() {
    let (cb, web) = (Cb::new(), HttpServer::new());
    let report = told(&cb, 0, ["--http", &web.url("/echo?key=hush")]);
    assert_eq!(web.last().path, "/echo?key=hush");
    assert_eq!(report["http"]["url"], web.url("/echo?..."));
    // Nor is that of a page that it is sent on to, and that may have it from there.
    let url = web.url("/redirect-to/302?/status/500?key=hush");
    let away = told(&cb, 1, ["--http", &url, "--redirects", "1"]);
    assert!(!away.to_string().contains("hush"), "{away}");
}

#[test]
fn secrets_go_to_no_other_origin() {
    let (first, other) = (HttpServer::new(), HttpServer::new());
    let cb = Cb::new().env("PAY_TOKEN", "hush-env");
    let port = first.address().port();
    let to = other.url("/headers");
    let url = format!("http://user:hush@127.0.0.1:{port}/redirect-to/307?{to}");
    let args = ["--http", &url, "--header-env", "X-Env: PAY_TOKEN", "--header", "Cookie: a=hush"];
    told(&cb, 0, [&args[..], &["--redirects", "3"]].concat());
    assert_eq!(sent(&first, "x-env"), ["hush-env"]);
    for name in ["x-env", "authorization", "cookie"] {
        assert_eq!(sent(&other, name), [] as [String; 0], "{name}");
    }
    // To the same origin they go again.
    let url = format!("http://user:hush@127.0.0.1:{port}/redirect/2");
    told(&cb, 0, ["--http", &url, "--header-env", "X-Env: PAY_TOKEN", "--redirects", "2"]);
    assert_eq!(
        (first.last().path.as_str(), sent(&first, "x-env")),
        ("/redirect/0", vec!["hush-env".into()])
    );
    assert_eq!(sent(&first, "authorization").len(), 1);
}

#[test]
fn redirects_are_followed_as_far_as_allowed() {
    let (cb, web) = (Cb::new(), HttpServer::new());
    let off = fails(&cb, &["--http", &web.url("/redirect/1")], "null", "HTTP 302 Found");
    assert!(found(&off).contains(&format!("redirects to {}", web.url("/redirect/0"))), "{off}");
    assert_eq!(web.seen().len(), 1);
    told(&cb, 0, ["--http", &web.url("/redirect/1"), "--expect-status", "302"]);
    for (count, allowed, code) in [("3", "3", 0), ("4", "3", 1), ("20", "20", 0)] {
        let told = told(
            &cb,
            code,
            ["--http", &web.url(&format!("/redirect/{count}")), "--redirects", allowed],
        );
        assert_eq!(told["http"]["redirects"].to_string(), allowed);
    }
    let before = web.seen().len();
    let looped = fails(
        &cb,
        &["--http", &web.url("/loop"), "--redirects", "20"],
        "null",
        "more redirects than 20",
    );
    assert_eq!((web.seen().len() - before, &looped["http"]["status"]), (21, &302.into()));
    // No page, and no file of ours.
    for nowhere in ["file:///etc/passwd", "ftp://127.0.0.1/", "http://"] {
        let url = web.url(&format!("/redirect-to/302?{nowhere}"));
        fails(&cb, &["--http", &url, "--redirects", "1"], "null", "HTTP 302, redirects to");
    }
    let post = ["--http", &web.url("/redirect-to/303?/echo"), "--body", "x", "--redirects", "1"];
    told(&cb, 0, post);
    assert_eq!((&*web.last().method, web.last().body.len()), ("GET", 0));
}

#[test]
fn no_redirect_leads_out_of_tls() {
    let (cb, pki, plain) = (Cb::new(), Pki::new(), HttpServer::new());
    let web = HttpServer::tls(pki.server(Kind::Good));
    let url = web.url(&format!("/redirect-to/302?{}", plain.url("/")));
    let ca = pki.ca().display().to_string();
    fails(&cb, &["--http", &url, "--redirects", "5", "--ca", &ca], "null", "not encrypted");
    assert_eq!(plain.connections(), 0);
}

#[test]
fn versions_of_http() {
    let (cb, web, pki) = (Cb::new(), HttpServer::new(), Pki::new());
    let by_tls = HttpServer::tls(pki.server(Kind::Good));
    let ca = pki.ca().display().to_string();
    let version = |web: &HttpServer, args: &[&str]| {
        let url = web.url("/headers");
        let told = told(&cb, 0, [&["--http", &url, "--ca", &ca][..], args].concat());
        let alpn = told["tls"]["alpn"].as_str().unwrap_or("-").to_owned();
        (told["http"]["version"].as_str().expect("a version").to_owned(), web.last().version, alpn)
    };
    let (one, two) = ("HTTP/1.1", ("HTTP/2", "HTTP/2.0"));
    let is = |seen: (String, String, String), version: &str, seen_as: &str, alpn: &str| {
        assert_eq!(seen, (version.to_owned(), seen_as.to_owned(), alpn.to_owned()));
    };
    is(version(&by_tls, &[]), two.0, two.1, "h2");
    is(version(&by_tls, &["--http-version", "1.1"]), one, one, "http/1.1");
    is(version(&by_tls, &["--http-version", "2"]), two.0, two.1, "h2");
    // Without TLS there is no agreement.
    let url = web.url("/");
    told(&cb, 0, ["--http", &url, "--http-version", "1.1"]);
    assert_eq!(web.last().version, one);
    let h2c =
        told(&cb, 0, ["--http", &url, "--http-version", "2", "--body", "x", "--header", "X-A: b"]);
    assert_eq!((&h2c["http"]["version"], web.last().version.as_str()), (&two.0.into(), two.1));
    assert_eq!((web.last().body, sent(&web, "x-a")), (b"x".to_vec(), vec!["b".into()]));
    assert_eq!(web.last().host, Some(web.address().to_string()));
}

#[test]
fn a_socket_in_the_file_system() {
    let cb = Cb::new();
    let path = cb.path("web.sock");
    let web = HttpServer::unix(&path);
    let socket = path.display().to_string();
    let args = ["--http", "http://name.test/echo?x", "--unix-socket", &socket];
    let report = told(&cb, 0, args);
    assert_eq!(
        (&report["address"], &report["phases"]["dns_ms"]),
        (&socket.clone().into(), &Value::Null)
    );
    assert_eq!((web.last().host.as_deref(), &*web.last().path), (Some("name.test"), "/echo?x"));
    told(&cb, 0, [&args[..], &["--http-version", "2"]].concat());
    assert_eq!(web.last().version, "HTTP/2.0");
    told(&cb, 0, ["--unix", &socket]);
    drop(web);
    fails(&cb, &args, "connect", "connection refused");
    fs::remove_file(&path).expect("the socket");
    fails(&cb, &args, "connect", "no such");
    let long = format!("/{}", "x".repeat(104));
    assert!(!Path::new(&long).exists());
    fails(&cb, &["--unix", &long], "connect", "no such");
}

#[test]
fn addresses_of_either_kind_and_given_by_hand() {
    let (cb, web) = (Cb::new(), HttpServer::new());
    let port = web.address().port();
    let pin = format!("pay.example:{port}:127.0.0.1");
    let url = format!("http://pay.example:{port}/");
    let report = told(&cb, 0, ["--http", &url, "--resolve", &pin]);
    assert_eq!(report["address"], web.address().to_string());
    assert_eq!(web.last().host, Some(format!("pay.example:{port}")));
    // An address of the wrong kind is no address.
    fails(&cb, &["--http", &url, "--resolve", &pin, "-6"], "dns", "no IPv6 address");
    fails(&cb, &["--http", &web.url("/"), "-6"], "dns", "");
    told(&cb, 0, ["--http", &web.url("/"), "-4"]);
    if TcpListener::bind("[::1]:0").is_err() {
        return not_here("there is no IPv6 here");
    }
    let six = HttpServer::at("[::1]:0".parse().expect("an address"));
    told(&cb, 0, ["--http", &six.url("/"), "-6"]);
    assert_eq!(six.last().host, Some(six.address().to_string()));
    fails(&cb, &["--http", &six.url("/"), "-4"], "dns", "");
    // Both are tried, and each of the two can be asked for.
    let port = six.address().port();
    let (url, pin) =
        (format!("http://pay.example:{port}/"), format!("pay.example:{port}:127.0.0.1,[::1]"));
    let both = told(&cb, 0, ["--http", &url, "--resolve", &pin]);
    assert_eq!(both["address"], six.address().to_string());
    told(&cb, 0, ["--http", &url, "--resolve", &pin, "-6"]);
    fails(&cb, &["--http", &url, "--resolve", &pin, "-4"], "connect", "connection refused");
}

#[test]
fn slower_than_slow_call_is_slow() {
    let (cb, web) = (Cb::new(), HttpServer::new());
    let url = web.url("/slow/60");
    let slow = told(&cb, 0, ["pay", "--http", &url, "--slow-call", "20ms"]);
    assert_eq!((&slow["health"], &slow["slow"]), (&"slow".into(), &true.into()));
    assert_eq!((cb.total("pay", "slow"), cb.total("pay", "succeeded")), (1, 1));
    let fine = told(&cb, 0, ["pay", "--http", &url, "--slow-call", "1h"]);
    assert_eq!((&fine["health"], &fine["slow"]), (&"healthy".into(), &false.into()));
    assert_eq!(cb.total("pay", "slow"), 1);
    let args = ["probe", "--nagios", "--http", &url, "--slow-call", "20ms"];
    cb.run(args).code(1).stdout_has("PROBE WARNING: ");
}

#[test]
fn a_server_that_asks_to_be_left_alone() {
    let (cb, web) = (Cb::new(), HttpServer::new());
    let asked = |path: &str| {
        let told = told(&cb, 1, ["--http", &web.url(path)]);
        told["retry_after_ms"].clone()
    };
    assert_eq!(asked("/retry-after/503/30"), 30_000);
    assert_eq!(asked("/retry-after/429/1"), 1000);
    assert_eq!(asked("/retry-after/500/30"), Value::Null);
    for odd in ["-1", "soon", "%22%22", "1e9", "99999999999999999999999"] {
        let told = asked(&format!("/retry-after/503/{odd}"));
        assert!(told.is_null() || told.as_u64() <= Some(365 * 86_400_000), "{odd}: {told}");
    }
    assert_eq!(
        asked("/retry-after/503/Fri,%2001%20Jan%202016%2000:00:00%20GMT").as_u64().unwrap_or(0),
        0
    );
}

#[test]
fn connections_that_break() {
    let (cb, web) = (Cb::new(), HttpServer::new());
    let why = |server: &crate::servers::Server, phase: &str, why: &str| {
        let url = format!("http://{}/bytes/200000", server.address());
        for more in [&[][..], &["--http-version", "2"]] {
            // Of a reset, the kernel tells now the one side, now the other.
            let told = told(&cb, 1, [&["--http", &url][..], more].concat());
            assert_eq!(told["timed_out"], false, "{told}");
            if more.is_empty() {
                assert!(found(&told).contains(why), "{told}");
                assert!(phase.is_empty() || told["failed_phase"] == phase, "{told}");
            }
        }
    };
    why(&resetting(), "", "reset");
    why(&closing(), "first_byte", "closed the connection before it answered");
    let to = web.address();
    why(&proxy(to, Fault::Reset, 0), "", "");
    why(&proxy(to, Fault::HalfClose, 0), "first_byte", "closed");
    why(&proxy(to, Fault::Reset, 5000), "body", "");
    why(&proxy(to, Fault::HalfClose, 10), "body", "");
    why(&proxy(to, Fault::HalfClose, 5000), "body", "");
    why(&answering(b"SSH-2.0-OpenSSH\x1b[2J\r\n"), "body", "not HTTP");
    why(&answering(b"\x15\x03\x01\0\x02\x02\x46"), "body", "not HTTP");
    why(
        &answering(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 11\r\n\r\n"),
        "body",
        "",
    );
    why(&answering(b"HTTP/1.1 99999 OK\r\n\r\n"), "body", "");
}

#[test]
fn what_a_server_sends_does_not_steer_a_terminal() {
    let (cb, web) = (Cb::new(), HttpServer::new());
    let odd_body = web.url("/text?%22%1b[2J%c2%9b31m%e2%80%ae%00%ff%22");
    let odd_header = web.url("/odd-header");
    let raw = answering(b"\x1b]0;x\x07\xc2\x9b31m\xff\0\r\n");
    let raw = format!("http://{}/", raw.address());
    let probes: [&[&str]; 5] = [
        &["--http", &odd_body, "--expect-json", "=1"],
        &["--http", &odd_body, "--expect-body", "well"],
        &["--http", &odd_header, "--expect-header", "X-Odd: ^well"],
        &["--http", &raw],
        &["--", "printf", "\\033[2J\\302\\233\\377\\n", "|x"],
    ];
    for probe in probes {
        for way in ["--json", "--nagios", "--no-feed"] {
            let ran = cb.run([&["probe", way], probe].concat());
            let text = std::str::from_utf8(&ran.output.stdout).expect("UTF-8");
            let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!text.contains(steers) && text.matches('\n').count() == 1, "{text:?}");
        }
    }
}

#[test]
fn the_config_file_does_the_same_as_flags() {
    let (web, pki) = (HttpServer::new(), Pki::new());
    let by_tls = HttpServer::tls(pki.server(Kind::Good));
    let cb = Cb::new().env("PAY_TOKEN", "from-env").config(&format!(
        "[defaults.probe]\ntimeout = \"20s\"\nca = {ca:?}\nheader = [\"X-All: yes\"]\n\
         [breaker.pay.probe]\nhttp = {url:?}\nmethod = \"PUT\"\nbody = \"b\"\n\
         header_env = \"X-Env: PAY_TOKEN\"\nexpect_status = [\"200-203\", 418]\n\
         expect_body = \"status\"\nexpect_regex = [\"^status \\\\d+\"]\n\
         [breaker.safe.probe]\nhttp = {safe:?}\nexpect_json = [\"/status=ok\"]\n\
         http_version = \"1.1\"\nmin_days = 30\nheader = []\nfeed = false\n\
         [breaker.down.probe]\nhttp = {down:?}\nrise = 1\n",
        ca = pki.ca().display().to_string(),
        url = web.url("/status/418"),
        safe = by_tls.localhost("/json"),
        down = web.url("/status/503"),
    ));
    let pay = told(&cb, 0, ["pay"]);
    assert_eq!((&pay["breaker"], &pay["http"]["status"]), (&"pay".into(), &418.into()));
    assert_eq!((&*web.last().method, &*web.last().body), ("PUT", &b"b"[..]));
    assert_eq!(
        (sent(&web, "x-env"), sent(&web, "x-all")),
        (vec!["from-env".into()], vec!["yes".into()])
    );
    let safe = told(&cb, 0, ["safe"]);
    assert_eq!((&safe["http"]["version"], &safe["fed"]), (&"HTTP/1.1".into(), &Value::Null));
    assert!(sent(&by_tls, "x-all").is_empty());
    told(&cb, 1, ["safe", "--expect-json", "/status=bad"]);
    told(&cb, 1, ["safe", "--min-days", "999"]);
    assert_eq!(found(&told(&cb, 1, ["down"])), "HTTP 503 Service Unavailable, expected 200-299");
    assert_eq!((cb.total("down", "failed"), cb.total("pay", "succeeded")), (1, 1));
}
