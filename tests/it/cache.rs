//! Outputs that stand in for a call: which are kept, byte for byte, for how long
//! and for which call; and `cb cache`.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::live::{Live, alive, ended, send};
use crate::support::{Cb, Ran, binary, crowded, eventually};

pub const CACHED: [&str; 2] = ["--on-open", "cache"];

/// The outputs that are kept, as JSON lists them.
#[track_caller]
pub fn kept(cb: &Cb) -> Vec<Value> {
    let ran = cb.run(["cache", "list", "--json"]).code(0).stderr("");
    let list: Value = serde_json::from_slice(&ran.output.stdout).expect("JSON");
    assert_eq!(list["schema"], "cb.cache/1");
    list["outputs"].as_array().expect("a list").clone()
}

/// What lies in the cache of a breaker.
pub fn files(cb: &Cb, name: &str) -> Vec<String> {
    let Ok(dir) = fs::read_dir(cb.store().join(name).join("cache")) else { return Vec::new() };
    dir.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[track_caller]
pub fn trip(cb: &Cb, name: &str) {
    cb.run(["trip", "-q", name, "--for", "1h"]).code(0);
}

#[track_caller]
fn reset(cb: &Cb, name: &str) {
    cb.run(["reset", "-q", name]).code(0);
}

#[test]
fn an_output_is_replayed_byte_for_byte() {
    let all: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = all.iter().copied().cycle().take(3_000_001).collect();
    let contents: [&[u8]; 6] = [b"", b"\n", b"no newline", b"\0\xff\r\n\0", &all, &large];
    for content in contents {
        let cb = Cb::new();
        fs::write(cb.path("content"), content).unwrap();
        let command = [OsStr::new("cat"), cb.path("content").as_os_str()].map(OsStr::to_owned);
        let ran = cb.exec_with(CACHED, "pay", &command).code(0).stderr("");
        assert!(ran.output.stdout == content);
        fs::remove_file(cb.path("content")).unwrap();
        trip(&cb, "pay");
        let ran = cb.exec_with(CACHED, "pay", &command).code(0);
        assert!(ran.output.stdout == content, "{} bytes", content.len());
        ran_says_age(&ran);
    }
}

#[test]
fn a_stdout_that_does_not_block_has_all_of_an_output() {
    let cb = Cb::new();
    let command = ["seq", "200000"];
    let all = cb.exec_with(CACHED, "pay", command).code(0).output.stdout;
    trip(&cb, "pay");
    let mut listing = cb.command(["cache", "show", "pay"]);
    listing.arg(kept(&cb)[0]["key"].as_str().expect("a key"));
    let mut exec = cb.command(["exec", "--on-open", "cache", "pay", "--"]);
    exec.args(command);
    for mut command in [exec, listing] {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let flags = rustix::fs::fcntl_getfl(&writer).expect("flags");
        rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).expect("flags");
        command.stdout(writer).stderr(Stdio::null());
        let mut child = command.spawn().expect("cb starts");
        drop(command);
        thread::sleep(Duration::from_millis(100));
        let mut read = Vec::new();
        reader.read_to_end(&mut read).expect("a pipe");
        assert_eq!(ended(&mut child).code(), Some(0));
        assert!(read == all, "{} bytes of {}", read.len(), all.len());
    }
}

#[track_caller]
fn ran_says_age(ran: &Ran) {
    let text = ran.stderr_text();
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    assert!(text.starts_with("cb: pay: not run: open"), "{text}");
    assert!(text.ends_with(" ago stands in\n") && text.contains("; its output of "), "{text}");
}

#[test]
fn stderr_is_neither_kept_nor_touched() {
    let cb = Cb::new();
    let command = ["sh", "-c", "echo out; echo err >&2"];
    cb.exec_with(CACHED, "pay", command).code(0).stdout("out\n").stderr("err\n");
    trip(&cb, "pay");
    let ran = cb.exec_with(CACHED, "pay", command).code(0).stdout("out\n");
    ran_says_age(&ran);
    cb.exec_with(["-q", "--on-open", "cache"], "pay", command).code(0).stdout("out\n").stderr("");
}

