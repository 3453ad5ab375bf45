//! Many probes side by side: `cb probe --all`.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use super::page::Page;
use super::{Reading, json_in, locked, probed};
use crate::pty::Pty;
use crate::support::{Cb, Ran, binary};

/// A cb with a probe for each of these names, all of the same page.
fn all_of(names: &[&str], page: &Page) -> Cb {
    let sections = names.iter().map(|name| probed(name, &page.url(), ""));
    Cb::new().config(&sections.collect::<String>())
}

/// The names of lines of results, in their order.
fn names_of(lines: &str) -> Vec<&str> {
    lines.lines().map(|line| line.split([':', ' ']).next().unwrap_or_default()).collect()
}

/// The lines of results, and the table with the line below it.
#[track_caller]
fn parts(ran: &Ran) -> (String, String) {
    let text = ran.stdout_text();
    let (lines, table) = text.split_once("\n\n").expect("a table below the lines");
    (lines.to_owned(), table.to_owned())
}

#[test]
fn results_come_as_they_are_found_and_sorted_at_the_end() {
    let (slow, quick) = (Page::new(), Page::new());
    let config = [
        probed("a", &slow.url(), "timeout = \"1m\""),
        probed("c", &quick.url(), ""),
        probed("b", &quick.url(), ""),
    ];
    let cb = Cb::new().config(&config.concat());
    slow.holds();
    let mut all = Reading::start(cb.command(["probe", "--all"]));
    let mut first = [all.line(), all.line()];
    first.sort();
    assert!(first[0].starts_with("b: healthy: HTTP 200 in "), "{first:?}");
    assert!(first[1].starts_with("c: healthy: HTTP 200 in "), "{first:?}");
    slow.says(500);
    slow.lets_go();
    assert!(all.line().starts_with("a: unhealthy: "));
    let rest = all.end().code(1).stderr("");
    let text = rest.stdout_text();
    let table = text.strip_prefix('\n').expect("an empty line");
    assert_eq!(names_of(table), ["NAME", "a", "b", "c", "", "3"], "{rest}");
    rest.stdout_has("\n3 probed: 2 healthy, 1 unhealthy\n");
}

