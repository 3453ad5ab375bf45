//! The table of keys: what each is called, what kind of value it takes, and
//! which values are allowed.

use std::time::Duration;

use super::action::ACTIONS;
use super::parse::NAMES_SPAN;
use super::size;
use crate::model::policy::{DURATION_MAX, HALF_OPEN_CALLS_MAX, RISE_MAX, WINDOW_CALLS_MAX};
use crate::model::text;

/// A key of the settings. The discriminant is its place in [`Key::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named like the key that it stands for")]
pub enum Key {
    Window,
    ConsecutiveFailures,
    Failures,
    FailureRate,
    SlowCall,
    SlowRate,
    MinCalls,
    OpenFor,
    OpenBackoff,
    OpenMax,
    OpenJitter,
    HalfOpenCalls,
    SuccessThreshold,
    PermitTtl,
    Timeout,
    KillAfter,
    IgnoreCodes,
    FailureCodes,
    OpenExitCode,
    OnStoreError,
    MaxConcurrent,
    MaxWait,
    Retries,
    RetryDelay,
    RetryBackoff,
    RetryMaxDelay,
    RetryJitter,
    RetryMaxTime,
    OnOpen,
    OnFailure,
    QueuedExitCode,
    Drain,
    MaxAttempts,
    MaxAge,
    AttemptDelay,
    QueueEnv,
    QueueStdinMax,
    QueueMax,
    CacheMax,
    CacheCwd,
    CacheEnv,
    Rise,
    ProbeCloses,
}

/// What kind of value a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Calls as a whole number, or a duration.
    Window,
    /// A whole number within these bounds.
    Count {
        /// The lowest.
        min: u32,
        /// The highest.
        max: u32,
    },
    /// A share, to a hundredth of a percent.
    Percent,
    /// A duration above zero, of at least this, up to [`DURATION_MAX`].
    Duration {
        /// The shortest.
        min: Duration,
    },
    /// A factor of 1 to 1000 with up to four decimals.
    Growth,
    /// A list of exit codes, 1 to 255.
    Codes {
        /// Whether the list may be empty.
        empty: bool,
    },
    /// One exit code, 0 to 255.
    Code,
    /// `run` or `refuse`.
    OnStoreError,
    /// What stands in for a call: a chain of actions.
    Actions,
    /// `on-close` or `manual`.
    Drain,
    /// Names of environment variables.
    Names,
    /// A number of bytes, up to this.
    Size {
        /// The largest.
        max: u64,
    },
    /// `true` or `false`.
    Switch,
}

/// How a value is written: that decides what an example looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As a word of the command line.
    Word,
    /// As TOML.
    Toml,
}

struct Spec {
    name: &'static str,
    kind: Kind,
    /// Whether `none` takes the value away.
    optional: bool,
}

/// How many keys there are.
pub const KEY_COUNT: usize = 43;

const MS: Duration = Duration::from_millis(1);
const NS: Duration = Duration::from_nanos(1);
const RULE: Kind = Kind::Count { min: 0, max: WINDOW_CALLS_MAX };
const TRIALS: Kind = Kind::Count { min: 1, max: HALF_OPEN_CALLS_MAX };

/// Each of these is looked at by a call that finds none free.
const CONCURRENT_MAX: u32 = 1000;
/// A job holds its stdin in one piece.
const STDIN_MAX: u64 = 64 << 20;
const OUTPUT_MAX: u64 = 1 << 30;

