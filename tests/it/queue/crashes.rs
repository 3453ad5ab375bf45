//! What is left when cb is killed: an orphan is running, and what nobody saw
//! end is in doubt.

use super::*;
use crate::live::{Live, alive, send};

/// Tells its pid and waits until it may go.
const WAIT: &str = "echo $$ > pid.new; mv pid.new pid; while [ ! -e go ] && [ -e $PWD ]; \
                    do sleep 0.02; done; echo $CB_JOB_ID $CB_JOB_ATTEMPT >> ledger";

/// Kills a drain in the middle of its job; the pid of the job's command.
fn kill_drain(cb: &Cb) -> i32 {
    let live = Live::start(cb.draining(&[]));
    let job = cb.pid("pid");
    live.send(libc::SIGKILL);
    live.end().signal(libc::SIGKILL);
    assert!(alive(job), "the command goes on");
    job
}

#[test]
fn an_orphan_is_running_until_it_ends_and_then_in_doubt() {
    let cb = manual();
    let id = cb.add_sh(&[], WAIT);
    let next = cb.add_sh(&[], "touch next");
    let job = kill_drain(&cb);
    assert_eq!(cb.state_of(&id), "running");
    cb.drain(&[]).code(0).stdout("pay: 1 done; 1 still running\n").stderr("");
    assert_eq!(cb.state_of(&next), "done");
    assert_eq!(cb.state_of(&id), "running");
    for words in [["queue", "drop", &id], ["queue", "retry", &id]] {
        cb.run(words).code(125).stdout("").one_line("running");
    }
    let status = cb.status("pay");
    assert_eq!(status["queue"]["running"], 1, "{status}");
    cb.touch("go");
    eventually("it has ended", || !alive(job));
    // Nobody has settled it yet.
    assert_eq!(cb.state_of(&id), "doubt");
    assert_eq!(cb.status("pay")["queue"]["running"], 0);
    assert_eq!(cb.status("pay")["queue"]["doubt"], 1);
    assert!(cb.queue("running").join(&id).exists());
    let ran = cb.drain(&[]).code(0).stdout("pay: 1 in doubt\n");
    ran.one_line(&format!("job {id} is in doubt: it began, and nobody knows how it ended"));
    cb.drain(&[]).code(0);
    assert_eq!(cb.lines("ledger"), [format!("{id} 1")]);
    assert_eq!(cb.state_of(&id), "doubt");
    assert_eq!(cb.status("pay")["queue"]["doubt"], 1);
}

#[test]
fn an_idempotent_orphan_is_run_again_once_it_has_ended() {
    let cb = manual();
    let id = cb.add_sh(&["--idempotent", "--attempt-delay", "10ms"], WAIT);
    let job = kill_drain(&cb);
    cb.drain(&[]).code(0).stdout("pay: 1 still running\n");
    assert_eq!(cb.shown(&id)["idempotent"], true);
    send(job, libc::SIGKILL);
    eventually("it is gone", || !alive(job));
    cb.touch("go");
    eventually("it is done", || {
        cb.drain(&[]).code(0);
        cb.state_of(&id) == "done"
    });
    assert_eq!(cb.lines("ledger"), [format!("{id} 2")]);
}

#[test]
fn a_trial_of_a_drain_that_is_killed_is_free_again() {
    let cb = manual();
    cb.add_sh(&[], WAIT);
    let next = cb.add_sh(&[], "echo $CB_STATE > next");
    cb.make_due("pay");
    let job = kill_drain(&cb);
    cb.drain(&[]).code(0).stdout("pay: 1 done; 1 still running\n");
    assert_eq!(cb.state_of(&next), "done");
    assert_eq!(cb.lines("next"), ["half-open"]);
    send(job, libc::SIGKILL);
    eventually("it is gone", || !alive(job));
}

