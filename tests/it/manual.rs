//! What people and scripts do by hand: trip, reset, hold, release, rm, and the
//! two-step calls, allow and report.

use serde_json::Value;

use crate::support::{Cb, Ran, eventually, got_the_lock};

/// What the name of this user is in what cb says.
fn me(cb: &Cb) -> String {
    cb.run(["trip", "whoami"]).code(0);
    cb.status("whoami")["last_transition"]["by"].as_str().expect("a name").to_owned()
}

/// The status of a breaker without the times in it: a wall time is told by two
/// clocks, and can differ by a millisecond from one reading to the next.
fn steady(cb: &Cb, name: &str) -> Value {
    let mut status = cb.status(name);
    for key in ["since", "retry_at", "retry_after_ms"] {
        status[key] = Value::Null;
    }
    status["last_transition"]["at"] = Value::Null;
    status
}

/// Asks for a permit, with these flags.
#[track_caller]
fn allow<const N: usize>(cb: &Cb, name: &str, flags: [&str; N]) -> String {
    let mut command = cb.command(["allow", name]);
    command.args(flags);
    let ran = Ran::of(command).code(0).stderr("");
    let text = ran.stdout_text();
    let token = text.strip_suffix('\n').expect("one line").to_owned();
    assert!(!token.is_empty() && !token.contains(char::is_whitespace), "{text:?}");
    token
}

/// Opens a breaker whose trial is due at once.
#[track_caller]
fn trial_due(cb: &Cb, name: &str) {
    cb.run(["hold", name, "forced-open"]).code(0);
    cb.run(["release", name]).code(0);
    assert_eq!(cb.status(name)["trial_due"], true);
}

#[test]
fn trip_opens_reset_closes_and_each_says_how_it_stands() {
    let cb = Cb::new();
    let me = me(&cb);
    cb.run(["trip", "pay"])
        .code(0)
        .stderr("")
        .stdout(&format!("pay: open (by {me}), next trial in 30s\n"));
    cb.is("pay", "open").run(["check", "pay"]).code(75);
    cb.run(["reset", "pay"]).code(0).stderr("").stdout("pay: closed\n");
    cb.is("pay", "closed").run(["check", "pay"]).code(0);
}

#[test]
fn a_trip_with_a_length_and_a_reason_says_both() {
    let cb = Cb::new();
    let me = me(&cb);
    cb.run(["trip", "pay", "--for", "1h", "--reason", "disk swap"])
        .code(0)
        .stdout(&format!("pay: open (by {me}: disk swap), next trial in 1h\n"));
    let last = &cb.status("pay")["last_transition"];
    assert_eq!((&last["by"], &last["comment"]), (&me.into(), &"disk swap".into()));
    assert_eq!((&last["from"], &last["to"]), (&"closed".into(), &"open".into()));
    assert_eq!(last["reason"], "manual");
}

#[test]
fn a_trip_of_an_open_breaker_changes_nothing_but_its_end_where_one_is_given() {
    let cb = Cb::new();
    cb.run(["trip", "pay", "--for", "1h30s"]).code(0);
    let before = steady(&cb, "pay");
    cb.run(["trip", "pay", "--reason", "x"])
        .code(0)
        .stdout_has(" next trial in 1h (state unchanged)\n");
    assert_eq!(steady(&cb, "pay"), before);
    cb.run(["trip", "pay", "--for", "2h"])
        .code(0)
        .stdout_has(" next trial in 2h (state unchanged)\n");
    assert_eq!(steady(&cb, "pay"), before);
}

