//! Many at once.

use super::*;

#[test]
fn fifty_producers_at_once_are_all_kept() {
    let _alone = crate::support::crowded();
    let cb = manual();
    let adding: Vec<_> = (0..50)
        .map(|_| cb.adding(&[], ["sh", "-c", "echo $CB_JOB_ID >> ledger"]))
        .map(|add| std::thread::spawn(move || id_of(&bounded(add).code(0).stderr(""))))
        .collect();
    let mut ids: Vec<String> = adding.into_iter().map(|add| add.join().expect("added")).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 50);
    cb.drain(&["--jobs", "4"]).code(0).stdout("pay: 50 done\n");
    let mut ran = cb.lines("ledger");
    ran.sort();
    assert_eq!(ran, ids);
}

#[test]
fn a_queue_has_a_bound() {
    let cb = manual();
    for _ in 0..3 {
        cb.add(&["--queue-max", "3"], ["true"]);
    }
    bounded(cb.adding(&["--queue-max", "3"], ["true"]))
        .code(125)
        .stdout("")
        .one_line("the queue of pay is full: it has 3 jobs, and 3 are allowed");
    cb.drain(&[]).code(0);
    cb.add(&["--queue-max", "3"], ["true"]);
}