#[test]
fn what_a_crash_left_half_done_is_finished() {
    let cb = manual();
    let ids: Vec<String> = (0..4).map(|_| cb.add(&[], ["true"])).collect();
    let ran = cb.add_sh(&[], "exit 0");
    cb.drain(&[]).code(0).stdout("pay: 5 done\n");
    // Its result is on the disk, and the move was not made any more.
    let done = |id: &str| cb.queue("done").join(id);
    fs::rename(done(&ran), cb.queue("running").join(&ran)).expect("a move");
    // The same after a power cut that took the move to running/ back, too.
    fs::rename(done(&ids[0]), cb.queue("pending").join(&ids[0])).expect("a move");
    // Begun on the disk, but never moved.
    let begun = cb.add_sh(&[], "touch never");
    fs::rename(cb.queue("pending").join(&begun), cb.queue("running").join(&begun)).expect("a move");
    // A producer that died before the end, and a file of somebody else's.
    fs::copy(done(&ids[1]), cb.queue("tmp").join(&ids[1])).expect("a copy");
    fs::write(cb.queue("tmp/note"), "not a job").expect("a file");
    let said = cb.drain(&[]).code(0);
    assert_eq!(cb.state_of(&ran), "done", "{said}");
    assert_eq!(cb.state_of(&ids[0]), "done", "{said}");
    // It was never attempted: it runs.
    assert_eq!(cb.state_of(&begun), "done", "{said}");
    assert!(cb.path("never").exists(), "{said}");
    assert_eq!(names_in(&cb.queue("tmp")), ["note"]);
    for id in &ids {
        assert_eq!(cb.shown(id)["attempts"], 1, "run twice: {said}");
    }
}

#[test]
fn an_orphan_writes_on_as_much_as_it_likes_and_finishes() {
    let cb = manual();
    let script = "echo $$ > pid.new; mv pid.new pid; while [ ! -e go ] && [ -e $PWD ]; \
                  do sleep 0.02; done; head -c 1048576 /dev/zero && echo wrote > ledger; \
                  while [ ! -e on ] && [ -e $PWD ]; do sleep 0.02; done";
    let id = cb.add_sh(&[], script);
    let job = kill_drain(&cb);
    assert_eq!(cb.state_of(&id), "running");
    cb.touch("go");
    eventually("it has written", || cb.path("ledger").exists());
    assert_eq!(cb.lines("ledger"), ["wrote"]);
    assert_eq!(cb.state_of(&id), "running");
    cb.touch("on");
    eventually("it has ended", || !alive(job));
    cb.drain(&[]).code(0).stdout("pay: 1 in doubt\n");
}

#[test]
fn an_orphan_that_has_ended_is_sent_back_without_a_drain() {
    let cb = manual();
    let id = cb.add_sh(&[], WAIT);
    let job = kill_drain(&cb);
    cb.run(["queue", "retry", &id]).code(125).stdout("").one_line("is running: wait for its end");
    send(job, libc::SIGKILL);
    // The last to go is what its shell had started.
    cb.becomes(&id, "doubt");
    cb.touch("go");
    cb.run(["queue", "retry", &id]).code(0).stdout(&format!("{id}: waits for its next attempt\n"));
    assert_eq!(cb.state_of(&id), "pending");
    cb.drain(&[]).code(0).stdout("pay: 1 done\n");
    assert_eq!(cb.lines("ledger"), [format!("{id} 2")]);
}

/// Who kills all drains by what `ps` shows of them leaves the commands alone.
#[test]
fn what_reads_on_for_a_killed_drain_is_not_called_like_it() {
    let cb = manual();
    cb.add_sh(&[], WAIT);
    let live = Live::start(cb.draining(&[]));
    let job = cb.pid("pid");
    let parent = format!("PPid:\t{}", live.pid());
    let read = |pid: &str, name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let is_child = |pid: &String| {
        String::from_utf8_lossy(&read(pid, "status")).lines().any(|line| line == parent)
    };
    let children: Vec<String> = names_in(Path::new("/proc")).into_iter().filter(is_child).collect();
    let others: Vec<&String> = children.iter().filter(|pid| **pid != job.to_string()).collect();
    let [heir] = others[..] else { panic!("{children:?}") };
    eventually("it has its name", || read(heir, "comm") == b"pipe-heir\n");
    let line = String::from_utf8(read(heir, "cmdline")).expect("UTF-8");
    assert_eq!(line.trim_end_matches('\0'), "pipe-heir");
    cb.touch("go");
    live.end().code(0).stdout("pay: 1 done\n");
    assert!(!Path::new("/proc").join(heir).exists(), "it is gone before cb is");
}
