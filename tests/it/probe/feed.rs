//! What a breaker is told of its probes, and what it makes of them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::page::Page;
use super::{json as answer, locked, probed};
use crate::live::Live;
use crate::support::{Cb, Ran, eventually, not_here};

/// A cb with a page for its breaker `pay`, and these settings of the breaker.
fn cb_and_page(settings: &str) -> (Cb, Page) {
    let page = Page::new();
    let config = format!("[breaker.pay]\n{settings}\n{}", probed("pay", &page.url(), ""));
    (Cb::new().config(&config), page)
}

/// Probes it; what it answers, as JSON.
#[track_caller]
fn probe(cb: &Cb, code: i32) -> Value {
    answer(&cb.run(["probe", "--json", "pay"]).code(code).stderr(""))
}

/// Opens it, and waits until its next call is a trial.
#[track_caller]
fn make_due(cb: &Cb) {
    cb.run(["trip", "pay", "--for", "1ms"]).code(0);
    eventually("a trial is due", || cb.status("pay")["trial_due"] == true);
}

/// What the breaker counted.
fn totals<const N: usize>(cb: &Cb, keys: [&str; N]) -> [u64; N] {
    let totals = &cb.status("pay")["totals"];
    keys.map(|key| totals[key].as_u64().expect("a number"))
}

#[test]
fn a_closed_one_counts_it_like_a_call() {
    let (cb, page) = cb_and_page("");
    let fed = |after: &str| {
        json!({"recorded": true, "state_before": "closed", "state_after": after,
               "effect": null, "retry_after_ms": null})
    };
    assert_eq!(probe(&cb, 0)["fed"], fed("closed"));
    page.says(503);
    for _ in 0..4 {
        assert_eq!(probe(&cb, 1)["fed"], fed("closed"));
    }
    // What calls and probes say goes into the same rules.
    cb.exec("pay", ["false"]).code(1);
    cb.is("pay", "open");
    assert_eq!(totals(&cb, ["admitted", "succeeded", "failed", "opened"]), [6, 1, 5, 1]);
    let last = &cb.status("pay")["last_probe"];
    assert_eq!((&last["outcome"], &last["slow"]), (&"failure".into(), &false.into()));
}

#[test]
fn five_failures_open_it_and_the_line_says_so() {
    let (cb, page) = cb_and_page("");
    page.says(500);
    for _ in 0..4 {
        let line = cb.run(["probe", "pay"]).code(1).stderr("").stdout_text();
        assert!(!line.contains("breaker"), "{line}");
    }
    let line = "; the breaker is open now (too many failures in a row)\n";
    cb.run(["probe", "pay"]).code(1).stdout_has(line);
    cb.run(["probe", "pay"]).code(1).stdout_has("; the breaker is open\n");
}

#[test]
fn a_slow_one_is_slow_like_a_call() {
    let (cb, page) = cb_and_page("slow_call = \"1ms\"\nslow_rate = \"100%\"\nmin_calls = 2");
    page.takes_ms(20);
    let one = probe(&cb, 0);
    assert_eq!(
        (&one["health"], &one["healthy"], &one["slow"]),
        (&"slow".into(), &true.into(), &true.into())
    );
    assert_eq!(probe(&cb, 0)["fed"]["state_after"], "open");
    assert_eq!(totals(&cb, ["succeeded", "slow"]), [2, 2]);
}

#[test]
fn good_ones_in_a_row_end_an_open_period() {
    for (settings, rise) in [("", 2), ("rise = 4", 4)] {
        let (cb, page) = cb_and_page(settings);
        cb.run(["trip", "pay", "--for", "1h"]).code(0);
        for _ in 1..rise {
            assert_eq!(probe(&cb, 0)["fed"]["effect"], Value::Null);
        }
        // A bad one breaks the row, and makes the period no longer.
        let before = cb.status("pay")["retry_at"].clone();
        page.says(503);
        assert_eq!(probe(&cb, 1)["fed"]["effect"], Value::Null);
        assert_eq!(cb.status("pay")["retry_at"], before);
        page.says(200);
        for _ in 1..rise {
            assert_eq!(probe(&cb, 0)["fed"]["effect"], Value::Null);
            cb.run(["check", "pay", "-q"]).code(75);
        }
        let fed = probe(&cb, 0)["fed"].clone();
        assert_eq!((&fed["effect"], &fed["recorded"]), (&"trial_due".into(), &false.into()));
        assert_eq!((&fed["state_after"], &fed["retry_after_ms"]), (&"open".into(), &0.into()));
        cb.run(["check", "pay", "-q"]).code(0);
        let nothing = totals(&cb, ["admitted", "succeeded", "failed", "rejected"]);
        assert_eq!(nothing, [0; 4], "looks are counted nowhere");
        // Probes alone never make it half-open; a call does, and closes it.
        assert_eq!(probe(&cb, 0)["fed"]["state_after"], "open");
        cb.exec("pay", ["true"]).code(0);
        cb.is("pay", "closed");
    }
}