#[test]
fn the_exit_status_is_that_of_the_worst() {
    let (up, down) = (Page::new(), Page::down());
    let missing = "command = [\"/nonexistent/check\"]\n";
    let unknown = format!("[breaker.unknown.probe]\n{missing}");
    let sections = [probed("up", &up.url(), ""), probed("down", &down.url(), ""), unknown];
    let cb = Cb::new().config(&sections.concat());
    for (names, code, nagios) in [
        (&["up"][..], 0, 0),
        (&["up", "down"], 1, 2),
        (&["up", "unknown"], 125, 3),
        (&["up", "down", "unknown"], 1, 2),
    ] {
        let words =
            |more: &[&'static str]| [&["probe", "--no-feed", "--all"], more, names].concat();
        let ran = cb.run(words(&[])).code(code);
        let (lines, table) = parts(&ran);
        assert_eq!(table.lines().count(), names.len() + 3, "{ran}");
        // Of the one that nothing is known of, stderr tells.
        let known = names.iter().filter(|name| **name != "unknown").count();
        assert_eq!(lines.lines().count(), known, "{ran}");
        let told = ran.stderr_text();
        assert_eq!(told.contains("unknown: cannot run /nonexistent/check"), known < names.len());
        cb.run(words(&["--quiet"])).code(code).stdout("");
        cb.run(words(&["--nagios"])).code(nagios);
    }
}

#[test]
fn names_and_patterns_choose() {
    let page = Page::new();
    let config = ["pay-eu", "pay-us", "mail"].map(|name| probed(name, &page.url(), ""));
    let cb = Cb::new().config(&format!("{}[breaker.pay-none]\nrise = 3\n", config.concat()));
    let chosen = |words: &[&str]| {
        let ran = cb.run([&["probe"], words].concat()).code(0);
        let (_, table) = parts(&ran);
        let names = names_of(&table);
        names[1..names.len() - 2].join(" ")
    };
    assert_eq!(chosen(&["--all"]), "mail pay-eu pay-us");
    assert_eq!(chosen(&["--all", "pay*"]), "pay-eu pay-us");
    assert_eq!(chosen(&["pay-*"]), "pay-eu pay-us");
    assert_eq!(chosen(&["pay-us", "mail", "*us"]), "mail pay-us");
    let nobody = "no breaker like 'x*' has a probe; give it one in the config file: ";
    cb.run(["probe", "x*"]).code(125).stdout("").one_line(nobody);
    cb.run(["probe", "--all", "x*"]).code(125).stdout("").one_line(nobody);
    cb.run(["probe", "mail", "pay-none"]).code(125).stdout("").one_line("no probe for 'pay-none'");
    Cb::new().run(["probe", "--all"]).code(125).one_line("no breaker has a probe");
}

#[test]
fn no_more_than_so_many_are_asked_at_once() {
    let names: Vec<String> = (0..24).map(|i| format!("n{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (word, at_once_max) in [("1", 1), ("3", 3), ("1024", 24)] {
        let page = Page::new();
        page.takes_ms(20);
        let cb = all_of(&names, &page);
        let ran = cb.run(["probe", "--all", "--no-feed", "--concurrency", word]).code(0);
        ran.stdout_has("\n24 probed: 24 healthy\n");
        assert_eq!(page.looks(), 24);
        let most = page.most_at_once();
        assert!(most <= at_once_max && (at_once_max == 1 || most > 1), "{most} at once");
    }
    let cb = all_of(&["a"], &Page::new());
    for word in ["0", "1025", "many"] {
        let ran = cb.run(["probe", "--all", "--concurrency", word]).code(125).stdout("");
        ran.one_line(&format!("--concurrency '{word}': "));
    }
}

#[test]
fn each_line_of_json_is_whole() {
    let (up, down) = (Page::new(), Page::down());
    let sections = ["a", "b"].map(|name| probed(name, &up.url(), ""));
    let cb = Cb::new().config(&format!("{}{}", sections.concat(), probed("c", &down.url(), "")));
    let ran = cb.run(["probe", "--all", "--json"]).code(1).stderr("");
    let text = ran.stdout_text();
    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut found: Vec<_> = lines.iter().map(|one| (&one["breaker"], &one["healthy"])).collect();
    found.sort_by_key(|(name, _)| name.to_string());
    let expected = [("a", true), ("b", true), ("c", false)].map(|(a, b)| (a.into(), b.into()));
    assert_eq!(found, expected.iter().map(|(a, b): &(Value, Value)| (a, b)).collect::<Vec<_>>());
    assert!(lines.iter().all(|one| one["schema"] == "cb.probe/1"));
}

#[test]
fn who_reads_the_output_file_never_sees_half_of_one() {
    let names: Vec<String> = (0..40).map(|i| format!("n{i:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let page = Page::new();
    let cb = all_of(&names, &page);
    let file = cb.path("probes.json");
    fs::write(&file, "{\"probes\":[]}").expect("a file from before");
    let word = file.display().to_string();
    let over = AtomicBool::new(false);
    let reads = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !over.load(Ordering::SeqCst) {
                let found = json_in(&file).expect("a whole file");
                assert!(found["probes"].as_array().expect("a list").len() <= 40);
                reads += 1;
            }
            reads
        });
        for _ in 0..10 {
            cb.run(["probe", "--all", "--no-feed", "-q", "--output", &word]).code(0).stderr("");
        }
        over.store(true, Ordering::SeqCst);
        reader.join().expect("it saw whole files")
    });
    assert!(reads > 10);
    let last = json_in(&file).expect("a whole file");
    assert_eq!(last["schema"], "cb.probes/1");
    let probes = last["probes"].as_array().expect("a list");
    let kept: Vec<_> = probes.iter().map(|one| one["breaker"].as_str().unwrap_or("")).collect();
    assert_eq!(kept, names);
    let left = fs::read_dir(cb.path("")).expect("the directory").filter_map(Result::ok);
    let left = left.filter(|entry| entry.file_name().to_string_lossy().starts_with(".cb-"));
    assert_eq!(left.count(), 0, "a temporary file is left");
}

