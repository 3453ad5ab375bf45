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
fn limits_and_retries() {
    check_word("max_concurrent", "1", "1");
    check_word("max_concurrent", "1000", "1000");
    check_word("max_concurrent", "none", "none");
    check_refused("max_concurrent", "0", "out of range");
    check_refused("max_concurrent", "10001", "out of range");
    check_word("max_wait", "5", "5s");
    check_word("max_wait", "none", "none");
    check_refused("max_wait", "0", "it must be above 0");
    check_word("retries", "0", "0");
    check_word("retries", "1000", "1000");
    check_refused("retries", "1001", "out of range");
    check_refused("retries", "none", "this key always has a value");
    check_word("retry_delay", "1ms", "1ms");
    check_refused("retry_delay", "999us", "too short");
    check_word("retry_backoff", "1.5", "1.5");
    check_refused("retry_backoff", "0.5", "out of range");
    check_word("retry_jitter", "0", "0%");
    check_refused("retry_jitter", "101%", "out of range");
    check_refused("retry_max_delay", "366d", "too long");
    check_word("retry_max_time", "none", "none");
    let retries = Key::Retries.allowed(Form::Word);
    assert_eq!(retries, "a whole number, 0 to 1000");
}

#[test]
fn queues() {
    check_word("queued_exit_code", "0", "0");
    check_refused("queued_exit_code", "256", "out of range");
    check_word("drain", "manual", "manual");
    check_word("drain", "on-close", "on-close");
    check_refused("drain", "on_close", "no such choice");
    check_word("max_attempts", "1", "1");
    check_refused("max_attempts", "0", "out of range");
    check_refused("max_attempts", "1001", "out of range");
    check_word("max_age", "7d", "7d");
    check_refused("max_age", "none", "this key always has a value");
    check_word("attempt_delay", "1.5", "1s500ms");
    check_word("queue_max", "1000000", "1000000");
    check_refused("queue_max", "1000001", "out of range");
    check_refused("queue_max", "0", "out of range");
}

#[test]
fn names_of_variables() {
    check_word("queue_env", "LANG", "LANG");
    check_word("queue_env", "LANG, _x1 ,LANG", "LANG,_x1");
    check_word("queue_env", "none", "none");
    check_word("cache_env", "", "none");
    check_refused("queue_env", "1A", "'1A': not a variable's name");
    check_refused("queue_env", "A,none", "'none' stands alone");
    check_refused("queue_env", "A,,B", "'': not a variable's name");
    check_refused("queue_env", "A=1", "'A=1': not a variable's name");
    check_refused("queue_env", "A B", "'A B': not a variable's name");
    check_refused("queue_env", "\u{e4}", "'\u{e4}': not a variable's name");
    check_refused("queue_env", &"A".repeat(101), "'AAAA");
    let many: Vec<_> = (0..101).map(|i| format!("A{i}")).collect();
    check_word("queue_env", &many[..100].join(","), &many[..100].join(","));
    check_refused("queue_env", &many.join(","), "too many names");
}

#[test]
fn sizes() {
    check_word("cache_max", "0", "0");
    check_word("cache_max", "1023", "1023");
    check_word("cache_max", "1024", "1KiB");
    check_word("cache_max", "1MiB", "1MiB");
    check_word("cache_max", "512 KiB", "512KiB");
    check_word("cache_max", "8MB", "8MB");
    check_word("cache_max", "8kB", "8kB");
    check_word("cache_max", "8KB", "8kB");
    check_word("cache_max", "12B", "12");
    check_word("cache_max", "1GiB", "1GiB");
    check_word("cache_max", "1GB", "1GB");
    check_word("queue_stdin_max", "67108864", "64MiB");
    check_refused("cache_max", "1073741825", "out of range");
    check_refused("cache_max", "2GB", "out of range");
    check_refused("cache_max", "18446744073709551615GiB", "out of range");
    check_refused("cache_max", "99999999999999999999999", "out of range");
    check_refused("cache_max", "-1", "out of range");
    check_refused("cache_max", "1.5MiB", "not a whole number");
    check_refused("cache_max", "8M", "unknown unit");
    check_refused("cache_max", "8mib", "unknown unit");
    check_refused("cache_max", "MiB", "not a whole number");
    check_refused("cache_max", "-", "not a whole number");
    check_refused("cache_max", "", "not a whole number");
    check_refused("cache_max", "none", "this key always has a value");
}