#[test]
fn asking_for_the_state_that_already_is_makes_no_transition() {
    let cb = Cb::new();
    cb.run(["trip", "pay"]).code(0);
    cb.run(["reset", "pay"]).code(0);
    cb.run(["reset", "pay"]).code(0).stdout("pay: closed (state unchanged)\n");
    cb.run(["release", "pay"]).code(0).stdout("pay: closed (state unchanged)\n");
    for hold in ["forced-open", "disabled", "metrics-only"] {
        cb.run(["hold", "pay", hold]).code(0);
        let generation = cb.status("pay")["generation"].clone();
        cb.run(["hold", "pay", hold, "--for", "1h"]).code(0).stdout_has("(state unchanged)\n");
        let status = cb.status("pay");
        assert_eq!(status["generation"], generation);
        assert!(status["hold"]["until"].is_string(), "the end is a new one");
    }
}

#[test]
fn each_hold_does_with_calls_what_its_name_says() {
    let cb = Cb::new();
    cb.run(["hold", "pay", "forced-open"])
        .code(0)
        .stdout_has("pay: forced-open: every call is rejected");
    cb.exec("pay", ["true"]).code(75).one_line("cb: pay: not run: ");
    cb.run(["hold", "pay", "disabled"])
        .code(0)
        .stdout_has("disabled: every call passes, none is counted");
    (0..20).for_each(|_| drop(cb.exec("pay", ["false"]).code(1)));
    assert_eq!(cb.status("pay")["window"]["calls"], 0);
    cb.run(["hold", "pay", "metrics-only"])
        .code(0)
        .stdout_has("metrics-only: every call passes and is counted, none trips");
    (0..6).for_each(|_| drop(cb.exec("pay", ["false"]).code(1)));
    let status = cb.status("pay");
    assert_eq!((&status["state"], &status["window"]["calls"]), (&"metrics-only".into(), &6.into()));
    assert_eq!(status["would_trip"], "consecutive_failures");
    cb.run(["release", "pay"]).code(0).stdout("pay: closed\n");
    assert_eq!(cb.status("pay")["window"]["calls"], 6);
}

#[test]
fn a_forced_open_that_is_released_tests_before_it_trusts() {
    let cb = Cb::new();
    cb.run(["hold", "pay", "forced-open"]).code(0);
    cb.run(["release", "pay"]).code(0).stdout_has("pay: open (").stdout_has("), a trial is due\n");
    cb.exec("pay", ["true"]).code(0);
    cb.is("pay", "closed");
}

#[test]
fn a_hold_with_a_length_says_when_it_ends() {
    let cb = Cb::new();
    let me = me(&cb);
    let what = "pay: disabled: every call passes, none is counted";
    cb.run(["hold", "pay", "disabled", "--for", "1h", "--reason", "a move"])
        .code(0)
        .stdout(&format!("{what} (by {me}: a move; ends in 1h)\n"));
}

#[test]
fn a_hold_ends_by_itself() {
    let cb = Cb::new();
    cb.run(["hold", "pay", "disabled", "--for", "20ms"]).code(0);
    eventually("the hold ends", || cb.state("pay") == "closed");
    cb.exec("pay", ["true"]).code(0);
    let status = cb.status("pay");
    assert_eq!(status["last_transition"]["reason"], "hold_ended");
    assert_eq!((&status["hold"], &status["last_transition"]["by"]), (&Value::Null, &Value::Null));
    cb.run(["hold", "pay", "forced-open", "--for", "20ms"]).code(0);
    eventually("the hold ends", || cb.state("pay") == "open");
    assert_eq!(cb.status("pay")["trial_due"], true);
}

#[test]
fn what_must_exist_is_asked_for_by_name() {
    let cb = Cb::new();
    for words in [["reset", "none"], ["release", "none"], ["rm", "none"]] {
        cb.run(words).code(125).stdout("").one_line("cb: none: no such breaker in this store");
    }
    cb.run(["report", "none", "cb1-0-x-0-00000000", "success"]).code(125).one_line("cb: ");
    assert_eq!(cb.status("none")["known"], false);
}

#[test]
fn rm_forgets_a_breaker_wholly() {
    let cb = Cb::new();
    cb.run(["trip", "pay"]).code(0);
    cb.run(["rm", "pay"]).code(0).stderr("").stdout("pay: removed\n");
    let status = cb.status("pay");
    assert_eq!((&status["known"], &status["generation"]), (&false.into(), &0.into()));
    cb.exec("pay", ["true"]).code(0);
    assert_eq!(cb.status("pay")["totals"]["admitted"], 1);
}

