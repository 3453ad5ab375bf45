//! Crashes at each step: dropping a claim is what the kernel does for a process
//! that is killed.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_drainer_that_dies_before_the_attempt_leaves_the_job_pending() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = add(&queue, &["true"]);
    drop(claim(&queue, id, T0));
    assert!(queue.recover(&|_| policy(), policy().max_age, T0).unwrap().settled.is_empty());
    claim(&queue, id, T0).release();
}

#[test]
fn one_that_dies_in_the_attempt_leaves_it_in_doubt() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = add(&queue, &["true"]);
    let mut held = claim(&queue, id, T0);
    held.begin(T0).unwrap();
    drop(held);
    assert_eq!(
        queue.recover(&|_| policy(), policy().max_age, T0).unwrap().settled,
        [(id, Fate::Doubt)]
    );
    assert_eq!(state(&queue, id), JobState::Doubt);
}

#[test]
fn one_that_may_run_twice_waits_again_and_not_for_ever() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = queue.add(&NewJob { idempotent: true, ..job(&["true"]) }, now(T0), MANY).unwrap().id;
    let mut held = claim(&queue, id, T0);
    held.begin(T0).unwrap();
    drop(held);
    let due_ms = T0 + 1000;
    let settled = queue.recover(&|_| policy(), policy().max_age, T0).unwrap().settled;
    assert_eq!(settled, [(id, Fate::Pending { due_ms })]);
    let mut held = claim(&queue, id, due_ms);
    assert_eq!(held.begin(due_ms).unwrap(), 2);
    drop(held);
    let settled = queue.recover(&|_| policy(), policy().max_age, due_ms).unwrap().settled;
    assert_eq!(settled[0].1.state(), JobState::Failed);
}

/// A power cut may take back a rename; what was flushed in the file stays.
#[test]
fn a_rename_that_a_power_cut_took_back_is_made_good() {
    let bench = Bench::new();
    let queue = bench.queue();
    let took_back = |id, from: &str, to: &str| {
        fs::rename(bench.path(from, id), bench.path(to, id)).unwrap();
    };

    let begun = add(&queue, &["true"]);
    let mut held = claim(&queue, begun, T0);
    held.begin(T0).unwrap();
    drop(held);
    took_back(begun, "running", "pending");
    let claimed = queue.claim(begun, &|_| policy(), T0).unwrap();
    assert!(matches!(claimed, Claimed::Settled(Fate::Doubt)), "{claimed:?}");

    let done = add(&queue, &["true"]);
    attempt(&queue, done, Ended::Success, T0);
    took_back(done, "done", "running");
    assert_eq!(
        queue.recover(&|_| policy(), policy().max_age, T0).unwrap().settled,
        [(done, Fate::Done)]
    );
    took_back(done, "done", "pending");
    let claimed = queue.claim(done, &|_| policy(), T0).unwrap();
    assert!(matches!(claimed, Claimed::Settled(Fate::Done)), "{claimed:?}");

    let failed = add(&queue, &["true"]);
    attempt(&queue, failed, Ended::Failure, T0);
    took_back(failed, "pending", "running");
    let due_ms = T0 + 1000;
    let settled = queue.recover(&|_| policy(), policy().max_age, T0).unwrap().settled;
    assert_eq!(settled, [(failed, Fate::Pending { due_ms })]);

    let fresh = add(&queue, &["true"]);
    took_back(fresh, "pending", "running");
    let settled = queue.recover(&|_| policy(), policy().max_age, T0).unwrap().settled;
    assert_eq!(settled, [(fresh, Fate::Pending { due_ms: T0 })]);
}

