//! `--max-concurrent`: so many calls in flight and no more, whoever dies; and
//! `--max-wait`: a place in the line.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::live::{Live, alive, scaled, send, state};
use crate::store::{bounded, can};
use crate::support::{Cb, Ran, binary, crowded, eventually};

/// A call that holds a slot until its gate opens. Its pid is in `NAME.pid`.
#[track_caller]
fn hold(cb: &Cb, max: &str, gate: &str) -> Live {
    cb.gate(gate);
    let script = format!("echo $$ > {gate}.pid; read _ < {gate}");
    let live = Live::start(cb.sh(["--max-concurrent", max], "pay", &script));
    cb.pid(&format!("{gate}.pid"));
    live
}

/// `cb exec --max-concurrent MAX OPTIONS pay -- sh -c SCRIPT`.
fn limited(cb: &Cb, max: &str, options: &[&str], script: &str) -> Command {
    let mut command = cb.command(["exec", "--max-concurrent", max]);
    command.args(options).args(["pay", "--", "sh", "-c", script]).current_dir(cb.path(""));
    command
}

/// How many calls stand in the line.
fn waiting(cb: &Cb) -> usize {
    let Ok(dir) = fs::read_dir(cb.store().join("pay/slots")) else { return 0 };
    dir.filter(|entry| {
        entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("wait-"))
    })
    .count()
}

#[test]
fn so_many_run_at_once_and_the_next_is_rejected() {
    let cb = Cb::new();
    let first = hold(&cb, "2", "one");
    let second = hold(&cb, "2", "two");
    let path = cb.path("result");
    let options = ["--result-file", path.to_str().expect("UTF-8")];
    let ran = Ran::of(limited(&cb, "2", &options, "echo ran")).code(75).stdout("");
    ran.one_line("cb: pay: not run: 2 calls are in flight already\n");
    let report: Value = serde_json::from_slice(&fs::read(&path).unwrap()).expect("JSON");
    assert_eq!((&report["outcome"], &report["reason"]), (&"rejected".into(), &"bulkhead".into()));
    assert_eq!((&report["state_after"], &report["ran"]), (&"closed".into(), &false.into()));
    assert_eq!(report["retry_after_ms"], Value::Null);
    // Each call has its own limit, over the same slots.
    Ran::of(limited(&cb, "1", &[], "echo ran")).code(75).one_line("a call is in flight already");
    Ran::of(limited(&cb, "3", &[], "echo ran")).code(0).stdout("ran\n").stderr("");
    Ran::of(limited(&cb, "2", &["--open-exit-code", "9", "-q"], "echo ran")).code(9).stderr("");
    cb.exec("pay", ["echo", "unlimited"]).code(0);
    assert_eq!((cb.total("pay", "admitted"), cb.total("pay", "rejected")), (4, 3));
    cb.is("pay", "closed");

    cb.open_gate("one");
    first.end().code(0);
    Ran::of(limited(&cb, "2", &[], "echo ran")).code(0).stdout("ran\n").stderr("");
    cb.open_gate("two");
    second.end().code(0);
    // Another breaker has slots of its own.
    let _third = hold(&cb, "1", "three");
    cb.exec_with(["--max-concurrent", "1"], "mail", ["echo", "ran"]).code(0);
    cb.open_gate("three");
}

#[test]
fn a_full_bulkhead_does_not_open_the_breaker() {
    let cb = Cb::new();
    let first = hold(&cb, "1", "one");
    for _ in 0..10 {
        Ran::of(limited(&cb, "1", &["--consecutive-failures", "1"], "true")).code(75);
    }
    cb.is("pay", "closed");
    cb.open_gate("one");
    first.end().code(0);
    assert_eq!((cb.total("pay", "failed"), cb.total("pay", "rejected")), (0, 10));
}

#[test]
fn who_waits_runs_in_order_of_arrival() {
    let cb = Cb::new();
    let first = hold(&cb, "1", "gate");
    let mut line = Vec::new();
    for number in 1..=5 {
        let script = format!("echo {number} >> order");
        line.push(Live::start(limited(&cb, "1", &["--max-wait", "1h"], &script)));
        eventually("it stands in the line", || waiting(&cb) == number);
    }
    // Nobody who does not wait comes before those who do.
    Ran::of(limited(&cb, "1", &[], "echo no >> order")).code(75);
    cb.open_gate("gate");
    first.end().code(0);
    for live in line {
        live.end().code(0).stderr("");
    }
    assert_eq!(cb.lines("order"), ["1", "2", "3", "4", "5"]);
    assert_eq!(waiting(&cb), 0);
    assert_eq!((cb.total("pay", "succeeded"), cb.total("pay", "rejected")), (6, 1));
}