#[test]
fn quiet_says_nothing() {
    let cb = Cb::new();
    for words in [
        &["trip", "pay"][..],
        &["reset", "pay"],
        &["hold", "pay", "disabled"],
        &["release", "pay"],
        &["check", "pay"],
        &["rm", "pay"],
    ] {
        let mut command = cb.command(words);
        command.arg("-q");
        Ran::of(command).code(0).stdout("").stderr("");
    }
    cb.run(["trip", "pay", "-q"]).code(0);
    cb.run(["check", "pay", "-q"]).code(75).stdout("").stderr("");
    cb.run(["allow", "pay", "-q"]).code(75).stdout("").stderr("");
}

#[test]
fn a_name_that_is_none_is_refused_by_every_command() {
    let cb = Cb::new();
    for name in ["", ".", "..", "a/b", "../x", "a b", "gr\u{f6}\u{df}e", "a\nb", "a\u{1b}[2J", "*"]
    {
        for words in [
            &["trip", name][..],
            &["reset", name],
            &["hold", name, "disabled"],
            &["release", name],
            &["rm", name],
            &["check", name],
            &["allow", name],
            &["report", name, "token", "success"],
            &["status", "--check", name],
        ] {
            cb.run(words).code(125).stdout("").one_line("allowed: a letter or digit, then ");
        }
    }
    let long = "x".repeat(101);
    cb.run(["trip", &long]).code(125).one_line("is 101 characters long");
    cb.run(["trip", &"x".repeat(100)]).code(0);
    assert!(!cb.path("x").exists());
}

#[test]
fn a_length_that_is_none_is_refused() {
    let cb = Cb::new();
    for wrong in ["0", "-1s", "soon", "", "366d", "1e9"] {
        cb.run(["trip", "pay", "--for", wrong]).code(125).stdout("").one_line("--for");
    }
    assert_eq!(cb.status("pay")["known"], false, "a refused command changes nothing");
    cb.run(["trip", "pay", "--for", "90"]).code(0).stdout_has("next trial in 1m30s\n");
}

#[test]
fn no_reason_reaches_a_terminal_raw_or_without_a_bound() {
    let hostile =
        format!("\u{1b}[2J\u{1b}]0;owned\u{7}\r\nx\u{9b}31m\u{202e}{}", "7".repeat(10_000));
    let cb = Cb::new();
    let check = |ran: Ran| {
        let text = ran.stdout_text();
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        assert!(!text.contains('\u{202e}') && text.contains("\\u{1b}[2J"), "{text:?}");
        assert!(text.len() < 400, "{} bytes", text.len());
    };
    check(cb.run(["trip", "pay", "--reason", &hostile]).code(0));
    check(cb.run(["check", "pay"]).code(75));
    check(cb.run(["status"]).code(0));
    cb.run(["allow", "pay"]).code(75).stdout("").one_line("\\u{1b}[2J");
    cb.exec("pay", ["true"]).code(75).one_line("not run");
    check(cb.run(["hold", "pay", "forced-open", "--reason", &hostile]).code(0));
    check(cb.run(["check", "pay"]).code(75));
    check(cb.run(["status", "pay"]).code(0));
    let kept = cb.status("pay")["hold"]["reason"].as_str().expect("a reason").to_owned();
    assert!(hostile.starts_with(&kept) && kept.len() <= 500, "JSON has what is kept, as it was");
    let bytes = cb.run(["status", "--json", "pay"]).code(0).output.stdout;
    assert!(!bytes.contains(&0x1b) && !bytes.contains(&0x07), "JSON escapes it");
}

