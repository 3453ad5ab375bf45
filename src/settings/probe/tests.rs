//! Values, layers and messages of probes, as tables.

use super::parse::{shown, value};
use super::*;
use crate::cli::ProbeWords;
use crate::model::BreakerName;
use crate::net::{Endpoint, Family};
use crate::probe::What;
use crate::probe::spec::{Body, Expected, Header, Http, Version};
use crate::settings::value::Raw;
use proptest::prelude::*;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::rc::Rc;

fn key(name: &str) -> ProbeKey {
    ProbeKey::by_name(name).expect("a key")
}

fn flag(name: &str, word: impl Into<OsString>) -> Flag {
    (key(name).name(), word.into())
}

fn with(flags: &[(&str, &str)]) -> Result<ProbeSettings, String> {
    let flags: Vec<_> = flags.iter().map(|(name, word)| flag(name, *word)).collect();
    resolve_probe([], &flags, &[]).map_err(|error| error.to_string())
}

fn spec_of(flags: &[(&str, &str)]) -> Spec {
    with(flags).expect("sound").spec.expect("a kind")
}

fn http_of(flags: &[(&str, &str)]) -> Http {
    let flags = [&[("http", "http://h/")], flags].concat();
    match spec_of(&flags).what {
        What::Http(http) => *http,
        other => panic!("{other:?}"),
    }
}

/// The word is allowed as a flag, and reads as `expected`.
#[track_caller]
fn check_word(name: &str, word: &str, expected: &str) {
    let found = value(key(name), &Raw::Word(OsStr::new(word)));
    assert_eq!(found.map(|value| value.to_string()), Ok(expected.to_owned()), "{name} {word}");
}

/// The word is refused in one line that says why and what is allowed.
#[track_caller]
fn check_refused(name: &str, word: &str, why: &str) {
    let flags = [flag(name, word)];
    let message = resolve_probe([], &flags, &[]).expect_err(word).to_string();
    let key = key(name);
    assert!(message.starts_with(&key.flag()), "{message}");
    assert!(message.contains(&format!(": {why}")), "{message}");
    assert!(message.ends_with(&format!("; allowed: {}", key.allowed())), "{message}");
    assert!(!message.contains(char::is_control), "{message:?}");
}

#[test]
fn pages() {
    check_word("http", "http://h", "http://h/");
    check_word(
        "http",
        "HTTPS://API.example.com:8443/a?b=c#d",
        "https://api.example.com:8443/a?...",
    );
    check_word("http", "http://[::1]:80/x", "http://[::1]/x");
    check_word("http", "http://b\u{fc}cher.example/", "http://xn--bcher-kva.example/");
    check_word("http", "https://user:secret@h/", "https://...@h/");
    check_refused("http", "localhost:80/x", "no scheme");
    check_refused("http", "", "no scheme");
    check_refused("http", "/x", "no scheme");
    check_refused("http", "ftp://h/", "unknown scheme 'ftp'");
    check_refused("http", "http://", "empty host");
    check_refused("http", "http://h:99999/", "invalid port number");
    check_refused("http", "http://h:0/", "no port 0");
    check_refused("http", "http://h/a b", "it has a space or a control character");
    check_refused("http", "http://h/\r\nX: y", "it has a space or a control character");
    check_refused("http", "http://a..b/", "not a name");
    check_refused("http", &format!("http://{}/", "a".repeat(64)), "too long a name");
    check_refused("http", &format!("http://h/{}", "a".repeat(9000)), "too long");
    let message = with(&[("http", "localhost:80/x")]).expect_err("refused");
    assert_eq!(
        message,
        "--http 'localhost:80/x': no scheme; allowed: a URL such as http://localhost:8080/up or \
         https://api.example.com/"
    );
}

