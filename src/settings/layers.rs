//! Layers of assignments, and the settings that they come to: key by key, the
//! later layer wins.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::keys::{KEY_COUNT, Key};
use super::value::Value;
use super::{Action, CacheSettings, Drain, OnStoreError, QueueSettings, Retry, Settings};
use crate::error::Error;
use crate::model::Policy;
use crate::model::outcome::ExitCodes;
use crate::model::policy::{Growth, Percent};

/// What a permit's lease adds to the longest time that a call can take.
const PERMIT_MARGIN: Duration = Duration::from_secs(10);

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// By a line of a config file.
    File {
        /// The file.
        path: Rc<Path>,
        /// The line, from 1.
        line: usize,
        /// The section as it is written: `[breaker."pay*"]`.
        section: Rc<str>,
    },
    /// By the flags of the call before this one.
    LastFlags,
    /// By the flags of the call that was queued.
    JobFlags,
    /// By this key's flag.
    Flag,
    /// By `--set`.
    Set,
}

/// A key set to a value, somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The key.
    pub key: Key,
    /// Its value.
    pub value: Value,
    /// Where.
    pub place: Place,
}

/// What all layers so far say about each key.
#[derive(Clone, Debug)]
pub struct Layers {
    slots: [Option<(Value, Place)>; KEY_COUNT],
}

impl Default for Layers {
    fn default() -> Self {
        Layers { slots: [const { None }; KEY_COUNT] }
    }
}

impl Layers {
    /// Adds an assignment of a layer above all so far.
    pub fn put(&mut self, assignment: Assignment) {
        self.slots[assignment.key as usize] = Some((assignment.value, assignment.place));
    }

    /// Where the value of a key was set; nowhere means that it is the default.
    pub fn place(&self, key: Key) -> Option<&Place> {
        self.slots[key as usize].as_ref().map(|(_, place)| place)
    }

    /// The settings that the layers come to.
    ///
    /// # Errors
    ///
    /// If two settings exclude each other; the message names both places.
    pub fn settings(&self) -> Result<Settings, Error> {
        let settings = self.unchecked();
        let policy = &settings.policy;
        if policy.success_threshold > policy.half_open_calls {
            return Err(self.conflict(Key::SuccessThreshold, Key::HalfOpenCalls, "is above"));
        }
        if !policy.slow_rate.is_zero() && policy.slow_call.is_none() {
            return Err(self.conflict(Key::SlowRate, Key::SlowCall, "says nothing with"));
        }
        let both = self.place(Key::IgnoreCodes).and(self.place(Key::FailureCodes));
        let failure = settings.codes.failure.as_deref().unwrap_or_default();
        if both.is_some() && failure.iter().any(|code| settings.codes.ignore.contains(code)) {
            return Err(self.conflict(Key::FailureCodes, Key::IgnoreCodes, "shares a code with"));
        }
        if settings.max_wait.is_some() && settings.max_concurrent.is_none() {
            return Err(self.conflict(Key::MaxWait, Key::MaxConcurrent, "says nothing with"));
        }
        Ok(settings)
    }

    fn unchecked(&self) -> Settings {
        let default = Policy::default();
        let half_open_calls = self.count(Key::HalfOpenCalls, default.half_open_calls);
        let timeout = self.duration(Key::Timeout);
        let kill_after = self.duration(Key::KillAfter).unwrap_or(Settings::KILL_AFTER);
        let permit_ttl = self.duration(Key::PermitTtl).unwrap_or(match timeout {
            Some(timeout) => timeout.saturating_add(kill_after).saturating_add(PERMIT_MARGIN),
            None => default.permit_ttl,
        });
        let policy = Policy {
            window: match self.value(Key::Window) {
                Some(Value::Window(window)) => *window,
                _ => default.window,
            },
            consecutive_failures: self
                .count(Key::ConsecutiveFailures, default.consecutive_failures),
            failures: self.count(Key::Failures, default.failures),
            failure_rate: self.percent(Key::FailureRate, default.failure_rate),
            slow_call: self.duration(Key::SlowCall),
            slow_rate: self.percent(Key::SlowRate, default.slow_rate),
            min_calls: self.count(Key::MinCalls, default.min_calls),
            open_for: self.duration(Key::OpenFor).unwrap_or(default.open_for),
            open_backoff: self.growth(Key::OpenBackoff, default.open_backoff),
            open_max: self.duration(Key::OpenMax).unwrap_or(default.open_max),
            open_jitter: self.percent(Key::OpenJitter, default.open_jitter),
            half_open_calls,
            success_threshold: self.count(Key::SuccessThreshold, half_open_calls),
            permit_ttl,
            rise: self.count(Key::Rise, default.rise),
            probe_closes: self.switch(Key::ProbeCloses),
        };
        Settings {
            policy,
            timeout,
            kill_after,
            codes: self.codes(),
            open_exit_code: self.code(Key::OpenExitCode, Settings::OPEN_EXIT_CODE),
            on_store_error: match self.value(Key::OnStoreError) {
                Some(Value::OnStoreError(what)) => *what,
                _ => OnStoreError::default(),
            },
            max_concurrent: self.count_set(Key::MaxConcurrent),
            max_wait: self.duration(Key::MaxWait),
            retry: self.retry(),
            on_open: self.actions(Key::OnOpen),
            on_failure: self.actions(Key::OnFailure),
            queued_exit_code: self.code(Key::QueuedExitCode, Settings::QUEUED_EXIT_CODE),
            cache: self.cache(),
            queue: self.queue(),
        }
    }

