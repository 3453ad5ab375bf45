//! The validated settings of one breaker, made of layers: the defaults, the
//! sections of the config files, the flags. Each layer sets single keys, and
//! the later wins.
//!
//! `keys` is the table of keys, `parse` reads a value, `layers` lays them over
//! each other, `words` reads what the command line says. `probe` has the same
//! for what a probe looks at.

pub mod action;
pub mod instead;
pub mod keys;
pub mod layers;
pub mod parse;
pub mod probe;
pub mod size;
pub mod value;
pub mod words;

use std::time::Duration;

use crate::cli::Flag;
use crate::error::Error;
use crate::exit;
use crate::model::Policy;
use crate::model::outcome::ExitCodes;

pub use action::Action;
pub use instead::{CacheSettings, Drain, QueueSettings, Retry};
pub use keys::Key;
pub use layers::{Assignment, Layers, Place};
pub use value::Value;
pub use words::{
    breaker_name, flags_text, job_flags_text, job_key, length, number, period, rate, whole,
};

/// What `cb exec` does where the state cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStoreError {
    /// Run the command, with a warning.
    #[default]
    Run,
    /// Refuse.
    Refuse,
}

impl OnStoreError {
    /// The name in a config file.
    pub const fn name(self) -> &'static str {
        match self {
            OnStoreError::Run => "run",
            OnStoreError::Refuse => "refuse",
        }
    }

    /// The choice of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "run" => Some(OnStoreError::Run),
            "refuse" => Some(OnStoreError::Refuse),
            _ => None,
        }
    }
}

/// The settings of one breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What the machine knows.
    pub policy: Policy,
    /// End a call after this.
    pub timeout: Option<Duration>,
    /// Send KILL so long after TERM.
    pub kill_after: Duration,
    /// Which exit codes say what.
    pub codes: ExitCodes,
    /// The status of a rejected call.
    pub open_exit_code: u8,
    /// What to do where the state cannot be used.
    pub on_store_error: OnStoreError,
    /// The most calls at once on this host.
    pub max_concurrent: Option<u32>,
    /// How long a call waits to be among them.
    pub max_wait: Option<Duration>,
    /// Attempts after the first.
    pub retry: Retry,
    /// What stands in for a rejected call; never empty.
    pub on_open: Vec<Action>,
    /// What stands in for a failed call; never empty.
    pub on_failure: Vec<Action>,
    /// The status of a call that was queued.
    pub queued_exit_code: u8,
    /// The outputs that are kept.
    pub cache: CacheSettings,
    /// The calls that are kept for later.
    pub queue: QueueSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Layers::default().settings().expect("the defaults agree with each other")
    }
}

impl Settings {
    /// The default of `kill_after`.
    pub const KILL_AFTER: Duration = Duration::from_secs(5);
    /// The default of `open_exit_code`: EX_TEMPFAIL, which invites a retry.
    pub const OPEN_EXIT_CODE: u8 = exit::REJECTED;
    /// The default of `queued_exit_code`: not run yet, so not 0.
    pub const QUEUED_EXIT_CODE: u8 = exit::QUEUED;

    /// The status of a command whose whole answer is "no": `open_exit_code`, but
    /// never 0, which would say "yes".
    pub fn refusal_code(&self) -> i32 {
        match self.open_exit_code {
            0 => i32::from(Settings::OPEN_EXIT_CODE),
            code => i32::from(code),
        }
    }