#[test]
fn hosts_and_ports() {
    check_word("tcp", "DB.example.com:5432", "db.example.com:5432");
    check_word("tcp", "192.0.2.1:65535", "192.0.2.1:65535");
    check_word("tcp", "[2001:DB8::1]:1", "[2001:db8::1]:1");
    check_word("tcp", "h.:1", "h.:1");
    check_refused("tcp", "h", "no port");
    check_refused("tcp", "[::1]", "no port");
    check_refused("tcp", "[::1]80", "no port");
    check_refused("tcp", "[::1:80", "no ']'");
    check_refused("tcp", "::1:80", "an address of IPv6 stands in brackets");
    check_refused("tcp", ":80", "no host");
    check_refused("tcp", "h:", "'' is no port");
    check_refused("tcp", "h:0", "'0' is no port");
    check_refused("tcp", "h:65536", "'65536' is no port");
    check_refused("tcp", "h:+5", "'+5' is no port");
    check_refused("tcp", "h:ssh", "'ssh' is no port");
    check_refused("tcp", "a b:1", "invalid");
    check_refused("tcp", "http://h:80", "an address of IPv6 stands in brackets");
    check_refused("tcp", "", "no host");
    check_word("tls", "mail.example.com", "mail.example.com:443");
    check_word("tls", "[::1]", "[::1]:443");
    check_word("tls", "h:465", "h:465");
    check_refused("tls", "h/x", "invalid");
    check_word("grpc", "h:50051", "h:50051");
    check_word("grpc", "h:50051/", "h:50051");
    check_word("grpc", "h:50051/a.B/c", "h:50051/a.B/c");
    check_refused("grpc", "h/a", "no port");
    check_refused("grpc", "h:1/\n", "the service has a control character");
    check_refused("grpc", &format!("h:1/{}", "a".repeat(256)), "the service is too long");
    check_word("server_name", "API.example.com", "api.example.com");
    check_word("server_name", "::1", "::1");
    check_refused("server_name", "", "no host");
}

#[test]
fn questions() {
    check_word("dns", "example.com", "example.com");
    check_word("dns", "_sip._tcp.example.com.", "_sip._tcp.example.com.");
    check_word("dns", "h@9.9.9.9", "h@9.9.9.9:53");
    check_word("dns", "h@9.9.9.9:5353", "h@9.9.9.9:5353");
    check_word("dns", "h@::1", "h@[::1]:53");
    check_word("dns", "h@[::1]:54", "h@[::1]:54");
    check_word("dns", "h@ns.example.com", "h@ns.example.com:53");
    check_word("dns", ".", ".");
    check_refused("dns", "", "not a name");
    check_refused("dns", "a b", "not a name");
    check_refused("dns", "a..b", "not a name");
    check_refused("dns", "h@", "the server: no host");
    check_refused("dns", "h@x:0", "the server: '0' is no port");
    check_refused("dns", &format!("{}.de", "a".repeat(64)), "too long a name");
    check_refused("dns", &"a.".repeat(200), "too long a name");
    check_word("record", "aaaa", "AAAA");
    check_refused("record", "ANY", "no such type of record");
    check_word("expect_answer", "192.0.2.1", "192.0.2.1");
    check_refused("expect_answer", "", "empty");
}

#[test]
fn an_address_is_asked_for_its_name() {
    let name = |word| match spec_of(&[("dns", word), ("record", "PTR")]).what {
        What::Dns(dns) => dns.name,
        other => panic!("{other:?}"),
    };
    assert_eq!(name("192.0.2.7"), "7.2.0.192.in-addr.arpa");
    let reversed = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
    assert_eq!(name("2001:db8::1"), reversed);
    assert_eq!(name("h.example"), "h.example");
    let message = with(&[("dns", "192.0.2.7")]).expect_err("no name");
    assert_eq!(
        message,
        "--dns says nothing with record A, since it is an address; allowed: record PTR"
    );
}

#[test]
fn times_and_numbers() {
    check_word("timeout", "2", "2s");
    check_word("timeout", "1ms", "1ms");
    check_refused("timeout", "0", "it must be above 0");
    check_refused("timeout", "999us", "too short");
    check_refused("timeout", "366d", "too long");
    check_refused("timeout", "none", "not a duration");
    for name in ["interval", "fast_interval", "down_interval"] {
        check_word(name, "10ms", "10ms");
        check_refused(name, "9ms", "too short");
    }
    check_word("jitter", "0", "0%");
    check_refused("jitter", "50", "above 1 it needs a percent sign");
    check_word("redirects", "20", "20");
    check_refused("redirects", "21", "out of range");
    check_refused("redirects", "-1", "out of range");
    check_word("min_days", "0", "0");
    check_refused("min_days", "36501", "out of range");
    check_word("body_max", "64MiB", "64MiB");
    check_refused("body_max", "65MiB", "out of range");
    check_word("ip_version", "6", "6");
    check_word("ip_version", "any", "any");
    check_refused("ip_version", "5", "no such choice");
    check_word("http_version", "1.1", "1.1");
    check_word("http_version", "2", "2");
    check_refused("http_version", "3", "no such choice");
    for name in ["insecure", "grpc_tls", "nagios_in"] {
        check_word(name, "false", "false");
        check_refused(name, "yes", "no such choice");
    }
}

