//! Bugs that were, each with a test named for what must not be again.

use std::fs;
use std::io;
use std::process::{Command, Stdio};

use crate::live::{Live, alive, first, ignore, send};
use crate::support::{Cb, Ran, eventually};

#[test]
fn a_deadline_waits_for_no_reader() {
    let cb = Cb::new();
    let (reader, writer) = io::pipe().expect("a pipe");
    let flood = "trap '' TERM; echo $$ > pid; while :; do echo xxxxxxxxxxxxxxxx || exit; done";
    let mut command = cb.command(["exec", "--timeout", "1", "-k", "0.2", "x", "sh", "-c", flood]);
    command.current_dir(cb.path("")).stdout(writer.try_clone().expect("a descriptor"));
    let mut caller = command.stderr(writer).spawn().expect("cb starts");
    drop(command);
    // Nobody reads, so the command hangs in its output, and cb would in its own.
    eventually("the failure is recorded", || cb.status("x")["totals"]["timed_out"] == 1);
    let pid = fs::read_to_string(cb.path("pid")).expect("a number");
    assert!(!fs::exists(format!("/proc/{}", pid.trim())).expect("readable"), "it was killed");
    // cb itself may be ended while it waits for a reader.
    let term = Command::new("kill").arg(caller.id().to_string()).status().expect("kill runs");
    assert!(term.success());
    caller.wait().expect("it ends");
    drop(reader);
}

#[test]
fn a_breaker_made_anew_takes_no_result_of_the_former() {
    let cb = Cb::new();
    let wait = "touch $0; while [ ! -e go ] && [ -e $PWD ]; do sleep 0.02; done; exit 1";
    let begin = |name: &str| {
        cb.run(["trip", "-q", "x", "--for", "1ms"]).code(0);
        eventually("the trial is due", || cb.status("x")["trial_due"] == true);
        let mut command = cb.command(["exec", "x", "sh", "-c", wait, name]);
        command.current_dir(cb.path(""));
        let trial = Live::start(command);
        eventually("it runs", || cb.path(name).exists());
        trial
    };
    let former = begin("former");
    cb.run(["rm", "x"]).code(0);
    let present = begin("present");
    let token = cb.run(["allow", "y"]).code(0).stdout_text();
    cb.run(["rm", "y"]).code(0);
    cb.exec("y", ["true"]).code(0);
    cb.run(["report", "y", token.trim(), "failure"]).code(0).one_line("came too late to count");
    assert_eq!(cb.status("y")["window"]["failures"], 0);

    // Both fail; only the present one's failure is the present breaker's.
    fs::write(cb.path("go"), "").expect("a file");
    former.end().code(1);
    present.end().code(1);
    let totals = &cb.status("x")["totals"];
    assert_eq!((&totals["stale"], &totals["opened"]), (&1.into(), &2.into()));
}

#[test]
fn a_callers_exit_code_for_open_is_not_the_answer_of_check() {
    let cb = Cb::new();
    let options = ["--open-exit-code", "0", "--consecutive-failures", "1"];
    cb.exec_with(options, "x", ["false"]).code(1);
    cb.run(["check", "x"]).code(75);
    let cb = cb.config("[defaults]\nopen_exit_code = 0\n");
    cb.exec("x", ["true"]).code(0).stdout("").one_line("not run");
    cb.run(["check", "x"]).code(75);
    cb.run(["allow", "x"]).code(75).stdout("");
}

#[test]
fn people_can_mend_a_state_that_cannot_be_read() {
    for words in [["reset", "x"], ["trip", "x"], ["release", "x"]] {
        let cb = Cb::new();
        cb.exec("x", ["true"]).code(0);
        fs::write(cb.store().join("x/state"), "garbage").expect("a state");
        cb.run(["status", "x"]).code(125).one_line("is corrupt").stdout("");
        cb.run(words).code(0).one_line("kept as");
        cb.run(["status", "x"]).code(0).stderr("");
    }
}

#[test]
fn a_report_is_written_even_where_cb_itself_fails() {
    let cb = Cb::new().config("[defaults]\nno_such_key = 1\n");
    fs::write(cb.path("r"), "an old report").expect("a file");
    let mut command = cb.command(["exec", "--result-file", "r", "x", "true"]);
    command.current_dir(cb.path(""));
    Live::start(command).end().code(125).one_line("no_such_key");
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(cb.path("r")).expect("a report")).expect("JSON");
    let told = (&report["ran"], &report["reason"], &report["exit_code"]);
    assert_eq!(told, (&false.into(), &"error".into(), &125.into()));
}

#[test]
fn a_simulation_takes_the_defaults_of_the_file_that_it_is_given() {
    let cb = Cb::new();
    fs::write(cb.path("c.toml"), "[defaults]\nconsecutive_failures = 1\n").expect("a file");
    fs::write(cb.path("t"), "{\"t\":0,\"op\":\"call\",\"outcome\":\"failure\"}\n").expect("a file");
    let (config, trace) = (cb.path("c.toml"), cb.path("t"));
    let state = |words: &[&str]| {
        let mut command = cb.command(["simulate", "--json"]);
        command.args(words).arg(&trace);
        let line = crate::support::Ran::of(command).code(0).stdout_text();
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        line["state"].clone()
    };
    assert_eq!(state(&[]), "closed");
    assert_eq!(state(&["--config", config.to_str().expect("a plain path")]), "open");
}

