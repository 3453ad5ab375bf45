//! Probes again and again: `cb probe --watch`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::page::Page;
use super::{Reading, json_in, probed};
use crate::live::{Live, alive};
use crate::support::{Cb, Ran, eventually};

/// For a target that is looked at as often as it can be.
const OFTEN: &str = "interval = \"10ms\"\njitter = \"0%\"";

/// `cb probe --watch` with these words.
fn watching(cb: &Cb, words: &[&str]) -> Reading {
    let mut command = cb.command(["probe", "--watch"]);
    command.args(words);
    Reading::start(command)
}

/// Ends it by a signal, as a service manager does.
#[track_caller]
fn stopped(watch: Reading) -> Ran {
    watch.asks_to_end();
    watch.end().signal(libc::SIGTERM)
}

/// The lines, each up to what was found.
fn healths(text: &str) -> Vec<String> {
    let health = |line: &str| line.split(": ").take(2).collect::<Vec<_>>().join(": ");
    text.lines().map(health).collect()
}

#[test]
fn only_changes_are_said() {
    let page = Page::new();
    let cb = Cb::new();
    let target = page.url();
    let watch = watching(&cb, &["--http", &target, "--interval", "10ms"]);
    page.is_seen_more(10);
    page.says(503);
    page.is_seen_more(10);
    page.says(200);
    page.is_seen_more(10);
    let ran = stopped(watch).stderr("");
    let expected = ["healthy", "unhealthy", "healthy"].map(|health| format!("{target}: {health}"));
    assert_eq!(healths(&ran.stdout_text()), expected, "{ran}");
    assert!(!cb.store().exists(), "there is no breaker to tell");
}

#[test]
fn a_change_of_the_breaker_is_one() {
    let page = Page::new();
    let cb = Cb::new().config(&probed("pay", &page.url(), OFTEN));
    let mut watch = watching(&cb, &["pay"]);
    let up = watch.line();
    assert!(up.starts_with("pay: healthy: "), "{up}");
    page.says(503);
    let (down, opened) = (watch.line(), watch.line());
    assert!(down.starts_with("pay: unhealthy: HTTP 503") && !down.contains("breaker"), "{down}");
    let now = "; the breaker is open now (too many failures in a row)";
    assert!(opened.starts_with("pay: unhealthy: HTTP 503") && opened.ends_with(now), "{opened}");
    cb.is("pay", "open");
    stopped(watch).stdout("").stderr("");
}

#[test]
fn as_json_each_result_is_said() {
    let page = Page::new();
    let cb = Cb::new().config(&probed("pay", &page.url(), OFTEN));
    let mut watch = watching(&cb, &["--json", "pay"]);
    for _ in 0..12 {
        let one: Value = serde_json::from_str(&watch.line()).expect("JSON");
        assert_eq!((&one["breaker"], &one["health"]), (&"pay".into(), &"healthy".into()));
    }
    stopped(watch).stderr("");
    // Quiet, it says nothing, and still tells the breaker.
    let before = cb.status("pay")["totals"]["succeeded"].as_u64();
    let watch = watching(&cb, &["-q", "pay"]);
    page.is_seen_more(3);
    stopped(watch).stdout("").stderr("");
    assert!(cb.status("pay")["totals"]["succeeded"].as_u64() > before);
}

#[test]
fn one_that_is_down_has_an_interval_of_its_own() {
    let (up, down, patient) = (Page::new(), Page::down(), Page::new());
    let rarely_down = "interval = \"10ms\"\ndown_interval = \"1h\"\nfeed = false";
    let rarely_up = "interval = \"1h\"\ndown_interval = \"10ms\"\nfeed = false";
    let config = [
        probed("down", &down.url(), rarely_down),
        probed("patient", &patient.url(), rarely_up),
        probed("up", &up.url(), rarely_down),
    ];
    let cb = Cb::new().config(&config.concat());
    let watch = watching(&cb, &["--all"]);
    up.is_seen_more(50);
    eventually("all were seen", || down.looks() > 0 && patient.looks() > 0);
    up.is_seen_more(50);
    assert_eq!((down.looks(), patient.looks()), (1, 1));
    // The one that is well is looked at as often, whatever becomes of the others.
    let ran = stopped(watch).stderr("");
    let mut said = healths(&ran.stdout_text());
    said.sort();
    assert_eq!(said, ["down: unhealthy", "patient: healthy", "up: healthy"]);
    // What comes back to a target that is down is seen by its own interval.
    patient.says(503);
    let mut watch = watching(&cb, &["patient"]);
    assert!(watch.line().starts_with("patient: unhealthy"));
    patient.is_seen_more(20);
    patient.says(200);
    assert!(watch.line().starts_with("patient: healthy"));
    stopped(watch).stdout("");
}

#[test]
fn until_all_is_settled_it_looks_more_often() {
    let (page, other) = (Page::down(), Page::new());
    let slowly = "interval = \"1h\"\ndown_interval = \"1h\"\nfast_interval = \"10ms\"";
    let config = [probed("pay", &page.url(), slowly), probed("mail", &other.url(), OFTEN)];
    let cb = Cb::new().config(&config.concat());
    let watch = watching(&cb, &["--all"]);
    // Down and closed is not settled; down and open is.
    eventually("it opens", || cb.state("pay") == "open");
    other.is_seen_more(50);
    assert_eq!(page.looks(), 5);
    stopped(watch).stderr("");
    assert_eq!(cb.status("pay")["totals"]["failed"], 5);
}

