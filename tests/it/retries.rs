//! `--retries`: attempts that are calls of their own, what each of them reads,
//! and which one's output is the caller's.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;

use crate::live::{Live, alive, first};
use crate::pty::Pty;
use crate::support::{Cb, Ran, eventually};

/// Retries without a pause worth the name, through a breaker that stays closed.
pub fn soon(retries: &str) -> [&str; 5] {
    ["--retries", retries, "--retry-delay=1ms", "--retry-jitter=0%", "--consecutive-failures=0"]
}

/// `cb exec OPTIONS pay -- sh -c SCRIPT`, in the test's own directory.
pub fn sh(cb: &Cb, options: &[&str], script: &str) -> Command {
    let mut command = cb.command(["exec"]);
    command.args(options).args(["pay", "--", "sh", "-c", script]).current_dir(cb.path(""));
    command
}

#[track_caller]
fn report(cb: &Cb) -> Value {
    serde_json::from_slice(&fs::read(cb.path("result")).expect("a report")).expect("JSON")
}

pub const COUNT: &str = "echo $CB_ATTEMPT >> attempts; exit 7";

#[test]
fn each_attempt_is_a_call_of_its_own() {
    let cb = Cb::new();
    let options = [&soon("3")[..], &["--result-file", "result"]].concat();
    let ran = Ran::of(sh(&cb, &options, COUNT)).code(7).stdout("");
    ran.stderr(
        "cb: pay: attempt 1 of 4 failed (exit status 7), next in 1ms\n\
         cb: pay: attempt 2 of 4 failed (exit status 7), next in 2ms\n\
         cb: pay: attempt 3 of 4 failed (exit status 7), next in 4ms\n",
    );
    assert_eq!(cb.lines("attempts"), ["1", "2", "3", "4"]);
    assert_eq!((cb.total("pay", "admitted"), cb.total("pay", "failed")), (4, 4));
    let report = report(&cb);
    assert_eq!((&report["attempts"], &report["exit_code"]), (&4.into(), &7.into()));
    assert_eq!((&report["outcome"], &report["fallback"]), (&"failure".into(), &Value::Null));
    Ran::of(sh(&cb, &[&["-q"], &soon("1")[..]].concat(), COUNT)).code(7).stderr("");
}

#[test]
fn a_success_ends_the_attempts() {
    let cb = Cb::new();
    let options = [&soon("5")[..], &["--result-file", "result"]].concat();
    let script = "echo attempt $CB_ATTEMPT; test $CB_ATTEMPT = 3";
    Ran::of(sh(&cb, &options, script)).code(0).stdout("attempt 1\nattempt 2\nattempt 3\n");
    assert_eq!((cb.total("pay", "failed"), cb.total("pay", "succeeded")), (2, 1));
    let report = report(&cb);
    assert_eq!((&report["attempts"], &report["outcome"]), (&3.into(), &"success".into()));
    assert_eq!((&report["reason"], &report["exit_code"]), (&Value::Null, &0.into()));
}

#[test]
fn without_retries_there_is_one_attempt() {
    let cb = Cb::new();
    for options in [&[][..], &["--retries", "0"]] {
        Ran::of(sh(&cb, options, "echo $CB_ATTEMPT; exit 7")).code(7).stdout("1\n").stderr("");
    }
    assert_eq!(cb.total("pay", "admitted"), 2);
}