#[test]
fn switches() {
    check_word("cache_cwd", "true", "true");
    check_word("cache_cwd", "false", "false");
    check_refused("cache_cwd", "yes", "no such choice");
    check_refused("cache_cwd", "", "no such choice");
}

#[test]
fn keys_of_feeding() {
    check_word("rise", "1", "1");
    check_word("rise", "1000", "1000");
    check_refused("rise", "0", "out of range");
    check_refused("rise", "1001", "out of range");
    check_refused("rise", "none", "this key always has a value");
    check_word("probe_closes", "true", "true");
    check_refused("probe_closes", "1", "no such choice");
    let policy = with("rise", "3").expect("sound").policy;
    assert_eq!((policy.rise, policy.probe_closes), (3, false));
    // What a probe is given is none of the next call's.
    assert_eq!(flags_text(&[flag("rise", "3"), flag("probe_closes", "true")]), "");
}

#[test]
fn actions() {
    check_word("on_open", "fail", "fail");
    check_word("on_open", "cache", "cache");
    check_word("on_open", "cache:10m", "cache:10m");
    check_word("on_open", "cache:90", "cache:1m30s");
    check_word("on_open", "queue", "queue");
    check_word("on_failure", "queue", "queue");
    check_word("on_open", "run:echo a:b | cat", "run:echo a:b | cat");
    check_word("on_open", "run: x", "run: x");
    check_word("on_open", "exit:0", "exit:0");
    check_word("on_open", "exit:255", "exit:255");
    check_refused("on_open", "exit:256", "the code: out of range");
    check_refused("on_open", "exit:-1", "the code: not a whole number");
    check_refused("on_open", "exit:", "the code: not a whole number");
    check_refused("on_open", "exit", "it needs a code (exit:CODE)");
    check_refused("on_open", "cache:", "the time to live: not a duration");
    check_refused("on_open", "cache:0", "the time to live: it must be above 0");
    check_refused("on_open", "cache:366d", "the time to live: too long");
    check_refused("on_open", "run:", "the command is empty");
    check_refused("on_open", "run: \t", "the command is empty");
    check_refused("on_open", "run", "it needs a command (run:COMMAND)");
    check_refused("on_open", "queue:x", "nothing belongs behind 'queue'");
    check_refused("on_open", "fail:", "nothing belongs behind 'fail'");
    check_refused("on_open", "Cache", "no such action");
    check_refused("on_open", "", "no such action");
    check_refused("on_open", "cache,queue", "no such action");
    check_refused("on_open", "none", "this key always has a value");
    let allowed = "fail, cache, cache:TTL, queue, run:COMMAND, exit:CODE";
    assert_eq!(Key::OnOpen.allowed(Form::Word), allowed);
}

fn chain(flags: &[Flag]) -> Result<Vec<Action>, String> {
    resolved([], "", flags).map(|settings| settings.on_open).map_err(|error| error.to_string())
}

