//! Drains and jobs that people end, stop and continue.

use std::os::unix::process::{CommandExt, ExitStatusExt};

use super::*;
use crate::live::{Live, alive, state};
use crate::pty::{CTRL_C, Pty};

/// Tells its pid and waits until it may go.
const WAIT: &str = "echo $$ > pid.new; mv pid.new pid; while [ ! -e go ] && [ -e $PWD ]; \
                    do sleep 0.02; done; echo $CB_JOB_ID >> ledger";

/// A drain in a group of its own.
fn draining(cb: &Cb, options: &[&str]) -> Live {
    let mut run = cb.draining(options);
    run.process_group(0);
    Live::start(run)
}

#[test]
fn a_signal_between_two_jobs_ends_the_drain_by_that_signal() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let cb = manual();
        let trap = "trap '' INT TERM HUP; ";
        let first = cb.add_sh(&[], &format!("{trap}{WAIT}"));
        let second = cb.add_sh(&[], "touch second");
        let live = draining(&cb, &[]);
        cb.pid("pid");
        live.send(signal);
        cb.touch("go");
        let ran = live.end().signal(signal);
        ran.stdout_has("1 done; 1 left: ended by signal");
        assert_eq!(cb.state_of(&first), "done");
        assert_eq!(cb.state_of(&second), "pending");
        assert!(!cb.path("second").exists());
    }
}

#[test]
fn a_job_that_a_person_breaks_off_is_in_doubt() {
    let cb = manual();
    let id = cb.add_sh(&[], WAIT);
    let rest = cb.add_sh(&[], "touch rest");
    let live = draining(&cb, &[]);
    let job = cb.pid("pid");
    live.send(libc::SIGTERM);
    let ran = live.end().signal(libc::SIGTERM);
    ran.stderr_has("in doubt: it may have done a part");
    assert!(!alive(job));
    assert_eq!(cb.state_of(&id), "doubt");
    assert_eq!(cb.state_of(&rest), "pending");
    // It stays so until a person says what to do.
    cb.drain(&[]).code(0).stdout("pay: 1 done\n").stderr("");
    assert_eq!(cb.state_of(&id), "doubt");
    cb.touch("go");
    cb.run(["queue", "retry", &id]).code(0).stdout(&format!("{id}: waits for its next attempt\n"));
    cb.drain(&[]).code(0).stdout("pay: 1 done\n");
    assert_eq!(cb.lines("ledger"), std::slice::from_ref(&id));
    assert_eq!(cb.shown(&id)["attempts"], 2);
}

#[test]
fn an_idempotent_job_that_a_person_breaks_off_runs_again() {
    let cb = manual();
    let id = cb.add_sh(&["--idempotent"], WAIT);
    let live = draining(&cb, &[]);
    cb.pid("pid");
    live.send(libc::SIGINT);
    // The script is ended by what it gets, and the drain by the same.
    live.end().signal(libc::SIGINT);
    assert_eq!(cb.state_of(&id), "pending");
    cb.touch("go");
    cb.drain(&[]).code(0).stdout("pay: 1 done\n");
    assert_eq!(cb.lines("ledger"), [id]);
}

#[test]
fn several_drains_end_together() {
    for options in [&["--jobs", "3"][..], &["--jobs", "3", "--watch"]] {
        let cb = manual();
        let script = "trap 'touch told.$CB_JOB_ID' TERM; touch in.$CB_JOB_ID; \
                      while [ ! -e go ] && [ -e $PWD ]; do sleep 0.02; done";
        for _ in 0..6 {
            cb.add_sh(&[], script);
        }
        let live = draining(&cb, options);
        let count = |what: &str| {
            names_in(&cb.path("")).iter().filter(|name| name.starts_with(what)).count()
        };
        eventually("three are at work", || count("in.") == 3);
        live.send(libc::SIGTERM);
        eventually("each of them hears of it", || count("told.") == 3);
        cb.touch("go");
        let ran = live.end();
        match options.len() {
            2 => assert_eq!(ran.status().signal(), Some(libc::SIGTERM), "{ran}"),
            _ => assert_eq!(ran.status().code(), Some(0), "{ran}"),
        }
        assert!(!cb.states().contains(&"running".to_owned()), "{ran}");
        assert_eq!(count("in."), 3, "{ran}");
        let mut states = cb.states();
        states.sort();
        assert_eq!(states, [["done"; 3], ["pending"; 3]].concat(), "{ran}");
        ran.stdout_has("3 done; 3 left: ended by signal 15");
    }
}

#[test]
fn a_drain_that_is_stopped_keeps_its_job_and_goes_on() {
    let cb = manual();
    let first = cb.add_sh(&[], WAIT);
    let second = cb.add_sh(&[], "echo $CB_JOB_ID >> ledger");
    let third = cb.add_sh(&[], "echo $CB_JOB_ID >> ledger");
    let stopped = draining(&cb, &[]);
    cb.pid("pid");
    stopped.send(libc::SIGSTOP);
    eventually("it is stopped", || state(stopped.pid()) == Some('T'));
    // Another drain does the rest, and takes nothing from it.
    cb.drain(&[]).code(0).stdout("pay: 2 done; 1 still running\n").stderr("");
    assert_eq!(cb.lines("ledger"), [second.clone(), third.clone()]);
    assert_eq!(cb.state_of(&first), "running");
    cb.touch("go");
    eventually("the job is over", || cb.lines("ledger").len() == 3);
    assert_eq!(cb.state_of(&first), "running", "nobody recorded it yet");
    cb.drain(&[]).code(0);
    assert_eq!(cb.state_of(&first), "running");
    stopped.send(libc::SIGCONT);
    stopped.end().code(0).stdout("pay: 1 done\n");
    assert_eq!(cb.states(), ["done"; 3]);
}

#[test]
fn what_is_typed_reaches_each_of_several_jobs_once() {
    let cb = manual();
    // It stays for a while: a second signal would come from who looks after it.
    let script = "trap 'echo >> told.$CB_JOB_ID' INT; touch in.$CB_JOB_ID; \
                  while [ ! -e go ] && [ -e $PWD ]; do sleep 0.02; done; \
                  n=0; while [ $((n += 1)) -lt 20 ]; do sleep 0.02; done";
    for _ in 0..3 {
        cb.add_sh(&[], script);
    }
    let mut pty = Pty::start(cb.draining(&["--jobs", "2"]));
    let found = |what: &str| {
        let names = names_in(&cb.path("")).into_iter();
        names.filter(|name| name.starts_with(what)).collect::<Vec<_>>()
    };
    eventually("two are at work", || found("in.").len() == 2);
    pty.types(CTRL_C);
    eventually("each of them hears of it", || found("told.").len() == 2);
    cb.touch("go");
    pty.sees("1 left: ended by signal 2");
    assert_eq!(pty.end().signal(), Some(libc::SIGINT));
    for told in found("told.") {
        assert_eq!(cb.lines(&told).len(), 1, "{told}");
    }
}
