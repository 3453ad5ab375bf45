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
    check_text(&["--version"], true, concat!("cb ", env!("CARGO_PKG_VERSION")));
    check_text(&["-V"], true, "cb ");
}
