//! `cb simulate`: what it takes, what it refuses, and what people see of it.

use serde_json::Value;

use crate::support::{Cb, Ran};

/// Runs `cb simulate ARGS...` with this trace on stdin.
#[track_caller]
fn simulate<const N: usize>(args: [&str; N], trace: impl AsRef<[u8]>) -> Ran {
    let mut command = Cb::new().command(["simulate"]);
    command.args(args);
    Ran::fed(command, trace.as_ref())
}

/// The lines of `cb simulate --json`.
#[track_caller]
fn lines<const N: usize>(args: [&str; N], trace: &str) -> Vec<Value> {
    let mut command = Cb::new().command(["simulate", "--json"]);
    command.args(args);
    let ran = Ran::fed(command, trace.as_bytes()).code(0).stderr("");
    ran.stdout_text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The trace is refused with this message, and nothing else is on stderr.
#[track_caller]
fn check_refused(trace: impl AsRef<[u8]>, message: &str) {
    for args in [[""; 0].as_slice(), &["--json"]] {
        let mut command = Cb::new().command(["simulate"]);
        command.args(args);
        let ran = Ran::fed(command, trace.as_ref()).code(125);
        assert_eq!(ran.stderr_text(), format!("cb: {message}\n"), "{args:?}");
        ran.one_line("");
    }
}

#[test]
fn a_line_that_is_no_json_is_named() {
    check_refused("nonsense\n", "stdin:1: not JSON: expected ident at column 2");
    check_refused(
        "{\"t\":0,\"op\":\"check\"",
        "stdin:1: not JSON: EOF while parsing an object at column 19",
    );
    check_refused(
        "{\"t\":0,\"op\":\"check\"} x\n",
        "stdin:1: not JSON: trailing characters at column 22",
    );
    check_refused("{'t':0}", "stdin:1: not JSON: key must be a string at column 2");
    check_refused("[1]\n", "stdin:1: not a JSON object such as {\"t\":0,\"op\":\"check\"}");
    check_refused("7\n", "stdin:1: not a JSON object such as {\"t\":0,\"op\":\"check\"}");
    check_refused(
        "{\"t\":0,\"op\":\"ch\u{1b}eck\"}\n",
        "stdin:1: not JSON: control character (\\u0000-\\u001F) found while parsing a string at column 16",
    );
}

#[test]
fn the_number_of_the_line_counts_every_line_also_empty_ones() {
    let good = "{\"t\":0,\"op\":\"check\"}\n";
    check_refused(
        format!("{good}\n  \n{good}oops\n"),
        "stdin:5: not JSON: expected value at column 1",
    );
    simulate([], format!("\n{good}\n\r\n{good}")).code(0).stderr("");
}

#[test]
fn the_time_is_a_whole_number_that_does_not_decrease() {
    let allowed = "a whole number of ms from 0";
    check_refused("{\"op\":\"check\"}", &format!("stdin:1: no \"t\": {allowed}"));
    for (time, shown) in [
        ("-1", "-1"),
        ("1.5", "1.5"),
        ("1e3", "1000.0"),
        ("\"7\"", "\"7\""),
        ("null", "null"),
        ("true", "true"),
        ("[0]", "[0]"),
        ("18446744073709551616", "1.8446744073709552e+19"),
    ] {
        check_refused(
            format!("{{\"t\":{time},\"op\":\"check\"}}"),
            &format!("stdin:1: \"t\" is {shown}: {allowed} is allowed"),
        );
    }
    check_refused(
        "{\"t\":5,\"op\":\"check\"}\n{\"t\":5,\"op\":\"check\"}\n{\"t\":4,\"op\":\"check\"}\n",
        "stdin:3: \"t\" is 4, before 5: times do not decrease",
    );
    simulate([], "{\"t\":18446744073709551615,\"op\":\"trip\"}").code(0).stderr("");
}

#[test]
fn an_unknown_op_field_or_outcome_is_named_with_what_is_known() {
    let ops = "one of call, start, finish, lost, probe, check, trip, reset, hold, release";
    check_refused("{\"t\":0}", &format!("stdin:1: no \"op\": {ops}"));
    check_refused("{\"t\":0,\"op\":\"kall\"}", &format!("stdin:1: unknown op \"kall\": {ops}"));
    check_refused("{\"t\":0,\"op\":7}", "stdin:1: \"op\" is 7: a text is allowed");
    let outcomes = "one of success, failure, ignored";
    check_refused("{\"t\":0,\"op\":\"call\"}", &format!("stdin:1: no \"outcome\": {outcomes}"));
    check_refused(
        "{\"t\":0,\"op\":\"call\",\"outcome\":\"failed\"}",
        &format!("stdin:1: unknown outcome \"failed\": {outcomes}"),
    );
    let holds = "one of forced-open, disabled, metrics-only";
    check_refused("{\"t\":0,\"op\":\"hold\"}", &format!("stdin:1: no \"hold\": {holds}"));
    check_refused(
        "{\"t\":0,\"op\":\"hold\",\"hold\":\"open\"}",
        &format!("stdin:1: unknown hold \"open\": {holds}"),
    );
    check_refused(
        "{\"t\":0,\"op\":\"check\",\"id\":\"a\"}",
        "stdin:1: \"id\" is not a field of op \"check\"",
    );
    check_refused(
        "{\"t\":0,\"op\":\"reset\",\"for_ms\":5}",
        "stdin:1: \"for_ms\" is not a field of op \"reset\"",
    );
    check_refused(
        "{\"t\":0,\"op\":\"call\",\"outcome\":\"success\",\"duration\":5}",
        "stdin:1: \"duration\" is not a field of op \"call\"",
    );
    check_refused(
        "{\"t\":0,\"op\":\"call\",\"outcome\":\"success\",\"duration_ms\":-5}",
        "stdin:1: \"duration_ms\" is -5: a whole number of ms from 0 is allowed",
    );
    check_refused(
        "{\"t\":0,\"op\":\"trip\",\"for_ms\":\"5s\"}",
        "stdin:1: \"for_ms\" is \"5s\": a whole number of ms from 0 is allowed",
    );
}

#[test]
fn calls_under_way_have_ids_that_are_used_once_at_a_time() {
    let start = "{\"t\":0,\"op\":\"start\",\"id\":\"a\"}\n";
    let finish = "{\"t\":1,\"op\":\"finish\",\"id\":\"a\",\"outcome\":\"success\"}\n";
    let lost = "{\"t\":1,\"op\":\"lost\",\"id\":\"a\"}\n";
    let never = "call \"a\" has not started, or has finished already";
    check_refused(format!("{start}{start}"), "stdin:2: call \"a\" has started already");
    check_refused(finish, &format!("stdin:1: {never}"));
    check_refused(lost, &format!("stdin:1: {never}"));
    check_refused(format!("{start}{finish}{finish}"), &format!("stdin:3: {never}"));
    check_refused(format!("{start}{finish}{lost}"), &format!("stdin:3: {never}"));
    check_refused(
        "{\"t\":0,\"op\":\"start\"}",
        "stdin:1: no \"id\": the text that start and finish share",
    );
    check_refused("{\"t\":0,\"op\":\"start\",\"id\":1}", "stdin:1: \"id\" is 1: a text is allowed");
    let again = start.replace(":0", ":2");
    simulate([], format!("{start}{finish}{again}")).code(0).stderr("");
    simulate([], format!("{start}{lost}{again}")).code(0).stderr("");
}

#[test]
fn a_line_has_a_bound() {
    let line = |len: usize| {
        let head = "{\"t\":0,\"op\":\"start\",\"id\":\"";
        let id = "x".repeat(len - head.len() - 3);
        format!("{head}{id}\"}}\n")
    };
    assert_eq!(line(65_536).len(), 65_536);
    simulate([], line(65_536)).code(0).stderr("");
    check_refused(line(65_537), "stdin:1: longer than 65536 bytes");
    check_refused(vec![b' '; 10_000_000], "stdin:1: longer than 65536 bytes");
}

#[test]
fn a_line_is_utf_8() {
    check_refused(b"{\"t\":0,\"op\":\"check\"}\n\xff\xfe\n", "stdin:2: not UTF-8");
    check_refused(b"{\"t\":0,\"op\":\"start\",\"id\":\"\xc3\x28\"}\n", "stdin:1: not UTF-8");
}

#[test]
fn what_a_message_repeats_is_escaped_and_cut() {
    check_refused(
        "{\"t\":0,\"op\":\"\\u001b[2J\\u0007\\n\"}",
        "stdin:1: unknown op \"\\u001b[2J\\u0007\\n\": one of call, start, finish, lost, probe, check, \
         trip, reset, hold, release",
    );
    check_refused(
        "{\"t\":0,\"op\":\"check\",\"\\u009b31m\u{202e}\":1}",
        "stdin:1: \"\\u{9b}31m\\u{202e}\" is not a field of op \"check\"",
    );
    check_refused(
        "{\"t\":0,\"op\":\"finish\",\"id\":\"\\u001b[2J\",\"outcome\":\"success\"}",
        "stdin:1: call \"\\u{1b}[2J\" has not started, or has finished already",
    );
    let long = "y".repeat(60_000);
    let ran = simulate([], format!("{{\"t\":0,\"op\":\"{long}\"}}")).code(125).one_line("...");
    assert!(ran.stderr_text().len() < 300);
    let id = format!("{{\"t\":0,\"op\":\"lost\",\"id\":\"{long}\"}}");
    assert!(simulate([], id).code(125).one_line("has not started").stderr_text().len() < 300);
}

#[test]
fn lines_before_a_wrong_one_are_told() {
    let trace = "{\"t\":0,\"op\":\"check\"}\noops\n";
    let ran = simulate(["--json"], trace).code(125);
    assert_eq!(ran.stdout_text().lines().count(), 1);
}

#[test]
fn a_bad_setting_is_named_with_the_nearest_known_one() {
    let check = |set: &str, message: &str| {
        simulate(["--set", set], "").code(125).stdout("").one_line(message);
    };
    check("opn_for=3s", "unknown key 'opn_for'; did you mean 'open_for'?");
    check("open-for=3s", "did you mean 'open_for'?");
    check("nothing_like_it=3s", "unknown key 'nothing_like_it'; allowed: window, ");
    check("open_for", "--set 'open_for': not KEY=VALUE");
    check("open_for=soon", "--set open_for 'soon': not a duration; allowed: ");
    check("failures=3s", "--set failures '3s': not a whole number; allowed: ");
    check(
        "failures=10001",
        "--set failures '10001': out of range; allowed: a whole number, 0 to 10000",
    );
    check("window=0", "--set window '0': out of range");
    check("half_open_calls=0", "out of range; allowed: a whole number, 1 to 64");
    check("half_open_calls=65", "out of range; allowed: a whole number, 1 to 64");
    check("success_threshold=2", "success_threshold");
    check("slow_rate=50%", "slow_call");
    check("failure_rate=101%", "out of range");
    check("open_backoff=0.5", "out of range");
    check("failures=\u{1b}[31m", "\\u{1b}[31m");
}

#[test]
fn the_later_setting_wins() {
    let trace = "{\"t\":0,\"op\":\"call\",\"outcome\":\"failure\"}\n";
    let out = lines(["--set", "consecutive_failures=1", "--set", "consecutive_failures=2"], trace);
    assert_eq!(out[0]["state"], "closed");
}

#[test]
fn a_policy_is_read_from_the_config_and_settings_come_on_top() {
    let cb = Cb::new().config(
        "[defaults]\nopen_for = \"5s\"\n[breaker.\"pay-*\"]\nconsecutive_failures = 1\n\
         [breaker.pay-eu]\nopen_for = \"7s\"\n",
    );
    let retry_after = |args: &[&str]| {
        let mut command = cb.command(["simulate", "--json"]);
        command.args(args);
        let trace = "{\"t\":0,\"op\":\"trip\"}\n{\"t\":0,\"op\":\"reset\"}\n\
                     {\"t\":0,\"op\":\"call\",\"outcome\":\"failure\"}\n";
        let ran = Ran::fed(command, trace.as_bytes()).code(0).stderr("");
        let lines: Vec<Value> = ran
            .stdout_text()
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        (lines[0]["retry_after_ms"].clone(), lines[2]["state"].clone())
    };
    assert_eq!(retry_after(&["--policy", "pay-eu"]), (7_000.into(), "open".into()));
    assert_eq!(retry_after(&["--policy", "pay-us"]), (5_000.into(), "open".into()));
    assert_eq!(retry_after(&["--policy", "other"]), (5_000.into(), "closed".into()));
    assert_eq!(retry_after(&[]), (30_000.into(), "closed".into()));
    let set = ["--policy", "pay-eu", "--set", "open_for=9s"];
    assert_eq!(retry_after(&set), (9_000.into(), "open".into()));
    cb.run(["simulate", "--policy", "../x"]).code(125).one_line("is no name for a breaker");
    assert!(!cb.store().exists(), "a simulation makes no store");
}

#[test]
fn the_seed_makes_jitter_reproducible() {
    let trip = "{\"t\":0,\"op\":\"trip\"}\n{\"t\":0,\"op\":\"reset\"}\n".repeat(20);
    let periods = |seed: &str| -> Vec<u64> {
        let out = lines(["--set", "open_jitter=20%", "--seed", seed], &trip);
        out.iter().filter_map(|line| line["retry_after_ms"].as_u64()).collect()
    };
    let first = periods("7");
    assert_eq!(first, periods("7"));
    assert_ne!(first, periods("8"));
    assert!(first.iter().all(|period| (24_000..=36_000).contains(period)), "{first:?}");
    assert!(first.iter().any(|period| *period != first[0]), "each period has a draw of its own");
    let unseeded = lines(["--set", "open_jitter=20%"], &trip);
    assert_eq!(unseeded[0]["retry_after_ms"], periods("0")[0]);
    assert_eq!(lines(["--seed", "7"], &trip)[0]["retry_after_ms"], 30_000);
    for wrong in ["-1", "x", "1.5", "18446744073709551616", ""] {
        simulate(["--seed", wrong], "").code(125).one_line("--seed");
    }
}

#[test]
fn the_trace_is_a_file_or_stdin() {
    let trace = "{\"t\":0,\"op\":\"trip\"}\n";
    let cb = Cb::new();
    std::fs::write(cb.path("trace.jsonl"), trace).expect("a trace");
    let file = cb.path("trace.jsonl");
    let from_file = Ran::of({
        let mut command = cb.command(["simulate", "--json"]);
        command.arg(&file);
        command
    });
    let from_file = from_file.code(0).stderr("").stdout_text();
    assert!(from_file.contains("\"open\""));
    simulate(["--json"], trace).code(0).stdout(&from_file);
    simulate(["--json", "-"], trace).code(0).stdout(&from_file);
    simulate(["--json", "-"], trace.trim_end()).code(0).stdout(&from_file);
    std::fs::write(&file, "{\"t\":0,\"op\":\"check\"}\noops").expect("a trace");
    let mut command = cb.command(["simulate"]);
    command.arg(&file);
    Ran::of(command).code(125).one_line(&format!("{}:2: not JSON", file.display()));
    let mut command = cb.command(["simulate"]);
    command.arg(cb.path("none"));
    Ran::of(command).code(125).one_line("none: No such file or directory");
    cb.run(["simulate", "/"]).code(125).one_line("cannot read /: Is a directory");
}

#[test]
fn an_empty_trace_is_a_trace() {
    simulate(["--json"], "").code(0).stdout("").stderr("");
    insta::assert_snapshot!(simulate([], "").code(0).stderr("").stdout_text(), @r#"
  0:00:00.000  closed        start of the trace
  0:00:00.000  closed        end of the trace

calls made        0
calls rejected    0
failures avoided  0   rejected calls that would have failed
successes missed  0   rejected calls that would have succeeded
times opened      0
"#);
}

#[test]
fn a_call_that_holds_no_permit_is_neither_recorded_nor_stale() {
    let out = lines(
        ["--set", "consecutive_failures=1"],
        "{\"t\":0,\"op\":\"call\",\"outcome\":\"failure\"}\n\
         {\"t\":1,\"op\":\"start\",\"id\":\"a\"}\n\
         {\"t\":2,\"op\":\"finish\",\"id\":\"a\",\"outcome\":\"failure\"}\n\
         {\"t\":2,\"op\":\"check\"}\n",
    );
    assert_eq!(out[1]["admitted"], false);
    assert_eq!(out[2]["recorded"], false);
    assert_eq!((&out[3]["admitted"], out[3].get("recorded")), (&Value::Bool(false), None));
}

#[test]
fn a_finish_takes_its_duration_from_its_start_unless_given() {
    let out = lines(
        ["--set", "slow_call=50ms"],
        "{\"t\":0,\"op\":\"start\",\"id\":\"a\"}\n\
         {\"t\":0,\"op\":\"start\",\"id\":\"b\"}\n\
         {\"t\":0,\"op\":\"start\",\"id\":\"c\"}\n\
         {\"t\":50,\"op\":\"finish\",\"id\":\"a\",\"outcome\":\"success\"}\n\
         {\"t\":51,\"op\":\"finish\",\"id\":\"b\",\"outcome\":\"success\"}\n\
         {\"t\":99,\"op\":\"finish\",\"id\":\"c\",\"outcome\":\"success\",\"duration_ms\":1}\n",
    );
    let slow: Vec<&Value> = out[3..].iter().map(|line| &line["slow"]).collect();
    assert_eq!(slow, [0, 1, 1]);
}

/// A day in the life of a breaker: it trips, a trial fails and one succeeds, and
/// a person holds it.
const DAY: &str = r#"{"t":0,"op":"call","outcome":"success","duration_ms":20}
{"t":500,"op":"call","outcome":"failure"}
{"t":1000,"op":"call","outcome":"failure"}
{"t":1500,"op":"call","outcome":"failure"}
{"t":2000,"op":"call","outcome":"failure"}
{"t":2500,"op":"call","outcome":"failure"}
{"t":3000,"op":"call","outcome":"failure"}
{"t":3500,"op":"call","outcome":"failure"}
{"t":4000,"op":"check"}
{"t":20000,"op":"call","outcome":"success"}
{"t":33000,"op":"call","outcome":"failure"}
{"t":63000,"op":"start","id":"a"}
{"t":63100,"op":"call","outcome":"success"}
{"t":63500,"op":"finish","id":"a","outcome":"success"}
{"t":90000,"op":"hold","hold":"forced-open","for_ms":3600000}
{"t":95000,"op":"call","outcome":"success"}
{"t":3800000,"op":"check"}
{"t":7200000,"op":"call","outcome":"success"}
{"t":7200000,"op":"trip","for_ms":60000}
{"t":7201000,"op":"call","outcome":"failure"}
{"t":7202000,"op":"call","outcome":"success"}
"#;

#[test]
fn a_timeline_tells_a_stranger_what_happened() {
    insta::assert_snapshot!(simulate([], DAY).code(0).stderr("").stdout_text(), @r#"
  0:00:00.000  closed        start of the trace
  0:00:02.500  open          too many failures in a row (5 of 6 calls failed); next trial at 0:00:32.500
  0:00:33.000  half-open     a trial was due, after 3 rejected calls
  0:00:33.000  open          the trial failed; next trial at 0:01:03.000
  0:01:03.000  half-open     a trial was due
  0:01:03.500  closed        the trial succeeded, after 1 rejected call
  0:01:30.000  forced-open   by hand; until 1:01:30.000
  1:01:30.000  open          the hold ended, after 1 rejected call
  2:00:00.000  half-open     a trial was due
  2:00:00.000  closed        the trial succeeded
  2:00:00.000  open          by hand; next trial at 2:01:00.000
  2:00:02.000  open          end of the trace, after 2 rejected calls

calls made        9
calls rejected    7
failures avoided  3   rejected calls that would have failed
successes missed  4   rejected calls that would have succeeded
times opened      4

time closed               29s    0.4%
time open         59m32s500ms   49.6%
time half-open          500ms    0.0%
time forced-open           1h   50.0%
"#);
}

#[test]
fn a_timeline_tells_of_slow_calls_and_long_times() {
    let slow = "{\"t\":0,\"op\":\"call\",\"outcome\":\"success\",\"duration_ms\":900}\n".repeat(4);
    let trace = format!(
        "{slow}{{\"t\":1,\"op\":\"call\",\"outcome\":\"failure\",\"duration_ms\":900}}\n\
         {{\"t\":360000000,\"op\":\"hold\",\"hold\":\"metrics-only\"}}\n"
    );
    let args = ["--set", "slow_call=500ms", "--set", "slow_rate=80%", "--set", "min_calls=5"];
    insta::assert_snapshot!(simulate(args, trace).code(0).stderr("").stdout_text(), @r#"
  0:00:00.000  closed        start of the trace
  0:00:00.001  open          too many slow calls (1 of 5 calls failed, 5 slow); next trial at 0:00:30.001
100:00:00.000  metrics-only  by hand
100:00:00.000  metrics-only  end of the trace

calls made        5
calls rejected    0
failures avoided  0   rejected calls that would have failed
successes missed  0   rejected calls that would have succeeded
times opened      1

time closed                   1ms    0.0%
time open         4d3h59m59s999ms  100.0%
time metrics-only              0s    0.0%
"#);
}

#[test]
fn a_timeline_tells_what_probes_did_to_an_open_period() {
    let trace = r#"{"t":0,"op":"trip"}
{"t":1000,"op":"call","outcome":"failure"}
{"t":2000,"op":"probe","outcome":"failure","retry_after_ms":60000}
{"t":3000,"op":"probe","outcome":"success"}
{"t":4000,"op":"probe","outcome":"success","duration_ms":9}
{"t":5000,"op":"call","outcome":"success"}
{"t":6000,"op":"probe","outcome":"failure"}
{"t":7000,"op":"trip"}
{"t":8000,"op":"probe","outcome":"success"}
"#;
    insta::assert_snapshot!(simulate([], trace).code(0).stderr("").stdout_text(), @r#"
  0:00:00.000  closed        start of the trace
  0:00:00.000  open          by hand; next trial at 0:00:30.000
  0:00:02.000  open          the server asked to be left alone, after 1 rejected call; next trial at 0:01:02.000
  0:00:04.000  open          a trial is due, by probes that succeeded
  0:00:05.000  half-open     a trial was due
  0:00:05.000  closed        the trial succeeded
  0:00:07.000  open          by hand; next trial at 0:00:37.000
  0:00:08.000  open          end of the trace

calls made        2
calls rejected    1
failures avoided  1   rejected calls that would have failed
successes missed  0   rejected calls that would have succeeded
times opened      2

time closed       2s   25.0%
time open         6s   75.0%
time half-open    0s    0.0%
"#);
}

#[test]
fn a_probe_has_fields_of_its_own() {
    let probe = |rest: &str| format!("{{\"t\":0,\"op\":\"probe\"{rest}}}");
    check_refused(probe(""), "stdin:1: no \"outcome\": one of success, failure, ignored");
    check_refused(
        probe(",\"outcome\":\"success\",\"retry_after_ms\":\"30s\""),
        "stdin:1: \"retry_after_ms\" is \"30s\": a whole number of ms from 0 is allowed",
    );
    check_refused(
        probe(",\"outcome\":\"success\",\"id\":\"a\""),
        "stdin:1: \"id\" is not a field of op \"probe\"",
    );
    check_refused(
        "{\"t\":0,\"op\":\"call\",\"outcome\":\"failure\",\"retry_after_ms\":5}",
        "stdin:1: \"retry_after_ms\" is not a field of op \"call\"",
    );
}

#[test]
fn a_check_is_no_rejected_call() {
    let trace =
        "{\"t\":0,\"op\":\"trip\"}\n{\"t\":1,\"op\":\"check\"}\n{\"t\":2,\"op\":\"reset\"}\n";
    let ran = simulate([], trace).code(0).stdout_has("calls rejected    0\n");
    assert!(!ran.stdout_text().contains("rejected call,"), "{ran}");
    assert!(!ran.stdout_text().contains("after 1"), "{ran}");
}

#[test]
fn a_hold_that_ran_out_by_the_end_has_run_out_in_the_summary() {
    let trace = "{\"t\":0,\"op\":\"hold\",\"hold\":\"disabled\",\"for_ms\":1000}\n\
                 {\"t\":4000,\"op\":\"check\"}\n";
    simulate([], trace)
        .code(0)
        .stdout_has("0:00:04.000  closed        end of the trace\n")
        .stdout_has("time disabled     1s   25.0%\n")
        .stdout_has("time closed       3s   75.0%\n");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::io::Write;
    use std::process::Stdio;
    for args in [&["simulate"][..], &["simulate", "--json"]] {
        let mut command = Cb::new().command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("cb starts");
        drop(child.stdout.take());
        let mut stdin = child.stdin.take().expect("a pipe");
        let line = b"{\"t\":0,\"op\":\"trip\"}\n{\"t\":0,\"op\":\"reset\"}\n";
        // cb may be gone before it has read all.
        let _ = stdin.write_all(&line.repeat(2_000));
        drop(stdin);
        Ran { output: child.wait_with_output().expect("cb ends") }.code(0).stderr("");
    }
}

#[test]
fn a_long_trace_takes_little_time() {
    let line = "{\"t\":0,\"op\":\"call\",\"outcome\":\"success\"}\n".repeat(20_000);
    simulate([], line).code(0).stdout_has("calls made        20000\n");
}