#[test]
fn only_successes_are_kept() {
    let cb = Cb::new();
    let options = [&CACHED[..], &["--consecutive-failures", "0"]].concat();
    for script in ["echo bad; exit 1", "echo bad; kill -KILL $$", "echo bad; exit 127"] {
        cb.exec_with(&options, "pay", ["sh", "-c", script]).stdout("bad\n");
    }
    let timed = [&options[..], &["--timeout", "0.3"]].concat();
    cb.exec_with(timed, "pay", ["sh", "-c", "echo bad; exec sleep 60"]).code(124).stdout("bad\n");
    let ignored = [&options[..], &["--ignore-codes", "3"]].concat();
    cb.exec_with(ignored, "pay", ["sh", "-c", "echo bad; exit 3"]).code(3).stdout("bad\n");
    cb.exec_with(&options, "pay", ["cb-no-such-program"]).code(127);
    assert_eq!(files(&cb, "pay"), [] as [&str; 0]);
    cb.exec_with(&options, "pay", ["sh", "-c", "echo good"]).code(0);
    assert_eq!(files(&cb, "pay").len(), 1);
}

#[test]
fn a_failure_leaves_the_last_good_output() {
    let cb = Cb::new();
    let command = ["sh", "-c", "cat answer; exit $(cat code)"];
    let run = |answer: &str, code: &str| {
        fs::write(cb.path("answer"), answer).unwrap();
        fs::write(cb.path("code"), code).unwrap();
        let mut exec = cb.command(["exec", "--on-failure", "cache", "pay", "--"]);
        exec.args(command).current_dir(cb.path(""));
        Ran::of(exec)
    };
    run("first\n", "0").code(0).stdout("first\n");
    run("second\n", "0").code(0).stdout("second\n");
    // Its own output was on its way already; the good one comes after it.
    let ran = run("broken\n", "5").code(0).stdout("broken\nsecond\n");
    let ran = ran.one_line("cb: pay: failed (exit status 5); its output of ");
    assert!(ran.ends_with_ago(), "the age");
    run("third\n", "0").code(0);
    run("", "5").code(0).stdout("third\n");
}

/// The one line of a replay.
trait Replayed {
    fn ends_with_ago(&self) -> bool;
}

impl Replayed for Ran {
    fn ends_with_ago(&self) -> bool {
        self.stderr_text().ends_with(" ago stands in\n")
    }
}

#[test]
fn no_action_means_no_cache() {
    let cb = Cb::new();
    cb.exec("pay", ["echo", "hi"]).code(0);
    cb.exec_with(["--on-open", "exit:0"], "pay", ["echo", "hi"]).code(0);
    assert!(!cb.store().join("pay/cache").exists());
    cb.exec_with(["--on-failure", "cache:1h"], "pay", ["echo", "hi"]).code(0);
    assert_eq!(files(&cb, "pay").len(), 1);
}

#[test]
fn an_output_over_the_bound_is_passed_on_and_not_kept() {
    let cb = Cb::new();
    for (bytes, is_kept) in [(8 << 20, true), ((8 << 20) + 1, false)] {
        let count = format!("{bytes}");
        let ran = cb.exec_with(CACHED, "pay", ["head", "-c", &count, "/dev/zero"]).code(0);
        assert_eq!(ran.output.stdout.len(), bytes);
        if is_kept {
            ran.stderr("");
        } else {
            ran.one_line("cb: pay: its output is not kept: it is over cache_max");
        }
        assert_eq!(files(&cb, "pay").len(), 1, "{bytes}");
    }
    trip(&cb, "pay");
    let ran = cb.exec_with(CACHED, "pay", ["head", "-c", "8388608", "/dev/zero"]).code(0);
    assert_eq!(ran.output.stdout.len(), 8 << 20);
    cb.exec_with(CACHED, "pay", ["head", "-c", "8388609", "/dev/zero"]).code(75).stdout("");
    let small = [&CACHED[..], &["--cache-max", "4"]].concat();
    cb.exec_with(&small, "mail", ["printf", "1234"]).code(0).stderr("");
    cb.exec_with(&small, "mail", ["printf", "12345"]).code(0).stdout("12345").one_line("cache_max");
    assert_eq!(files(&cb, "mail").len(), 1);
}

#[test]
fn an_output_that_is_too_old_does_not_stand_in() {
    let cb = Cb::new();
    cb.exec_with(CACHED, "pay", ["echo", "hi"]).code(0);
    trip(&cb, "pay");
    // A minute is longer than this test, a millisecond passes.
    cb.exec_with(["--on-open", "cache:1m"], "pay", ["echo", "hi"]).code(0).stdout("hi\n");
    eventually("it is older than 1 ms", || {
        let chain = ["-q", "--on-open", "cache:1ms", "--on-open", "exit:9"];
        cb.exec_with(chain, "pay", ["echo", "hi"]).status().code() == Some(9)
    });
    cb.exec_with(["--on-open", "cache:1ms"], "pay", ["echo", "hi"])
        .code(75)
        .stdout("")
        .one_line("; no output of it is kept");
    cb.exec_with(CACHED, "pay", ["echo", "hi"]).code(0).stdout("hi\n");
}

