//! Drains and jobs that people end, stop and continue.

use std::os::unix::process::{CommandExt, ExitStatusExt};

use super::*;
use crate::live::{Live, alive, send, stat, state};
use crate::pty::{CTRL_C, Pty};

/// Tells its pid and waits until it may go.
const WAIT: &str = "echo $$ > pid.new; mv pid.new pid; while [ ! -e go ] && [ -e $PWD ]; \
                    do sleep 0.02; done; echo $CB_JOB_ID >> ledger";

/// The field of a process's stat that is its parent.
const PARENT: usize = 4;

/// Whether this signal waits to be taken by the process.
fn is_pending(pid: i32, signal: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    let pending = pending.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    pending.is_some_and(|pending| pending & 1 << (signal - 1) != 0)
}

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
    live.send(libc::SIGINT);
    let ran = live.end().signal(libc::SIGINT);
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
fn a_drain_that_is_told_to_end_lets_the_job_finish() {
    for (signal, options) in [
        (libc::SIGTERM, &[][..]),
        (libc::SIGHUP, &[]),
        (libc::SIGTERM, &["--watch"]),
        (libc::SIGTERM, &["--jobs", "2"]),
    ] {
        let cb = manual();
        let trap = "trap 'echo told >> told' TERM HUP; ";
        let first = cb.add_sh(&[], &format!("{trap}{WAIT}"));
        let live = draining(&cb, options);
        cb.pid("pid");
        let second = cb.add_sh(&[], "touch second");
        live.send(signal);
        let drain = stat(cb.pid("pid"), PARENT);
        eventually("its drain is told", || is_pending(drain, signal));
        cb.touch("go");
        let ran = live.end();
        match options {
            ["--watch"] => assert_eq!(ran.status().code(), Some(0), "{ran}"),
            _ => assert_eq!(ran.status().signal(), Some(signal), "{ran}"),
        }
        assert!(!cb.path("told").exists(), "{ran}");
        assert_eq!(cb.state_of(&first), "done", "{ran}");
        assert_eq!(cb.state_of(&second), "pending", "{ran}");
    }
}

#[test]
fn a_service_that_is_stopped_with_its_job_puts_the_job_in_doubt() {
    let cb = manual();
    let id = cb.add_sh(&[], WAIT);
    let live = draining(&cb, &[]);
    cb.pid("pid");
    // As systemd does: to every process at once. The drain, stopped, cannot end
    // before its job has.
    live.send(libc::SIGSTOP);
    live.send(libc::SIGTERM);
    send(cb.pid("pid"), libc::SIGTERM);
    eventually("the job has ended", || state(cb.pid("pid")).is_none_or(|is| is == 'Z'));
    live.send(libc::SIGCONT);
    live.end().signal(libc::SIGTERM).stderr_has("in doubt: it may have done a part");
    assert_eq!(cb.state_of(&id), "doubt");
}

#[test]
fn a_signal_that_came_while_a_job_waits_for_room_starts_it_not() {
    let cb = manual();
    let holder = "touch in; while [ ! -e out ] && [ -e $PWD ]; do sleep 0.02; done";
    let mut exec = cb.command(["exec", "--max-concurrent", "1", "pay", "--", "sh", "-c", holder]);
    exec.current_dir(cb.path(""));
    let holds = Live::start(exec);
    eventually("the place is taken", || cb.path("in").exists());
    let id = cb.add_sh(&["--max-concurrent", "1"], "touch ran");
    let live = draining(&cb, &[]);
    let wait = cb.store().join("pay/slots");
    eventually("it waits", || names_in(&wait).iter().any(|name| name.starts_with("wait-")));
    live.send(libc::SIGTERM);
    live.end().signal(libc::SIGTERM);
    assert_eq!(cb.state_of(&id), "pending");
    cb.touch("out");
    holds.end().code(0);
    assert!(!cb.path("ran").exists());
}

#[test]
fn a_signal_to_an_idle_drain_is_not_kept_for_the_next_job() {
    let cb = manual();
    let first = cb.add_sh(&[], "true");
    let live = draining(&cb, &["--watch"]);
    cb.becomes(&first, "done");
    live.send(libc::SIGUSR1);
    // As it would end any program.
    live.end().signal(libc::SIGUSR1);
}

#[test]
fn a_drain_that_nobody_listens_to_can_be_ended() {
    let cb = manual();
    for _ in 0..60 {
        cb.add_sh(&["--failures", "0"], "exit 1");
    }
    let (reader, writer) = std::io::pipe().expect("a pipe");
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).expect("a small pipe");
    let flags = ["--consecutive-failures", "0", "--failure-rate", "0"];
    let mut run = cb.draining(&flags);
    run.process_group(0).stdout(std::process::Stdio::null()).stderr(writer);
    let mut child = run.spawn().expect("it starts");
    drop(run);
    let pid = i32::try_from(child.id()).expect("a pid");
    let writes = format!("{} 0x2 ", libc::SYS_write);
    let syscall = || std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    eventually("it waits for a reader", || syscall().starts_with(&writes));
    send(pid, libc::SIGTERM);
    let status = child.wait().expect("it ends");
    drop(reader);
    assert_eq!(status.signal(), Some(libc::SIGTERM));
    assert!(!cb.states().contains(&"doubt".to_owned()));
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
        let script = "trap 'touch told.$CB_JOB_ID' INT; touch in.$CB_JOB_ID; \
                      while [ ! -e go ] && [ -e $PWD ]; do sleep 0.02; done";
        for _ in 0..6 {
            cb.add_sh(&[], script);
        }
        let live = draining(&cb, options);
        let count = |what: &str| {
            names_in(&cb.path("")).iter().filter(|name| name.starts_with(what)).count()
        };
        eventually("three are at work", || count("in.") == 3);
        live.send(libc::SIGINT);
        eventually("each of them hears of it", || count("told.") == 3);
        cb.touch("go");
        let ran = live.end();
        match options.len() {
            2 => assert_eq!(ran.status().signal(), Some(libc::SIGINT), "{ran}"),
            _ => assert_eq!(ran.status().code(), Some(0), "{ran}"),
        }
        assert!(!cb.states().contains(&"running".to_owned()), "{ran}");
        assert_eq!(count("in."), 3, "{ran}");
        let mut states = cb.states();
        states.sort();
        assert_eq!(states, [["done"; 3], ["pending"; 3]].concat(), "{ran}");
        ran.stdout_has("3 done; 3 left: ended by signal 2");
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
