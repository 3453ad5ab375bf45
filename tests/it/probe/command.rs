//! Probes by a command.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use serde_json::Value;

use super::told::{found, told};
use crate::live::{Live, alive, send};
use crate::support::{Cb, Ran, eventually};

fn sh(cb: &Cb, code: i32, options: &[&str], script: &str) -> Value {
    told(cb, code, [options, &["--", "sh", "-c", script]].concat())
}

#[test]
fn the_exit_code_says_how_it_is() {
    let cb = Cb::new();
    let well = sh(&cb, 0, &["disk"], "echo '  all is well'; echo more");
    assert_eq!(
        (found(&well), &well["target"], &well["kind"]),
        ("all is well", &"sh".into(), &"command".into())
    );
    assert_eq!(well["command"], serde_json::json!({"exit_code": 0, "signal": null}));
    // A shell's text whose command is not there.
    for code in [126, 127] {
        let unknown = sh(&cb, 125, &["disk"], &format!("exit {code}"));
        assert_eq!(unknown["command"]["exit_code"], code);
    }
    for code in [1, 2, 3, 75, 125, 255] {
        let bad = sh(&cb, 1, &["disk"], &format!("exit {code}"));
        assert_eq!(bad["command"]["exit_code"], code);
        assert_eq!(
            (found(&bad), &bad["timed_out"]),
            (&*format!("exit status {code}"), &false.into())
        );
        cb.run(["reset", "disk"]).code(0);
    }
    let killed = sh(&cb, 1, &["disk"], "echo dying; kill -SEGV $$");
    assert_eq!(killed["command"], serde_json::json!({"exit_code": null, "signal": libc::SIGSEGV}));
    assert_eq!(found(&killed), "killed by signal 11: dying");
    assert_eq!(cb.total("disk", "succeeded"), 1);
}

#[test]
fn a_nagios_plugin_has_four_answers() {
    let cb = Cb::new();
    let plugin = |code: i32, exits: &str| {
        let script = format!("echo 'DISK {exits} - x | a=1'; exit {exits}");
        let told = sh(&cb, code, &["disk", "--nagios-in"], &script);
        assert_eq!(found(&told), format!("DISK {exits} - x"));
        told["health"].as_str().expect("a word").to_owned()
    };
    assert_eq!(plugin(0, "0"), "healthy");
    assert_eq!(plugin(0, "1"), "warning");
    assert_eq!(plugin(1, "2"), "unhealthy");
    // What a plugin does not know is nothing that the breaker could hear.
    assert_eq!(plugin(125, "3"), "unknown");
    assert_eq!(plugin(125, "64"), "unknown");
    assert_eq!((cb.total("disk", "succeeded"), cb.total("disk", "failed")), (2, 1));
    // And as a plugin it answers in the same words.
    for (exits, word) in [(0, "OK"), (1, "WARNING"), (2, "CRITICAL"), (3, "UNKNOWN")] {
        let script = format!("exit {exits}");
        let args = ["probe", "--nagios", "--nagios-in", "--", "sh", "-c", &script];
        cb.run(args).code(exits).stdout_has(&format!("PROBE {word}: ")).stderr("");
    }
}

#[test]
fn a_flood_of_output_is_read_to_its_end_and_little_is_kept() {
    let cb = Cb::new();
    let script = "head -c 20000000 /dev/zero | tr '\\0' x; head -c 2000000 /dev/zero >&2; exit 1";
    let flood = sh(&cb, 1, &["--timeout", "60s"], script);
    assert_eq!(flood["command"]["exit_code"], 1, "{}", flood["timed_out"]);
    assert!(found(&flood).len() <= 4096 + "exit status 1: ".len());
    let line = cb.run(["probe", "--", "sh", "-c", script]).code(1).stdout_text();
    assert!(line.len() < 1000, "{}", line.len());
}

#[test]
fn nothing_is_read_from_stdin() {
    let cb = Cb::new();
    let command = cb.command(["probe", "--json", "--", "cat"]);
    let ran = Ran::fed(command, b"for somebody else\n").code(0);
    ran.stdout_has("\"found\":\"exit status 0\"");
}