#[test]
fn a_producer_that_dies_leaves_nothing_and_a_living_one_is_left_alone() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = add(&queue, &["true"]);
    fs::rename(bench.path("pending", id), bench.path("tmp", id)).unwrap();
    let writing = fs::File::open(bench.path("tmp", id)).unwrap();
    assert!(lock::try_exclusive(&writing).unwrap());
    queue.recover(&|_| policy(), policy().max_age, T0).unwrap();
    assert!(bench.path("tmp", id).exists());
    drop(writing);
    queue.recover(&|_| policy(), policy().max_age, T0).unwrap();
    assert!(!bench.path("tmp", id).exists());
}

#[test]
fn a_job_that_is_not_acknowledged_yet_is_nobodys() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = add(&queue, &["true"]);
    let producer = fs::File::open(bench.path("pending", id)).unwrap();
    assert!(lock::try_exclusive(&producer).unwrap());
    assert!(matches!(queue.claim(id, &|_| policy(), T0).unwrap(), Claimed::Busy));
    drop(producer);
    claim(&queue, id, T0).release();
}

/// Whatever length the file has: no panic, and while the head is whole the job
/// is there, in doubt as soon as an attempt may have begun.
#[test]
fn a_file_of_any_length_is_read_for_what_it_says() {
    let bench = Bench::new();
    let queue = bench.queue();
    let new = NewJob { stdin: b"some input".to_vec(), ..job(&["echo", "words"]) };
    let id = queue.add(&new, now(T0), MANY).unwrap().id;
    let head_len = fs::read(bench.path("pending", id)).unwrap().len();
    let mut held = claim(&queue, id, T0);
    held.begin(T0).unwrap();
    let begun_len = fs::read(bench.path("running", id)).unwrap().len();
    held.end(&ended(Ended::Success), &policy(), T0).unwrap();
    let whole = fs::read(bench.path("done", id)).unwrap();
    fs::remove_file(bench.path("done", id)).unwrap();

    for len in 0..=whole.len() {
        fs::write(bench.path("running", id), &whole[..len]).unwrap();
        fs::set_permissions(bench.path("running", id), fs::Permissions::from_mode(0o600)).unwrap();
        let recovered = queue.recover(&|_| policy(), policy().max_age, T0).unwrap();
        assert!(recovered.errors.is_empty(), "{recovered:?}");
        let expected = match len {
            _ if len < head_len => JobState::Doubt,
            _ if len < begun_len => JobState::Pending,
            _ if len < whole.len() => JobState::Doubt,
            _ => JobState::Done,
        };
        assert!(bench.path(expected.name(), id).exists(), "length {len}");
        assert_eq!(recovered.put_aside.len(), usize::from(len < head_len), "length {len}");
        if expected == JobState::Pending {
            // What was cut short gives way to the next line.
            let mut held = claim(&queue, id, T0);
            assert_eq!(held.job().stdin, b"some input");
            assert_eq!(held.begin(T0).unwrap(), 1);
            held.end(&ended(Ended::Success), &policy(), T0).unwrap();
            assert_eq!(fs::read(bench.path("done", id)).unwrap(), whole, "length {len}");
            fs::remove_file(bench.path("done", id)).unwrap();
        } else {
            fs::remove_file(bench.path(expected.name(), id)).unwrap();
        }
    }
}

#[test]
fn an_attempt_whose_beginning_cannot_be_stored_does_not_begin() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = add(&queue, &["true"]);
    let before = fs::read(bench.path("pending", id)).unwrap();
    let mut held = claim(&queue, id, T0);
    // The folder has the name already: the move cannot be made.
    fs::write(bench.path("running", id), "in the way").unwrap();
    assert!(held.begin(T0).is_err());
    drop(held);
    fs::remove_file(bench.path("running", id)).unwrap();
    assert_eq!(fs::read(bench.path("pending", id)).unwrap(), before);
    claim(&queue, id, T0).release();
}

