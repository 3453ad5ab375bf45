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
}

/// A policy flag, once for each key, in the order in which help lists them.
pub static POLICY_FLAGS: [PolicyFlag; 20] = [
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
];

/// Keys of later versions, as flags and in files: who uses one gets a fair answer.
pub const LATER_KEYS: [&str; 9] = [
    "max_concurrent",
    "retries",
    "retry_delay",
    "retry_backoff",
    "retry_max_delay",
    "retry_jitter",
    "on_open",
    "on_failure",
    "queued_exit_code",
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

const fn flag(
    key: &'static str,
    long: &'static str,
    value: &'static str,
    help: &'static str,
) -> PolicyFlag {
    PolicyFlag { key, long, value, help }
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
