//! What a job goes through when nothing goes wrong but the job.

use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::thread;

use super::*;
use crate::clock::SystemClock;

#[test]
fn a_job_is_kept_to_the_byte() {
    let bench = Bench::new();
    let queue = bench.queue();
    let odd = OsString::from_vec(vec![b'a', 0xff, 0, b'\n', b'"']);
    let new = NewJob {
        argv: vec!["curl".into(), odd.clone(), "".into()],
        cwd: odd.clone().into(),
        umask: 0o077,
        env: vec![("A".into(), odd.clone()), (odd, "".into())],
        stdin: (0..10_000u32).flat_map(u32::to_le_bytes).collect(),
        key: Some("order \u{1b} 7".into()),
        idempotent: true,
        flags: "--timeout 5s".into(),
        delay_ms: 40,
    };
    let id = queue.add(&new, now(T0), MANY).unwrap().id;
    let (state, kept) = queue.open(id).unwrap().unwrap();
    assert_eq!(state, JobState::Pending);
    assert_eq!((&kept.argv, &kept.cwd, kept.umask), (&new.argv, &new.cwd, new.umask));
    assert_eq!((&kept.env, &kept.stdin), (&new.env, &new.stdin));
    assert_eq!((&kept.key, kept.idempotent, &kept.flags), (&new.key, true, &new.flags));
    assert_eq!((kept.id, kept.breaker.as_str()), (id, "pay"));
    assert_eq!((kept.enqueued_ms, kept.enqueued_wall_ms), (T0, 1_700_000_000_000));
    let claimed = claim(&queue, id, T0 + 40);
    assert_eq!(claimed.job(), &kept);
    claimed.release();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&bench.path("pending", id)), 0o600);
    assert_eq!(mode(&bench.home()), 0o700);
    for folder in Folder::ALL {
        assert_eq!(mode(&bench.home().join(folder.name())), 0o700);
    }
    assert_eq!(names(&bench.home().join("tmp")), [] as [String; 0]);
}

#[test]
fn a_job_succeeds() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = add(&queue, &["true"]);
    let mut held = claim(&queue, id, T0);
    assert_eq!(state(&queue, id), JobState::Pending);
    assert_eq!(held.begin(T0 + 1).unwrap(), 1);
    assert_eq!(state(&queue, id), JobState::Running);
    assert!(held.begin(T0 + 1).is_err(), "an attempt at a time");
    let fate = held.end(&ended(Ended::Success), &policy(), T0 + 2).unwrap();
    assert_eq!((fate, state(&queue, id)), (Fate::Done, JobState::Done));
    let (_, kept) = queue.open(id).unwrap().unwrap();
    let end = AttemptEnd { note: "said \\u{1b}[2J so".into(), ..ended(Ended::Success) };
    assert_eq!(
        kept.attempts,
        [Attempt { number: 1, began_ms: T0 + 1, ended: Some((T0 + 2, end)) }]
    );
    assert!(matches!(queue.claim(id, &|_| policy(), T0 + 3).unwrap(), Claimed::Gone));
    assert_eq!(bench.counts(), Counts { done: 1, ..Counts::default() });
}

#[test]
fn a_job_fails_waits_and_dies() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = add(&queue, &["false"]);
    let due_ms = T0 + 1000;
    assert_eq!(attempt(&queue, id, Ended::Failure, T0), Fate::Pending { due_ms });
    match queue.claim(id, &|_| policy(), due_ms - 1).unwrap() {
        Claimed::NotDue { due_ms: found } => assert_eq!(found, due_ms),
        other => panic!("{other:?}"),
    }
    let fate = attempt(&queue, id, Ended::NotStarted, due_ms);
    assert_eq!(fate.state(), JobState::Failed);
    assert_eq!(queue.open(id).unwrap().unwrap().1.attempts.len(), 2);
    assert_eq!(bench.counts(), Counts { failed: 1, ..Counts::default() });
}

