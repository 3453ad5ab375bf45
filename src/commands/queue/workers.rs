//! More drains beside this one, for `--jobs`: processes of cb itself, since a
//! process waits for one command at a time.

use std::ffi::OsString;

use super::pass::Drainer;
use super::tally::Tally;
use crate::commands::output::Voice;
use crate::error::{Error, plain};
use crate::process::{Startup, Worker};

/// The other drains of one `cb queue run`.
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

    /// So many that with this one there are `jobs`, to be started later.
    pub fn new(drainer: &Drainer<'_>, jobs: u64) -> Self {
        Workers { wanted: jobs - 1, args: arguments(drainer), running: Vec::new() }
    }

    /// Whether they are yet to be started.
    pub fn are_wanted(&self) -> bool {
        self.wanted > 0
    }

    /// Starts them.
    ///
    /// # Errors
    ///
    /// That a process cannot be started; those that were go on.
    pub fn start(&mut self, startup: &Startup) -> Result<(), Error> {
        for _ in 0..std::mem::take(&mut self.wanted) {
            self.running.push(Worker::start(&self.args, startup)?);
        }
        Ok(())
    }

    /// Passes a signal on to them.
    pub fn tell(&self, signal: i32) {
        self.running.iter().for_each(|worker| worker.tell(signal));
    }

    /// Waits for their end; what they did.
    pub fn finish(self, startup: &Startup, voice: &Voice<'_>) -> Tally {
        let mut tally = Tally::default();
        if !self.running.is_empty() {
            // Ended while it waits, this process takes them with it.
            startup.unblock_signals();
        }
        for worker in self.running {
            match worker.wait() {
                Ok((_, said)) => match serde_json::from_slice::<Tally>(&said) {
                    Ok(theirs) => tally.merge(theirs),
                    Err(_) => voice.say("one of the drains ended without a word"),
                },
                Err(error) => voice.say(format_args!("cannot wait for a drain: {}", plain(&error))),
            }
        }
        tally
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
