//! What it costs to keep a call for later, to make it then, and to keep an
//! output: whole processes, side by side, alternating in one run.
//!
//! ```text
//! cargo bench --bench queue                   all of it
//! cargo bench --bench queue -- --rounds 100   fewer rounds (at least 100)
//! ```
//!
//! Each is measured against the least that can be done instead: a C program that
//! makes a file as durable as a job is, a call that is not queued, a pipe.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark asks for the time itself")]

mod side_by_side;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use side_by_side::{PEAK, Place, at_least, at_most, median, medians, plain, rounds, tell, time};

const ROUNDS_DEFAULT: usize = 500;
const ROUNDS_MIN: usize = 100;
const BATCHES: usize = 5;
const BATCH_JOBS: usize = 200;
const CAPTURES: usize = 9;
/// More than an output may have that is kept, and as much.
const SIZES: [&str; 2] = ["1G", "8M"];
const MEMORY_MAX_KIB: f64 = 16.0 * 1024.0;
const TRUE: &str = "true";

fn main() {
    let rounds = rounds(ROUNDS_DEFAULT, ROUNDS_MIN);
    let place = Place::new("queue");
    println!("{rounds} rounds, alternating; medians of whole processes\n");
    enqueue(&place, rounds);
    drain(&place);
    capture(&place);
    memory(&place);
}

/// A job that is kept, against a file that is.
fn enqueue(place: &Place, rounds: usize) {
    let limit = place.build("enqueue");
    let bytes = job_len(place).to_string();
    let dir = place.store("limit");
    for folder in ["tmp", "pending"] {
        fs::create_dir_all(dir.join(folder)).expect("a directory");
    }
    let [limit, dir] = [&limit, &dir].map(|path| path.to_str().expect("a plain path"));
    let cases = vec![
        ("true", plain(&[TRUE])),
        ("limit: a file of a job's size, durable", silent(plain(&[limit, dir, &bytes]))),
        ("cb queue add x -- true", add(place, "added")),
    ];
    let median = medians(cases, rounds);
    let of = |what: &str, to: &str| median[what] / median[to];
    let limit = "limit: a file of a job's size, durable";
    at_most("cb queue add / the limit", of("cb queue add x -- true", limit), 1.3);
    let kept = fs::read_dir(place.store("added/x/queue/pending")).expect("the jobs").count();
    println!("{:<44} {kept} of {}\n", "jobs kept", rounds + 1);
}

/// How long the file of a job is. Its queue is there from then on.
fn job_len(place: &Place) -> u64 {
    assert!(add(place, "added").status().expect("cb runs").success());
    let mut jobs = fs::read_dir(place.store("added/x/queue/pending")).expect("its queue");
    let job = jobs.next().expect("the job").expect("its name");
    job.metadata().expect("its length").len()
}

/// Jobs that are drained, against as many calls that were not queued.
fn drain(place: &Place) {
    let (mut drains, mut calls) = (Vec::new(), Vec::new());
    let each = |begin: Instant| begin.elapsed() / u32::try_from(BATCH_JOBS).expect("a few");
    for _ in 0..BATCHES {
        for _ in 0..BATCH_JOBS {
            assert!(add(place, "drained").status().expect("cb runs").success());
        }
        let mut call = place.exec("drained", &[], "x", &[TRUE]);
        let begin = Instant::now();
        for _ in 0..BATCH_JOBS {
            assert!(call.status().expect("cb runs").success());
        }
        calls.push(each(begin));
        let begin = Instant::now();
        let said = place.cb("drained").args(["queue", "run", "x"]).output().expect("cb runs");
        drains.push(each(begin));
        assert_eq!(String::from_utf8_lossy(&said.stdout), format!("x: {BATCH_JOBS} done\n"));
    }
    println!("{BATCHES} times {BATCH_JOBS} jobs, and as many calls");
    let (drain, call) = (median(drains), median(calls));
    println!("{:<44} {drain:>8.0} us", "cb queue run x, for each job");
    println!("{:<44} {call:>8.0} us\n", "cb exec x -- true");
    at_most("a drained job / cb exec", drain / call, 3.0);
}

/// An output through cb, against one through a pipe.
fn capture(place: &Place) {
    for size in SIZES {
        let pipe = format!("head -c {size} /dev/zero | cat >/dev/null");
        let mut pipe = plain(&["sh", "-c", &pipe]);
        let mut cb = silent(captured(place, &["head", "-c", size, "/dev/zero"]));
        let times: Vec<(Duration, Duration)> =
            (0..CAPTURES).map(|_| (time(&mut pipe), time(&mut cb))).collect();
        let (pipes, captures) = times.into_iter().unzip();
        let (pipe, cb) = (median(pipes), median(captures));
        println!("\n{:<44} {pipe:>8.0} us", format!("head -c {size} | cat >/dev/null"));
        println!("{:<44} {cb:>8.0} us", format!("cb exec --on-open cache x -- head -c {size}"));
        match size {
            "1G" => at_least("speed of capturing 1 GiB / the pipe", pipe / cb, 0.7),
            _ => tell("speed of keeping 8 MiB as well / the pipe", pipe / cb),
        }
    }
}

/// The peak memory of cb, as its child reads it after its output.
fn memory(place: &Place) {
    println!();
    for size in SIZES {
        let script = format!("head -c {size} /dev/zero; {PEAK} >&2");
        let mut cb = silent(captured(place, &["sh", "-c", &script]));
        let output = cb.stderr(Stdio::piped()).spawn().and_then(|cb| cb.wait_with_output());
        let said = output.expect("cb runs").stderr;
        let said = String::from_utf8_lossy(&said);
        // The line after it is of cb, and says that so much is not kept.
        let first = said.lines().next().and_then(|line| line.parse::<f64>().ok());
        let kib = first.expect("a number of KiB");
        at_most(&format!("peak memory, {size} ({kib} KiB) / 16 MiB"), kib / MEMORY_MAX_KIB, 1.0);
    }
}

fn add(place: &Place, store: &str) -> Command {
    let mut cb = place.cb(store);
    cb.args(["queue", "add", "--drain", "manual", "x", "--", TRUE]);
    silent(cb)
}

fn captured(place: &Place, command: &[&str]) -> Command {
    place.exec("captured", &["--on-open", "cache"], "x", command)
}

fn silent(mut command: Command) -> Command {
    command.stdout(Stdio::null());
    command
}
