//! Values, layers and messages, as tables.

use super::keys::Form;
use super::value::Raw;
use super::*;
use crate::cli::POLICY_FLAGS;
use proptest::prelude::*;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::rc::Rc;

fn flag(key: &str, word: impl Into<OsString>) -> Flag {
    (Key::by_name(key).expect("a key").name(), word.into())
}

fn resolved<'a>(
    files: impl IntoIterator<Item = &'a Assignment>,
    last_flags: &str,
    flags: &[Flag],
) -> Result<Settings, Error> {
    resolve(files, &Given { last_flags, flags, ..Given::default() })
}

fn with(key: &str, word: &str) -> Result<Settings, Error> {
    resolved([], "", &[flag(key, word)])
}

/// The word is allowed as a flag and with --set, and reads as `expected`.
#[track_caller]
fn check_word(key: &str, word: &str, expected: &str) {
    let found = parse::value(Key::by_name(key).expect("a key"), &Raw::Word(OsStr::new(word)));
    assert_eq!(found.map(|value| value.to_string()), Ok(expected.to_owned()), "{key} {word}");
}

/// The word is refused, with the reason in the message of the flag and of --set.
#[track_caller]
fn check_refused(key: &str, word: &str, why: &str) {
    let kebab = key.replace('_', "-");
    let key = Key::by_name(key).expect("a key");
    let flags = resolved([], "", &[(key.name(), word.into())]).expect_err(word).to_string();
    assert!(flags.starts_with(&format!("--{kebab} '")), "{flags}");
    assert!(flags.contains(&format!(": {why}")), "{flags}");
    assert!(flags.ends_with(&format!("; allowed: {}", key.allowed(Form::Word))), "{flags}");
    let set = OsString::from(format!("{}={word}", key.name()));
    let set = words::put_set(&mut Layers::default(), &set).expect_err(word).to_string();
    assert!(set.starts_with(&format!("--set {} '", key.name())), "{set}");
    assert!(set.contains(&format!(": {why}")), "{set}");
    assert!(!set.contains(char::is_control), "{set:?}");
}

#[test]
fn windows() {
    check_word("window", "60", "60");
    check_word("window", "10000", "10000");
    check_word("window", "60s", "1m");
    check_word("window", "1ms", "1ms");
    check_word("window", "365d", "365d");
    check_refused("window", "0", "out of range");
    check_refused("window", "10001", "out of range");
    check_refused("window", "-5", "out of range");
    check_refused("window", "99999999999999999999999", "out of range");
    check_refused("window", "1.5", "calls are whole numbers, and seconds need a unit");
    check_refused("window", "0s", "it must be above 0");
    check_refused("window", "999us", "too short");
    check_refused("window", "366d", "too long");
    check_refused("window", "none", "this key always has a value");
    check_refused("window", "", "not a duration");
}

#[test]
fn counts() {
    check_word("failures", "0", "0");
    check_word("failures", "10000", "10000");
    check_word("failures", "007", "7");
    check_word("half_open_calls", "64", "64");
    check_word("success_threshold", "none", "none");
    check_word("open_exit_code", "0", "0");
    check_word("open_exit_code", "255", "255");
    check_refused("failures", "10001", "out of range");
    check_refused("failures", "-1", "out of range");
    check_refused("failures", "18446744073709551616", "out of range");
    check_refused("failures", "1.0", "not a whole number");
    check_refused("failures", "1e3", "not a whole number");
    check_refused("failures", "NaN", "not a whole number");
    check_refused("failures", "", "not a whole number");
    check_refused("failures", " 5", "not a whole number");
    check_refused("failures", "0x10", "not a whole number");
    check_refused("min_calls", "0", "out of range");
    check_refused("half_open_calls", "0", "out of range");
    check_refused("half_open_calls", "65", "out of range");
    check_refused("half_open_calls", "none", "this key always has a value");
    check_refused("open_exit_code", "256", "out of range");
}