#[test]
fn an_interrupted_job_is_in_doubt_unless_it_may_run_twice() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = add(&queue, &["sleep"]);
    assert_eq!(attempt(&queue, id, Ended::Interrupted, T0), Fate::Doubt);
    let twice = NewJob { idempotent: true, ..job(&["sleep"]) };
    let id = queue.add(&twice, now(T0), MANY).unwrap().id;
    let due_ms = T0;
    assert_eq!(attempt(&queue, id, Ended::Interrupted, T0), Fate::Pending { due_ms });
}

#[test]
fn a_claim_is_for_one() {
    let bench = Bench::new();
    let (queue, other) = (bench.queue(), bench.queue());
    let id = add(&queue, &["true"]);
    let held = claim(&queue, id, T0);
    assert!(matches!(other.claim(id, &|_| policy(), T0).unwrap(), Claimed::Busy));
    held.release();
    let mut held = claim(&other, id, T0);
    held.begin(T0).unwrap();
    assert!(matches!(queue.claim(id, &|_| policy(), T0).unwrap(), Claimed::Gone));
    let recovered = queue.recover(&|_| policy(), policy().max_age, T0).unwrap();
    assert_eq!((recovered.running, recovered.settled.len()), (1, 0));
}

#[test]
fn the_commands_copy_of_the_descriptor_keeps_the_claim_until_the_end() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = add(&queue, &["daemon"]);
    let mut held = claim(&queue, id, T0);
    held.begin(T0).unwrap();
    let inherited = held.fd().try_clone_to_owned().unwrap();
    drop(held);
    let recovered = queue.recover(&|_| policy(), policy().max_age, T0).unwrap();
    assert_eq!((recovered.running, recovered.settled.len()), (1, 0), "an orphan is running");
    drop(inherited);
    let recovered = queue.recover(&|_| policy(), policy().max_age, T0).unwrap();
    assert_eq!(recovered.settled, [(id, Fate::Doubt)]);

    let id = add(&queue, &["daemon"]);
    let mut held = claim(&queue, id, T0);
    held.begin(T0).unwrap();
    let inherited = held.fd().try_clone_to_owned().unwrap();
    held.end(&ended(Ended::Failure), &policy(), T0).unwrap();
    claim(&queue, id, T0 + 1000).release();
    drop(inherited);
}

#[test]
fn jobs_come_in_the_order_of_their_enqueue() {
    let bench = Bench::new();
    let queue = bench.queue();
    let ids: Vec<JobId> = (0..50).map(|_| add(&queue, &["true"])).collect();
    assert!(ids.is_sorted());
    assert_eq!(queue.ids_pending().unwrap(), ids);
    let listed: Vec<JobId> = queue.list().unwrap().iter().map(|listed| listed.id).collect();
    assert_eq!(listed, ids);
    let later = queue.add(&job(&["true"]), now(T0 + 1), MANY).unwrap().id;
    assert!(later > ids[49]);
}

#[test]
fn a_full_queue_takes_no_more() {
    let bench = Bench::new();
    let queue = bench.queue();
    let ids: Vec<JobId> =
        (0..3).map(|_| queue.add(&job(&["true"]), now(T0), 3).unwrap().id).collect();
    claim(&queue, ids[0], T0).begin(T0).unwrap();
    let error = queue.add(&job(&["true"]), now(T0), 3).unwrap_err();
    assert_eq!(
        error.to_string(),
        "not queued: the queue of pay is full: it has 3 jobs, and 3 are allowed"
    );
    queue.recover(&|_| policy(), policy().max_age, T0).unwrap();
    queue.add(&job(&["true"]), now(T0), 3).unwrap();
    assert_eq!(bench.counts(), Counts { pending: 3, doubt: 1, ..Counts::default() });
}

#[test]
fn what_is_too_long_is_refused_and_leaves_nothing() {
    let bench = Bench::new();
    let queue = bench.queue();
    let long = "x".repeat(META_LEN_MAX);
    let stdin = vec![0; STDIN_LEN_MAX + 1];
    for new in [job(&["echo", &long]), NewJob { stdin, ..job(&["cat"]) }, job(&[])] {
        let error = queue.add(&new, now(T0), MANY).unwrap_err();
        assert!(matches!(error, Error::NotQueued { left: None, .. }), "{error}");
    }
    assert_eq!(bench.counts(), Counts::default());
    assert_eq!(names(&bench.home().join("tmp")), [] as [String; 0]);
}