#[test]
fn the_run_is_said_on_the_line_too() {
    let (cb, _page) = cb_and_page("rise = 1");
    cb.run(["trip", "pay", "--for", "1h"]).code(0);
    let due = "; the breaker is open, and its trial is due now\n";
    cb.run(["probe", "pay"]).code(0).stdout_has(due);
    cb.run(["reset", "pay"]).code(0);
    cb.run(["trip", "pay", "--for", "1h"]).code(0);
    // A flag is above the config.
    cb.run(["probe", "pay", "--rise", "2"]).code(0).stdout_has("; the breaker is open\n");
    cb.run(["probe", "pay", "--rise", "2"]).code(0).stdout_has(due);
}

#[test]
fn probes_that_close_let_what_waited_run() {
    let (cb, _page) = cb_and_page("probe_closes = true\nrise = 2");
    cb.run(["trip", "pay", "--for", "1h"]).code(0);
    let ran = cb.path("ran");
    let touch = format!("touch {}", ran.display());
    cb.run(["exec", "pay", "--on-open", "queue", "--", "sh", "-c", &touch]).code(76);
    assert_eq!(probe(&cb, 0)["fed"]["state_after"], "open");
    assert!(!ran.exists());
    let fed = probe(&cb, 0)["fed"].clone();
    assert_eq!((&fed["effect"], &fed["state_after"]), (&"closed".into(), &"closed".into()));
    assert_eq!((&fed["recorded"], &fed["state_before"]), (&false.into(), &"open".into()));
    eventually("what waited has run", || ran.exists());
    cb.is("pay", "closed");
}

#[test]
fn a_half_open_one_takes_it_as_a_trial_if_one_is_free() {
    let (cb, page) = cb_and_page("half_open_calls = 2\nsuccess_threshold = 2");
    make_due(&cb);
    // Due, and still open: a probe only looks.
    assert_eq!(probe(&cb, 0)["fed"]["state_after"], "open");
    cb.exec("pay", ["true"]).code(0);
    cb.is("pay", "half-open");
    let fed = probe(&cb, 0)["fed"].clone();
    assert_eq!((&fed["recorded"], &fed["state_after"]), (&true.into(), &"closed".into()));
    // A bad trial opens it again.
    make_due(&cb);
    cb.exec("pay", ["true"]).code(0);
    page.says(503);
    let fed = probe(&cb, 1)["fed"].clone();
    assert_eq!((&fed["recorded"], &fed["state_after"]), (&true.into(), &"open".into()));
}

#[test]
fn a_half_open_one_without_a_free_trial_is_only_looked_at() {
    let (cb, page) = cb_and_page("");
    make_due(&cb);
    let token = cb.run(["allow", "pay"]).code(0).stdout_text();
    let before = totals(&cb, ["admitted", "succeeded", "failed"]);
    for status in [200, 200, 200, 503] {
        page.says(status);
        let fed = probe(&cb, i32::from(status != 200))["fed"].clone();
        assert_eq!((&fed["recorded"], &fed["state_after"]), (&false.into(), &"half-open".into()));
    }
    assert_eq!(totals(&cb, ["admitted", "succeeded", "failed"]), before);
    cb.run(["report", "pay", token.trim(), "success"]).code(0);
    cb.is("pay", "closed");
}

#[test]
fn one_that_is_held_is_only_looked_at() {
    let (cb, page) = cb_and_page("rise = 1\nprobe_closes = true\nconsecutive_failures = 1");
    for hold in ["forced-open", "disabled", "metrics-only"] {
        cb.run(["hold", "pay", hold]).code(0);
        for (status, outcome) in [(200, "success"), (503, "failure")] {
            page.says_with(status, "Retry-After: 100\r\n", "");
            let fed = probe(&cb, i32::from(status != 200))["fed"].clone();
            assert_eq!(fed["recorded"], false, "{hold}");
            assert_eq!((&fed["effect"], &fed["state_after"]), (&Value::Null, &hold.into()));
            assert_eq!(cb.status("pay")["last_probe"]["outcome"], outcome, "{hold}");
        }
    }
    assert_eq!(totals(&cb, ["admitted", "succeeded", "failed", "opened"]), [0; 4]);
}