#[test]
fn what_ignores_every_polite_signal_ends_with_the_deadline() {
    let cb = Cb::new();
    let script = "trap '' TERM INT HUP; (trap '' TERM; echo $$ >child; while :; do sleep 1; done) & \
                  echo $! >group; while :; do sleep 1; done";
    let mut command =
        cb.command(["probe", "--json", "--timeout", "500ms", "disk", "--", "sh", "-c", script]);
    command.current_dir(cb.path(""));
    let ran = Ran::of(command).code(1);
    let told: Value = serde_json::from_slice(&ran.output.stdout).expect("JSON");
    assert_eq!((&told["timed_out"], found(&told)), (&true.into(), "no answer within 500ms"));
    assert_eq!(told["failed_phase"], Value::Null);
    // With all that it started.
    let (group, child) = (cb.pid("group"), cb.pid("child"));
    eventually("they end", || !alive(group) && !alive(child));
    assert_eq!(cb.total("disk", "failed"), 1);
}

#[test]
fn what_it_leaves_behind_with_the_pipe_does_not_hold_it_up() {
    let cb = Cb::new();
    let mut command = cb.command(["probe", "--json", "--timeout", "15s", "--", "sh", "-c"]);
    // It has left the group before the command ends.
    let script = "setsid sh -c 'echo $$ >left; exec sleep 100' & \
                  while [ ! -s left ]; do sleep 0.01; done; echo fine";
    command.arg(script).current_dir(cb.path(""));
    let ran = Ran::of(command).code(0).stdout_has("\"found\":\"fine\"");
    let left = cb.pid("left");
    // It left the group, as a server that is started does: it lives on.
    assert!(alive(left), "{ran}");
    send(left, libc::SIGKILL);
}

#[test]
fn what_cannot_be_started_says_nothing_of_the_dependency() {
    let cb = Cb::new();
    fs::write(cb.path("plain"), "no program").expect("a file");
    fs::create_dir(cb.path("dir")).expect("a directory");
    let (plain, dir) =
        (cb.path("plain").display().to_string(), cb.path("dir").display().to_string());
    let unstartable = [
        ("cb-no-such-command", "command not found"),
        ("/nonexistent/command", "command not found"),
        (&*plain, "not executable"),
        (&*dir, "not executable"),
    ];
    for (command, why) in unstartable {
        let ran = cb.run(["probe", "disk", "--", command]).code(125).stdout("");
        ran.one_line(&format!("cannot run {command}: {why}"));
        told(&cb, 125, ["disk", "--", command]);
        cb.run(["probe", "--nagios", "disk", "--", command]).code(3).stdout_has("PROBE UNKNOWN: ");
    }
    assert_eq!((cb.total("disk", "failed"), cb.total("disk", "succeeded")), (0, 0));
    assert_eq!(cb.status("disk")["last_probe"], Value::Null);
}

#[test]
fn arguments_are_bytes() {
    let cb = Cb::new();
    let word = OsStr::from_bytes(b"a\xff\x1b[2Jb");
    let mut command = cb.command(["probe", "--json", "--", "printf", "%s"]);
    let ran = Ran::of({
        command.arg(word);
        command
    })
    .code(0);
    ran.stdout_has("a\u{fffd}");
    // So is the name of a command.
    let script = cb.path("x").with_file_name(OsStr::from_bytes(b"check\xff"));
    std::os::unix::fs::symlink("/bin/true", &script).expect("a link");
    told(&cb, 0, [OsStr::new("--"), script.as_os_str()]);
    let gone = cb.path("x").with_file_name(OsStr::from_bytes(b"gone\xff\x1b[2J"));
    let ran = cb.run([OsStr::new("probe"), OsStr::new("--"), gone.as_os_str()]);
    ran.code(125).one_line("command not found");
}

#[test]
fn the_config_file_has_words_or_a_text_for_a_shell() {
    let cb = Cb::new().config(
        "[breaker.words.probe]\ncommand = [\"printf\", \"a b\"]\n\
         [breaker.shell.probe]\ncommand = \"echo $((1 + 1)); exit 2\"\nnagios_in = true\n",
    );
    assert_eq!(found(&told(&cb, 0, ["words"])), "a b");
    assert_eq!(found(&told(&cb, 1, ["shell"])), "2");
    assert_eq!((cb.total("words", "succeeded"), cb.total("shell", "failed")), (1, 1));
}

#[test]
fn a_signal_to_cb_ends_the_command_and_feeds_nothing() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let cb = Cb::new();
        let script = "echo $$ >group; while :; do sleep 1; done";
        let mut command = cb.command(["probe", "disk", "--", "sh", "-c", script]);
        command.current_dir(cb.path(""));
        let live = Live::start(command);
        let group = cb.pid("group");
        live.send(signal);
        live.end().signal(signal).stdout("");
        eventually("it ends", || !alive(group));
        assert_eq!((cb.total("disk", "failed"), cb.total("disk", "succeeded")), (0, 0));
    }
}
