//! `cb exec --result-file` and `--result-fd`: how a call went, for programs.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::process::Command;

use serde_json::{Value, json};

use crate::live::{Live, alive, first, keep, send};
use crate::support::{Cb, Ran, eventually};

/// The fields of cb.result/1, in order.
const FIELDS: [&str; 15] = [
    "schema",
    "breaker",
    "outcome",
    "ran",
    "reason",
    "exit_code",
    "signal",
    "timed_out",
    "duration_ms",
    "attempts",
    "state_before",
    "state_after",
    "fallback",
    "job_id",
    "retry_after_ms",
];

/// Runs a command and returns how cb ended and the report, which is one line of
/// JSON with every field in its place.
#[track_caller]
fn report<const N: usize>(cb: &Cb, options: &[&str], command: [&str; N]) -> (Ran, Value) {
    let path = cb.path("result");
    let file = ["-q", "--result-file", path.to_str().expect("UTF-8")];
    let ran = cb.exec_with(file.iter().chain(options), "x", command);
    let text = fs::read_to_string(&path).expect("a report");
    assert!(text.ends_with("}\n") && text.matches('\n').count() == 1, "{text}");
    let value: Value = serde_json::from_str(&text).expect("JSON");
    let fields: Vec<&str> =
        value.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(fields, FIELDS);
    (ran, value)
}

/// Asserts a report: what is in `expected`, the constant fields, a duration if
/// and only if the command ran, and null for the rest.
#[track_caller]
fn check(value: &Value, expected: &Value) {
    for field in FIELDS {
        let found = &value[field];
        match field {
            "schema" => assert_eq!(found, "cb.result/1"),
            "breaker" => assert_eq!(found, "x"),
            "duration_ms" => assert_eq!(found.is_u64(), value["ran"] == true, "{value}"),
            "attempts" => assert_eq!(found, u64::from(value["ran"] == true), "{value}"),
            "retry_after_ms" if expected[field] == "some" => {
                assert!(found.as_u64().is_some_and(|ms| ms > 0), "{value}");
            }
            "timed_out" => {
                assert_eq!(*found, expected.get(field).cloned().unwrap_or(false.into()), "{value}");
            }
            _ => assert_eq!(*found, expected[field], "{field}: {value}"),
        }
    }
}

#[test]
fn of_calls_that_ran() {
    let cb = Cb::new();
    let (ran, value) = report(&cb, &[], ["true"]);
    ran.code(0).stdout("").stderr("");
    check(
        &value,
        &json!({"outcome": "success", "ran": true, "exit_code": 0,
            "state_before": "closed", "state_after": "closed"}),
    );
    let (ran, value) = report(&cb, &[], ["sh", "-c", "exit 9"]);
    ran.code(9);
    check(
        &value,
        &json!({"outcome": "failure", "ran": true, "reason": "exit_code", "exit_code": 9,
            "state_before": "closed", "state_after": "closed"}),
    );
    let (ran, value) = report(&cb, &["--ignore-codes", "75"], ["sh", "-c", "exit 75"]);
    ran.code(75);
    check(
        &value,
        &json!({"outcome": "ignored", "ran": true, "reason": "exit_code", "exit_code": 75,
            "state_before": "closed", "state_after": "closed"}),
    );
    let (ran, value) = report(&cb, &[], ["sh", "-c", "kill -USR1 $$"]);
    ran.signal(libc::SIGUSR1);
    check(
        &value,
        &json!({"outcome": "failure", "ran": true, "reason": "signal", "signal": libc::SIGUSR1,
            "state_before": "closed", "state_after": "closed"}),
    );
    let (ran, value) = report(&cb, &["--timeout", "0.1"], ["sleep", "60"]);
    ran.code(124);
    check(
        &value,
        &json!({"outcome": "failure", "ran": true, "reason": "timeout", "signal": libc::SIGTERM,
            "timed_out": true, "state_before": "closed", "state_after": "closed"}),
    );
    assert!((100..60_000).contains(&value["duration_ms"].as_u64().unwrap()), "{value}");
}

#[test]
fn of_calls_that_change_the_state() {
    let cb = Cb::new();
    let (_, value) = report(&cb, &["--consecutive-failures", "1"], ["false"]);
    check(
        &value,
        &json!({"outcome": "failure", "ran": true, "reason": "exit_code", "exit_code": 1,
            "state_before": "closed", "state_after": "open"}),
    );
    cb.make_due("x");
    let (_, value) = report(&cb, &[], ["false"]);
    check(
        &value,
        &json!({"outcome": "failure", "ran": true, "reason": "exit_code", "exit_code": 1,
            "state_before": "open", "state_after": "open"}),
    );
    cb.make_due("x");
    let (_, value) = report(&cb, &["--half-open-calls", "2"], ["true"]);
    check(
        &value,
        &json!({"outcome": "success", "ran": true, "exit_code": 0,
            "state_before": "open", "state_after": "half-open"}),
    );
    let (_, value) = report(&cb, &["--half-open-calls", "2"], ["true"]);
    check(
        &value,
        &json!({"outcome": "success", "ran": true, "exit_code": 0,
            "state_before": "half-open", "state_after": "closed"}),
    );
}