#[test]
fn a_reason_that_is_no_text_is_kept_as_well_as_can_be() {
    use std::os::unix::ffi::OsStrExt;
    let cb = Cb::new();
    let mut command = cb.command(["trip", "pay", "--reason"]);
    command.arg(std::ffi::OsStr::from_bytes(b"a\xffb"));
    Ran::of(command).code(0).stdout_has(": a\u{fffd}b)");
    cb.run(["reset", "pay", "--reason", ""]).code(0).stdout("pay: closed\n");
}

#[test]
fn allow_prints_a_token_and_nothing_else_and_report_takes_it() {
    let cb = Cb::new();
    let token = allow(&cb, "pay", []);
    assert_eq!(cb.status("pay")["totals"]["admitted"], 1);
    cb.run(["report", "pay", &token, "failure"]).code(0).stdout("").stderr("");
    let status = cb.status("pay");
    assert_eq!(
        (&status["window"]["failures"], &status["consecutive_failures"]),
        (&1.into(), &1.into())
    );
    let token = allow(&cb, "pay", []);
    cb.run(["report", "pay", &token, "success"]).code(0).stderr("");
    let token = allow(&cb, "pay", []);
    cb.run(["report", "pay", &token, "ignored"]).code(0).stderr("");
    let totals = &cb.status("pay")["totals"];
    assert_eq!(
        [&totals["admitted"], &totals["succeeded"], &totals["failed"], &totals["ignored"]],
        [3, 1, 1, 1]
    );
}

#[test]
fn two_step_calls_trip_reject_and_recover_like_any_other() {
    let cb = Cb::new();
    let flags = ["--consecutive-failures", "2", "--open-for", "1ms"];
    for _ in 0..2 {
        let token = allow(&cb, "pay", flags);
        cb.run(["report", "pay", &token, "failure"]).code(0);
    }
    cb.is("pay", "open");
    eventually("the trial is due", || cb.status("pay")["trial_due"] == true);
    let token = allow(&cb, "pay", flags);
    cb.is("pay", "half-open");
    cb.run(["allow", "pay", "--half-open-calls", "1"])
        .code(75)
        .stdout("")
        .stderr("cb: pay: not allowed: half-open, 1 trial under way, none free\n");
    cb.run(["report", "pay", &token, "success"]).code(0);
    cb.is("pay", "closed");
}

#[test]
fn a_rejected_allow_says_why_and_prints_no_token() {
    let cb = Cb::new();
    let me = me(&cb);
    cb.run(["trip", "pay", "--for", "1h30s"]).code(0);
    cb.run(["allow", "pay"])
        .code(75)
        .stdout("")
        .stderr(&format!("cb: pay: not allowed: open (by {me}), next trial in 1h\n"));
    cb.run(["allow", "pay", "--open-exit-code", "9"]).code(9).stdout("");
    assert_eq!(cb.status("pay")["totals"]["rejected"], 2);
}

#[test]
fn a_token_of_another_breaker_is_refused() {
    let cb = Cb::new();
    let token = allow(&cb, "pay", []);
    allow(&cb, "mail", []);
    let wrong = "is no token of mail; allowed: what 'cb allow mail' printed";
    cb.run(["report", "mail", &token, "failure"]).code(125).stdout("").one_line(wrong);
    for broken in
        ["", "x", "\u{1b}[2J", &token[1..], &token[..token.len() - 1], &"9".repeat(10_000)]
    {
        cb.run(["report", "mail", broken, "failure"]).code(125).one_line("is no token of mail");
    }
    assert_eq!(cb.status("mail")["totals"]["failed"], 0);
    cb.run(["report", "pay", &token, "fail"])
        .code(125)
        .one_line("allowed: success, failure, ignored");
}

#[test]
fn a_late_report_is_stale_and_says_so() {
    let cb = Cb::new();
    let token = allow(&cb, "pay", []);
    cb.run(["trip", "pay"]).code(0);
    cb.run(["report", "pay", &token, "failure"])
        .code(0)
        .stdout("")
        .one_line("cb: pay: this result came too late to count");
    let status = cb.status("pay");
    assert_eq!((&status["totals"]["stale"], &status["window"]["calls"]), (&1.into(), &0.into()));
}

