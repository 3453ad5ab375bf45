//! The policy flags: one for each key of the settings, by name only. What a
//! value means, and what is allowed, is the business of the settings.

/// A policy flag.
#[derive(Clone, Copy, Debug)]
pub struct PolicyFlag {
    /// The key in a config file: `open_for`.
    pub key: &'static str,
    /// The flag without its dashes: `open-for`.
    pub long: &'static str,
    /// What stands for the value in help.
    pub value: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// The heading that help has it under.
    pub heading: &'static str,
    /// Whether it can be given several times, and each one counts.
    pub repeatable: bool,
}

impl PolicyFlag {
    const fn under(self, heading: &'static str) -> Self {
        PolicyFlag { heading, ..self }
    }

    const fn repeatable(self) -> Self {
        PolicyFlag { repeatable: true, ..self }
    }
}

/// The heading of what a breaker decides by, and what ends a call.
pub const POLICY: &str = "Policy";
/// The heading of how often, and how many at once.
pub const AGAIN: &str = "Retries and concurrency";
/// The heading of what stands in for a call.
pub const INSTEAD: &str = "Instead of the call";
/// The heading of what is kept.
pub const KEPT: &str = "Queue and cache";

/// The heading of what probes do to a breaker. Only `cb probe` has these flags.
pub const PROBES: &str = "Feeding the breaker";

/// A policy flag, once for each key, in the order in which help lists them.
pub static POLICY_FLAGS: [PolicyFlag; 43] = [
    flag("window", "window", "N|DURATION", WINDOW),
    flag("consecutive_failures", "consecutive-failures", "N", CONSECUTIVE_FAILURES),
    flag("failures", "failures", "N", FAILURES),
    flag("failure_rate", "failure-rate", "PERCENT", FAILURE_RATE),
    flag("slow_call", "slow-call", "DURATION", SLOW_CALL),
    flag("slow_rate", "slow-rate", "PERCENT", SLOW_RATE),
    flag("min_calls", "min-calls", "N", MIN_CALLS),
    flag("open_for", "open-for", "DURATION", OPEN_FOR),
    flag("open_backoff", "open-backoff", "FACTOR", OPEN_BACKOFF),
    flag("open_max", "open-max", "DURATION", OPEN_MAX),
    flag("open_jitter", "open-jitter", "PERCENT", OPEN_JITTER),
    flag("half_open_calls", "half-open-calls", "N", HALF_OPEN_CALLS),
    flag("success_threshold", "success-threshold", "N", SUCCESS_THRESHOLD),
    flag("permit_ttl", "permit-ttl", "DURATION", PERMIT_TTL),
    flag("timeout", "timeout", "DURATION", TIMEOUT),
    flag("kill_after", "kill-after", "DURATION", KILL_AFTER),
    flag("ignore_codes", "ignore-codes", "CODES", IGNORE_CODES),
    flag("failure_codes", "failure-codes", "CODES", FAILURE_CODES),
    flag("open_exit_code", "open-exit-code", "CODE", OPEN_EXIT_CODE),
    flag("on_store_error", "on-store-error", "run|refuse", ON_STORE_ERROR),
    flag("max_concurrent", "max-concurrent", "N", MAX_CONCURRENT).under(AGAIN),
    flag("max_wait", "max-wait", "DURATION", MAX_WAIT).under(AGAIN),
    flag("retries", "retries", "N", RETRIES).under(AGAIN),
    flag("retry_delay", "retry-delay", "DURATION", RETRY_DELAY).under(AGAIN),
    flag("retry_backoff", "retry-backoff", "FACTOR", RETRY_BACKOFF).under(AGAIN),
    flag("retry_max_delay", "retry-max-delay", "DURATION", RETRY_MAX_DELAY).under(AGAIN),
    flag("retry_jitter", "retry-jitter", "PERCENT", RETRY_JITTER).under(AGAIN),
    flag("retry_max_time", "retry-max-time", "DURATION", RETRY_MAX_TIME).under(AGAIN),
    flag("on_open", "on-open", "ACTION", ON_OPEN).under(INSTEAD).repeatable(),
    flag("on_failure", "on-failure", "ACTION", ON_FAILURE).under(INSTEAD).repeatable(),
    flag("queued_exit_code", "queued-exit-code", "CODE", QUEUED_EXIT_CODE).under(INSTEAD),
    flag("drain", "drain", "on-close|manual", DRAIN).under(KEPT),
    flag("max_attempts", "max-attempts", "N", MAX_ATTEMPTS).under(KEPT),
    flag("max_age", "max-age", "DURATION", MAX_AGE).under(KEPT),
    flag("attempt_delay", "attempt-delay", "DURATION", ATTEMPT_DELAY).under(KEPT),
    flag("queue_env", "queue-env", "NAMES", QUEUE_ENV).under(KEPT),
    flag("queue_stdin_max", "queue-stdin-max", "SIZE", QUEUE_STDIN_MAX).under(KEPT),
    flag("queue_max", "queue-max", "N", QUEUE_MAX).under(KEPT),
    flag("cache_max", "cache-max", "SIZE", CACHE_MAX).under(KEPT),
    flag("cache_cwd", "cache-cwd", "true|false", CACHE_CWD).under(KEPT),
    flag("cache_env", "cache-env", "NAMES", CACHE_ENV).under(KEPT),
    flag("rise", "rise", "N", RISE).under(PROBES),
    flag("probe_closes", "probe-closes", "true|false", PROBE_CLOSES).under(PROBES),
];

