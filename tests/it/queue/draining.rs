//! A drain: in order, through the breaker, at a pace, several at once.

use rustix::fs::{FlockOperation, flock};

use super::*;
use crate::live::Live;

/// Writes down when it ran, in nanoseconds.
const TELL: &str = "date +%s%N >> ledger";

#[test]
fn one_trial_goes_first_and_one_that_fails_keeps_the_rest_in_order() {
    let cb = manual();
    let script = "echo $CB_STATE >> ledger; [ -e up ]";
    let options = ["--attempt-delay", "20ms", "--max-attempts", "50"];
    for _ in 0..4 {
        cb.add_sh(&options, script);
    }
    cb.make_due("pay");
    let ran = cb.drain(&[]).code(0);
    assert_eq!(cb.lines("ledger"), ["half-open"], "{ran}");
    ran.stdout_has("1 failed for now; 4 left: open");
    cb.is("pay", "open");
    assert_eq!(cb.states(), ["pending"; 4]);
    cb.touch("up");
    cb.make_due("pay");
    eventually("all are done", || {
        cb.drain(&[]).code(0);
        cb.states() == ["done"; 4]
    });
    let states = cb.lines("ledger");
    assert_eq!(states, ["half-open", "half-open", "closed", "closed", "closed"]);
    cb.is("pay", "closed");
}

#[test]
fn while_the_breaker_is_open_nothing_runs() {
    let cb = manual();
    let id = cb.add_sh(&[], "touch ran");
    for words in [&["trip", "pay"][..], &["hold", "pay", "forced-open"]] {
        cb.run(words).code(0);
        cb.drain(&[]).code(0).stdout_has("pay: 1 left: ").stderr("");
        assert_eq!(cb.jobs()[0]["attempts"], 0);
    }
    assert!(!cb.path("ran").exists());
    cb.run(["release", "pay"]).code(0);
    cb.run(["reset", "pay"]).code(0);
    cb.drain(&[]).code(0).stdout("pay: 1 done\n");
    assert_eq!(cb.state_of(&id), "done");
}

#[test]
fn a_breaker_that_opens_mid_drain_keeps_the_rest_in_order() {
    let cb = manual();
    let options = ["--attempt-delay", "1h"];
    let mut ids = vec![cb.add(&options, ["true"]), cb.add(&options, ["true"])];
    ids.extend((0..2).map(|_| cb.add(&options, ["false"])));
    ids.extend((0..3).map(|_| cb.add_sh(&options, "echo $CB_JOB_ID >> ledger")));
    let ran = cb.drain(&["--consecutive-failures", "2"]).code(0);
    ran.stdout_has("2 done, 2 failed for now; 5 left: open").stderr_has("attempt 1 failed");
    cb.is("pay", "open");
    assert!(!cb.path("ledger").exists());
    let states = ["done", "done", "pending", "pending", "pending", "pending", "pending"];
    assert_eq!(cb.states(), states);
    cb.run(["reset", "pay"]).code(0);
    cb.drain(&[]).code(0).stdout("pay: 3 done; 2 left for later\n");
    assert_eq!(cb.lines("ledger"), ids[4..]);
}

#[test]
fn the_starts_are_spread_at_the_rate_that_is_asked_for() {
    let cb = manual();
    for _ in 0..5 {
        cb.add_sh(&[], TELL);
    }
    cb.drain(&["--rate", "10/s"]).code(0).stdout("pay: 5 done\n");
    check_spread(&cb, 5);
}

/// So many starts take their time at 10/s. What is written down is a little after
/// the start, and the first may be late: two starts are given for that.
#[track_caller]
fn check_spread(cb: &Cb, count: usize) {
    let mut times: Vec<u128> =
        cb.lines("ledger").iter().map(|line| line.parse().expect("a time")).collect();
    times.sort_unstable();
    assert_eq!(times.len(), count);
    let spread_ms = (times[count - 1] - times[0]) / 1_000_000;
    let least_ms = 100 * (count as u128 - 3);
    assert!(spread_ms >= least_ms, "{spread_ms} ms, not {least_ms} at least: {times:?}");
}

#[test]
fn all_drains_of_a_queue_share_one_rate() {
    let cb = manual();
    for _ in 0..8 {
        cb.add_sh(&[], TELL);
    }
    let drains: Vec<Live> =
        (0..3).map(|_| Live::start(cb.draining(&["--rate", "10/s", "--jobs", "2"]))).collect();
    drains.into_iter().for_each(|drain| {
        drain.end().code(0);
    });
    check_spread(&cb, 8);
}

