//! What `cb probe` says: the line, JSON, a line for Nagios; and that nothing a
//! server sends can steer a terminal.

use std::fs::OpenOptions;
use std::io::Read;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::page::Page;
use super::{Reading, json as answer, probed};
use crate::live::ended;
use crate::servers::certs::{Kind, Pki};
use crate::servers::grpc;
use crate::servers::http::HttpServer;
use crate::support::{Cb, Ran, binary};

#[test]
fn one_line_says_what_where_and_how_long() {
    let page = Page::new();
    let cb = Cb::new();
    let address = page.url().replace("http://", "").replace('/', "");
    let text = cb.run(["probe", "pay", "--http", &page.url()]).code(0).stderr("").stdout_text();
    let rest = text.strip_prefix("pay: healthy: HTTP 200").expect("the answer");
    let (_, rest) = rest.split_once(" in ").expect("the time");
    let (time, rest) = rest.split_once(" (").expect("where");
    assert!(time.ends_with("ms") || time.ends_with('s'), "{text}");
    let (at, times) = rest.split_once("; ").expect("the phases");
    assert_eq!(at, address, "{text}");
    let phases: Vec<&str> = times.trim_end_matches(")\n").split(", ").collect();
    assert!(phases.iter().any(|phase| phase.starts_with("first byte ")), "{text}");
    assert!(!times.contains('('), "{text}");
    // The phase that failed is in front of the reason.
    let dead = crate::servers::faults::closed_port().to_string();
    let ran = cb.run(["probe", "--tcp", &dead]).code(1).stderr("");
    ran.stdout_has(&format!("{dead}: unhealthy: connect: connection refused in "));
    page.holds();
    let late = ["probe", "--http", &page.url(), "--timeout", "50ms"];
    cb.run(late).code(1).stdout_has(": unhealthy: first byte: no answer within 50ms (");
    cb.run(["probe", "-q", "--tcp", &dead]).code(1).stdout("").stderr("");
}

/// The keys of an object, in their order.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

const ALWAYS: [&str; 15] = [
    "schema",
    "at",
    "breaker",
    "kind",
    "target",
    "healthy",
    "health",
    "slow",
    "found",
    "failed_phase",
    "timed_out",
    "address",
    "duration_ms",
    "phases",
    "retry_after_ms",
];

/// A probe as JSON: it has the keys of all probes, and this one of its kind.
#[track_caller]
fn check_json(words: &[&str], code: i32, kind: &str, detail: Option<(&str, &[&str])>) -> Value {
    let cb = Cb::new();
    let one = answer(&cb.run([&["probe", "--json"], words].concat()).code(code).stderr(""));
    let mut expected = ALWAYS.to_vec();
    expected.extend(detail.iter().map(|(key, _)| *key));
    expected.push("fed");
    assert_eq!(keys(&one), expected, "{one}");
    assert_eq!(one["schema"], "cb.probe/1");
    assert_eq!((&one["kind"], &one["healthy"]), (&kind.into(), &(code == 0).into()));
    assert_eq!(
        keys(&one["phases"]),
        ["dns_ms", "connect_ms", "tls_ms", "first_byte_ms", "body_ms"]
    );
    assert!(one["duration_ms"].is_number() && one["at"].is_string() && one["found"].is_string());
    if let Some((key, names)) = detail {
        assert_eq!(keys(&one[key]), names, "{one}");
    }
    one
}

const HTTP: [&str; 5] = ["status", "version", "url", "redirects", "body_bytes"];
const TLS: [&str; 6] = ["version", "alpn", "subject", "issuer", "not_after", "days_left"];

#[test]
fn json_has_the_same_keys_always_and_those_of_the_kind() {
    let page = Page::new();
    let address = page.url().replace("http://", "").replace('/', "");
    let one = check_json(&["--http", &page.url()], 0, "http", Some(("http", &HTTP)));
    let http = json!({"status": 200, "version": "HTTP/1.1", "url": page.url(), "redirects": 0,
                      "body_bytes": 5});
    assert_eq!(one["http"], http);
    assert_eq!((&one["address"], &one["breaker"]), (&address.as_str().into(), &Value::Null));
    assert_eq!((&one["fed"], &one["failed_phase"]), (&Value::Null, &Value::Null));
    let one = check_json(&["--tcp", &address], 0, "tcp", None);
    assert!(one["phases"]["connect_ms"].is_number() && one["phases"]["body_ms"].is_null());
    let dead = crate::servers::faults::closed_port().to_string();
    let one = check_json(&["--tcp", &dead], 1, "tcp", None);
    assert_eq!((&one["failed_phase"], &one["timed_out"]), (&"connect".into(), &false.into()));
    let command = ["exit_code", "signal"].as_slice();
    let one = check_json(&["--", "sh", "-c", "exit 7"], 1, "command", Some(("command", command)));
    assert_eq!(one["command"], json!({"exit_code": 7, "signal": null}));
    page.holds();
    let late = ["--http", &page.url(), "--timeout", "50ms"];
    let one = check_json(&late, 1, "http", None);
    assert_eq!((&one["failed_phase"], &one["timed_out"]), (&"first_byte".into(), &true.into()));
}

