//! The bulkhead: never more than so many, in the order of arrival, whoever dies.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use super::cache::LockHolder;
use super::*;
use crate::clock::{SystemClock, monotonic};
use crate::store::SlotFile;

/// Longer than any wait in these tests may take.
const LONG: Duration = Duration::from_secs(60);

fn open(root: &Path) -> FileStore {
    FileStore::new(root.to_owned(), Box::new(SystemClock::default()))
}

fn take(store: &FileStore, max: u32) -> Option<SlotFile> {
    store.take_slot(&pay(), max).unwrap()
}

fn wait(store: &FileStore, wait_max: Duration) -> Option<SlotFile> {
    store.wait_for_slot(&pay(), 1, wait_max, &mut || true).unwrap()
}

fn wait_until(store: &FileStore, is_over: &AtomicBool) -> Option<SlotFile> {
    let mut go_on = || !is_over.load(Ordering::SeqCst);
    store.wait_for_slot(&pay(), 1, LONG, &mut go_on).unwrap()
}

fn tickets(root: &Path) -> Vec<String> {
    files(&root.join("pay/slots"), "wait-")
}

#[track_caller]
fn until(what: impl Fn() -> bool) {
    let begin = monotonic();
    while !what() {
        assert!(monotonic() - begin < LONG);
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn so_many_slots_are_given_and_one_that_is_dropped_is_free_at_once() {
    let bench = Bench::new(start());
    let first = take(&bench.store, 2).unwrap();
    let second = take(&bench.another(), 2).unwrap();
    assert!(take(&bench.store, 2).is_none());
    assert!(take(&bench.store, 1).is_none(), "a smaller bound of another caller");
    let third = take(&bench.store, 3).unwrap();
    assert!(take(&bench.store, 3).is_none());
    drop(first);
    let again = take(&bench.store, 2).unwrap();
    assert!(take(&bench.store, 2).is_none());
    drop((second, third, again));
    assert!(take(&bench.store, 1).is_some());
    assert!(take(&bench.store, 0).is_none());
}

#[test]
fn never_more_than_so_many_at_once_in_a_crowd() {
    let bench = Bench::new(start());
    let (inside, most, served) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    let root = &bench.root;
    let pass = |slot: SlotFile| {
        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
        most.fetch_max(now, Ordering::SeqCst);
        thread::sleep(Duration::from_micros(300));
        inside.fetch_sub(1, Ordering::SeqCst);
        served.fetch_add(1, Ordering::SeqCst);
        drop(slot);
    };
    thread::scope(|scope| {
        for n in 0..16 {
            let pass = &pass;
            scope.spawn(move || {
                let store = open(root);
                for _ in 0..15 {
                    if n % 4 == 0 {
                        take(&store, 3).into_iter().for_each(pass);
                        thread::sleep(Duration::from_millis(2));
                    } else {
                        let slot = store.wait_for_slot(&pay(), 3, LONG, &mut || true).unwrap();
                        pass(slot.expect("the wait is long enough"));
                    }
                }
            });
        }
    });
    assert_eq!(most.into_inner(), 3);
    assert!(served.into_inner() >= 12 * 15);
    assert_eq!(tickets(root), [] as [String; 0]);
    assert_eq!(files(&root.join("pay/slots"), "slot-").len(), 3);
}

#[test]
fn first_come_first_served_and_nobody_barges_in() {
    let bench = Bench::new(start());
    let slot = take(&bench.store, 1).unwrap();
    let (order, root) = (Mutex::new(Vec::new()), &bench.root);
    thread::scope(|scope| {
        for n in 0..8 {
            let order = &order;
            scope.spawn(move || {
                let slot = wait(&open(root), LONG).unwrap();
                order.lock().unwrap().push(n);
                drop(slot);
            });
            until(|| tickets(root).len() == n + 1);
        }
        let barged = take(&bench.store, 2).is_some();
        drop(slot);
        assert!(!barged, "a larger bound does not let anybody past those who wait");
    });
    assert_eq!(order.into_inner().unwrap(), (0..8).collect::<Vec<_>>());
    assert_eq!(tickets(root), [] as [String; 0]);
}

#[test]
fn who_gives_up_does_not_block_those_behind() {
    let bench = Bench::new(start());
    let slot = take(&bench.store, 1).unwrap();
    let (root, is_over) = (&bench.root, AtomicBool::new(false));
    thread::scope(|scope| {
        let brief = scope.spawn(|| wait_until(&open(root), &is_over));
        until(|| tickets(root).len() == 1);
        let patient = scope.spawn(|| wait(&open(root), LONG).is_some());
        until(|| tickets(root).len() == 2);
        is_over.store(true, Ordering::SeqCst);
        assert!(brief.join().unwrap().is_none());
        assert_eq!(tickets(root).len(), 1, "its ticket is gone");
        assert!(!patient.is_finished());
        drop(slot);
        assert!(patient.join().unwrap());
    });
}

#[test]
fn a_wait_ends_when_it_shall_not_go_on_or_the_time_is_up() {
    let bench = Bench::new(start());
    let slot = take(&bench.store, 1).unwrap();
    let mut asked = 0;
    let mut go_on = || {
        asked += 1;
        asked < 3
    };
    let begin = monotonic();
    assert!(bench.store.wait_for_slot(&pay(), 1, LONG, &mut go_on).unwrap().is_none());
    assert_eq!(asked, 3);
    let waited = monotonic() - begin;
    assert!(waited >= Duration::from_millis(300) && waited < LONG / 2, "{waited:?}");

    let begin = monotonic();
    assert!(wait(&bench.store, Duration::from_millis(120)).is_none());
    let waited = monotonic() - begin;
    assert!(waited >= Duration::from_millis(120) && waited < LONG / 2, "{waited:?}");
    assert!(wait(&bench.store, Duration::ZERO).is_none());
    assert_eq!(tickets(&bench.root), [] as [String; 0]);
    drop(slot);
    assert!(wait(&bench.store, Duration::ZERO).is_some());
    assert!(wait(&bench.store, Duration::MAX).is_some());
}

#[test]
fn the_slot_of_a_killed_process_is_free_at_once() {
    let bench = Bench::new(start());
    drop(take(&bench.store, 1));
    let mut holder = LockHolder::start(&bench.path("slots/slot-0"));
    assert!(take(&bench.store, 1).is_none());
    assert!(take(&bench.store, 2).is_some());
    holder.kill();
    assert!(take(&bench.store, 1).is_some());
}

#[test]
fn a_killed_waiter_loses_its_place_at_once() {
    let bench = Bench::new(start());
    drop(take(&bench.store, 1));
    let ticket = bench.path("slots/wait-00000000000000000007");
    fs::write(&ticket, "").unwrap();
    let mut waiter = LockHolder::start(&ticket);
    assert!(take(&bench.store, 1).is_none(), "it is the waiter's turn");
    let root = &bench.root;
    thread::scope(|scope| {
        let behind = scope.spawn(|| wait(&open(root), LONG).is_some());
        until(|| tickets(root).len() == 2);
        assert!(tickets(root)[1].ends_with('8'));
        thread::sleep(Duration::from_millis(60));
        assert!(!behind.is_finished());
        waiter.kill();
        assert!(behind.join().unwrap());
    });
    assert!(take(&bench.store, 1).is_some());
    assert_eq!(tickets(root), [] as [String; 0], "who comes next takes the dead ticket away");
}

#[test]
fn those_who_wait_begin_anew_where_the_breaker_is_removed() {
    let bench = Bench::new(start());
    trip(&bench.store, None);
    let _slot = take(&bench.store, 1).unwrap();
    let root = &bench.root;
    thread::scope(|scope| {
        let waiter = scope.spawn(|| wait(&open(root), LONG).is_some());
        until(|| tickets(root).len() == 1);
        bench.store.remove(&pay()).unwrap();
        // A new breaker of that name knows nothing of the slot that is held.
        assert!(waiter.join().unwrap());
    });
}

#[test]
fn a_breaker_with_nothing_but_slots_can_be_removed() {
    let bench = Bench::new(start());
    let _slot = take(&bench.store, 1).unwrap();
    assert!(bench.store.find(&pay()).unwrap().is_none());
    bench.store.remove(&pay()).unwrap();
    assert!(!bench.root.join("pay").exists());
}

#[test]
fn what_is_not_a_file_of_ours_is_refused_or_passed_over_and_never_waited_for() {
    let bench = Bench::new(start());
    drop(take(&bench.store, 1));
    let fifo = |name: &str| {
        let path = bench.path("slots").join(name);
        let _ = fs::remove_file(&path);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    };
    for name in ["wait-", "wait-7", "wait-99999999999999999999", "wait-0000000000000000000x"] {
        fs::write(bench.path("slots").join(name), "").unwrap();
    }
    fs::write(bench.path("slots/wait-18446744073709551615"), "").unwrap();
    fifo("wait-00000000000000000003");
    fs::create_dir(bench.path("slots/wait-00000000000000000004")).unwrap();
    let slot = take(&bench.store, 1).unwrap();
    assert!(wait(&bench.store, Duration::from_millis(50)).is_none());
    drop(slot);
    assert!(wait(&bench.store, Duration::ZERO).is_some());

    fifo("slot-0");
    let refused = |what: &str| {
        let error = bench.store.take_slot(&pay(), 1).unwrap_err();
        assert!(error.is_of_store() && error.to_string().contains(what), "{error}");
        assert!(bench.store.wait_for_slot(&pay(), 1, LONG, &mut || true).is_err());
    };
    refused("slot-0 is not a regular file: move it away");
    fs::remove_file(bench.path("slots/slot-0")).unwrap();
    symlink(bench.root.join("elsewhere"), bench.path("slots/slot-0")).unwrap();
    refused("slot-0 is a symbolic link");
    assert!(!bench.root.join("elsewhere").exists());
    fifo("lock");
    refused("lock is not a regular file");
    fs::remove_dir_all(bench.path("slots")).unwrap();
    fs::write(bench.path("slots"), "").unwrap();
    refused("is not a directory");
    assert!(open(Path::new("/proc")).take_slot(&pay(), 1).unwrap_err().is_of_store());
}

#[test]
fn a_lock_that_is_held_for_long_is_waited_for_within_bounds() {
    let bench = Bench::new(start());
    drop(take(&bench.store, 1));
    let mut holder = LockHolder::start(&bench.path("slots/lock"));
    let error = bench.store.take_slot(&pay(), 1).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    holder.kill();
    assert!(take(&bench.store, 1).is_some());
}

#[test]
fn all_of_it_is_private() {
    let bench = Bench::new(start());
    let _slot = take(&bench.store, 1).unwrap();
    let mode = |name: &str| fs::metadata(bench.path(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("slots"), 0o700);
    assert_eq!(mode("slots/lock"), 0o600);
    assert_eq!(mode("slots/slot-0"), 0o600);
    let (root, is_over) = (&bench.root, AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| wait_until(&open(root), &is_over));
        until(|| tickets(root).len() == 1);
        let found = mode("slots/wait-00000000000000000000");
        is_over.store(true, Ordering::SeqCst);
        assert_eq!(found, 0o600);
    });
}
