//! Words for a stdout that is closed, full, or read by nobody.

use std::fs::File;
use std::io::pipe;

use super::*;
use crate::support::{binary, eventually};

const TRACE: &[u8] = b"{\"t\":0,\"op\":\"call\",\"outcome\":\"failure\"}\n";

/// Every command that writes to stdout.
const COMMANDS: [&[&str]; 15] = [
    &["status"],
    &["status", "--json"],
    &["status", "pay", "other"],
    &["check", "pay"],
    &["allow", "pay"],
    &["trip", "pay"],
    &["reset", "pay"],
    &["hold", "pay", "disabled"],
    &["release", "pay"],
    &["simulate", "trace"],
    &["simulate", "--json", "trace"],
    &["config", "show", "pay"],
    &["config", "path"],
    &["--version"],
    &["exec", "--help"],
];

fn used() -> Cb {
    let cb = Cb::new();
    cb.exec("pay", ["true"]).code(0);
    std::fs::write(cb.path("trace"), TRACE).expect("a trace");
    cb
}

/// `cb WORDS` behind a shell that first does `before`.
fn shell(cb: &Cb, before: &str, redirection: &str, words: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{before} exec \"$0\" \"$@\" {redirection}")]);
    cb.environ(&mut command);
    command.arg(binary()).args(words).current_dir(cb.path(""));
    command
}

#[test]
fn a_closed_or_full_stdout_is_one_line_and_a_failure() {
    for words in COMMANDS {
        for redirection in [">&-", ">/dev/full"] {
            println!("{words:?} {redirection}");
            let cb = used();
            bounded(shell(&cb, "", redirection, words))
                .code(125)
                .stdout("")
                .one_line("cannot write to stdout: ");
        }
    }
}

#[test]
fn a_permit_that_could_not_be_printed_is_given_back() {
    for redirection in [">&-", ">/dev/full"] {
        let cb = used();
        cb.run(["trip", "pay", "--for", "1ms"]).code(0);
        eventually("the trial is due", || cb.run(["check", "-q", "pay"]).status().success());
        bounded(shell(&cb, "", redirection, &["allow", "pay"])).code(125).one_line("stdout");
        assert_eq!(cb.status("pay")["half_open"]["in_flight"], 0);
        cb.exec("pay", ["true"]).code(0);
        cb.is("pay", "closed");
    }
}

#[test]
fn what_a_command_did_it_did_though_nobody_could_be_told() {
    let cb = used();
    bounded(shell(&cb, "", ">/dev/full", &["trip", "pay"])).code(125);
    cb.is("pay", "open");
}

#[test]
fn an_exec_writes_nothing_to_stdout_so_it_does_not_mind() {
    for redirection in [">&-", ">/dev/full"] {
        let cb = used();
        bounded(shell(&cb, "", redirection, &["exec", "pay", "true"])).code(0).stderr("");
        cb.run(["trip", "pay"]).code(0);
        bounded(shell(&cb, "", redirection, &["exec", "pay", "true"])).code(75).one_line("not run");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for words in COMMANDS {
        // The default disposition ends a program in silence, and an ignored one
        // gives it an error; cb does the same for both.
        for before in ["", "trap '' PIPE;"] {
            println!("{words:?} {before}");
            let cb = used();
            let (reader, writer) = pipe().expect("a pipe");
            drop(reader);
            let mut command = shell(&cb, before, "", words);
            command.stdout(writer).stderr(File::create(cb.path("stderr")).expect("a file"));
            let status = command.status().expect("it starts");
            drop(command);
            let said = std::fs::read_to_string(cb.path("stderr")).expect("a file");
            let expected = match words[0] {
                // A token that nobody got: the permit was given back.
                "allow" => (Some(125), "cb: cannot write to stdout: Broken pipe\n"),
                _ => (Some(0), ""),
            };
            assert_eq!((status.code(), said.as_str()), expected);
        }
    }
}

#[test]
fn stderr_may_be_closed_or_full_too() {
    for redirection in ["2>&-", "2>/dev/full"] {
        let cb = used();
        cb.run(["trip", "pay"]).code(0);
        bounded(shell(&cb, "", redirection, &["exec", "pay", "true"])).code(75).stdout("");
        std::fs::write(cb.store().join("pay/state"), b"x").expect("a state");
        bounded(shell(&cb, "", redirection, &["exec", "pay", "echo", "hi"])).code(0).stdout("hi\n");
        bounded(shell(&cb, "", redirection, &["status", "nö"])).code(125).stdout("");
    }
}

#[test]
fn what_a_person_wrote_steers_no_terminal_and_json_means_the_same() {
    let comment = "a\u{9b}31m b\u{202e} c\u{7f} d\u{1b}[2J e\u{e9}\u{1f980}\n";
    let cb = used();
    let raw = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    for words in [
        &["trip", "pay", "--reason", comment][..],
        &["check", "pay"],
        &["status", "pay"],
        &["status", "--json"],
        &["hold", "pay", "disabled", "--reason", comment],
        &["check", "pay"],
        &["status", "pay"],
        &["status", "--json"],
    ] {
        let shown = cb.run(words).stdout_text();
        assert!(!shown.contains(raw), "{words:?}: {shown:?}");
    }
    assert_eq!(cb.status("pay")["last_transition"]["comment"], comment);
}

#[test]
fn a_check_that_nobody_reads_still_answers_with_its_status() {
    let cb = used();
    cb.run(["trip", "pay"]).code(0);
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let mut command = cb.command(["check", "pay"]);
    command.stdout(writer);
    assert_eq!(command.status().expect("it starts").code(), Some(75));
}
