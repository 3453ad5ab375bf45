//! Words that make no probe: one line, what is allowed, 125, and nothing is fed.

use std::fs;

use serde_json::Value;

use super::told::told;
use crate::servers::faults::closed_port;
use crate::servers::http::HttpServer;
use crate::support::Cb;

const WEB: [&str; 2] = ["--http", "http://127.0.0.1:1/"];

/// This is refused with a line that says so, and no breaker hears of anything.
#[track_caller]
fn refused(args: &[&str], why: &str) {
    let cb = Cb::new();
    let ran = cb.run([&["probe"], args].concat()).code(125).stdout("").one_line(why);
    let line = ran.stderr_text();
    assert!(
        line.contains("allowed: ") || line.contains("give "),
        "it does not say what is: {line}"
    );
    assert!(!cb.store().exists(), "a breaker was made");
    // For whoever reads answers by a program it is an error as well.
    cb.run([&["probe", "--json"], args].concat()).code(125).stdout("").one_line(why);
}

/// The same beside a page that could be probed.
#[track_caller]
fn refused_with_page(args: &[&str], why: &str) {
    refused(&[&["pay"], &WEB[..], args].concat(), why);
}

#[test]
fn urls() {
    for (url, why) in [
        ("localhost:80/x", "--http 'localhost:80/x': no scheme; allowed: "),
        ("example.com", "no scheme"),
        ("//example.com/", "no scheme"),
        ("", "no scheme"),
        ("ftp://example.com/", "unknown scheme 'ftp'"),
        ("unix:///run/x.sock", "unknown scheme 'unix'"),
        ("http://", "empty host"),
        ("http://[::1/", "IPv6"),
        ("http://x:99999/", "port"),
        ("http://x:0/", "no port 0"),
        ("http://a b/", "a space"),
        ("http://x/\u{1b}[2J", "a control character"),
        ("http://x/\r\nHost: y", "a control character"),
    ] {
        refused(&["pay", "--http", url], why);
    }
    refused(&["pay", "--http", &format!("http://x/{}", "a".repeat(9000))], "too long");
    // What may be a password is not shown either.
    let cb = Cb::new();
    for url in ["http://u:hush@[::1/", "u:hush@example.com", "ftp://u:hush@h/"] {
        let said = cb.run(["probe", "--http", url]).code(125).one_line("").stderr_text();
        assert!(!said.contains("hush"), "{said}");
    }
}

#[test]
fn hosts_and_ports() {
    for (kind, text) in [
        ("--tcp", "localhost"),
        ("--tcp", "localhost:"),
        ("--tcp", "localhost:0"),
        ("--tcp", "localhost:65536"),
        ("--tcp", "localhost:+80"),
        ("--tcp", ":80"),
        ("--tcp", "::1:80"),
        ("--tcp", "[::1]"),
        ("--tcp", "[::1:80"),
        ("--tcp", "a..b:80"),
        ("--tcp", "a b:80"),
        ("--tcp", "tcp://x:80"),
        ("--tls", "x:y"),
        ("--grpc", "localhost"),
        ("--grpc", "http://x:80"),
        ("--grpc", "x:80/a\nb"),
        ("--dns", ""),
        ("--dns", "a..b"),
        ("--dns", "x@"),
        ("--dns", "x@y:0"),
        ("--unix", ""),
    ] {
        refused(&["pay", kind, text], kind);
    }
    let long = format!("/{}", "x".repeat(108));
    refused(&["pay", "--unix", &long], "--unix");
    let long = format!("{}:80", "x".repeat(64));
    refused(&["pay", "--tcp", &long], "too long a name");
}

#[test]
fn two_kinds_at_once_and_names_that_do_not_fit() {
    refused_with_page(&["--tcp", "127.0.0.1:1"], "--http and --tcp");
    refused_with_page(&["--", "true"], "--http and -- COMMAND");
    refused(&["--dns", "x", "--", "true"], "--dns and -- COMMAND");
    refused(&["a", "b", "--tcp", "127.0.0.1:1"], "--tcp with 2 names");
    refused(&["a*", "--tcp", "127.0.0.1:1"], "a pattern");
    refused(&["--all", "--tcp", "127.0.0.1:1"], "--tcp with --all");
    refused(&["--", ""], "the command is empty");
}

#[test]
fn a_breaker_without_a_probe() {
    refused(&["payment"], "no probe for 'payment': give one of --http, --tcp, ");
    refused(&["a.b"], "or set [breaker.\"a.b\".probe]");
    refused(&["payment", "--timeout", "1s"], "no probe for 'payment'");
    let cb =
        Cb::new().config("[defaults.probe]\ntimeout = \"1s\"\n[breaker.other]\nfailures = 3\n");
    cb.run(["probe", "other"]).code(125).one_line("no probe for 'other'");
    cb.run(["probe"]).code(125).one_line("probe needs a NAME, --all, or what to look at");
    cb.run(["probe", "--all"]).code(125).one_line("no breaker has a probe");
    cb.run(["probe", "../x", "--tcp", "127.0.0.1:1"]).code(125).one_line("no name for a breaker");
    assert!(!cb.store().exists());
}