#[test]
fn json_of_tls_tells_of_the_certificate() {
    let pki = Pki::new();
    let server = HttpServer::tls(pki.server(Kind::Days(20)));
    let ca = pki.ca().display().to_string();
    let at = server.address().to_string();
    let one = check_json(&["--tls", &at, "--ca", &ca], 0, "tls", Some(("tls", &TLS)));
    assert_eq!((&one["tls"]["days_left"], &one["tls"]["version"]), (&20.into(), &"TLSv1.3".into()));
    let health = grpc::health_server(None);
    let at = health.address().to_string();
    let one = check_json(&["--grpc", &at], 0, "grpc", Some(("grpc", &["status"])));
    assert_eq!(one["grpc"]["status"], "SERVING");
}

/// The parts of a line for Nagios: its word, and each figure with its unit's number.
#[track_caller]
fn nagios(ran: &Ran) -> (String, Vec<(String, String)>) {
    let text = ran.stdout_text();
    let line = text.strip_suffix('\n').expect("a line");
    assert_eq!(line.matches(['\n', '|']).count(), 1, "{ran}");
    let (words, figures) = line.split_once(" | ").expect("figures");
    let word = words.strip_prefix("PROBE ").and_then(|rest| rest.split(':').next());
    let figure = |one: &str| {
        let (label, value) = one.split_once('=').expect("a label and a value");
        assert!(!label.contains(['\'', '"']), "{ran}");
        let number = value.split(';').next().expect("a value");
        assert!(value.split(';').count() <= 5, "{ran}");
        let number = number.trim_end_matches(['s', 'B', 'm']);
        assert!(number.parse::<f64>().is_ok(), "{number} in {ran}");
        (label.to_owned(), value.to_owned())
    };
    (word.expect("a word").to_owned(), figures.split(' ').map(figure).collect())
}

#[test]
fn a_line_for_nagios_has_its_status_and_its_figures() {
    let page = Page::new();
    let cb = Cb::new();
    let url = page.url();
    let check = |words: &[&str], code: i32, word: &str| {
        let words = [&["probe", "--nagios", "--http", &url], words].concat();
        let ran = cb.run(words).code(code).stderr("");
        let (said, figures) = nagios(&ran);
        assert_eq!(said, word, "{ran}");
        figures
    };
    let figures = check(&["--timeout", "3s", "--slow-call", "2s"], 0, "OK");
    let (label, time) = &figures[0];
    let limits: Vec<&str> = time.split(';').skip(1).collect();
    assert_eq!((label.as_str(), limits.join(" ")), ("time", "2.000000 3.000000 0 3.000000".into()));
    let labels: Vec<&str> = figures.iter().map(|(label, _)| label.as_str()).collect();
    assert_eq!(labels, ["time", "dns", "connect", "first_byte", "body", "size"]);
    assert_eq!(figures[5].1, "5B");
    page.takes_ms(20);
    check(&["--slow-call", "1ms"], 1, "WARNING");
    check(&["--timeout", "5ms"], 2, "CRITICAL");
    page.says(500);
    check(&[], 2, "CRITICAL");
    check(&["--header-env", "X: CB_IT_NOT_SET"], 3, "UNKNOWN");
    // What is wrong with the words is a line as well.
    let ran = cb.run(["probe", "--nagios", "--http", "localhost"]).code(3);
    ran.stderr("").stdout_has("PROBE UNKNOWN: --http 'localhost': ");
    // A plugin's warning is one.
    let plugin = ["probe", "--nagios", "--nagios-in", "--", "sh", "-c", "echo 'low | a=1'; exit 1"];
    let (word, _) = nagios(&cb.run(plugin).code(1).stderr(""));
    assert_eq!(word, "WARNING");
}

/// That a probe says nothing that could steer a terminal, in no form.
#[track_caller]
fn check_safe(words: &[&str]) {
    let page = Page::new();
    let sections = [probed("b", &page.url(), "")].concat();
    let cb = Cb::new().config(&sections);
    for form in [&[][..], &["--json"], &["--nagios"]] {
        let ran = cb.run([&["probe", "evil"], form, words].concat());
        let said = [&ran.output.stdout[..], &ran.output.stderr].concat();
        let text = String::from_utf8(said).expect("UTF-8");
        let steers = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{2028}".contains(c);
        assert!(!text.contains(steers), "{form:?}: {text:?}");
        assert_eq!(text.matches('\n').count(), 1, "{form:?}: {text:?}");
        // It is the answer of the server that was heard.
        assert!(!text.contains("panicked"), "{text}");
    }
}

const EVIL: &str = "a\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\u{2028}b|c\r d";

