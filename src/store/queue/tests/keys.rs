//! The same key and the same command are the same job.

use std::sync::Mutex;
use std::thread;

use super::*;
use crate::clock::SystemClock;
use crate::model::job::KEY_BYTES_MAX;

fn keyed(key: &str, words: &[&str]) -> NewJob {
    NewJob { key: Some(key.into()), ..job(words) }
}

fn key_files(bench: &Bench) -> Vec<PathBuf> {
    let keys = bench.home().join("keys");
    names(&keys).iter().map(|name| keys.join(name)).collect()
}

#[test]
fn a_key_stands_for_one_job_as_long_as_that_is_kept() {
    let bench = Bench::new();
    let queue = bench.queue();
    let add = |new: &NewJob| queue.add(new, now(T0), MANY);
    let first = add(&keyed("order 7", &["charge", "7"])).unwrap();
    assert!(first.is_new);
    let same = Added { is_new: false, ..first };
    assert_eq!(add(&keyed("order 7", &["charge", "7"])).unwrap(), same);
    let stdin = NewJob { stdin: b"other".to_vec(), ..keyed("order 7", &["charge", "7"]) };
    assert_eq!(add(&stdin).unwrap(), same);
    let elsewhere = NewJob { cwd: "/".into(), ..keyed("order 7", &["charge", "7"]) };
    for other in [keyed("order 7", &["charge", "8"]), keyed("order 7", &["charge7"]), elsewhere] {
        let error = add(&other).unwrap_err();
        let expected = format!("--key 'order 7' is taken by job {} with another command", first.id);
        assert_eq!((error.to_string(), crate::exit::status_of(&error)), (expected, 125));
    }
    assert!(add(&keyed("order 8", &["charge", "8"])).unwrap().is_new);
    attempt(&queue, first.id, Ended::Success, T0);
    let done = Added { state: JobState::Done, ..same };
    assert_eq!(add(&keyed("order 7", &["charge", "7"])).unwrap(), done, "done is kept");
    assert_eq!(key_files(&bench).len(), 2);
    assert_eq!(queue.drop(first.id).unwrap(), Some(JobState::Done));
    assert_eq!(key_files(&bench).len(), 1);
    let again = add(&keyed("order 7", &["charge", "other"])).unwrap();
    assert!(again.is_new && again.id != first.id);
}

#[test]
fn a_key_whose_job_was_never_stored_is_free() {
    let bench = Bench::new();
    let queue = bench.queue();
    let first = queue.add(&keyed("k", &["true"]), now(T0), MANY).unwrap();
    fs::remove_file(bench.path("pending", first.id)).unwrap();
    let second = queue.add(&keyed("k", &["false"]), now(T0), MANY).unwrap();
    assert!(second.is_new && second.id != first.id);
}

#[test]
fn a_key_that_was_refused_leaves_nothing() {
    let bench = Bench::new();
    let queue = bench.queue();
    let first = queue.add(&keyed("k", &["true"]), now(T0), 1).unwrap();
    for key in ["l", "m", "n"] {
        let error = queue.add(&keyed(key, &["true"]), now(T0), 1).unwrap_err().to_string();
        let expected = "not queued: the queue of pay is full: it has 1 job, and 1 is allowed";
        assert_eq!(error, expected);
    }
    assert_eq!(key_files(&bench).len(), 1);
    // Nor does one whose job cannot be stored; what is stored stays.
    fs::remove_dir_all(bench.home().join("tmp")).unwrap();
    fs::write(bench.home().join("tmp"), "in the way").unwrap();
    let fresh = bench.queue();
    assert!(fresh.add(&keyed("l", &["true"]), now(T0), MANY).is_err());
    assert_eq!(key_files(&bench).len(), 1);
    let same = fresh.add(&keyed("k", &["true"]), now(T0), 1).unwrap();
    assert_eq!(same, Added { is_new: false, ..first });
}

#[test]
fn a_damaged_key_file_is_mended_from_the_jobs() {
    let bench = Bench::new();
    let queue = bench.queue();
    add(&queue, &["true"]);
    let first = queue.add(&keyed("k", &["true"]), now(T0), MANY).unwrap();
    let [file] = &key_files(&bench)[..] else { panic!() };
    let whole = fs::read(file).unwrap();
    for damaged in [&b"rubbish"[..], &whole[..50], &[&whole[..], b"x"].concat(), &[0; 5000]] {
        fs::write(file, damaged).unwrap();
        let again = queue.add(&keyed("k", &["true"]), now(T0), MANY).unwrap();
        assert_eq!(again, Added { is_new: false, ..first });
        assert!(queue.add(&keyed("k", &["false"]), now(T0), MANY).is_err());
    }
    queue.drop(first.id).unwrap();
    assert!(queue.add(&keyed("k", &["false"]), now(T0), MANY).unwrap().is_new);
}

#[test]
fn a_key_has_a_length() {
    let bench = Bench::new();
    let queue = bench.queue();
    for key in [String::new(), "x".repeat(KEY_BYTES_MAX + 1)] {
        let error = queue.add(&keyed(&key, &["true"]), now(T0), MANY).unwrap_err();
        assert!(error.to_string().ends_with("allowed: 1 to 200"), "{error}");
    }
    assert!(queue.add(&keyed("\u{1b}[31m", &["a"]), now(T0), MANY).unwrap().is_new);
    let error = queue.add(&keyed("\u{1b}[31m", &["b"]), now(T0), MANY).unwrap_err();
    assert!(!error.to_string().contains('\u{1b}'), "{error}");
    assert_eq!(bench.counts().pending, 1);
}

#[test]
fn eight_with_the_same_key_make_one_job() {
    let bench = Bench::new();
    bench.queue();
    let added = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let clock = Box::new(SystemClock::default());
                let store = FileStore::new(bench.root.clone(), clock);
                let queue = store.queue(&pay(), Absent::Create).unwrap().unwrap();
                let one = queue.add(&keyed("k", &["true"]), now(T0), MANY).unwrap();
                added.lock().unwrap().push(one);
            });
        }
    });
    let added = added.into_inner().unwrap();
    assert_eq!(added.iter().filter(|added| added.is_new).count(), 1);
    assert!(added.iter().all(|one| one.id == added[0].id));
    assert_eq!(bench.counts().pending, 1);
}

#[test]
fn a_key_held_by_one_who_does_not_end_is_not_waited_for_for_ever() {
    let bench = Bench::new();
    let queue = bench.queue();
    queue.add(&keyed("k", &["true"]), now(T0), MANY).unwrap();
    let held = fs::File::open(&key_files(&bench)[0]).unwrap();
    assert!(lock::try_exclusive(&held).unwrap());
    let error = queue.add(&keyed("k", &["true"]), now(T0), MANY).unwrap_err();
    assert!(error.to_string().contains("is locked by another process"), "{error}");
}
