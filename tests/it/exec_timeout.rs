//! `cb exec --timeout`: a command that takes too long, and all that it started.

use std::fs;
use std::time::Instant;

use crate::live::{Live, alive, send, stat};
use crate::support::{Cb, PATIENCE, eventually};

#[test]
fn a_command_that_takes_too_long_is_ended_and_a_failure() {
    let cb = Cb::new();
    let begin = Instant::now();
    cb.exec_with(["--timeout", "0.2"], "x", ["sleep", "60"])
        .code(124)
        .stdout("")
        .stderr("cb: x: timed out after 200ms\n");
    assert!(begin.elapsed() < PATIENCE);
    let status = cb.status("x");
    assert_eq!((status["totals"]["failed"].as_u64(), cb.total("x", "timed_out")), (Some(1), 1));
    let last = &status["last_failure"];
    assert_eq!((&last["timed_out"], &last["signal"]), (&true.into(), &libc::SIGTERM.into()));
    assert!(last["exit_code"].is_null(), "{last}");
}

#[test]
fn times_are_written_as_timeout_has_them() {
    let cb = Cb::new();
    let check = |timeout: &str, said: &str| {
        let ran = cb.exec_with(["--failures", "99", "--timeout", timeout], "x", ["sleep", "60"]);
        ran.code(124).stderr(&format!("cb: x: timed out after {said}\n"));
        cb.run(["reset", "-q", "x"]).code(0);
    };
    check("0.2", "200ms");
    check("200ms", "200ms");
    check(".1", "100ms");
    check("1", "1s");
}

#[test]
fn a_command_that_ignores_term_is_killed() {
    let cb = Cb::new();
    let stubborn = ["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"];
    for options in [&["--kill-after", "0.2"][..], &["-k", "0.2", "--foreground"]] {
        // The trap has to be set before the time is up, on a busy machine too.
        cb.exec_with(["--timeout", "2"].iter().chain(options), "x", stubborn)
            .code(137)
            .stdout("")
            .stderr("cb: x: timed out after 2s\ncb: x: still running 200ms later: killed\n");
    }
    assert_eq!((cb.total("x", "failed"), cb.total("x", "timed_out")), (2, 2));
    assert_eq!(cb.status("x")["last_failure"]["signal"], libc::SIGKILL);
}

#[test]
fn a_command_that_obeys_term_in_its_own_way_is_124_and_a_failure() {
    let cb = Cb::new();
    for code in [0, 3, 75] {
        let script = format!("trap 'exit {code}' TERM; while :; do sleep 0.02; done");
        // The trap has to be set before the time is up, on a busy machine too.
        let ran = cb.exec_with(["--timeout", "2"], "x", ["sh", "-c", &script]);
        // The shell may add that its "sleep" was ended, too.
        ran.code(124).stderr_has("cb: x: timed out after 2s\n");
        assert_eq!(cb.status("x")["last_failure"]["exit_code"], code);
    }
    assert_eq!((cb.total("x", "failed"), cb.total("x", "succeeded")), (3, 0));
}

#[test]
fn a_command_that_ends_in_time_is_as_without_a_timeout() {
    let cb = Cb::new();
    for options in [&["--timeout", "60"][..], &["--timeout", "365d", "--foreground"]] {
        let ran = cb.exec_with(options, "x", ["sh", "-c", "echo hi; exit 7"]);
        ran.code(7).stdout("hi\n").stderr("");
    }
    assert_eq!(cb.total("x", "timed_out"), 0);
}

#[test]
fn the_whole_group_is_ended() {
    let cb = Cb::new();
    let script = "sleep 60 & echo $! > one; (sleep 60 & echo $! > two; wait) & sleep 60";
    // Long enough for the shells to start on a busy machine.
    let live = Live::start(cb.sh(["--timeout", "2"], "x", script));
    let left_behind = [cb.pid("one"), cb.pid("two")];
    live.end().code(124).one_line("timed out after 2s");
    assert!(left_behind.iter().all(|&pid| !alive(pid)));
}

