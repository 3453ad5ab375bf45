//! `run:COMMAND` in place of a call: what it reads, what it is told without any
//! of it becoming code, the signals that reach it, and its end, which is cb's.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::fallback::{open, reported, trip};
use crate::live::{Live, alive};
use crate::pty::Pty;
use crate::support::{Cb, Ran, binary, eventually};

#[test]
fn a_stand_in_that_cannot_be_started_gives_way_to_the_next() {
    let text = |word: &str| {
        format!(
            "[breaker.pay]\ndrain = \"manual\"\n\
             on_open = [[\"{word}\", \"x\"], [\"echo\", \"two words\", \"$HOME\"]]\n"
        )
    };
    for (word, says) in [("cb-no-such-program", "cannot run 'cb-no-such-program'"), ("/", "'/'")] {
        let cb = Cb::new().config(&text(word));
        trip(&cb);
        // Words are no text for a shell.
        cb.exec("pay", ["echo", "ran"])
            .code(0)
            .stdout("two words $HOME\n")
            .one_line(says)
            .stderr_has("; 'echo' stands in\n");
    }
    let cb = Cb::new().config("[breaker.pay]\non_open = [[\"cb-no-such-program\"]]\n");
    trip(&cb);
    cb.exec("pay", ["echo", "ran"]).code(75).stdout("").one_line("cb-no-such-program");
    // A shell that runs, and does not find, has run.
    cb.exec_with(["--on-open", "run:exit 127", "--on-open", "exit:3"], "pay", ["true"]).code(127);
}

#[test]
fn the_status_and_the_signal_of_a_stand_in_are_cbs() {
    let cb = open();
    cb.exec_with(["--on-open", "run:exit 42"], "pay", ["true"]).code(42).stdout("");
    cb.exec_with(["--on-open", "run:kill -TERM $$"], "pay", ["true"]).signal(libc::SIGTERM);
    let (ran, report) = reported(&cb, &["--on-open", "run:kill -KILL $$"], &["true"]);
    ran.signal(libc::SIGKILL);
    assert_eq!((&report["fallback"], &report["exit_code"]), (&"run".into(), &137.into()));
    cb.exec_with(["--on-open", "run:echo out; echo err >&2"], "pay", ["true"])
        .code(0)
        .stdout("out\n")
        .stderr_has("err\n");
    assert_eq!((cb.total("pay", "rejected"), cb.total("pay", "admitted")), (4, 0));
}

#[test]
fn stdin_is_whole_for_one_who_stands_in_for_a_rejected_call() {
    let input: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let cb = open();
    for options in [&["--on-open", "run:cat"][..], &["--retries", "2", "--on-open", "run:cat"]] {
        let mut command = cb.command(["exec"]);
        command.args(options).args(["pay", "--", "cat"]);
        let ran = Ran::fed(command, &input).code(0);
        assert!(ran.output.stdout == input, "{options:?}");
        // From a file, it begins where the file stands.
        fs::write(cb.path("input"), &input).unwrap();
        let mut shell = Command::new("sh");
        cb.environ(&mut shell);
        let script = "{ dd bs=1 count=2 of=/dev/null 2>/dev/null; \"$@\"; } < input";
        shell.args(["-c", script, "sh"]).arg(binary()).arg("exec");
        shell.args(options).args(["pay", "--", "cat"]).current_dir(cb.path(""));
        assert!(Ran::of(shell).code(0).output.stdout == input[2..], "{options:?}");
    }
}

#[test]
fn stdin_after_a_failure_is_what_nobody_has_read() {
    let cb = Cb::new();
    let options = ["--consecutive-failures", "0", "--on-failure", "run:cat"];
    let fed = |options: &[&str]| {
        let mut command = cb.command(["exec"]);
        command.args(options).args(["pay", "--", "sh", "-c", "read line; exit 1"]);
        Ran::fed(command, b"first\nsecond\n").code(0).stdout_text()
    };
    assert_eq!(fed(&options), "second\n");
    // What is kept for further attempts is there for a stand-in too.
    let retried = [&options[..], &["--retries", "1", "--retry-delay", "1ms"]].concat();
    assert_eq!(fed(&retried), "first\nsecond\n");
}

