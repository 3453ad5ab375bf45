//! `cb exec`: the words, the exit statuses, what counts as what, and what is said.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::thread;

use crate::live::{Live, first, scaled};
use crate::support::{Cb, Ran};

/// The flags of a breaker that never opens.
const NEVER: [&str; 4] = ["--consecutive-failures", "0", "--failure-rate", "0"];

#[test]
fn arguments_reach_the_command_byte_for_byte() {
    let cb = Cb::new();
    let all: Vec<u8> = (1..=255).collect();
    let words: [&[u8]; 16] = [
        &all,
        b"",
        b"--",
        b"-",
        b"-q",
        b"--help",
        b"--timeout=1",
        b"a\nb\n",
        b"\xff\xfe",
        b" a  b ",
        b"$HOME `id` $(id)",
        b"*",
        b"; false | cat > /dev/null &",
        b"'\"\\",
        b"\x1b[31m",
        b"",
    ];
    let mut expected = Vec::new();
    let script: [&[u8]; 4] = [b"sh", b"-c", b"cat /proc/$$/cmdline; exit", b"sh"];
    for word in script.iter().chain(&words) {
        expected.extend_from_slice(word);
        expected.push(0);
    }
    for options in [&[][..], &["--timeout", "60"]] {
        let command = script.iter().chain(&words).map(|word| OsStr::from_bytes(word));
        let ran = cb.exec_with(options, "x", command).code(0).stderr("");
        assert!(ran.output.stdout == expected, "{ran}");
    }
}

#[test]
fn options_stop_at_the_command() {
    #[track_caller]
    fn check(words: &[&str], stdout: &str) {
        Cb::new().run(["exec"].iter().chain(words)).code(0).stdout(stdout).stderr("");
    }
    check(&["x", "echo", "hi"], "hi\n");
    check(&["x", "--", "echo", "hi"], "hi\n");
    check(&["--", "x", "echo", "-q"], "-q\n");
    check(&["--", "x", "--", "echo", "-q"], "-q\n");
    check(&["-q", "x", "echo", "-q"], "-q\n");
    check(&["x", "-q", "echo", "-q"], "-q\n");
    check(&["x", "-q", "--", "echo", "--", "-q"], "-- -q\n");
    check(&["x", "echo", "--"], "--\n");
    check(&["x", "echo", "--", "--"], "-- --\n");
    check(&["x", "echo", "--store", "/nowhere"], "--store /nowhere\n");
    check(&["x", "echo", "--timeout", "nonsense"], "--timeout nonsense\n");
    check(&["--timeout", "60", "x", "-k", "5", "echo", "-k", "0"], "-k 0\n");
    check(
        &["--timeout=60", "x", "--open-for=5s", "--", "echo", "--open-for=5s"],
        "--open-for=5s\n",
    );
    // "echo --help" of coreutils would print its own help: that is the point.
    check(&["x", "printf", "%s\n", "--help", "--version"], "--help\n--version\n");
}

#[test]
fn help_after_the_command_is_the_commands() {
    let cb = Cb::new();
    let ours = cb.run(["exec", "x", "cat", "--help"]).code(0);
    let without = Ran::of({
        let mut cat = std::process::Command::new("cat");
        cat.arg("--help");
        cat
    });
    assert_eq!(ours.stdout_text(), without.stdout_text());
    cb.run(["exec", "--help", "x", "cat"]).code(0).stdout_has("Usage: cb exec [OPTIONS] <NAME>");
}

#[test]
fn there_is_no_shell() {
    let cb = Cb::new();
    cb.exec("x", ["echo hi"]).code(127).one_line("cb: x: cannot run 'echo hi': No such file");
    cb.exec("x", ["exit"]).code(127);
    // "$@" after "--" is what it is, though its first word be "--" too.
    cb.exec("x", ["--", "echo"]).code(127).one_line("cb: x: cannot run '--': No such file");
    cb.exec("x", ["echo", "a;b", "$HOME", "~", "*"]).code(0).stdout("a;b $HOME ~ *\n");
}

#[test]
fn every_exit_status_is_passed_on() {
    let cb = Cb::new();
    for code in 0..=255 {
        let exit = format!("exit {code}");
        cb.exec_with(NEVER, "x", ["sh", "-c", &exit]).code(code).stdout("").stderr("");
    }
}