#[test]
fn addresses_that_are_given() {
    check_word("resolve", "H.example:443:192.0.2.7", "h.example:443:192.0.2.7");
    check_word("resolve", "h:80:192.0.2.7,[::1],::2", "h:80:192.0.2.7,::1,::2");
    check_word("resolve", "[::1]:80:127.0.0.1", "[::1]:80:127.0.0.1");
    check_refused("resolve", "h", "not HOST:PORT:ADDR");
    check_refused("resolve", "h:80", "not HOST:PORT:ADDR");
    check_refused("resolve", "[::1]", "not HOST:PORT:ADDR");
    check_refused("resolve", "[::1", "no ']'");
    check_refused("resolve", "h:80:", "'' is no address");
    check_refused("resolve", "h:80:x", "'x' is no address");
    check_refused("resolve", "h:x:127.0.0.1", "'x' is no port");
    let many = vec!["127.0.0.1"; 17].join(",");
    check_refused("resolve", &format!("h:80:{many}"), "more than 16 addresses");
}

#[test]
fn methods_and_headers() {
    check_word("method", "HEAD", "HEAD");
    check_word("method", "PROPFIND", "PROPFIND");
    check_refused("method", "get", "not a method");
    check_refused("method", "", "not a method");
    check_refused("method", "GET /", "not a method");
    check_refused("method", "CONNECT", "it asks for no page");
    check_refused("method", &"A".repeat(21), "too long");
    check_word("header", "X-Key: secret", "x-key");
    check_word("header", "X-Empty:", "x-empty");
    check_refused("header", "X-Key", "no ':' behind a name");
    check_refused("header", ": x", "'' is no name of a header");
    check_refused("header", "X Key: x", "'X Key' is no name of a header");
    check_refused("header", "A: b\r\nC: d", "the value has a newline");
    check_refused("header", "A: b\n", "the value has a newline");
    check_refused("header", "A: \x01", "the value has a control character");
    check_refused("header", "Content-Length: 5", "cb says 'content-length' by itself");
    check_refused("header", &format!("A: {}", "x".repeat(8193)), "the value is too long");
    check_word("header_env", "Authorization: TOKEN", "authorization: TOKEN");
    check_refused("header_env", "Authorization: 1T", "'1T': not a variable's name");
    check_refused("header_env", "Authorization: ", "'': not a variable's name");
    check_refused("header_env", "TE: X", "cb says 'te' by itself");
    check_word("body", "abc", "(3 bytes)");
    check_refused("body", &"x".repeat((1 << 20) + 1), "too long; give it in a file");
}

#[test]
fn files() {
    for name in ["header_file", "body_file", "ca", "cert", "key"] {
        check_word(name, "a b", "a b");
        check_refused(name, "", "empty");
        let found = value(key(name), &Raw::Text("a")).map(|value| value.to_string());
        assert_eq!(found, Err("it does not begin with '/'".to_owned()), "{name}");
        assert!(value(key(name), &Raw::Text("/a")).is_ok(), "{name}");
        assert!(value(key(name), &Raw::Text("/a\0")).is_err(), "{name}");
    }
    for name in ["unix", "unix_socket"] {
        check_word(name, &"s".repeat(107), &"s".repeat(107));
        check_refused(name, &"s".repeat(108), "too long");
    }
}

