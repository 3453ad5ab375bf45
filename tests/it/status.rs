//! `cb status`: the table, the JSON, the exit codes of `--check`, and colour.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::FromRawFd;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Cb, eventually};

/// A store with a breaker in each state.
fn zoo() -> Cb {
    let cb = Cb::new();
    cb.exec("a-closed", ["true"]).code(0);
    cb.exec("b-failing", ["true"]).code(0);
    (0..2).for_each(|_| drop(cb.exec("b-failing", ["false"]).code(1)));
    (0..5).for_each(|_| drop(cb.exec("c-tripped", ["false"]).code(1)));
    cb.run(["trip", "d-by-hand", "--for", "3h30s", "--reason", "disk swap"]).code(0);
    cb.run(["hold", "e-due", "forced-open"]).code(0);
    cb.run(["release", "e-due"]).code(0);
    cb.run(["hold", "f-trial", "forced-open"]).code(0);
    cb.run(["release", "f-trial"]).code(0);
    cb.run(["allow", "f-trial"]).code(0);
    cb.run(["hold", "g-forced", "forced-open", "--for", "2h30s"]).code(0);
    cb.run(["hold", "h-disabled", "disabled", "--reason", "being moved"]).code(0);
    cb.run(["hold", "i-metrics-only-with-a-longer-name", "metrics-only"]).code(0);
    let metrics = "i-metrics-only-with-a-longer-name";
    (0..6).for_each(|_| drop(cb.exec(metrics, ["false"]).code(1)));
    let flags = ["--window", "60s", "--slow-call", "1ms"];
    cb.exec_with(flags, "j-in-time", ["sleep", "0.01"]).code(0);
    cb
}

/// The cells of a table: two blanks or more are between them, and none but the
/// last is ever empty.
fn cells(table: &str) -> Vec<Vec<String>> {
    let row = |line: &str| {
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    };
    table.lines().map(row).collect()
}