#[test]
fn a_result_that_cannot_be_moved_is_moved_later() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = add(&queue, &["true"]);
    let mut held = claim(&queue, id, T0);
    held.begin(T0).unwrap();
    fs::write(bench.path("done", id), "in the way").unwrap();
    assert!(held.end(&ended(Ended::Success), &policy(), T0).is_err());
    fs::remove_file(bench.path("done", id)).unwrap();
    assert_eq!(
        queue.recover(&|_| policy(), policy().max_age, T0).unwrap().settled,
        [(id, Fate::Done)]
    );
}

#[test]
fn an_enqueue_that_cannot_be_finished_leaves_no_job() {
    let bench = Bench::new();
    let queue = bench.queue();
    add(&queue, &["true"]);
    fs::remove_dir(bench.home().join("tmp")).unwrap();
    let error = queue.add(&job(&["true"]), now(T0), MANY).unwrap_err();
    assert!(error.to_string().starts_with("not queued: cannot create "), "{error}");
    let fresh = bench.queue();
    fs::remove_file(bench.home().join("pending").join(add(&fresh, &["x"]).to_string())).unwrap();
    assert_eq!(bench.counts().pending, 1);
    // pending/ goes after it was opened: the rename has no place to go to.
    fresh.folder(Folder::Of(JobState::Pending)).unwrap();
    fs::remove_dir_all(bench.home().join("pending")).unwrap();
    let error = fresh.add(&job(&["true"]), now(T0), MANY).unwrap_err();
    assert!(matches!(error, Error::NotQueued { left: None, .. }), "{error}");
    assert_eq!(names(&bench.home().join("tmp")), [] as [String; 0]);
}

