//! What stands in for a call that was rejected or that failed: which action, what
//! it sees, how cb ends then, and the one line that says so.

use std::fs;
use std::os::unix::process::CommandExt;

use serde_json::Value;

use crate::live::Live;
use crate::support::{Cb, Ran, eventually};

/// Tells all that a stand-in is told.
const TELL: &str = "run:printf '%s|' \"$CB_BREAKER\" \"$CB_REASON\" \"$CB_STATE\" \
                    \"$CB_RETRY_AFTER\" \"$CB_EXIT_CODE\"";

/// A cb whose breaker is open.
pub fn open() -> Cb {
    let cb = Cb::new();
    trip(&cb);
    cb
}

#[track_caller]
pub fn trip(cb: &Cb) {
    cb.run(["trip", "-q", "pay", "--for", "1h"]).code(0);
}

/// Runs a call with a report of it; how cb ended, and the report.
#[track_caller]
pub fn reported(cb: &Cb, options: &[&str], command: &[&str]) -> (Ran, Value) {
    let path = cb.path("result");
    let file = ["--result-file", path.to_str().expect("UTF-8")];
    let ran = cb.exec_with(file.iter().chain(options), "pay", command);
    let text = fs::read_to_string(&path).expect("a report");
    assert_eq!(text.matches('\n').count(), 1, "one report: {text}");
    (ran, serde_json::from_str(&text).expect("JSON"))
}

/// What [`TELL`] wrote.
fn told(ran: &Ran) -> Vec<String> {
    let text = ran.stdout_text();
    let mut fields: Vec<String> = text.split('|').map(str::to_owned).collect();
    assert_eq!(fields.pop().as_deref(), Some(""), "{ran}");
    fields
}

#[test]
fn a_stand_in_learns_why_a_call_was_rejected() {
    let cb = open();
    let ran = cb.exec_with(["--on-open", TELL], "pay", ["echo", "ran"]).code(0);
    let fields = told(&ran);
    assert_eq!((&*fields[0], &*fields[1], &*fields[2], &*fields[4]), ("pay", "open", "open", ""));
    let seconds: u32 = fields[3].parse().expect("seconds");
    assert!((3500..=3600).contains(&seconds), "{seconds}");
    ran.one_line("cb: pay: not run: open").stderr_has("; a command stands in\n");

    cb.run(["hold", "-q", "pay", "forced-open"]).code(0);
    let ran = cb.exec_with(["--on-open", TELL], "pay", ["echo", "ran"]).code(0);
    assert_eq!(told(&ran), ["pay", "open", "forced-open", "", ""]);
    ran.one_line("forced-open");
}

#[test]
fn a_stand_in_learns_that_no_trial_is_free() {
    let cb = Cb::new();
    cb.make_due("pay");
    cb.gate("go");
    let trial = Live::start(cb.sh([], "pay", "touch ready; read _ < go"));
    cb.sees("ready");
    let ran = cb.exec_with(["--on-open", TELL], "pay", ["echo", "ran"]).code(0);
    let fields = told(&ran);
    assert_eq!(fields[..3], ["pay", "open", "half-open"]);
    assert_eq!(fields[4], "");
    ran.one_line("half-open");
    cb.open_gate("go");
    trial.end().code(0);
    assert_eq!(cb.total("pay", "rejected"), 1);
}

#[test]
fn a_stand_in_learns_that_there_is_no_room() {
    let cb = Cb::new();
    cb.gate("go");
    let first = Live::start(cb.sh(["--max-concurrent", "1"], "pay", "touch ready; read _ < go"));
    cb.sees("ready");
    let options = ["--max-concurrent", "1", "--on-open", TELL];
    let (ran, report) = reported(&cb, &options, &["echo", "ran"]);
    assert_eq!(told(&ran), ["pay", "bulkhead", "closed", "", ""]);
    ran.code(0).one_line("a call is in flight already");
    assert_eq!(report["fallback"], "run");
    cb.open_gate("go");
    first.end().code(0);
}