#[test]
fn several_jobs_run_at_once() {
    let cb = manual();
    // Each waits for all the others.
    let script = "touch here.$CB_JOB_ID; while [ $(ls here.* | wc -l) -lt 4 ] && [ -e $PWD ]; \
                  do sleep 0.02; done";
    for _ in 0..4 {
        cb.add_sh(&[], script);
    }
    cb.drain(&["--jobs", "4"]).code(0).stdout("pay: 4 done\n").stderr("");
    assert_eq!(cb.states(), ["done"; 4]);
}

#[test]
fn several_at_once_still_send_one_trial_first() {
    let cb = manual();
    let script = "echo $CB_STATE >> ledger; touch in.$CB_JOB_ID; \
                  [ $CB_STATE = closed ] || { sleep 0.2; ls in.* | wc -l > beside; }";
    for _ in 0..6 {
        cb.add_sh(&[], script);
    }
    cb.make_due("pay");
    cb.drain(&["--jobs", "3"]).code(0).stdout("pay: 6 done\n").stderr("");
    let states = cb.lines("ledger");
    assert_eq!(states[0], "half-open");
    assert!(states[1..].iter().all(|state| state == "closed"), "{states:?}");
    assert_eq!(cb.lines("beside"), ["1"]);
}

#[test]
fn a_watch_takes_what_comes_later_and_ends_cleanly() {
    for options in [&["--watch"][..], &["--watch", "--jobs", "2"]] {
        let cb = manual();
        let live = Live::start(cb.draining(options));
        cb.add_sh(&[], "touch one");
        cb.sees("one");
        cb.run(["trip", "pay"]).code(0);
        let id = cb.add_sh(&[], "touch two");
        cb.run(["reset", "pay"]).code(0);
        cb.sees("two");
        cb.becomes(&id, "done");
        live.send(libc::SIGTERM);
        live.end().code(0).stdout("pay: 2 done\n").stderr("");
    }
}

#[test]
fn each_attempt_has_its_number_and_its_log() {
    let cb = manual();
    let script =
        "echo \"out $CB_JOB_ATTEMPT\"; echo \"err $CB_JOB_ID\" >&2; [ $CB_JOB_ATTEMPT = 3 ]";
    let id = cb.add_sh(&["--attempt-delay", "10ms"], script);
    eventually("it is done", || {
        cb.drain(&[]).code(0);
        cb.state_of(&id) == "done"
    });
    for attempt in 1..=3 {
        assert_eq!(cb.log(&id, attempt), format!("out {attempt}\nerr {id}\n"));
    }
    let shown = cb.shown(&id);
    assert_eq!(shown["attempts"], 3);
    let history = shown["history"].as_array().expect("a list");
    let ends: Vec<&Value> = history.iter().map(|attempt| &attempt["ended"]).collect();
    assert_eq!(ends, ["failure", "failure", "success"]);
    assert_eq!(history[0]["exit_code"], 1);
    assert!(Path::new(history[2]["log"].as_str().expect("a path")).is_file());
}

#[test]
fn a_log_has_a_bound_and_the_job_does_not_feel_it() {
    let cb = manual();
    let script = "head -c 1000000 /dev/zero | tr '\\0' x && echo end && echo ok > ok";
    let id = cb.add_sh(&[], script);
    cb.drain(&[]).code(0).stdout("pay: 1 done\n").stderr("");
    assert_eq!(cb.lines("ok"), ["ok"]);
    let log = cb.log(&id, 1);
    assert!(log.starts_with(&"x".repeat(65_536)), "{}", log.len());
    assert_eq!(&log[65_536..], "\n[cb: 934468 more bytes were left out]\n");
}

#[test]
fn two_drains_at_once_run_each_job_once() {
    let cb = manual();
    let ids: Vec<String> = (0..20).map(|_| cb.add_sh(&[], "echo $CB_JOB_ID >> ledger")).collect();
    let drains: Vec<Live> = (0..2).map(|_| Live::start(cb.draining(&[]))).collect();
    for drain in drains {
        drain.end().code(0).stderr("");
    }
    let mut ran = cb.lines("ledger");
    ran.sort();
    assert_eq!(ran, ids);
    assert_eq!(cb.states(), ["done"; 20]);
}

