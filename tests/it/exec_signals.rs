//! `cb exec` and the signals that people and programs send, without a terminal.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::live::{Live, alive, send, state};
use crate::support::{Cb, Ran, eventually};

/// The signals that a person may mean for the command.
const SENT: [(i32, &str); 6] = [
    (libc::SIGHUP, "HUP"),
    (libc::SIGINT, "INT"),
    (libc::SIGQUIT, "QUIT"),
    (libc::SIGTERM, "TERM"),
    (libc::SIGUSR1, "USR1"),
    (libc::SIGUSR2, "USR2"),
];

/// With and without a group of the child's own, its output through cb or not.
const ALL: [&[&str]; 4] =
    [&[], &["--timeout", "60"], &["--on-open", "cache"], &["--timeout", "60", "--hold-stdout"]];

fn sh(cb: &Cb, options: &[&str], script: &str) -> Command {
    let mut command = cb.command(["exec"]);
    command.args(options).args(["x", "--", "sh", "-c", script]);
    // In a group of its own, like a job of a shell's: what goes to it does not
    // reach the test, and it can be stopped.
    command.current_dir(cb.path("")).process_group(0);
    command
}

/// cb said nothing; the shell of a script says which signal ended its `sleep`.
#[track_caller]
fn said_nothing(ran: &Ran) {
    assert!(!ran.stderr_text().contains("cb"), "{ran}");
}

/// How often a child of a cb in a fresh directory got what was sent `count`
/// times, one after the other.
#[track_caller]
fn deliveries(options: &[&str], signal: i32, name: &str, count: usize) -> usize {
    let cb = Cb::new();
    let script = format!(
        "trap 'echo got >> got' {name}; touch ready; while [ ! -e go ] && [ -e $PWD ]; do sleep 0.02; done"
    );
    let live = Live::start(sh(&cb, options, &script));
    cb.sees("ready");
    for sent in 1..=count {
        live.send(signal);
        eventually("it arrives", || cb.lines("got").len() >= sent);
    }
    cb.touch("go");
    said_nothing(&live.end().code(0));
    cb.lines("got").len()
}

#[test]
fn each_signal_reaches_the_child_once() {
    for (signal, name) in SENT.into_iter().chain([(libc::SIGWINCH, "WINCH"), (37, "RTMIN+3")]) {
        for options in ALL {
            assert_eq!(deliveries(options, signal, name, 4), 4, "{name} {options:?}");
        }
    }
}

#[test]
fn cb_outlives_the_child_and_ends_as_it_does() {
    for (signal, name) in SENT {
        for options in ALL {
            let cb = Cb::new();
            let script = format!(
                "trap 'touch got; while [ ! -e go ] && [ -e $PWD ]; do sleep 0.02; done; touch done; exit 7' \
                 {name}; touch ready; while :; do sleep 0.02; done"
            );
            let mut live = Live::start(sh(&cb, options, &script));
            cb.sees("ready");
            live.send(signal);
            cb.sees("got");
            assert!(live.runs(), "cb waits for its child");
            cb.touch("go");
            said_nothing(&live.end().code(7));
            assert!(cb.path("done").exists(), "{name}: the child was done first");
        }
    }
}

#[test]
fn a_call_that_a_person_ended_is_ignored() {
    for options in ALL {
        let cb = Cb::new();
        let options: Vec<&str> =
            options.iter().copied().chain(["--consecutive-failures", "1"]).collect();
        for (count, (signal, name)) in (1..).zip(SENT) {
            let live = Live::start(sh(&cb, &options, "touch ready; ulimit -c 0; exec sleep 60"));
            cb.sees("ready");
            eventually("sleep sleeps", || fs::remove_file(cb.path("ready")).is_ok());
            live.send(signal);
            live.end().signal(signal).stdout("").stderr("");
            assert_eq!((cb.total("x", "ignored"), cb.total("x", "failed")), (count, 0), "{name}");
        }
        cb.is("x", "closed");
    }
}