#[test]
fn statuses() {
    check_word("expect_status", "200", "200");
    check_word("expect_status", "200-299, 304,404 - 410", "200-299, 304, 404-410");
    check_refused("expect_status", "", "'' is no status");
    check_refused("expect_status", "99", "'99' is no status");
    check_refused("expect_status", "1000", "'1000' is no status");
    check_refused("expect_status", "2xx", "'2xx' is no status");
    check_refused("expect_status", "200-", "'200-' is no status");
    check_refused("expect_status", "299-200", "the range ends before it begins");
    check_refused("expect_status", "200,,201", "'' is no status");
    check_refused("expect_status", &vec!["200"; 101].join(","), "more than 100 of them");
    let read = |raw| value(ProbeKey::ExpectStatus, &raw).map(|value| value.to_string());
    let number = |n: i64| Raw::Integer(Some(n), n.to_string());
    let both = Raw::Array(vec![Raw::Text("200-299"), number(304)]);
    assert_eq!(read(both), Ok("200-299, 304".to_owned()));
    assert_eq!(read(number(204)), Ok("204".to_owned()));
    let none = "without any status, nothing could be healthy".to_owned();
    assert_eq!(read(Raw::Array(Vec::new())), Err(none));
    let wrong = read(Raw::Array(vec![number(200), Raw::Boolean(true)]));
    assert_eq!(wrong, Err("true: the wrong type (boolean)".to_owned()));
}

#[test]
fn expectations() {
    check_word("expect_body", "all is well", "all is well");
    check_refused("expect_body", "", "empty");
    check_word("expect_regex", "^ok \\d+$", "^ok \\d+$");
    check_word("expect_regex", "gr\u{fc}n", "gr\u{fc}n");
    check_refused("expect_regex", "", "empty");
    check_refused("expect_regex", "(", "not a regular expression: unclosed group");
    check_refused("expect_regex", "a{3", "not a regular expression: unclosed counted repetition");
    check_refused("expect_regex", "(?=x)", "not a regular expression: look-around");
    check_refused("expect_regex", "((a{500}){500}){500}", "too large once it is compiled");
    check_refused("expect_regex", &"a".repeat(1001), "too long");
    check_word("expect_header", "Content-Type: ^text/", "content-type: ^text/");
    check_refused("expect_header", "Content-Type", "no ':' behind a name");
    check_refused("expect_header", "A: [", "not a regular expression: unclosed character class");
    check_refused("expect_header", "A:", "empty");
    check_word("expect_json", "/status=ok", "/status=\"ok\"");
    check_word("expect_json", "/a/0=1", "/a/0=1");
    check_word("expect_json", "=[1,null]", "=[1,null]");
    check_word("expect_json", "/a~0b~1c=a=b", "/a~0b~1c=\"a=b\"");
    check_word("expect_json", "/x=", "/x=\"\"");
    check_refused("expect_json", "/status", "not POINTER=VALUE");
    check_refused("expect_json", "status=ok", "a pointer begins with '/'");
    check_refused("expect_json", "/a~=1", "in a pointer '~' is followed by");
    check_refused("expect_json", "/a~2=1", "in a pointer '~' is followed by");
}

#[test]
fn a_regex_is_over_bytes() {
    let matches = |pattern: &str, text: &[u8]| {
        let http = http_of(&[("expect_regex", pattern)]);
        match &http.expected[..] {
            [Expected::Matches(regex)] => regex.is_match(text),
            other => panic!("{other:?}"),
        }
    };
    assert!(matches(r"^\w+\s\d$", b"up 1") && matches("(?i)^OK", b"ok\xff"));
    assert!(matches(r"^.\b", b"\xffa") && !matches(r"^\d", "\u{661}".as_bytes()));
    assert!(matches("gr\u{fc}.", "gr\u{fc}n".as_bytes()));
}

