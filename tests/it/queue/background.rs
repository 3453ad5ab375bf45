//! The drain that nobody calls: it comes when a breaker closes, does its work,
//! and holds nothing of the one who closed it.

use super::*;
use crate::live::{Live, alive, send};

/// Writes down what ran, in which state.
const TELL: &str = "echo \"$CB_JOB_ID $CB_STATE\" >> ledger";

/// A cb that drains on close, with an open breaker and jobs that wait for it.
fn open_with_jobs(count: usize) -> (Cb, Vec<String>) {
    let cb = Cb::new();
    cb.run(["trip", "pay"]).code(0);
    let ids: Vec<String> = (0..count).map(|_| cb.add_sh(&[], TELL)).collect();
    assert_eq!(cb.states(), vec!["pending"; count]);
    (cb, ids)
}

/// All jobs are done, and the drain that did them has left.
#[track_caller]
fn check_drained(cb: &Cb, ids: &[String]) {
    eventually("all are done", || cb.states() == vec!["done"; ids.len()]);
    let ran: Vec<String> = ids.iter().map(|id| format!("{id} closed")).collect();
    assert_eq!(cb.lines("ledger"), ran);
    cb.rested("pay");
}

#[test]
fn a_reset_drains() {
    let (cb, ids) = open_with_jobs(4);
    cb.run(["reset", "pay"]).code(0);
    check_drained(&cb, &ids);
}

#[test]
fn a_trial_that_closes_drains() {
    let (cb, ids) = open_with_jobs(4);
    cb.make_due("pay");
    cb.exec("pay", ["true"]).code(0).stderr("");
    check_drained(&cb, &ids);
}

#[test]
fn a_report_that_closes_drains() {
    let (cb, ids) = open_with_jobs(4);
    cb.make_due("pay");
    let token = cb.run(["allow", "pay"]).code(0).stdout_text();
    assert_eq!(cb.states(), ["pending"; 4]);
    cb.run(["report", "pay", token.trim(), "success"]).code(0).stderr("");
    check_drained(&cb, &ids);
}

#[test]
fn an_allow_that_finds_a_hold_over_drains() {
    let (cb, ids) = open_with_jobs(2);
    cb.run(["hold", "pay", "disabled", "--for", "50ms"]).code(0);
    std::thread::sleep(std::time::Duration::from_millis(100));
    cb.run(["allow", "pay"]).code(0).stderr("");
    check_drained(&cb, &ids);
}

#[test]
fn the_trial_of_a_drain_lets_the_rest_follow() {
    let (cb, ids) = open_with_jobs(3);
    cb.make_due("pay");
    cb.drain(&[]).code(0).stdout_has("done");
    eventually("all are done", || cb.states() == ["done"; 3]);
    let lines = cb.lines("ledger");
    assert_eq!(lines[0], format!("{} half-open", ids[0]));
    assert_eq!(lines[1..], ids[1..].iter().map(|id| format!("{id} closed")).collect::<Vec<_>>());
    cb.rested("pay");
}

#[test]
fn what_is_queued_while_it_is_closed_runs_at_once() {
    let cb = Cb::new();
    let id = cb.add_sh(&[], TELL);
    check_drained(&cb, &[id]);
}

#[test]
fn a_call_that_failed_and_was_queued_is_tried_again_in_the_background() {
    let cb = Cb::new();
    let script = "echo ran >> ledger; [ $(wc -l < ledger) -ge 3 ]";
    let options = ["--on-failure", "queue", "--attempt-delay", "50ms"];
    let mut exec = cb.command(["exec"]);
    exec.args(options).args(["pay", "--", "sh", "-c", script]).current_dir(cb.path(""));
    bounded(exec).code(76).one_line("queued as");
    eventually("it is done", || cb.states() == ["done"]);
    assert_eq!(cb.lines("ledger"), ["ran"; 3]);
    cb.rested("pay");
}