#[test]
fn a_code_after_a_request_to_end_is_ignored() {
    let check = |signal: i32, trap: &str, code: i32, total: &str| {
        for options in ALL {
            let cb = Cb::new();
            let script = format!("{trap}; touch ready; while :; do sleep 0.02; done");
            let live = Live::start(sh(&cb, options, &script));
            cb.sees("ready");
            live.send(signal);
            said_nothing(&live.end().code(code));
            assert_eq!(cb.total("x", total), 1, "{trap} {options:?}");
        }
    };
    check(libc::SIGINT, "trap 'exit 130' INT", 130, "ignored");
    check(libc::SIGTERM, "trap 'exit 1' TERM", 1, "ignored");
    check(libc::SIGTERM, "trap 'exit 0' TERM", 0, "succeeded");
    check(libc::SIGHUP, "trap 'exit 129' HUP", 129, "ignored");
    // "Read your files again", and a failure of the command's own.
    check(libc::SIGHUP, "trap 'exit 1' HUP", 1, "failed");
    check(libc::SIGUSR1, "trap 'exit 1' USR1", 1, "failed");
}

#[test]
fn a_signal_that_others_send_to_the_child_is_a_failure() {
    for options in ALL {
        let cb = Cb::new();
        let live = Live::start(sh(&cb, options, "echo $$ > pid; exec sleep 60"));
        send(cb.pid("pid"), libc::SIGTERM);
        live.end().signal(libc::SIGTERM).stderr("");
        assert_eq!((cb.total("x", "failed"), cb.total("x", "ignored")), (1, 0));
    }
}

#[test]
fn an_ignored_trial_gives_its_permit_back() {
    let cb = Cb::new();
    cb.make_due("x");
    let live = Live::start(sh(&cb, &[], "touch ready; exec sleep 60"));
    cb.sees("ready");
    cb.exec("x", ["true"]).code(75).one_line("half-open");
    live.send(libc::SIGTERM);
    live.end().signal(libc::SIGTERM);
    cb.is("x", "half-open");
    cb.exec("x", ["true"]).code(0);
    cb.is("x", "closed");
}

#[test]
fn tstp_and_cont_stop_and_resume_both() {
    for options in ALL {
        let cb = Cb::new();
        cb.gate("go");
        let script = "echo $$ > pid; read _ < go; exit 7";
        let live = Live::start(sh(&cb, options, script));
        let child = cb.pid("pid");
        for _ in 0..3 {
            live.send(libc::SIGTSTP);
            eventually("both are stopped", || {
                state(live.pid()) == Some('T') && state(child) == Some('T')
            });
            live.send(libc::SIGCONT);
            eventually("both go on", || {
                state(live.pid()) != Some('T') && state(child) != Some('T')
            });
        }
        cb.open_gate("go");
        live.end().code(7).stderr("");
        assert_eq!(cb.total("x", "failed"), 1);
    }
}

#[test]
fn a_child_that_stops_itself_stops_cb_and_goes_on_with_it() {
    for options in ALL {
        let cb = Cb::new();
        let script = "echo $$ > pid; kill -TSTP $$; exit 7";
        let live = Live::start(sh(&cb, options, script));
        let child = cb.pid("pid");
        eventually("both are stopped", || {
            state(live.pid()) == Some('T') && state(child) == Some('T')
        });
        live.send(libc::SIGCONT);
        live.end().code(7).stderr("");
    }
}

/// The time that both are stopped does not count.
fn stopped_for_longer_than_the_timeout(options: &[&str]) {
    let cb = Cb::new();
    cb.gate("go");
    let script = "echo $$ > pid; read _ < go; exit 7";
    let live = Live::start(sh(&cb, options, script));
    let child = cb.pid("pid");
    live.send(libc::SIGTSTP);
    eventually("both are stopped", || state(live.pid()) == Some('T') && state(child) == Some('T'));
    // Not to wait for anything: this is the time that must not count.
    thread::sleep(Duration::from_millis(5500));
    live.send(libc::SIGCONT);
    cb.open_gate("go");
    live.end().code(7).stderr("");
    let last = &cb.status("x")["last_failure"];
    assert_eq!(last["timed_out"], false);
    assert!(last["duration_ms"].as_u64().is_some_and(|ms| ms < 5500), "{last}");
}

