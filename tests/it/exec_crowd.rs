//! Many at once on one breaker: one trial, one transition, and every call counted.
//!
//! `CB_TEST_ROUNDS` (default 2) and `CB_TEST_CALLS` (default 320) make these
//! longer: 100 and 20000 are what a release is held to.

use std::fs;
use std::io;
use std::process::{Command, Stdio};

use crate::live::{Live, scaled};
use crate::support::{Cb, binary, crowded, eventually, got_the_lock};

const CROWD: usize = 200;
const LOOPS: usize = 16;

/// Starts `count` calls that all wait for `gate` to be closed.
fn crowd(cb: &Cb, gate: &io::PipeReader, count: usize, options: &str, script: &str) -> Vec<Live> {
    let start = |_| {
        let mut command = Command::new("sh");
        cb.environ(&mut command);
        let wait = format!("read _; exec \"$CB\" exec {options} x -- sh -c \"$0\"");
        command.args(["-c", &wait, script]).env("CB", binary()).current_dir(cb.path(""));
        command.stdin(gate.try_clone().expect("a descriptor"));
        Live::start(command)
    };
    (0..count).map(start).collect()
}

/// A call that gave up waiting for the lock would run like a trial: it is found
/// before its end is waited for in vain.
#[track_caller]
fn check_locks(running: &[Live]) {
    running.iter().for_each(|live| got_the_lock(&live.stderr_so_far()));
}

#[test]
fn of_two_hundred_at_once_one_is_the_trial() {
    let _alone = crowded();
    for round in 0..scaled("CB_TEST_ROUNDS", 2) {
        let cb = Cb::new();
        cb.make_due("x");
        let (gate, opener) = io::pipe().unwrap();
        let script = "echo run >> runs; n=0; while [ ! -e go ] && [ $((n += 1)) -lt 900 ]; do sleep 0.05; done";
        let mut waiting = crowd(&cb, &gate, CROWD, "", script);
        drop(gate);
        drop(opener);
        let mut rejected = Vec::new();
        eventually("all but one have ended", || {
            check_locks(&waiting);
            while let Some(at) = waiting.iter_mut().position(|live| !live.runs()) {
                rejected.push(waiting.swap_remove(at));
            }
            waiting.len() <= 1
        });
        for live in rejected {
            let ran = live.end();
            got_the_lock(&ran.stderr_text());
            ran.code(75).stdout("").one_line("cb: x: not run: ");
        }
        assert_eq!(cb.lines("runs").len(), 1, "round {round}");
        cb.is("x", "half-open");
        cb.touch("go");
        for trial in waiting {
            trial.end().code(0).stderr("");
        }
        cb.is("x", "closed");
        let totals = &cb.status("x")["totals"];
        assert_eq!((&totals["admitted"], &totals["rejected"]), (&1.into(), &(CROWD - 1).into()));
        assert_eq!(cb.lines("runs").len(), 1, "round {round}");
    }
}

#[test]
fn no_more_trials_run_than_the_round_has() {
    let _alone = crowded();
    let cb = Cb::new();
    cb.make_due("x");
    let (gate, opener) = io::pipe().unwrap();
    let script =
        "echo run >> runs; n=0; while [ ! -e go ] && [ $((n += 1)) -lt 900 ]; do sleep 0.05; done";
    let mut waiting = crowd(&cb, &gate, 40, "--half-open-calls 3", script);
    drop((gate, opener));
    eventually("all but three have ended", || {
        check_locks(&waiting);
        waiting.retain_mut(Live::runs);
        waiting.len() <= 3
    });
    assert_eq!(waiting.len(), 3);
    eventually("three run", || cb.lines("runs").len() == 3);
    cb.touch("go");
    waiting.into_iter().for_each(|trial| {
        trial.end().code(0);
    });
    cb.is("x", "closed");
}

#[test]
fn a_transition_is_made_once() {
    let cb = Cb::new();
    let (gate, opener) = io::pipe().unwrap();
    let options = "--consecutive-failures 1 --open-for 1h --result-file $$.result";
    let calls = crowd(&cb, &gate, 40, options, "exit 1");
    drop((gate, opener));
    let code = |live: Live| {
        let ran = live.end();
        got_the_lock(&ran.stderr_text());
        ran.status().code().expect("no signal")
    };
    let codes: Vec<i32> = calls.into_iter().map(code).collect();
    assert!(codes.iter().all(|code| [1, 75].contains(code)), "{codes:?}");
    cb.is("x", "open");
    let status = cb.status("x");
    assert_eq!((&status["totals"]["opened"], &status["generation"]), (&1.into(), &1.into()));
    // Those that ended after it changed nothing: their results are stale.
    let ran = codes.iter().filter(|&&code| code == 1).count();
    assert_eq!(status["totals"]["admitted"], ran);
    assert_eq!(status["totals"]["rejected"], codes.len() - ran);
    let results = fs::read_dir(cb.path("")).unwrap().flatten().filter(|entry| {
        let path = entry.path();
        path.extension().is_some_and(|extension| extension == "result")
    });
    assert_eq!(results.count(), codes.len());
}

#[test]
fn calls_of_parallel_loops_are_all_counted() {
    let _alone = crowded();
    let calls = scaled("CB_TEST_CALLS", 320).div_ceil(LOOPS);
    let cb = Cb::new();
    let script = "\
        i=0; while [ $i -lt $CALLS ]; do
            \"$CB\" exec --consecutive-failures 0 --failure-rate 0 x -- \"$COMMAND\"
            i=$((i+1))
        done; exit 0";
    let start = |command_name: &str| {
        let mut command = Command::new("sh");
        cb.environ(&mut command);
        command.args(["-c", script]).env("CB", binary()).env("CALLS", calls.to_string());
        command.env("COMMAND", command_name).stdin(Stdio::null());
        Live::start(command)
    };
    let mut loops: Vec<Live> =
        (0..LOOPS).map(|nth| start(if nth % 4 == 0 { "false" } else { "true" })).collect();
    let (mut ended, mut seen) = (Vec::new(), 0);
    while !loops.is_empty() {
        // Bounded by progress, since the number of calls can be made large.
        eventually("one more call is counted, or a loop ends", || {
            let before = seen;
            seen = cb.total("x", "admitted");
            let running = loops.len();
            while let Some(at) = loops.iter_mut().position(|live| !live.runs()) {
                ended.push(loops.swap_remove(at));
            }
            seen > before || loops.len() < running
        });
    }
    for live in ended {
        let ran = live.end();
        got_the_lock(&ran.stderr_text());
        ran.code(0).stdout("").stderr("");
    }
    let all = calls * LOOPS;
    for (total, expected) in
        [("admitted", all), ("succeeded", all / 4 * 3), ("failed", all / 4), ("rejected", 0)]
    {
        assert_eq!(cb.total("x", total), expected as u64, "{total}");
    }
    cb.is("x", "closed");
}