#[test]
fn cb_ends_by_the_signal_that_ended_the_command() {
    let cb = Cb::new();
    for signal in [1, 2, 3, 6, 9, 10, 11, 13, 14, 15, 25, 34, 64] {
        for options in [&NEVER[..], &["--timeout", "60", "--failures", "99"]] {
            let kill = format!("ulimit -c 0; kill -{signal} $$");
            let ran = cb.exec_with(options, "x", ["sh", "-c", &kill]);
            ran.signal(signal).stdout("").stderr("");
            cb.run(["reset", "-q", "x"]).code(0);
        }
    }
}

#[test]
fn there_is_no_second_core_file() {
    let cb = Cb::new();
    for signal in [libc::SIGSEGV, libc::SIGABRT, libc::SIGQUIT] {
        let directory = format!("cores-{signal}");
        fs::create_dir(cb.path(&directory)).unwrap();
        let kill = format!("kill -{signal} $$");
        let mut command = cb.command(["exec", "x", "--", "sh", "-c", &kill]);
        command.current_dir(cb.path(&directory));
        first(&mut command, || {
            let limit = libc::rlimit { rlim_cur: 1 << 30, rlim_max: 1 << 30 };
            // SAFETY: the limit outlives the call. Where it cannot be raised
            // there is no first core file either.
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) };
        });
        let ran = Ran::of(command);
        assert!(!ran.status().core_dumped(), "{ran}");
        ran.signal(signal);
        assert!(fs::read_dir(cb.path(&directory)).unwrap().count() <= 1);
    }
}

#[test]
fn what_cannot_be_started_is_126_or_127_and_ignored() {
    let cb = Cb::new();
    let check = |word: &str, code: i32, why: &str| {
        let ran = cb.exec("x", [word]).code(code).stdout("");
        ran.one_line(&format!("cb: x: cannot run '{word}': {why}"));
    };
    cb.touch("plain");
    fs::write(cb.path("lost"), "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(cb.path("lost"), PermissionsExt::from_mode(0o755)).unwrap();
    check("no-such-command", 127, "No such file or directory");
    check("", 127, "No such file or directory");
    check("/no/such", 127, "No such file or directory");
    check("/dev/null/x", 127, "Not a directory");
    check(cb.path("lost").to_str().unwrap(), 127, "No such file or directory");
    check("/", 126, "Permission denied");
    check(cb.path("plain").to_str().unwrap(), 126, "Permission denied");
    check(&"x".repeat(5000), 126, "File name too long");
    assert_eq!(cb.total("x", "ignored"), 8);
    assert_eq!(cb.total("x", "failed"), 0);
    cb.is("x", "closed");
    cb.exec("y", ["a\nb\x1b[31m"]).code(127).one_line("cannot run 'a\\nb\\u{1b}[31m'");
}

#[test]
fn text_without_a_shebang_runs_under_the_shell() {
    let cb = Cb::new();
    let script = cb.path("script");
    fs::write(&script, "echo \"$0:$#:$1:$2\"\nexit 3\n").unwrap();
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let words = [script.as_os_str(), OsStr::new("a b"), OsStr::new("")];
    cb.exec("x", words).code(3).stdout(&format!("{}:2:a b:\n", script.display())).stderr("");
    // Found in PATH it is a script as well.
    let directory = script.parent().unwrap();
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap());
    let other = Cb::new().env("PATH", path);
    other.exec("x", ["script", "a", "b"]).code(3).stdout(&format!("{}:2:a:b\n", script.display()));
}

#[test]
fn a_rejected_call_is_75_or_the_code_that_was_asked_for() {
    let cb = Cb::new();
    let run = ["sh", "-c", "touch ran"];
    cb.run(["trip", "-q", "x", "--for", "1h"]).code(0);
    cb.exec("x", run).code(75).stdout("").one_line("cb: x: not run: open (");
    let code = ["--open-exit-code", "3"];
    cb.exec_with(code, "x", run).code(3).stdout("").one_line("cb: x: not run: open (");
    cb.exec_with(["--open-exit-code", "0"], "x", run).code(0).one_line("cb: x: not run: open (");
    cb.run(["hold", "-q", "x", "forced-open"]).code(0);
    cb.exec("x", run)
        .code(75)
        .stdout("")
        .one_line("cb: x: not run: forced-open: every call is rejected (by ");
    cb.run(["release", "-q", "x"]).code(0);
    assert!(!cb.path("ran").exists());
    assert_eq!(cb.total("x", "rejected"), 4);
}

#[test]
fn a_rejected_call_does_not_need_its_command() {
    let cb = Cb::new();
    cb.run(["trip", "-q", "x", "--for", "1h"]).code(0);
    cb.exec("x", ["no-such-command"]).code(75).one_line("not run: open");
}