#[test]
fn of_calls_that_could_not_start() {
    let cb = Cb::new();
    let (ran, value) = report(&cb, &[], ["no-such-command"]);
    ran.code(127).stderr("");
    check(
        &value,
        &json!({"outcome": "ignored", "ran": false, "reason": "not_found", "exit_code": 127,
            "state_before": "closed", "state_after": "closed"}),
    );
    let (ran, value) = report(&cb, &[], ["/"]);
    ran.code(126);
    check(
        &value,
        &json!({"outcome": "ignored", "ran": false, "reason": "not_executable", "exit_code": 126,
            "state_before": "closed", "state_after": "closed"}),
    );
}

#[test]
fn of_rejected_calls() {
    let cb = Cb::new();
    cb.run(["trip", "-q", "x", "--for", "1h"]).code(0);
    let (ran, value) = report(&cb, &["--open-exit-code", "7"], ["true"]);
    ran.code(7);
    check(
        &value,
        &json!({"outcome": "rejected", "ran": false, "reason": "open", "exit_code": 7,
            "state_before": "open", "state_after": "open", "retry_after_ms": "some"}),
    );
    assert!((3_000_000..=3_600_000).contains(&value["retry_after_ms"].as_u64().unwrap()));
    cb.run(["hold", "-q", "x", "forced-open"]).code(0);
    let (_, value) = report(&cb, &[], ["true"]);
    check(
        &value,
        &json!({"outcome": "rejected", "ran": false, "reason": "forced_open", "exit_code": 75,
            "state_before": "forced-open", "state_after": "forced-open"}),
    );
    cb.run(["release", "-q", "x"]).code(0);
    cb.make_due("x");
    let trial = Live::start(cb.sh(
        [],
        "x",
        "touch ready; while [ ! -e go ] && [ -e $PWD ]; do sleep 0.02; done",
    ));
    cb.sees("ready");
    let (_, value) = report(&cb, &[], ["true"]);
    check(
        &value,
        &json!({"outcome": "rejected", "ran": false, "reason": "no_trial_free", "exit_code": 75,
            "state_before": "half-open", "state_after": "half-open"}),
    );
    cb.touch("go");
    trial.end().code(0);
    cb.is("x", "closed");
}

#[test]
fn of_a_call_that_a_person_ended() {
    let cb = Cb::new();
    let live = Live::start(cb.sh(["--result-file", "r"], "x", "touch ready; exec sleep 60"));
    cb.sees("ready");
    live.send(libc::SIGTERM);
    live.end().signal(libc::SIGTERM).stderr("");
    let value: Value = serde_json::from_slice(&fs::read(cb.path("r")).unwrap()).unwrap();
    check(
        &value,
        &json!({"outcome": "ignored", "ran": true, "reason": "signal", "signal": libc::SIGTERM,
            "state_before": "closed", "state_after": "closed"}),
    );
}

#[test]
fn without_a_store_the_states_are_unknown() {
    let cb = Cb::new();
    let (_, value) = report(&cb, &["--store", "/dev/null/store"], ["true"]);
    check(&value, &json!({"outcome": "success", "ran": true, "exit_code": 0}));
}

#[test]
fn an_old_report_is_gone_before_the_command_runs() {
    let cb = Cb::new();
    fs::write(cb.path("r"), "old".repeat(1000)).unwrap();
    Live::start(cb.sh(["--result-file", "r"], "x", "wc -c < r")).end().code(0).stdout("0\n");
    assert_eq!(cb.lines("r").len(), 1);
}

#[test]
fn a_file_that_cannot_be_written_stops_no_command() {
    let cb = Cb::new();
    let check = |path: &str, why: &str| {
        let words = ["--failures", "9", "--consecutive-failures", "0", "--result-file", path];
        let ran = Live::start(cb.sh(words, "x", "echo ran; exit 4")).end();
        ran.code(4).stdout("ran\n").one_line(why);
    };
    let made = Command::new("mkfifo").arg(cb.path("fifo")).status().unwrap();
    assert!(made.success());
    check("/no/such/file", "cb: x: cannot open /no/such/file: No such file or directory");
    check("", "cb: x: cannot open ");
    check(".", "cb: x: cannot open .: Is a directory");
    check("fifo", "cb: x: cannot open fifo: No such device or address");
    check("/dev/full", "cb: x: cannot write /dev/full: No space left on device");
    check("a\nb/c\x1b[31m", "cb: x: cannot open a\\nb/c\\u{1b}[31m: No such file");
    assert_eq!(cb.total("x", "failed"), 6);
}