#[test]
fn a_server_that_says_when_is_asked_no_earlier_and_believed_so_far() {
    let (cb, page) =
        cb_and_page("open_for = \"100s\"\nopen_max = \"200s\"\nconsecutive_failures = 1");
    let left_s = |one: &Value| one["fed"]["retry_after_ms"].as_f64().expect("it is open") / 1e3;
    let busy = |seconds: &str| page.says_with(503, &format!("Retry-After: {seconds}\r\n"), "");
    // It becomes open, for longer than it would be.
    busy("150");
    let one = probe(&cb, 1);
    assert_eq!(one["retry_after_ms"], 150_000);
    assert_eq!(
        (&one["fed"]["effect"], &one["fed"]["recorded"]),
        (&"retry_later".into(), &true.into())
    );
    assert!(left_s(&one) > 110.0 && left_s(&one) <= 150.0, "{one}");
    // Never earlier.
    busy("1");
    let one = probe(&cb, 1);
    assert_eq!(one["fed"]["effect"], Value::Null);
    assert!(left_s(&one) > 110.0, "{one}");
    // Later, and no later than the longest period.
    busy("100000");
    let one = probe(&cb, 1);
    assert_eq!(one["fed"]["effect"], "retry_later");
    assert!(left_s(&one) > 160.0 && left_s(&one) <= 200.0, "{one}");
    let line = cb.run(["probe", "pay"]).code(1).stdout_text();
    assert!(line.ends_with("; the breaker is open\n"), "{line}");
    // Of no other status, and of nothing that is no such time.
    cb.run(["reset", "pay"]).code(0);
    for (status, header) in [(500, "150"), (503, "soon"), (503, "-5"), (503, "\u{1b}[2J")] {
        page.says_with(status, &format!("Retry-After: {header}\r\n"), "");
        let one = probe(&cb, 1);
        assert_eq!(one["retry_after_ms"], Value::Null, "{status} {header}");
        assert!(left_s(&one) <= 100.0, "{one}");
    }
}

#[test]
fn a_later_trial_is_said_on_the_line() {
    let (cb, page) = cb_and_page("");
    cb.run(["trip", "pay", "--for", "10s"]).code(0);
    page.says_with(429, "Retry-After: 300\r\n", "");
    let ran = cb.run(["probe", "pay"]).code(1).stderr("");
    ran.stdout_has("; the breaker stays open for ").stdout_has(", as the server asks\n");
}

/// The state, byte for byte; none where there is none.
fn stored(cb: &Cb) -> Option<Vec<u8>> {
    fs::read(cb.store().join("pay/state")).ok()
}

#[test]
fn where_nobody_is_to_hear_of_it_nothing_is_written() {
    let (cb, page) = cb_and_page("");
    cb.run(["probe", "pay", "--no-feed"]).code(0);
    cb.run(["probe", "--all", "--no-feed"]).code(0);
    cb.run(["probe", "--http", &page.url()]).code(0);
    page.says(503);
    cb.run(["probe", "pay", "--no-feed"]).code(1);
    cb.run(["probe", "--http", &page.url()]).code(1);
    let silent = format!("{}feed = false\n", probed("pay", &page.url(), ""));
    Cb::config(cb, &silent).run(["probe", "pay"]).code(1);
    let (cb, page) = cb_and_page("");
    assert!(!cb.store().exists());
    // Nor into a breaker that is there.
    cb.run(["trip", "pay", "--for", "1h"]).code(0);
    let before = stored(&cb);
    for _ in 0..3 {
        let ran = cb.run(["probe", "pay", "--no-feed", "--json"]).code(0);
        assert_eq!(answer(&ran)["fed"], Value::Null);
        cb.run(["probe", "--http", &page.url()]).code(0);
    }
    assert_eq!(stored(&cb), before);
}

