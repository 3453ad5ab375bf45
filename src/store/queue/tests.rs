//! The queue, on a real directory.

mod crashes;
mod damage;
mod keys;
mod life;
mod manage;
mod old;

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::model::Ms;
use crate::model::job::{Ended, Fate, JobPolicy};
use crate::store::tests::{HandClock, pay, reading, start};

const T0: Ms = 36_000_000;
const MANY: u32 = 100_000;

/// A store in a directory of its own.
struct Bench {
    _dir: TempDir,
    root: PathBuf,
    clock: HandClock,
    store: FileStore,
}

impl Bench {
    fn new() -> Self {
        let dir = TempDir::with_prefix("cb-queue-").unwrap();
        let root = dir.path().join("store");
        let clock = HandClock::at(start());
        let store = FileStore::new(root.clone(), Box::new(clock.clone()));
        Bench { _dir: dir, root, clock, store }
    }

    fn queue(&self) -> Queue<'_> {
        self.store.queue(&pay(), Absent::Create).unwrap().unwrap()
    }

    fn home(&self) -> PathBuf {
        self.root.join("pay/queue")
    }

    fn path(&self, folder: &str, id: JobId) -> PathBuf {
        self.home().join(folder).join(id.to_string())
    }

    /// The names in each folder of jobs.
    fn counts(&self) -> Counts {
        self.store.queue_counts(&pay()).unwrap().unwrap()
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn now(clock_ms: Ms) -> QueueNow {
    QueueNow { clock_ms, wall_ms: 1_700_000_000_000, draw: 5 }
}

fn job(words: &[&str]) -> NewJob {
    NewJob {
        argv: words.iter().map(Into::into).collect(),
        cwd: "/tmp".into(),
        umask: 0o022,
        env: vec![("PATH".into(), "/bin".into())],
        ..NewJob::default()
    }
}

fn add(queue: &Queue<'_>, words: &[&str]) -> JobId {
    queue.add(&job(words), now(T0), MANY).unwrap().id
}

fn policy() -> JobPolicy {
    JobPolicy {
        max_attempts: 2,
        max_age: Duration::from_hours(1),
        attempt_delay: Duration::from_secs(1),
    }
}

fn claim<'q>(queue: &'q Queue<'q>, id: JobId, now_ms: Ms) -> Claim<'q> {
    match queue.claim(id, &|_| policy(), now_ms).unwrap() {
        Claimed::Got(claim) => claim,
        other => panic!("{other:?}"),
    }
}

fn ended(how: Ended) -> AttemptEnd {
    AttemptEnd {
        how,
        exit_code: Some(1),
        signal: None,
        timed_out: false,
        duration_ms: 12,
        note: "said \u{1b}[2J so".into(),
    }
}

/// One attempt, from claim to end.
fn attempt(queue: &Queue<'_>, id: JobId, how: Ended, now_ms: Ms) -> Fate {
    let mut claim = claim(queue, id, now_ms);
    claim.begin(now_ms).unwrap();
    claim.end(&ended(how), &policy(), now_ms).unwrap()
}

fn state(queue: &Queue<'_>, id: JobId) -> JobState {
    queue.open(id).unwrap().unwrap().0
}
