//! `cb wait`: what it waits for, what it says when the time is up, and how it is
//! ended.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};

use crate::support::{Cb, Ran, eventually};

/// A wait under way that has looked once and not found what it waits for.
fn waiting<const N: usize>(cb: &Cb, args: [&str; N]) -> Child {
    let mut command = cb.command(["wait"]);
    let child = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.expect("cb starts");
    eventually("it waits", || is_pausing(child.id()));
    child
}

/// Whether it sleeps, as it does between two looks and at no other time.
fn is_pausing(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    status.lines().any(|line| line.starts_with("State:\tS"))
}

fn end(child: Child) -> Ran {
    Ran { output: child.wait_with_output().expect("cb ends") }
}

/// Puts a state of an earlier cb into the store: an open one, whose trial is long
/// due, and whose last four probes succeeded.
fn place_probed(cb: &Cb, name: &str) {
    cb.run(["trip", name]).code(0);
    let old = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/state-v1-probed.bin");
    let state = cb.store().join(name).join("state");
    fs::write(&state, fs::read(old).expect("the old state")).expect("a state");
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(state, mode).expect("a mode");
}

#[test]
fn what_is_so_already_is_not_waited_for() {
    let cb = Cb::new();
    for until in ["closed", "admitting"] {
        let never = cb.run(["wait", "never", "--until", until]).code(0).stdout("");
        never.one_line("cb: never: this breaker was never used: its calls flow");
        cb.run(["wait", "-q", "never", "--until", until]).code(0).stdout("").stderr("");
    }
    assert!(!cb.store().exists(), "waiting makes no breaker");
    cb.run(["hold", "off", "disabled"]).code(0);
    cb.run(["hold", "look", "metrics-only"]).code(0);
    cb.run(["wait", "off", "look", "--until", "closed"]).code(0).stdout("").stderr("");
}

#[test]
fn an_open_period_that_ends_is_what_it_waits_for() {
    let cb = Cb::new();
    cb.run(["trip", "pay", "--for", "300ms"]).code(0);
    cb.run(["check", "pay", "-q"]).code(75);
    cb.run(["wait", "pay"]).code(0).stdout("").stderr("");
    cb.run(["check", "pay", "-q"]).code(0);
    cb.is("pay", "open");
}

#[test]
fn a_reset_by_hand_ends_the_wait_however_long_the_period_is() {
    let cb = Cb::new();
    for until in ["closed", "admitting"] {
        cb.run(["trip", "pay", "--for", "1h"]).code(0);
        let child = waiting(&cb, ["pay", "--until", until]);
        cb.run(["reset", "pay"]).code(0);
        end(child).code(0).stdout("").stderr("");
    }
}

#[test]
fn all_of_them_are_waited_for() {
    let cb = Cb::new();
    cb.run(["trip", "a", "--for", "1h"]).code(0);
    cb.run(["trip", "b", "--for", "1h"]).code(0);
    cb.exec("c", ["true"]).code(0);
    let child = waiting(&cb, ["a", "c", "b"]);
    cb.run(["reset", "a"]).code(0);
    cb.run(["wait", "a", "c", "b", "--timeout", "0"]).code(124).one_line("cb: b: still open");
    cb.run(["reset", "b"]).code(0);
    end(child).code(0).stdout("").stderr("");
}

/// What is said of this breaker when the time is up.
#[track_caller]
fn check_line<const N: usize>(cb: &Cb, args: [&str; N], expected: &str) {
    let mut command = cb.command(["wait", "--timeout", "0"]);
    command.args(args);
    let said = Ran::of(command).code(124).stdout("").one_line("").stderr_text();
    assert_eq!(said.trim_end(), format!("cb: {expected}"));
}