#[test]
fn no_secret_is_in_a_message() {
    for (name, word) in [
        ("header", "X Key: secret"),
        ("header", "secret"),
        ("http", "htp://user:secret@h/"),
        ("http", "user:secret@h/"),
        ("http", "http://user:secret@h:0/"),
        ("http", "http://h:0/?key=secret"),
        ("http", "http://user:a@h:0/?to=b@c&key=secret"),
    ] {
        let message = with(&[(name, word)]).expect_err(word);
        assert!(!message.contains("secret"), "{message}");
    }
    let again = [("header", "A: secret"), ("header", "B b: secret")];
    let message = with(&again).expect_err("refused");
    assert!(message.starts_with("--header ['A: ...', 'B b: ...']: 'B b: ...': 'B b' is no"));
    assert!(!message.contains("secret"), "{message}");
    let shown = |name, word: &str| shown(key(name), &Raw::Text(word));
    assert_eq!(shown("http", "http://u:secret@h/p"), "\"http://...@h/p\"");
    assert_eq!(shown("http", "http://h/p?key=secret"), "\"http://h/p?...\"");
    assert_eq!(shown("body", "secret"), "\"...\"");
    let given = [("header", "A: secret"), ("body", "secret"), ("http", "http://u:secret@h/")];
    assert!(!format!("{:?}", with(&given)).contains("secret"));
    let assignment = |name, word: &str| {
        let value = value(key(name), &Raw::Word(OsStr::new(word))).expect("allowed");
        format!("{:?}", ProbeAssignment { key: key(name), value, place: Place::Flag })
    };
    assert!(given.iter().all(|(name, word)| !assignment(name, word).contains("secret")));
}

#[test]
fn words_that_are_no_text() {
    let odd = || OsString::from_vec(b"/\xff".to_vec());
    for key in ProbeKey::ALL {
        let fits = value(key, &Raw::Word(&odd())).is_ok();
        let bytes =
            ["unix", "unix_socket", "header_file", "body", "body_file", "ca", "cert", "key"];
        assert_eq!(fits, bytes.contains(&key.name()), "{}", key.name());
    }
    let header = OsString::from_vec(b"A: \xff".to_vec());
    let spec = resolve_probe([], &[flag("http", "http://h"), flag("header", header)], &[]);
    let Some(What::Http(http)) = spec.expect("sound").spec.map(|spec| spec.what) else { panic!() };
    let Header::Given(_, value) = &http.headers[0] else { panic!() };
    assert_eq!(value.as_bytes(), b"\xff");
    assert!(value.is_sensitive());
}

#[test]
fn defaults_are_those_that_are_told() {
    let spec = spec_of(&[("http", "http://h/")]);
    assert_eq!(spec.timeout, Duration::from_secs(5));
    assert_eq!(spec.route, crate::net::Route::default());
    assert_eq!(spec.tls, crate::net::TlsOptions::default());
    let http = http_of(&[]);
    assert_eq!((http.method.as_str(), http.version), ("GET", Version::Negotiated));
    assert_eq!((http.redirects_max, http.body_bytes_max, http.days_min), (0, 1 << 20, 0));
    assert_eq!(http.statuses, [200..=299]);
    assert!(http.expected.is_empty() && http.headers.is_empty() && http.body.is_none());
    let settings = with(&[]).expect("sound");
    assert!(settings.spec.is_none() && settings.feed);
    let ten = Duration::from_secs(10);
    let watch = WatchSettings {
        interval: ten,
        jitter: Percent::from_hundredths(10_00).expect("allowed"),
        fast: ten,
        down: ten,
    };
    assert_eq!(settings.watch, watch);
    // The same, as people see them.
    for kind in ["http://h/", "h:1", "s", "h:1", "h:1", "h", "x"].into_iter().zip(ProbeKey::kinds())
    {
        let mut layers = ProbeLayers::default();
        let value = match kind.1 {
            ProbeKey::Command => ProbeValue::Command(vec!["x".into()]),
            key => value(key, &Raw::Word(OsStr::new(kind.0))).expect("allowed"),
        };
        layers.put(ProbeAssignment { key: kind.1, value, place: Place::Flag });
        for (key, value) in layers.values().filter(|(key, _)| !key.is_kind()) {
            let told = match key.default_text() {
                "interval" => "10s",
                told => told,
            };
            let value = value.map_or_else(|| "none".to_owned(), |value| value.to_string());
            assert_eq!(value, told, "{}", key.name());
        }
    }
}