#[test]
fn shares() {
    check_word("failure_rate", "50%", "50%");
    check_word("failure_rate", "12.34%", "12.34%");
    check_word("failure_rate", "12.3400%", "12.34%");
    check_word("failure_rate", "0.5", "50%");
    check_word("failure_rate", ".5", "50%");
    check_word("failure_rate", "0.1234", "12.34%");
    check_word("failure_rate", "0.29", "29%");
    check_word("failure_rate", "0", "0%");
    check_word("failure_rate", "1", "100%");
    check_word("failure_rate", "1.0", "100%");
    check_word("failure_rate", "1%", "1%");
    check_word("failure_rate", "100%", "100%");
    check_word("open_jitter", "0.05%", "0.05%");
    check_refused("failure_rate", "50", "above 1 it needs a percent sign (\"50%\")");
    check_refused("failure_rate", "1.5", "above 1 it needs a percent sign (\"1.5%\")");
    check_refused("failure_rate", "101", "out of range");
    check_refused("failure_rate", "100.01%", "out of range");
    check_refused("failure_rate", "12.345%", "too many decimals");
    check_refused("failure_rate", "0.12345", "too many decimals");
    check_refused("failure_rate", "-1%", "out of range");
    check_refused("failure_rate", "%", "not a plain decimal number");
    check_refused("failure_rate", "", "not a plain decimal number");
    check_refused("failure_rate", ".", "not a plain decimal number");
    check_refused("failure_rate", "nan", "not a plain decimal number");
    check_refused("failure_rate", "inf%", "not a plain decimal number");
    check_refused("failure_rate", "1e-1", "not a plain decimal number");
    check_refused("failure_rate", "1e999999999", "not a plain decimal number");
    check_refused("failure_rate", "999999999999999999999999%", "out of range");
    check_refused("failure_rate", "50 %", "not a plain decimal number");
    check_refused("failure_rate", "none", "this key always has a value");
}

#[test]
fn factors() {
    check_word("open_backoff", "1", "1.0");
    check_word("open_backoff", "1.5", "1.5");
    check_word("open_backoff", "1.0001", "1.0001");
    check_word("open_backoff", "1000", "1000.0");
    check_refused("open_backoff", "0.9999", "out of range");
    check_refused("open_backoff", "1000.1", "out of range");
    check_refused("open_backoff", "1.00001", "too many decimals");
    check_refused("open_backoff", "2x", "not a plain decimal number");
    check_refused("open_backoff", "1e2", "not a plain decimal number");
    check_refused("open_backoff", "inf", "not a plain decimal number");
}

#[test]
fn durations() {
    check_word("open_for", "5", "5s");
    check_word("open_for", "0.5", "500ms");
    check_word("open_for", ".5", "500ms");
    check_word("open_for", "5.", "5s");
    check_word("open_for", "1.5h", "1h30m");
    check_word("open_for", ".5m", "30s");
    check_word("open_for", "1m30s", "1m30s");
    check_word("open_for", "1m 30s", "1m30s");
    check_word("open_for", "2 min", "2m");
    check_word("open_for", "365d", "365d");
    check_word("open_for", "31536000", "365d");
    check_word("open_for", "00000000000000000000005", "5s");
    check_word("slow_call", "1ns", "1ns");
    check_word("timeout", "0.0001", "100us");
    check_word("timeout", "none", "none");
    check_word("slow_call", "none", "none");
    check_word("permit_ttl", "none", "none");
    check_refused("open_for", "0", "it must be above 0");
    check_refused("open_for", "0.0", "it must be above 0");
    check_refused("open_for", "0s", "it must be above 0");
    check_refused("open_for", "1us", "too short");
    check_refused("open_for", "31536001", "too long");
    check_refused("open_for", "-5s", "not a duration");
    check_refused("open_for", "5x", "unknown unit 'x'");
    check_refused("open_for", "5 ", "it needs a unit");
    check_refused("open_for", "1m30", "it needs a unit");
    check_refused("open_for", "1 5s", "not a duration");
    check_refused("open_for", "", "not a duration");
    check_refused("open_for", " ", "not a duration");
    check_refused("open_for", "1.2.3", "not a duration");
    check_refused("open_for", "1e3", "unknown unit 'e'");
    check_refused("open_for", "nan", "not a duration");
    check_refused("open_for", "inf", "not a duration");
    check_refused("open_for", "1y", "too long");
    check_refused("open_for", "99999999999y", "too long");
    check_refused("open_for", "18446744073709551615s", "too long a number");
    check_refused("open_for", "213503982334601d 7h 15s 1000ms", "too long a number");
    check_refused("open_for", &"9".repeat(100_000), "too long a number");
    check_refused("open_for", "0.1ns", "too long, or finer than 1ns");
    check_refused("open_for", "5s\x1b[2J", "not a duration");
    check_refused("open_for", "none", "this key always has a value");
    check_refused("kill_after", "none", "this key always has a value");
}