#[test]
fn each_command_has_its_own() {
    let cb = Cb::new();
    let commands: [&[&str]; 5] = [
        &["echo", "a", "b"],
        &["echo", "a b"],
        &["echo", "a", "b", ""],
        &["/bin/echo", "a", "b"],
        &["printf", "%s", "ab"],
    ];
    for command in commands {
        cb.exec_with(CACHED, "pay", command).code(0);
    }
    assert_eq!(kept(&cb).len(), 5);
    cb.exec_with(CACHED, "mail", ["echo", "mail"]).code(0);
    for name in ["pay", "mail"] {
        trip(&cb, name);
    }
    for (command, output) in commands.into_iter().zip(["a b\n", "a b\n", "a b \n", "a b\n", "ab"]) {
        cb.exec_with(CACHED, "pay", command).code(0).stdout(output);
    }
    cb.exec_with(CACHED, "mail", commands[0]).code(75);
    cb.exec_with(CACHED, "pay", ["echo", "mail"]).code(75);
    let odd = [OsStr::new("echo"), OsStr::from_bytes(b"\xff\n")];
    cb.exec_with(CACHED, "odd", odd).code(0);
    trip(&cb, "odd");
    let ran = cb.exec_with(CACHED, "odd", odd).code(0);
    assert_eq!(ran.output.stdout, b"\xff\n\n");
}

#[test]
fn directory_and_variables_tell_outputs_apart_where_asked() {
    let cb = Cb::new().config(
        "[breaker.cwd]\non_open = \"cache\"\ncache_cwd = true\n\
         [breaker.env]\non_open = \"cache\"\ncache_env = [\"WHO\"]\n\
         [breaker.none]\non_open = \"cache\"\n",
    );
    for name in ["one", "two"] {
        fs::create_dir(cb.path(name)).unwrap();
    }
    let run = |breaker: &str, dir: &str, who: Option<&str>| {
        let mut command = cb.command(["exec", breaker, "--", "sh", "-c", "echo ${PWD##*/} $WHO"]);
        command.current_dir(cb.path(dir)).env_remove("WHO");
        command.envs(who.map(|who| ("WHO", who)));
        Ran::of(command)
    };
    for (dir, who) in [("one", Some("x")), ("two", Some("y")), ("one", None), ("two", Some(""))] {
        for breaker in ["cwd", "env", "none"] {
            run(breaker, dir, who).code(0);
        }
    }
    for breaker in ["cwd", "env", "none"] {
        trip(&cb, breaker);
    }
    let replay = |breaker: &str, dir: &str, who| run(breaker, dir, who).code(0).stdout_text();
    assert_eq!(replay("cwd", "one", Some("z")), "one\n");
    assert_eq!(replay("cwd", "two", None), "two\n");
    run("cwd", "home", None).code(75);
    assert_eq!(replay("env", "two", Some("x")), "one x\n");
    assert_eq!(replay("env", "home", Some("y")), "two y\n");
    assert_eq!(replay("env", "home", None), "one\n");
    assert_eq!(replay("env", "home", Some("")), "two\n");
    run("env", "home", Some("z")).code(75);
    assert_eq!(replay("none", "home", Some("z")), "two\n");
}