/// What nothing is known of: said in one line, and counted nowhere.
#[track_caller]
fn check_unknown(probe: &[&str], why: &str) {
    let (cb, _page) = cb_and_page("consecutive_failures = 1");
    cb.exec("pay", ["true"]).code(0);
    let words = [&["probe", "pay"], probe].concat();
    cb.run(&words).code(125).stdout("").one_line("cb: pay: unknown: ").stderr_has(why);
    let pay = cb.status("pay");
    assert_eq!((&pay["state"], &pay["last_probe"]), (&"closed".into(), &Value::Null));
    assert_eq!(totals(&cb, ["succeeded", "failed"]), [1, 0]);
    assert_eq!(pay["window"]["calls"], 1);
    // Nor does it take the place of a good one, or break a row of them.
    cb.run(["trip", "pay", "--for", "1h"]).code(0);
    cb.run(["probe", "pay"]).code(0);
    cb.run(&words).code(125);
    cb.run(["probe", "pay"]).code(0).stdout_has("its trial is due now");
    // A trial that it took is free again.
    cb.exec("pay", ["true"]).code(0);
    make_due(&cb);
    cb.run(["allow", "pay"]).code(0);
    let mut json: Vec<&str> = vec!["probe", "pay", "--json"];
    json.extend(probe);
    let one = answer(&cb.run(json).code(125));
    assert_eq!((&one["healthy"], &one["health"]), (&Value::Null, &"unknown".into()));
    assert_eq!(one["fed"], Value::Null);
}

#[test]
fn what_is_not_known_is_not_told() {
    let why = "cannot run /nonexistent/check: command not found";
    check_unknown(&["--", "/nonexistent/check"], why);
    check_unknown(&["--", "/etc/passwd"], "cannot run /etc/passwd: not executable");
    check_unknown(&["--nagios-in", "--", "sh", "-c", "echo who knows; exit 3"], "who knows");
    let page = Page::new();
    let (plain, secure) = (page.url(), page.url().replacen("http", "https", 1));
    for (url, flag, value, why) in [
        (&secure, "--ca", "/etc/passwd", "/etc/passwd"),
        (&secure, "--ca", "/nonexistent.pem", "/nonexistent.pem"),
        (&secure, "--cert", "/nonexistent.pem", "/nonexistent.pem"),
        (&plain, "--header-env", "X: CB_IT_NOT_SET", "CB_IT_NOT_SET"),
        (&plain, "--header-file", "/nonexistent", "/nonexistent"),
        (&plain, "--body-file", "/nonexistent", "/nonexistent"),
    ] {
        check_unknown(&["--http", url, flag, value], why);
    }
    assert_eq!(page.looks(), 0, "it is asked for nothing");
}

#[test]
fn an_unknown_trial_is_given_back() {
    let (cb, _page) = cb_and_page("half_open_calls = 2\nsuccess_threshold = 2");
    make_due(&cb);
    cb.exec("pay", ["true"]).code(0);
    cb.run(["probe", "pay", "--", "/nonexistent/check"]).code(125);
    let half_open = &cb.status("pay")["half_open"];
    assert_eq!((&half_open["in_flight"], &half_open["failures"]), (&0.into(), &0.into()));
    cb.run(["probe", "pay"]).code(0);
    cb.is("pay", "closed");
}

/// A probe whose breaker cannot hear of it: the answers are as ever, and one line
/// says why.
#[track_caller]
fn check_unheard(cb: &Cb, page: &Page, why: &str) {
    for (status, code, health) in [(200, 0, "healthy"), (503, 1, "unhealthy")] {
        page.says(status);
        let ran = cb.run(["probe", "pay"]).code(code);
        ran.stdout_has(&format!("pay: {health}: HTTP {status}"))
            .one_line(why)
            .stderr_has("; the breaker does not hear of this probe\n");
        let ran = cb.run(["probe", "pay", "-q"]).code(code);
        ran.stdout("").stderr("");
        let ran: Ran = cb.run(["probe", "pay", "--json"]).code(code);
        assert_eq!(answer(&ran)["fed"], Value::Null);
    }
}

#[test]
fn a_store_that_takes_nothing_changes_no_answer() {
    let (cb, page) = cb_and_page("");
    let cb = cb.env("CB_STORE", "/dev/null/store");
    check_unheard(&cb, &page, "/dev/null/store");
    let (cb, page) = cb_and_page("");
    let cb = cb.env("CB_STORE", "/proc/cb");
    check_unheard(&cb, &page, "/proc/cb");
}