#[test]
fn a_stand_in_learns_how_a_call_failed() {
    let cb = Cb::new();
    let failed = |options: &[&str], script: &str, expected: [&str; 2], says: &str| {
        let options = [options, &["--consecutive-failures", "0", "--on-failure", TELL]].concat();
        let (ran, report) = reported(&cb, &options, &["sh", "-c", script]);
        let [reason, code] = expected;
        assert_eq!(told(&ran), ["pay", reason, "closed", "", code], "{script}");
        let last = ran.stderr_text().lines().last().unwrap_or_default().to_owned();
        assert_eq!(last, format!("cb: pay: failed ({says}); a command stands in"));
        assert_eq!(ran.status().code(), Some(0));
        assert_eq!((&report["outcome"], &report["fallback"]), (&"failure".into(), &"run".into()));
        assert_eq!((&report["ran"], &report["attempts"]), (&true.into(), &1.into()));
    };
    failed(&[], "exit 7", ["failure", "7"], "exit status 7");
    failed(&[], "kill -TERM $$", ["failure", "143"], "killed by signal 15");
    failed(&[], "ulimit -c 0; kill -SEGV $$", ["failure", "139"], "killed by signal 11");
    failed(&["--timeout", "0.1"], "exec sleep 60", ["timeout", "124"], "timed out");
    assert_eq!((cb.total("pay", "failed"), cb.total("pay", "succeeded")), (4, 0));
}

/// How every action serves: its name in a report, the status, and stdout.
const ACTIONS: [(&str, Option<&str>, i32, &str); 5] = [
    ("exit:9", None, 9, ""),
    ("run:echo other; exit 8", Some("run"), 8, "other\n"),
    ("cache", Some("cache"), 0, "good\n"),
    ("cache:1h", Some("cache"), 0, "good\n"),
    ("queue", Some("queue"), 76, ""),
];

/// Every action where this happens to a call of `sh -c 'eval "$SCRIPT"'`.
#[track_caller]
fn each_action(cb: &Cb, option: &str, script: &str, options: &[&str]) {
    for (action, fallback, code, stdout) in ACTIONS {
        let path = cb.path("result");
        let mut command = cb.command(["exec", "--drain", "manual", option, action]);
        command.arg("--result-file").arg(&path).args(options).env("SCRIPT", script);
        command.args(["pay", "--", "sh", "-c", "eval \"$SCRIPT\""]);
        let ran = Ran::of(command).code(code).stdout(stdout);
        assert_eq!(
            ran.stderr_text().matches("stands in").count()
                + ran.stderr_text().matches("queued as").count(),
            1
        );
        let report: Value =
            serde_json::from_slice(&fs::read(&path).expect("a report")).expect("JSON");
        assert_eq!(report["fallback"].as_str(), fallback, "{action}: {report}");
        assert_eq!(report["job_id"].is_string(), fallback == Some("queue"), "{report}");
    }
}

/// Keeps a good output of the call in question.
#[track_caller]
fn keep_good(cb: &Cb) {
    let mut command = cb.command(["exec", "--on-open", "cache", "pay", "--"]);
    command.args(["sh", "-c", "eval \"$SCRIPT\""]).env("SCRIPT", "echo good");
    Ran::of(command).code(0).stdout("good\n");
}

#[test]
fn each_action_serves_whatever_happened() {
    let cb = Cb::new();
    keep_good(&cb);
    let closed = ["--consecutive-failures", "0", "--failure-rate", "0"];
    each_action(&cb, "--on-failure", "exit 3", &closed);
    each_action(&cb, "--on-failure", "kill -KILL $$", &closed);
    let timed = [&closed[..], &["--timeout", "0.1"]].concat();
    each_action(&cb, "--on-failure", "exec sleep 60", &timed);
    trip(&cb);
    each_action(&cb, "--on-open", "echo ran", &[]);
    cb.run(["hold", "-q", "pay", "forced-open"]).code(0);
    each_action(&cb, "--on-open", "echo ran", &[]);

    let cb = Cb::new();
    keep_good(&cb);
    cb.gate("go");
    let first = Live::start(cb.sh(["--max-concurrent", "1"], "pay", "touch ready; read _ < go"));
    cb.sees("ready");
    each_action(&cb, "--on-open", "echo ran", &["--max-concurrent", "1"]);
    cb.open_gate("go");
    first.end().code(0);

    fs::remove_file(cb.path("ready")).unwrap();
    cb.make_due("pay");
    let trial = Live::start(cb.sh([], "pay", "touch ready; read _ < go"));
    cb.sees("ready");
    each_action(&cb, "--on-open", "echo ran", &[]);
    cb.open_gate("go");
    trial.end().code(0);
}

#[test]
fn the_state_after_a_failure_is_the_one_that_it_made() {
    let cb = Cb::new();
    let options = ["--consecutive-failures", "1", "--on-failure", TELL];
    let ran = cb.exec_with(options, "pay", ["false"]).code(0);
    assert_eq!(told(&ran)[..3], ["pay", "failure", "open"]);
}