#[test]
fn an_output_that_cannot_be_written_is_said_and_the_answer_is_there() {
    let page = Page::new();
    let cb = all_of(&["a", "b"], &page);
    let nowhere = cb.path("none/probes.json").display().to_string();
    let ran = cb.run(["probe", "--all", "--output", &nowhere]).code(0);
    ran.stdout_has("2 probed: 2 healthy").one_line("none/probes.json");
    let directory = cb.path("home").display().to_string();
    for (place, why) in [(directory.as_str(), "no regular file"), ("/dev/null", "no regular file")]
    {
        let ran = cb.run(["probe", "--all", "--output", place]).code(125).stdout("");
        ran.one_line(&format!("--output '{place}': {why}; allowed: a file"));
    }
}

#[test]
fn many_in_the_words_of_nagios() {
    let (up, down) = (Page::new(), Page::down());
    let sections = [probed("a", &up.url(), ""), probed("b", &down.url(), "")];
    let cb = Cb::new().config(&sections.concat());
    let ran = cb.run(["probe", "--all", "--nagios"]).code(2).stderr("");
    let text = ran.stdout_text();
    let lines: Vec<_> = text.lines().collect();
    let first = "PROBE CRITICAL: 2 probed: 1 healthy, 1 unhealthy | healthy=1;;;0;2";
    assert_eq!((lines.len(), lines[0]), (2, first), "{ran}");
    assert!(lines[1].starts_with("b: unhealthy: HTTP 503 "), "{ran}");
    down.says(200);
    let well = "PROBE OK: 2 probed: 2 healthy | healthy=2;;;0;2\n";
    cb.run(["probe", "--all", "--nagios"]).code(0).stdout(well);
}

#[test]
fn how_far_it_is_is_shown_on_a_terminal_only() {
    let (slow, quick) = (Page::new(), Page::down());
    let config = [probed("a", &slow.url(), "timeout = \"1m\""), probed("b", &quick.url(), "")];
    let cb = Cb::new().config(&config.concat());
    slow.holds();
    let mut command = cb.command(["probe", "--all", "--no-feed"]);
    command.env("TERM", "xterm");
    let mut pty = Pty::start(command);
    pty.sees("b: unhealthy: HTTP 503");
    pty.sees("probed 1 of 2, 1 not healthy");
    slow.lets_go();
    // It is taken away before the next line.
    pty.sees("\r\u{1b}[2Ka: healthy: HTTP 200");
    pty.sees("2 probed: 1 healthy, 1 unhealthy");
    assert_eq!(pty.end().code(), Some(1));
    let ran = cb.run(["probe", "--all", "--no-feed"]).code(1).stderr("");
    assert!(!ran.stdout_text().contains('\u{1b}'), "{ran}");
    // Where a terminal cannot draw, and where nothing is to be said.
    for (more, term) in [(&[][..], "dumb"), (&["-q"], "xterm")] {
        let mut shell = Command::new("sh");
        cb.environ(&mut shell);
        shell.env("TERM", term).args(["-c", "\"$0\" \"$@\"; echo ended with $?"]);
        shell.arg(binary()).args(["probe", "--all", "--no-feed"]).args(more);
        let mut pty = Pty::start(shell);
        pty.sees("ended with 1");
        assert!(!pty.shown().contains("probed 1 of 2"), "{}", pty.shown());
    }
}

#[test]
fn locks_that_somebody_holds_take_nothing_from_the_time_of_others() {
    let page = Page::new();
    let names = ["a", "b", "c", "d", "e", "f"];
    let sections = names.map(|name| probed(name, &page.url(), "timeout = \"800ms\""));
    let cb = Cb::new().config(&sections.concat());
    for name in ["b", "d"] {
        cb.exec(name, ["true"]).code(0);
    }
    let _held = [locked(&cb, "b"), locked(&cb, "d")];
    let ran = cb.run(["probe", "--all"]).code(0);
    ran.stdout_has("\n6 probed: 6 healthy\n");
}

#[test]
fn a_lock_that_somebody_holds_keeps_the_breaker_from_hearing_of_it() {
    let page = Page::new();
    let cb = all_of(&["a", "b"], &page);
    cb.exec("a", ["true"]).code(0);
    let held = locked(&cb, "a");
    let ran = cb.run(["probe", "--all"]).code(0);
    let ran = ran.stdout_has("\n2 probed: 2 healthy\n");
    ran.one_line("is locked by another process")
        .stderr_has("; the breaker does not hear of this probe");
    drop(held);
    assert_eq!(cb.status("a")["totals"]["admitted"], 1);
    assert_eq!(cb.status("b")["totals"]["admitted"], 1);
}