#[test]
fn all_of_a_request() {
    let http = http_of(&[
        ("header", "A: 1"),
        ("header", "B: 2"),
        ("header_env", "C: D"),
        ("header_file", "f"),
        ("body", "x"),
        ("unix_socket", "s"),
        ("http_version", "2"),
        ("redirects", "3"),
        ("body_max", "9"),
        ("expect_status", "204"),
        ("expect_status", "301-302"),
        ("expect_body", "a"),
        ("expect_json", "/b=1"),
        ("expect_header", "E: f"),
    ]);
    assert_eq!(http.method.as_str(), "POST");
    assert!(matches!(
        &http.headers[..],
        [Header::Given(..), Header::Given(..), Header::FromVariable(..), Header::FromFile(_)]
    ));
    assert!(matches!(http.body, Some(Body::Given(body)) if body == b"x"));
    assert_eq!(http.unix_socket.as_deref(), Some(Path::new("s")));
    assert_eq!((http.version, http.redirects_max, http.body_bytes_max), (Version::Http2, 3, 9));
    assert_eq!(http.statuses, [204..=204, 301..=302]);
    assert!(matches!(
        &http.expected[..],
        [Expected::Contains(_), Expected::Json(..), Expected::Header(..)]
    ));
    let http = http_of(&[("body_file", "f"), ("method", "PUT")]);
    assert_eq!(http.method.as_str(), "PUT");
    assert!(matches!(http.body, Some(Body::FromFile(_))));
}

#[test]
fn each_kind_becomes_its_probe() {
    let at = |host: &str, port| Endpoint { host: host.into(), port };
    let spec = spec_of(&[("tcp", "h:1"), ("ip_version", "4"), ("resolve", "h:1:127.0.0.1")]);
    assert!(matches!(&spec.what, What::Tcp(found) if *found == at("h", 1)));
    assert_eq!((spec.route.family, spec.route.pins.len()), (Family::V4, 1));
    assert!(matches!(spec_of(&[("unix", "s")]).what, What::Unix(_)));
    let spec = spec_of(&[("tls", "h"), ("min_days", "7"), ("ca", "c"), ("server_name", "N")]);
    assert!(matches!(&spec.what, What::Tls(tls) if tls.days_min == 7 && tls.at == at("h", 443)));
    assert_eq!(spec.tls.server_name.as_deref(), Some("n"));
    let spec = spec_of(&[("grpc", "h:1/s"), ("grpc_tls", "true"), ("insecure", "true")]);
    assert!(matches!(&spec.what, What::Grpc(grpc) if grpc.tls && grpc.service == "s"));
    assert!(spec.tls.insecure);
    let spec = spec_of(&[("dns", "h@::1"), ("record", "txt"), ("expect_answer", "v")]);
    let What::Dns(dns) = spec.what else { panic!("{spec:?}") };
    assert_eq!((dns.record.as_str(), dns.server), ("TXT", Some(at("::1", 53))));
    assert_eq!(dns.expected.as_deref(), Some("v"));
    let words: Vec<OsString> = vec!["x".into(), "-q".into()];
    let spec = resolve_probe([], &[flag("nagios_in", "true")], &words).expect("sound").spec;
    let Some(What::Command(command)) = spec.map(|spec| spec.what) else { panic!() };
    assert!(command.nagios && command.argv == words);
}

#[track_caller]
fn check_conflict(flags: &[(&str, &str)], expected: &str) {
    let message = with(flags).expect_err("a conflict");
    assert!(message.starts_with(expected), "{message}");
    assert!(!message.contains('\n'), "{message}");
}

#[test]
fn words_that_exclude_each_other() {
    let one = "exclude each other; allowed: one kind of probe";
    check_conflict(&[("http", "http://h/"), ("tcp", "h:1")], &format!("--http and --tcp {one}"));
    let message = resolve_probe([], &[flag("dns", "h")], &["x".into()]).expect_err("two kinds");
    assert_eq!(message.to_string(), format!("--dns and -- COMMAND {one}"));
    let message = resolve_probe([], &[], &["".into()]).expect_err("empty");
    assert!(message.to_string().starts_with("-- '': the command is empty; allowed: "), "{message}");
    check_conflict(
        &[("http", "http://h/"), ("body", "x"), ("body_file", "f")],
        "--body and --body-file exclude each other; allowed: one body",
    );
    check_conflict(
        &[("tcp", "h:1"), ("expect_status", "200")],
        "--expect-status says nothing with --tcp; allowed: --timeout, --ip-version, --resolve, \
         --no-feed, --interval, --jitter, --fast-interval, --down-interval",
    );
    check_conflict(&[("unix", "s"), ("ip_version", "4")], "--ip-version says nothing with --unix");
    check_conflict(&[("http", "http://h/"), ("record", "A")], "--record says nothing with --http");
    check_conflict(&[("http", "http://h/"), ("ca", "c")], "--ca says nothing with http://");
    check_conflict(
        &[("grpc", "h:1"), ("insecure", "true")],
        "--insecure says nothing with gRPC without TLS; allowed: with --grpc-tls",
    );
    check_conflict(&[("tls", "h"), ("key", "k")], "--key says nothing with no certificate");
    assert!(with(&[("http", "http://h/"), ("ca", "c"), ("redirects", "1")]).is_ok());
    assert!(with(&[("tls", "h"), ("cert", "c")]).is_ok());
}

