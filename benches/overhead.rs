//! What cb costs: whole processes, side by side, alternating in one run.
//!
//! ```text
//! cargo bench --bench overhead                   all of it
//! cargo bench --bench overhead -- --rounds 300   fewer rounds (at least 300)
//! ```
//!
//! A machine's speed says nothing about cb, so every figure is a ratio to a
//! named program that ran in the same rounds. Medians, since a busy machine
//! makes single runs long but never short.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark asks for the time itself")]

mod side_by_side;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Instant;

use side_by_side::{Medians, PEAK, Place, at_least, at_most, medians, plain, rounds, tell};

const ROUNDS_DEFAULT: usize = 1000;
const ROUNDS_MIN: usize = 300;
const LOOPS: usize = 16;
const LOOP_CALLS: usize = 20_000;
const BREAKERS: usize = 10_000;
const TRUE: &str = "true";

fn main() {
    let rounds = rounds(ROUNDS_DEFAULT, ROUNDS_MIN);
    let bench = Bench::new();
    println!("{rounds} rounds, alternating; medians of whole processes\n");
    let median = bench.single_calls(rounds);
    bench.ratios(&median);
    bench.memory();
    bench.contention();
}

struct Bench {
    place: Place,
    limit: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let place = Place::new("overhead");
        let bench = Bench { limit: place.build("limit"), place };
        bench.fill_stores();
        bench
    }

    /// A fresh store, one with an open breaker, and one with 10,000 breakers and
    /// a full window of 10,000 calls.
    fn fill_stores(&self) {
        let open = |args: &[&str]| {
            let status = self.exec("open", args, "down", "false").status().expect("cb runs");
            assert_eq!(status.code(), Some(1));
        };
        open(&["--consecutive-failures", "1", "--open-for", "1h"]);
        self.exec("fresh", &[], "x", TRUE).status().expect("cb runs");
        self.exec("many", &["--window", "10000"], "x", TRUE).status().expect("cb runs");
        let one = self.place.store("many").join("x");
        for i in 0..BREAKERS {
            let copy = self.place.store("many").join(format!("other-{i}"));
            fs::create_dir(&copy).expect("a breaker's directory");
            for file in ["lock", "state"] {
                fs::copy(one.join(file), copy.join(file)).expect("a copy of a state");
            }
        }
        for _ in 0..10_000 {
            let mut call = self.exec("many", &["--window", "10000"], "x", TRUE);
            assert!(call.status().expect("cb runs").success());
        }
    }

    fn exec(&self, store: &str, args: &[&str], name: &str, program: &str) -> Command {
        self.place.exec(store, args, name, &[program])
    }

    fn single_calls(&self, rounds: usize) -> Medians {
        let lock = self.place.dir.join("flock");
        let lock = lock.to_str().expect("a plain path");
        let limit = self.limit.to_str().expect("a plain path");
        let cases = vec![
            ("true", plain(&[TRUE])),
            ("limit true", plain(&[limit, TRUE])),
            ("timeout 5 true", plain(&["timeout", "5", TRUE])),
            ("flock FILE true", plain(&["flock", lock, TRUE])),
            ("flock FILE timeout 5 true", plain(&["flock", lock, "timeout", "5", TRUE])),
            ("cb exec x -- true", self.exec("fresh", &[], "x", TRUE)),
            ("cb exec --timeout 5 x -- true", self.exec("fresh", &["--timeout", "5"], "x", TRUE)),
            ("cb exec, rejected", self.exec("open", &[], "down", TRUE)),
            ("cb exec, large store", self.exec("many", &["--window", "10000"], "x", TRUE)),
        ];
        medians(cases, rounds)
    }

    fn ratios(&self, median: &Medians) {
        let of = |what: &str, to: &str| median[what] / median[to];
        let exec = "cb exec x -- true";
        at_most("cb exec / timeout 5", of(exec, "timeout 5 true"), 0.95);
        at_most("cb exec / the limit", of(exec, "limit true"), 1.20);
        at_most(
            "cb exec --timeout 5 / timeout 5",
            of("cb exec --timeout 5 x -- true", "timeout 5 true"),
            1.05,
        );
        at_most("rejected / true", of("cb exec, rejected", TRUE), 1.20);
        at_most("large store / fresh store", of("cb exec, large store", exec), 1.05);
        tell("cb exec / flock FILE", of(exec, "flock FILE true"));
        tell(
            "cb exec --timeout 5 / flock FILE timeout 5",
            of("cb exec --timeout 5 x -- true", "flock FILE timeout 5 true"),
        );
    }

    /// The peak memory of a wrapper, as its child reads it.
    fn memory(&self) {
        let kib = |mut command: Command| -> f64 {
            command.args(["-c", PEAK]);
            let output = command.output().expect("the wrapper runs");
            String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number of KiB")
        };
        let cb = kib(self.exec("fresh", &["--timeout", "5"], "x", "sh"));
        let mut timeout = Command::new("timeout");
        timeout.args(["5", "sh"]);
        let timeout = kib(timeout);
        println!("\npeak memory: cb {cb} KiB, timeout {timeout} KiB");
        at_most("peak memory / the allowance", cb / (1.5 * timeout).max(4096.0), 1.0);
    }

    /// 16 loops on one breaker against 16 loops on 16 breakers.
    fn contention(&self) {
        let each = LOOP_CALLS / LOOPS;
        let mut rates = [0.0, 0.0];
        for turn in 0..4 {
            let (store, apart) = if turn % 2 == 0 { ("one", false) } else { ("apart", true) };
            let begin = Instant::now();
            thread::scope(|scope| {
                for i in 0..LOOPS {
                    let name = if apart { format!("x{i}") } else { "x".to_owned() };
                    scope.spawn(move || {
                        let mut command = self.exec(store, &[], &name, TRUE);
                        for _ in 0..each / 2 {
                            assert!(command.status().expect("cb runs").success());
                        }
                    });
                }
            });
            rates[turn % 2] += (each / 2 * LOOPS) as f64 / begin.elapsed().as_secs_f64() / 2.0;
        }
        println!();
        at_least("16 loops, one breaker / 16 breakers", rates[0] / rates[1], 0.9);
        let status =
            self.place.cb("one").args(["status", "--json", "x"]).output().expect("cb runs");
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
        let counted = &status["breakers"][0]["totals"]["succeeded"];
        println!("{:<44} {counted} of {}", "calls counted", each / 2 * 2 * LOOPS);
    }
}