#[test]
fn a_flag_given_again_goes_on_with_its_chain() {
    let words =
        |words: &[&str]| -> Vec<Flag> { words.iter().map(|word| flag("on_open", *word)).collect() };
    let ttl = Some(Duration::from_secs(600));
    let shell = ["/bin/sh", "-c", "./offer 'x'"].map(OsString::from).to_vec();
    let expected = vec![Action::Cache { ttl }, Action::Run(shell), Action::Exit(3)];
    assert_eq!(chain(&words(&["cache:10m", "run:./offer 'x'", "exit:3"])), Ok(expected));
    assert_eq!(chain(&[]), Ok(vec![Action::Fail]));

    let message = chain(&words(&["fail", "queue"])).expect_err("refused");
    assert!(message.starts_with("--on-open ['fail', 'queue']: nothing can follow 'fail'; allowed"));
    let message = chain(&words(&["cache", "exit:3", "queue"])).expect_err("refused");
    assert!(message.contains(": nothing can follow 'exit:3'; allowed: fail,"), "{message}");
    let message = chain(&words(&["cache", "cash"])).expect_err("refused");
    assert!(message.starts_with("--on-open 'cash': no such action"), "{message}");
    assert_eq!(chain(&words(&["cache"; 16])).map(|chain| chain.len()), Ok(16));
    let message = chain(&words(&["cache"; 17])).expect_err("refused");
    assert!(message.contains("more than 16 actions"), "{message}");

    // A chain of flags takes the place of that of the files.
    let files = [in_file("on_open", "queue", 1), in_file("on_failure", "exit:1", 2)];
    let settings = resolved(&files, "", &words(&["cache", "fail"])).expect("sound");
    assert_eq!(settings.on_open, [Action::Cache { ttl: None }, Action::Fail]);
    assert_eq!(settings.on_failure, [Action::Exit(1)]);
}

#[test]
fn a_command_of_a_flag_keeps_its_bytes() {
    let odd = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let settings = resolved([], "", &[flag("on_open", odd(b"run:printf '\xff'"))]);
    let settings = settings.expect("sound");
    let Action::Run(words) = &settings.on_open[0] else { panic!("{:?}", settings.on_open) };
    assert_eq!(words[2], odd(b"printf '\xff'"));
    let message = chain(&[flag("on_open", odd(b"exit:\xff"))]).expect_err("refused");
    assert!(message.contains(": not valid UTF-8; allowed: "), "{message}");
}