#[test]
fn exit_codes() {
    check_word("ignore_codes", "126,127", "126,127");
    check_word("ignore_codes", "1, 2 ,1", "1,2");
    check_word("ignore_codes", "", "");
    check_word("ignore_codes", "none", "");
    check_word("failure_codes", "7", "7");
    check_word("failure_codes", "none", "none");
    check_refused("failure_codes", "", "without any code, nothing could fail");
    check_refused("ignore_codes", "0", "0 is success");
    check_refused("ignore_codes", "256", "'256': out of range");
    check_refused("ignore_codes", "-1", "'-1': out of range");
    check_refused("ignore_codes", "1,,2", "'': not a whole number");
    check_refused("ignore_codes", "a", "'a': not a whole number");
    check_refused("ignore_codes", "1;2", "'1;2': not a whole number");
}

#[test]
fn choices() {
    check_word("on_store_error", "run", "run");
    check_word("on_store_error", "refuse", "refuse");
    check_refused("on_store_error", "Run", "no such choice");
    check_refused("on_store_error", "", "no such choice");
}

#[test]
fn words_that_are_no_text_are_refused() {
    for key in Key::ALL {
        let word = OsString::from_vec(b"5\xff".to_vec());
        let message = resolved([], "", &[(key.name(), word)]).expect_err("no text").to_string();
        assert!(message.contains(": not valid UTF-8; allowed: "), "{message}");
    }
}

#[track_caller]
fn check_set_refused(word: &str, expected: &str) {
    let message = words::put_set(&mut Layers::default(), OsStr::new(word)).expect_err(word);
    assert!(message.to_string().contains(expected), "{message}");
}

#[test]
fn set_needs_a_key_and_a_value() {
    check_set_refused("x", "--set 'x': not KEY=VALUE; allowed: such as open_for=10s");
    check_set_refused("", "--set '': not KEY=VALUE");
    check_set_refused("open_fro=5", "--set 'open_fro=5': unknown key 'open_fro'; did you mean");
    check_set_refused("=5", "--set '=5': unknown key ''");
    let mut layers = Layers::default();
    words::put_set(&mut layers, OsStr::new("failures=3")).expect("allowed");
    words::put_set(&mut layers, OsStr::new("failures=4")).expect("allowed");
    assert_eq!(layers.settings().expect("sound").policy.failures, 4);
    assert_eq!(layers.place(Key::Failures), Some(&Place::Set));
}

#[test]
fn defaults_are_those_that_help_tells() {
    let settings = Settings::default();
    assert_eq!(settings.policy, Policy::default());
    for (key, value) in settings.values() {
        let help = POLICY_FLAGS[key as usize].help;
        let told = match key {
            Key::SuccessThreshold => "all of a round".into(),
            Key::PermitTtl => "timeout + kill-after + 10s, or else 10m".into(),
            Key::FailureCodes => "all but 0".into(),
            Key::SlowRate => "0".into(),
            _ => value.to_string(),
        };
        assert!(help.ends_with(&format!("[default: {told}]")), "{} {help}", key.name());
    }
}

#[test]
fn some_defaults_follow_other_settings() {
    let secs = Duration::from_secs;
    assert_eq!(with("timeout", "30").expect("sound").policy.permit_ttl, secs(45));
    assert_eq!(with("timeout", "none").expect("sound").policy.permit_ttl, secs(600));
    assert_eq!(with("half_open_calls", "3").expect("sound").policy.success_threshold, 3);
    let flags = [flag("timeout", "30"), flag("kill_after", "1"), flag("permit_ttl", "none")];
    assert_eq!(resolved([], "", &flags).expect("sound").policy.permit_ttl, secs(41));
    let longest = with("timeout", "365d").expect("sound");
    assert!(longest.policy.permit_ttl > secs(365 * 86_400));
}

