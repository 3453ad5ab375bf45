//! What a person does: retry, drop, purge, and removing the breaker.

use super::*;
use crate::model::backoff::millis;
use crate::store::{Keep, Store};

fn add_with_state(queue: &Queue<'_>, wanted: JobState) -> JobId {
    let id = add(queue, &["true"]);
    let ends: &[Ended] = match wanted {
        JobState::Pending => &[],
        JobState::Done => &[Ended::Success],
        JobState::Failed => &[Ended::Failure, Ended::Failure],
        JobState::Doubt => &[Ended::Interrupted],
        JobState::Running => panic!("held by a claim"),
    };
    for (place, how) in ends.iter().enumerate() {
        attempt(queue, id, *how, T0 + 1000 * place as u64);
    }
    assert_eq!(state(queue, id), wanted);
    id
}

#[test]
fn a_retry_gives_all_attempts_back() {
    let bench = Bench::new();
    let queue = bench.queue();
    for wanted in [JobState::Failed, JobState::Doubt] {
        let id = add_with_state(&queue, wanted);
        let before = queue.open(id).unwrap().unwrap().1.attempts.len();
        // Long after: its age is new as well.
        let late = T0 + 10_000_000;
        assert_eq!(queue.retry(id, late).unwrap(), Some(wanted));
        assert_eq!(state(&queue, id), JobState::Pending);
        let fate = attempt(&queue, id, Ended::Failure, late);
        assert_eq!(fate, Fate::Pending { due_ms: late + 1000 });
        let (_, kept) = queue.open(id).unwrap().unwrap();
        assert_eq!(kept.attempts.last().unwrap().number as usize, before + 1);
        assert_eq!(attempt(&queue, id, Ended::Success, late + 1000), Fate::Done);
    }
}

#[test]
fn only_what_failed_or_is_in_doubt_is_sent_back() {
    let bench = Bench::new();
    let queue = bench.queue();
    for wanted in [JobState::Pending, JobState::Done] {
        let id = add_with_state(&queue, wanted);
        let error = queue.retry(id, T0).unwrap_err().to_string();
        let expected =
            format!("job {id} is {wanted}: only jobs that failed or are in doubt can be sent back");
        assert_eq!(error, expected);
        assert_eq!(state(&queue, id), wanted);
    }
    assert_eq!(queue.retry(JobId::after(None, 1, 1), T0).unwrap(), None);
}

#[test]
fn a_dropped_job_leaves_nothing_and_a_running_one_is_not_dropped() {
    let bench = Bench::new();
    let queue = bench.queue();
    for wanted in [JobState::Pending, JobState::Done, JobState::Failed, JobState::Doubt] {
        let id = add_with_state(&queue, wanted);
        let (_, kept) = queue.open(id).unwrap().unwrap();
        for one in kept.attempts {
            queue.attempt_log(id, one.number).unwrap().take(b"x");
        }
        assert_eq!(queue.drop(id).unwrap(), Some(wanted));
        assert_eq!(queue.drop(id).unwrap(), None);
    }
    assert_eq!(names(&bench.home().join("log")), [] as [String; 0]);
    assert_eq!(bench.counts(), Counts::default());
    let id = add(&queue, &["true"]);
    let mut held = claim(&queue, id, T0);
    held.begin(T0).unwrap();
    let error = queue.drop(id).unwrap_err().to_string();
    assert_eq!(error, format!("job {id} is running: wait for its end, or end it"));
    held.end(&ended(Ended::Success), &policy(), T0).unwrap();
}

#[test]
fn a_purge_takes_whole_states() {
    let bench = Bench::new();
    let queue = bench.queue();
    for wanted in [JobState::Done, JobState::Done, JobState::Failed, JobState::Pending] {
        add_with_state(&queue, wanted);
    }
    let held = claim(&queue, add_with_state(&queue, JobState::Pending), T0);
    assert_eq!(queue.purge(&[JobState::Done]).unwrap(), 2);
    assert_eq!(queue.purge(&[JobState::Failed, JobState::Pending]).unwrap(), 2);
    assert_eq!(bench.counts(), Counts { pending: 1, ..Counts::default() }, "one is held");
    held.release();
}