#[test]
fn who_waits_gives_up_when_the_time_is_over() {
    let cb = Cb::new();
    let first = hold(&cb, "1", "gate");
    Ran::of(limited(&cb, "1", &["--max-wait", "100ms"], "echo ran"))
        .code(75)
        .stdout("")
        .one_line("cb: pay: not run: a call is in flight already");
    Ran::of(limited(&cb, "1", &["--max-wait", "10ms", "--on-open", "run:echo $CB_REASON"], "true"))
        .code(0)
        .stdout("bulkhead\n");
    assert_eq!((waiting(&cb), cb.total("pay", "rejected")), (0, 2));
    cb.open_gate("gate");
    first.end().code(0);
}

#[test]
fn a_killed_holder_frees_its_slot_while_its_command_lives() {
    let cb = Cb::new();
    let first = hold(&cb, "1", "gate");
    let child = cb.pid("gate.pid");
    first.send(libc::SIGKILL);
    first.end().signal(libc::SIGKILL);
    assert!(alive(child));
    Ran::of(limited(&cb, "1", &[], "echo ran")).code(0).stdout("ran\n").stderr("");
    assert!(alive(child));
    cb.open_gate("gate");
    eventually("it is gone", || !alive(child));
}

#[test]
fn a_killed_holder_lets_the_next_in_line_run() {
    let cb = Cb::new();
    let first = hold(&cb, "1", "gate");
    let child = cb.pid("gate.pid");
    let dead = Live::start(limited(&cb, "1", &["--max-wait", "1h"], "echo dead >> order"));
    eventually("it stands in the line", || waiting(&cb) == 1);
    let next = Live::start(limited(&cb, "1", &["--max-wait", "1h"], "echo next >> order"));
    eventually("it stands behind", || waiting(&cb) == 2);
    // Whoever dies in the line holds nobody up.
    dead.send(libc::SIGKILL);
    dead.end().signal(libc::SIGKILL);
    first.send(libc::SIGKILL);
    first.end().signal(libc::SIGKILL);
    next.end().code(0);
    assert_eq!(cb.lines("order"), ["next"]);
    cb.open_gate("gate");
    eventually("it is gone", || !alive(child));
    assert_eq!(Ran::of(limited(&cb, "1", &[], "true")).code(0).stderr_text(), "");
}

#[test]
fn a_stopped_holder_keeps_its_slot() {
    let cb = Cb::new();
    let first = hold(&cb, "1", "gate");
    first.send(libc::SIGSTOP);
    eventually("it is stopped", || state(first.pid()) == Some('T'));
    Ran::of(limited(&cb, "1", &["--max-wait", "50ms"], "echo ran")).code(75).stdout("");
    first.send(libc::SIGCONT);
    cb.open_gate("gate");
    first.end().code(0);
    Ran::of(limited(&cb, "1", &[], "echo ran")).code(0).stdout("ran\n");
}

#[test]
fn an_open_breaker_is_not_waited_for() {
    let cb = Cb::new();
    let first = hold(&cb, "1", "gate");
    cb.run(["trip", "-q", "pay", "--for", "1h"]).code(0);
    // Within the harness's patience, which is shorter than that wait.
    let live = Live::start(limited(&cb, "1", &["--max-wait", "1h"], "echo ran"));
    live.end().code(75).stdout("").one_line("cb: pay: not run: open");
    cb.open_gate("gate");
    first.end().code(0);
    // With room there is nothing to wait for either.
    Ran::of(limited(&cb, "1", &["--max-wait", "1h"], "echo ran")).code(75).one_line("open");
}

#[test]
fn a_breaker_that_opens_ends_the_wait() {
    let cb = Cb::new();
    let first = hold(&cb, "1", "gate");
    let options = ["--max-wait", "1h", "--on-open", "run:echo $CB_REASON"];
    let live = Live::start(limited(&cb, "1", &options, "echo ran"));
    eventually("it stands in the line", || waiting(&cb) == 1);
    cb.run(["trip", "-q", "pay", "--for", "1h"]).code(0);
    live.end().code(0).stdout("open\n").one_line("cb: pay: not run: open");
    assert_eq!(waiting(&cb), 0);
    cb.open_gate("gate");
    first.end().code(0);
}

#[test]
fn a_person_ends_the_wait() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let cb = Cb::new();
        let first = hold(&cb, "1", "gate");
        let mut command = limited(&cb, "1", &["--max-wait", "1h"], "touch ran");
        command.process_group(0);
        let live = Live::start(command);
        eventually("it stands in the line", || waiting(&cb) == 1);
        live.send(signal);
        live.end().signal(signal).stdout("");
        assert!(!cb.path("ran").exists());
        cb.open_gate("gate");
        first.end().code(0);
        Ran::of(limited(&cb, "1", &[], "true")).code(0).stderr("");
    }
}