#[test]
fn a_second_report_of_a_trial_is_stale() {
    let cb = Cb::new();
    trial_due(&cb, "pay");
    let token = allow(&cb, "pay", ["--half-open-calls", "3"]);
    cb.run(["report", "pay", &token, "success"]).code(0).stderr("");
    cb.run(["report", "pay", &token, "success"]).code(0).one_line("too late to count");
    let round = &cb.status("pay")["half_open"];
    assert_eq!([&round["successes"], &round["in_flight"], &round["permitted"]], [1, 0, 2]);
    cb.run(["check", "pay"]).code(0).stdout("pay: half-open, 1 trial succeeded\n");
}

#[test]
fn the_lease_of_a_token_runs_out() {
    let cb = Cb::new();
    trial_due(&cb, "pay");
    let token = allow(&cb, "pay", ["--permit-ttl", "30ms"]);
    eventually("the lease runs out", || cb.status("pay")["half_open"]["permitted"] == 1);
    cb.run(["report", "pay", &token, "success"]).code(0).one_line("too late to count");
    cb.is("pay", "half-open");
    let token = allow(&cb, "pay", ["--permit-ttl", "10m"]);
    cb.run(["report", "pay", &token, "success"]).code(0).stderr("");
    cb.is("pay", "closed");
}

#[test]
fn three_tokens_that_are_never_reported_reopen() {
    let cb = Cb::new();
    trial_due(&cb, "pay");
    for _ in 0..3 {
        allow(&cb, "pay", ["--permit-ttl", "1ms", "--open-for", "1h"]);
        let round = || cb.status("pay");
        eventually("the lease runs out", || round()["half_open"]["in_flight"] == 0);
    }
    cb.is("pay", "open").exec("pay", ["true"]).code(75);
    assert_eq!(cb.status("pay")["last_transition"]["reason"], "trial_failed");
}

#[test]
fn a_report_is_slow_by_the_duration_that_it_tells() {
    let cb = Cb::new();
    let flags = ["--slow-call", "2s"];
    for (duration, slow) in [("2s", 0), ("2001ms", 1), ("0", 1), ("1h", 2)] {
        let token = allow(&cb, "pay", flags);
        cb.run(["report", "pay", &token, "success", "--duration", duration]).code(0).stderr("");
        assert_eq!(cb.status("pay")["window"]["slow"], slow, "{duration}");
    }
    let token = allow(&cb, "pay", flags);
    cb.run(["report", "pay", &token, "success", "--duration", "-5"])
        .code(125)
        .one_line("--duration");
}

#[test]
fn a_slow_trial_is_a_failure_where_slow_calls_are_judged() {
    let cb = Cb::new();
    trial_due(&cb, "pay");
    let token = allow(&cb, "pay", ["--slow-call", "1s", "--slow-rate", "50%"]);
    cb.run(["report", "pay", &token, "success", "--duration", "5s"]).code(0).stderr("");
    cb.is("pay", "open");
}

#[test]
fn check_tells_and_changes_nothing() {
    let cb = Cb::new();
    cb.run(["check", "pay"]).code(0).stdout("pay: closed (never used)\n").stderr("");
    assert_eq!(cb.status("pay")["known"], false, "a check makes no breaker");
    cb.run(["trip", "pay", "--for", "20ms"]).code(0);
    eventually("the trial is due", || cb.run(["check", "pay"]).status().code() == Some(0));
    let before = steady(&cb, "pay");
    cb.run(["check", "pay"]).code(0).stdout_has("a trial is due\n");
    assert_eq!(steady(&cb, "pay"), before);
    cb.run(["trip", "other"]).code(0);
    cb.run(["check", "other", "--open-exit-code", "33"]).code(33);
}