#[test]
fn nothing_that_a_server_sends_steers_a_terminal() {
    let page = Page::new();
    let url = page.url();
    let mut raw: Vec<Vec<u8>> = vec![
        b"HTTP/1.1 500 \x1b[2J\x9b31m\r\nContent-Length: 0\r\n\r\n".to_vec(),
        b"HTTP/1.1 \x1b[2J\r\n\r\n".to_vec(),
        b"\x1b[2J\x07\x9b31m\n\n".to_vec(),
        b"SSH-2.0-\x1b]0;x\x07\r\n".to_vec(),
        b"HTTP/1.1 302 Found\r\nLocation: http://x/\x1b[2J\r\nContent-Length: 0\r\n\r\n".to_vec(),
        b"HTTP/1.1 503 So\r\nRetry-After: \x1b[2J\r\nContent-Length: 0\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\x1b[2J\r\n".to_vec(),
    ];
    let location = String::from(
        "HTTP/1.1 302 Found\r\nLocation: /\u{9b}2J\u{202e}\r\nContent-Length: 0\r\n\r\n",
    );
    raw.push(location.as_bytes().to_vec());
    for bytes in &raw {
        page.says_bytes(bytes);
        check_safe(&["--http", &url]);
        check_safe(&["--http", &url, "--redirects", "2"]);
    }
    page.says_with(200, "X-Odd: \u{9b}31m\u{202e}\r\nContent-Type: \u{9b}2J\r\n", EVIL);
    check_safe(&["--http", &url, "--expect-body", "not there"]);
    check_safe(&["--http", &url, "--expect-regex", "^not there"]);
    check_safe(&["--http", &url, "--expect-json", "/a=1"]);
    check_safe(&["--http", &url, "--expect-header", "X-Odd: ^fine$"]);
    let body = json!({"status": EVIL}).to_string();
    page.says_with(200, "", &body);
    check_safe(&["--http", &url, "--expect-json", "/status=ok"]);
    check_safe(&["--http", &url, "--expect-json", "/none=ok"]);
    let script = format!("printf '%s' '{EVIL}'; exit 2");
    check_safe(&["--", "sh", "-c", &script]);
    check_safe(&["--nagios-in", "--", "sh", "-c", &script]);
    check_safe(&["--", "sh", "-c", "printf '\\377\\233\\033[2J' >&2; exit 1"]);
}

#[test]
fn nothing_in_a_certificate_does_either() {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.distinguished_name.push(rcgen::DnType::CommonName, EVIL);
    params.distinguished_name.push(rcgen::DnType::OrganizationName, EVIL);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .expect("a pair");
    let server = HttpServer::tls(std::sync::Arc::new(config));
    let at = server.address().to_string();
    check_safe(&["--tls", &at]);
    check_safe(&["--tls", &at, "--insecure"]);
    check_safe(&["--tls", &at, "--insecure", "--min-days", "36500"]);
    check_safe(&["--http", &server.url("/"), "--insecure"]);
    // It is there for those who ask, in JSON's own escapes.
    let one = Cb::new().run(["probe", "--json", "--insecure", "--tls", &at]).code(0);
    let subject = answer(&one)["tls"]["subject"].as_str().expect("a subject").to_owned();
    assert!(subject.contains("owned"), "{subject:?}");
}

#[test]
fn a_stdout_that_is_closed_is_said_before_anything_is_asked() {
    let page = Page::new();
    let cb = Cb::new().config(&probed("pay", &page.url(), ""));
    for words in ["probe pay", "probe --all", "probe --watch pay", "probe --nagios pay"] {
        let mut shell = Command::new("sh");
        cb.environ(&mut shell);
        shell.args(["-c", &format!("exec \"$0\" {words} >&-")]).arg(binary());
        let ran = Ran::of(shell).code(125);
        ran.one_line("");
    }
    assert_eq!(page.looks(), 0);
    assert!(!cb.store().exists());
}

#[test]
fn a_full_disk_below_stdout_is_an_error() {
    let page = Page::new();
    let cb = Cb::new().config(&probed("pay", &page.url(), ""));
    for words in [&["probe", "pay"][..], &["probe", "--all"], &["probe", "--watch", "pay"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let mut command = cb.command(words);
        command.stdout(full).stderr(Stdio::piped());
        let child = command.spawn().expect("cb starts");
        let ran = Ran { output: child.wait_with_output().expect("cb ends") };
        ran.code(125).one_line("No space left on device");
    }
    // All the same, what was found is told.
    assert_eq!(cb.status("pay")["totals"]["succeeded"], 3);
}

#[test]
fn a_reader_that_goes_away_ends_a_watch() {
    let page = Page::new();
    let config = probed("pay", &page.url(), "interval = \"10ms\"");
    let cb = Cb::new().config(&config);
    let mut command = cb.command(["probe", "--watch", "--json", "pay"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("cb starts");
    let mut some = [0; 10];
    child.stdout.take().expect("a pipe").read_exact(&mut some).expect("the first bytes");
    let status = ended(&mut child);
    let mut said = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("its messages");
    assert_eq!(said, "");
    assert!(status.code() == Some(0) || status.code().is_none(), "{status}");
    let mut once = Reading::start(cb.command(["probe", "--json", "pay"]));
    assert!(once.line().starts_with('{'));
    once.end().code(0);
}