#[test]
fn a_stand_in_needs_no_slot() {
    let cb = Cb::new();
    cb.gate("go");
    let options = ["--on-failure", "run:touch stands; read _ < go"];
    let live = Live::start(limited(&cb, "1", &options, "exit 1"));
    cb.sees("stands");
    Ran::of(limited(&cb, "1", &[], "echo ran")).code(0).stdout("ran\n").stderr("");
    cb.open_gate("go");
    live.end().code(0);
}

#[test]
fn a_slot_is_free_while_a_call_waits_for_its_next_attempt() {
    let cb = Cb::new();
    let options = ["--retries", "1", "--retry-delay", "1h", "--retry-max-delay", "1h"];
    let live = Live::start(limited(&cb, "1", &options, "exit 1"));
    eventually("it waits", || live.stderr_so_far().contains("next in "));
    Ran::of(limited(&cb, "1", &[], "echo ran")).code(0).stdout("ran\n").stderr("");
    live.send(libc::SIGTERM);
    live.end().signal(libc::SIGTERM);
}

#[test]
fn an_attempt_without_room_ends_the_attempts() {
    let cb = Cb::new();
    let options = ["--retries", "1", "--retry-delay", "2s", "--retry-jitter", "0%"];
    let live = Live::start(limited(&cb, "1", &options, "exit 4"));
    eventually("it waits", || live.stderr_so_far().contains("next in 2s"));
    // However long the other takes to come, it is there first.
    live.send(libc::SIGSTOP);
    let other = hold(&cb, "1", "gate");
    live.send(libc::SIGCONT);
    let ran = live.end().code(4);
    ran.stderr_has("cb: pay: not tried again: a call is in flight already\n");
    cb.open_gate("gate");
    other.end().code(0);
}

/// Takes one of three places that a fourth at the same time would not find.
const TAKE: &str = "for place in 1 2 3; do
        if mkdir place-$place 2>/dev/null; then
            echo ran >> ran; rmdir place-$place; exit 0
        fi
    done
    touch over; exit 1";

#[test]
fn a_crowd_never_is_more_than_the_bulkhead_holds() {
    let _alone = crowded();
    let crowd = scaled("CB_TEST_CROWD", 50);
    let cb = Cb::new();
    let wait = ["--max-wait", "1h", "--consecutive-failures", "0"];
    thread::scope(|scope| {
        for _ in 0..crowd {
            scope.spawn(|| bounded(limited(&cb, "3", &wait, TAKE)).code(0).stderr(""));
        }
    });
    assert!(!cb.path("over").exists());
    assert_eq!((cb.lines("ran").len(), waiting(&cb)), (crowd, 0));
    assert_eq!(cb.total("pay", "succeeded"), crowd as u64);
}

#[test]
fn a_crowd_that_does_not_wait_is_counted() {
    let _alone = crowded();
    let crowd = 50;
    let cb = Cb::new();
    let ran: usize = thread::scope(|scope| {
        let call = || {
            let ran = bounded(limited(&cb, "3", &["--consecutive-failures", "0"], TAKE));
            match ran.status().code() {
                Some(0) => 1,
                Some(75) => 0,
                _ => panic!("{ran}"),
            }
        };
        let calls: Vec<_> = (0..crowd).map(|_| scope.spawn(call)).collect();
        calls.into_iter().map(|call| call.join().expect("it ends")).sum()
    });
    assert!(!cb.path("over").exists());
    assert_eq!(cb.lines("ran").len(), ran);
    assert_eq!(cb.total("pay", "admitted"), ran as u64);
    assert_eq!(cb.total("pay", "rejected"), (crowd - ran) as u64);
}

#[test]
fn killed_holders_never_let_in_more_nor_keep_others_out() {
    let _alone = crowded();
    let cb = Cb::new();
    for round in 0..20 {
        let first = hold(&cb, "1", &format!("gate-{round}"));
        let child = cb.pid(&format!("gate-{round}.pid"));
        let waits = Live::start(limited(&cb, "1", &["--max-wait", "1h"], "echo ran >> ran"));
        eventually("it stands in the line", || waiting(&cb) == 1);
        first.send(libc::SIGKILL);
        waits.end().code(0).stderr("");
        send(child, libc::SIGKILL);
        first.end().signal(libc::SIGKILL);
        assert_eq!(cb.lines("ran").len(), round + 1);
    }
}