#[test]
fn headers() {
    refused_with_page(&["--header", "X-A: b\r\nX-C: d"], "newline");
    refused_with_page(&["--header", "X-A: b\n"], "newline");
    refused_with_page(&["--header", "X\n: b"], "no name of a header");
    refused_with_page(&["--header", "X-A: \u{7}"], "control character");
    refused_with_page(&["--header", "no colon"], "no ':'");
    refused_with_page(&["--header", ": x"], "no name of a header");
    refused_with_page(&["--header", "Content-Length: 3"], "cb says 'content-length' by itself");
    refused_with_page(&["--header", "Transfer-Encoding: chunked"], "by itself");
    refused_with_page(&["--header-env", "X-A: NO-VARIABLE"], "not a variable's name");
    refused_with_page(&["--expect-header", "X-A: ["], "not a regular expression");
    // Its value may be a secret.
    let cb = Cb::new();
    let args =
        [&["probe"], &WEB[..], &["--header", "X-Key: hush\nhush", "--header", "hush"]].concat();
    let said = cb.run(args).code(125).one_line("").stderr_text();
    assert!(!said.contains("hush"), "{said}");
}

#[test]
fn expectations() {
    for (flag, text, why) in [
        ("--expect-regex", "(", "not a regular expression"),
        ("--expect-regex", "a{3,2}", "not a regular expression"),
        ("--expect-regex", "(((a{900}){900}){900})", "too large"),
        ("--expect-regex", "x(?=y)", "not a regular expression"),
        ("--expect-regex", "[\u{1b}", "not a regular expression"),
        ("--expect-regex", "", "empty"),
        ("--expect-json", "status=ok", "a pointer begins with '/'"),
        ("--expect-json", "/status", "not POINTER=VALUE"),
        ("--expect-json", "/a~2b=1", "in a pointer '~' is followed by"),
        ("--expect-json", "/a~=1", "in a pointer '~' is followed by"),
        ("--expect-status", "abc", "'abc' is no status"),
        ("--expect-status", "299-200", "the range ends before it begins"),
        ("--expect-status", "99", "'99' is no status"),
        ("--expect-status", "2000", "'2000' is no status"),
        ("--expect-status", "", "is no status"),
        ("--expect-status", "200,,300", "is no status"),
        ("--method", "G ET", "--method"),
        ("--method", "CONNECT", "--method"),
        ("--method", "GET\r\nX: y", "--method"),
        ("--redirects", "21", "--redirects '21'"),
        ("--redirects", "-1", "--redirects"),
        ("--body-max", "65MiB", "--body-max '65MiB'"),
        ("--body-max", "x", "--body-max 'x'"),
        ("--http-version", "3", "--http-version"),
        ("--ip-version", "5", "--ip-version"),
        ("--timeout", "0", "--timeout '0'"),
        ("--timeout", "soon", "--timeout 'soon'"),
        ("--resolve", "x", "not HOST:PORT:ADDR"),
        ("--resolve", "x:80:nowhere", "'nowhere' is no address"),
        ("--resolve", "x:0:127.0.0.1", "no port"),
        ("--min-days", "-1", "--min-days"),
        ("--slow-call", "x", "--slow-call 'x'"),
        ("--rise", "0", "--rise '0'"),
        ("--rise", "1001", "--rise '1001'"),
        ("--server-name", "a b", "--server-name"),
    ] {
        let given = format!("{flag}={text}");
        refused_with_page(&[&given], why);
    }
}

#[test]
fn keys_of_another_kind() {
    let tcp = ["pay", "--tcp", "127.0.0.1:1"];
    for more in [
        &["--expect-status", "200"][..],
        &["--body", "x"],
        &["--insecure"],
        &["--record", "A"],
        &["--nagios-in"],
        &["--min-days", "3"],
    ] {
        refused(&[&tcp[..], more].concat(), &format!("{} says nothing with --tcp", more[0]));
    }
    refused(
        &["pay", "--timeout", "1s", "--resolve", "x:80:127.0.0.1", "--", "true"],
        "--resolve says nothing",
    );
    refused_with_page(&["--min-days", "3"], "--min-days says nothing");
    refused(&["pay", "--http", "https://127.0.0.1:1/", "--key", "/k"], "--key says nothing");
    refused_with_page(&["--body", "x", "--body-file", "/x"], "exclude each other");
    refused(&["--dns", "x", "--record", "ANY"], "no such type of record");
}

