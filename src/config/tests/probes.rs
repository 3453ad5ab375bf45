//! Sections for probes: in files, and in what they come to.

use super::*;
use crate::probe::What;
use crate::settings::probe::{ProbeSettings, resolve_probe};

fn probe(config: &Config, breaker: &str) -> ProbeSettings {
    let name = BreakerName::parse(breaker).expect("a name");
    resolve_probe(config.probe_assignments(&name), &[], &[]).expect("sound settings")
}

/// A value in a section of its own that says what is looked at.
#[track_caller]
fn check_probe(kind: &str, line: &str, expected: &str) {
    let parsed = parsed(&format!("[breaker.a.probe]\n{kind}\n{line}\n"));
    assert_eq!(parsed.problems.iter().map(Error::to_string).collect::<Vec<_>>(), [""; 0]);
    let name = line.split(' ').next().expect("a key");
    let assignments = parsed.sections[0].probe_assignments();
    let found: Vec<_> = assignments.filter(|one| one.key.name() == name).collect();
    assert_eq!(found[0].value.to_string(), expected, "{line}");
}

const HTTP: &str = "http = 'https://h/'";

#[test]
fn values_that_are_allowed() {
    check_probe("", "http = 'https://api.example.com/up'", "https://api.example.com/up");
    check_probe("", "unix = '/run/x.sock'", "/run/x.sock");
    check_probe("", "dns = 'example.com@9.9.9.9'", "example.com@9.9.9.9:53");
    check_probe("", "command = ['/bin/check', '-w']", r#"["/bin/check", "-w"]"#);
    check_probe("", "command = 'x | y'", r#"["/bin/sh", "-c", "x | y"]"#);
    check_probe("tcp = 'h:1'", "timeout = '2s'", "2s");
    check_probe("tcp = 'h:1'", "ip_version = 4", "4");
    check_probe("tcp = 'h:1'", "ip_version = '6'", "6");
    check_probe("tcp = 'h:1'", "interval = '1m'", "1m");
    check_probe("tcp = 'h:1'", "jitter = 0.5", "50%");
    check_probe("tcp = 'h:1'", "feed = false", "false");
    check_probe(HTTP, "expect_status = ['200-299', 304]", "200-299, 304");
    check_probe(HTTP, "expect_status = 204", "204");
    check_probe(HTTP, "http_version = 1.1", "1.1");
    check_probe(HTTP, "http_version = 2", "2");
    check_probe(HTTP, "header = 'X-Key: secret'", "x-key");
    check_probe(HTTP, "header = ['A: 1', 'B: 2']", "a, b");
    check_probe(HTTP, "header = []", "none");
    check_probe(HTTP, "header_env = 'Authorization: TOKEN'", "authorization: TOKEN");
    check_probe(HTTP, "body_max = '2MiB'", "2MiB");
    check_probe(HTTP, "expect_json = ['/a=1', '/b=x']", "/a=1, /b=\"x\"");
    check_probe("grpc = 'h:1'", "grpc_tls = true", "true");
}

/// A line of a probe's section is refused, as the third of the file.
#[track_caller]
fn check_refused(kind: &str, line: &str, expected: &str) {
    check_problems(&format!("[breaker.a.probe]\n{kind}\n{line}\n"), &[&format!("3: {expected}")]);
}

#[test]
fn values_that_are_refused() {
    check_refused(
        "",
        "http = 'localhost:80'",
        "http = \"localhost:80\" in [breaker.a.probe]: no scheme; allowed: a URL such as http://",
    );
    check_refused("", "http = 3", "http = 3 in [breaker.a.probe]: the wrong type (integer); allo");
    check_refused(
        "",
        "unix = 'x'",
        "unix = \"x\" in [breaker.a.probe]: it does not begin with '/'",
    );
    check_refused("", "command = []", "command = [] in [breaker.a.probe]: the command is empty");
    check_refused("", "command = ['x', 1]", "command = [\"x\", 1] in [breaker.a.probe]: 1: a co");
    check_refused(
        "",
        "command = ' '",
        "command = \" \" in [breaker.a.probe]: the command is empty",
    );
    check_refused(
        HTTP,
        "timeout = 5",
        "timeout = 5 in [breaker.a.probe]: it needs a unit (\"5s\")",
    );
    check_refused(HTTP, "insecure = 'true'", "insecure = \"true\" in [breaker.a.probe]: it is w");
    check_refused(HTTP, "expect_status = []", "expect_status = [] in [breaker.a.probe]: without");
    check_refused(HTTP, "expect_status = 2.5", "expect_status = 2.5 in [breaker.a.probe]: the wro");
    check_refused(
        HTTP,
        "header = ['A: 1', \"B: secret\\n\"]",
        "header = [\"A: ...\", \"B: ...\"] in [breaker.a.probe]: \"B: ...\": the value has a newline",
    );
    check_refused(HTTP, "expect_regex = '('", "expect_regex = \"(\" in [breaker.a.probe]: not a r");
    check_refused(HTTP, "expect_json = 'a=1'", "expect_json = \"a=1\" in [breaker.a.probe]: a poi");
    check_refused(
        HTTP,
        "rise = 0",
        "rise = 0 in [breaker.a.probe]: out of range; allowed: a whole",
    );
}

#[test]
fn unknown_keys() {
    check_refused(
        HTTP,
        "expct_status = 1",
        "unknown key 'expct_status'; did you mean 'expect_stat",
    );
    check_refused(HTTP, "window = 1", "'window' is no key of a probe, but of the breaker: put it");
    check_refused(HTTP, "probe = 1", "unknown key 'probe'");
    check_problems(
        "[breaker.a]\nprobe = 3\n",
        &["2: probe = 3: not a section; allowed: [breaker.a.probe]"],
    );
    check_problems(
        "[breaker.'a*']\nhttp = 'http://h/'\n[defaults]\ninterval = '1s'\n",
        &[
            "2: 'http' in [breaker.\"a*\"] is a key of a probe: put it into [breaker.\"a*\".probe]",
            "4: 'interval' in [defaults] is a key of a probe: put it into [defaults.probe]",
        ],
    );
    check_problems("[breaker.a.prob]\nhttp = 'http://h/'\n", &["1: unknown key 'prob'"]);
}

#[test]
fn what_excludes_each_other_names_both_lines() {
    check_problems(
        "[breaker.a.probe]\ntcp = 'h:1'\nhttp = 'http://h/'\n",
        &[
            "3: tcp (line 2 of [breaker.a.probe]) and http (line 3 of [breaker.a.probe]) exclude each \
         other; allowed: one kind of probe",
        ],
    );
    check_problems(
        "[defaults.probe]\nbody_file = '/f'\nbody = 'x'\n",
        &[
            "3: body_file (line 2 of [defaults.probe]) and body (line 3 of [defaults.probe]) exclude",
        ],
    );
    check_problems(
        "[breaker.a.probe]\nexpect_body = 'x'\ntcp = 'h:1'\nrecord = 'A'\n",
        &[
            "2: expect_body (line 2 of [breaker.a.probe]) says nothing with tcp (line 3 of \
         [breaker.a.probe]); allowed: timeout, ip_version, resolve, feed, interval, jitter, ",
            "4: record (line 4 of [breaker.a.probe]) says nothing with tcp",
        ],
    );
    check_problems("[defaults.probe]\nexpect_body = 'x'\nrecord = 'A'\n", &[]);
}

const LAYERS: &str = "\
[defaults.probe]
timeout = '1s'
record = 'AAAA'
[breaker.'pay*'.probe]
http = 'http://h/'
expect_body = 'x'
timeout = '2s'
[breaker.pay-db]
failures = 3
[breaker.pay-db.probe]
tcp = 'h:1'
[breaker.pay-api.probe]
expect_status = 204
[breaker.mail]
";

#[test]
fn the_more_specific_section_wins_key_by_key() {
    let config = config(&[("/c", LAYERS), ("/d", "[breaker.pay-api.probe]\ninterval = '3s'")]);
    let db = probe(&config, "pay-db").spec.expect("a kind");
    assert_eq!((db.kind(), db.timeout), ("tcp", Duration::from_secs(2)));
    let api = probe(&config, "pay-api");
    let Some(What::Http(http)) = api.spec.map(|spec| spec.what) else { panic!("no page") };
    assert_eq!((http.statuses.as_slice(), http.expected.len()), (&[204..=204][..], 1));
    assert_eq!(api.watch.interval, Duration::from_secs(3));
    assert!(probe(&config, "mail").spec.is_none());
    // Patterns give settings only to those that have a probe of their own.
    let names = config.probed_names();
    let names: Vec<_> = names.iter().map(BreakerName::as_str).collect();
    assert_eq!(names, ["pay-api", "pay-db"]);
    assert_eq!(settings(&config, "pay-db").policy.failures, 3);
}

#[test]
fn keys_of_the_policy_can_stand_in_either_section_and_the_probes_wins() {
    let text = "[defaults]\nrise = 7\n[breaker.a.probe]\nrise = 3\nprobe_closes = true\n\
        [breaker.a]\nrise = 4\n[breaker.'b*'.probe]\nrise = 5\n[breaker.b]\nrise = 6\n";
    let config = config(&[("/c", text)]);
    let policy = |name| settings(&config, name).policy;
    assert_eq!((policy("a").rise, policy("a").probe_closes), (3, true));
    assert_eq!((policy("b").rise, policy("b2").rise, policy("x").rise), (6, 5, 7));
    let name = BreakerName::parse("a").expect("a name");
    let layers = config.layers(&name);
    let Some(crate::settings::Place::File { line, section, .. }) = layers.place(Key::Rise) else {
        panic!("no place")
    };
    assert_eq!((*line, &**section), (4, "[breaker.a.probe]"));
}

#[test]
fn check_tells_what_only_shows_in_the_whole() {
    check_report(
        "[breaker.a.probe]\nhttp = 'http://h/'\nca = '/c'\n[breaker.b.probe]\ngrpc = 'h:1'\n\
         insecure = true\n",
        &[
            "3: ca (line 3 of [breaker.a.probe]) says nothing with http://",
            "6: insecure (line 6 of [breaker.b.probe]) says nothing with gRPC without TLS",
        ],
        &[],
    );
    check_report(
        "[breaker.a]\n[breaker.a.probe]\ntimeout = '1s'\n[defaults.probe]\nca = '/c'\n\
         [breaker.'b*'.probe]\ntimeout = '1s'\n[breaker.b.probe]\nhttp = 'http://h/'\n",
        &[],
        &["2: [breaker.a.probe]: nothing says what to look at, such as http or tcp"],
    );
}

#[test]
fn no_secret_is_in_debug_output() {
    let text = "[breaker.a.probe]\nhttp = 'http://u:secret@h/'\nheader = 'A: secret'\n\
        body = 'secret'\n";
    let config = config(&[("/c", text)]);
    assert!(!format!("{config:?} {:?}", probe(&config, "a")).contains("secret"));
}