#[test]
fn the_timeout_pauses_while_both_are_stopped() {
    stopped_for_longer_than_the_timeout(&["--timeout", "5"]);
}

#[test]
fn the_timeout_pauses_in_the_foreground_too() {
    stopped_for_longer_than_the_timeout(&["--timeout", "5", "--foreground"]);
}

#[test]
fn a_signal_to_the_whole_group_reaches_what_runs_in_it() {
    let cb = Cb::new();
    // As a supervisor's stop does it: cb and the child get it one after another.
    let live = Live::start(sh(&cb, &[], "echo $$ > pid; exec sleep 60"));
    let child = cb.pid("pid");
    send(-live.pid(), libc::SIGTERM);
    live.end().signal(libc::SIGTERM).stderr("");
    assert!(!alive(child));
    assert_eq!((cb.total("x", "ignored"), cb.total("x", "failed")), (1, 0));
}

#[test]
fn a_stopped_child_that_is_told_to_end_is_not_waited_for() {
    let cb = Cb::new();
    // Long enough for the shell to stop itself on a busy machine.
    let live = Live::start(sh(&cb, &["--timeout", "2"], "kill -STOP $$; exit 7"));
    live.end().code(124).one_line("cb: x: timed out after 2s");
}

#[test]
fn after_kill_nine_of_cb_the_child_goes_on() {
    for options in ALL {
        let cb = Cb::new();
        let script =
            "echo $$ > pid; while [ ! -e go ] && [ -e $PWD ]; do sleep 0.02; done; touch done";
        let live = Live::start(sh(&cb, options, script));
        let child = cb.pid("pid");
        live.send(libc::SIGKILL);
        live.end().signal(libc::SIGKILL);
        assert!(alive(child));
        cb.touch("go");
        cb.sees("done");
        // The breaker is whole: it counts what it was told, and goes on.
        cb.exec("x", ["true"]).code(0).stderr("");
        assert_eq!((cb.total("x", "admitted"), cb.total("x", "succeeded")), (2, 1));
    }
}

#[test]
fn with_die_with_parent_the_child_gets_a_term() {
    for options in [&["--die-with-parent"][..], &["--die-with-parent", "--timeout", "60"]] {
        let cb = Cb::new();
        let script = "trap 'touch term; exit' TERM; echo $$ > pid; while :; do sleep 0.02; done";
        let live = Live::start(sh(&cb, options, script));
        let child = cb.pid("pid");
        live.send(libc::SIGKILL);
        live.end().signal(libc::SIGKILL);
        cb.sees("term");
        eventually("the child is gone", || !alive(child));
    }
}

#[test]
fn after_kill_nine_of_cb_its_trial_is_free_at_once() {
    for options in ALL {
        let cb = Cb::new();
        cb.make_due("x");
        let script =
            "echo $$ > pid; while [ ! -e go ] && [ -e $PWD ]; do sleep 0.02; done; touch done";
        let live = Live::start(sh(&cb, options, script));
        let child = cb.pid("pid");
        cb.exec("x", ["true"]).code(75).one_line("half-open");
        live.send(libc::SIGKILL);
        live.end().signal(libc::SIGKILL);
        // The very next call, while the child of the lost trial is still there.
        cb.exec("x", ["sh", "-c", "echo $CB_STATE"]).code(0).stdout("half-open\n").stderr("");
        assert!(alive(child));
        cb.is("x", "closed");
        cb.touch("go");
        cb.sees("done");
    }
}

#[test]
fn three_lost_trials_are_a_failed_one() {
    let cb = Cb::new();
    cb.make_due("x");
    for _ in 0..3 {
        let live = Live::start(sh(&cb, &["--die-with-parent"], "echo $$ > pid; exec sleep 60"));
        let child = cb.pid("pid");
        live.send(libc::SIGKILL);
        live.end().signal(libc::SIGKILL);
        eventually("the child is gone", || !alive(child));
        fs::remove_file(cb.path("pid")).unwrap();
    }
    cb.exec("x", ["true"]).code(75).one_line("cb: x: not run: open");
}
