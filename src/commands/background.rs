//! A drain in the background: started when a breaker closes, and where jobs wait
//! while calls flow and no closing will come. It belongs to nobody: it outlives
//! the process that starts it, and holds nothing of it open.

use std::ffi::OsString;
use std::path::Path;

use super::call::Caller;
use super::operate;
use crate::cli::Places;
use crate::error::Error;
use crate::model::{BreakerName, State, Transition};
use crate::process::{self, Startup};
use crate::settings::{Drain, Settings};
use crate::store::{Absent, FileStore};

/// A queue that may be drained in the background.
pub struct Background<'a> {
    pub store: &'a FileStore,
    pub name: &'a BreakerName,
    pub settings: &'a Settings,
    pub places: &'a Places,
    pub startup: &'a Startup,
}

impl<'a> Background<'a> {
    /// The queue of a breaker that calls are made through; none without a store.
    pub fn of(caller: &'a Caller<'_>, places: &'a Places, startup: &'a Startup) -> Option<Self> {
        let store = caller.store.as_ref()?;
        Some(Background { store, name: caller.name, settings: &caller.settings, places, startup })
    }

    /// Starts a drain if the breaker was just closed; what has to be said of it.
    pub fn after(&self, transitions: &[Transition]) -> Option<String> {
        let closed = transitions.iter().any(|made| made.to == State::Closed);
        if closed { self.start() } else { None }
    }

    /// Starts a drain if calls flow freely, so that no closing will start one;
    /// what has to be said of it.
    pub fn if_flowing(&self) -> Option<String> {
        let manual = self.settings.queue.drain == Drain::Manual;
        if !manual && operate::flows(self.store, self.name, &self.settings.policy) {
            self.start()
        } else {
            None
        }
    }

    /// Starts a drain if jobs wait and none is at work; what has to be said of it.
    /// That none can be started takes nothing back: the jobs are kept.
    pub fn start(&self) -> Option<String> {
        let started = self.try_start();
        started.err().map(|error| format!("{error}; the queue waits for 'cb queue run'"))
    }

    fn try_start(&self) -> Result<(), Error> {
        if self.settings.queue.drain == Drain::Manual {
            return Ok(());
        }
        let Some(queue) = self.store.queue(self.name, Absent::Refuse)? else { return Ok(()) };
        // Where a drain is at work, it sees what was queued until now. And where it
        // is another who asks this, that one starts the drain.
        if queue.drain_lock()?.is_none() {
            return Ok(());
        }
        let counts = queue.counts()?;
        if counts.pending + counts.running == 0 {
            return Ok(());
        }
        let mut args: Vec<OsString> =
            ["queue", "run", "--background", "--store"].map(Into::into).into();
        args.push(absolute(self.store.root()));
        // What the environment names may be relative as well.
        let from_env = || std::env::var_os("CB_CONFIG").filter(|path| !path.is_empty());
        if let Some(config) = self.places.config.clone().or_else(from_env) {
            args.extend(["--config".into(), absolute(Path::new(&config))]);
        }
        args.push(self.name.as_str().into());
        process::start_detached(&args, self.startup)
    }
}

/// The drain runs in another directory than this process.
fn absolute(path: &Path) -> OsString {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).into_os_string()
}
