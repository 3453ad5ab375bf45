//! Several drains for one `--jobs`: processes of cb itself, since a process
//! waits for one command at a time. The one that starts them looks after them.

use std::ffi::OsString;
use std::time::Duration;

use super::pass::Drainer;
use super::tally::Tally;
use crate::commands::output::Voice;
use crate::error::{Error, plain};
use crate::process::{self, Startup, Worker};

/// How long a signal waits at most until the drains hear of it.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The drains of one `cb queue run`.
pub struct Workers {
    /// How many there shall be.
    wanted: u64,
    args: Vec<OsString>,
    running: Vec<Worker>,
}

impl Workers {
    /// None.
    pub fn none() -> Self {
        Workers { wanted: 0, args: Vec::new(), running: Vec::new() }
    }

    /// So many, to be started later; for one job at a time nobody is needed.
    pub fn new(drainer: &Drainer<'_>, jobs: u64) -> Self {
        let wanted = if jobs > 1 { jobs } else { 0 };
        Workers { wanted, args: arguments(drainer), running: Vec::new() }
    }

    /// Whether they are yet to be started.
    pub fn are_wanted(&self) -> bool {
        self.wanted > 0
    }

    /// Has them drain, until they find nothing more to do or a signal ends them;
    /// that signal. What they did is added to the tally.
    ///
    /// # Errors
    ///
    /// That a process cannot be started; those that were have ended by then.
    pub fn work(
        &mut self,
        startup: &Startup,
        voice: &Voice<'_>,
        tally: &mut Tally,
    ) -> Result<Option<i32>, Error> {
        let mut failed = None;
        for _ in 0..std::mem::take(&mut self.wanted) {
            match Worker::start(&self.args, startup) {
                Ok(worker) => self.running.push(worker),
                Err(error) => failed = Some(error),
            }
        }
        let mut ended_by = None;
        while !self.running.is_empty() {
            if let Some(asked) = process::end_request() {
                // What was typed reached them as well.
                if !asked.typed {
                    self.running.iter().for_each(|worker| worker.end(asked.signal));
                }
                ended_by = Some(asked.signal);
            }
            let done = match Worker::first_done(&self.running, Some(LOOK_EVERY)) {
                Ok(done) => done,
                // Then they are waited for one after the other.
                Err(_) => Some(0),
            };
            if let Some(place) = done {
                tally.merge(told(self.running.swap_remove(place), voice));
            }
        }
        failed.map_or(Ok(ended_by), Err)
    }
}

/// Waits for the end of one; what it did.
fn told(worker: Worker, voice: &Voice<'_>) -> Tally {
    match worker.wait() {
        Ok((_, said)) => serde_json::from_slice(&said).unwrap_or_else(|_| {
            voice.say("one of the drains ended without a word");
            Tally::default()
        }),
        Err(error) => {
            voice.say(format_args!("cannot wait for a drain: {}", plain(&error)));
            Tally::default()
        }
    }
}

/// The words that this drain was given, for another like it.
fn arguments(drainer: &Drainer<'_>) -> Vec<OsString> {
    let words = drainer.words;
    let mut args: Vec<OsString> = ["queue", "run", "--worker"].map(Into::into).into();
    let places = drainer.setup.places();
    let mut option = |name: &str, value: &Option<OsString>| {
        if let Some(value) = value {
            args.extend([name.into(), value.clone()]);
        }
    };
    option("--store", &places.store);
    option("--config", &places.config);
    option("--rate", &words.rate);
    for (key, value) in &words.flags {
        args.extend([format!("--{}", key.replace('_', "-")).into(), value.clone()]);
    }
    if words.watch {
        args.push("--watch".into());
    }
    if words.quiet {
        args.push("--quiet".into());
    }
    args.push(words.name.clone());
    args
}