#[test]
fn actions_are_shown_as_they_were_written_and_steer_no_terminal() {
    let shown = |words: &[&str]| {
        let words = words.iter().map(|word| Raw::Text(word)).collect();
        parse::value(Key::OnOpen, &Raw::Array(words)).expect("allowed")
    };
    assert_eq!(shown(&["run:a b"]).to_string(), "run:a b");
    assert_eq!(shown(&["cache:90s", "fail"]).to_string(), r#"["cache:1m30s", "fail"]"#);
    assert_eq!(shown(&["run:a\"b\\c"]).to_string(), r#"run:a"b\c"#);
    assert_eq!(shown(&["run:a\x1b\n"]).to_string(), r#"["run:a\u001B\u000A"]"#);
    let program = Raw::Array(vec![Raw::Array(vec![Raw::Text("a b"), Raw::Text("\"")])]);
    let program = parse::value(Key::OnOpen, &program).expect("allowed");
    assert_eq!(program.to_string(), r#"[["a b", "\""]]"#);
    let Value::Actions(actions) = &program else { panic!("{program:?}") };
    assert_eq!(actions[0].to_string(), r#"["a b", "\""]"#);
    assert_eq!(program.json().to_string(), r#"[["a b","\""]]"#);
    assert_eq!(shown(&["queue", "exit:1"]).json().to_string(), r#"["queue","exit:1"]"#);
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
    check_conflict(
        &[in_file("max_wait", "5s", 3)],
        &[flag("max_concurrent", "none")],
        "max_wait = 5s (/c.toml:3) says nothing with max_concurrent = none (--max-concurrent)",
    );
    check_conflict(
        &[],
        &[flag("max_wait", "5s")],
        "max_wait = 5s (--max-wait) says nothing with max_concurrent = none (default)",
    );
    assert!(resolved([], "", &[flag("max_wait", "5s"), flag("max_concurrent", "1")]).is_ok());
    assert!(with("retry_max_time", "1m").is_ok());
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

fn for_job<'a>(
    files: impl IntoIterator<Item = &'a Assignment>,
    job_flags: &str,
    flags: &[Flag],
) -> Result<Settings, Error> {
    resolve(files, &Given { job_flags, flags, ..Given::default() })
}

#[test]
fn flags_stay_with_a_job() {
    let flags = [
        flag("window", "10"),
        flag("timeout", "90"),
        flag("kill_after", "1"),
        flag("ignore_codes", "none"),
        flag("failure_codes", "3, 4"),
        flag("retries", "9"),
        flag("max_concurrent", "2"),
        flag("max_wait", "1m"),
        flag("on_open", "queue"),
        flag("drain", "manual"),
        flag("max_attempts", "7"),
        flag("max_age", "1h"),
        flag("attempt_delay", ".5"),
        flag("queue_env", "A"),
    ];
    let kept = job_flags_text(&flags);
    assert_eq!(
        kept,
        "timeout=1m30s kill_after=1s ignore_codes= failure_codes=3,4 max_concurrent=2 max_wait=1m \
         drain=manual max_attempts=7 max_age=1h attempt_delay=500ms"
    );
    let kept_flags: Vec<Flag> =
        flags.into_iter().filter(|(name, _)| kept.contains(&format!("{name}="))).collect();
    assert_eq!(kept_flags.len(), 10);
    assert_eq!(for_job([], &kept, &[]).ok(), resolved([], "", &kept_flags).ok());

    // Over the files, below the flags of the command.
    let files = [in_file("timeout", "5", 1), in_file("max_attempts", "2", 2)];
    let settings = for_job(&files, "timeout=9s", &[flag("max_attempts", "3")]).expect("sound");
    assert_eq!(settings.timeout, Some(Duration::from_secs(9)));
    assert_eq!(settings.queue.max_attempts, 3);

    // What a job says of anything else, or against the files, is left out.
    let settings = for_job([], "window=3 on_open=queue x=1 timeout=x", &[]).expect("sound");
    assert_eq!(settings, Settings::default());
    let files = [in_file("max_wait", "5s", 1), in_file("max_concurrent", "3", 2)];
    let settings = for_job(&files, "max_concurrent=none timeout=9s", &[]).expect("sound");
    assert_eq!((settings.max_concurrent, settings.timeout), (Some(3), None));
    let given = Given { last_flags: "slow_rate=9%", job_flags: "timeout=9s", flags: &[] };
    let settings = resolve([], &given).expect("sound");
    assert_eq!(settings.timeout, Some(Duration::from_secs(9)));
    assert!(settings.policy.slow_rate.is_zero());
    assert!(for_job([], "timeout=9s", &[flag("max_wait", "1s")]).is_err());
}

#[test]
fn all_flags_of_a_job_fit_at_their_longest() {
    let codes = (1..=255).map(|code| code.to_string()).collect::<Vec<_>>().join(",");
    let longest = |key: Key| match key.kind() {
        keys::Kind::Count { max, .. } => max.to_string(),
        keys::Kind::Codes { .. } => codes.clone(),
        keys::Kind::Drain => "on-close".into(),
        _ => "364d23h59m59s".into(),
    };
    let jobs = Key::ALL.into_iter().filter(|key| key.is_of_job());
    let flags: Vec<Flag> = jobs.map(|key| (key.name(), longest(key).into())).collect();
    assert_eq!(job_flags_text(&flags).split(' ').count(), flags.len());
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
        keys::Kind::Size { max } => (max - 1).to_string(),
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
    let jobs = |word: &str| number("--jobs", OsStr::new(word), 1..=64);
    assert_eq!((jobs("1").ok(), jobs("64").ok()), (Some(1), Some(64)));
    let message = jobs("0").expect_err("none").to_string();
    assert_eq!(message, "--jobs '0': out of range; allowed: a whole number, 1 to 64");
    assert!(jobs("65").is_err());
    assert!(breaker_name(OsStr::new("../x")).is_err());
}

#[test]
fn keys_of_jobs() {
    let key = |word: &str| job_key("--key", OsStr::new(word)).map_err(|error| error.to_string());
    assert_eq!(key("order 7/\u{e4}"), Ok("order 7/\u{e4}".to_owned()));
    assert_eq!(key(&"k".repeat(200)).map(|key| key.len()), Ok(200));
    let allowed = "; allowed: a text of at most 200 bytes";
    assert_eq!(key(""), Err(format!("--key '': empty{allowed}")));
    let long = key(&"k".repeat(201)).expect_err("refused");
    assert!(long.ends_with(&format!(": too long{allowed}")), "{long}");
    let steers = key("a\x1b[2J").expect_err("refused");
    assert_eq!(steers, format!("--key 'a\\u{{1b}}[2J': it has a control character{allowed}"));
    let odd = OsString::from_vec(b"\xff".to_vec());
    assert!(job_key("--key", &odd).is_err_and(|error| error.to_string().contains("UTF-8")));
}

#[track_caller]
fn check_rate(word: &str, expected: Result<u64, &str>) {
    match (rate("--rate", OsStr::new(word)), expected) {
        (Ok(found), expected) => assert_eq!(Ok(found.as_nanos() as u64), expected, "{word}"),
        (Err(error), Ok(_)) => panic!("{word}: {error}"),
        (Err(error), Err(why)) => assert_eq!(
            error.to_string(),
            format!(
                "--rate '{word}': {why}; allowed: such as 10/s, 100/m, 500/h or 24/d, from 1/d to \
                 10000/s"
            )
        ),
    }
}

#[test]
fn rates() {
    check_rate("10/s", Ok(100_000_000));
    check_rate("10", Ok(100_000_000));
    check_rate("600/m", Ok(100_000_000));
    check_rate("100/h", Ok(36_000_000_000));
    check_rate("1/d", Ok(86_400_000_000_000));
    check_rate("10000/s", Ok(100_000));
    check_rate("600000/m", Ok(100_000));
    check_rate("10001/s", Err("out of range"));
    check_rate("864000001/d", Err("out of range"));
    check_rate("0/s", Err("it must be above 0"));
    check_rate("-1/s", Err("not a whole number"));
    check_rate("1.5/s", Err("not a whole number"));
    check_rate("/s", Err("not a whole number"));
    check_rate("", Err("not a whole number"));
    check_rate("10/", Err("not a number for a time"));
    check_rate("10/x", Err("not a number for a time"));
    check_rate("10/s/s", Err("not a number for a time"));
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
    assert_eq!(value(Key::OnOpen, "queue"), "[\"queue\"]");
    assert_eq!(value(Key::QueueEnv, "A,B"), "[\"A\",\"B\"]");
    assert_eq!(value(Key::QueueEnv, "none"), "[]");
    assert_eq!(value(Key::CacheMax, "1MiB"), "1048576");
    assert_eq!(value(Key::CacheCwd, "true"), "true");
    assert_eq!(value(Key::Drain, "manual"), "\"manual\"");
}

proptest! {
    #[test]
    fn no_word_panics_and_what_is_allowed_reads_back(
        word in ".{0,30}|[0-9. ]{0,9}[a-z%µ]{0,3}[0-9a-z ]{0,12}|(cache|exit|run|queue):?[0-9a-z]{0,4}|[0-9]{1,12} ?[GMKk]i?B"
    ) {
        for key in Key::ALL {
            if let Ok(value) = parse::value(key, &Raw::Word(OsStr::new(&word))) {
                let text = value.to_string();
                prop_assert_eq!(parse::value(key, &Raw::Word(OsStr::new(&text))), Ok(value));
            }
        }
    }
}