#[test]
fn an_open_breaker_ends_the_attempts() {
    let cb = Cb::new();
    let options = ["--retries=5", "--retry-delay=1ms", "--retry-jitter=0%"];
    let trips = ["--consecutive-failures=2", "--result-file=result"];
    let ran = Ran::of(sh(&cb, &[&options[..], &trips].concat(), COUNT)).code(7).stdout("");
    assert_eq!(cb.lines("attempts"), ["1", "2"]);
    let text = ran.stderr_text();
    let last = text.lines().last().expect("lines");
    assert!(last.starts_with("cb: pay: not tried again: open"), "{text}");
    let told = report(&cb);
    assert_eq!((&told["attempts"], &told["state_after"]), (&2.into(), &"open".into()));
    assert_eq!((&told["outcome"], &told["exit_code"]), (&"failure".into(), &7.into()));
    assert_eq!(cb.total("pay", "failed"), 2);

    // It was called and failed: that is no rejection, whatever ended it.
    cb.run(["reset", "-q", "pay"]).code(0);
    let chains = ["--on-open=exit:1", "--on-failure=run:echo $CB_REASON $CB_STATE $CB_EXIT_CODE"];
    let all = [&options[..], &trips, &chains].concat();
    Ran::of(sh(&cb, &all, COUNT)).code(0).stdout("failure open 7\n");
    let told = report(&cb);
    assert_eq!((&told["outcome"], &told["fallback"]), (&"failure".into(), &"run".into()));
}

#[test]
fn what_stands_in_comes_after_the_last_attempt() {
    let cb = Cb::new();
    let options = [&soon("2")[..], &["--on-failure=run:echo stood in for $CB_EXIT_CODE"]].concat();
    let ran = Ran::of(sh(&cb, &options, "exit $CB_ATTEMPT")).code(0);
    let ran = ran.stdout("stood in for 3\n");
    let text = ran.stderr_text();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.ends_with("cb: pay: failed (exit status 3); a command stands in\n"), "{text}");
}

#[test]
fn what_is_ignored_is_not_tried_again() {
    let cb = Cb::new();
    for (script, code) in [("exit 126", 126), ("exit 127", 127), ("exit 3", 3)] {
        let options = [&soon("3")[..], &["--ignore-codes=3,126,127"]].concat();
        Ran::of(sh(&cb, &options, script)).code(code).stderr("");
    }
    cb.exec_with(soon("3"), "pay", ["cb-no-such-program"]).code(127).one_line("cannot run");
    cb.exec_with(soon("3"), "pay", ["/"]).code(126).one_line("cannot run");
    Ran::of(sh(&cb, &soon("3"), "kill -PIPE $$")).signal(libc::SIGPIPE).stderr("");
    assert_eq!((cb.total("pay", "admitted"), cb.total("pay", "ignored")), (6, 6));
}

#[test]
fn timeouts_and_deaths_are_tried_again() {
    let cb = Cb::new();
    let options = [&soon("1")[..], &["--timeout=0.1"]].concat();
    let ran = Ran::of(sh(&cb, &options, "echo x >> attempts; exec sleep 60")).code(124);
    ran.stderr_has("attempt 1 of 2 failed (timed out), next in 1ms\n");
    assert_eq!(cb.lines("attempts").len(), 2);
    let ran = Ran::of(sh(&cb, &soon("1"), "kill -KILL $$")).signal(libc::SIGKILL);
    ran.one_line("attempt 1 of 2 failed (killed by signal 9), next in 1ms\n");
    // One that was killed and one that then works.
    let ran = Ran::of(sh(&cb, &soon("1"), "test $CB_ATTEMPT = 2 || kill -KILL $$"));
    ran.code(0);
    assert_eq!(cb.total("pay", "failed"), 5);
}

/// The pauses that cb says it makes.
#[track_caller]
fn pauses(options: &[&str]) -> Vec<String> {
    let cb = Cb::new();
    let all = [options, &["--consecutive-failures=0", "--failure-rate=0"]].concat();
    let text = Ran::of(sh(&cb, &all, "exit 1")).code(1).stderr_text();
    let pause = |line: &str| line.split("next in ").nth(1).expect("a pause").to_owned();
    text.lines().map(pause).collect()
}