#[test]
fn the_first_that_serves_stands_in() {
    let cb = open();
    let chain = ["--on-open", "cache", "--on-open", "run:echo one", "--on-open", "run:echo two"];
    cb.exec_with(chain, "pay", ["echo", "ran"])
        .code(0)
        .stdout("one\n")
        .one_line("; no output of it is kept; a command stands in\n");
    let chain = ["--on-open", "cache:1h", "--on-open", "exit:9"];
    cb.exec_with(chain, "pay", ["echo", "ran"])
        .code(9)
        .stdout("")
        .one_line("; no output of it is kept; exit status 9 stands in\n");
    let chain = ["--on-open", "cache", "--on-open", "fail"];
    let ran = cb.exec_with(chain, "pay", ["echo", "ran"]).code(75).stdout("");
    assert!(ran.stderr_text().ends_with("; no output of it is kept\n"), "{ran}");
    ran.one_line("cb: pay: not run: open");
    // A chain that comes to its end is as one that fails.
    cb.exec_with(["--on-open", "cache"], "pay", ["echo", "ran"]).code(75).stdout("");
    let (ran, report) = reported(&cb, &["--on-open", "exit:0"], &["echo", "ran"]);
    ran.code(0).stdout("").one_line("exit status 0 stands in");
    assert_eq!(report["outcome"], "rejected");
    assert_eq!((&report["exit_code"], &report["fallback"]), (&0.into(), &Value::Null));
    assert_eq!(cb.total("pay", "rejected"), 5);
}

#[test]
fn chains_come_from_the_config_and_flags_take_their_place() {
    let cb = Cb::new().config(
        "[defaults]\non_open = \"exit:11\"\non_failure = [\"cache\", \"run:echo from $CB_REASON\"]\n\
         [breaker.\"pay\"]\non_open = [\"cache:5m\", \"exit:12\"]\n",
    );
    trip(&cb);
    cb.exec("pay", ["true"]).code(12);
    cb.exec_with(["--on-open", "exit:13"], "pay", ["true"]).code(13);
    cb.run(["trip", "-q", "other"]).code(0);
    cb.exec("other", ["true"]).code(11);
    cb.exec("mail", ["false"]).code(0).stdout("from failure\n");
    cb.exec_with(["--on-failure", "fail"], "mail", ["false"]).code(1).stdout("").stderr("");
}

#[test]
fn a_wrong_chain_is_a_wrong_word() {
    let cb = open();
    for (action, says) in [
        ("", "--on-open"),
        ("stop", "stop"),
        ("run:", "empty"),
        ("run: \t", "empty"),
        ("exit:256", "0 to 255"),
        ("exit:-1", "exit"),
        ("cache:0", "time to live"),
        ("queue:1", "queue"),
    ] {
        let ran = cb.exec_with(["--on-open", action], "pay", ["echo", "ran"]).code(125).stdout("");
        ran.one_line(says);
    }
    cb.exec_with(["--on-open", "fail", "--on-open", "exit:1"], "pay", ["echo", "ran"])
        .code(125)
        .stdout("")
        .one_line("nothing can follow 'fail'");
}

#[test]
fn nothing_that_stands_in_counts() {
    let cb = Cb::new();
    cb.make_due("pay");
    let options = ["--half-open-calls", "1", "--on-failure", "run:true"];
    cb.exec_with(options, "pay", ["false"]).code(0);
    cb.is("pay", "open");
    for _ in 0..10 {
        cb.exec_with(["--on-open", "run:false"], "pay", ["true"]).code(1);
    }
    assert_eq!((cb.total("pay", "failed"), cb.total("pay", "succeeded")), (1, 0));
    assert_eq!((cb.total("pay", "admitted"), cb.total("pay", "rejected")), (1, 10));
}

#[test]
fn quiet_is_quiet() {
    let cb = open();
    for action in ["fail", "cache", "exit:1", "run:true", "run:exit 3"] {
        cb.exec_with(["-q", "--on-open", action], "pay", ["true"]).stdout("").stderr("");
    }
    cb.exec_with(["-q", "--on-failure", "run:true"], "mail", ["false"]).code(0).stderr("");
    cb.exec_with(["-q", "--drain", "manual", "--on-open", "queue"], "pay", ["true"])
        .code(76)
        .stdout("")
        .stderr("");
}

