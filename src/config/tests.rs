//! Files in, settings and messages out.

use super::*;
use crate::settings::{Given, Key, Settings, resolve};
use std::time::Duration;

mod probes;

fn parsed(text: &str) -> walk::Parsed {
    walk::walk(Path::new("/c.toml"), text, Reads::Probes)
}

#[track_caller]
fn check_problems(text: &str, expected: &[&str]) {
    let found: Vec<_> = parsed(text).problems.iter().map(Error::to_string).collect();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(&format!("/c.toml:{expected}")), "{found}\n{expected}");
        assert!(!found.contains(char::is_control), "{found:?}");
    }
}

/// The value of a key, on the second line of a file, is refused.
#[track_caller]
fn check_value(key: &str, value: &str, why: &str) {
    let expected = format!("2: {key} = {value} in [defaults]: {why}; allowed: ");
    check_problems(&format!("[defaults]\n{key} = {value}\n"), &[&expected]);
}

#[track_caller]
fn check_good(key: &str, value: &str, expected: &str) {
    let parsed = parsed(&format!("[defaults]\n{key} = {value}\n"));
    assert_eq!(parsed.problems.iter().map(Error::to_string).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(parsed.sections[0].assignments[0].value.to_string(), expected, "{key} = {value}");
}

#[test]
fn values_that_are_allowed() {
    check_good("window", "60", "60");
    check_good("window", "1_000", "1000");
    check_good("window", "0x10", "16");
    check_good("window", "\"60s\"", "1m");
    check_good("failures", "0", "0");
    check_good("failures", "+7", "7");
    check_good("failure_rate", "0", "0%");
    check_good("failure_rate", "1", "100%");
    check_good("failure_rate", "0.1234", "12.34%");
    check_good("failure_rate", "0.1_2", "12%");
    check_good("failure_rate", "0.29", "29%");
    check_good("failure_rate", "\"12.34%\"", "12.34%");
    check_good("failure_rate", "'0.5'", "50%");
    check_good("open_backoff", "2", "2.0");
    check_good("open_backoff", "1.5", "1.5");
    check_good("open_for", "\"1m 30s\"", "1m30s");
    check_good("timeout", "\"none\"", "none");
    check_good("permit_ttl", "'none'", "none");
    check_good("ignore_codes", "[]", "");
    check_good("ignore_codes", "[ 1,\n 2, # two\n]", "1,2");
    check_good("failure_codes", "\"none\"", "none");
    check_good("open_exit_code", "0", "0");
    check_good("on_store_error", "\"refuse\"", "refuse");
    check_good("max_concurrent", "3", "3");
    check_good("max_concurrent", "'none'", "none");
    check_good("retries", "2", "2");
    check_good("drain", "'manual'", "manual");
    check_good("queue_env", "['LANG', 'TZ']", "LANG,TZ");
    check_good("queue_env", "[]", "none");
    check_good("queue_env", "'none'", "none");
    check_good("cache_max", "0", "0");
    check_good("cache_max", "1_000_000", "1MB");
    check_good("cache_max", "'1 MiB'", "1MiB");
    check_good("cache_cwd", "true", "true");
}

#[test]
fn values_of_new_kinds_that_are_not_allowed() {
    check_value("max_concurrent", "0", "out of range");
    check_value("max_wait", "5", "it needs a unit (\"5s\")");
    check_value("retries", "\"3\"", "a number is written without quotes");
    check_value("retries", "true", "the wrong type (boolean)");
    check_value("drain", "false", "the wrong type (boolean)");
    check_value("drain", "\"never\"", "no such choice");
    check_value("queue_env", "\"LANG\"", "a list has brackets ([\"LANG\"])");
    check_value("queue_env", "[\"LANG\", 3]", "3: the wrong type (integer)");
    check_value("queue_env", "[\"A B\"]", "'A B': not a variable's name");
    check_value("queue_env", "3", "the wrong type (integer)");
    check_value("cache_max", "\"1000\"", "bytes are written without quotes");
    check_value("cache_max", "-1", "out of range");
    check_value("cache_max", "1.5", "not a whole number of bytes");
    check_value("cache_max", "\"1.5MiB\"", "not a whole number with a unit");
    check_value("cache_max", "[1]", "the wrong type (array)");
    check_value("cache_cwd", "\"true\"", "it is written without quotes");
    check_value("cache_cwd", "1", "the wrong type (integer)");
    check_value("queued_exit_code", "256", "out of range");
}

/// Actions are read, and what they are shown as is read as the same.
#[track_caller]
fn check_actions(value: &str, expected: &str) {
    let read = |value: &str| {
        let parsed = parsed(&format!("[defaults]\non_open = {value}\n"));
        assert_eq!(parsed.problems.iter().map(Error::to_string).collect::<Vec<_>>(), [""; 0]);
        parsed.sections[0].assignments[0].value.clone()
    };
    let first = read(value);
    let shown = first.to_string();
    assert_eq!(shown, expected);
    let fence = "'".repeat(3);
    let again = if shown.starts_with('[') { shown } else { format!("{fence}{shown}{fence}") };
    assert_eq!(read(&again), first);
}

#[test]
fn actions() {
    check_actions("'queue'", "queue");
    check_actions("['queue']", "queue");
    check_actions("['cache:10m', 'queue']", r#"["cache:10m", "queue"]"#);
    check_actions("['run:a', ['b', 'c d'], 'exit:3']", r#"["run:a", ["b", "c d"], "exit:3"]"#);
    check_actions("[['/usr/bin/notify', '']]", r#"[["/usr/bin/notify", ""]]"#);
    check_actions(r#""run:echo \"$CB_REASON\"""#, "run:echo \"$CB_REASON\"");
    check_actions(r#""run:a\nb\u009b\u202e\\""#, r#"["run:a\u000Ab\u009B\u202E\\"]"#);
    check_actions("[['/bin/sh', '-c', 'x y']]", "run:x y");

    let missing = "without any action, nothing says what to do";
    check_value("on_open", "[]", missing);
    check_value("on_open", "\"cache:10\"", "the time to live: it needs a unit");
    check_value("on_open", "\"cash\"", "no such action");
    check_value("on_open", "[\"/bin/notify\", \"down\"]", "\"/bin/notify\": no such action");
    check_value("on_open", "[\"fail\", \"queue\"]", "nothing can follow 'fail'");
    check_value("on_open", "[[]]", "the command is empty");
    check_value("on_open", "[[\"\", \"x\"]]", "the command is empty");
    check_value("on_open", "[[\"x\", 3]]", "3: a command is a list of texts");
    check_value("on_open", "[[\"x\", [\"y\"]]]", "[\"y\"]: a command is a list of texts");
    check_value("on_open", "3", "the wrong type (integer)");
    check_value("on_open", "[3]", "the wrong type (integer)");
    check_value("on_open", "true", "the wrong type (boolean)");
    let found = parsed("[defaults]\non_open = [['x', \"\\u0000\"]]\n").problems[0].to_string();
    assert!(found.contains(": no command can have a NUL byte; allowed: "), "{found}");
    let allowed = "allowed: \"fail\", \"cache\", \"cache:TTL\", \"queue\", \"run:COMMAND\", \
                   \"exit:CODE\"; or a list of them, where a command can be a list of words";
    let found = parsed("[defaults]\non_open = 3\n").problems[0].to_string();
    assert!(found.ends_with(allowed), "{found}");
}

#[test]
fn values_that_are_refused() {
    check_value("window", "0", "out of range");
    check_value("window", "-5", "out of range");
    check_value("window", "9223372036854775808", "out of range");
    check_value("window", "1.5", "not a whole number");
    check_value("window", "\"60\"", "as text it needs a unit (\"60s\"); calls have no quotes");
    check_value("window", "true", "the wrong type (boolean)");
    check_value("window", "[1]", "the wrong type (array)");
    check_value("failures", "10001", "out of range");
    check_value("failures", "\"3\"", "a number is written without quotes");
    check_value("failures", "3.0", "not a whole number");
    check_value("failures", "nan", "not a whole number");
    check_value("failures", "1e3", "not a whole number");
    check_value("failures", "1979-05-27", "the wrong type (date)");
    check_value("half_open_calls", "0", "out of range");
    check_value("half_open_calls", "65", "out of range");
    check_value("failure_rate", "50", "above 1 it needs a percent sign (\"50%\")");
    check_value("failure_rate", "1.5", "above 1 it needs a percent sign (\"1.5%\")");
    check_value("failure_rate", "\"50\"", "above 1 it needs a percent sign (\"50%\")");
    check_value("failure_rate", "-0.5", "out of range");
    check_value("failure_rate", "0.12345", "too many decimals");
    check_value("failure_rate", "nan", "not a plain decimal number");
    check_value("failure_rate", "+inf", "not a plain decimal number");
    check_value("failure_rate", "1e-1", "not a plain decimal number");
    check_value("failure_rate", "1e400", "not a plain decimal number");
    check_value("failure_rate", "0x1", "not a plain decimal number");
    check_value("failure_rate", "\"none\"", "this key always has a value");
    check_value("open_backoff", "\"2\"", "a number is written without quotes");
    check_value("open_backoff", "0.5", "out of range");
    check_value("open_backoff", "1e2", "not a plain decimal number");
    check_value("open_for", "5", "it needs a unit (\"5s\")");
    check_value("open_for", "0.5", "it needs a unit (\"0.5s\")");
    check_value("open_for", "\"5\"", "it needs a unit");
    check_value("open_for", "\"0s\"", "it must be above 0");
    check_value("open_for", "\"0\"", "it must be above 0");
    check_value("open_for", "\"2y\"", "too long");
    check_value("open_for", "\"none\"", "this key always has a value");
    check_value("open_for", "false", "the wrong type (boolean)");
    check_problems(
        "[defaults]\nopen_for = { a = 1 }",
        &["2: open_for = {...} in [defaults]: the wrong type (table)"],
    );
    check_value("ignore_codes", "3", "one code is a list too ([3])");
    check_value("ignore_codes", "\"1,2\"", "a list has brackets, and no quotes");
    check_value("ignore_codes", "[0]", "0 is success");
    check_value("ignore_codes", "[1, 256]", "256: out of range");
    check_value("ignore_codes", "[\"1\"]", "\"1\": a number is written without quotes");
    check_value("ignore_codes", "[[1]]", "[1]: the wrong type (array)");
    check_value("ignore_codes", "[1.5]", "1.5: not a whole number");
    check_value("failure_codes", "[]", "without any code, nothing could fail");
    check_value("open_exit_code", "256", "out of range");
    check_value("on_store_error", "\"ignore\"", "no such choice");
    check_value("on_store_error", "true", "the wrong type (boolean)");
}

#[test]
fn allowed_values_are_told_as_a_file_has_them() {
    check_problems(
        "[breaker.pay]\nopen_for = 5",
        &[
            "2: open_for = 5 in [breaker.pay]: it needs a unit (\"5s\"); allowed: a duration such as \
           \"30s\" or \"1m30s\", at most 365d, at least 1ms",
        ],
    );
}

#[test]
fn unknown_keys_and_sections_are_told_with_the_nearest() {
    check_problems(
        "[defaults]\nopen-for = '5s'\n\n[breaker.a]\nfialures = 3\nretrys = 2\n",
        &[
            "2: unknown key 'open-for'; did you mean 'open_for'? in [defaults]",
            "5: unknown key 'fialures'; did you mean 'failures'? in [breaker.a]",
            "6: unknown key 'retrys'; did you mean 'retries'? in [breaker.a]",
        ],
    );
    check_problems("failures = 3", &["1: failures stands in no section; put it below [defaults]"]);
    check_problems("[default]", &["1: unknown section 'default'; did you mean 'defaults'?; allow"]);
    check_problems("[breakers.a]", &["1: unknown section 'breakers'; did you mean 'breaker'?"]);
    check_problems("[x]", &["1: unknown section 'x'; allowed: [defaults], [breaker.NAME]"]);
    check_problems("defaults = 3", &["1: defaults = 3: not a section; allowed: [defaults]"]);
    check_problems("[[breaker]]", &["1: breaker = [{...}]: not a section"]);
    check_problems("[breaker]\na = 3", &["2: a = 3 in [breaker]: not a section"]);
    check_problems("[breaker.pay.eu]\nfailures = 1", &["1: unknown key 'eu'; allowed: window, "]);
    let message = parsed("[breaker.pay.eu]").problems[0].to_string();
    assert!(message.ends_with("; a name with a dot is quoted: [breaker.\"pay.eu\"]"), "{message}");
}

#[test]
fn names_and_patterns_are_checked() {
    check_problems(
        "[breaker.\"../x\"]",
        &["1: [breaker.\"...\"]: '../x' is no name for a breaker"],
    );
    check_problems("[breaker.\"\"]", &["1: [breaker.\"...\"]: a breaker's name cannot be empty"]);
    check_problems(
        "[breaker.\"a b*\"]",
        &["1: [breaker.\"...\"]: 'a b*' matches no name; allowed"],
    );
    check_problems("[breaker.\"[ab]*\"]", &["1: [breaker.\"...\"]: '[ab]*' matches no name"]);
    check_problems("[breaker.\"\\u001b[2J\"]", &["1: [breaker.\"...\"]: '\\u{1b}[2J' is no name"]);
    check_problems("[breaker.\"pay.eu\"]\n[breaker.'p?y-*']\n[breaker.9]", &[]);
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    check_problems("[defaults]\nfailures = \n", &["2: not TOML: "]);
    check_problems("\n\n[defaults", &["3: not TOML: "]);
    check_problems("a = {...}", &["1: not TOML: "]);
    check_problems("[defaults]\nx =\ny =\n", &["2: not TOML: ", "3: not TOML: "]);
    check_problems("[defaults]\nfailures = 1\nfailures = 2", &["3: not TOML: duplicate key"]);
    check_problems("[defaults]\n[defaults]", &["2: not TOML: duplicate key"]);
    check_problems("a = '\x1b[2J'", &["1: not TOML: "]);
    check_problems("a = \"x", &["1: not TOML: "]);
    check_problems("\u{feff}[defaults]\r\nfailures = 3\r\n", &[]);
    check_problems("", &[]);
    check_problems("# only this", &[]);
    assert!(!parsed(&"[".repeat(100_000)).problems.is_empty());
    assert!(!parsed(&format!("a = {}", "[".repeat(100_000))).problems.is_empty());
    assert!(!parsed(&format!("a{} = 1", ".a".repeat(100_000))).problems.is_empty());
}

fn config(files: &[(&str, &str)]) -> Config {
    let mut config = Config::default();
    for (path, text) in files {
        config.add_text(Path::new(path), text, Reads::Probes).expect("a sound file");
    }
    config
}

fn settings(config: &Config, breaker: &str) -> Settings {
    let name = BreakerName::parse(breaker).expect("a name");
    resolve(config.assignments(&name), &Given::default()).expect("sound settings")
}

const MACHINE: &str = "[breaker.pay]\nfailures = 1\n[breaker.'pay-*']\nfailures = 2\n\
    [defaults]\nfailures = 3\nmin_calls = 3\n";
const USER: &str = "[defaults]\nfailures = 4\nwindow = 50\n[breaker.'pa*']\nfailures = 5\n\
    [breaker.'p*y']\nfailures = 6\n[breaker.'pay-??']\nfailures = 7\nwindow = 60\n";

#[track_caller]
fn check_failures(breaker: &str, expected: u32) {
    let config = config(&[("/etc", MACHINE), ("/user", USER)]);
    assert_eq!(settings(&config, breaker).policy.failures, expected, "{breaker}");
}

#[test]
fn the_more_specific_section_wins_then_the_later_file_then_the_later_line() {
    check_failures("pay", 1);
    check_failures("pay-eu", 7);
    check_failures("pay-east", 2);
    check_failures("panty", 6);
    check_failures("pan", 5);
    check_failures("other", 4);
    let config = config(&[("/etc", MACHINE), ("/user", USER)]);
    let pay = settings(&config, "pay").policy;
    assert_eq!(pay.min_calls, 3, "key by key");
    assert_eq!(pay.window, crate::model::policy::WindowSize::Calls(50));
    let same = "[breaker.'x-*']\nfailures = 1\n[breaker.'*-y']\nfailures = 2\n";
    assert_eq!(settings(&self::config(&[("/c", same)]), "x-y").policy.failures, 2);
    let same_file =
        [("/etc", "[breaker.'*-y']\nfailures = 1"), ("/u", "[breaker.'x-*']\nfailures = 2")];
    assert_eq!(settings(&self::config(&same_file), "x-y").policy.failures, 2);
}

#[test]
fn places_name_file_line_and_section() {
    let config = config(&[("/etc/cb/config.toml", "\n[breaker.\"pay*\"]\n\nopen_for = '9s'\n")]);
    let name = BreakerName::parse("pay").expect("a name");
    let layers = config.layers(&name);
    let Some(crate::settings::Place::File { path, line, section }) = layers.place(Key::OpenFor)
    else {
        panic!("no place")
    };
    assert_eq!(
        (&**path, *line, &**section),
        (Path::new("/etc/cb/config.toml"), 4, "[breaker.\"pay*\"]")
    );
    assert_eq!(layers.place(Key::Window), None);
    assert_eq!(layers.settings().expect("sound").policy.open_for, Duration::from_secs(9));
}

#[track_caller]
fn check_report(text: &str, problems: &[&str], warnings: &[&str]) {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("c.toml");
    std::fs::write(&path, text).expect("written");
    let report = check(Some(path.as_os_str())).expect("a report");
    let shown = |errors: &[Error]| -> Vec<String> {
        let prefix = format!("{}:", path.display());
        errors
            .iter()
            .map(|e| e.to_string().strip_prefix(&prefix).expect("its path").to_owned())
            .collect()
    };
    for (found, expected) in
        [(shown(&report.problems), problems), (shown(&report.warnings), warnings)]
    {
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}\n{expected}");
        }
    }
}

#[test]
fn check_reports_all_problems_conflicts_and_dead_policies() {
    check_report("", &[], &[]);
    check_report(
        "[defaults]\nx = 1\nfailures = -1\n[breaker.a]\nsuccess_threshold = 2\n",
        &["2: unknown key 'x'", "3: failures = -1", "5: success_threshold = 2 ("],
        &[],
    );
    check_report("[defaults]\nslow_rate = '50%'\n[breaker.a]\n", &["2: slow_rate = 50%"], &[]);
    check_report(
        "[breaker.a]\nfailures = 0\nconsecutive_failures = 0\nfailure_rate = 0\n",
        &[],
        &["1: [breaker.a]: no rule can open the breaker"],
    );
    check_report(
        "[defaults]\nconsecutive_failures = 0\nfailure_rate = 0\nfailures = 30\n[breaker.'a*']\n\
         window = '1m'\n",
        &[],
        &[
            "1: [defaults]: failures = 30 can never be reached in a window of 20 calls",
            "1: [defaults]: no rule can open the breaker",
        ],
    );
    check_report(
        "[breaker.a]\nmin_calls = 30\n",
        &[],
        &["1: [breaker.a]: min_calls = 30 counts as 20"],
    );
    check_report(
        "[breaker.a]\ntimeout = '1s'\nslow_call = '2s'\n",
        &[],
        &["1: [breaker.a]: slow_call is not below timeout"],
    );
}

#[test]
fn a_named_file_must_exist_and_the_first_problem_stops() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("c.toml");
    let message = Config::load(Some(path.as_os_str())).expect_err("missing").to_string();
    assert_eq!(message, format!("{}: no such file; it is named by --config", path.display()));
    std::fs::write(&path, "[defaults]\nx = 1\ny = 2\n").expect("written");
    let message = Config::load(Some(path.as_os_str())).expect_err("bad").to_string();
    assert!(message.contains(":2: unknown key 'x'"), "{message}");
    assert!(matches!(Config::load(Some(OsStr::new(""))), Err(Error::Usage(_))));
    assert_eq!(Config::load(Some(OsStr::new("/dev/null"))).expect("empty").names().count(), 0);
}