#[test]
fn an_attempt_that_cannot_be_started_is_none() {
    let cb = Cb::new();
    let program = cb.path("program");
    fs::write(&program, "#!/bin/sh\nrm \"$0\"; exit 1\n").unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let result = cb.path("result");
    let options = [&soon("3")[..], &["--result-file", result.to_str().expect("UTF-8")]].concat();
    let ran = cb.exec_with(options, "pay", [&program]).code(127);
    ran.stderr_has("attempt 1 of 4 failed (exit status 1)").stderr_has("cannot run");
    let told = report(&cb);
    assert_eq!((&told["attempts"], &told["ran"]), (&1.into(), &false.into()));
    assert_eq!((cb.total("pay", "failed"), cb.total("pay", "ignored")), (1, 1));
}

#[test]
fn the_pause_grows_to_its_cap() {
    let base = ["--retries=5", "--retry-delay=10ms", "--retry-jitter=0"];
    let with = |more: &[&str]| pauses(&[&base[..], more].concat());
    assert_eq!(with(&[]), ["10ms", "20ms", "40ms", "80ms", "160ms"]);
    assert_eq!(with(&["--retry-max-delay=25ms"]), ["10ms", "20ms", "25ms", "25ms", "25ms"]);
    assert_eq!(with(&["--retry-backoff=1"]), ["10ms"; 5]);
    assert_eq!(with(&["--retry-backoff=1.5"])[..3], ["10ms", "15ms", "22ms"]);
    // Spread, it stays within what was asked for.
    let spread =
        pauses(&["--retries=20", "--retry-delay=10ms", "--retry-backoff=1", "--retry-jitter=50%"]);
    let spread: Vec<u32> =
        spread.iter().map(|pause| pause.trim_end_matches("ms").parse().expect("ms")).collect();
    assert!(spread.iter().all(|ms| (5..=15).contains(ms)), "{spread:?}");
    assert!(spread.iter().any(|ms| *ms != spread[0]), "{spread:?}");
}

#[test]
fn no_attempt_begins_after_the_time_for_all() {
    let cb = Cb::new();
    let options =
        ["--retries=5", "--retry-delay=1h", "--retry-max-delay=1h", "--retry-max-time=1m"];
    let ran = Ran::of(sh(&cb, &options, COUNT)).code(7);
    ran.one_line("cb: pay: not tried again: that would be later than 1m (retry_max_time)\n");
    assert_eq!(cb.lines("attempts"), ["1"]);
    let options = [&soon("2")[..], &["--retry-max-time=1h"]].concat();
    Ran::of(sh(&cb, &options, COUNT)).code(7);
    assert_eq!(cb.lines("attempts"), ["1", "1", "2", "3"]);
}

#[test]
fn a_person_who_ends_an_attempt_ends_all() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let cb = Cb::new();
        let script = "echo $$ >> attempts; touch ready; exec sleep 60";
        let mut command = sh(&cb, &soon("3"), script);
        command.process_group(0);
        let live = Live::start(command);
        cb.sees("ready");
        live.send(signal);
        live.end().signal(signal).stderr("");
        assert_eq!((cb.lines("attempts").len(), cb.total("pay", "ignored")), (1, 1));
    }
}

#[test]
fn a_failure_of_a_call_that_was_told_to_end_is_the_last() {
    let ways: [(i32, &str, &[&str], i32); 2] = [
        // "Read your files again" may also mean: end.
        (libc::SIGHUP, "trap 'exit 1' HUP", &[], 1),
        (libc::SIGTERM, "trap 'touch got' TERM", &["--timeout=3", "--kill-after=0.1"], 137),
    ];
    for (signal, trap, more, code) in ways {
        let cb = Cb::new();
        let script =
            format!("{trap}; echo x >> attempts; touch ready; while :; do sleep 0.02; done");
        let stands_in = ["--on-failure=run:touch stood-in", "-q"];
        let mut command = sh(&cb, &[&soon("3")[..], more, &stands_in].concat(), &script);
        command.process_group(0);
        let live = Live::start(command);
        cb.sees("ready");
        live.send(signal);
        live.end().code(code);
        assert_eq!((cb.lines("attempts").len(), cb.total("pay", "failed")), (1, 1), "{trap}");
        assert!(!cb.path("stood-in").exists(), "{trap}");
    }
    // One that is only told something goes on, and is tried again.
    let cb = Cb::new();
    let script = "echo x >> attempts; test $CB_ATTEMPT = 2 && exit 0; trap 'exit 1' USR1; \
                  touch ready; while :; do sleep 0.02; done";
    let mut command = sh(&cb, &soon("3"), script);
    command.process_group(0);
    let live = Live::start(command);
    cb.sees("ready");
    live.send(libc::SIGUSR1);
    live.end().code(0).one_line("attempt 1 of 4 failed (exit status 1)");
}

