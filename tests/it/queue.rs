//! The queue: what is acknowledged is kept, runs in order, and runs once, or
//! somebody is told that nobody knows.

mod adding;
mod background;
mod clocks;
mod crashes;
mod draining;
mod failing;
mod faults;
mod keys;
mod many;
mod people;
mod places;
mod signals;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use crate::store::bounded;
use crate::support::{Cb, Ran, eventually};

/// The states of a job.
pub const STATES: [&str; 5] = ["pending", "running", "done", "failed", "doubt"];

/// A cb whose queues nobody drains but the test.
pub fn manual() -> Cb {
    Cb::new().config("[defaults]\ndrain = \"manual\"\n")
}

impl Cb {
    /// A line of `cb queue add OPTIONS pay -- COMMAND`, in the test's directory.
    pub fn adding(
        &self,
        options: &[&str],
        command: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Command {
        let mut add = self.command(["queue", "add"]);
        add.args(options).args(["pay", "--"]).args(command).current_dir(self.path(""));
        add
    }

    /// Adds a job; its id.
    #[track_caller]
    pub fn add(
        &self,
        options: &[&str],
        command: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> String {
        id_of(&bounded(self.adding(options, command)).code(0).stderr(""))
    }

    /// Adds a shell's script as a job; its id.
    #[track_caller]
    pub fn add_sh(&self, options: &[&str], script: &str) -> String {
        self.add(options, ["sh", "-c", script])
    }

    /// `cb queue run OPTIONS pay`
    #[track_caller]
    pub fn drain(&self, options: &[&str]) -> Ran {
        bounded(self.draining(options))
    }

    /// A line of `cb queue run OPTIONS pay`.
    pub fn draining(&self, options: &[&str]) -> Command {
        let mut run = self.command(["queue", "run"]);
        run.args(options).arg("pay");
        run
    }

    /// The jobs of a breaker in all states, in order, as `cb queue list` has them.
    #[track_caller]
    pub fn jobs(&self) -> Vec<Value> {
        let mut list = self.command(["queue", "list", "--json", "pay"]);
        STATES.iter().for_each(|state| {
            list.args(["--state", state]);
        });
        let listed = bounded(list).code(0).stderr("");
        let listed: Value = serde_json::from_str(&listed.stdout_text()).expect("JSON");
        assert_eq!(listed["schema"], "cb.queue/1");
        listed["jobs"].as_array().expect("a list").clone()
    }

    /// The states of the jobs, in order.
    #[track_caller]
    pub fn states(&self) -> Vec<String> {
        let state = |job: &Value| job["state"].as_str().expect("a state").to_owned();
        self.jobs().iter().map(state).collect()
    }

    /// The state of one job.
    #[track_caller]
    pub fn state_of(&self, id: &str) -> String {
        let shown = self.shown(id);
        shown["state"].as_str().expect("a state").to_owned()
    }

    /// `cb queue show --json --reveal ID`
    #[track_caller]
    pub fn shown(&self, id: &str) -> Value {
        let shown = self.run(["queue", "show", "--json", "--reveal", id]).code(0).stderr("");
        serde_json::from_str(&shown.stdout_text()).expect("JSON")
    }

    /// Waits until a job is in this state.
    #[track_caller]
    pub fn becomes(&self, id: &str, state: &str) {
        eventually(&format!("job {id} is {state}"), || self.state_of(id) == state);
    }

    /// A place in the queue of `pay`.
    pub fn queue(&self, name: &str) -> PathBuf {
        self.store().join("pay/queue").join(name)
    }

    /// Waits until no drain is at work in the background: it holds this lock.
    #[track_caller]
    pub fn rested(&self, name: &str) {
        let path = self.store().join(name).join("queue/drain");
        eventually("the drain has left", || {
            let lock = fs::File::open(&path).expect("a lock file");
            flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok()
        });
    }

    /// What an attempt at a job wrote.
    #[track_caller]
    pub fn log(&self, id: &str, attempt: u32) -> String {
        let log = fs::read(self.queue("log").join(format!("{id}.{attempt}"))).expect("a log");
        String::from_utf8(log).expect("UTF-8")
    }
}

/// The id that an add printed, and nothing else.
#[track_caller]
pub fn id_of(ran: &Ran) -> String {
    let text = ran.stdout_text();
    let id = text.strip_suffix('\n').expect("a line");
    assert!(id.len() == 26 && id.chars().all(|c| c.is_ascii_alphanumeric()), "{ran}");
    id.to_owned()
}

/// The names in a directory; none where it is not there.
pub fn names_in(path: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> =
        entries.map(|entry| name(entry).into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// Every file below a directory.
pub fn files_below(path: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).expect("readable") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false => files.push(path),
        }
    }
    files
}