#[test]
fn a_store_that_cannot_be_written_changes_no_answer() {
    if rustix::process::geteuid().is_root() {
        return not_here("root writes wherever it wants");
    }
    use std::os::unix::fs::PermissionsExt;
    let (cb, page) = cb_and_page("");
    cb.exec("pay", ["true"]).code(0);
    for place in [cb.store().join("pay/state"), cb.store().join("pay"), cb.store()] {
        let mode = if place.is_dir() { 0o500 } else { 0o400 };
        fs::set_permissions(place, fs::Permissions::from_mode(mode)).expect("a mode");
    }
    check_unheard(&cb, &page, "pay");
    fs::set_permissions(cb.store(), fs::Permissions::from_mode(0o700)).expect("a mode");
    fs::set_permissions(cb.store().join("pay"), fs::Permissions::from_mode(0o700)).expect("a mode");
}

#[test]
fn a_state_that_is_not_its_own_changes_no_answer() {
    let (cb, page) = cb_and_page("");
    cb.exec("pay", ["true"]).code(0);
    let state = cb.store().join("pay/state");
    fs::remove_file(&state).expect("a state");
    std::os::unix::fs::symlink("elsewhere", &state).expect("a link");
    check_unheard(&cb, &page, "pay/state");
    assert!(!cb.store().join("pay/elsewhere").exists());
}

#[test]
fn a_state_that_is_broken_is_put_aside_and_begun_anew() {
    let (cb, _page) = cb_and_page("");
    cb.exec("pay", ["true"]).code(0);
    fs::write(cb.store().join("pay/state"), "no state").expect("a state");
    let ran = cb.run(["probe", "pay"]).code(0).stdout_has("pay: healthy: HTTP 200");
    ran.one_line("was corrupt: kept as ");
    assert_eq!(totals(&cb, ["admitted", "succeeded"]), [1, 1]);
}

#[test]
fn a_breaker_that_is_locked_changes_no_answer() {
    let (cb, page) = cb_and_page("");
    cb.exec("pay", ["true"]).code(0);
    let held = locked(&cb, "pay");
    check_unheard(&cb, &page, "is locked by another process");
    drop(held);
    assert_eq!(totals(&cb, ["admitted"]), [1]);
}

#[test]
fn a_breaker_that_is_removed_meanwhile_stays_so() {
    let (cb, page) = cb_and_page("");
    cb.exec("pay", ["true"]).code(0);
    page.holds();
    let probe = Live::start(cb.command(["probe", "pay"]));
    eventually("it asks", || page.looks() == 1);
    cb.run(["rm", "pay"]).code(0);
    page.lets_go();
    probe.end().code(0).stdout_has("pay: healthy: ").stderr("");
    assert!(!cb.store().join("pay").exists());
}

#[test]
fn the_trial_of_one_that_is_killed_is_free_again() {
    let (cb, page) = cb_and_page("half_open_calls = 2\nsuccess_threshold = 2\npermit_ttl = \"1h\"");
    make_due(&cb);
    cb.exec("pay", ["true"]).code(0);
    page.holds();
    let probe = Live::start(cb.command(["probe", "pay"]));
    eventually("it asks", || page.looks() == 1);
    assert_eq!(cb.status("pay")["half_open"]["in_flight"], 1);
    cb.run(["check", "pay", "-q"]).code(75);
    probe.send(libc::SIGKILL);
    probe.end().signal(libc::SIGKILL);
    cb.exec("pay", ["true"]).code(0);
    cb.is("pay", "closed");
}

#[test]
fn the_end_of_one_by_a_signal_gives_its_trial_back() {
    let (cb, page) = cb_and_page("half_open_calls = 2\nsuccess_threshold = 2");
    make_due(&cb);
    cb.exec("pay", ["true"]).code(0);
    page.holds();
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let looks = page.looks();
        let probe = Live::start(cb.command(["probe", "pay"]));
        eventually("it asks", || page.looks() > looks);
        assert_eq!(cb.status("pay")["half_open"]["in_flight"], 1);
        probe.send(signal);
        probe.end().signal(signal).stdout("").stderr("");
        assert_eq!(cb.status("pay")["half_open"]["in_flight"], 0);
    }
    let permits = fs::read_dir(cb.store().join("pay")).expect("a breaker");
    let is_permit = |path: &Path| path.to_string_lossy().contains("/permit-");
    let left = permits.filter_map(Result::ok).filter(|entry| is_permit(&entry.path()));
    assert_eq!(left.count(), 0, "a file of a permit is left");
}