#[test]
fn a_person_ends_the_pause() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let cb = Cb::new();
        let options = ["--retries=3", "--retry-delay=1h", "--retry-max-delay=1h"];
        let mut command = sh(&cb, &[&options[..], &["--on-failure=run:touch ran"]].concat(), COUNT);
        command.process_group(0);
        let live = Live::start(command);
        eventually("it waits", || live.stderr_so_far().contains("next in "));
        live.send(signal);
        live.end().signal(signal);
        assert_eq!((cb.lines("attempts").len(), cb.total("pay", "failed")), (1, 1));
        assert!(!cb.path("ran").exists());
    }
}

#[test]
fn a_call_that_is_ended_in_a_pause_is_told_and_its_output_is_there() {
    let cb = Cb::new();
    let options = ["--retries=3", "--retry-delay=1h", "--retry-max-delay=1h", "--hold-stdout"];
    let more = ["--result-file=result", "--on-failure=run:touch ran"];
    let mut command = sh(&cb, &[&options[..], &more].concat(), "echo out $CB_ATTEMPT; exit 3");
    command.process_group(0);
    let live = Live::start(command);
    eventually("it waits", || live.stderr_so_far().contains("next in "));
    std::thread::sleep(Duration::from_millis(100));
    live.send(libc::SIGTERM);
    live.end().signal(libc::SIGTERM).stdout("out 1\n");
    let told = report(&cb);
    assert_eq!((&told["outcome"], &told["exit_code"]), (&"failure".into(), &3.into()));
    assert_eq!((&told["ran"], &told["attempts"]), (&true.into(), &1.into()));
    assert_eq!(told["state_after"], "closed");
    assert!(!cb.path("ran").exists());
}

#[test]
fn an_ignored_signal_neither_ends_nor_shortens_a_pause() {
    let cb = Cb::new();
    let mut command = sh(&cb, &["--retries=1", "--retry-delay=600ms", "--retry-jitter=0"], COUNT);
    // SAFETY: signal touches no memory.
    first(&mut command, || unsafe {
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
    });
    let live = Live::start(command);
    eventually("it waits", || live.stderr_so_far().contains("next in "));
    let begin = Instant::now();
    for _ in 0..3 {
        live.send(libc::SIGHUP);
        std::thread::sleep(Duration::from_millis(30));
    }
    live.end().code(7);
    assert!(begin.elapsed() > Duration::from_millis(400), "{:?}", begin.elapsed());
    assert_eq!(cb.lines("attempts"), ["1", "2"]);
}

#[test]
fn an_attempt_that_cannot_be_made_hides_none_that_was() {
    let cb = Cb::new();
    let options = ["--retries=3", "--retry-delay=400ms", "--hold-stdout", "--result-file=result"];
    let live = Live::start(sh(&cb, &options, "echo out $CB_ATTEMPT; exit 7"));
    eventually("it waits", || live.stderr_so_far().contains("next in "));
    // It gets no descriptor any more.
    let limit = Rlimit { current: Some(3), maximum: Some(3) };
    prlimit(Pid::from_raw(live.pid()), Resource::Nofile, limit).expect("a limit");
    let ran = live.end().code(7).stdout("out 1\n");
    ran.stderr_has("not tried again: cannot start a process: ");
    let told = report(&cb);
    assert_eq!((&told["outcome"], &told["exit_code"]), (&"failure".into(), &7.into()));
    assert_eq!((&told["ran"], &told["attempts"]), (&true.into(), &1.into()));
}