#[test]
fn done_jobs_are_kept_for_a_while() {
    let bench = Bench::new();
    let queue = bench.queue();
    let key = NewJob { key: Some("k".into()), ..job(&["true"]) };
    let first = queue.add(&key, now(T0), MANY).unwrap().id;
    attempt(&queue, first, Ended::Success, T0);
    queue.attempt_log(first, 1).unwrap().take(b"x");
    let late = T0 + 3_600_000;
    let second = queue.add(&job(&["true"]), now(T0 + 1000), MANY).unwrap().id;
    attempt(&queue, second, Ended::Success, T0 + 1000);
    queue.recover(&|_| policy(), policy().max_age, late - 1).unwrap();
    assert_eq!(bench.counts().done, 2);
    queue.recover(&|_| policy(), policy().max_age, late).unwrap();
    assert_eq!(bench.counts().done, 1);
    for folder in ["log", "keys"] {
        assert_eq!(names(&bench.home().join(folder)), [] as [String; 0]);
    }
    // By number: the oldest go first.
    let template = fs::read(bench.path("done", second)).unwrap();
    let mut last = Some(second);
    for _ in 0..DONE_KEPT_MAX {
        let id = JobId::after(last, T0 + 1000, 1);
        last = Some(id);
        fs::write(bench.path("done", id), &template).unwrap();
    }
    queue.recover(&|_| policy(), policy().max_age, T0 + 1000).unwrap();
    assert_eq!(bench.counts().done, DONE_KEPT_MAX as u64);
    assert!(!bench.path("done", second).exists());
}

#[test]
fn a_job_that_waited_long_is_kept_as_long_as_any() {
    let bench = Bench::new();
    let queue = bench.queue();
    let key = NewJob { key: Some("k".into()), ..job(&["true"]) };
    let first = queue.add(&key, now(T0), MANY).unwrap().id;
    let others: Vec<JobId> = (0..3).map(|_| add(&queue, &["true"])).collect();
    for id in &others {
        attempt(&queue, *id, Ended::Success, T0 + 1000);
    }
    let max_age = policy().max_age;
    let late = T0 + millis(max_age) - 1;
    attempt(&queue, first, Ended::Success, late);
    let recover = |now_ms| queue.recover(&|_| policy(), max_age, now_ms).unwrap();
    recover(late + 500);
    assert_eq!(bench.counts().done, 4);
    recover(T0 + 1000 + millis(max_age));
    assert_eq!(bench.counts().done, 1);
    assert!(!queue.add(&key, now(late + 900), MANY).unwrap().is_new, "its key is remembered");
    // By number as well: what was done last stays.
    let head =
        format::encode(&super::meta::encode("pay", others[0], &job(&["true"]), &now(T0)), b"");
    let mut last = Some(others[2]);
    for _ in 0..DONE_KEPT_MAX {
        let id = JobId::after(last, T0 + 1000, 1);
        last = Some(id);
        fs::write(bench.path("done", id), head.as_ref().unwrap()).unwrap();
    }
    recover(late + 1000 - 1500);
    assert_eq!(bench.counts().done, DONE_KEPT_MAX as u64);
    assert!(bench.path("done", first).exists());
    recover(late + millis(max_age));
    assert_eq!(bench.counts().done, 0);
}

#[test]
fn a_breaker_with_jobs_is_not_removed() {
    let bench = Bench::new();
    bench.store.transact(&pay(), Absent::Create, &mut |_, _| Keep::State).unwrap();
    let queue = bench.queue();
    let done = add_with_state(&queue, JobState::Done);
    let kept = [JobState::Pending, JobState::Pending, JobState::Doubt];
    let kept: Vec<JobId> = kept.map(|wanted| add_with_state(&queue, wanted)).to_vec();
    let error = bench.store.remove(&pay()).unwrap_err().to_string();
    let expected = "pay has 3 queued jobs (2 pending, 1 in doubt): drain, drop or purge them first";
    assert_eq!(error, expected);
    assert!(bench.store.find(&pay()).unwrap().is_some(), "nothing was begun");
    assert_eq!(queue.list().unwrap().len(), 4);
    queue.attempt_log(done, 1).unwrap().take(b"x");
    queue.pace(Duration::from_secs(1)).unwrap();
    for id in kept {
        queue.drop(id).unwrap();
    }
    bench.store.remove(&pay()).unwrap();
    assert!(!bench.root.join("pay").exists());
    // Whoever still has it open adds nothing to what is gone.
    assert!(queue.add(&job(&["true"]), now(T0), MANY).is_err());
    let anew = bench.queue();
    add(&anew, &["true"]);
    assert_eq!(bench.counts().pending, 1);
}

#[test]
fn a_breaker_whose_queue_holds_something_else_is_not_removed() {
    let bench = Bench::new();
    bench.store.transact(&pay(), Absent::Create, &mut |_, _| Keep::State).unwrap();
    bench.queue();
    fs::create_dir(bench.home().join("log/mine")).unwrap();
    fs::write(bench.home().join("log/mine/letter"), "dear").unwrap();
    let error = bench.store.remove(&pay()).unwrap_err().to_string();
    assert!(error.ends_with("queue/log holds what is not of cb: move it away"), "{error}");
    assert!(bench.home().join("log/mine/letter").exists());
    assert!(bench.store.find(&pay()).unwrap().is_some());
}
