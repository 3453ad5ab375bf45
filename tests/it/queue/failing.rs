//! Jobs that go wrong, each in its own way, and the others that drain.

use super::*;
use crate::live::{alive, send};

#[test]
fn a_job_that_fails_waits_longer_each_time_and_is_given_up() {
    let cb = manual();
    let options = ["--attempt-delay", "30ms", "--max-attempts", "3"];
    let id = cb.add_sh(&options, "date +%s%N >> ledger; exit 7");
    eventually("it is given up", || {
        cb.drain(&[]).code(0);
        cb.run(["reset", "-q", "pay"]).code(0);
        cb.state_of(&id) == "failed"
    });
    let times: Vec<u128> =
        cb.lines("ledger").iter().map(|line| line.parse().expect("a time")).collect();
    assert_eq!(times.len(), 3);
    assert!(times[1] - times[0] >= 29_000_000, "{times:?}");
    assert!(times[2] - times[1] >= 59_000_000, "{times:?}");
    let job = &cb.jobs()[0];
    assert_eq!(job["attempts"], 3);
    assert_eq!(job["why"], "given up after 3 attempts");
    cb.drain(&[]).code(0).stdout("pay: nothing is queued\n");
}

#[test]
fn a_job_that_is_too_old_is_given_up_without_a_run() {
    let cb = manual();
    let id = cb.add_sh(&["--max-age", "1ms"], "touch ran-old");
    let ran = cb.drain(&[]).code(0).stdout("pay: 1 given up\n");
    ran.one_line(&format!("job {id} is given up: it is too old"));
    assert_eq!(cb.state_of(&id), "failed");
    assert_eq!(cb.jobs().last().expect("a job")["attempts"], 0);
    assert!(!cb.path("ran-old").exists());
}

#[test]
fn bad_jobs_are_given_up_and_the_good_ones_drain() {
    let cb = manual();
    fs::create_dir(cb.path("gone")).expect("a directory");
    let options = ["--max-attempts", "1"];
    let good = |cb: &Cb| cb.add_sh(&[], "echo $CB_JOB_ID >> ledger");
    let first = good(&cb);
    let mut add = cb.adding(&options, ["touch", "ran"]);
    add.current_dir(cb.path("gone"));
    let no_directory = id_of(&bounded(add).code(0));
    let no_command = cb.add(&options, ["no-such-command-anywhere"]);
    let no_program = cb.add(&options, ["./home"]);
    let second = good(&cb);
    let suicide = cb.add_sh(&options, "kill -9 $$");
    let last = good(&cb);
    fs::remove_dir(cb.path("gone")).expect("empty");
    let ran = cb.drain(&["--consecutive-failures", "0", "--failure-rate", "0"]).code(0);
    let ran = ran.stdout("pay: 3 done, 4 given up\n");
    assert_eq!(cb.lines("ledger"), [first, second, last]);
    assert!(!cb.path("ran").exists());
    for (id, how) in [
        (&no_directory, "not-started"),
        (&no_command, "not-started"),
        (&no_program, "not-started"),
        (&suicide, "failure"),
    ] {
        assert_eq!(cb.state_of(id), "failed");
        let attempt = &cb.shown(id)["history"][0];
        assert_eq!(attempt["ended"], how, "{attempt}");
        assert!(ran.stderr_text().contains(id.as_str()), "{ran}");
    }
    assert!(ran.stderr_text().contains("gone"), "the directory is named: {ran}");
    assert_eq!(cb.shown(&suicide)["history"][0]["signal"], 9);
    // What never started is not held against the dependency.
    assert_eq!(cb.total("pay", "failed"), 1);
}

#[test]
fn one_corrupt_job_among_ten_is_put_aside() {
    for (at, byte) in [(0, 0), (40, 0xff)] {
        let cb = manual();
        let ids: Vec<String> =
            (0..10).map(|_| cb.add_sh(&[], "echo $CB_JOB_ID >> ledger")).collect();
        let path = cb.queue("pending").join(&ids[4]);
        let mut bytes = fs::read(&path).expect("a job");
        assert_ne!(bytes[at], byte);
        bytes[at] = byte;
        fs::write(&path, bytes).expect("a damaged job");
        let listed = cb.jobs();
        assert_eq!(listed[4]["program"], "?", "{listed:?}");
        assert!(listed[4]["why"].is_string(), "{listed:?}");
        let ran = cb.drain(&[]).code(0).stdout("pay: 9 done, 1 in doubt\n");
        ran.one_line(&format!("job {} cannot be read", ids[4])).stderr_has("put aside");
        let good: Vec<String> =
            ids.iter().enumerate().filter(|(at, _)| *at != 4).map(|(_, id)| id.clone()).collect();
        assert_eq!(cb.lines("ledger"), good);
        assert_eq!(cb.run(["queue", "retry", &ids[4]]).status().code(), Some(125));
        cb.run(["queue", "drop", &ids[4]]).code(0);
        assert_eq!(cb.states(), ["done"; 9]);
    }
}

#[test]
fn any_damage_of_a_job_is_told_and_never_runs_something_else() {
    let cb = manual();
    let id = id_of(&Ran::fed(cb.adding(&[], ["sh", "-c", "cat > out"]), b"its stdin").code(0));
    let path = cb.queue("pending").join(&id);
    let whole = fs::read(&path).expect("a job");
    cb.drain(&[]).code(0);
    fs::remove_file(cb.queue("done").join(&id)).expect("ours");
    let step = if crate::store::full() { 1 } else { 13 };
    for at in (0..whole.len()).step_by(step) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, bytes).expect("a damaged job");
        let _ = fs::remove_file(cb.path("out"));
        let ran = cb.drain(&[]).code(0);
        assert!(!cb.path("out").exists(), "byte {at}: {ran}");
        let left = cb.queue("doubt").join(&id);
        // A version that this cb does not know is left alone.
        assert!(left.exists() || path.exists(), "byte {at}: {ran}");
        assert!(!ran.stderr_text().is_empty(), "byte {at}: {ran}");
        let _ = fs::remove_file(left);
    }
    for len in 0..whole.len() {
        if len % step != 0 {
            continue;
        }
        fs::write(&path, &whole[..len]).expect("a short job");
        cb.drain(&[]).code(0).stdout("pay: 1 in doubt\n");
        assert!(!cb.path("out").exists(), "{len} bytes");
        fs::remove_file(cb.queue("doubt").join(&id)).expect("put aside");
    }
}

#[test]
fn a_daemon_that_a_job_leaves_behind_holds_up_nobody() {
    let cb = manual();
    // It keeps all that it inherited: the log's pipe, and the job's own descriptor.
    let script = "sh -c 'echo $$ > daemon.new; mv daemon.new daemon; exec sleep 60' & \
                  while [ ! -e daemon ]; do sleep 0.01; done";
    let id = cb.add_sh(&[], script);
    let next = cb.add_sh(&[], "touch next");
    cb.drain(&[]).code(0).stdout("pay: 2 done\n").stderr("");
    let daemon = cb.pid("daemon");
    assert!(alive(daemon), "the daemon lives on");
    assert_eq!(cb.state_of(&id), "done");
    assert_eq!(cb.state_of(&next), "done");
    cb.run(["queue", "drop", &id]).code(0);
    cb.run(["rm", "pay"]).code(0);
    send(daemon, libc::SIGKILL);
}