#[test]
fn a_typed_interrupt_ends_all() {
    let cb = Cb::new();
    let mut pty = Pty::bash(&cb);
    pty.line("$CB exec --retries 5 --retry-delay 1ms pay sh -c 'echo at $CB_ATTEMPT; sleep 60'");
    pty.sees("at 1");
    pty.interrupt();
    pty.line("echo status $?.");
    pty.sees("status 130.");
    assert_eq!((cb.total("pay", "admitted"), cb.total("pay", "ignored")), (1, 1));
}

#[test]
fn held_output_is_the_last_attempts() {
    let cb = Cb::new();
    let script = "echo out $CB_ATTEMPT; echo err $CB_ATTEMPT >&2; exit $((3 - CB_ATTEMPT))";
    let options = [&soon("5")[..], &["--hold-stdout", "-q"]].concat();
    Ran::of(sh(&cb, &options, script)).code(0).stdout("out 3\n").stderr("err 1\nerr 2\nerr 3\n");
    // One that fails to the end has its last output too, in full.
    let script = "seq 100000; echo out $CB_ATTEMPT; exit 1";
    let ran = Ran::of(sh(&cb, &[&soon("2")[..], &["--hold-stdout"]].concat(), script)).code(1);
    let lines: Vec<String> = ran.stdout_text().lines().map(str::to_owned).collect();
    assert_eq!((lines.len(), lines.last().map(String::as_str)), (100_001, Some("out 3")));
    // And one attempt alone.
    Ran::of(sh(&cb, &["--hold-stdout"], "echo alone; exit 3")).code(3).stdout("alone\n").stderr("");
    let ran = Ran::of(sh(&cb, &["--hold-stdout"], "echo alone; kill -KILL $$"));
    ran.signal(libc::SIGKILL).stdout("alone\n");
}

#[test]
fn held_output_comes_when_the_breaker_opens_between() {
    let cb = Cb::new();
    let options = ["--retries=5", "--retry-delay=1ms", "--consecutive-failures=2", "--hold-stdout"];
    let script = "echo out $CB_ATTEMPT; exit 7";
    Ran::of(sh(&cb, &options, script))
        .code(7)
        .stdout("out 2\n")
        .stderr_has("not tried again: open");
}

#[test]
fn held_output_is_not_seen_before_the_end() {
    let cb = Cb::new();
    cb.gate("go");
    let mut command = sh(&cb, &["--hold-stdout"], "echo held; touch ready; read _ < go; echo more");
    let out = File::create(cb.path("out")).unwrap();
    command.stdout(out);
    let mut child = command.spawn().expect("cb starts");
    cb.sees("ready");
    assert_eq!(cb.lines("out"), [] as [&str; 0]);
    cb.open_gate("go");
    assert_eq!(crate::live::ended(&mut child).code(), Some(0));
    assert_eq!(cb.lines("out"), ["held", "more"]);
}

#[test]
fn held_output_gives_way_to_what_stands_in() {
    let cb = Cb::new();
    let hold = [&soon("1")[..], &["--hold-stdout", "-q"]].concat();
    let script = "echo bad $CB_ATTEMPT; exit 1";
    for (action, code, out) in [
        ("run:echo instead", 0, "instead\n"),
        ("exit:9", 9, ""),
        ("queue", 76, ""),
        ("cache", 1, "bad 2\n"),
        ("fail", 1, "bad 2\n"),
    ] {
        let more = ["--drain=manual", "--on-failure", action];
        Ran::of(sh(&cb, &[&hold[..], &more].concat(), script)).code(code).stdout(out);
    }
}

