//! Pages of servers that answer well, badly, or not at all.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue};
use regex::bytes::Regex;
use serde_json::json;
use url::Url;

use crate::net::tls::tests::{Certificates, Served, run};
use crate::net::{Endpoint, Net, Phase, Pin, Route, TlsOptions};
use crate::probe::spec::{Body, Expected, Header, Http, Spec, Version, What};
use crate::probe::{Report, Verdict, report};
use crate::process::Inherited;

const FOREVER: Duration = Duration::from_secs(30);

/// A server that gives each request, in turn, one of these answers (the last one
/// again and again), and keeps the requests.
struct Server {
    served: Served,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn answering<T: AsRef<[u8]>>(answers: &[T]) -> Self {
        let answers: Vec<Vec<u8>> = answers.iter().map(|answer| answer.as_ref().to_vec()).collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&asked);
        let served = Served::with(move |mut stream| {
            let request = request(&mut stream);
            let at = {
                let mut asked = keep.lock().unwrap();
                asked.push(request);
                asked.len() - 1
            };
            let _ = stream.write_all(&answers[at.min(answers.len() - 1)]);
            end(stream);
        });
        Server { served, asked }
    }

    fn url(&self) -> Url {
        Url::parse(&format!("http://127.0.0.1:{}/", self.served.port)).unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A whole request, with its body.
fn request(stream: &mut impl Read) -> String {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    let _ = stream.read_exact(&mut body);
    head + &String::from_utf8_lossy(&body)
}

/// Hangs up without a reset.
fn end(mut stream: TcpStream) {
    let _ = stream.shutdown(Shutdown::Write);
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

fn get(url: Url) -> Http {
    Http {
        url,
        method: Method::GET,
        headers: Vec::new(),
        body: None,
        unix_socket: None,
        version: Version::Negotiated,
        redirects_max: 0,
        body_bytes_max: 1 << 20,
        statuses: vec![200..=299],
        expected: Vec::new(),
        days_min: 0,
    }
}

fn spec(http: Http) -> Spec {
    Spec {
        what: What::Http(Box::new(http)),
        timeout: FOREVER,
        route: Route::default(),
        tls: TlsOptions::default(),
    }
}

fn look(http: Http) -> Report {
    look_by(&spec(http))
}

fn look_by(spec: &Spec) -> Report {
    // As cb looks: how often the time is looked at is part of it.
    let runtime = crate::probe::runtime().unwrap();
    runtime.block_on(report(spec, &Net::default(), Inherited::of_the_test()))
}

#[track_caller]
fn check(answer: impl AsRef<[u8]>, verdict: Verdict, words: &str) -> Report {
    let server = Server::answering(&[answer]);
    let report = look(get(server.url()));
    assert_eq!((report.verdict, &*report.found), (verdict, words));
    report
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

#[test]
fn a_page_is_asked_for_and_told() {
    let server = Server::answering(&[OK]);
    let mut url = server.url();
    url.set_path("/a b");
    url.set_query(Some("q=1"));
    let report = look(get(url.clone()));
    assert_eq!((report.verdict, &*report.found), (Verdict::Healthy, "HTTP 200"));
    assert_eq!(report.address, Some(format!("127.0.0.1:{}", server.served.port)));
    let phases: Vec<Phase> = report.phases.iter().map(|(phase, _)| *phase).collect();
    assert_eq!(phases, [Phase::Dns, Phase::Connect, Phase::FirstByte, Phase::Body]);
    assert_eq!((report.phase, report.retry_after), (None, None));
    let http = report.detail.http.unwrap();
    assert_eq!((http.status, &*http.version, http.body_bytes), (200, "HTTP/1.1", 2));
    url.set_query(Some("..."));
    assert_eq!((http.url, http.redirects), (url.to_string(), 0));
    let version = env!("CARGO_PKG_VERSION");
    let host = format!("127.0.0.1:{}", server.served.port);
    let expected = format!(
        "GET /a%20b?q=1 HTTP/1.1\r\nuser-agent: cb/{version}\r\naccept: */*\r\nhost: {host}\r\n\r\n"
    );
    assert_eq!(server.asked(), [expected]);
}

#[test]
fn answers_that_are_in_order() {
    let healthy = |answer: &str| check(answer, Verdict::Healthy, "HTTP 200");
    healthy("HTTP/1.0 200 OK\r\n\r\nuntil the end");
    healthy("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    healthy("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n");
    healthy(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nTrailer: x\r\n\r\n";
    let report = healthy(chunked);
    assert_eq!(report.detail.http.unwrap().body_bytes, 3);
    check("HTTP/1.1 204 No Content\r\n\r\n", Verdict::Healthy, "HTTP 204");
}

#[test]
fn answers_that_are_not_in_order() {
    let bad = |answer: &[u8], words: &str| check(answer, Verdict::Unhealthy, words).phase;
    assert_eq!(
        bad(b"", "the server closed the connection before it answered"),
        Some(Phase::FirstByte)
    );
    let middle = "the server closed the connection in the middle of its answer";
    assert_eq!(bad(b"HTTP/1.1 200 OK\r\nA: b\r\n", middle), Some(Phase::Body));
    let body = "the server closed the connection in the middle of the body";
    bad(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", body);
    bad(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", body);
    bad(
        b"SSH-2.0-OpenSSH_9.2\x1b[31m\r\n",
        "not HTTP: the answer begins with 'SSH-2.0-OpenSSH_9.2\\u{1b}[31m\\r\\n'",
    );
    bad(
        b"\0\xff\xfe\r\n\r\n",
        "not HTTP: the answer begins with '\\u{0}\u{fffd}\u{fffd}\\r\\n\\r\\n'",
    );
}

#[track_caller]
fn check_begins(answer: impl AsRef<[u8]>, words: &str) {
    let server = Server::answering(&[answer]);
    let report = look(get(server.url()));
    assert_eq!(report.verdict, Verdict::Unhealthy);
    assert!(report.found.starts_with(words), "{}", report.found);
}

#[test]
fn nonsense_is_told_as_such() {
    let not_as = "not HTTP as it should be";
    check_begins("HTTP/1.1 abc\r\n\r\n", not_as);
    check_begins("HTTP/9.9 200 OK\r\n\r\n", not_as);
    check_begins("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", not_as);
    check_begins("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", not_as);
    check_begins("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", not_as);
    check_begins(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
        "not HTTP as it should be: Invalid chunk size line",
    );
    let many = "A: b\r\n".repeat(300);
    check_begins(format!("HTTP/1.1 200 OK\r\n{many}\r\n"), not_as);
    let large = "x".repeat(200_000);
    check_begins(
        format!("HTTP/1.1 200 OK\r\nA: {large}\r\n\r\n"),
        "the head of the answer has more than 65536 bytes",
    );
}

#[test]
fn no_bytes_whatsoever_panic() {
    let answer: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let bent = |at: usize| {
        let mut bent = answer.to_vec();
        bent[at] = bent[at].wrapping_mul(31).wrapping_add(97);
        bent
    };
    let answers: Vec<Vec<u8>> = (0..answer.len()).map(bent).collect();
    let server = Server::answering(&answers);
    for _ in &answers {
        let report = look(get(server.url()));
        assert!(report.verdict != Verdict::Unknown && !report.timed_out, "{report:?}");
    }
}

/// A look that the deadline has to end.
#[track_caller]
fn check_deadline(serve: impl Fn(TcpStream) + Send + Sync + 'static, phase: Phase) {
    let served = Served::with(serve);
    let url = Url::parse(&format!("http://127.0.0.1:{}/", served.port)).unwrap();
    let http = Http { body_bytes_max: u64::MAX, ..get(url) };
    let report = look_by(&Spec { timeout: Duration::from_millis(150), ..spec(http) });
    assert!(report.timed_out, "{report:?}");
    assert_eq!((report.verdict, report.phase), (Verdict::Unhealthy, Some(phase)));
}

/// Begins an answer, and then says the same again and again.
fn endless(begin: &'static str, again: &'static str) -> impl Fn(TcpStream) + Send + Sync {
    move |mut stream| {
        request(&mut stream);
        let _ = stream.write_all(begin.as_bytes());
        while !again.is_empty() && stream.write_all(again.as_bytes()).is_ok() {}
        end(stream);
    }
}

#[test]
fn what_never_ends_is_ended_by_the_deadline() {
    check_deadline(|mut stream| drop(stream.read_to_end(&mut Vec::new())), Phase::FirstByte);
    check_deadline(endless("", "HTTP/1.1 100 Continue\r\n\r\n"), Phase::Body);
    let body = "HTTP/1.1 200 OK\r\n\r\n";
    check_deadline(endless(body, "some more of the same, and then some more"), Phase::Body);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check_deadline(endless(chunked, "1\r\na\r\n"), Phase::Body);
    let drip = |mut stream: TcpStream| {
        request(&mut stream);
        let answer = b"HTTP/1.1 200 OK\r\n".iter().chain(std::iter::repeat(&b'a'));
        for byte in answer {
            // A reader that goes away ends it; the pause is the drip itself.
            let _ = stream.set_read_timeout(Some(Duration::from_millis(5)));
            if stream.write_all(&[*byte]).is_err() || matches!(stream.read(&mut [0]), Ok(0)) {
                return;
            }
        }
    };
    check_deadline(drip, Phase::Body);
}

#[test]
fn no_flood_keeps_the_deadline_from_being_looked_at() {
    // Always there is more to read, and no answer in it.
    let flood = "HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000).leak();
    let served = Served::with(endless("", flood));
    let url = Url::parse(&format!("http://127.0.0.1:{}/", served.port)).unwrap();
    let report = look_by(&Spec { timeout: Duration::from_millis(150), ..spec(get(url)) });
    assert_eq!((report.verdict, report.phase), (Verdict::Unhealthy, Some(Phase::Body)));
}

#[test]
fn a_body_is_read_up_to_its_bound() {
    let served = Served::with(endless("HTTP/1.1 200 OK\r\n\r\n", "abcdefgh"));
    let url = Url::parse(&format!("http://127.0.0.1:{}/", served.port)).unwrap();
    let http = Http { body_bytes_max: 100_000, ..get(url) };
    let report = look(http.clone());
    let words = "HTTP 200, the first 100000 bytes of the body read";
    assert_eq!((report.verdict, &*report.found), (Verdict::Healthy, words));
    assert_eq!(report.detail.http.unwrap().body_bytes, 100_000);
    let expecting = |expected| look(Http { expected: vec![expected], ..http.clone() }).found;
    assert_eq!(expecting(Expected::Contains("habc".to_owned())), words);
    assert_eq!(
        expecting(Expected::Contains("xyz".to_owned())),
        "there is no 'xyz' in the first 100000 bytes of the body"
    );
    assert_eq!(
        expecting(Expected::Json(String::new(), json!(1))),
        "the body is longer than 100000 bytes, so it cannot be read as JSON"
    );
    let server = Server::answering(&[OK]);
    assert_eq!(look(Http { body_bytes_max: 2, ..get(server.url()) }).found, "HTTP 200");
}

#[track_caller]
fn check_expected(expected: Expected, words: &str) {
    let body = r#"{"status":"UP","n":1.0,"list":[{"a/b":null}],"größe":"ä"}"#;
    let len = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nServer: nginx/1.2\r\nVia: a\r\nVia: b\r\nContent-Length: {len}\r\n\r\n{body}"
    );
    let server = Server::answering(&[answer]);
    let report = look(Http { expected: vec![expected], ..get(server.url()) });
    assert_eq!(report.found, words);
    assert_eq!(report.verdict == Verdict::Healthy, words == "HTTP 200");
    assert_eq!(report.phase, None);
}

#[test]
fn what_is_expected_is_looked_for() {
    let text = |text: &str| Expected::Contains(text.to_owned());
    let regex = |text: &str| Regex::new(text).unwrap();
    let json = |pointer: &str, value| Expected::Json(pointer.to_owned(), value);
    let header = |name, text| Expected::Header(HeaderName::from_static(name), regex(text));
    let good = [
        text("UP"),
        text(""),
        text("größe"),
        Expected::Matches(regex(r#""status":"(UP|OK)""#)),
        json("/status", json!("UP")),
        json("/n", json!(1)),
        json("/list/0/a~1b", json!(null)),
        header("server", "^nginx/"),
        header("via", "b"),
    ];
    for expected in good {
        check_expected(expected, "HTTP 200");
    }
    check_expected(text("DOWN"), "there is no 'DOWN' in the body");
    check_expected(Expected::Matches(regex("^x")), "nothing in the body matches '^x'");
    check_expected(json("/status", json!("DOWN")), r#"/status is "UP", not "DOWN""#);
    check_expected(json("/state", json!("UP")), "the body has no /state");
    check_expected(header("x-a", "b"), "there is no header x-a");
    check_expected(
        header("server", "apache"),
        "the header server is 'nginx/1.2', which does not match 'apache'",
    );
    let server = Server::answering(&[OK]);
    let expected = vec![json("/a", json!(1))];
    assert_eq!(look(Http { expected, ..get(server.url()) }).found, "the body is not JSON");
}

#[test]
fn json_that_is_nested_for_ever_is_no_json() {
    let body = "[".repeat(500_000);
    let server = Server::answering(&[format!("HTTP/1.1 200 OK\r\n\r\n{body}")]);
    let expected = vec![Expected::Json("/a".to_owned(), json!(1))];
    assert_eq!(look(Http { expected, ..get(server.url()) }).found, "the body is not JSON");
}

#[test]
fn a_large_body_is_searched_once_and_kept_once() {
    let numbers = format!("[{}1]", "0,".repeat(2 << 20));
    let server = Server::answering(&[format!("HTTP/1.1 200 OK\r\n\r\n{numbers}")]);
    let expecting = |expected| {
        let body_bytes_max = 64 << 20;
        look(Http { expected: vec![expected], body_bytes_max, ..get(server.url()) }).found
    };
    assert_eq!(expecting(Expected::Json(format!("/{}", 2 << 20), json!(1))), "HTTP 200");
    let whole = expecting(Expected::Json(String::new(), json!(1)));
    assert!(whole.starts_with("the whole body is [0,0,0,") && whole.len() < 200, "{whole}");
    // Each place begins like the text that is looked for.
    let text = "0,".repeat(4000) + "2";
    assert!(expecting(Expected::Contains(text)).starts_with("there is no '0,0,"));
}

#[test]
fn judging_is_within_the_deadline_too() {
    let body = "a".repeat(8 << 20);
    let server = Server::answering(&[format!("HTTP/1.1 200 OK\r\n\r\n{body}")]);
    let regex = Regex::new("(a?){50}b").unwrap();
    let expected = vec![Expected::Matches(regex)];
    let http = Http { expected, body_bytes_max: 64 << 20, ..get(server.url()) };
    let report = look_by(&Spec { timeout: Duration::from_millis(20), ..spec(http) });
    assert_eq!((report.verdict, report.timed_out), (Verdict::Unhealthy, true), "{report:?}");
    assert_eq!(report.found, "no answer within 20ms");
}

#[test]
fn a_status_is_expected_or_not() {
    let answer = "HTTP/1.1 503 Whatever\r\nRetry-After: 30\r\nContent-Length: 5\r\n\r\n";
    // The body never comes, and nobody waits for it.
    let report =
        check(answer, Verdict::Unhealthy, "HTTP 503 Service Unavailable, expected 200-299");
    assert_eq!(report.retry_after, Some(Duration::from_secs(30)));
    assert_eq!((report.phase, report.detail.http.unwrap().status), (None, 503));
    check("HTTP/1.1 299 X\r\n\r\n", Verdict::Healthy, "HTTP 299");
    let server = Server::answering(&["HTTP/1.1 304 Not Modified\r\n\r\n"]);
    let statuses = vec![200..=299, 304..=304];
    assert_eq!(look(Http { statuses, ..get(server.url()) }).verdict, Verdict::Healthy);
    let server = Server::answering(&["HTTP/1.1 599 \r\n\r\n"]);
    let http = Http { statuses: vec![200..=204, 304..=304], ..get(server.url()) };
    assert_eq!(look(http).found, "HTTP 599, expected 200-204,304");
    let away = "HTTP/1.1 302 Found\r\nLocation: /login\x1b\r\n\r\n".replace('\x1b', "?a");
    let report = look(get(Server::answering(&[away]).url()));
    assert!(report.found.starts_with("HTTP 302 Found, redirects to http://127.0.0.1:"));
    assert!(report.found.ends_with("/login?..., expected 200-299"), "{}", report.found);
}

fn redirect(status: u16, to: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn redirects_are_followed_as_far_as_they_may() {
    let server = Server::answering(&[&*redirect(301, "/b"), &redirect(307, "c?d"), OK]);
    let http = Http { redirects_max: 2, ..get(server.url()) };
    let report = look(http);
    let told = report.detail.http.unwrap();
    assert_eq!((told.redirects, told.url), (2, server.url().join("/c?...").unwrap().to_string()));
    assert_eq!(report.verdict, Verdict::Healthy);
    let server = Server::answering(&[redirect(302, "/")]);
    let report = look(Http { redirects_max: 3, ..get(server.url()) });
    let words = format!("more redirects than 3, the last to {}", server.url());
    assert_eq!((report.verdict, report.found), (Verdict::Unhealthy, words));
    assert_eq!(server.asked().len(), 4);
    for nowhere in ["ftp://x/", "http://[", "javascript:alert(1)"] {
        let server = Server::answering(&[redirect(302, nowhere)]);
        let report = look(Http { redirects_max: 3, ..get(server.url()) });
        assert_eq!(report.verdict, Verdict::Unhealthy);
        assert!(report.found.starts_with("HTTP 302, redirects to what is no"), "{}", report.found);
    }
}

#[test]
fn the_query_of_a_redirect_is_never_told() {
    let places = ["/a?hush", "//u:hush@x/#hush", "ftp://u:hush@x/", "http://[?hush", "x:y?hush"];
    for to in places {
        let server = Server::answering(&[redirect(302, to)]);
        for redirects_max in [0, 1] {
            // A name that resolves nowhere is not to be asked for.
            let follows = !to.starts_with("//");
            let redirects_max = if follows { redirects_max } else { 0 };
            let report = look(Http { redirects_max, ..get(server.url()) });
            assert!(report.found.contains("redirect"), "{}", report.found);
            assert!(!format!("{report:?}").contains("hush"), "{report:?}");
        }
    }
}

#[test]
fn a_redirect_keeps_the_method_where_it_should() {
    let sent = |status: u16, method: Method| {
        let server = Server::answering(&[&*redirect(status, "/b"), OK]);
        let body = Some(Body::Given(b"hello".to_vec()));
        look(Http { redirects_max: 1, method, body, ..get(server.url()) });
        let second = server.asked()[1].clone();
        (second.split(' ').next().unwrap().to_owned(), second.ends_with("hello"))
    };
    assert_eq!(sent(301, Method::POST), ("GET".to_owned(), false));
    assert_eq!(sent(303, Method::PUT), ("GET".to_owned(), false));
    assert_eq!(sent(302, Method::PUT), ("PUT".to_owned(), true));
    assert_eq!(sent(307, Method::POST), ("POST".to_owned(), true));
    assert_eq!(sent(308, Method::POST), ("POST".to_owned(), true));
}

#[test]
fn what_was_given_goes_to_the_first_origin_only() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("headers");
    std::fs::write(&file, "X-Token: from-file\r\n\n").unwrap();
    let headers = vec![
        Header::Given(AUTHORIZATION, HeaderValue::from_static("Bearer given")),
        Header::Given(HeaderName::from_static("x-open"), HeaderValue::from_static("open")),
        Header::Given(HOST, HeaderValue::from_static("name.test")),
        Header::FromVariable(HeaderName::from_static("x-path"), "PATH".into()),
        Header::FromFile(file),
    ];
    let other = Server::answering(&[OK]);
    let first = Server::answering(&[redirect(307, "/again"), redirect(307, other.url().as_str())]);
    let report = look(Http { redirects_max: 2, headers, ..get(first.url()) });
    assert_eq!(report.verdict, Verdict::Healthy, "{}", report.found);
    let secrets = ["Bearer given", "from-file", "x-path: ", "host: name.test", "x-open: open"];
    for asked in first.asked() {
        assert!(secrets.iter().all(|secret| asked.contains(secret)), "{asked}");
    }
    let asked = &other.asked()[0];
    let agent = concat!("cb/", env!("CARGO_PKG_VERSION"));
    let port = other.served.port;
    let bare = format!(
        "GET / HTTP/1.1\r\nuser-agent: {agent}\r\naccept: */*\r\nhost: 127.0.0.1:{port}\r\n\r\n"
    );
    assert_eq!(*asked, bare);
}

#[test]
fn a_body_goes_to_no_other_origin() {
    let other = Server::answering(&[OK]);
    let to = other.url();
    let sent = |status: u16, method: Method| {
        let first = Server::answering(&[redirect(status, to.as_str())]);
        let body = Some(Body::Given(b"secret".to_vec()));
        look(Http { redirects_max: 1, method, body, ..get(first.url()) })
    };
    for (status, method) in [(307, Method::POST), (308, Method::POST), (302, Method::PUT)] {
        let report = sent(status, method);
        let words = format!("HTTP {status}, redirects to {to}, which is not to have the body");
        assert_eq!((report.verdict, report.found), (Verdict::Unhealthy, words));
    }
    assert_eq!(other.asked(), [] as [String; 0]);
    assert_eq!(sent(303, Method::POST).verdict, Verdict::Healthy);
    assert!(other.asked()[0].starts_with("GET / ") && !other.asked()[0].contains("secret"));
}

#[test]
fn who_asks_may_stand_in_the_url_and_is_never_told() {
    let server = Server::answering(&[&*redirect(302, "/b"), OK]);
    let mut url = server.url();
    url.set_username("me").unwrap();
    url.set_password(Some("a:b%20c")).unwrap();
    let report = look(Http { redirects_max: 1, ..get(url) });
    for asked in server.asked() {
        assert!(asked.contains("authorization: Basic bWU6YTpiIGM=\r\n"), "{asked}");
    }
    assert_eq!(report.detail.http.unwrap().url, server.url().join("/b").unwrap().to_string());
}

#[track_caller]
fn check_ours(change: impl FnOnce(&mut Http), words: &str) {
    let server = Server::answering(&[OK]);
    let mut http = get(server.url());
    change(&mut http);
    let report = look(http);
    assert_eq!((report.verdict, &*report.found), (Verdict::Unknown, words));
    assert_eq!((server.asked().len(), report.phase), (0, None));
}

#[test]
fn what_lacks_on_our_side_says_nothing_of_the_server() {
    let name = HeaderName::from_static("x-a");
    let variable = Header::FromVariable(name, "CB_TEST_NOT_SET".into());
    check_ours(|http| http.headers = vec![variable], "the variable CB_TEST_NOT_SET is not set");
    let missing = || PathBuf::from("/nonexistent/file");
    let words = "cannot read /nonexistent/file: No such file or directory";
    check_ours(|http| http.headers = vec![Header::FromFile(missing())], words);
    check_ours(|http| http.body = Some(Body::FromFile(missing())), words);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("headers");
    std::fs::write(&file, "A: b\nsecret without a colon\n").unwrap();
    let words = format!("{}:2: not a header; allowed: 'Name: value'", file.display());
    check_ours(|http| http.headers = vec![Header::FromFile(file)], &words);
    let length = Header::Given(CONTENT_LENGTH, HeaderValue::from_static("7"));
    let words = "the header content-length follows from the body";
    check_ours(|http| http.headers = vec![length], words);
    let words = "CONNECT asks for a tunnel, not for a page: another method is allowed";
    check_ours(|http| http.method = Method::CONNECT, words);
}

#[test]
fn methods_and_bodies_are_sent() {
    let server = Server::answering(&[OK]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("body");
    std::fs::write(&file, "from a file").unwrap();
    look(Http { method: Method::POST, body: Some(Body::FromFile(file)), ..get(server.url()) });
    look(Http { method: Method::POST, ..get(server.url()) });
    let head = look(Http { method: Method::HEAD, ..get(server.url()) });
    assert_eq!((head.verdict, head.detail.http.unwrap().body_bytes), (Verdict::Healthy, 0));
    let asked = server.asked();
    assert!(asked[0].starts_with("POST / ") && asked[0].ends_with("\r\n\r\nfrom a file"));
    assert!(asked[0].contains("content-length: 11\r\n"), "{}", asked[0]);
    assert!(asked[1].contains("content-length: 0\r\n"), "{}", asked[1]);
    assert!(asked[2].starts_with("HEAD / ") && !asked[2].contains("content-length"));
}

#[test]
fn a_socket_in_the_file_system_stands_in_for_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let asked = request(&mut stream);
        stream.write_all(OK.as_bytes()).unwrap();
        asked
    });
    let url = Url::parse("http://name.test/x").unwrap();
    let report = look(Http { unix_socket: Some(path.clone()), ..get(url) });
    assert_eq!(
        (report.verdict, report.address),
        (Verdict::Healthy, Some(path.display().to_string()))
    );
    let asked = served.join().unwrap();
    assert!(asked.starts_with("GET /x ") && asked.contains("host: name.test\r\n"), "{asked}");
}

#[test]
fn the_host_is_named_whatever_address_is_given() {
    let server = Server::answering(&[OK]);
    let port = server.served.port;
    let url = Url::parse(&format!("http://name.test:{port}/")).unwrap();
    let of = Endpoint { host: "name.test".to_owned(), port };
    let pins = vec![Pin { of, addresses: vec!["127.0.0.1".parse().unwrap()] }];
    let mut spec = spec(get(url));
    spec.route.pins = pins;
    assert_eq!(look_by(&spec).verdict, Verdict::Healthy);
    assert!(server.asked()[0].contains(&format!("host: name.test:{port}\r\n")));
}

/// A server of hyper's for HTTP/2, which tells the authority and the path.
fn http2_server(answers: usize) -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        run(async move {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            for _ in 0..answers {
                let (stream, _) = listener.accept().await.unwrap();
                let told = |request: hyper::Request<hyper::body::Incoming>| async move {
                    let body = http_body_util::Full::new(hyper::body::Bytes::from(
                        request.uri().to_string(),
                    ));
                    Ok::<_, std::convert::Infallible>(hyper::Response::new(body))
                };
                let io = hyper_util::rt::TokioIo::new(stream);
                let _ =
                    hyper::server::conn::http2::Builder::new(hyper_util::rt::TokioExecutor::new())
                        .serve_connection(io, hyper::service::service_fn(told))
                        .await;
            }
        });
    });
    port
}

#[test]
fn http_2_is_spoken_where_it_is_wanted() {
    let port = http2_server(2);
    let url = Url::parse(&format!("http://127.0.0.1:{port}/x?y")).unwrap();
    let expected = vec![Expected::Contains(url.to_string())];
    let http = Http { version: Version::Http2, expected, ..get(url) };
    let report = look(http.clone());
    assert_eq!((report.verdict, &*report.found), (Verdict::Healthy, "HTTP 200"));
    assert_eq!(report.detail.http.unwrap().version, "HTTP/2");
    let headers = vec![Header::Given(HOST, HeaderValue::from_static("name.test"))];
    let expected = vec![Expected::Contains("http://name.test/x?y".to_owned())];
    let report = look(Http { headers, expected, ..http });
    assert_eq!((report.verdict, &*report.found), (Verdict::Healthy, "HTTP 200"));
}

#[test]
fn http_2_that_breaks_off_says_so() {
    const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
    let told = |after: &'static [u8]| {
        let served = Served::with(move |mut stream| {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(after);
            end(stream);
        });
        let url = Url::parse(&format!("http://127.0.0.1:{}/", served.port)).unwrap();
        let report = look(Http { version: Version::Http2, ..get(url) });
        assert_eq!((report.verdict, report.timed_out), (Verdict::Unhealthy, false));
        report.found
    };
    let goaway = [SETTINGS, b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b"].concat().leak();
    let why = told(goaway);
    assert!(why.starts_with("HTTP/2 broke off: "), "{why}");
    let reset = [SETTINGS, b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x07"].concat().leak();
    let why = told(reset);
    assert!(why.starts_with("HTTP/2 broke off: "), "{why}");
    assert_eq!(told(b""), "the server closed the connection before it answered");
    let why = told(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert!(why.starts_with("HTTP/2 broke off") || why.contains("closed"), "{why}");
}

#[test]
fn a_page_by_tls_tells_of_the_certificate() {
    let certificates = Certificates::new();
    let config = certificates.signed(&["localhost"], 50).server(&["http/1.1"]);
    let served = Served::with_tls(config, |mut stream| {
        request(&mut stream);
        let _ = stream.write_all(OK.as_bytes());
        // The client says that it is done: a close without that is an error here.
        let farewell = stream.read_to_end(&mut Vec::new());
        assert!(farewell.is_ok(), "{farewell:?}");
    });
    let port = served.port;
    let url = Url::parse(&format!("https://localhost:{port}/")).unwrap();
    let of = Endpoint { host: "localhost".to_owned(), port };
    let mut spec = spec(get(url));
    spec.route.pins = vec![Pin { of, addresses: vec!["127.0.0.1".parse().unwrap()] }];
    spec.tls.ca = Some(certificates.ca_file());
    let report = look_by(&spec);
    assert_eq!((report.verdict, &*report.found), (Verdict::Healthy, "HTTP 200"));
    let tls = report.detail.tls.unwrap();
    assert_eq!((tls.alpn.as_deref(), tls.days_left), (Some("http/1.1"), 2));
    let phases: Vec<Phase> = report.phases.iter().map(|(phase, _)| *phase).collect();
    assert_eq!(phases, Phase::ALL);
    let What::Http(http) = &mut spec.what else { unreachable!() };
    http.days_min = 7;
    let report = look_by(&spec);
    let words = "the certificate is good for 2 days, less than 7 days";
    assert_eq!((report.verdict, &*report.found), (Verdict::Unhealthy, words));
    let What::Http(http) = &mut spec.what else { unreachable!() };
    http.version = Version::Http2;
    let report = look_by(&spec);
    assert_eq!((report.verdict, report.phase), (Verdict::Unhealthy, Some(Phase::Tls)));
}

#[test]
fn a_redirect_to_what_is_not_encrypted_is_not_followed() {
    let certificates = Certificates::new();
    let config = certificates.signed(&["127.0.0.1"], 50).server(&[]);
    let served = Served::with_tls(config, |mut stream| {
        request(&mut stream);
        let _ = stream.write_all(redirect(302, "http://me:pw@name.test/").as_bytes());
    });
    let url = Url::parse(&format!("https://127.0.0.1:{}/", served.port)).unwrap();
    let mut spec = spec(Http { redirects_max: 5, ..get(url) });
    spec.tls.insecure = true;
    let report = look_by(&spec);
    let words = "HTTP 302, redirects to http://name.test/, which is not encrypted";
    assert_eq!((report.verdict, &*report.found), (Verdict::Unhealthy, words));
}

#[test]
fn a_look_that_is_cut_short_leaves_no_connection() {
    for version in [Version::Http1, Version::Http2] {
        let (told, ended) = std::sync::mpsc::channel();
        let served = Served::with(move |mut stream| {
            let _ = told.send(stream.read_to_end(&mut Vec::new()));
        });
        let url = Url::parse(&format!("http://127.0.0.1:{}/", served.port)).unwrap();
        let spec =
            Spec { timeout: Duration::from_millis(50), ..spec(Http { version, ..get(url) }) };
        run(async {
            assert!(report(&spec, &Net::default(), Inherited::of_the_test()).await.timed_out);
            // The runtime lives on, as it does between the looks of a watch.
            while ended.try_recv().is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
}