fn in_file(section: &str, name: &str, word: &str, line: usize) -> ProbeAssignment {
    let value = value(key(name), &Raw::Word(OsStr::new(word))).expect("allowed");
    let (path, section) = (Rc::from(Path::new("/c.toml")), Rc::from(section));
    ProbeAssignment { key: key(name), value, place: Place::File { path, line, section } }
}

#[test]
fn a_kind_takes_the_place_of_another_and_what_fits_stays() {
    let files = [
        in_file("[defaults.probe]", "http", "http://h/", 1),
        in_file("[defaults.probe]", "expect_body", "x", 2),
        in_file("[defaults.probe]", "timeout", "1s", 3),
        in_file("[defaults.probe]", "ca", "/c", 4),
        in_file("[breaker.pay.probe]", "tcp", "h:1", 6),
    ];
    let spec = resolve_probe(&files, &[], &[]).expect("sound").spec.expect("a kind");
    assert_eq!((spec.kind(), spec.timeout), ("tcp", Duration::from_secs(1)));
    let spec = resolve_probe(&files, &[flag("http", "http://i/")], &[]).expect("sound").spec;
    let Some(What::Http(http)) = spec.map(|spec| spec.what) else { panic!() };
    assert_eq!((http.url.as_str(), http.expected.len()), ("http://i/", 1));
    // What is given by hand must say something to the probe that is configured.
    let message = resolve_probe(&files, &[flag("expect_body", "y")], &[]).expect_err("no page");
    assert!(
        message.to_string().starts_with(
            "--expect-body says nothing with tcp (line 6 of [breaker.pay.probe]); allowed: "
        ),
        "{message}"
    );
    let settings = resolve_probe(&files, &[flag("timeout", "9")], &["x".into()]).expect("sound");
    let spec = settings.spec.expect("a kind");
    assert_eq!((spec.kind(), spec.timeout), ("command", Duration::from_secs(9)));
}

#[test]
fn a_body_takes_the_place_of_another() {
    let files = [
        in_file("[defaults.probe]", "http", "http://h/", 1),
        in_file("[defaults.probe]", "body", "x", 2),
        in_file("[breaker.pay.probe]", "body_file", "/f", 4),
    ];
    let body = |flags: &[Flag]| match resolve_probe(&files, flags, &[]).expect("sound").spec {
        Some(Spec { what: What::Http(http), .. }) => http.body.expect("a body"),
        other => panic!("{other:?}"),
    };
    assert!(matches!(body(&[]), Body::FromFile(_)));
    assert!(matches!(body(&[flag("body", "y")]), Body::Given(body) if body == b"y"));
}

#[test]
fn lists_of_flags_take_the_place_of_those_of_files() {
    let files = [
        in_file("[breaker.pay.probe]", "http", "http://h/", 1),
        in_file("[breaker.pay.probe]", "expect_body", "x", 2),
    ];
    let flags = [flag("expect_body", "y"), flag("expect_body", "z")];
    let spec = resolve_probe(&files, &flags, &[]).expect("sound").spec;
    let Some(What::Http(http)) = spec.map(|spec| spec.what) else { panic!() };
    assert!(matches!(&http.expected[..], [Expected::Contains(y), Expected::Contains(z)]
        if y == "y" && z == "z"));
    let many: Vec<_> = (0..101).map(|_| flag("expect_body", "y")).collect();
    let message = resolve_probe(&files, &many, &[]).expect_err("too many").to_string();
    assert!(message.contains(": more than 100 of them; allowed: "), "{message}");
}

