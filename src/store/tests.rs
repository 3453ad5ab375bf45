//! The stores, with clocks that are set by hand.

mod body;
mod bulkhead;
mod cache;
mod clocks;
mod files;
mod old;

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tempfile::TempDir;

use super::{Absent, FileStore, Keep, Receipt, Scene, Store};
use crate::clock::{Clock, Reading};
use crate::error::Error;
use crate::model::breaker::{Breaker, Holder, Manual};
use crate::model::{BreakerName, Finished, Outcome, Permit, Policy, Step, Verdict};

const SECOND_MS: i64 = 1000;
const HOUR_MS: i64 = 3_600_000;

/// A clock that stands still until it is moved; clones show the same time.
#[derive(Clone)]
pub(super) struct HandClock(Rc<Cell<Reading>>);

impl HandClock {
    pub(super) fn at(reading: Reading) -> Self {
        HandClock(Rc::new(Cell::new(reading)))
    }

    pub(super) fn set(&self, reading: Reading) {
        self.0.set(reading);
    }
}

impl Clock for HandClock {
    fn read(&self) -> Reading {
        self.0.get()
    }

    fn monotonic(&self) -> Duration {
        crate::clock::monotonic()
    }

    fn draw(&self) -> u64 {
        0
    }
}

/// A store in a directory of its own.
struct Bench {
    _dir: TempDir,
    root: PathBuf,
    clock: HandClock,
    store: FileStore,
}

impl Bench {
    fn new(reading: Reading) -> Self {
        let dir = TempDir::with_prefix("cb-store-").unwrap();
        let root = dir.path().join("store");
        let clock = HandClock::at(reading);
        let store = FileStore::new(root.clone(), Box::new(clock.clone()));
        Bench { _dir: dir, root, clock, store }
    }

    /// Another process: nothing is open any more.
    fn reopen(&mut self) {
        self.store = self.another();
    }

    fn another(&self) -> FileStore {
        FileStore::new(self.root.clone(), Box::new(self.clock.clone()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join("pay").join(name)
    }

    fn files(&self, prefix: &str) -> Vec<String> {
        files(&self.root.join("pay"), prefix)
    }
}

fn files(dir: &Path, prefix: &str) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.starts_with(prefix));
    names.sort();
    names
}

pub(super) fn reading(wall_ms: i64, boot_ms: u64, boot: u128) -> Reading {
    Reading { wall_ms, boot_ms, boot_id: Some(boot) }
}

pub(super) fn start() -> Reading {
    reading(10 * HOUR_MS, 500_000, 7)
}

pub(super) fn pay() -> BreakerName {
    BreakerName::parse("pay").unwrap()
}

const fn asked(lasting: Option<Duration>) -> Manual<'static> {
    Manual { by: "ann", comment: "", lasting }
}

/// One operation as the commands do it: what is gone is given up first.
fn operate<T>(
    store: &dyn Store,
    policy: &Policy,
    mut act: impl FnMut(&mut Breaker, &Scene) -> Step<T>,
) -> Result<(T, Receipt), Error> {
    let mut value = None;
    let receipt = store.transact(&pay(), Absent::Create, &mut |breaker, scene| {
        for permit in &scene.gone {
            let _ = breaker.lose(policy, scene.now, *permit);
        }
        value = Some(act(breaker, scene).value);
        Keep::State
    })?;
    Ok((value.unwrap(), receipt))
}

fn admit(store: &dyn Store, policy: &Policy) -> (Verdict, Receipt) {
    operate(store, policy, |breaker, scene| breaker.admit(policy, scene.now, Holder::Process))
        .unwrap()
}

fn record(store: &dyn Store, policy: &Policy, permit: Permit, outcome: Outcome) {
    let call = Finished::new(outcome, Duration::ZERO);
    operate(store, policy, |breaker, scene| breaker.record(policy, scene.now, permit, &call))
        .unwrap();
}

fn trip(store: &dyn Store, lasting: Option<Duration>) {
    let policy = Policy::default();
    operate(store, &policy, |breaker, scene| breaker.trip(&policy, scene.now, &asked(lasting)))
        .unwrap();
}

fn permit_of(verdict: Verdict) -> Permit {
    match verdict {
        Verdict::Admit(permit) => permit,
        Verdict::Reject(why) => panic!("rejected: {why:?}"),
    }
}