#[test]
fn a_queued_call_is_not_a_success() {
    let cb = Cb::new().config("[defaults]\ndrain = \"manual\"\n");
    trip(&cb);
    let (ran, report) = reported(&cb, &["--on-open", "queue"], &["echo", "ran"]);
    let id = report["job_id"].as_str().expect("an id").to_owned();
    let ran = ran.code(76).stdout("");
    ran.one_line(&format!("; queued as {id}\n"));
    assert_eq!((&report["outcome"], &report["fallback"]), (&"rejected".into(), &"queue".into()));
    assert_eq!((&report["exit_code"], &report["attempts"]), (&76.into(), &0.into()));
    let options = ["--on-open", "queue", "--queued-exit-code", "0"];
    cb.exec_with(options, "pay", ["echo", "ran"]).code(0).stdout("").one_line("queued as");
    let options = ["--open-exit-code", "99", "--on-open", "cache"];
    cb.exec_with(options, "pay", ["echo", "ran"]).code(99).stdout("");

    let (ran, report) = reported(&cb, &["--on-failure", "queue"], &["sh", "-c", "exit 4"]);
    ran.code(75);
    assert_eq!(report["fallback"], Value::Null);
    cb.run(["reset", "-q", "pay"]).code(0);
    let (ran, report) = reported(&cb, &["--on-failure", "queue"], &["sh", "-c", "exit 4"]);
    ran.code(76).stdout("").one_line("cb: pay: failed (exit status 4); queued as");
    assert_eq!((&report["outcome"], &report["fallback"]), (&"failure".into(), &"queue".into()));
    assert_eq!((&report["ran"], &report["attempts"]), (&true.into(), &1.into()));
    assert!(report["job_id"].is_string(), "{report}");
    // It ran, so what is told is how it ended, and not what cb makes of it.
    assert_eq!(report["exit_code"], 4);
}

/// Fails after it has read a part of stdin, until there is a file `up`.
const READS_A_PART: &str = "test -e up || { head -c 5 > /dev/null; exit 1; }; cat > got";

#[test]
fn a_queued_call_has_all_of_its_stdin() {
    let input: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    for (options, rejected) in [
        (&["--on-failure", "queue"][..], false),
        (&["--on-failure", "queue", "--retries", "2", "--retry-delay", "1ms"], false),
        (&["--on-open", "queue"], true),
    ] {
        for from_file in [false, true] {
            let cb = Cb::new().config("[defaults]\ndrain = \"manual\"\nattempt_delay = \"1ms\"\n");
            if rejected {
                cb.run(["trip", "-q", "pay", "--for", "1ms"]).code(0);
                cb.run(["hold", "-q", "pay", "forced-open"]).code(0);
            }
            let mut command = cb.command(["exec"]);
            command.args(options).args(["pay", "--", "sh", "-c", READS_A_PART]);
            command.current_dir(cb.path(""));
            if from_file {
                fs::write(cb.path("input"), &input).expect("a file");
                command.stdin(fs::File::open(cb.path("input")).expect("a file"));
                Ran::of(command).code(76);
            } else {
                Ran::fed(command, &input).code(76);
            }
            cb.touch("up");
            cb.run(["reset", "-q", "pay"]).code(0);
            let done = || {
                cb.run(["queue", "run", "-q", "pay"]).code(0);
                cb.path("got").exists()
            };
            eventually("the job is done", done);
            assert!(fs::read(cb.path("got")).expect("what was read") == input, "{options:?}");
        }
    }
}

#[test]
fn a_stdin_over_the_bound_is_not_queued() {
    let cb = Cb::new().config("[defaults]\ndrain = \"manual\"\nqueue_stdin_max = \"4KiB\"\n");
    let fed = |options: &[&str], len: usize| {
        let mut command = cb.command(["exec"]);
        command.args(options).args(["pay", "--", "sh", "-c", "cat > /dev/null; exit 5"]);
        Ran::fed(command, &vec![b'x'; len])
    };
    fed(&["--on-failure", "queue"], 4096).code(76).one_line("; queued as ");
    fed(&["--on-failure", "queue"], 4097).code(5).one_line("; not queued: its stdin is over ");
    trip(&cb);
    fed(&["--on-open", "queue"], 4096).code(76).one_line("; queued as ");
    fed(&["--on-open", "queue"], 4097).code(75).one_line("; not queued: its stdin is over ");
    fed(&["--on-open", "queue", "--on-open", "exit:3"], 4097).code(3).one_line("not queued");
    let list: Value =
        serde_json::from_str(&cb.run(["queue", "list", "pay", "--json"]).code(0).stdout_text())
            .expect("JSON");
    assert_eq!(list["jobs"].as_array().map(Vec::len), Some(2), "{list}");
}