/// A call with `--result-fd` and this descriptor.
fn with_fd<const N: usize>(cb: &Cb, options: [&str; N], script: &str, fd: RawFd) -> Command {
    let mut command = cb.command(["exec", "--result-fd", &fd.to_string()]);
    command.args(options).args(["x", "--", "sh", "-c", script]).current_dir(cb.path(""));
    keep(&mut command, fd);
    command
}

#[test]
fn a_descriptor_that_cannot_be_written_is_a_wrong_word() {
    let cb = Cb::new();
    let check = |number: &str, part: &str| {
        let script = "touch ran";
        let ran = Live::start(cb.sh(["--result-fd", number], "x", script)).end();
        ran.code(125).stdout("").one_line(part);
    };
    check("99999", "--result-fd 99999: Bad file descriptor");
    check("999999", "--result-fd 999999: Bad file descriptor");
    check("-1", "--result-fd");
    check("one", "--result-fd");
    check("", "--result-fd");
    check("99999999999999999999", "--result-fd");
    let reader = File::open("/dev/null").unwrap();
    let read_only = with_fd(&cb, [], "touch ran", reader.as_raw_fd());
    Live::start(read_only).end().code(125).one_line("open for writing");
    assert!(!cb.path("ran").exists() && !cb.store().exists());
}

#[test]
fn a_closed_standard_descriptor_is_a_wrong_word() {
    let cb = Cb::new();
    for fd in 0..3 {
        let mut command = cb.sh(["--result-fd", &fd.to_string()], "x", "touch ran");
        first(&mut command, move || {
            // SAFETY: nothing else in this process uses it.
            unsafe { libc::close(fd) };
        });
        let ran = Live::start(command).end().code(125).stdout("");
        assert_eq!(ran.stderr_text().is_empty(), fd == 2, "{ran}");
        assert!(!cb.path("ran").exists());
    }
}

#[test]
fn a_full_descriptor_is_a_warning() {
    let cb = Cb::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let command = with_fd(&cb, [], "exit 4", full.as_raw_fd());
    Live::start(command)
        .end()
        .code(4)
        .one_line("cb: x: cannot write /dev/fd/")
        .stderr_has(": No space left");
}

#[test]
fn a_reader_that_went_away_is_a_warning() {
    let cb = Cb::new();
    let (reader, writer) = io::pipe().unwrap();
    let command = with_fd(&cb, [], "exit 4", writer.as_raw_fd());
    drop(reader);
    Live::start(command)
        .end()
        .code(4)
        .one_line("cb: x: cannot write /dev/fd/")
        .stderr_has(": Broken pipe");
}

#[test]
fn the_report_ends_while_what_the_command_left_behind_lives() {
    let cb = Cb::new();
    let (mut reader, writer) = io::pipe().unwrap();
    // The shell waits until the sleep has started: it has what it inherits.
    let script = "sleep 60 & echo $! > pid; exit 0";
    let live = Live::start(with_fd(&cb, [], script, writer.as_raw_fd()));
    drop(writer);
    let left_behind = cb.pid("pid");
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(alive(left_behind), "the pipe's end came first");
    send(left_behind, libc::SIGKILL);
    live.end().code(0);
    check(
        &serde_json::from_str(&text).unwrap(),
        &json!({"outcome": "success", "ran": true, "exit_code": 0,
            "state_before": "closed", "state_after": "closed"}),
    );
    eventually("it is gone", || !alive(left_behind));
}

#[test]
fn both_places_get_the_report() {
    let cb = Cb::new();
    let by_fd = File::create(cb.path("by-fd")).unwrap();
    let words = ["--result-file", "by-name"];
    Live::start(with_fd(&cb, words, "exit 1", by_fd.as_raw_fd())).end().code(1).stderr("");
    assert_eq!(cb.lines("by-fd"), cb.lines("by-name"));
    assert_eq!(cb.lines("by-fd").len(), 1);
    // The standard ones are the command's as well, and may be meant.
    let mut command = cb.sh(["--result-fd", "1"], "x", "echo own");
    command.stdin(std::process::Stdio::null());
    let ran = Live::start(command).end().code(0).stdout_has("own\n{\"schema\":\"cb.result/1\"");
    assert_eq!(ran.stdout_text().lines().count(), 2);
}