#[test]
fn each_job_is_claimed_once_by_eight_at_a_time() {
    let bench = Bench::new();
    let queue = bench.queue();
    let ids: Vec<JobId> = (0..100).map(|_| add(&queue, &["true"])).collect();
    let claimed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let clock = Box::new(SystemClock::default());
                let store = FileStore::new(bench.root.clone(), clock);
                let queue = store.queue(&pay(), Absent::Refuse).unwrap().unwrap();
                for id in queue.ids_pending().unwrap() {
                    if let Claimed::Got(mut claim) = queue.claim(id, &|_| policy(), T0).unwrap() {
                        claim.begin(T0).unwrap();
                        claimed.lock().unwrap().push(id);
                        claim.end(&ended(Ended::Success), &policy(), T0).unwrap();
                    }
                }
            });
        }
    });
    let mut claimed = claimed.into_inner().unwrap();
    claimed.sort();
    assert_eq!(claimed, ids);
    assert_eq!(bench.counts(), Counts { done: 100, ..Counts::default() });
}

#[test]
fn an_old_job_is_given_up_when_it_is_claimed() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = add(&queue, &["true"]);
    match queue.claim(id, &|_| policy(), T0 + 3_600_000).unwrap() {
        Claimed::Settled(fate) => assert_eq!(fate.state(), JobState::Failed),
        other => panic!("{other:?}"),
    }
    assert_eq!(state(&queue, id), JobState::Failed);
}

#[test]
fn a_log_is_kept_up_to_its_bound() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = add(&queue, &["true"]);
    let mut log = queue.attempt_log(id, 1).unwrap();
    log.take(b"one\n");
    log.take(b"two");
    log.finish().unwrap();
    assert_eq!(fs::read(queue.log_path(id, 1).unwrap()).unwrap(), b"one\ntwo");
    let mut log = queue.attempt_log(id, 1).unwrap();
    for _ in 0..10 {
        log.take(&[b'x'; 10_000]);
    }
    log.finish().unwrap();
    let kept = fs::read(queue.log_path(id, 1).unwrap()).unwrap();
    let (text, line) = kept.split_at(usize::try_from(LOG_LEN_MAX).unwrap());
    assert!(text.iter().all(|byte| *byte == b'x'));
    assert_eq!(line, b"\n[cb: 34464 more bytes were left out]\n");
    assert_eq!(queue.log_path(id, 2), None);
}

#[test]
fn a_silent_attempt_leaves_no_log() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = add(&queue, &["true"]);
    queue.attempt_log(id, 1).unwrap().take(b"of an attempt that was taken back");
    let mut log = queue.attempt_log(id, 1).unwrap();
    log.take(b"");
    log.finish().unwrap();
    assert_eq!(fs::read_dir(bench.home().join("log")).unwrap().count(), 0);
    assert_eq!(queue.log_path(id, 1), None);
}

#[test]
fn a_log_that_cannot_be_made_says_so_once() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = add(&queue, &["true"]);
    let mut log = queue.attempt_log(id, 1).unwrap();
    let path = bench.home().join("log").join(format!("{id}.1"));
    fs::create_dir(&path).unwrap();
    log.take(b"one\n");
    fs::remove_dir(&path).unwrap();
    log.take(b"two\n");
    let error = log.finish().unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()), "{error}");
    assert!(!path.exists(), "what comes after a gap is not kept");
}