fn in_file(key: &str, word: &str, line: usize) -> Assignment {
    let key = Key::by_name(key).expect("a key");
    let value = parse::value(key, &Raw::Word(OsStr::new(word))).expect("allowed");
    let place = Place::File {
        path: Rc::from(Path::new("/c.toml")),
        line,
        section: Rc::from("[breaker.pay]"),
    };
    Assignment { key, value, place }
}

#[test]
fn the_later_layer_wins_key_by_key() {
    let files = [
        in_file("failures", "1", 1),
        in_file("window", "9", 2),
        in_file("failures", "2", 3),
        in_file("timeout", "5", 4),
    ];
    let settings = resolved(&files, "failures=3 open_for=7s", &[flag("timeout", "none")]);
    let settings = settings.expect("sound");
    assert_eq!(settings.policy.failures, 3);
    assert_eq!(settings.policy.window, crate::model::policy::WindowSize::Calls(9));
    assert_eq!(settings.policy.open_for, Duration::from_secs(7));
    assert_eq!(settings.timeout, None);
    let settings = resolved(&files, "failures=3", &[flag("failures", "4")]).expect("sound");
    assert_eq!(settings.policy.failures, 4);
}

#[track_caller]
fn check_conflict(files: &[Assignment], flags: &[Flag], expected: &str) {
    assert_eq!(resolved(files, "", flags).expect_err("a conflict").to_string(), expected);
}

#[test]
fn settings_that_exclude_each_other_are_refused_with_both_places() {
    check_conflict(
        &[],
        &[flag("success_threshold", "3")],
        "success_threshold = 3 (--success-threshold) is above half_open_calls = 1 (default)",
    );
    check_conflict(
        &[in_file("success_threshold", "3", 7), in_file("half_open_calls", "2", 8)],
        &[],
        "/c.toml:7: success_threshold = 3 (/c.toml:7) is above half_open_calls = 2 (/c.toml:8)",
    );
    check_conflict(
        &[in_file("success_threshold", "3", 7)],
        &[flag("half_open_calls", "2")],
        "success_threshold = 3 (/c.toml:7) is above half_open_calls = 2 (--half-open-calls)",
    );
    check_conflict(
        &[],
        &[flag("slow_rate", "50%")],
        "slow_rate = 50% (--slow-rate) says nothing with slow_call = none (default)",
    );
    check_conflict(
        &[in_file("slow_rate", "0.5", 3), in_file("slow_call", "1s", 4)],
        &[flag("slow_call", "none")],
        "slow_rate = 50% (/c.toml:3) says nothing with slow_call = none (--slow-call)",
    );
    check_conflict(
        &[],
        &[flag("ignore_codes", "1,2"), flag("failure_codes", "2,3")],
        "failure_codes = 2,3 (--failure-codes) shares a code with ignore_codes = 1,2 \
         (--ignore-codes)",
    );
    assert!(with("failure_codes", "126").is_ok());
    assert!(with("slow_call", "1s").is_ok());
}

#[track_caller]
fn check_travels(flags: &[Flag], expected: &str) {
    let kept = flags_text(flags);
    assert_eq!(kept, expected);
    assert_eq!(resolved([], &kept, &[]).ok(), resolved([], "", flags).ok());
}

#[test]
fn flags_travel_with_the_state() {
    check_travels(&[], "");
    check_travels(&[flag("window", "10"), flag("failures", "3")], "window=10 failures=3");
    check_travels(&[flag("window", "1m 30s")], "window=1m30s");
    check_travels(&[flag("permit_ttl", "none"), flag("failure_rate", ".5")], {
        "permit_ttl=none failure_rate=50%"
    });
    assert_eq!(flags_text(&[flag("window", "x")]), "");
    // What concerns only the call itself stays with it.
    let own = ["timeout", "kill_after"].map(|key| flag(key, "5s"));
    assert_eq!(flags_text(&own), "");
    let own = ["ignore_codes", "failure_codes", "open_exit_code"].map(|key| flag(key, "9"));
    assert_eq!(flags_text(&own), "");
    assert_eq!(flags_text(&[flag("on_store_error", "refuse")]), "");
}