#[test]
fn what_is_watched() {
    let settings = with(&[("interval", "30"), ("down_interval", "1m"), ("jitter", "0")]);
    let watch = settings.expect("sound").watch;
    let secs = Duration::from_secs;
    assert_eq!((watch.interval, watch.fast, watch.down), (secs(30), secs(30), secs(60)));
    assert!(watch.jitter.is_zero());
    let mut files = vec![in_file("[defaults.probe]", "feed", "false", 1)];
    assert!(!resolve_probe(&files, &[], &[]).expect("sound").feed);
    files.push(in_file("[breaker.pay.probe]", "feed", "true", 3));
    assert!(resolve_probe(&files, &[], &[]).expect("sound").feed);
}

fn words(names: &[&str], flags: &[(&str, &str)]) -> ProbeWords {
    ProbeWords {
        names: names.iter().map(OsString::from).collect(),
        probe_flags: flags.iter().map(|(name, word)| flag(name, *word)).collect(),
        ..ProbeWords::default()
    }
}

#[test]
fn what_the_words_ask_for() {
    let pay = BreakerName::parse("pay").expect("a name");
    let tcp = [("tcp", "h:1")];
    assert_eq!(asked(&words(&[], &tcp)).ok(), Some(Asked::Described(None)));
    let described = Asked::Described(Some(pay.clone()));
    assert_eq!(asked(&words(&["pay"], &tcp)).ok(), Some(described.clone()));
    let command = ProbeWords { command: vec!["x".into()], ..words(&["pay"], &[]) };
    assert_eq!(asked(&command).ok(), Some(described));
    let named = words(&["pay", "m*"], &[("timeout", "5")]);
    assert_eq!(asked(&named).ok(), Some(Asked::Named(&named.names)));
    let all = ProbeWords { all: true, ..words(&["p*"], &[]) };
    assert_eq!(asked(&all).ok(), Some(Asked::All(&all.names)));

    let refused = |words: &ProbeWords| asked(words).expect_err("refused").to_string();
    let both = ProbeWords { all: true, ..words(&[], &tcp) };
    let why = "--tcp with --all: it would be the same probe for every breaker; allowed: one NAME";
    assert_eq!(refused(&both), why);
    let two = refused(&words(&["a", "b"], &tcp));
    assert_eq!(two, "--tcp with 2 names; allowed: one NAME, or none");
    assert_eq!(refused(&words(&["p*"], &tcp)), "--tcp with 'p*': a pattern; allowed: one NAME");
    assert!(refused(&words(&["../x"], &tcp)).starts_with("'../x' is no name for a breaker"));
    let nothing = "probe needs a NAME, --all, or what to look at: --http, --tcp, --unix, --tls, \
                   --grpc, --dns or -- COMMAND; for example: cb probe --http \
                   http://localhost:8080/up";
    assert_eq!(refused(&words(&[], &[])), nothing);
    let missing = |name: &str| missing(&BreakerName::parse(name).expect("a name")).to_string();
    assert_eq!(
        missing("payment"),
        "no probe for 'payment': give one of --http, --tcp, --unix, --tls, --grpc, --dns or -- \
         COMMAND, or set [breaker.payment.probe]"
    );
    assert!(missing("a.b").ends_with("or set [breaker.\"a.b\".probe]"));
}

proptest! {
    #[test]
    fn no_word_panics(
        word in ".{0,30}|(https?|x)://.{0,20}|[a-z0-9.:@/\\[\\],-]{0,30}|[A-Za-z-]{0,9}: ?.{0,9}"
    ) {
        for key in ProbeKey::ALL {
            for raw in [Raw::Word(OsStr::new(&word)), Raw::Text(&word)] {
                prop_assert!(!shown(key, &raw).contains(char::is_control));
                match value(key, &raw) {
                    Ok(value) => {
                        prop_assert!(!value.to_string().contains(char::is_control), "{}", value);
                        value.json();
                    }
                    Err(why) => prop_assert!(!why.contains(char::is_control), "{}", why),
                }
            }
        }
    }
}