#[test]
fn starts_are_spaced_for_all() {
    let bench = Bench::new();
    let (queue, other) = (bench.queue(), bench.queue());
    let second = Duration::from_secs(1);
    let wait = |queue: &Queue<'_>| queue.pace(second).unwrap().as_millis();
    assert_eq!([wait(&queue), wait(&other), wait(&queue)], [0, 1000, 2000]);
    bench.clock.set(reading(start().wall_ms, start().boot_ms + 2500, 7));
    assert_eq!(wait(&other), 500);
    bench.clock.set(reading(start().wall_ms, start().boot_ms + 60_000, 7));
    assert_eq!([wait(&queue), wait(&other)], [0, 1000], "nothing is saved up");
    bench.clock.set(reading(start().wall_ms, 10, 8));
    assert_eq!([wait(&queue), wait(&other)], [0, 1000], "another boot");
    for nonsense in ["", "x", "99999999999999999999999999 8\n", "9999999999999999 8\n", "\0\n"] {
        fs::write(bench.home().join("pace"), nonsense).unwrap();
        assert_eq!(wait(&queue), 0, "{nonsense:?}");
    }
    let rare = Duration::from_hours(24);
    assert_eq!(queue.pace(rare).unwrap().as_millis(), 1000);
    assert_eq!(queue.pace(rare).unwrap().as_millis(), 1000 + 86_400_000);
}

#[test]
fn one_drains_in_the_background() {
    let bench = Bench::new();
    let (queue, other) = (bench.queue(), bench.queue());
    let held = queue.drain_lock().unwrap();
    assert!(held.is_some());
    assert!(other.drain_lock().unwrap().is_none());
    drop(held);
    assert!(other.drain_lock().unwrap().is_some());
}

#[test]
fn without_a_queue_there_is_none_and_none_is_made() {
    let bench = Bench::new();
    assert!(bench.store.queue(&pay(), Absent::Refuse).unwrap().is_none());
    assert_eq!(bench.store.queue_counts(&pay()).unwrap(), None);
    assert!(!bench.root.exists());
}

#[test]
fn nothing_secret_is_in_a_debug_text() {
    let bench = Bench::new();
    let queue = bench.queue();
    let new = NewJob {
        env: vec![("TOKEN".into(), "s3cret".into())],
        stdin: b"s3cret".to_vec(),
        key: Some("s3cret".into()),
        ..job(&["curl", "s3cret"])
    };
    let id = queue.add(&new, now(T0), MANY).unwrap().id;
    let texts = [
        format!("{new:?}"),
        format!("{:?}", queue.open(id).unwrap()),
        format!("{:?}", queue.list().unwrap()),
        format!("{:?}", claim(&queue, id, T0)),
    ];
    for text in texts {
        let bytes = format!("{:?}", b"s3cret");
        assert!(!text.contains("s3cret") && !text.contains(&bytes), "{text}");
        assert!(!text.contains("TOKEN"), "{text}");
    }
}

#[test]
fn ten_thousand_jobs_are_listed_in_a_moment() {
    let bench = Bench::new();
    let queue = bench.queue();
    let template = job(&["true"]);
    let mut last = None;
    for _ in 0..10_000 {
        let id = JobId::after(last, T0, 1);
        last = Some(id);
        let meta = meta::encode("pay", id, &template, &now(T0));
        fs::write(bench.path("pending", id), format::encode(&meta, b"").unwrap()).unwrap();
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(bench.path("pending", id), mode).unwrap();
    }
    let begin = crate::clock::monotonic();
    let listed = queue.list().unwrap();
    let took = crate::clock::monotonic() - begin;
    assert_eq!(listed.iter().filter(|listed| listed.job.is_ok()).count(), 10_000);
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn an_id_that_is_taken_is_given_to_no_other_job() {
    let bench = Bench::new();
    let one = add(&bench.queue(), &["one"]);
    // Another process with the same draw at the same moment.
    let store = FileStore::new(bench.root.clone(), Box::new(bench.clock.clone()));
    let queue = store.queue(&pay(), Absent::Refuse).unwrap().unwrap();
    let two = add(&queue, &["two"]);
    assert_ne!(one, two);
    for (id, word) in [(one, "one"), (two, "two")] {
        assert_eq!(queue.open(id).unwrap().unwrap().1.argv, [word]);
    }
}