#[test]
fn all_flags_at_their_longest_fit_beside_a_state() {
    let longest = |key: Key| match key.kind() {
        keys::Kind::Count { max, .. } => max.to_string(),
        keys::Kind::Percent => "99.99%".into(),
        keys::Kind::Growth => "999.9999".into(),
        keys::Kind::Code => "255".into(),
        keys::Kind::OnStoreError => "refuse".into(),
        keys::Kind::Codes { .. } => "255".into(),
        keys::Kind::Window | keys::Kind::Duration { .. } => "364d23h59m59s".into(),
        keys::Kind::Actions => "cache:364d23h59m59s".into(),
        keys::Kind::Drain => "on-close".into(),
        keys::Kind::Names => "A_LONG_NAME".into(),
        keys::Kind::Size => "1073741823".into(),
        keys::Kind::Switch => "false".into(),
    };
    let flags: Vec<Flag> = Key::ALL.map(|key| (key.name(), longest(key).into())).to_vec();
    let travelling = Key::ALL.into_iter().filter(|key| key.is_of_machine()).count();
    assert_eq!(flags_text(&flags).split(' ').count(), travelling);
}

#[test]
fn flags_that_a_state_brings_never_fail() {
    let plain = Settings::default();
    for kept in
        ["x", "=", "window", "window=", "window=x", "\0\x1b", "nope=1 ", "success_threshold=9"]
    {
        assert_eq!(resolved([], kept, &[]).ok(), Some(plain.clone()), "{kept:?}");
    }
    let long = format!("failures=3 {}", "x".repeat(600));
    assert_eq!(resolved([], &long, &[]).ok(), Some(plain));
    assert_eq!(resolved([], "nope=1 failures=3", &[]).expect("sound").policy.failures, 3);
}

#[track_caller]
fn check_length(word: &str, expected: Option<Duration>) {
    assert_eq!(length("--duration", OsStr::new(word)).ok(), expected, "{word}");
}

#[test]
fn values_of_other_flags() {
    check_length("0", Some(Duration::ZERO));
    check_length("0s", Some(Duration::ZERO));
    check_length("1.5", Some(Duration::from_millis(1500)));
    check_length("", None);
    check_length("-1", None);
    let message = period("--for", OsStr::new("0")).expect_err("zero").to_string();
    assert!(message.starts_with("--for '0': it must be above 0; allowed: a duration"), "{message}");
    assert_eq!(whole("--seed", OsStr::new("18446744073709551615"), u64::MAX).ok(), Some(u64::MAX));
    let message = whole("--seed", OsStr::new("18446744073709551616"), u64::MAX).expect_err("big");
    assert!(message.to_string().starts_with("--seed '18446744073709551616': out of range"));
    let message = whole("--result-fd", OsStr::new("-1"), 9).expect_err("negative").to_string();
    assert_eq!(message, "--result-fd '-1': not a whole number; allowed: a whole number, 0 to 9");
    assert!(breaker_name(OsStr::new("../x")).is_err());
}

#[test]
fn json_has_numbers_text_and_null() {
    let value = |key, word: &str| {
        parse::value(key, &Raw::Word(OsStr::new(word))).expect("allowed").json().to_string()
    };
    assert_eq!(value(Key::Window, "60"), "60");
    assert_eq!(value(Key::Window, "60s"), "\"1m\"");
    assert_eq!(value(Key::OpenBackoff, "1.1"), "1.1");
    assert_eq!(value(Key::FailureRate, "12.34%"), "\"12.34%\"");
    assert_eq!(value(Key::IgnoreCodes, "1,2"), "[1,2]");
    assert_eq!(value(Key::Timeout, "none"), "null");
    assert_eq!(value(Key::OpenExitCode, "75"), "75");
    assert_eq!(value(Key::OnStoreError, "run"), "\"run\"");
}

proptest! {
    #[test]
    fn no_word_panics_and_what_is_allowed_reads_back(word in ".{0,30}|[0-9. ]{0,9}[a-z%µ]{0,3}[0-9a-z ]{0,12}") {
        for key in Key::ALL {
            if let Ok(value) = parse::value(key, &Raw::Word(OsStr::new(&word))) {
                let text = value.to_string();
                prop_assert_eq!(parse::value(key, &Raw::Word(OsStr::new(&text))), Ok(value));
            }
        }
    }
}