#[test]
fn the_settings_of_the_call_go_with_the_job_and_those_of_the_drain_win() {
    let cb = manual();
    let slow = cb.add(&["--timeout", "50ms", "--max-attempts", "1"], ["sleep", "60"]);
    cb.drain(&[]).code(0).stdout("pay: 1 given up\n").stderr_has("it had all its attempts");
    assert_eq!(cb.state_of(&slow), "failed");
    let shown = cb.shown(&slow);
    assert!(shown["settings"].as_str().expect("text").contains("timeout=50ms"), "{shown}");
    cb.run(["reset", "pay"]).code(0);
    let fast = cb.add_sh(&["--timeout", "1ms", "--max-attempts", "1"], "sleep 0.05");
    cb.drain(&["--timeout", "1m"]).code(0).stdout("pay: 1 done\n");
    assert_eq!(cb.state_of(&fast), "done");
}

#[test]
fn a_job_has_no_descriptor_of_the_drain_but_the_one_that_says_it_runs() {
    let cb = manual();
    let id = cb.add_sh(&[], "ls -l /proc/$$/fd > fds");
    cb.drain(&[]).code(0).stdout("pay: 1 done\n");
    // What the caller of the drain had open is not the drain's.
    let here = cb.path("").canonicalize().expect("a path").display().to_string();
    let links = cb.lines("fds").into_iter();
    let targets = links.filter_map(|line| Some(line.split_once(" -> ")?.1.to_owned()));
    let own: Vec<String> = targets.filter(|target| target.starts_with(&here)).collect();
    assert_eq!(own.len(), 2, "{own:?}");
    assert!(own.contains(&format!("{}/fds", here.trim_end_matches('/'))), "{own:?}");
    assert!(own.iter().any(|path| path.ends_with(&format!("/pay/queue/running/{id}"))), "{own:?}");
}

#[test]
fn a_watch_survives_a_lock_that_is_held_too_long() {
    let cb = manual();
    cb.exec("pay", ["true"]).code(0);
    let path = cb.store().join("pay/lock");
    let lock = fs::File::open(path).expect("a lock file");
    flock(&lock, FlockOperation::LockExclusive).expect("it is free");
    let id = cb.add_sh(&[], "true");
    let live = Live::start(cb.draining(&["--watch"]));
    eventually("it is told", || live.stderr_so_far().contains("is locked by another process"));
    assert_eq!(cb.state_of(&id), "pending");
    drop(lock);
    cb.becomes(&id, "done");
    live.send(libc::SIGTERM);
    live.end().code(0).stdout("pay: 1 done\n");
}

#[test]
fn a_watch_follows_a_breaker_that_is_removed_and_made_again() {
    let cb = manual();
    let first = cb.add_sh(&[], "true");
    let live = Live::start(cb.draining(&["--watch"]));
    cb.becomes(&first, "done");
    cb.run(["rm", "pay"]).code(0);
    let second = cb.add_sh(&[], "true");
    cb.becomes(&second, "done");
    live.send(libc::SIGTERM);
    live.end().code(0).stdout("pay: 2 done\n").stderr("");
}

#[test]
fn an_idle_watch_of_an_open_breaker_counts_no_rejection() {
    let cb = manual();
    cb.run(["trip", "pay", "--for", "1h"]).code(0);
    cb.add_sh(&[], "true");
    let live = Live::start(cb.draining(&["--watch"]));
    let begin = std::time::Instant::now();
    eventually("it has looked twice", || begin.elapsed() > std::time::Duration::from_secs(2));
    live.send(libc::SIGTERM);
    live.end().code(0).stdout("pay: 1 left: ended by signal 15\n");
    assert_eq!(cb.total("pay", "rejected"), 0);
}

#[test]
fn the_age_that_one_job_brings_is_no_other_jobs() {
    let cb = manual();
    let charge = ["sh", "-c", "echo charged >> ledger"];
    let first = cb.add(&["--key", "order-1"], charge);
    cb.drain(&[]).code(0);
    let done = std::time::Instant::now();
    eventually("it is old enough", || done.elapsed() > std::time::Duration::from_millis(1100));
    cb.add_sh(&["--max-age", "1s"], "true");
    cb.drain(&[]).code(0).stdout("pay: 1 done\n");
    let again = bounded(cb.adding(&["--key", "order-1"], charge)).code(0);
    again.stdout(&format!("{first}\n")).stderr_has("already, which is done");
    cb.drain(&[]).code(0);
    assert_eq!(cb.lines("ledger"), ["charged"]);
}