#[test]
fn what_is_ignored_needs_nothing_to_stand_in() {
    let cb = Cb::new();
    let options = ["--on-failure", "run:echo stood in"];
    cb.exec_with(options, "pay", ["cb-no-such-program"]).code(127).stdout("");
    cb.exec_with(options, "pay", ["/"]).code(126).stdout("");
    cb.exec_with(options, "pay", ["sh", "-c", "exit 127"]).code(127).stdout("").stderr("");
    cb.exec_with(options, "pay", ["sh", "-c", "kill -PIPE $$"]).signal(libc::SIGPIPE).stdout("");
    let ignoring = [&options[..], &["--ignore-codes", "3"]].concat();
    cb.exec_with(ignoring, "pay", ["sh", "-c", "exit 3"]).code(3).stdout("").stderr("");
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let mut command = cb.sh(options, "pay", "touch ready; exec sleep 60");
        command.process_group(0);
        let live = Live::start(command);
        cb.sees("ready");
        live.send(signal);
        live.end().signal(signal).stdout("").stderr("");
        fs::remove_file(cb.path("ready")).unwrap();
    }
    assert_eq!((cb.total("pay", "ignored"), cb.total("pay", "failed")), (7, 0));
}

#[test]
fn a_person_who_ends_a_call_wants_nothing_in_its_place() {
    // It has a failure of its own to tell, but only because it was told to end.
    let cb = Cb::new();
    let script = "trap 'exit 1' TERM; touch ready; while :; do sleep 0.02; done";
    let options = ["--on-failure", "run:echo stood in", "--retries", "3"];
    let live = Live::start(cb.sh(options, "pay", script));
    cb.sees("ready");
    live.send(libc::SIGTERM);
    live.end().code(1).stdout("").stderr("");
}

#[test]
fn without_an_action_all_is_as_before() {
    let cb = Cb::new();
    cb.exec("pay", ["sh", "-c", "exit 9"]).code(9).stdout("").stderr("");
    let options = ["--on-open", "fail", "--on-failure", "fail"];
    cb.exec_with(options, "pay", ["sh", "-c", "exit 9"]).code(9).stdout("").stderr("");
    trip(&cb);
    cb.exec("pay", ["echo", "ran"]).code(75).stdout("").one_line("cb: pay: not run: open");
    let (ran, report) = reported(&cb, &["--open-exit-code", "0"], &["echo", "ran"]);
    ran.code(0).stdout("");
    assert_eq!((&report["fallback"], &report["job_id"]), (&Value::Null, &Value::Null));
}

#[test]
fn a_store_that_must_be_used_is_not_stood_in_for() {
    let cb = Cb::new().env("CB_STORE", "/dev/null/store");
    let options = ["--on-open", "run:echo stood in", "--on-store-error", "refuse"];
    cb.exec_with(options, "pay", ["echo", "ran"]).code(125).stdout("").one_line("/dev/null");
    // Where it runs all the same, a failure has its stand-in.
    let options = ["--on-failure", "cache", "--on-failure", "run:echo \"$CB_STATE $CB_REASON\""];
    let ran = cb.exec_with(options, "pay", ["false"]).code(0).stdout("unknown failure\n");
    ran.stderr_has("running the command unprotected").stderr_has("a command stands in");
}

#[test]
fn an_action_that_fails_leaves_stdin_to_the_next() {
    let big = vec![b'x'; 3 << 20];
    for (options, input) in [
        (&["--key", "taken"][..], b"precious\n".as_slice()),
        (&["--queue-stdin-max", "4"], b"precious\n"),
        (&[], &big),
    ] {
        let cb = open();
        let mut add = cb.command(["queue", "add", "--drain", "manual", "--key", "taken", "pay"]);
        add.args(["--", "other"]);
        Ran::of(add).code(0);
        let mut exec = cb.command(["exec", "--on-open", "queue", "--on-open", "run:cat"]);
        exec.args(options).args(["pay", "--", "true"]);
        let ran = Ran::fed(exec, input).code(0).stderr_has("a command stands in");
        assert_eq!(ran.output.stdout.len(), input.len(), "{options:?}");
        assert!(ran.output.stdout == input, "{options:?}");
        // A file is read from where it stood.
        let path = cb.path("input");
        std::fs::write(&path, input).expect("a file");
        let mut exec = cb.command(["exec", "--on-open", "queue", "--on-open", "run:cat"]);
        exec.args(options).args(["pay", "--", "true"]);
        exec.stdin(std::fs::File::open(&path).expect("a file"));
        assert!(Ran::of(exec).code(0).output.stdout == input, "{options:?}");
    }
}