#[test]
fn the_table_tells_how_each_breaker_stands_and_why() {
    let cb = zoo();
    let me = cb.status("d-by-hand")["last_transition"]["by"].as_str().expect("a name").to_owned();
    let ran = cb.run(["status"]).code(0).stderr("");
    let table = ran.stdout_text().replace(&format!("by {me}"), "by ME");
    let mut rows = cells(&table);
    for row in &mut rows[1..] {
        assert!(row[2].ends_with('s') || row[2].ends_with('m'), "since: {row:?}");
        row[2] = "AGO".to_owned();
    }
    let rows: Vec<String> = rows.iter().map(|row| row.join(" | ")).collect();
    // However long the test took to get here.
    let left = |secs: u32| (format!("in {secs}s"), "in 30s");
    let text = (1..30).map(left).fold(rows.join("\n"), |text, (from, to)| text.replace(&from, to));
    insta::assert_snapshot!(text, @r#"
NAME | STATE | SINCE | CALLS | FAILED | SLOW | NEXT TRIAL | WHY
a-closed | closed | AGO | 1/20 | 0% | 0% | -
b-failing | closed | AGO | 3/20 | 66.6% | 0% | - | 2 failures in a row
c-tripped | open | AGO | 5/20 | 100% | 0% | in 30s | too many failures in a row
d-by-hand | open | AGO | 0/20 | - | - | in 3h | by ME: disk swap
e-due | open | AGO | 0/20 | - | - | due | by ME
f-trial | half-open | AGO | 0/20 | - | - | under way | a trial was due
g-forced | forced-open | AGO | 0/20 | - | - | - | by ME; ends in 2h
h-disabled | disabled | AGO | 0/20 | - | - | - | by ME: being moved
i-metrics-only-with-a-longer-name | metrics-only | AGO | 6/20 | 100% | 0% | - | by ME; would trip: too many failures in a row
j-in-time | closed | AGO | 1 in 1m | 0% | 100% | -
"#);
}

#[test]
fn the_columns_of_the_table_are_aligned() {
    let table = zoo().run(["status"]).code(0).stdout_text();
    let head = table.lines().next().expect("a head");
    let column = |name: &str| head.find(name).expect("a column");
    for line in table.lines().skip(1) {
        for name in ["STATE", "SINCE", "NEXT TRIAL", "WHY"] {
            let at = column(name);
            if line.len() > at {
                assert!(line[..at].ends_with("  "), "a gap before {name}: {line:?}");
                assert!(!line[at..].starts_with(' '), "{name} begins with its head: {line:?}");
            }
        }
        for name in ["CALLS", "FAILED", "SLOW"] {
            let end = column(name) + name.len();
            assert!(!line[..end].ends_with(' '), "{name} ends with its head: {line:?}");
            assert!(line[end..].starts_with("  "), "a gap after {name}: {line:?}");
        }
        assert_eq!(line, line.trim_end(), "no blanks at the end");
    }
}

#[test]
fn names_and_patterns_choose_and_are_listed_once_in_order() {
    let cb = Cb::new();
    for name in ["pay-us", "pay-eu", "mail"] {
        cb.exec(name, ["true"]).code(0);
    }
    let names = |words: &[&str]| -> Vec<String> {
        let mut args = vec!["status", "--json"];
        args.extend(words);
        let ran = cb.run(args).code(0).stderr("");
        let body: Value = serde_json::from_slice(&ran.output.stdout).expect("JSON");
        let breakers = body["breakers"].as_array().expect("a list").clone();
        breakers.iter().map(|one| one["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names(&[]), ["mail", "pay-eu", "pay-us"]);
    assert_eq!(names(&["pay-*"]), ["pay-eu", "pay-us"]);
    assert_eq!(names(&["pay-us", "pay-?u", "pay-us", "*"]), ["mail", "pay-eu", "pay-us"]);
    assert_eq!(names(&["none-*"]), [] as [&str; 0]);
    assert_eq!(names(&["none"]), ["none"]);
    cb.run(["status", "none-*"]).code(0).stdout("").one_line("cb: no breaker matches 'none-*'");
    let two = cb.run(["status", "pay-*"]).code(0).stderr("").stdout_text();
    assert_eq!(two.lines().count(), 3, "{two}");
}

#[test]
fn an_empty_store_says_how_to_begin() {
    let cb = Cb::new();
    cb.run(["status"]).code(0).stdout("").one_line("cb: no breakers yet in ");
    let ran = cb.run(["status", "--json"]).code(0).stderr("");
    let body: Value = serde_json::from_slice(&ran.output.stdout).expect("JSON");
    assert_eq!(body, serde_json::json!({"schema": "cb.status/1", "breakers": []}));
    assert!(!cb.store().exists(), "looking makes no store");
}

#[test]
fn a_breaker_that_was_never_used_is_closed_and_not_known() {
    let cb = Cb::new();
    let status = cb.status("never");
    assert_eq!((&status["known"], &status["state"]), (&false.into(), &"closed".into()));
    let null = "hold since retry_at retry_after_ms last_transition last_failure last_probe";
    for key in null.split(' ') {
        assert_eq!(status[key], Value::Null, "{key}");
    }
    assert_eq!((&status["generation"], &status["trial_due"]), (&0.into(), &false.into()));
    let rows = cells(&cb.run(["status", "never"]).code(0).stderr("").stdout_text());
    assert_eq!(rows[1].join("|"), "never|closed|-|0/20|-|-|-|never used");
    assert!(!cb.store().exists(), "looking makes no breaker");
}

#[track_caller]
fn keys(value: &Value, expected: &str) {
    let found: Vec<&str> =
        value.as_object().expect("an object").keys().map(String::as_str).collect();
    let unique: BTreeSet<&&str> = found.iter().collect();
    assert_eq!(unique.len(), found.len());
    assert_eq!(found.join(" "), expected);
}

/// The fields of cb.status/1. Beyond the contract's list are `known`, which it
/// asks for, `would_trip` (metrics-only) and the `comment` of a transition.
#[test]
fn the_json_has_its_fields_and_no_others() {
    let cb = zoo();
    let ran = cb.run(["status", "--json"]).code(0).stderr("");
    assert!(ran.stdout_text().ends_with("}\n"));
    let body: Value = serde_json::from_slice(&ran.output.stdout).expect("JSON");
    keys(&body, "schema breakers");
    assert_eq!(body["schema"], "cb.status/1");
    for one in body["breakers"].as_array().expect("a list") {
        keys(
            one,
            "name known state trial_due hold generation since retry_at retry_after_ms window \
             consecutive_failures half_open totals would_trip last_transition last_failure \
             last_probe queue policy",
        );
        keys(&one["window"], "kind size calls failures slow failure_rate slow_rate");
        keys(&one["half_open"], "permitted in_flight successes failures");
        keys(
            &one["totals"],
            "admitted rejected succeeded failed ignored timed_out slow stale opened",
        );
        keys(
            &one["policy"],
            "window consecutive_failures failures failure_rate slow_call slow_rate min_calls \
             open_for open_backoff open_max open_jitter half_open_calls success_threshold \
             permit_ttl timeout kill_after ignore_codes failure_codes open_exit_code \
             on_store_error max_concurrent max_wait retries retry_delay retry_backoff \
             retry_max_delay retry_jitter retry_max_time on_open on_failure queued_exit_code \
             drain max_attempts max_age attempt_delay queue_env queue_stdin_max queue_max \
             cache_max cache_cwd cache_env rise probe_closes",
        );
        if !one["hold"].is_null() {
            keys(&one["hold"], "until by reason");
        }
        if !one["last_transition"].is_null() {
            keys(&one["last_transition"], "at from to reason by comment");
        }
        if !one["last_failure"].is_null() {
            keys(&one["last_failure"], "at exit_code signal timed_out duration_ms");
        }
        keys(&one["queue"], "pending running failed doubt");
    }
}

#[test]
fn the_json_tells_each_state() {
    let cb = zoo();
    let status = |name: &str| cb.status(name);
    let tripped = status("c-tripped");
    assert_eq!((&tripped["state"], &tripped["trial_due"]), (&"open".into(), &false.into()));
    assert_eq!(tripped["window"]["failure_rate"], 1.0);
    assert_eq!(tripped["last_transition"]["by"], Value::Null);
    assert_eq!(tripped["last_failure"]["exit_code"], 1);
    let left_ms = tripped["retry_after_ms"].as_u64().expect("a number");
    assert!((1..=30_000).contains(&left_ms));
    let due = status("e-due");
    assert_eq!((&due["trial_due"], &due["retry_after_ms"]), (&true.into(), &0.into()));
    assert_eq!(status("f-trial")["half_open"]["in_flight"], 1);
    let held = status("h-disabled");
    assert_eq!(
        (&held["hold"]["until"], &held["hold"]["reason"]),
        (&Value::Null, &"being moved".into())
    );
    assert!(status("g-forced")["hold"]["until"].is_string());
    assert_eq!(status("i-metrics-only-with-a-longer-name")["would_trip"], "consecutive_failures");
    let in_time = status("j-in-time");
    assert_eq!(
        (&in_time["window"]["kind"], &in_time["window"]["size"]),
        (&"time".into(), &60_000.into())
    );
    assert_eq!(
        (&in_time["window"]["slow"], &in_time["policy"]["window"]),
        (&1.into(), &"1m".into())
    );
    for (name, key) in [("c-tripped", "since"), ("c-tripped", "retry_at"), ("g-forced", "since")] {
        let text = status(name)[key].as_str().expect("a time").to_owned();
        assert!(text.len() == 24 && text.ends_with('Z') && text.starts_with("20"), "{text}");
    }
}

#[test]
fn check_tells_the_state_by_its_exit_code_alone() {
    let cb = zoo();
    for (name, code) in [
        ("a-closed", 0),
        ("b-failing", 0),
        ("c-tripped", 2),
        ("d-by-hand", 2),
        ("e-due", 1),
        ("f-trial", 1),
        ("g-forced", 2),
        ("h-disabled", 0),
        ("i-metrics-only-with-a-longer-name", 0),
        ("never", 3),
    ] {
        cb.run(["status", "--check", name]).code(code).stdout("").stderr("");
    }
    cb.run(["trip", "soon", "--for", "10ms"]).code(0);
    eventually("the trial is due", || {
        cb.run(["status", "--check", "soon"]).status().code() == Some(1)
    });
    for more in ["b-failing", "--json"] {
        cb.run(["status", "--check", "a-closed", more]).code(125).stdout("").one_line("--check");
    }
    cb.run(["status", "--check", "no name"]).code(125).one_line("is no name for a breaker");
}

#[test]
fn looking_changes_nothing() {
    let cb = Cb::new();
    cb.run(["trip", "pay", "--for", "1ms"]).code(0);
    eventually("the trial is due", || cb.status("pay")["trial_due"] == true);
    let bytes = || std::fs::read(cb.store().join("pay/state")).expect("a state");
    let before = bytes();
    for words in
        [&["status"][..], &["status", "--json"], &["status", "--check", "pay"], &["check", "pay"]]
    {
        cb.run(words);
    }
    assert_eq!(bytes(), before);
}

const ESC: &str = "\u{1b}[";

#[test]
fn a_pipe_gets_no_colour_unless_it_is_forced() {
    let has_colour = |cb: &Cb| cb.run(["status"]).code(0).stdout_text().contains(ESC);
    let with = |env: &[(&str, &str)]| {
        let cb = Cb::new();
        cb.run(["trip", "pay"]).code(0);
        has_colour(&env.iter().fold(cb, |cb, (name, value)| cb.env(name, value)))
    };
    assert!(!with(&[("TERM", "xterm")]));
    assert!(with(&[("CLICOLOR_FORCE", "1")]));
    assert!(!with(&[("CLICOLOR_FORCE", "0"), ("TERM", "xterm")]));
    assert!(!with(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}

#[test]
fn a_terminal_gets_colour_unless_it_is_unwanted_or_dumb() {
    let with = |env: &[(&str, &str)]| {
        let cb = Cb::new();
        cb.run(["trip", "pay"]).code(0);
        let cb = env.iter().fold(cb, |cb, (name, value)| cb.env(name, value));
        on_terminal(&cb, ["status"]).contains(ESC)
    };
    assert!(with(&[("TERM", "xterm")]));
    assert!(with(&[("TERM", "xterm"), ("NO_COLOR", "")]), "an empty NO_COLOR is none");
    assert!(!with(&[("TERM", "xterm"), ("NO_COLOR", "1")]));
    assert!(!with(&[("TERM", "dumb")]));
}

#[test]
fn colour_changes_no_alignment() {
    let plain = zoo();
    let table = plain.run(["status"]).code(0).stdout_text();
    let painted = plain.env("CLICOLOR_FORCE", "1");
    let coloured = painted.run(["status"]).code(0).stdout_text();
    for code in ["31m", "32m", "33m", "35m"] {
        assert!(coloured.contains(&format!("{ESC}{code}")), "{code}");
    }
    let mut stripped = coloured.replace(&format!("{ESC}0m"), "");
    for code in ["31m", "32m", "33m", "35m"] {
        stripped = stripped.replace(&format!("{ESC}{code}"), "");
    }
    // The times differ, and with them the width of their column.
    let states = |table: &str| -> Vec<String> {
        let at = table.find("SINCE").expect("a column");
        table.lines().map(|line| line[..at].to_owned()).collect()
    };
    assert_eq!(states(&stripped), states(&table));
}

/// What cb writes to a terminal of its own.
fn on_terminal<const N: usize>(cb: &Cb, args: [&str; N]) -> String {
    let (mut main, mut side) = (-1, -1);
    let (name, settings, size) = (std::ptr::null_mut(), std::ptr::null(), std::ptr::null());
    // SAFETY: the two out-pointers are valid, and the rest may be null.
    let opened = unsafe { libc::openpty(&raw mut main, &raw mut side, name, settings, size) };
    assert_eq!(opened, 0, "a terminal");
    // SAFETY: both descriptors are new, and owned by nothing else.
    let (mut main, side) = unsafe { (File::from_raw_fd(main), Stdio::from_raw_fd(side)) };
    let mut child = {
        let mut command = cb.command(args);
        command.stdout(side);
        command.spawn().expect("cb starts")
    };
    let mut text = Vec::new();
    // A terminal whose other side is closed ends with an error.
    let _ = main.read_to_end(&mut text);
    assert!(child.wait().expect("cb ends").success());
    String::from_utf8(text).expect("UTF-8")
}