static SPECS: [Spec; KEY_COUNT] = [
    spec("window", Kind::Window, false),
    spec("consecutive_failures", RULE, false),
    spec("failures", RULE, false),
    spec("failure_rate", Kind::Percent, false),
    spec("slow_call", Kind::Duration { min: NS }, true),
    spec("slow_rate", Kind::Percent, false),
    spec("min_calls", Kind::Count { min: 1, max: WINDOW_CALLS_MAX }, false),
    spec("open_for", Kind::Duration { min: MS }, false),
    spec("open_backoff", Kind::Growth, false),
    spec("open_max", Kind::Duration { min: MS }, false),
    spec("open_jitter", Kind::Percent, false),
    spec("half_open_calls", TRIALS, false),
    spec("success_threshold", TRIALS, true),
    spec("permit_ttl", Kind::Duration { min: MS }, true),
    spec("timeout", Kind::Duration { min: NS }, true),
    spec("kill_after", Kind::Duration { min: NS }, false),
    spec("ignore_codes", Kind::Codes { empty: true }, true),
    spec("failure_codes", Kind::Codes { empty: false }, true),
    spec("open_exit_code", Kind::Code, false),
    spec("on_store_error", Kind::OnStoreError, false),
    spec("max_concurrent", Kind::Count { min: 1, max: CONCURRENT_MAX }, true),
    spec("max_wait", Kind::Duration { min: MS }, true),
    spec("retries", Kind::Count { min: 0, max: 1000 }, false),
    spec("retry_delay", Kind::Duration { min: MS }, false),
    spec("retry_backoff", Kind::Growth, false),
    spec("retry_max_delay", Kind::Duration { min: MS }, false),
    spec("retry_jitter", Kind::Percent, false),
    spec("retry_max_time", Kind::Duration { min: MS }, true),
    spec("on_open", Kind::Actions, false),
    spec("on_failure", Kind::Actions, false),
    spec("queued_exit_code", Kind::Code, false),
    spec("drain", Kind::Drain, false),
    spec("max_attempts", Kind::Count { min: 1, max: 1000 }, false),
    spec("max_age", Kind::Duration { min: MS }, false),
    spec("attempt_delay", Kind::Duration { min: MS }, false),
    spec("queue_env", Kind::Names, true),
    spec("queue_stdin_max", Kind::Size { max: STDIN_MAX }, false),
    spec("queue_max", Kind::Count { min: 1, max: 1_000_000 }, false),
    spec("cache_max", Kind::Size { max: OUTPUT_MAX }, false),
    spec("cache_cwd", Kind::Switch, false),
    spec("cache_env", Kind::Names, true),
    spec("rise", Kind::Count { min: 1, max: RISE_MAX }, false),
    spec("probe_closes", Kind::Switch, false),
];

const fn spec(name: &'static str, kind: Kind, optional: bool) -> Spec {
    Spec { name, kind, optional }
}

impl Key {
    /// Every key, in the order in which people see them.
    pub const ALL: [Key; KEY_COUNT] = [
        Key::Window,
        Key::ConsecutiveFailures,
        Key::Failures,
        Key::FailureRate,
        Key::SlowCall,
        Key::SlowRate,
        Key::MinCalls,
        Key::OpenFor,
        Key::OpenBackoff,
        Key::OpenMax,
        Key::OpenJitter,
        Key::HalfOpenCalls,
        Key::SuccessThreshold,
        Key::PermitTtl,
        Key::Timeout,
        Key::KillAfter,
        Key::IgnoreCodes,
        Key::FailureCodes,
        Key::OpenExitCode,
        Key::OnStoreError,
        Key::MaxConcurrent,
        Key::MaxWait,
        Key::Retries,
        Key::RetryDelay,
        Key::RetryBackoff,
        Key::RetryMaxDelay,
        Key::RetryJitter,
        Key::RetryMaxTime,
        Key::OnOpen,
        Key::OnFailure,
        Key::QueuedExitCode,
        Key::Drain,
        Key::MaxAttempts,
        Key::MaxAge,
        Key::AttemptDelay,
        Key::QueueEnv,
        Key::QueueStdinMax,
        Key::QueueMax,
        Key::CacheMax,
        Key::CacheCwd,
        Key::CacheEnv,
        Key::Rise,
        Key::ProbeCloses,
    ];

    /// Whether the machine decides by it at any call, and not only at the call or
    /// the probe that it is given for.
    pub fn is_of_machine(self) -> bool {
        (self as usize) <= Key::PermitTtl as usize
    }

    /// Whether a queued job keeps it for the time when it runs.
    pub fn is_of_job(self) -> bool {
        matches!(
            self,
            Key::Timeout
                | Key::KillAfter
                | Key::IgnoreCodes
                | Key::FailureCodes
                | Key::MaxConcurrent
                | Key::MaxWait
                | Key::Drain
                | Key::MaxAttempts
                | Key::MaxAge
                | Key::AttemptDelay
        )
    }