#[test]
fn wrong_words_are_125_and_one_line() {
    let cb = Cb::new();
    let run = cb.path("ran");
    let check = |words: &[&str], part: &str| {
        let ran = cb.run(["exec"].iter().chain(words)).code(125).stdout("");
        ran.one_line(part);
        assert!(!run.exists(), "{words:?}");
    };
    let touch = run.to_str().unwrap();
    check(&[], "exec needs NAME and COMMAND");
    check(&["x"], "exec needs COMMAND");
    check(&["x", "--"], "exec needs COMMAND");
    check(&["x", "-q"], "exec needs COMMAND");
    check(&["--no-such", "x", "touch", touch], "'--no-such'");
    check(&["x", "--no-such", "touch", touch], "'--no-such'");
    check(&["--timeout", "soon", "x", "touch", touch], "--timeout");
    check(&["--timeout", "-1", "x", "touch", touch], "--timeout");
    check(&["--window", "0", "x", "touch", touch], "--window");
    check(&["--failure-rate", "101%", "x", "touch", touch], "--failure-rate");
    check(&["--open-exit-code", "256", "x", "touch", touch], "--open-exit-code");
    check(&["--half-open-calls", "0", "x", "touch", touch], "--half-open-calls");
    check(&["--slow-rate", "50%", "x", "touch", touch], "slow");
    check(&["--on-store-error", "maybe", "x", "touch", touch], "--on-store-error");
    check(&["--store", "", "x", "touch", touch], "--store '': empty");
    check(&["--store=", "--on-store-error", "run", "x", "touch", touch], "--store '': empty");
    assert!(!cb.store().exists(), "a wrong word makes no state");
}

#[test]
fn bad_names_are_125_and_one_clean_line() {
    let cb = Cb::new();
    let check = |name: &[u8], part: &str| {
        let words = [OsStr::new("exec"), OsStr::new("--"), OsStr::from_bytes(name)];
        let touch = [OsString::from("touch"), cb.path("ran").into()];
        let words = words.into_iter().map(OsStr::to_owned).chain(touch);
        cb.run(words).code(125).stdout("").one_line(part);
        assert!(!cb.path("ran").exists() && !cb.store().exists(), "{name:?}");
    };
    check(b"../x", "'../x' is no name for a breaker");
    check(b"-rf", "'-rf' is no name");
    check(b"", "cannot be empty");
    check(&[b'x'; 101], "is 101 characters long");
    check(b"a\nb", "'a\\nb' is no name");
    check(b"a\x1b[2Jb", "'a\\u{1b}[2Jb' is no name");
    check(b".", "'.' is no name");
    check(b"..", "'..' is no name");
    check(b"a/b", "'a/b' is no name");
    check(b"a b", "'a b' is no name");
    check(b"a\xff", "is no name");
    check("größe".as_bytes(), "'größe' is no name");
    let longest = "x".repeat(100);
    cb.exec(&longest, ["true"]).code(0);
    cb.is(&longest, "closed");
}

#[test]
fn outcomes_are_told_by_the_exit_code() {
    #[track_caller]
    fn check(options: &[&str], code: &str, counted: &str) {
        let cb = Cb::new();
        cb.exec_with(options, "x", ["sh", "-c", &format!("exit {code}")]);
        for total in ["succeeded", "failed", "ignored"] {
            let expected = u64::from(total == counted);
            assert_eq!(cb.total("x", total), expected, "{options:?} {code}: {total}");
        }
    }
    check(&[], "0", "succeeded");
    check(&[], "1", "failed");
    check(&[], "125", "failed");
    check(&[], "126", "ignored");
    check(&[], "127", "ignored");
    check(&[], "130", "failed");
    check(&[], "255", "failed");
    check(&["--ignore-codes", "3,4"], "3", "ignored");
    check(&["--ignore-codes", "3,4"], "127", "failed");
    check(&["--failure-codes", "7,28"], "7", "failed");
    check(&["--failure-codes", "7,28"], "1", "ignored");
    check(&["--failure-codes", "7,28"], "0", "succeeded");
}

#[test]
fn a_signal_of_the_commands_own_is_a_failure() {
    let cb = Cb::new();
    for _ in 0..2 {
        cb.exec_with(["--consecutive-failures", "2"], "x", ["sh", "-c", "kill -TERM $$"])
            .signal(libc::SIGTERM);
    }
    cb.is("x", "open");
    assert_eq!((cb.total("x", "failed"), cb.total("x", "ignored")), (2, 0));
    assert_eq!(cb.status("x")["last_failure"]["signal"], libc::SIGTERM);
}