#[test]
fn a_folder_that_cannot_be_written_is_said_and_takes_no_job() {
    if rustix::process::geteuid().is_root() {
        return; // Nothing is closed to root.
    }
    let bench = Bench::new();
    let queue = bench.queue();
    let id = add(&queue, &["true"]);
    let mode = |name: &str, mode| {
        fs::set_permissions(bench.home().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    for folder in ["tmp", "pending"] {
        mode(folder, 0o500);
        let error = queue.add(&job(&["true"]), now(T0), MANY).unwrap_err();
        assert!(matches!(error, Error::NotQueued { left: None, .. }), "{error}");
        mode(folder, 0o700);
    }
    mode("running", 0o500);
    assert!(claim(&queue, id, T0).begin(T0).is_err());
    mode("running", 0o700);
    assert_eq!(attempt(&queue, id, Ended::Success, T0), Fate::Done);
    assert_eq!(bench.counts(), Counts { done: 1, ..Counts::default() });
}

#[test]
fn readers_make_nothing() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = add(&queue, &["true"]);
    for folder in ["running", "done", "failed", "doubt"] {
        fs::remove_dir(bench.home().join(folder)).unwrap();
    }
    let reader = bench.store.queue(&pay(), Absent::Refuse).unwrap().unwrap();
    assert_eq!(reader.counts().unwrap(), Counts { pending: 1, ..Counts::default() });
    assert_eq!(reader.list().unwrap().len(), 1);
    assert!(reader.open(id).unwrap().is_some());
    assert_eq!(reader.open(JobId::after(Some(id), T0, 1)).unwrap(), None);
    assert!(!bench.home().join("running").exists());
    assert_eq!(attempt(&bench.queue(), id, Ended::Success, T0), Fate::Done, "those who write do");
}

/// A job that began, and whose drainer and command are dead.
fn orphan(queue: &Queue<'_>, new: &NewJob) -> JobId {
    let id = queue.add(new, now(T0), MANY).unwrap().id;
    let mut held = claim(queue, id, T0);
    held.begin(T0).unwrap();
    id
}

#[test]
fn what_nobody_works_on_any_more_is_not_said_to_be_running() {
    let bench = Bench::new();
    let queue = bench.queue();
    let doubt = orphan(&queue, &NewJob { key: Some("k".into()), ..job(&["true"]) });
    let pending = orphan(&queue, &NewJob { idempotent: true, ..job(&["true"]) });
    let done = add(&queue, &["true"]);
    attempt(&queue, done, Ended::Success, T0);
    fs::rename(bench.path("done", done), bench.path("running", done)).unwrap();
    let corrupt = orphan(&queue, &job(&["true"]));
    fs::write(bench.path("running", corrupt), "rubbish").unwrap();
    let running = add(&queue, &["true"]);
    let mut held = claim(&queue, running, T0);
    held.begin(T0).unwrap();
    let before = names(&bench.home().join("running"));
    let expected = [
        (doubt, JobState::Doubt),
        (pending, JobState::Pending),
        (done, JobState::Done),
        (corrupt, JobState::Doubt),
        (running, JobState::Running),
    ];
    let listed: Vec<_> = queue.list().unwrap().iter().map(|job| (job.id, job.state)).collect();
    assert_eq!(listed, expected);
    let counts = Counts { pending: 1, running: 1, done: 1, doubt: 2, failed: 0 };
    assert_eq!(queue.counts().unwrap(), counts);
    for (id, told) in expected.into_iter().filter(|(id, _)| *id != corrupt) {
        assert_eq!(state(&queue, id), told);
    }
    let again = NewJob { key: Some("k".into()), ..job(&["true"]) };
    assert_eq!(queue.add(&again, now(T0), MANY).unwrap().state, JobState::Doubt);
    assert_eq!(names(&bench.home().join("running")), before, "who reads moves nothing");
    assert_eq!(before.len(), 5);
    held.end(&ended(Ended::Success), &policy(), T0).unwrap();
}

#[test]
fn what_nobody_works_on_any_more_is_sent_back_or_dropped_at_once() {
    let bench = Bench::new();
    let queue = bench.queue();
    let held = orphan(&queue, &job(&["true"]));
    let command = fs::File::open(bench.path("running", held)).unwrap();
    assert!(lock::try_exclusive(&command).unwrap());
    for error in [queue.retry(held, T0).unwrap_err(), queue.drop(held).unwrap_err()] {
        let expected = format!("job {held} is running: wait for its end, or end it");
        assert_eq!(error.to_string(), expected);
    }
    drop(command);
    assert_eq!(queue.retry(held, T0 + 5).unwrap(), Some(JobState::Doubt));
    assert!(bench.path("pending", held).exists());
    assert_eq!(attempt(&queue, held, Ended::Success, T0 + 5), Fate::Done);
    let twice = orphan(&queue, &NewJob { idempotent: true, ..job(&["true"]) });
    assert_eq!(queue.retry(twice, T0 + 5).unwrap(), Some(JobState::Pending));
    assert!(bench.path("pending", twice).exists());
    fs::rename(bench.path("done", held), bench.path("running", held)).unwrap();
    let error = queue.retry(held, T0).unwrap_err().to_string();
    assert!(error.starts_with(&format!("job {held} is done: only jobs that failed")), "{error}");
    assert!(bench.path("done", held).exists(), "it was settled");
    let dropped = orphan(&queue, &job(&["true"]));
    assert!(queue.drop(dropped).unwrap().is_some());
    let purged = orphan(&queue, &job(&["true"]));
    assert_eq!(queue.purge(&[JobState::Failed]).unwrap(), 0);
    assert!(bench.path("running", purged).exists());
    assert_eq!(queue.purge(&[JobState::Doubt]).unwrap(), 1);
    assert_eq!(bench.counts(), Counts { done: 1, pending: 1, ..Counts::default() });
}

#[test]
fn one_who_only_looks_puts_nobody_off() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = orphan(&queue, &job(&["true"]));
    let looking = fs::File::open(bench.path("running", id)).unwrap();
    assert!(lock::try_shared(&looking).unwrap());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(2));
            drop(looking);
        });
        let settled = queue.recover(&|_| policy(), policy().max_age, T0).unwrap().settled;
        assert_eq!(settled, [(id, Fate::Doubt)]);
    });
}