#[test]
fn with_a_manual_drain_nothing_runs_by_itself() {
    let cb = manual();
    cb.run(["trip", "pay"]).code(0);
    let ids: Vec<String> = (0..2).map(|_| cb.add_sh(&[], TELL)).collect();
    cb.run(["reset", "pay"]).code(0);
    cb.make_due("pay");
    cb.exec("pay", ["true"]).code(0);
    cb.is("pay", "closed");
    // No drain ever came: it would have made this file anew.
    assert_eq!(cb.states(), ["pending"; 2]);
    cb.drain(&[]).code(0).stdout("pay: 2 done\n");
    assert_eq!(cb.lines("ledger").len(), ids.len());
}

#[test]
fn a_drain_in_the_background_holds_no_pipe_of_the_caller() {
    let cb = Cb::new();
    cb.run(["trip", "pay"]).code(0);
    // It cannot end before the caller has gone on.
    let script = "echo $$ > pid.new; mv pid.new pid; while [ ! -e go ] && [ -e $PWD ]; \
                  do sleep 0.02; done; readlink /proc/self/fd/* > fds; ls -l /proc/$PPID/fd > drain";
    cb.add_sh(&[], script);
    cb.make_due("pay");
    let mut caller = Command::new("sh");
    cb.environ(&mut caller);
    caller.arg("-c").arg("out=$(\"$0\" exec pay -- echo fine 2>&1); echo \"<$out>\"; touch go");
    caller.arg(crate::support::binary()).current_dir(cb.path(""));
    let mut leash = caller;
    leash.env("SOMETHING", "else");
    // `bounded` reads both pipes to their end: it would wait for the job.
    bounded(leash).code(0).stdout("<fine>\n").stderr("");
    eventually("it is done", || cb.states() == ["done"]);
    let drain = fs::read_to_string(cb.path("drain")).expect("a list");
    assert!(!drain.contains("pipe:") || drain.matches("pipe:").count() == 1, "{drain}");
    cb.rested("pay");
}

#[test]
fn the_drain_outlives_who_started_it_and_a_job_that_waits() {
    let (cb, ids) = open_with_jobs(0);
    assert!(ids.is_empty());
    // The first must wait a little; nobody comes back for it but the drain.
    let script = "echo $CB_JOB_ATTEMPT >> tries; [ $CB_JOB_ATTEMPT = 3 ]";
    cb.add_sh(&["--attempt-delay", "100ms"], script);
    cb.run(["reset", "pay"]).code(0);
    eventually("it is done", || cb.states() == ["done"]);
    assert_eq!(cb.lines("tries"), ["1", "2", "3"]);
    cb.rested("pay");
}

#[test]
fn a_drain_in_the_background_that_is_killed_loses_nothing() {
    let cb = Cb::new();
    cb.run(["trip", "pay"]).code(0);
    let script = "echo $PPID > drainer.new; mv drainer.new drainer; echo $$ > pid.new; \
                  mv pid.new pid; while [ ! -e go ] && [ -e $PWD ]; do sleep 0.02; done";
    let first = cb.add_sh(&[], script);
    let second = cb.add_sh(&[], "touch second");
    cb.run(["reset", "pay"]).code(0);
    let job = cb.pid("pid");
    send(cb.pid("drainer"), libc::SIGKILL);
    cb.touch("go");
    eventually("the job has ended", || !alive(job));
    cb.rested("pay");
    cb.run(["trip", "pay"]).code(0);
    cb.run(["reset", "pay"]).code(0);
    eventually("the rest is done", || cb.state_of(&second) == "done");
    assert_eq!(cb.state_of(&first), "doubt");
    cb.rested("pay");
}

#[test]
fn one_drain_in_the_background_is_enough() {
    let (cb, ids) = open_with_jobs(6);
    let closers: Vec<Live> = (0..5).map(|_| Live::start(cb.command(["reset", "pay"]))).collect();
    for closer in closers {
        closer.end().code(0);
    }
    check_drained(&cb, &ids);
}