#[test]
fn the_child_is_told_the_breaker_the_state_and_the_attempt() {
    let cb = Cb::new().env("CB_STATE", "stale").env("CB_BREAKER", "other").env("CB_OTHER", "mine");
    let show = ["sh", "-c", "env | grep ^CB_ | grep -v ^CB_STORE= | sort"];
    let expected = "CB_ATTEMPT=1\nCB_BREAKER=pay\nCB_OTHER=mine\nCB_STATE=closed\n";
    cb.exec("pay", show).code(0).stdout(expected);
    cb.make_due("pay");
    cb.exec("pay", show).code(0).stdout(&expected.replace("closed", "half-open"));
    cb.is("pay", "closed");
    cb.run(["hold", "-q", "pay", "metrics-only"]).code(0);
    cb.exec("pay", show).code(0).stdout(expected);
}

#[test]
fn quiet_says_nothing_of_its_own() {
    let cb = Cb::new();
    let check = |options: &[&str], name: &str, command: &[&str], code: i32| {
        let loud = cb.exec_with(options, name, command).code(code).stdout("");
        assert!(loud.stderr_text().starts_with(&format!("cb: {name}: ")), "{loud}");
        let lines = loud.stderr_text();
        assert!(lines.lines().all(|line| line.starts_with(&format!("cb: {name}: "))), "{loud}");
        cb.exec_with(["-q"].iter().chain(options), name, command).code(code).stdout("").stderr("");
    };
    cb.run(["trip", "-q", "open", "--for", "1h"]).code(0);
    cb.run(["hold", "-q", "held", "forced-open"]).code(0);
    check(&[], "open", &["true"], 75);
    check(&[], "held", &["true"], 75);
    check(&[], "lost", &["no-such-command"], 127);
    check(&["--timeout", "0.1"], "late", &["sleep", "60"], 124);
    let stubborn = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"];
    // The trap has to be set before the time is up, on a busy machine too.
    check(&["--timeout", "2", "-k", "0.1"], "later", &stubborn, 137);
    check(&["--result-file", "/no/such/file"], "result", &["true"], 0);
    check(&["--result-file", "/dev/full"], "full", &["true"], 0);
    check(&["--store", "/dev/null/store"], "store", &["true"], 0);
}

#[test]
fn a_store_that_cannot_be_used_stops_no_command_unless_told_to() {
    let cb = Cb::new();
    let store = ["--store", "/dev/null/store"];
    let ran = cb.exec_with(store, "x", ["sh", "-c", "echo ran; exit 9"]).code(9).stdout("ran\n");
    ran.one_line("running the command unprotected");
    let refuse = ["--store", "/dev/null/store", "--on-store-error", "refuse"];
    cb.exec_with(refuse, "x", ["echo", "ran"]).code(125).stdout("").one_line("/dev/null/store");
}

#[test]
fn all_that_is_piped_through_arrives() {
    let mib = scaled("CB_TEST_MIB", 512);
    let cb = Cb::new();
    let mut command = cb.command(["exec", "x", "--", "cat"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    // Blocks of a length that no buffer has, each with its number in it.
    let block = |number: usize| {
        let mut block = vec![u8::try_from(number % 251).unwrap(); (1 << 20) - 1];
        block[..8].copy_from_slice(&number.to_be_bytes());
        block
    };
    let feeder = thread::spawn(move || {
        (0..mib).for_each(|number| stdin.write_all(&block(number)).unwrap());
    });
    let mut read = vec![0; (1 << 20) - 1];
    for number in 0..mib {
        stdout.read_exact(&mut read).unwrap();
        assert!(read == block(number), "block {number}");
    }
    assert_eq!(stdout.read(&mut read).unwrap(), 0, "nothing of cb's");
    feeder.join().unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn stdin_is_read_by_the_command_alone() {
    let cb = Cb::new();
    fs::write(cb.path("input"), "one\ntwo\nthree\n").unwrap();
    let mut input = File::open(cb.path("input")).unwrap();
    let mut command = cb.command(["exec", "x", "--", "dd", "bs=4", "count=1", "status=none"]);
    command.stdin(input.try_clone().unwrap());
    Live::start(command).end().code(0).stdout("one\n");
    let mut rest = String::new();
    input.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "two\nthree\n");
    // A rejected call leaves it as it is.
    cb.run(["trip", "-q", "x"]).code(0);
    let mut command = cb.command(["exec", "-q", "x", "--", "cat"]);
    command.stdin(File::open(cb.path("input")).unwrap());
    Live::start(command).end().code(75).stdout("");
}