#[test]
fn a_storm_of_kills_leaves_nothing_in_the_way() {
    let kills = scaled("CB_TEST_KILLS", 150);
    let cb = Cb::new();
    let options = [
        "--max-wait=1h",
        "--on-open=cache",
        "--on-failure=cache",
        "--retries=1",
        "--retry-delay=1ms",
        "--consecutive-failures=0",
        "--failure-rate=0",
    ];
    // What it says depends on nothing, whether it succeeds depends on the attempt.
    let script = "seq 3000; test $(($$ % 3)) != 0";
    let errors = cb.path("errors");
    thread::scope(|scope| {
        for worker in 0..6 {
            let (cb, errors) = (&cb, &errors);
            scope.spawn(move || {
                for round in 0..kills.div_ceil(6) {
                    let held = ["--hold-stdout"];
                    let more: &[&str] = if round % 2 == 0 { &held } else { &[] };
                    let mut command = limited(cb, "3", &[&options[..], more].concat(), script);
                    let stderr = fs::File::options().create(true).append(true).open(errors);
                    command.stdout(Stdio::null()).stderr(stderr.expect("a file"));
                    let mut child = command.spawn().expect("cb starts");
                    thread::sleep(Duration::from_micros(
                        (worker * 7919 + round * 104_729) as u64 % 25_000,
                    ));
                    child.kill().expect("ours");
                    child.wait().expect("it ends");
                }
            });
        }
    });
    let said = cb.lines("errors");
    let odd = said.iter().find(|line| {
        !["failed (exit status 1)", "not tried again: "].iter().any(|known| line.contains(known))
    });
    assert_eq!(odd, None);
    // The very next call has room, and nobody stands before it.
    let ran = Ran::of(limited(&cb, "1", &["--on-open=cache"], "seq 3000; test $(($$ % 3)) != 3"));
    ran.code(0).stderr("");
    assert_eq!(waiting(&cb), 0);
    // What was kept is whole, whoever was killed while keeping it.
    let whole: String = (1..=3000).map(|line| format!("{line}\n")).collect();
    cb.run(["trip", "-q", "pay"]).code(0);
    let ran = Ran::of(limited(&cb, "1", &["-q", "--on-open=cache", "--on-open=exit:0"], script));
    let text = ran.code(0).stdout_text();
    assert!(text == whole || text.is_empty(), "{} bytes", text.len());
    cb.run(["cache", "drop", "pay"]).code(0);
    assert_eq!(fs::read_dir(cb.store().join("pay/cache")).expect("it is there").count(), 0);
}

#[test]
fn a_store_that_cannot_be_used_holds_nobody() {
    let says = "/dev/null/store: Not a directory";
    let cb = Cb::new().env("CB_STORE", "/dev/null/store");
    let options = ["--max-wait", "1h"];
    Ran::of(limited(&cb, "1", &options, "echo ran"))
        .code(0)
        .stdout("ran\n")
        .one_line(says)
        .stderr_has("; running the command unprotected");
    let refuse = ["--max-wait", "1h", "--on-store-error", "refuse"];
    Ran::of(limited(&cb, "1", &refuse, "echo ran")).code(125).stdout("").one_line(says);
}

#[test]
fn a_read_only_store_holds_nobody() {
    if !can(&["unshare", "-m", "sh", "-c", "true"]) {
        return;
    }
    let cb = Cb::new();
    Ran::of(limited(&cb, "1", &[], "true")).code(0);
    let script = "mount --bind \"$CB_STORE\" \"$CB_STORE\" || exit 99
        mount -o remount,ro,bind \"$CB_STORE\" || exit 99
        exec \"$@\"";
    let through = |options: &[&str]| {
        let mut command = Command::new("unshare");
        cb.environ(&mut command);
        command.args(["-m", "sh", "-c", script, "sh"]).arg(binary());
        command.args(["exec", "--max-concurrent", "1"]).args(options);
        command.args(["pay", "--", "sh", "-c", "echo ran; exit 3"]);
        bounded(command)
    };
    through(&[]).code(3).stdout("ran\n").one_line("Read-only file system");
    through(&["--on-store-error", "refuse"]).code(125).stdout("").one_line("Read-only file system");
}

#[test]
fn only_a_number_of_calls_is_a_limit() {
    let cb = Cb::new();
    for wrong in ["0", "-1", "1001", "many", "1.5", ""] {
        cb.exec_with(["--max-concurrent", wrong], "pay", ["echo", "ran"])
            .code(125)
            .stdout("")
            .one_line("max-concurrent");
    }
    cb.exec_with(["--max-concurrent", "1000"], "pay", ["true"]).code(0).stderr("");
    cb.exec_with(["--max-wait", "1s"], "pay", ["true"]).code(125).one_line("max_concurrent");
}