#[test]
fn those_of_the_group_that_ignore_term_are_killed() {
    let cb = Cb::new();
    let script = "(trap '' TERM; sh -c 'echo $$ > pid; exec sleep 60') & exec sleep 60";
    let live = Live::start(cb.sh(["--timeout", "2", "-k", "0.2"], "x", script));
    let left_behind = cb.pid("pid");
    let ran = live.end().code(137);
    assert_eq!(ran.stderr_text().lines().count(), 2, "{ran}");
    eventually("the kernel is done with it", || !alive(left_behind));
}

#[test]
fn in_the_foreground_only_the_command_is_ended() {
    let cb = Cb::new();
    let script = "sleep 60 & echo $! > pid; exec sleep 60";
    let live = Live::start(cb.sh(["--timeout", "2", "--foreground"], "x", script));
    let left_behind = cb.pid("pid");
    live.end().code(124).one_line("timed out after 2s");
    assert!(alive(left_behind));
    send(left_behind, libc::SIGKILL);
}

#[test]
fn the_child_leads_a_group_unless_it_stays_in_the_foreground() {
    let check = |options: &[&str], own: bool| {
        let cb = Cb::new();
        let mut command = cb.command(["exec"]);
        let script = "echo $$ > pid; while [ ! -e go ] && [ -e $PWD ]; do sleep 0.02; done";
        command.args(options).args(["x", "--", "sh", "-c", script]).current_dir(cb.path(""));
        let live = Live::start(command);
        let (child, ours) = (cb.pid("pid"), live.pid());
        const GROUP: usize = 5;
        const SESSION: usize = 6;
        let expected = if own { child } else { stat(ours, GROUP) };
        assert_eq!(stat(child, GROUP), expected, "{options:?}");
        assert_eq!(stat(child, SESSION), stat(ours, SESSION));
        cb.touch("go");
        live.end().code(0);
    };
    check(&[], false);
    check(&["--timeout", "60"], true);
    check(&["--timeout", "60", "--foreground"], false);
}

#[test]
fn what_a_person_sends_reaches_the_whole_group() {
    let cb = Cb::new();
    let script = "sleep 60 & echo $! > pid; exec sleep 60";
    let live = Live::start(cb.sh(["--timeout", "60"], "x", script));
    let left_behind = cb.pid("pid");
    live.send(libc::SIGTERM);
    live.end().signal(libc::SIGTERM).stderr("");
    eventually("so has its group", || !alive(left_behind));
    assert_eq!((cb.total("x", "ignored"), cb.total("x", "failed")), (1, 0));
}

#[test]
fn failures_by_timeout_open_the_breaker() {
    let cb = Cb::new().config("[breaker.pay]\ntimeout = \"100ms\"\nconsecutive_failures = 2\n");
    for _ in 0..2 {
        cb.exec("pay", ["sleep", "60"]).code(124).one_line("cb: pay: timed out after 100ms");
    }
    cb.exec("pay", ["sleep", "60"]).code(75).one_line("cb: pay: not run: open");
}

#[test]
fn a_late_end_of_a_trial_reopens() {
    let cb = Cb::new();
    cb.make_due("x");
    cb.exec_with(["--timeout", "0.1"], "x", ["sleep", "60"]).code(124);
    cb.is("x", "open");
    let status = cb.status("x");
    assert_eq!(status["last_transition"]["reason"], "trial_failed", "{status}");
}

#[test]
fn output_up_to_the_end_is_kept() {
    let cb = Cb::new();
    let script = "trap 'echo bye; exit' TERM; echo hi; while :; do sleep 0.02; done";
    cb.exec_with(["--timeout", "2"], "x", ["sh", "-c", script]).code(124).stdout("hi\nbye\n");
    fs::metadata(cb.store()).expect("a store");
}