/// Three tokens that nobody reports reopen the breaker when the last lease ends,
/// and not when somebody looks: a loop around `cb check` gets on.
#[test]
fn who_only_looks_sees_the_open_period_end_after_lost_trials() {
    let cb = Cb::new();
    trial_due(&cb, "pay");
    for _ in 0..3 {
        allow(&cb, "pay", ["--permit-ttl", "1ms", "--open-for", "30ms"]);
        eventually("the lease runs out", || cb.status("pay")["half_open"]["in_flight"] == 0);
    }
    eventually("the trial is due", || cb.run(["check", "pay"]).status().code() == Some(0));
    cb.run(["check", "pay"]).code(0).stdout_has("a trial is due\n");
}

/// Runs these commands at the same time; their exit codes and what they said.
fn at_once(cb: &Cb, words: &[&str], count: usize) -> Vec<(Option<i32>, String)> {
    let children: Vec<_> = (0..count)
        .map(|_| {
            let mut command = cb.command(words);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            command.spawn().expect("cb starts")
        })
        .collect();
    let ended = children.into_iter().map(|child| child.wait_with_output().expect("cb ends"));
    ended
        .map(|out| {
            got_the_lock(&String::from_utf8_lossy(&out.stderr));
            (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned())
        })
        .collect()
}

#[test]
fn a_transition_is_told_to_exactly_one_of_many() {
    let cb = Cb::new();
    let said = at_once(&cb, &["trip", "pay"], 8);
    assert!(said.iter().all(|(code, _)| *code == Some(0)), "{said:?}");
    let made = said.iter().filter(|(_, text)| !text.contains("(state unchanged)")).count();
    assert_eq!((made, &cb.status("pay")["generation"]), (1, &1.into()), "{said:?}");
}

#[test]
fn one_trial_is_given_to_exactly_one_of_many() {
    let cb = Cb::new();
    trial_due(&cb, "pay");
    let said = at_once(&cb, &["allow", "pay"], 8);
    let tokens: Vec<&String> =
        said.iter().filter(|(code, _)| *code == Some(0)).map(|(_, text)| text).collect();
    assert_eq!(tokens.len(), 1, "{said:?}");
    assert!(said.iter().all(|(code, _)| matches!(code, Some(0 | 75))), "{said:?}");
    cb.run(["report", "pay", tokens[0].trim_end(), "success"]).code(0).stderr("");
    cb.is("pay", "closed");
}

/// A stdout that takes nothing.
fn full() -> std::process::Stdio {
    std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full").into()
}

#[test]
fn a_token_that_nobody_got_is_given_back() {
    let cb = Cb::new();
    trial_due(&cb, "pay");
    let mut command = cb.command(["allow", "pay"]);
    command.stdout(full());
    let ended = command.stderr(std::process::Stdio::piped()).spawn().expect("cb starts");
    let ran = Ran { output: ended.wait_with_output().expect("cb ends") };
    ran.code(125).stderr("cb: cannot write to stdout: No space left on device\n");
    let round = &cb.status("pay")["half_open"];
    assert_eq!([&round["in_flight"], &round["permitted"]], [0, 1]);
    allow(&cb, "pay", []);
}

#[test]
fn a_full_stdout_is_one_line_and_a_status() {
    let cb = Cb::new();
    cb.run(["trip", "pay"]).code(0);
    for words in [
        &["status"][..],
        &["status", "--json"],
        &["check", "pay"],
        &["trip", "pay"],
        &["reset", "pay"],
        &["hold", "pay", "disabled"],
        &["release", "pay"],
        &["rm", "pay"],
        &["simulate"],
    ] {
        let mut command = cb.command(words);
        command.stdout(full()).stderr(std::process::Stdio::piped());
        let child = command.spawn().expect("cb starts");
        let ran = Ran { output: child.wait_with_output().expect("cb ends") };
        ran.code(125).one_line("cb: cannot write to stdout: No space left on device");
    }
    assert_eq!(cb.status("pay")["known"], false, "what was asked for was done all the same");
}
