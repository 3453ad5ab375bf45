//! What can be expected of a page: its status, its headers, its body.

use super::told::{fails, found, told};
use crate::servers::http::HttpServer;
use crate::support::Cb;

/// A web server, and a cb that looks at it.
struct Web(Cb, HttpServer);

impl Web {
    fn new() -> Self {
        Web(Cb::new(), HttpServer::new())
    }

    /// This page is as expected.
    #[track_caller]
    fn is_well(&self, path: &str, expected: &[&str]) {
        told(&self.0, 0, [&["--http", &self.1.url(path)], expected].concat());
    }

    /// This page is not as expected, for this reason.
    #[track_caller]
    fn is_not(&self, path: &str, expected: &[&str], why: &str) {
        let url = self.1.url(path);
        fails(&self.0, &[&["--http", &url], expected].concat(), "null", why);
    }
}

#[test]
fn statuses_and_ranges() {
    let web = Web::new();
    for status in ["200", "204", "299"] {
        web.is_well(&format!("/status/{status}"), &[]);
    }
    for status in ["300", "304", "404", "500", "503", "599", "999"] {
        web.is_not(&format!("/status/{status}"), &[], &format!("HTTP {status}"));
    }
    web.is_well("/status/304", &["--expect-status", "200-299,304"]);
    web.is_well("/status/404", &["--expect-status", "200", "--expect-status", "400-404"]);
    web.is_well("/status/599", &["--expect-status", "100-599"]);
    let listed = "HTTP 200 OK, expected 201-299,404";
    web.is_not("/status/200", &["--expect-status", "201-299,404"], listed);
    web.is_not("/none", &[], "HTTP 404 Not Found, expected 200-299");
}

#[test]
fn texts_in_the_body() {
    let web = Web::new();
    web.is_well("/text?all%20is%20well", &["--expect-body", "is well"]);
    web.is_well("/text?all%20is%20well", &["--expect-body", "is well", "--expect-body", "all"]);
    let missing = "there is no 'ill' in the body";
    web.is_not("/text?all%20is%20well", &["--expect-body", "all", "--expect-body", "ill"], missing);
    web.is_not("/text?", &["--expect-body", "x"], "there is no 'x' in the body");
    web.is_well("/text?%ff%00gr%c3%bcn", &["--expect-body", "grün"]);
}

#[test]
fn regular_expressions_in_the_body() {
    let web = Web::new();
    web.is_well("/text?depth%20=%2017;", &["--expect-regex", r"depth = \d+"]);
    let deep = "nothing in the body matches 'depth = \\d{3}'";
    web.is_not("/text?depth%20=%2017;", &["--expect-regex", r"depth = \d{3}"], deep);
    web.is_well("/text?%ffUP%0a", &["--expect-regex", "(?i)up"]);
    web.is_not("/text?UPPER", &["--expect-regex", "^UP$"], "matches '^UP$'");
    // One that others would think about for ever.
    web.is_not("/bytes/100000", &["--expect-regex", "(x+x+)+y"], "nothing in the body");
}

#[test]
fn values_in_a_body_of_json() {
    let web = Web::new();
    let well = |expected: &str| web.is_well("/json", &["--expect-json", expected]);
    let not = |expected: &str, why| web.is_not("/json", &["--expect-json", expected], why);
    well("/status=ok");
    well("/status=\"ok\"");
    well("/deep/list/0=1");
    well("/deep/list/0=1.0");
    well("/deep/list/1/a~1b=null");
    well(r#"/deep={"list":[1,{"a/b":null}]}"#);
    not("/status=down", "/status is \"ok\", not \"down\"");
    not("/deep/list/0=\"1\"", "/deep/list/0 is 1, not \"1\"");
    not("/deep/list/7=1", "the body has no /deep/list/7");
    not("/nothing=null", "the body has no /nothing");
    not("=1", "the whole body is {");
    web.is_not("/text?not%20json", &["--expect-json", "/a=1"], "the body is not JSON");
    web.is_not("/text?%ff", &["--expect-json", "/a=1"], "the body is not JSON");
    let both = ["--expect-json", "/status=ok", "--expect-json", "/deep/list/0=2"];
    web.is_not("/json", &both, "/deep/list/0 is 1, not 2");
}

#[test]
fn json_that_is_nested_too_deeply_is_no_json() {
    let (cb, web) = (Cb::new(), HttpServer::new());
    // A parser that goes down with it would not come back.
    let deep = "[".repeat(200_000);
    std::fs::write(cb.path("body"), &deep).expect("a file");
    let body = cb.path("body").display().to_string();
    let args = ["--http", &web.url("/echo"), "--body-file", &body, "--expect-json", "/0=1"];
    fails(&cb, &args, "null", "the body is not JSON");
}

#[test]
fn headers_that_match() {
    let web = Web::new();
    let path = "/retry-after/200/30";
    web.is_well(path, &["--expect-header", "Retry-After: ^3"]);
    web.is_well(
        path,
        &["--expect-header", r"retry-after:^\d+$", "--expect-header", "Content-Length: ."],
    );
    let why = "the header retry-after is '30', which does not match '^4'";
    web.is_not(path, &["--expect-header", "Retry-After: ^4"], why);
    web.is_not(path, &["--expect-header", "X-None: ."], "there is no header x-none");
}

#[test]
fn no_more_of_a_body_is_read_than_its_bound() {
    let (cb, web) = (Cb::new(), HttpServer::new());
    let read = |path: &str, code: i32, more: &[&str]| {
        let url = web.url(path);
        let told = told(&cb, code, [&["--http", &url, "--timeout", "60s"], more].concat());
        (told["http"]["body_bytes"].as_u64().expect("a number"), found(&told).to_owned())
    };
    assert_eq!(read("/bytes/2000", 0, &[]), (2000, "HTTP 200".to_owned()));
    let (bytes, words) = read("/bytes/2000", 0, &["--body-max", "1000"]);
    assert_eq!((bytes, &*words), (1000, "HTTP 200, the first 1000 bytes of the body read"));
    assert_eq!(read("/bytes/1000", 0, &["--body-max", "1000"]).1, "HTTP 200");
    // One without end ends all the same, by either version.
    for version in ["1.1", "2"] {
        let (bytes, words) = read("/endless", 0, &["--http-version", version]);
        assert_eq!(
            (bytes, words.ends_with("the first 1048576 bytes of the body read")),
            (1 << 20, true)
        );
    }
    let (_, words) = read("/endless", 1, &["--expect-body", "y"]);
    assert_eq!(words, "there is no 'y' in the first 1048576 bytes of the body");
    assert_eq!(read("/endless", 0, &["--expect-body", "xx", "--body-max", "2"]).0, 2);
    let (_, words) = read("/endless", 1, &["--expect-json", "=1"]);
    assert_eq!(words, "the body is longer than 1048576 bytes, so it cannot be read as JSON");
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let web = Web::new();
    web.is_well("/big-header/8000", &[]);
    for version in ["1.1", "2"] {
        let told = told(
            &web.0,
            1,
            ["--http", &web.1.url("/big-header/1000000"), "--http-version", version],
        );
        assert_eq!(told["timed_out"], false, "{told}");
    }
}