#[test]
fn a_drain_by_hand_that_closes_starts_one_for_what_failed() {
    let cb = Cb::new();
    cb.run(["trip", "pay"]).code(0);
    let trial = cb.add_sh(&[], "true");
    let script = "[ $CB_JOB_ATTEMPT = 2 ]";
    let fails = cb.add_sh(&["--attempt-delay", "10ms"], script);
    cb.make_due("pay");
    cb.drain(&[]).code(0);
    cb.becomes(&trial, "done");
    cb.becomes(&fails, "done");
    cb.rested("pay");
}

#[test]
fn what_is_queued_while_all_calls_pass_runs_at_once() {
    for hold in ["disabled", "metrics-only"] {
        let cb = Cb::new();
        cb.run(["hold", "pay", hold]).code(0);
        let id = cb.add_sh(&[], "true");
        cb.becomes(&id, "done");
        cb.rested("pay");
    }
}

#[test]
fn a_drain_in_the_background_finds_the_config_by_its_relative_name() {
    let cb = Cb::new().env("CB_CONFIG", "here.toml");
    std::fs::write(cb.path("here.toml"), "[breaker.pay]\nmax_attempts = 3\n").expect("a file");
    let id = cb.add_sh(&[], "true");
    eventually("it is done", || {
        let mut show = cb.command(["queue", "list", "--json", "--state", "done"]);
        show.current_dir(cb.path(""));
        bounded(show).stdout_text().contains(&id)
    });
    cb.rested("pay");
}

#[test]
fn a_job_of_a_newer_cb_keeps_no_drain_busy() {
    let cb = manual();
    let id = cb.add_sh(&[], "true");
    let path = cb.queue("pending").join(&id);
    let mut bytes = std::fs::read(&path).expect("a job");
    bytes[6] = 9;
    std::fs::write(&path, bytes).expect("a job");
    let ran = cb.drain(&["--background"]).code(0);
    assert!(ran.stderr_text().lines().count() <= 1, "{ran}");
}

#[test]
fn a_job_that_is_for_people_waits_for_them() {
    let cb = Cb::new();
    let for_people = cb.add_sh(&["--drain", "manual"], "touch mine");
    let other = cb.add_sh(&[], "true");
    cb.becomes(&other, "done");
    cb.rested("pay");
    assert_eq!(cb.state_of(&for_people), "pending");
    cb.drain(&[]).code(0).stdout("pay: 1 done\n");
}

/// Leaves a job that nobody comes for, behind a breaker that is closed.
fn left_behind() -> (Cb, String) {
    let cb = Cb::new();
    cb.exec("pay", ["true"]).code(0);
    // As a drain that was killed leaves it: the job itself asks for no person.
    let mut add = cb.adding(&[], ["sh", "-c", "true"]);
    add.env("XDG_CONFIG_HOME", cb.path("manual"));
    std::fs::create_dir_all(cb.path("manual/cb")).expect("a directory");
    std::fs::write(cb.path("manual/cb/config.toml"), "[defaults]\ndrain = \"manual\"\n")
        .expect("a config");
    let id = id_of(&bounded(add).code(0).stderr(""));
    assert_eq!(cb.state_of(&id), "pending");
    (cb, id)
}

#[test]
fn a_call_that_could_be_queued_brings_back_a_drain_that_died() {
    let (cb, id) = left_behind();
    cb.exec("pay", ["true"]).code(0);
    cb.rested("pay");
    assert_eq!(cb.state_of(&id), "pending", "a call that is never queued looks for no queue");
    cb.exec_with(["--on-open", "queue"], "pay", ["true"]).code(0).stderr("");
    cb.becomes(&id, "done");
    cb.rested("pay");
}

#[test]
fn a_reset_of_a_closed_breaker_brings_back_a_drain_that_died() {
    let (cb, id) = left_behind();
    cb.run(["reset", "pay"]).code(0).stdout("pay: closed (state unchanged)\n");
    cb.becomes(&id, "done");
    cb.rested("pay");
}