    /// The name in a config file: `open_for`.
    pub fn name(self) -> &'static str {
        SPECS[self as usize].name
    }

    /// The flag that sets it: `--open-for`.
    pub fn flag(self) -> String {
        format!("--{}", self.name().replace('_', "-"))
    }

    /// What kind of value it takes.
    pub fn kind(self) -> Kind {
        SPECS[self as usize].kind
    }

    /// Whether `none` takes its value away.
    pub fn is_optional(self) -> bool {
        SPECS[self as usize].optional
    }

    /// The key of this name.
    pub fn by_name(name: &str) -> Option<Key> {
        Key::ALL.into_iter().find(|key| key.name() == name)
    }

    /// What is allowed, in words, with examples in the given form.
    pub fn allowed(self, form: Form) -> String {
        let quote = if form == Form::Toml { "\"" } else { "" };
        let span = format!("at most {}", text::duration(DURATION_MAX));
        let duration = format!("such as {quote}30s{quote} or {quote}1m30s{quote}, {span}");
        let mut allowed = match self.kind() {
            Kind::Window => {
                format!("a number of calls, 1 to {WINDOW_CALLS_MAX}, or a duration {duration}")
            }
            Kind::Count { min: 0, max } if self.is_of_machine() => {
                format!("a whole number, 0 to {max}; 0 turns the rule off")
            }
            Kind::Count { min, max } => format!("a whole number, {min} to {max}"),
            Kind::Percent => format!(
                "{quote}0%{quote} to {quote}100%{quote} with at most 2 decimals, or a share such as 0.5"
            ),
            Kind::Duration { min } if min >= MS => format!("a duration {duration}, at least 1ms"),
            Kind::Duration { .. } => format!("a duration above 0 {duration}"),
            Kind::Growth => "a number, 1 to 1000, with at most 4 decimals".to_owned(),
            Kind::Codes { .. } if form == Form::Toml => {
                "a list of exit codes, 1 to 255, such as [126, 127]".to_owned()
            }
            Kind::Codes { .. } => "exit codes, 1 to 255, such as 126,127".to_owned(),
            Kind::Code => "an exit code, 0 to 255".to_owned(),
            Kind::OnStoreError => format!("{quote}run{quote} or {quote}refuse{quote}"),
            Kind::Actions => {
                let actions = ACTIONS.map(|action| format!("{quote}{action}{quote}")).join(", ");
                let in_file = "; or a list of them, where a command can be a list of words";
                actions + if form == Form::Toml { in_file } else { "" }
            }
            Kind::Drain => format!("{quote}on-close{quote} or {quote}manual{quote}"),
            Kind::Names if form == Form::Toml => {
                format!("a list of variables' names, such as [\"LANG\", \"TZ\"], {NAMES_SPAN}")
            }
            Kind::Names => format!("variables' names, such as LANG,TZ, {NAMES_SPAN}"),
            Kind::Size { max } => format!(
                "bytes, or a size such as {quote}512KiB{quote} or {quote}8MB{quote}, at most {}",
                size::show(max)
            ),
            Kind::Switch => "true or false".to_owned(),
        };
        if self.is_optional() {
            allowed.push_str(&format!("; or {quote}none{quote}"));
        }
        allowed
    }
}

/// Why no key has this name, with the nearest that is one.
pub fn unknown(name: &str) -> String {
    let shown = text::excerpt(name, 40);
    match nearest(name, Key::ALL.into_iter().map(Key::name)) {
        Some(near) => format!("unknown key '{shown}'; did you mean '{near}'?"),
        None => {
            let names: Vec<_> = Key::ALL.into_iter().map(Key::name).collect();
            format!("unknown key '{shown}'; allowed: {}", names.join(", "))
        }
    }
}

/// The known word that an unknown one most likely stands for.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word: String = word.chars().take(60).collect::<String>().to_lowercase().replace('-', "_");
    known
        .map(|name| (strsim::jaro_winkler(&word, name), name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_agrees_with_the_flags() {
        for (i, key) in Key::ALL.into_iter().enumerate() {
            assert_eq!(key as usize, i);
            assert_eq!(Key::by_name(key.name()), Some(key));
            assert_eq!(crate::cli::POLICY_FLAGS[i].key, key.name());
        }
    }

    #[track_caller]
    fn check_unknown(name: &str, expected: &str) {
        let message = unknown(name);
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn unknown_keys_are_told_with_the_nearest() {
        check_unknown("open_fro", "unknown key 'open_fro'; did you mean 'open_for'?");
        check_unknown("open-for", "did you mean 'open_for'?");
        check_unknown("OpenFor", "did you mean 'open_for'?");
        check_unknown("failure", "did you mean 'failures'?");
        check_unknown("tiemout", "did you mean 'timeout'?");
        check_unknown("zzz", "unknown key 'zzz'; allowed: window, consecutive_failures,");
        check_unknown("", "unknown key ''; allowed: ");
        check_unknown("a\x1b", "'a\\u{1b}'");
        check_unknown("retrys", "did you mean 'retries'?");
        check_unknown("on-open", "did you mean 'on_open'?");
    }
}