#[test]
fn outputs_are_listed_shown_and_dropped() {
    let cb = Cb::new();
    cb.run(["cache", "list"]).code(0).stdout("").one_line("no output is kept");
    assert_eq!(kept(&cb), [] as [Value; 0]);
    cb.exec_with(CACHED, "pay", ["printf", "a\\0b"]).code(0);
    cb.exec_with(CACHED, "pay", ["/bin/echo", "secret-word"]).code(0);
    cb.exec_with(CACHED, "mail", ["echo", "mail"]).code(0);

    let list = kept(&cb);
    let of = |program: &str| {
        list.iter().find(|output| output["program"] == program).expect("it is kept").clone()
    };
    assert_eq!(list.len(), 3);
    let (printf, echo) = (of("printf"), list.iter().find(|o| o["bytes"] == 12).unwrap().clone());
    assert_eq!(printf["bytes"], 3);
    assert_eq!((&printf["breaker"], &printf["exit_code"]), (&"pay".into(), &0.into()));
    assert!(printf["age_ms"].is_u64());
    assert_eq!(echo["program"], "echo");
    let key = |output: &Value| output["key"].as_str().expect("a key").to_owned();
    assert_eq!(key(&printf).len(), 64);
    let table = cb.run(["cache", "list", "p*"]).code(0).stderr("").stdout_text();
    assert!(table.starts_with("BREAKER"), "{table}");
    assert!(table.contains(&key(&printf)[..12]) && table.contains("printf"), "{table}");
    // What was said to the command is not repeated.
    assert!(!table.contains("mail") && !table.contains("secret-word"), "{table}");

    let shown = cb.run(["cache", "show", "pay", &key(&printf)]).code(0).stderr("");
    assert_eq!(shown.output.stdout, b"a\0b");
    cb.run(["cache", "show", "pay", &key(&printf)[..8].to_uppercase()]).code(0).stdout("a\0b");
    for wrong in ["", "abc", "xyzw", "--", "../../pay/state", &"0".repeat(65)] {
        cb.run(["cache", "show", "pay", wrong]).code(125).stdout("");
    }
    cb.run(["cache", "show", "nobody", &key(&printf)]).code(125).stdout("").one_line("nobody");
    cb.run(["cache", "drop", "pay", &key(&printf)[..12]]).code(0).stdout("pay: 1 output removed\n");
    cb.run(["cache", "show", "pay", &key(&printf)]).code(125).stdout("");
    cb.run(["cache", "drop", "pay", &key(&printf)[..12]]).code(125).stdout("");
    cb.run(["cache", "drop", "pay"]).code(0).stdout("pay: 1 output removed\n");
    cb.run(["cache", "drop", "pay"]).code(0).stdout("pay: 0 outputs removed\n");
    assert_eq!(kept(&cb).len(), 1);
    trip(&cb, "pay");
    cb.exec_with(CACHED, "pay", ["printf", "a\\0b"]).code(75).stdout("");
}

#[test]
fn an_output_that_cannot_be_shown_is_an_error() {
    let cb = Cb::new();
    cb.exec_with(CACHED, "pay", ["seq", "100000"]).code(0);
    let key = kept(&cb)[0]["key"].as_str().expect("a key").to_owned();
    let shell = |script: &str| {
        let mut command = Command::new("bash");
        cb.environ(&mut command);
        command.args(["--norc", "-c", script]).env("CB", binary()).env("KEY", &key);
        Ran::of(command)
    };
    for words in ["cache show pay $KEY", "cache list", "cache list --json"] {
        let full = shell(&format!("\"$CB\" {words} > /dev/full")).code(125).stdout("");
        full.one_line("cannot write to stdout: No space left on device");
        shell(&format!("\"$CB\" {words} >&-")).code(125).one_line("stdout");
    }
    // Whoever has read enough goes, and nobody complains.
    let ran = shell("\"$CB\" cache show pay $KEY | head -n 1; echo ${PIPESTATUS[0]}").stderr("");
    assert!(["1\n0\n", "1\n141\n"].contains(&ran.stdout_text().as_str()), "{ran}");
    trip(&cb, "pay");
    let replay = "\"$CB\" exec -q --on-open cache pay -- seq 100000";
    let ran = shell(&format!("{replay} | head -n 1; echo ${{PIPESTATUS[0]}}")).stderr("");
    assert!(["1\n0\n", "1\n141\n"].contains(&ran.stdout_text().as_str()), "{ran}");
}

#[test]
fn what_is_kept_is_for_its_owner_alone() {
    let cb = Cb::new();
    let mut command = Command::new("sh");
    cb.environ(&mut command);
    command.args(["-c", "umask 000; exec \"$@\"", "sh"]).arg(binary());
    command.args(["exec", "--on-open", "cache", "pay", "--", "echo", "secret"]);
    Ran::of(command).code(0);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let dir = cb.store().join("pay/cache");
    assert_eq!(mode(&dir), 0o700);
    for name in files(&cb, "pay") {
        assert_eq!(mode(&dir.join(name)), 0o600);
    }
    // A directory that others may write is not trusted with a command's output.
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    cb.exec_with(CACHED, "pay", ["echo", "more"]).code(0).stdout("more\n").one_line("not kept");
    trip(&cb, "pay");
    cb.exec_with(CACHED, "pay", ["echo", "secret"]).code(75).stdout("");
}

#[test]
fn a_damaged_output_is_no_output() {
    for cut in [0, 1, 50, 200] {
        let cb = Cb::new();
        let command = ["sh", "-c", "seq 100"];
        cb.exec_with(CACHED, "pay", command).code(0);
        let path = cb.store().join("pay/cache").join(&files(&cb, "pay")[0]);
        let mut bytes = fs::read(&path).unwrap();
        if cut == 1 {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        } else {
            bytes.truncate(cut);
        }
        fs::write(&path, bytes).unwrap();
        trip(&cb, "pay");
        cb.exec_with(CACHED, "pay", command).code(75).stdout("").one_line("no output of it");
        reset(&cb, "pay");
        cb.exec_with(CACHED, "pay", command).code(0).stderr("");
        trip(&cb, "pay");
        cb.exec_with(CACHED, "pay", command).code(0);
    }
}