#[test]
fn a_removal_needs_no_config_and_no_state_that_is_there() {
    let cb = Cb::new();
    cb.exec("x", ["true"]).code(0);
    let cb = cb.config("[defaults]\nno_such_key = 1\n");
    cb.run(["rm", "x"]).code(0).stdout("x: removed\n");
    assert!(!cb.store().join("x").exists());
    // A directory without a state is no breaker yet.
    let cb = Cb::new();
    fs::create_dir_all(cb.store().join("x")).expect("a directory");
    cb.run(["reset", "x"]).code(125).one_line("no such breaker");
    assert!(!cb.store().join("x/state").exists());
}

#[test]
fn a_reader_that_goes_away_opens_no_breaker() {
    let cb = Cb::new();
    for _ in 0..6 {
        let mut command = cb.command(["exec", "x", "sh", "-c", "kill -PIPE $$"]);
        command.stdout(Stdio::null());
        crate::support::Ran::of(command).signal(13);
    }
    assert_eq!(cb.status("x")["totals"]["ignored"], 6);
    cb.is("x", "closed");
}

#[test]
fn a_store_shows_only_what_can_be_a_breaker() {
    let cb = Cb::new();
    cb.exec("x", ["true"]).code(0);
    fs::write(cb.store().join("notes.txt"), "mine").expect("a file");
    let ran = cb.run(["status"]).code(0).stderr("");
    assert_eq!(ran.stdout_text().lines().count(), 2);
}

#[test]
fn a_pipe_in_place_of_a_file_holds_up_no_probe() {
    let cb = Cb::new();
    let pipe = cb.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    // Somebody has to answer before the handshake asks for whom to trust.
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = server.local_addr().expect("an address").to_string();
    let cb = cb.env("SSL_CERT_FILE", &pipe).env("SSL_CERT_DIR", "");
    let ran = cb.run(["probe", "--tls", &at]).code(125);
    ran.one_line("no certificates to trust in ");
}

/// Runs this, started with some signals ignored and one blocked, or none of them.
fn run_with_signals(mut command: Command, changed: bool) {
    first(&mut command, move || {
        let signals = [libc::SIGCHLD, libc::SIGPIPE, libc::SIGHUP];
        signals.into_iter().for_each(|signal| ignore(signal, changed));
        let how = if changed { libc::SIG_BLOCK } else { libc::SIG_UNBLOCK };
        // SAFETY: zeroes are an empty set; it outlives the calls.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigaddset(&raw mut set, libc::SIGUSR1);
            libc::sigprocmask(how, &raw const set, std::ptr::null_mut());
        }
    });
    Ran::of(command).code(0);
}

#[test]
fn a_probed_command_has_the_signals_that_cb_was_started_with() {
    let cb = Cb::new();
    let saved = cb.path("saved").display().to_string();
    let script = format!("exec grep '^Sig[^Q]' /proc/self/status >{saved}");
    let cb = cb.config(&format!("[breaker.x.probe]\ncommand = \"{script}\"\n"));
    for changed in [false, true] {
        let mut plain = Command::new("/bin/sh");
        plain.args(["-c", &script]);
        run_with_signals(plain, changed);
        let expected = cb.lines("saved");
        assert_eq!(expected.len(), 4, "pending, blocked, ignored, caught: {expected:?}");
        // Once, as one of many, and where it is waited for.
        let ways: [&[&str]; 3] =
            [&["probe", "x"], &["probe", "--all"], &["wait", "--probe", "--timeout", "20", "x"]];
        for way in ways {
            fs::remove_file(&saved).expect("it was written");
            run_with_signals(cb.command(way), changed);
            assert_eq!(cb.lines("saved"), expected, "{way:?}, {changed}");
        }
    }
}

#[test]
fn a_probed_command_can_be_ended_by_a_signal() {
    let cb = Cb::new();
    let words = ["probe", "--timeout", "60s", "--", "timeout", "0.1", "sleep", "600"];
    cb.run(words).code(1).stdout_has("exit status 124");
}

#[test]
fn a_probed_command_ends_with_cb_whatever_ends_cb() {
    let cb = Cb::new();
    let script = "echo $$ >pid; while :; do sleep 0.1; done";
    let mut command = cb.command(["probe", "--timeout", "60s", "x", "--", "sh", "-c", script]);
    command.current_dir(cb.path(""));
    let live = Live::start(command);
    let pid = cb.pid("pid");
    send(live.pid(), libc::SIGKILL);
    live.end().signal(libc::SIGKILL);
    eventually("it ends", || !alive(pid));
}

#[test]
fn what_a_probed_command_leaves_in_its_group_ends_with_the_probe() {
    let cb = Cb::new();
    let script = "sleep 1000 & echo $! >>pids";
    let mut command = cb.command(["probe", "--watch", "--interval", "10ms", "--timeout", "60s"]);
    command.args(["--", "sh", "-c", script]).current_dir(cb.path("")).stdout(Stdio::null());
    let live = Live::start(command);
    eventually("it was looked at again and again", || cb.lines("pids").len() > 5);
    live.send(libc::SIGTERM);
    live.end().signal(libc::SIGTERM);
    let left: Vec<i32> = cb.lines("pids").iter().map(|pid| pid.parse().expect("a pid")).collect();
    eventually("all end", || !left.iter().any(|&pid| alive(pid)));
}