/// Something of ours is missing: found only when it is needed, and fed to nobody.
#[track_caller]
fn unknown(cb: &Cb, args: &[&str], why: &str) {
    let ran = cb.run([&["probe", "pay"], args].concat()).code(125).stdout("");
    assert!(ran.one_line(why).stderr_text().contains("unknown: "));
    let report = told(cb, 125, [&["pay"], args].concat());
    assert_eq!((&report["failed_phase"], &report["timed_out"]), (&Value::Null, &false.into()));
    assert_eq!(report["health"], "unknown");
    cb.run([&["probe", "--nagios", "pay"], args].concat()).code(3).stdout_has("PROBE UNKNOWN: ");
    let status = cb.status("pay");
    for total in ["succeeded", "failed", "timed_out", "opened"] {
        assert_eq!(status["totals"][total], 0, "{status}");
    }
    assert_eq!(status["window"]["calls"], 0, "{status}");
    assert_eq!(status["last_probe"], Value::Null);
}

#[test]
fn files_and_variables_that_are_missing() {
    let (cb, web) = (Cb::new().env("EMPTY", "").env("ODD", "a\nb"), HttpServer::new());
    let path = |name: &str| cb.path(name).display().to_string();
    fs::write(cb.path("text"), "no certificate\n").expect("a file");
    fs::write(cb.path("empty"), "").expect("a file");
    fs::write(cb.path("broken"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .expect("a file");
    let (plain, safe) = (web.url("/"), "https://127.0.0.1:1/");
    // A CA that is none.
    for file in ["text", "empty", "broken", "none", "."] {
        let file = path(file);
        unknown(&cb, &["--http", safe, "--ca", &file], &file);
        unknown(&cb, &["--tls", "127.0.0.1:1", "--ca", &file], &file);
        unknown(&cb, &["--http", safe, "--insecure", "--cert", &file], &file);
    }
    unknown(&cb, &["--http", &plain, "--header-file", &path("none")], "none");
    unknown(&cb, &["--http", &plain, "--header-file", &path("text")], "not a header");
    unknown(&cb, &["--http", &plain, "--body-file", &path("none")], "none");
    unknown(&cb, &["--http", &plain, "--header-env", "X-A: NOT_SET"], "NOT_SET");
    unknown(&cb, &["--http", &plain, "--header-env", "X-A: ODD"], "ODD");
    assert_eq!(web.seen().len(), 0);
}

#[test]
fn a_ca_that_is_none_is_our_fault_also_where_nobody_answers() {
    let cb = Cb::new();
    fs::write(cb.path("none.pem"), "no certificate\n").expect("a file");
    let ca = cb.path("none.pem").display().to_string();
    // It was looked at once there was a connection, and here none comes about.
    let at = closed_port();
    let (url, at) = (format!("https://{at}/"), at.to_string());
    let why = "none.pem: no certificate in it that can be read; PEM is allowed";
    unknown(&cb, &["--http", &url, "--ca", &ca], why);
    unknown(&cb, &["--tls", &at, "--ca", &ca], why);
    unknown(&cb, &["--grpc", &at, "--grpc-tls", "--ca", &ca], why);
}

#[test]
fn a_plugin_of_nagios_says_on_stdout_what_it_does_not_understand() {
    let cb = Cb::new();
    let ran = cb.run(["probe", "--nagios", "pay", "--http", "x|y\u{1b}"]).code(3).stderr("");
    let line = ran.stdout_text();
    assert!(line.starts_with("PROBE UNKNOWN: ") && !line.contains('|'), "{line}");
    assert!(!line.trim_end().contains(char::is_control) && line.matches('\n').count() == 1);
    assert!(!cb.store().exists());
}

#[test]
fn sections_that_make_no_probe() {
    let refused = |section: &str, why: &str| {
        let cb = Cb::new().config(&format!("[breaker.pay.probe]\n{section}\n"));
        cb.run(["probe", "pay"]).code(125).stdout("").one_line(why).one_line("config.toml");
        cb.run(["config", "check"]).code(125);
        assert!(!cb.store().exists());
    };
    refused("http = \"localhost/up\"", "no scheme");
    refused("http = \"http://x/\"\ntcp = \"x:1\"", "http");
    refused("http = \"http://x/\"\nexpect_regex = \"(\"", "not a regular expression");
    refused("http = \"http://x/\"\nexpect_json = [\"a=1\"]", "a pointer begins with '/'");
    refused("http = \"http://x/\"\nheader = \"X-A: b\\nc\"", "newline");
    refused("http = \"http://x/\"\nexpect_status = [99]", "status");
    refused("http = \"http://x/\"\nexpect_status = []", "status");
    refused("http = \"http://x/\"\nhtpp = 1", "did you mean 'http'?");
    refused("tcp = \"x:1\"\nexpect_body = \"x\"", "says nothing with");
    refused("command = []", "command");
    refused("http = \"http://x/\"\nca = \"relative\"", "it does not begin with '/'");
    refused("http = \"http://x/\"\ntimeout = true", "timeout");
}
