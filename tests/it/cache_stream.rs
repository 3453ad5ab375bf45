//! An output on its way through cb: it comes as it is made, ends as it would
//! without cb, and nothing that happens to it breaks the command.

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::cache::{CACHED, files, kept, trip};
use crate::live::{Live, alive, ended, send, stat};
use crate::pty::Pty;
use crate::store::{bounded, can};
use crate::support::{Cb, Ran, binary, eventually};

/// A way through a pipe of cb's, whatever it is for.
const WAYS: [&[&str]; 2] = [&["--on-open", "cache"], &["--on-failure", "cache", "--retries", "2"]];

/// A cb whose stdout the test reads, or does not.
struct Piped {
    child: Child,
    stdout: Option<ChildStdout>,
}

impl Piped {
    fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("cb starts");
        let stdout = child.stdout.take();
        Piped { child, stdout }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    fn reader(&mut self) -> &mut ChildStdout {
        self.stdout.as_mut().expect("it is read")
    }

    /// Reads the rest, and waits for the end.
    #[track_caller]
    fn rest(mut self) -> (Option<i32>, Vec<u8>) {
        let mut all = Vec::new();
        self.reader().read_to_end(&mut all).expect("a pipe");
        (ended(&mut self.child).code(), all)
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a script of bash's, with `$CB` for cb, in the test's directory.
#[track_caller]
fn bash(cb: &Cb, script: &str) -> Ran {
    let mut command = Command::new("bash");
    cb.environ(&mut command);
    command.args(["--norc", "-c", script]).env("CB", binary()).current_dir(cb.path(""));
    bounded(command)
}

#[test]
fn output_comes_as_it_is_made() {
    for options in WAYS {
        let cb = Cb::new();
        cb.gate("go");
        let mut command = cb.command(["exec"]);
        command.args(options).args(["pay", "--", "sh", "-c"]);
        command.arg("printf 'first\\n'; read _ < go; echo last").current_dir(cb.path(""));
        let mut live = Piped::start(command);
        let mut first = [0; 6];
        live.reader().read_exact(&mut first).expect("a line, while the command waits");
        assert_eq!(&first, b"first\n");
        cb.open_gate("go");
        assert_eq!(live.rest(), (Some(0), b"last\n".to_vec()));
        assert_eq!(kept(&cb)[0]["bytes"], 11);
    }
}

#[test]
fn output_comes_to_a_terminal() {
    let cb = Cb::new();
    cb.gate("go");
    let script = "test -t 0 && echo reads; read line; echo got $line; read _ < go; echo last";
    let mut pty = Pty::start(cb.sh(CACHED, "pay", script));
    pty.sees("reads");
    pty.line("typed");
    pty.sees("got typed");
    cb.open_gate("go");
    pty.sees("last");
    assert!(pty.end().success());
    // As the command wrote it: what a terminal makes of it is not kept.
    assert_eq!(kept(&cb)[0]["bytes"], "reads\ngot typed\nlast\n".len());
}

#[test]
fn stdin_is_still_the_callers() {
    let input: Vec<u8> = (0..=255).cycle().take(1_000_000).collect();
    for options in WAYS {
        let cb = Cb::new();
        let mut command = cb.command(["exec"]);
        command.args(options).args(["pay", "--", "cat"]);
        let ran = Ran::fed(command, &input).code(0).stderr("");
        assert!(ran.output.stdout == input, "{options:?}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_it_as_without_cb() {
    let cb = Cb::new();
    let alone = bash(&cb, "yes | head -n 1; echo ${PIPESTATUS[0]}");
    assert_eq!(alone.stdout_text(), "y\n141\n");
    for option in ["--on-open", "--on-failure"] {
        let script =
            format!("\"$CB\" exec {option} cache pay -- yes | head -n 1; echo ${{PIPESTATUS[0]}}");
        bash(&cb, &script).stdout("y\n141\n").stderr("");
    }
    assert_eq!((cb.total("pay", "ignored"), cb.total("pay", "failed")), (2, 0));
    assert_eq!(files(&cb, "pay"), [] as [&str; 0]);
}

#[test]
fn a_command_that_ignores_pipes_sees_the_error_as_without_cb() {
    let cb = Cb::new();
    let ends = "| head -n 1; echo ${PIPESTATUS[0]}";
    let alone = bash(&cb, &format!("trap '' PIPE; yes {ends}"));
    let through =
        bash(&cb, &format!("trap '' PIPE; \"$CB\" exec --on-open cache pay -- yes {ends}"));
    assert_eq!(through.stdout_text(), alone.stdout_text());
    assert_eq!(through.stderr_text(), alone.stderr_text());
}

#[test]
fn a_command_that_closes_its_stdout_runs_on() {
    let cb = Cb::new();
    cb.gate("go");
    let script = "echo all; exec >&-; touch ready; read _ < go; exit 0";
    let live = Live::start(cb.sh(CACHED, "pay", script));
    cb.sees("ready");
    // cb has nothing to do meanwhile: it sleeps, and does not ask again and again.
    let ticks = || stat(live.pid(), 14) + stat(live.pid(), 15);
    let before = ticks();
    thread::sleep(Duration::from_millis(300));
    assert!(ticks() - before < 10, "it is busy");
    cb.open_gate("go");
    live.end().code(0).stdout("all\n").stderr("");
    assert_eq!(kept(&cb)[0]["bytes"], 4);
}

#[test]
fn a_part_is_not_kept() {
    let cb = Cb::new();
    // It takes no notice, and succeeds.
    let script = "trap '' PIPE; i=0; while [ $i -lt 50000 ]; do echo some line; i=$((i+1)); done \
                  2>/dev/null; exit 0";
    let run =
        format!("\"$CB\" exec --on-open cache pay -- sh -c \"{}\"", script.replace('$', "\\$"));
    bash(&cb, &format!("{run} | head -c 1; echo; echo ${{PIPESTATUS[0]}}")).stdout("s\n0\n");
    assert_eq!(files(&cb, "pay"), [] as [&str; 0]);
    trip(&cb, "pay");
    bash(&cb, &run).code(75).stdout("");
}

#[test]
fn what_a_command_leaves_behind_is_not_waited_for() {
    for options in WAYS {
        let cb = Cb::new();
        let script = "sleep 60 & echo $! > pid; echo hi";
        let mut command = cb.command(["exec"]);
        command.args(options).args(["pay", "--", "sh", "-c", script]).current_dir(cb.path(""));
        let live = Live::start(command);
        let child = cb.pid("pid");
        // Within the harness's patience, which is shorter than that sleep.
        let ran = live.end();
        send(child, libc::SIGKILL);
        ran.code(0).stdout("hi\n").one_line("its output is not kept: its end was not seen");
        assert_eq!(files(&cb, "pay"), [] as [&str; 0]);
        assert_eq!(cb.total("pay", "succeeded"), 1);
    }
}

#[test]
fn a_closed_stdout_is_closed_for_the_command_too() {
    let cb = Cb::new();
    let alone = bash(&cb, "sh -c 'echo hi' >&-");
    let through = bash(&cb, "\"$CB\" exec --on-open cache pay -- sh -c 'echo hi' >&-");
    assert_eq!(through.status(), alone.status(), "{through}");
    through.stderr(&alone.stderr_text());
    // One that writes nothing does not mind.
    bash(&cb, "\"$CB\" exec --on-open cache pay -- true >&-").code(0);
    assert_eq!(files(&cb, "pay"), [] as [&str; 0]);
    bash(&cb, "\"$CB\" exec --on-open cache pay -- echo hi").code(0);
    trip(&cb, "pay");
    // Where something has to be said and nobody can hear it, that is an error.
    bash(&cb, "\"$CB\" exec -q --on-open cache pay -- echo hi >&-").code(125).stderr_has("stdout");
}

#[test]
fn a_full_stdout_is_one_line_and_no_success() {
    let cb = Cb::new();
    for (number, options) in (1..).zip([
        "--on-open cache",
        "--hold-stdout",
        "--hold-stdout --on-open cache",
        "--on-open cache --retries 3",
    ]) {
        let script = format!(
            "\"$CB\" exec {options} --result-file result pay -- echo hi{number} > /dev/full"
        );
        let ran = bash(&cb, &script);
        assert!(!ran.status().success(), "{ran}");
        ran.one_line("No space left on device");
        assert_eq!(cb.lines("result").len(), 1, "{options}: {:?}", cb.lines("result"));
    }
    bash(&cb, "\"$CB\" exec --on-open cache pay -- echo hi").code(0);
    trip(&cb, "pay");
    let ran = bash(&cb, "\"$CB\" exec -q --on-open cache pay -- echo hi > /dev/full");
    ran.code(125).stderr_has("No space left on device");
}

#[test]
fn a_report_of_a_failure_stays_one_where_the_replay_fails() {
    let cb = Cb::new();
    let exec =
        "\"$CB\" exec --result-file result --on-failure cache pay -- sh -c 'echo hi; exit $CODE'";
    bash(&cb, &format!("CODE=0 {exec}")).code(0);
    let ran = bash(&cb, &format!("CODE=4 {exec} > /dev/full"));
    ran.code(125).stderr_has("cannot write to stdout: No space left on device\n");
    let [report] = &cb.lines("result")[..] else { panic!("{:?}", cb.lines("result")) };
    let report: serde_json::Value = serde_json::from_str(report).expect("JSON");
    assert_eq!((&report["ran"], &report["attempts"]), (&true.into(), &1.into()));
}

#[test]
fn a_slow_reader_delays_no_outcome() {
    let cb = Cb::new();
    for options in [&[][..], &["--retries", "1"]] {
        let mut command = cb.command(["exec"]);
        command.args(CACHED).args(options).args(["pay", "head", "-c", "100000", "/dev/zero"]);
        let before = recorded(&cb, "succeeded");
        let live = Piped::start(command);
        eventually("it is recorded while nobody reads", || recorded(&cb, "succeeded") > before);
        let (code, all) = live.rest();
        assert_eq!((code, all.len()), (Some(0), 100_000));
    }
    assert_eq!(kept(&cb)[0]["bytes"], 100_000);
}

/// A total of the breaker, once it is there.
fn recorded(cb: &Cb, total: &str) -> u64 {
    if cb.store().join("pay/state").exists() { cb.total("pay", total) } else { 0 }
}

#[test]
fn a_slow_reader_delays_no_timeout() {
    let cb = Cb::new();
    let mut command = cb.command(["exec", "--timeout", "0.3"]);
    command.args(CACHED).args(["pay", "--", "yes"]);
    let mut live = Piped::start(command);
    eventually("it is recorded while nobody reads", || recorded(&cb, "failed") == 1);
    // Whoever sees that it hangs can end it.
    send(live.pid(), libc::SIGTERM);
    ended(&mut live.child);
    let mut command = cb.command(["exec", "--timeout", "0.3"]);
    command.args(CACHED).args(["pay", "--", "yes"]);
    let mut live = Piped::start(command);
    eventually("it is recorded while nobody reads", || recorded(&cb, "failed") == 2);
    live.stdout = None;
    assert_eq!(ended(&mut live.child).code(), Some(124));
    assert_eq!(files(&cb, "pay"), [] as [&str; 0]);
}

#[test]
fn a_timeout_ends_all_that_hold_the_pipe() {
    for options in WAYS {
        let cb = Cb::new();
        let script = "trap '' TERM; sleep 60 & echo $! > pid; echo part; wait; exec sleep 60";
        let mut command = cb.command(["exec", "--timeout=1", "--kill-after=0.1", "--retries=0"]);
        command.args(options.iter().take(2)).args(["pay", "--", "sh", "-c", script]);
        command.current_dir(cb.path(""));
        let live = Live::start(command);
        let child = cb.pid("pid");
        let ran = live.end().code(137);
        eventually("it is gone", || !alive(child));
        assert!(ran.stdout_text().starts_with("part\n"), "{ran}");
        ran.stderr_has("timed out after 1s").stderr_has("killed");
        assert_eq!(files(&cb, "pay"), [] as [&str; 0]);
    }
}

#[test]
fn a_signal_reaches_a_command_whose_reader_is_slow() {
    let cb = Cb::new();
    let script =
        "trap 'touch got; exit 3' TERM; echo $$ > pid; while :; do yes | head -c 65536; done";
    let mut live = Piped::start(cb.sh(CACHED, "pay", script));
    cb.pid("pid");
    let mut some = [0; 65536];
    live.reader().read_exact(&mut some).expect("output");
    send(live.pid(), libc::SIGTERM);
    // The shell sees it once its `head` is done, which needs a reader.
    let (code, _) = live.rest();
    assert_eq!(code, Some(3));
    assert!(cb.path("got").exists());
}

/// The most memory that a process had, in KiB.
#[track_caller]
fn peak_kib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn memory_is_bounded() {
    const MIB: usize = 1 << 20;
    let check = |options: &[&str], out: usize, input: usize| {
        let cb = Cb::new();
        cb.gate("go");
        let script =
            format!("head -c {out} /dev/zero; cat | wc -c > read; touch done; read _ < go; exit 0");
        let mut command = cb.command(["exec"]);
        command.args(options).args(["pay", "--", "sh", "-c", &script]).current_dir(cb.path(""));
        command.stdin(Stdio::piped());
        let mut live = Piped::start(command);
        let mut stdin = live.child.stdin.take().expect("a pipe");
        let mut stdout = live.stdout.take().expect("a pipe");
        thread::scope(|scope| {
            scope.spawn(move || {
                let chunk = vec![7; MIB];
                (0..input / MIB).for_each(|_| stdin.write_all(&chunk).expect("it is read"));
            });
            let reader = scope.spawn(move || {
                let mut chunk = vec![0; MIB];
                let mut count = 0;
                while let Ok(read @ 1..) = stdout.read(&mut chunk) {
                    count += read;
                }
                count
            });
            cb.sees("done");
            let peak = peak_kib(live.pid());
            cb.open_gate("go");
            assert_eq!(ended(&mut live.child).code(), Some(0));
            assert_eq!(reader.join().expect("a count"), out, "{options:?}");
            assert_eq!(cb.lines("read"), [input.to_string()]);
            assert!(peak < 16 * 1024, "{options:?}: {peak} KiB");
        });
    };
    check(&CACHED, 200 * MIB, 0);
    check(&["--hold-stdout"], 60 * MIB, 0);
    check(&["--hold-stdout"], 80 * MIB, 0);
    check(&["--retries", "2"], 0, 60 * MIB);
    check(&["--retries", "2"], 0, 80 * MIB);
}

#[test]
fn a_full_disk_breaks_no_command() {
    let mount = "mount -t tmpfs -o size=64k,mode=700 none \"$CB_STORE\" || exit 99";
    if !can(&["unshare", "-m", "sh", "-c", "true"]) {
        return;
    }
    let cb = Cb::new();
    fs::create_dir(cb.store()).expect("a store");
    let script = format!(
        "{mount}; \"$CB\" exec --on-open cache pay -- head -c 1000000 /dev/zero | wc -c; \
         echo ${{PIPESTATUS[0]}}; ls -A \"$CB_STORE/pay/cache\"; \
         \"$CB\" exec --on-open cache pay -- echo small; ls \"$CB_STORE/pay/cache\" | wc -l"
    );
    let mut command = Command::new("unshare");
    cb.environ(&mut command);
    command.args(["-m", "bash", "--norc", "-c", &script]).env("CB", binary());
    let ran = bounded(command).code(0).stdout("1000000\n0\nsmall\n1\n");
    ran.one_line("No space left on device; its output is not kept");
}

#[test]
fn a_read_only_store_breaks_no_command() {
    if !can(&["unshare", "-m", "sh", "-c", "true"]) {
        return;
    }
    let cb = Cb::new();
    cb.exec_with(CACHED, "pay", ["echo", "old"]).code(0);
    let script = "mount --bind \"$CB_STORE\" \"$CB_STORE\" || exit 99
        mount -o remount,ro,bind \"$CB_STORE\" || exit 99
        \"$CB\" exec --on-open cache pay -- sh -c 'echo out; exit 4'; echo $?
        \"$CB\" exec --on-failure cache pay -- sh -c 'echo out; exit 0'; echo $?
        \"$CB\" exec --on-store-error refuse --on-open cache pay -- echo out; echo $?";
    let mut command = Command::new("unshare");
    cb.environ(&mut command);
    command.args(["-m", "bash", "--norc", "-c", script]).env("CB", binary());
    let ran = bounded(command).code(0).stdout("out\n4\nout\n0\n125\n");
    ran.stderr_has("Read-only file system; running the command unprotected");
}