#[test]
fn held_output_over_the_bound_is_passed_on() {
    let cb = Cb::new();
    let script = "echo $CB_ATTEMPT >> attempts; head -c 67108865 /dev/zero; exit 1";
    let mut command = sh(&cb, &[&soon("3")[..], &["--hold-stdout"]].concat(), script);
    command.stdout(File::create(cb.path("out")).unwrap()).stderr(Stdio::piped());
    let output = command.spawn().and_then(std::process::Child::wait_with_output).unwrap();
    Ran { output }.code(1).one_line("not tried again: its output was too much to hold");
    assert_eq!(cb.lines("attempts"), ["1"]);
    assert_eq!(fs::metadata(cb.path("out")).unwrap().len(), 67_108_865);
}

#[test]
fn only_the_attempt_that_succeeds_is_kept() {
    for hold in [&[][..], &["--hold-stdout"]] {
        let cb = Cb::new();
        let options = [&soon("2")[..], &["--on-open=cache", "-q"], hold].concat();
        let script = "echo out $CB_ATTEMPT; test $CB_ATTEMPT = 2";
        let all = if hold.is_empty() { "out 1\nout 2\n" } else { "out 2\n" };
        Ran::of(sh(&cb, &options, script)).code(0).stdout(all);
        cb.run(["trip", "-q", "pay"]).code(0);
        Ran::of(sh(&cb, &options, script)).code(0).stdout("out 2\n");
    }
}

#[test]
fn a_trial_that_fails_is_not_tried_again() {
    let cb = Cb::new();
    cb.make_due("pay");
    let options = ["--retries=5", "--retry-delay=1ms", "--result-file=result"];
    let ran = Ran::of(sh(&cb, &options, "echo $CB_STATE; exit 1")).code(1).stdout("half-open\n");
    ran.stderr_has("not tried again: open");
    let told = report(&cb);
    assert_eq!((&told["attempts"], &told["state_after"]), (&1.into(), &"open".into()));
    // Where a round has room for one that fails, the next attempt is its second trial.
    let cb = Cb::new();
    cb.make_due("pay");
    let round = ["--half-open-calls=3", "--success-threshold=1"];
    let script = "echo $CB_STATE; test $CB_ATTEMPT = 2";
    let all = [&options[..], &round].concat();
    Ran::of(sh(&cb, &all, script)).code(0).stdout("half-open\nhalf-open\n");
    cb.is("pay", "closed");
}

#[test]
fn a_killed_cb_tries_no_more() {
    let cb = Cb::new();
    let script = "echo $$ > pid; echo x >> attempts; while [ ! -e go ] && [ -e $PWD ]; do sleep 0.02; done; exit 1";
    let live = Live::start(sh(&cb, &soon("3"), script));
    let child = cb.pid("pid");
    live.send(libc::SIGKILL);
    live.end().signal(libc::SIGKILL);
    cb.touch("go");
    eventually("it is gone", || !alive(child));
    assert_eq!(cb.lines("attempts").len(), 1);
}

#[test]
fn a_store_that_cannot_be_used_lets_it_be_tried_again() {
    let cb = Cb::new().env("CB_STORE", "/dev/null/store");
    let ran = Ran::of(sh(&cb, &soon("2"), COUNT)).code(7);
    ran.stderr_has("running the command unprotected");
    assert_eq!(cb.lines("attempts"), ["1", "2", "3"]);
}

#[test]
fn wrong_numbers_are_wrong_words() {
    let cb = Cb::new();
    for (option, says) in [
        ("--retries=-1", "retries"),
        ("--retries=1001", "retries"),
        ("--retry-delay=0", "retry-delay"),
        ("--retry-backoff=0.5", "retry-backoff"),
        ("--retry-jitter=101%", "retry-jitter"),
        ("--retry-max-time=soon", "retry-max-time"),
    ] {
        cb.exec_with([option], "pay", ["echo", "ran"]).code(125).stdout("").one_line(says);
    }
}

#[test]
fn what_its_own_failure_opened_is_not_waited_for() {
    let cb = Cb::new();
    let options = ["--retries", "2", "--retry-delay", "5s", "--consecutive-failures", "1"];
    let ran = cb.exec_with(options, "x", ["false"]).code(1);
    ran.one_line("cb: x: not tried again: open");
}
