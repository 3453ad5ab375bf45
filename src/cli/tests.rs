//! Words in, words out.

use super::*;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

fn read(words: &[&str]) -> Result<Words, Stop> {
    parse(std::iter::once("cb").chain(words.iter().copied()).map(OsString::from).collect())
}

#[track_caller]
fn exec_of(words: &[&str]) -> ExecWords {
    match read(words) {
        Ok(Words::Exec(words)) => words,
        other => panic!("{words:?}: {other:?}"),
    }
}

#[track_caller]
fn check_exec(words: &[&str], name: &str, command: &[&str]) {
    let exec = exec_of(words);
    assert_eq!((exec.name.to_str(), &exec.command), (Some(name), &os(command)), "{words:?}");
}

fn os(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[test]
fn the_whole_tree_is_sound() {
    command().debug_assert();
}

#[test]
fn options_stop_at_the_command() {
    check_exec(&["exec", "api", "true"], "api", &["true"]);
    check_exec(&["exec", "api", "--", "true"], "api", &["true"]);
    check_exec(&["exec", "--", "api", "true"], "api", &["true"]);
    check_exec(&["exec", "--", "api", "--", "true"], "api", &["true"]);
    check_exec(&["exec", "-q", "api", "--", "true", "-q"], "api", &["true", "-q"]);
    check_exec(&["exec", "api", "-q", "true", "-q"], "api", &["true", "-q"]);
    check_exec(&["exec", "api", "true", "--", "-x"], "api", &["true", "--", "-x"]);
    check_exec(&["exec", "api", "--", "true", "--", "--"], "api", &["true", "--", "--"]);
    check_exec(&["exec", "api", "--", "--", "true"], "api", &["--", "true"]);
    check_exec(&["exec", "--", "api", "--", "--", "true"], "api", &["--", "true"]);
    check_exec(&["exec", "api", "--", "--help"], "api", &["--help"]);
    check_exec(&["exec", "api", "ls", "--help"], "api", &["ls", "--help"]);
    check_exec(&["exec", "api", "ls", "-h", "-V"], "api", &["ls", "-h", "-V"]);
    check_exec(&["exec", "api", "ls", "--timeout", "5"], "api", &["ls", "--timeout", "5"]);
    check_exec(&["exec", "api", "--timeout", "5", "ls", ""], "api", &["ls", ""]);
    check_exec(&["exec", "api", "--", "", ""], "api", &["", ""]);
    check_exec(&["exec", "api", "status"], "api", &["status"]);
    check_exec(&["exec", "api", "help"], "api", &["help"]);
    check_exec(&["exec", "help", "x"], "help", &["x"]);
    check_exec(&["--store", "d", "exec", "api", "x"], "api", &["x"]);
    check_exec(&["--store=d", "--config", "f", "exec", "api", "x"], "api", &["x"]);
}

#[test]
fn arguments_that_are_no_text_stay_as_they_are() {
    let odd = OsString::from_vec(b"\xff\xfe-\x01".to_vec());
    let mut args = os(&["cb", "exec", "api", "--", "printf"]);
    args.push(odd.clone());
    let Ok(Words::Exec(words)) = parse(args) else { panic!("not understood") };
    assert_eq!(words.command[1], odd);
    let args = vec!["cb".into(), "exec".into(), odd.clone(), "x".into()];
    let Ok(Words::Exec(words)) = parse(args) else { panic!("not understood") };
    assert_eq!(words.name.as_bytes(), odd.as_bytes());
}

#[test]
fn flags_come_out_by_key_and_the_last_one_counts() {
    let words = exec_of(&[
        "exec",
        "--open-for",
        "5",
        "-k",
        "1",
        "api",
        "--window=60s",
        "--open-for",
        "-7",
        "x",
    ]);
    let expected: Vec<Flag> =
        vec![("window", "60s".into()), ("open_for", "-7".into()), ("kill_after", "1".into())];
    assert_eq!(words.flags, expected);
    let words = exec_of(&["exec", "--open-for", "-5s", "--timeout", "--", "api", "x"]);
    assert_eq!(words.flags, vec![("open_for", "-5s".into()), ("timeout", "--".into())]);
    let words = exec_of(&["exec", "--timeout", "", "--ignore-codes=", "api", "x"]);
    assert_eq!(words.flags, vec![("timeout", "".into()), ("ignore_codes", "".into())]);
}

#[test]
fn a_flag_of_a_chain_can_come_again_and_keeps_its_order() {
    let args = ["--on-open", "cache", "--retries", "1", "--on-open=run:x", "--retries=2"];
    let flags: Vec<Flag> =
        vec![("retries", "2".into()), ("on_open", "cache".into()), ("on_open", "run:x".into())];
    let words = exec_of(&[&["exec"], &args[..], &["api", "x"]].concat());
    assert_eq!(words.flags, flags);
    // The same, past the reader of plain words.
    let words = exec_of(&[&["exec", "-k9"], &args[..], &["api", "x"]].concat());
    assert_eq!(words.flags[0], ("kill_after", "9".into()));
    assert_eq!(words.flags[1..], flags);
}

#[test]
fn every_command_with_policy_flags_takes_all_of_them() {
    let starts =
        [&["check"][..], &["allow"], &["queue", "run"], &["queue", "add"]].map(<[&str]>::to_vec);
    for start in starts {
        let rest: &[&str] = if start.contains(&"add") { &["api", "x"] } else { &["api"] };
        for flag in POLICY_FLAGS.iter().filter(|flag| flag.heading != flags::PROBES) {
            let long = format!("--{}", flag.long);
            let found = read(&[&start[..], &[&long, "5"], rest].concat());
            assert!(found.is_ok(), "{start:?} {long}: {found:?}");
        }
    }
}

#[test]
fn help_shows_a_command_the_flags_that_say_something_to_it() {
    let shows = |words: &[&str], flag: &str| match read(&[words, &["--help"]].concat()) {
        Err(Stop::Text(text)) => text.to_string().contains(&format!("--{flag} ")),
        other => panic!("{words:?}: {other:?}"),
    };
    for flag in &POLICY_FLAGS {
        assert_eq!(shows(&["exec"], flag.long), flag.heading != flags::PROBES, "{}", flag.long);
        assert_eq!(shows(&["check"], flag.long), flag.heading == "Policy", "{}", flag.long);
    }
    assert!(shows(&["queue", "run"], "max-attempts") && !shows(&["queue", "run"], "on-open"));
    assert!(!shows(&["queue", "run"], "background") && !shows(&["queue", "run"], "worker"));
}

#[test]
fn switches_and_places() {
    let words = exec_of(&[
        "--store",
        "a",
        "exec",
        "--store",
        "b",
        "--config",
        "c",
        "--result-file",
        "r",
        "--result-fd",
        "3",
        "--foreground",
        "--die-with-parent",
        "--quiet",
        "api",
        "x",
    ]);
    assert_eq!(words.places, Places { store: Some("b".into()), config: Some("c".into()) });
    assert_eq!((words.result_file, words.result_fd), (Some("r".into()), Some("3".into())));
    assert!(words.foreground && words.die_with_parent && words.quiet);
    assert!(!words.hold_stdout && !words.idempotent && words.key.is_none());
    let words = exec_of(&["exec", "--hold-stdout", "--idempotent", "--key=k", "api", "x"]);
    assert!(words.hold_stdout && words.idempotent);
    assert_eq!(words.key, Some("k".into()));
    let words = exec_of(&["--store", "a", "exec", "api", "x"]);
    assert_eq!(words.places.store, Some("a".into()));
    assert!(!words.foreground && !words.die_with_parent && !words.quiet);
}

#[track_caller]
fn check_words(words: &[&str], expected: Words) {
    assert_eq!(read(words).expect("understood"), expected, "{words:?}");
}

fn manual_of(name: &str) -> ManualWords {
    ManualWords {
        places: Places::default(),
        name: name.into(),
        for_: None,
        reason: None,
        quiet: false,
    }
}

#[test]
fn the_commands_of_people() {
    let dressed = ManualWords {
        for_: Some("1h".into()),
        reason: Some("x y".into()),
        quiet: true,
        ..manual_of("api")
    };
    let dress = ["--for", "1h", "--reason", "x y", "-q"];
    check_words(&[&["trip", "api"][..], &dress].concat(), Words::Trip(dressed.clone()));
    check_words(&["reset", "api"], Words::Reset(manual_of("api")));
    check_words(&["release", "api"], Words::Release(manual_of("api")));
    check_words(&["rm", "api"], Words::Rm(manual_of("api")));
    let hold = Words::Hold(dressed, "disabled".into());
    check_words(&[&["hold", "api", "disabled"][..], &dress].concat(), hold);
}

#[test]
fn the_other_commands() {
    let places = Places::default;
    check_words(
        &["status", "a", "b*", "--json"],
        Words::Status(StatusWords {
            places: places(),
            names: os(&["a", "b*"]),
            json: true,
            check: None,
        }),
    );
    let ask = AskWords {
        places: places(),
        name: "a".into(),
        flags: vec![("window", "9".into())],
        quiet: false,
    };
    check_words(&["check", "a", "--window", "9"], Words::Check(ask.clone()));
    check_words(&["allow", "a", "--window", "9"], Words::Allow(ask));
    check_words(
        &["report", "a", "t", "failure", "--duration", "2"],
        Words::Report(ReportWords {
            places: places(),
            name: "a".into(),
            token: "t".into(),
            outcome: "failure".into(),
            duration: Some("2".into()),
        }),
    );
    check_words(
        &["simulate", "--policy", "a", "--set", "x=1", "--set", "y=2", "--seed", "4", "-"],
        Words::Simulate(SimulateWords {
            places: places(),
            policy: Some("a".into()),
            set: os(&["x=1", "y=2"]),
            seed: Some("4".into()),
            json: false,
            trace: Some("-".into()),
        }),
    );
    let show = ConfigWhat::Show { name: "a".into(), json: true };
    let from = |file: &str| Places { config: Some(file.into()), store: None };
    check_words(
        &["config", "show", "a", "--json", "--config", "f"],
        Words::Config(ConfigWords { places: from("f"), what: show }),
    );
    check_words(
        &["config", "--config", "f", "check"],
        Words::Config(ConfigWords { places: from("f"), what: ConfigWhat::Check }),
    );
    check_words(&["completions", "fish"], Words::Completions("fish".into()));
    check_words(&["man"], Words::Man(ManWords { command: None, dir: None }));
    check_words(&["man", "exec"], Words::Man(ManWords { command: Some("exec".into()), dir: None }));
}

#[track_caller]
fn check_queue(words: &[&str], what: QueueWhat) {
    let places = Places { store: Some("s".into()), config: None };
    check_words(
        &[&["queue", "--store", "s"], words].concat(),
        Words::Queue(QueueWords { places, what }),
    );
}

#[test]
fn the_commands_of_the_queue() {
    let add = |command: &[&str]| QueueAdd {
        name: "a".into(),
        command: os(command),
        flags: vec![("timeout", "5".into())],
        key: Some("k".into()),
        idempotent: true,
    };
    let dress = ["add", "--key", "k", "--idempotent", "--timeout=5"];
    let added = |words: &[&str], command: &[&str]| {
        check_queue(&[&dress[..], words].concat(), QueueWhat::Add(add(command)));
    };
    added(&["a", "--", "x", "--key", "-q"], &["x", "--key", "-q"]);
    added(&["a", "x", "--", "y"], &["x", "--", "y"]);
    added(&["--", "a", "--", "x"], &["x"]);
    added(&["a", "--", "--", "x"], &["--", "x"]);
    check_queue(
        &["list", "a", "b*", "--state", "failed", "--state=doubt", "--json"],
        QueueWhat::List {
            names: os(&["a", "b*"]),
            states: vec!["failed".into(), "doubt".into()],
            json: true,
        },
    );
    check_queue(
        &["show", "7", "--reveal"],
        QueueWhat::Show { id: "7".into(), reveal: true, json: false },
    );
    let run = QueueRun {
        name: "a".into(),
        flags: vec![("max_attempts", "3".into())],
        rate: Some("10/s".into()),
        jobs: Some("4".into()),
        watch: true,
        quiet: true,
        background: false,
        worker: false,
    };
    let words = ["run", "a", "--rate", "10/s", "--jobs=4", "--watch", "-q", "--max-attempts=3"];
    check_queue(&words, QueueWhat::Run(run.clone()));
    let hidden = QueueRun { background: true, worker: true, ..run };
    check_queue(&[&words[..], &["--background", "--worker"]].concat(), QueueWhat::Run(hidden));
    check_queue(&["retry", "1", "2"], QueueWhat::Retry { ids: os(&["1", "2"]) });
    check_queue(&["drop", "1"], QueueWhat::Drop { ids: os(&["1"]) });
    check_queue(
        &["purge", "a", "--state", "done"],
        QueueWhat::Purge { name: "a".into(), states: vec!["done".into()] },
    );
}

#[test]
fn the_commands_of_the_cache() {
    let cache = |words: &[&str], what| {
        let words = [&["--config", "f", "cache"], words].concat();
        let places = Places { config: Some("f".into()), store: None };
        check_words(&words, Words::Cache(CacheWords { places, what }));
    };
    cache(&["list", "a*", "--json"], CacheWhat::List { names: os(&["a*"]), json: true });
    cache(&["show", "a", "3f"], CacheWhat::Show { name: "a".into(), key: "3f".into() });
    cache(&["drop", "a", "3", "4"], CacheWhat::Drop { name: "a".into(), keys: os(&["3", "4"]) });
    cache(&["drop", "a"], CacheWhat::Drop { name: "a".into(), keys: Vec::new() });
}

#[test]
fn no_argument_of_a_queued_command_is_in_debug_output() {
    let words = read(&["queue", "add", "a", "--", "x", "--token=secret"]).expect("understood");
    assert!(!format!("{words:?}").contains("secret"));
}

#[track_caller]
fn check_usage(words: &[&str], expected: &str) {
    match read(words) {
        Err(Stop::Usage(message)) => {
            assert_eq!(message, expected, "{words:?}");
            assert!(!message.contains(char::is_control));
        }
        other => panic!("{words:?}: {other:?}"),
    }
}

#[test]
fn what_is_not_understood_is_told_in_one_line() {
    check_usage(
        &["exec", "api"],
        "exec needs COMMAND, for example: cb exec api -- curl -fsS https://api.example.com; see \
         'cb exec --help'",
    );
    check_usage(
        &["exec"],
        "exec needs NAME and COMMAND, for example: cb exec api -- curl -fsS \
         https://api.example.com; see 'cb exec --help'",
    );
    check_usage(
        &["exec", "--timeuot", "5", "api", "x"],
        "unexpected argument '--timeuot'; did you mean '--timeout'?; see 'cb exec --help'",
    );
    check_usage(&["stauts"], "no such command: 'stauts'; did you mean 'status'?; see 'cb --help'");
    check_usage(&["frobnicate"], "no such command: 'frobnicate'; see 'cb --help'");
    check_usage(&["exec", "api", "-x"], "unexpected argument '-x'; see 'cb exec --help'");
    check_usage(&["--frob"], "unexpected argument '--frob'; see 'cb --help'");
    check_usage(&["trip"], "trip needs NAME; see 'cb trip --help'");
    check_usage(&["trip", "a", "b"], "unexpected argument 'b'; see 'cb trip --help'");
    check_usage(
        &["hold", "a", "opne"],
        "'opne' is no value for <STATE>; allowed: forced-open, disabled, metrics-only; see 'cb \
         hold --help'",
    );
    check_usage(
        &["completions", "bahs"],
        "'bahs' is no value for <SHELL>; allowed: bash, zsh, fish, powershell, elvish; did you \
         mean 'bash'?; see 'cb completions --help'",
    );
    check_usage(&["config"], "config needs a command: check, show, path; see 'cb config --help'");
    check_usage(
        &["config", "show"],
        "config show needs NAME, for example: cb config show api; see 'cb config show --help'",
    );
    check_usage(
        &["queue"],
        "queue needs a command: add, list, show, run, retry, drop, purge; see 'cb queue --help'",
    );
    check_usage(&["cache"], "cache needs a command: list, show, drop; see 'cb cache --help'");
    check_usage(
        &["queue", "add", "orders"],
        "queue add needs COMMAND, for example: cb queue add orders -- ./charge --order 7; see 'cb \
         queue add --help'",
    );
    check_usage(&["queue", "retry"], "queue retry needs ID; see 'cb queue retry --help'");
    check_usage(
        &["queue", "shwo"],
        "no such command: 'shwo'; did you mean 'show'?; see 'cb queue --help'",
    );
    check_usage(
        &["queue", "list", "--state", "x"],
        "'x' is no value for --state <STATE>; allowed: pending, running, done, failed, doubt; see \
         'cb queue list --help'",
    );
    check_usage(
        &["exec", "--on-opne", "queue", "api", "x"],
        "unexpected argument '--on-opne'; did you mean '--on-open'?; see 'cb exec --help'",
    );
    check_usage(
        &["exec", "--timeout"],
        "'--timeout <DURATION>' needs a value; see 'cb exec --help'",
    );
    check_usage(
        &["exec", "--quiet=1", "api", "x"],
        "'--quiet' takes no value, but '1' was given; see 'cb exec --help'",
    );
    check_usage(
        &["exec", "--\x1b[2Jx", "api", "x"],
        "unexpected argument '--\\u{1b}[2Jx'; see 'cb exec --help'",
    );
}

#[track_caller]
fn check_text(words: &[&str], asked_for: bool, expected: &str) {
    match read(words) {
        Err(Stop::Text(text)) => {
            assert_eq!(text.was_asked_for(), asked_for, "{words:?}");
            assert!(text.to_string().contains(expected), "{words:?}: {text}");
        }
        other => panic!("{words:?}: {other:?}"),
    }
}

#[test]
fn help_and_version() {
    check_text(&[], false, "Usage: cb [OPTIONS] <COMMAND>");
    check_text(&["--help"], true, "Exit status:");
    check_text(&["-h"], true, "exec ");
    check_text(&["help"], true, "Exit status:");
    check_text(&["help", "exec"], true, "Run COMMAND through the breaker NAME");
    check_text(&["exec", "--help"], true, "COMMAND's   the command ran");
    check_text(&["exec", "-h"], true, "Usage: cb exec [OPTIONS] <NAME> [--] <COMMAND> [ARG]...");
    check_text(&["exec", "api", "--help", "x"], true, "Run COMMAND through");
    check_text(&["config", "show", "--help"], true, "cb config show");
    check_text(&["queue", "--help"], true, "  retry  Let failed and doubtful calls run again");
    check_text(&["queue", "add", "--help"], true, "Usage: cb queue add [OPTIONS] <NAME> [--] <CO");
    check_text(&["cache", "drop", "-h"], true, "Remove outputs that are kept");
    check_text(&["exec", "--help"], true, "Instead of the call:");
    check_text(&["--version"], true, concat!("cb ", env!("CARGO_PKG_VERSION")));
    check_text(&["-V"], true, "cb ");
}