#[test]
fn its_end_leaves_no_command_behind() {
    let cb = Cb::new();
    let pid_file = cb.path("pid");
    let script = format!("echo $$ > {0}.new; mv {0}.new {0}; sleep 1000; :", pid_file.display());
    let config = format!("[breaker.pay.probe]\ncommand = '''{script}'''\ntimeout = \"1h\"\n");
    let cb_with = cb.config(&config);
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let watch = Live::start(cb_with.command(["probe", "--watch", "pay"]));
        let pid = || fs::read_to_string(&pid_file).ok()?.trim().parse::<i32>().ok();
        eventually("the command runs", || pid().is_some());
        let command = pid().expect("it was there");
        assert!(alive(command));
        watch.send(signal);
        watch.end().signal(signal).stdout("").stderr("");
        eventually("the command is gone", || !alive(command));
        fs::remove_file(&pid_file).expect("the file");
    }
    let totals = &cb_with.status("pay")["totals"];
    assert_eq!((&totals["failed"], &totals["succeeded"]), (&0.into(), &0.into()));
}

#[test]
fn its_end_gives_a_trial_back() {
    let page = Page::new();
    let rules = "[breaker.pay]\nhalf_open_calls = 2\nsuccess_threshold = 2\n";
    let cb = Cb::new().config(&format!("{rules}{}", probed("pay", &page.url(), OFTEN)));
    cb.run(["trip", "pay", "--for", "1ms"]).code(0);
    eventually("a trial is due", || cb.status("pay")["trial_due"] == true);
    cb.exec("pay", ["true"]).code(0);
    page.holds();
    let watch = watching(&cb, &["pay"]);
    eventually("it has a trial", || cb.status("pay")["half_open"]["in_flight"] == 1);
    stopped(watch).stdout("").stderr("");
    let pay = cb.status("pay");
    assert_eq!((&pay["state"], &pay["half_open"]["in_flight"]), (&"half-open".into(), &0.into()));
    cb.exec("pay", ["true"]).code(0);
    cb.is("pay", "closed");
}

#[test]
fn the_latest_results_are_kept_for_others() {
    let (up, page) = (Page::new(), Page::new());
    let config = [probed("a", &up.url(), "interval = \"1h\""), probed("b", &page.url(), OFTEN)];
    let cb = Cb::new().config(&config.concat());
    let file = cb.path("latest.json");
    let watch = watching(&cb, &["--all", "--output", &file.display().to_string()]);
    let kept = |at: usize, name: &str, health: &str| {
        json_in(&file).is_some_and(|found| {
            found["probes"][at]["breaker"] == name && found["probes"][at]["health"] == health
        })
    };
    eventually("both are there", || kept(0, "a", "healthy") && kept(1, "b", "healthy"));
    page.says(503);
    eventually("the change is there", || kept(0, "a", "healthy") && kept(1, "b", "unhealthy"));
    page.says(200);
    eventually("so is the next", || kept(1, "b", "healthy"));
    stopped(watch).stderr("");
}

#[test]
fn what_came_last_is_kept_though_nothing_comes_after_it() {
    // Both results come at once, and the next only in an hour.
    let (a, b) = (Page::new(), Page::down());
    let hourly = "interval = \"1h\"\nfeed = false";
    let cb =
        Cb::new().config(&[probed("a", &a.url(), hourly), probed("b", &b.url(), hourly)].concat());
    let file = cb.path("latest.json");
    let watch = watching(&cb, &["--all", "--output", &file.display().to_string()]);
    eventually("both are there", || {
        json_in(&file).is_some_and(|found| {
            found["probes"][0]["health"] == "healthy" && found["probes"][1]["health"] == "unhealthy"
        })
    });
    assert_eq!((a.looks(), b.looks()), (1, 1));
    stopped(watch).stderr("");
}

/// The memory that a process has, in KiB.
#[track_caller]
fn rss_kib(watch: &Reading) -> i64 {
    let status = Path::new("/proc").join(watch.child.id().to_string()).join("status");
    let text = fs::read_to_string(status).expect("a process");
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).expect("its size");
    line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number")
}

#[test]
fn its_memory_does_not_grow() {
    let (up, down) = (Page::new(), Page::down());
    let mut config = String::new();
    for i in 0..20 {
        let page = if i == 0 { &down } else { &up };
        config.push_str(&probed(&format!("n{i}"), &page.url(), &format!("{OFTEN}\nfeed = false")));
    }
    let cb = Cb::new().config(&config);
    let file = cb.path("latest.json").display().to_string();
    let watch = watching(&cb, &["--all", "--output", &file]);
    up.is_seen_more(400);
    let before = rss_kib(&watch);
    up.is_seen_more(4000);
    let after = rss_kib(&watch);
    // 4000 results of a few hundred bytes would be far more.
    assert!(after - before < 512, "{before} KiB, then {after} KiB");
    stopped(watch).stderr("");
}