#[test]
fn data_is_no_code() {
    // What a breaker's name cannot be, a command's words and variables can.
    let evil = "'; touch owned; \"$(touch owned)`touch owned`\n$(touch owned)";
    let cb = Cb::new().env("EVIL", evil).env("CB_REASON", evil).env("CB_EXIT_CODE", evil);
    trip(&cb);
    let show = "run:printf '%s|%s|%s|%s' \"$CB_REASON\" \"$CB_EXIT_CODE\" \"$EVIL\" \"$#\"";
    let mut command = cb.command(["exec", "--on-open", show, "pay", "--", "true", evil]);
    command.current_dir(cb.path(""));
    Ran::of(command).code(0).stdout(&format!("open||{evil}|0"));
    let mut command = cb.command(["exec", "--on-failure", show, "mail", "--"]);
    command.args(["sh", "-c", "exit 1", evil]).current_dir(cb.path(""));
    Ran::of(command).code(0).stdout(&format!("failure|1|{evil}|0"));
    assert!(!cb.path("owned").exists());
    // A text is one word of the shell's, whatever is in it.
    let text = format!("run:printf '%s' '{}'", evil.replace('\'', "'\\''"));
    let mut command = cb.command(["exec", "--on-open", &text, "pay", "--", "true"]);
    command.current_dir(cb.path(""));
    Ran::of(command).code(0).stdout(evil).one_line("a command stands in");
    assert!(!cb.path("owned").exists());
    for name in ["a b", "$(id)", "`id`", "x;y", "a\nb", "..", "a/b"] {
        cb.exec_with(["--on-open", "run:true"], name, ["true"]).code(125).one_line("name");
    }
}

#[test]
fn a_signal_to_cb_reaches_the_one_who_stands_in() {
    for (signal, name) in [(libc::SIGTERM, "TERM"), (libc::SIGINT, "INT")] {
        let cb = open();
        let action = format!(
            "run:trap 'echo got; exit 5' {name}; echo $$ > pid; while :; do sleep 0.02; done"
        );
        let mut command = cb.command(["exec", "--on-open", &action, "pay", "--", "true"]);
        command.current_dir(cb.path("")).process_group(0);
        let live = Live::start(command);
        let child = cb.pid("pid");
        live.send(signal);
        live.end().code(5).stdout("got\n");
        assert!(!alive(child));

        let mut command =
            cb.command(["exec", "--on-open", "run:echo $$ > pid2; exec sleep 60", "pay", "true"]);
        command.current_dir(cb.path("")).process_group(0);
        let live = Live::start(command);
        let child = cb.pid("pid2");
        eventually("it sleeps", || {
            fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|comm| comm == "sleep\n")
        });
        live.send(signal);
        live.end().signal(signal);
        assert!(!alive(child));
    }
}

#[test]
fn what_is_typed_reaches_the_one_who_stands_in() {
    let cb = open();
    let mut bash = Pty::bash(&cb);
    bash.line("\"$CB\" exec --on-open 'run:echo $$ > pid; exec sleep 60' pay true");
    let child = cb.pid("pid");
    bash.interrupt();
    bash.line("echo st=$?.");
    bash.sees("st=130.");
    eventually("it is gone", || !alive(child));
}

#[test]
fn a_stand_in_is_no_attempt() {
    let cb = Cb::new().env("CB_ATTEMPT", "77");
    let options = ["--on-failure", "run:echo \"$CB_ATTEMPT\"; echo run", "--retries", "1"];
    let ran = cb.exec_with(
        [&options[..], &["--retry-delay", "1ms", "--consecutive-failures", "0"]].concat(),
        "pay",
        ["sh", "-c", "exit $CB_ATTEMPT"],
    );
    let text = ran.stdout_text();
    assert!(text.ends_with("run\n"), "{ran}");
    // The last attempt's status is the one that is told.
    ran.code(0).stderr_has("failed (exit status 2); a command stands in");
}