    fn retry(&self) -> Retry {
        let two = Growth::from_ten_thousandths(2 * Growth::SCALE).expect("2.0 is allowed");
        let spread = Percent::from_hundredths(20_00).expect("20% is allowed");
        Retry {
            retries: self.count(Key::Retries, 0),
            delay: self.duration(Key::RetryDelay).unwrap_or(Duration::from_secs(1)),
            backoff: self.growth(Key::RetryBackoff, two),
            max_delay: self.duration(Key::RetryMaxDelay).unwrap_or(Duration::from_secs(30)),
            jitter: self.percent(Key::RetryJitter, spread),
            max_time: self.duration(Key::RetryMaxTime),
        }
    }

    fn cache(&self) -> CacheSettings {
        CacheSettings {
            max: self.size(Key::CacheMax, 8 << 20),
            cwd: self.switch(Key::CacheCwd),
            env: self.names(Key::CacheEnv),
        }
    }

    fn queue(&self) -> QueueSettings {
        let week = Duration::from_secs(7 * 86_400);
        QueueSettings {
            drain: match self.value(Key::Drain) {
                Some(Value::Drain(drain)) => *drain,
                _ => Drain::default(),
            },
            max_attempts: self.count(Key::MaxAttempts, 5),
            max_age: self.duration(Key::MaxAge).unwrap_or(week),
            attempt_delay: self.duration(Key::AttemptDelay).unwrap_or(Duration::from_secs(1)),
            env: self.names(Key::QueueEnv),
            stdin_max: self.size(Key::QueueStdinMax, 1 << 20),
            max_jobs: self.count(Key::QueueMax, 100_000),
        }
    }

    fn codes(&self) -> ExitCodes {
        let default = ExitCodes::default();
        let listed = |key| match self.value(key) {
            Some(Value::Codes(codes)) => Some(codes.clone()),
            _ => None,
        };
        ExitCodes {
            ignore: listed(Key::IgnoreCodes).unwrap_or(default.ignore),
            failure: listed(Key::FailureCodes),
        }
    }

    fn value(&self, key: Key) -> Option<&Value> {
        self.slots[key as usize].as_ref().map(|(value, _)| value)
    }

    fn count(&self, key: Key, default: u32) -> u32 {
        self.count_set(key).unwrap_or(default)
    }

    fn count_set(&self, key: Key) -> Option<u32> {
        match self.value(key) {
            Some(Value::Count(count)) => Some(*count),
            _ => None,
        }
    }

    fn code(&self, key: Key, default: u8) -> u8 {
        match self.value(key) {
            Some(Value::Code(code)) => *code,
            _ => default,
        }
    }

    fn growth(&self, key: Key, default: Growth) -> Growth {
        match self.value(key) {
            Some(Value::Growth(growth)) => *growth,
            _ => default,
        }
    }

    fn size(&self, key: Key, default: u64) -> u64 {
        match self.value(key) {
            Some(Value::Size(size)) => *size,
            _ => default,
        }
    }

    /// A switch that is off by default.
    fn switch(&self, key: Key) -> bool {
        matches!(self.value(key), Some(Value::Switch(true)))
    }

    fn names(&self, key: Key) -> Vec<String> {
        match self.value(key) {
            Some(Value::Names(names)) => names.clone(),
            _ => Vec::new(),
        }
    }

    fn actions(&self, key: Key) -> Vec<Action> {
        match self.value(key) {
            Some(Value::Actions(actions)) => actions.clone(),
            _ => vec![Action::Fail],
        }
    }

    fn percent(&self, key: Key, default: Percent) -> Percent {
        match self.value(key) {
            Some(Value::Percent(share)) => *share,
            _ => default,
        }
    }

    fn duration(&self, key: Key) -> Option<Duration> {
        match self.value(key) {
            Some(Value::Duration(duration)) => Some(*duration),
            _ => None,
        }
    }

    /// Two settings that exclude each other: an error of the config file if both
    /// come from there, else of the command line.
    fn conflict(&self, a: Key, b: Key, verb: &str) -> Error {
        let message = format!("{} {verb} {}", self.described(a), self.described(b));
        let places = [self.place(a), self.place(b)].into_iter().flatten();
        let mut file = None;
        for place in places {
            match place {
                Place::File { path, line, .. } => file = file.or(Some((path, *line))),
                Place::Flag | Place::Set | Place::LastFlags | Place::JobFlags => {
                    return Error::Usage(message);
                }
            }
        }
        match file {
            Some((path, line)) => Error::Config { path: path.to_path_buf(), line, message },
            None => Error::Usage(message),
        }
    }

    /// `open_for = 30s (default)`
    fn described(&self, key: Key) -> String {
        let value = self.unchecked().value(key);
        let place = match self.place(key) {
            None => "default".to_owned(),
            Some(Place::File { path, line, .. }) => format!("{}:{line}", path.display()),
            Some(Place::LastFlags) => "last call's flags".to_owned(),
            Some(Place::JobFlags) => "the job's flags".to_owned(),
            Some(Place::Flag) => key.flag(),
            Some(Place::Set) => "--set".to_owned(),
        };
        format!("{} = {value} ({place})", key.name())
    }
}