#[test]
fn a_killed_cb_keeps_nothing() {
    let cb = Cb::new();
    let live = Live::start(cb.sh(CACHED, "pay", "echo part; echo $$ > pid; exec sleep 60"));
    let child = cb.pid("pid");
    live.send(libc::SIGKILL);
    live.end().signal(libc::SIGKILL);
    send(child, libc::SIGKILL);
    assert_eq!(kept(&cb), [] as [Value; 0]);
    let script = "echo part; echo $$ > pid; exec sleep 60";
    trip(&cb, "pay");
    let ran = Ran::of(cb.sh(CACHED, "pay", script));
    ran.code(75).stdout("");
    // What it left behind does not stay for ever.
    reset(&cb, "pay");
    cb.exec_with(CACHED, "pay", ["echo", "whole"]).code(0);
    cb.run(["cache", "drop", "pay"]).code(0);
    assert_eq!(files(&cb, "pay"), [] as [&str; 0]);
}

#[test]
fn a_command_whose_cb_was_killed_writes_on_and_finishes() {
    let script = "echo part; echo $$ > pid.new; mv pid.new pid; while [ ! -e go ] && [ -e $PWD ]; \
                  do sleep 0.02; done; head -c 1048576 /dev/zero && echo wrote > ledger";
    for options in [CACHED, ["-q", "--hold-stdout"]] {
        let cb = Cb::new();
        let live = Live::start(cb.sh(options, "pay", script));
        let child = cb.pid("pid");
        live.send(libc::SIGKILL);
        live.end().signal(libc::SIGKILL);
        cb.touch("go");
        eventually("it has ended", || !alive(child));
        assert_eq!(cb.lines("ledger"), ["wrote"], "{options:?}");
        assert_eq!(kept(&cb), [] as [Value; 0]);
    }
}

#[test]
fn a_killed_command_and_one_that_is_interrupted_keep_nothing() {
    let cb = Cb::new();
    for signal in [libc::SIGKILL, libc::SIGTERM, libc::SIGINT] {
        let live = Live::start(cb.sh(CACHED, "pay", "echo part; echo $$ > pid; exec sleep 60"));
        let child = cb.pid("pid");
        send(child, signal);
        live.end().signal(signal).stdout("part\n");
        fs::remove_file(cb.path("pid")).unwrap();
    }
    assert_eq!(files(&cb, "pay"), [] as [&str; 0]);
}

#[test]
fn at_most_so_many_are_kept() {
    let cb = Cb::new();
    for number in 0..105 {
        cb.exec_with(CACHED, "pay", ["echo", &number.to_string()]).code(0);
    }
    assert_eq!(kept(&cb).len(), 100);
    trip(&cb, "pay");
    cb.exec_with(CACHED, "pay", ["echo", "104"]).code(0).stdout("104\n");
    cb.exec_with(CACHED, "pay", ["echo", "0"]).code(75).stdout("");
}

#[test]
fn fifty_at_once_keep_one_whole_output() {
    let _alone = crowded();
    let cb = Cb::new();
    let script = "cat stamp stamp stamp stamp";
    let stamp: String = (0..5000).map(|line| format!("{line:05}\n")).collect();
    fs::write(cb.path("stamp"), &stamp).unwrap();
    thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                let ran = Ran::of(cb.sh(CACHED, "pay", script)).code(0);
                assert_eq!(ran.stdout_text(), stamp.repeat(4));
            });
        }
    });
    assert_eq!(files(&cb, "pay").len(), 1);
    trip(&cb, "pay");
    fs::remove_file(cb.path("stamp")).unwrap();
    let ran = Ran::of(cb.sh(CACHED, "pay", script)).code(0);
    assert_eq!(ran.stdout_text(), stamp.repeat(4));
}

#[test]
fn a_removed_breaker_has_no_outputs() {
    let cb = Cb::new();
    cb.exec_with(CACHED, "pay", ["echo", "hi"]).code(0);
    fs::remove_dir_all(cb.store().join("pay")).unwrap();
    assert_eq!(kept(&cb), [] as [Value; 0]);
    cb.run(["cache", "drop", "pay"]).code(0).stdout("pay: 0 outputs removed\n");
}
