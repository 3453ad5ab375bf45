//! `--key`: the same order, given twice, is one job.

use super::*;

#[test]
fn the_same_key_and_command_is_the_same_job() {
    let cb = manual();
    let id = cb.add_sh(&["--key", "order-17"], "echo ran >> ledger");
    assert_eq!(cb.add_sh(&["--key", "order-17"], "echo ran >> ledger"), id);
    let other = cb.add_sh(&["--key", "order-18"], "echo ran >> ledger");
    assert_ne!(other, id);
    cb.run(["trip", "pay"]).code(0);
    let mut exec = cb.sh(["--on-open", "queue", "--key", "order-17"], "pay", "echo ran >> ledger");
    exec.current_dir(cb.path(""));
    bounded(exec).code(76).one_line(&format!("queued as {id}"));
    assert_eq!(cb.states(), ["pending"; 2]);
    assert_eq!(cb.jobs()[0]["key"], "order-17");
    cb.run(["reset", "pay"]).code(0);
    cb.drain(&[]).code(0).stdout("pay: 2 done\n");
    // As long as the job is known, so is its key: it is not run again.
    let done = format!("its key has job {id} already, which is done");
    let again = cb.adding(&["--key", "order-17"], ["sh", "-c", "echo ran >> ledger"]);
    assert_eq!(id_of(&bounded(again).code(0).one_line(&done)), id);
    cb.run(["trip", "pay"]).code(0);
    let mut again = cb.sh(["--on-open", "queue", "--key", "order-17"], "pay", "echo ran >> ledger");
    again.current_dir(cb.path(""));
    bounded(again).code(76).one_line(&done);
    cb.run(["reset", "pay"]).code(0);
    cb.drain(&[]).code(0);
    assert_eq!(cb.lines("ledger"), ["ran", "ran"]);
}

#[test]
fn the_same_key_with_another_command_is_an_error() {
    let cb = manual();
    let id = cb.add(&["--key", "order-17"], ["true"]);
    for command in [&["false"][..], &["true", ""], &["true", "x"]] {
        bounded(cb.adding(&["--key", "order-17"], command))
            .code(125)
            .stdout("")
            .one_line(&format!("'order-17' is taken by job {id} with another command"));
    }
    let mut elsewhere = cb.adding(&["--key", "order-17"], ["true"]);
    elsewhere.current_dir("/");
    bounded(elsewhere).code(125).one_line("with another command");
    cb.run(["trip", "pay"]).code(0);
    cb.exec_with(["--on-open", "queue", "--key", "order-17"], "pay", ["false"])
        .code(75)
        .one_line("with another command");
    assert_eq!(cb.states(), ["pending"]);
}

#[test]
fn the_key_of_a_job_that_nothing_will_run_does_not_serve() {
    let cb = manual();
    let id = cb.add_sh(&["--key", "order-17", "--max-attempts", "1"], "exit 3");
    cb.drain(&[]).code(0);
    cb.run(["trip", "pay"]).code(0);
    let mut exec = cb.sh(["--on-open", "queue", "--key", "order-17"], "pay", "exit 3");
    exec.current_dir(cb.path(""));
    let failed = format!("its key has job {id} already, which has failed for good");
    bounded(exec).code(75).one_line("cb: pay: not run: ").stderr_has(&failed);
    let add = cb.adding(&["--key", "order-17"], ["sh", "-c", "exit 3"]);
    assert_eq!(id_of(&bounded(add).code(0).one_line(&failed)), id);
    cb.run(["queue", "retry", &id]).code(0);
    let mut exec = cb.sh(["--on-open", "queue", "--key", "order-17"], "pay", "exit 3");
    exec.current_dir(cb.path(""));
    bounded(exec).code(76).one_line(&format!("queued as {id}"));
}

#[test]
fn a_key_that_could_steer_a_terminal_is_none() {
    let cb = manual();
    bounded(cb.adding(&["--key", "order-1\u{1b}[31m"], ["true"]))
        .code(125)
        .stdout("")
        .one_line("--key 'order-1\\u{1b}[31m': it has a control character");
    cb.run(["trip", "pay"]).code(0);
    cb.exec_with(["--on-open", "queue", "--key", "a\nb"], "pay", ["true"])
        .code(75)
        .one_line("it has a control character");
    assert!(cb.jobs().is_empty());
}

#[test]
fn the_key_of_a_job_that_is_dropped_or_purged_is_free() {
    let cb = manual();
    let id = cb.add(&["--key", "k"], ["true"]);
    cb.run(["queue", "drop", &id]).code(0).stdout(&format!("{id}: dropped\n")).stderr("");
    let next = cb.add(&["--key", "k"], ["false"]);
    assert_ne!(next, id);
    cb.run(["queue", "purge", "--state", "pending", "pay"]).code(0).stdout("pay: 1 job removed\n");
    cb.add(&["--key", "k"], ["true"]);
    cb.drain(&[]).code(0).stdout("pay: 1 done\n");
    cb.run(["queue", "purge", "pay"]).code(0).stdout("pay: 1 job removed\n");
    cb.add(&["--key", "k"], ["sh", "-c", "echo again > again"]);
    cb.drain(&[]).code(0);
    assert_eq!(cb.lines("again"), ["again"]);
}

#[test]
fn many_at_once_with_one_key_are_one_job() {
    let cb = manual();
    let adding: Vec<_> = (0..12)
        .map(|_| {
            let add = cb.adding(&["--key", "k"], ["sh", "-c", "echo ran >> ledger"]);
            std::thread::spawn(move || id_of(&bounded(add).code(0)))
        })
        .collect();
    let ids: Vec<String> = adding.into_iter().map(|add| add.join().expect("added")).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    cb.drain(&[]).code(0).stdout("pay: 1 done\n");
    assert_eq!(cb.lines("ledger"), ["ran"]);
}