#[test]
fn when_the_time_is_up_a_line_says_what_is_still_waited_for() {
    let cb = Cb::new();
    cb.run(["trip", "pay", "--for", "9d1h"]).code(0);
    check_line(
        &cb,
        ["pay"],
        "pay: still open after 0s: next trial in 9d1h (waiting for: admitting)",
    );
    cb.run(["trip", "pay", "--for", "1ms"]).code(0);
    eventually("a trial is due", || cb.status("pay")["trial_due"] == true);
    check_line(
        &cb,
        ["pay", "--until", "closed"],
        "pay: still open after 0s: a trial is due (waiting for: closed)",
    );
    cb.run(["allow", "pay"]).code(0);
    check_line(
        &cb,
        ["pay"],
        "pay: still half-open after 0s: 1 of its trials under way (waiting for: admitting)",
    );
    cb.run(["hold", "pay", "forced-open", "--reason", "a\u{1b}[2Jb"]).code(0);
    let by = cb.status("pay")["hold"]["by"].as_str().expect("a person").to_owned();
    let held = format!("held (by {by}: a\\u{{1b}}[2Jb)");
    let line = format!("pay: still forced-open after 0s: {held} (waiting for: admitting)");
    check_line(&cb, ["pay"], &line);
    check_line(
        &cb,
        ["pay", "--until", "healthy"],
        "pay: forced-open, and not healthy after 0s: never probed (waiting for: healthy)",
    );
}

#[test]
fn each_breaker_that_is_left_has_a_line_and_the_time_that_was_given() {
    let cb = Cb::new();
    cb.run(["trip", "a", "--for", "1h"]).code(0);
    cb.run(["trip", "b", "--for", "1h"]).code(0);
    cb.exec("fine", ["true"]).code(0);
    let ran = cb.run(["wait", "b", "fine", "a", "b", "--timeout", "120ms"]).code(124).stdout("");
    let lines: Vec<String> = ran.stderr_text().lines().map(str::to_owned).collect();
    let begins = |line: &String, name| {
        line.starts_with(&format!("cb: {name}: still open after 120ms: next trial in "))
    };
    assert!(lines.len() == 2 && begins(&lines[0], "b") && begins(&lines[1], "a"), "{lines:?}");
    cb.run(["wait", "a", "--timeout", "0", "-q"]).code(124).stdout("").stderr("");
}

#[test]
fn the_latest_probe_says_whether_it_is_healthy() {
    let cb = Cb::new();
    place_probed(&cb, "pay");
    // It was, but that is years ago.
    let waited = cb.run(["wait", "pay", "--until", "healthy", "--timeout", "0"]).code(124);
    waited.one_line("not healthy after 0s: the last probe was ");
    let last = &cb.status("pay")["last_probe"];
    assert_eq!((&last["outcome"], &last["slow"]), (&"success".into(), &true.into()));
    assert_eq!(last["duration_ms"], 1234);
    assert_eq!(last["at"], "2023-11-14T22:14:59.000Z");
    cb.run(["probe", "pay", "--", "true"]).code(0);
    cb.run(["wait", "pay", "--until", "healthy"]).code(0).stdout("").stderr("");
}

#[test]
fn a_signal_ends_the_wait_as_it_ends_any_program() {
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let cb = Cb::new();
        cb.run(["trip", "pay", "--for", "1h"]).code(0);
        let child = waiting(&cb, ["pay", "--timeout", "1h"]);
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal)
            .expect("it is there");
        end(child).signal(signal.as_raw()).stdout("").stderr("");
    }
}

#[test]
fn what_cannot_be_waited_for_is_said_at_once() {
    let cb = Cb::new();
    cb.run(["wait", "pay-*"]).code(125).one_line("'pay-*'");
    cb.run(["wait", "pay", "../x"]).code(125).one_line("is no name for a breaker");
    cb.run(["wait", "pay", "--timeout", "soon"])
        .code(125)
        .one_line("--timeout 'soon': not a duration; allowed: ");
    cb.run(["wait", "pay", "--until", "open"]).code(125).stderr_has("closed");
    cb.run(["trip", "pay"]).code(0);
    fs::write(cb.store().join("pay/state"), "no state").expect("a state");
    cb.run(["wait", "pay"]).code(125).stdout("").one_line("pay/state");
}
