//! Settings of what is done around a call, and instead of it: retries, the
//! cache, the queue.

use std::time::Duration;

use crate::model::backoff::RetryDelay;
use crate::model::policy::{Growth, Percent};

/// Attempts after the first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How many.
    pub retries: u32,
    /// The pause before the first of them.
    pub delay: Duration,
    /// What each further pause is multiplied by.
    pub backoff: Growth,
    /// The cap of a pause, before the spread.
    pub max_delay: Duration,
    /// The spread of a pause, to both sides.
    pub jitter: Percent,
    /// No attempt begins once so much time has passed since the first.
    pub max_time: Option<Duration>,
}

impl Retry {
    /// How the pauses between attempts grow.
    pub fn wait(&self) -> RetryDelay {
        let Retry { delay, backoff, max_delay, jitter, .. } = *self;
        RetryDelay { first: delay, growth: backoff, max: max_delay, jitter }
    }
}

/// The outputs that are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// The most bytes of one.
    pub max: u64,
    /// Whether the working directory tells one from another.
    pub cwd: bool,
    /// The variables that tell one from another.
    pub env: Vec<String>,
}

/// What empties the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drain {
    /// The breaker's closing does, in the background.
    #[default]
    OnClose,
    /// Only `cb queue run` does.
    Manual,
}

impl Drain {
    /// The name in a config file.
    pub const fn name(self) -> &'static str {
        match self {
            Drain::OnClose => "on-close",
            Drain::Manual => "manual",
        }
    }

    /// The choice of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Drain::OnClose, Drain::Manual].into_iter().find(|drain| drain.name() == name)
    }
}

/// The calls that are kept for later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// What empties the queue.
    pub drain: Drain,
    /// The attempts after which a job has failed.
    pub max_attempts: u32,
    /// The age after which no attempt is made any more.
    pub max_age: Duration,
    /// The pause after a job's first failed attempt; it doubles with each.
    pub attempt_delay: Duration,
    /// The variables that a job keeps, besides PATH and HOME.
    pub env: Vec<String>,
    /// The most bytes of standard input that a job keeps.
    pub stdin_max: u64,
    /// The most jobs that wait.
    pub max_jobs: u32,
}