    /// The value of a key.
    pub fn value(&self, key: Key) -> Value {
        let policy = &self.policy;
        let optional = |duration: Option<Duration>| duration.map_or(Value::Unset, Value::Duration);
        match key {
            Key::Window => Value::Window(policy.window),
            Key::ConsecutiveFailures => Value::Count(policy.consecutive_failures),
            Key::Failures => Value::Count(policy.failures),
            Key::FailureRate => Value::Percent(policy.failure_rate),
            Key::SlowCall => optional(policy.slow_call),
            Key::SlowRate => Value::Percent(policy.slow_rate),
            Key::MinCalls => Value::Count(policy.min_calls),
            Key::OpenFor => Value::Duration(policy.open_for),
            Key::OpenBackoff => Value::Growth(policy.open_backoff),
            Key::OpenMax => Value::Duration(policy.open_max),
            Key::OpenJitter => Value::Percent(policy.open_jitter),
            Key::HalfOpenCalls => Value::Count(policy.half_open_calls),
            Key::SuccessThreshold => Value::Count(policy.success_threshold),
            Key::PermitTtl => Value::Duration(policy.permit_ttl),
            Key::Timeout => optional(self.timeout),
            Key::KillAfter => Value::Duration(self.kill_after),
            Key::IgnoreCodes => Value::Codes(self.codes.ignore.clone()),
            Key::FailureCodes => self.codes.failure.clone().map_or(Value::Unset, Value::Codes),
            Key::OpenExitCode => Value::Code(self.open_exit_code),
            Key::OnStoreError => Value::OnStoreError(self.on_store_error),
            Key::MaxConcurrent => self.max_concurrent.map_or(Value::Unset, Value::Count),
            Key::MaxWait => optional(self.max_wait),
            Key::Retries => Value::Count(self.retry.retries),
            Key::RetryDelay => Value::Duration(self.retry.delay),
            Key::RetryBackoff => Value::Growth(self.retry.backoff),
            Key::RetryMaxDelay => Value::Duration(self.retry.max_delay),
            Key::RetryJitter => Value::Percent(self.retry.jitter),
            Key::RetryMaxTime => optional(self.retry.max_time),
            Key::OnOpen => Value::Actions(self.on_open.clone()),
            Key::OnFailure => Value::Actions(self.on_failure.clone()),
            Key::QueuedExitCode => Value::Code(self.queued_exit_code),
            Key::Drain => Value::Drain(self.queue.drain),
            Key::MaxAttempts => Value::Count(self.queue.max_attempts),
            Key::MaxAge => Value::Duration(self.queue.max_age),
            Key::AttemptDelay => Value::Duration(self.queue.attempt_delay),
            Key::QueueEnv => Value::Names(self.queue.env.clone()),
            Key::QueueStdinMax => Value::Size(self.queue.stdin_max),
            Key::QueueMax => Value::Count(self.queue.max_jobs),
            Key::CacheMax => Value::Size(self.cache.max),
            Key::CacheCwd => Value::Switch(self.cache.cwd),
            Key::CacheEnv => Value::Names(self.cache.env.clone()),
            Key::Rise => Value::Count(policy.rise),
            Key::ProbeCloses => Value::Switch(policy.probe_closes),
        }
    }

    /// Every key with its value, in the order in which people see them.
    pub fn values(&self) -> impl Iterator<Item = (Key, Value)> {
        Key::ALL.into_iter().map(|key| (key, self.value(key)))
    }
}

/// What is laid over the config files, the later wins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// The flags of the breaker's last call, a text of [`flags_text`].
    pub last_flags: &'a str,
    /// The flags that a queued job kept, a text of [`job_flags_text`].
    pub job_flags: &'a str,
    /// The flags of this command.
    pub flags: &'a [Flag],
}

/// The settings that come of the config files' assignments for a breaker and of
/// what is laid over them.
///
/// # Errors
///
/// If a flag is not allowed, or two settings exclude each other. Flags that were
/// kept cause no error: where they disagree with what has changed since, they
/// are left out.
pub fn resolve<'a>(
    files: impl IntoIterator<Item = &'a Assignment>,
    given: &Given<'_>,
) -> Result<Settings, Error> {
    let mut layers = Layers::default();
    for assignment in files {
        layers.put(assignment.clone());
    }
    for (last_flags, job_flags) in [(given.last_flags, given.job_flags), ("", given.job_flags)] {
        if last_flags.is_empty() && job_flags.is_empty() {
            break;
        }
        let mut with_kept = layers.clone();
        words::put_flags_text(&mut with_kept, last_flags);
        words::put_job_flags_text(&mut with_kept, job_flags);
        words::put_flags(&mut with_kept, given.flags)?;
        if let Ok(settings) = with_kept.settings() {
            return Ok(settings);
        }
    }
    words::put_flags(&mut layers, given.flags)?;
    layers.settings()
}

#[cfg(test)]
mod tests;