const WINDOW: &str = "Outcomes that count: the last N, or those of a DURATION [default: 20]";
const CONSECUTIVE_FAILURES: &str = "Open after N failures in a row; 0 is off [default: 5]";
const FAILURES: &str = "Open at N failures in the window; 0 is off [default: 0]";
const FAILURE_RATE: &str = "Open at this share of failures; 0 is off [default: 50%]";
const SLOW_CALL: &str = "A call longer than this is slow [default: none]";
const SLOW_RATE: &str = "Open at this share of slow calls; needs --slow-call [default: 0]";
const MIN_CALLS: &str = "Judge the two shares only once the window holds N calls [default: 10]";
const OPEN_FOR: &str = "Stay open for so long before a trial [default: 30s]";
const OPEN_BACKOFF: &str = "Multiply that by FACTOR each time a trial fails [default: 1.0]";
const OPEN_MAX: &str = "But never for longer than this, before the spread [default: 10m]";
const OPEN_JITTER: &str = "Spread the time open by this share, to both sides [default: 0%]";
const HALF_OPEN_CALLS: &str = "Trials in a half-open round, 1 to 64 [default: 1]";
const SUCCESS_THRESHOLD: &str = "Trials that must succeed to close [default: all of a round]";
const PERMIT_TTL: &str =
    "Give a trial up after this [default: timeout + kill-after + 10s, or else 10m]";
const TIMEOUT: &str = "End the command after this, as a failure [default: none]";
const KILL_AFTER: &str = "Send KILL so long after TERM [default: 5s]";
const IGNORE_CODES: &str = "Exit codes that count as nothing [default: 126,127]";
const FAILURE_CODES: &str = "The only exit codes that are failures [default: all but 0]";
const OPEN_EXIT_CODE: &str = "Exit with CODE when the call is rejected [default: 75]";
const ON_STORE_ERROR: &str = "If the state cannot be used: run or refuse [default: run]";
const MAX_CONCURRENT: &str = "Reject a call while N run on this host [default: none]";
const MAX_WAIT: &str = "But wait so long for one of them to end [default: none]";
const RETRIES: &str = "Try a failed call again up to N times [default: 0]";
const RETRY_DELAY: &str = "Pause so long before the first of them [default: 1s]";
const RETRY_BACKOFF: &str = "Multiply that by FACTOR for each further one [default: 2.0]";
const RETRY_MAX_DELAY: &str = "But never pause longer than this [default: 30s]";
const RETRY_JITTER: &str = "Spread each pause by this share, to both sides [default: 20%]";
const RETRY_MAX_TIME: &str = "Try no more after this, from the first attempt on [default: none]";
const ON_OPEN: &str = "What stands in for a rejected call (repeatable) [default: fail]";
const ON_FAILURE: &str = "What stands in for a failed call (repeatable) [default: fail]";
const QUEUED_EXIT_CODE: &str = "Exit with CODE when the call is queued [default: 76]";
const DRAIN: &str = "Run queued calls on-close of the breaker, or manual [default: on-close]";
const MAX_ATTEMPTS: &str = "Give a queued call up after N attempts [default: 5]";
const MAX_AGE: &str = "Give a queued call up at this age [default: 7d]";
const ATTEMPT_DELAY: &str = "Pause after its first failure, doubling, up to 10m [default: 1s]";
const QUEUE_ENV: &str = "Variables it keeps besides PATH and HOME [default: none]";
const QUEUE_STDIN_MAX: &str = "Queue no call with more standard input [default: 1MiB]";
const QUEUE_MAX: &str = "Queue no call while N wait [default: 100000]";
const CACHE_MAX: &str = "Keep no output longer than this [default: 8MiB]";
const CACHE_CWD: &str = "Keep an output for each working directory [default: false]";
const CACHE_ENV: &str = "Keep an output for each value of these variables [default: none]";
const RISE: &str = "Let an open breaker try again after N healthy probes in a row [default: 2]";
const PROBE_CLOSES: &str = "Let them close it without a trial [default: false]";

const fn flag(
    key: &'static str,
    long: &'static str,
    value: &'static str,
    help: &'static str,
) -> PolicyFlag {
    PolicyFlag { key, long, value, help, heading: POLICY, repeatable: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_its_key_in_kebab_case() {
        for flag in &POLICY_FLAGS {
            assert_eq!(flag.long, flag.key.replace('_', "-"));
            assert!(flag.help.contains("[default: "), "{}", flag.key);
        }
    }
}
