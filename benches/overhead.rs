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

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const ROUNDS_DEFAULT: usize = 1000;
const ROUNDS_MIN: usize = 300;
const LOOPS: usize = 16;
const LOOP_CALLS: usize = 20_000;
const BREAKERS: usize = 10_000;
const TRUE: &str = "true";

fn main() {
    let rounds = rounds();
    let bench = Bench::new();
    println!("{rounds} rounds, alternating; medians of whole processes\n");
    let median = bench.single_calls(rounds);
    bench.ratios(&median);
    bench.memory();
    bench.contention();
}

fn rounds() -> usize {
    let mut args = std::env::args().skip_while(|arg| arg != "--rounds").skip(1);
    let asked = args.next().and_then(|rounds| rounds.parse().ok());
    asked.unwrap_or(ROUNDS_DEFAULT).max(ROUNDS_MIN)
}

struct Bench {
    dir: PathBuf,
    cb: PathBuf,
    limit: PathBuf,
}

type Medians = BTreeMap<&'static str, f64>;

impl Bench {
    fn new() -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("overhead");
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a directory for the benchmark");
        let limit = dir.join("limit");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/limit.c");
        let built = Command::new("cc")
            .args(["-O2", "-static", "-o"])
            .arg(&limit)
            .arg(source)
            .status()
            .expect("cc, which Rust links with, is there");
        assert!(built.success(), "cc builds the limit");
        let bench = Bench { dir, cb: PathBuf::from(env!("CARGO_BIN_EXE_cb")), limit };
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
        let one = self.store("many").join("x");
        for i in 0..BREAKERS {
            let copy = self.store("many").join(format!("other-{i}"));
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

    fn store(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn exec(&self, store: &str, args: &[&str], name: &str, program: &str) -> Command {
        let mut command = Command::new(&self.cb);
        command.env("CB_STORE", self.store(store)).env_remove("CB_CONFIG");
        command.arg("exec").args(args).args([name, "--", program]);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs every case once a round and prints its median.
    fn single_calls(&self, rounds: usize) -> Medians {
        let lock = self.dir.join("flock");
        let lock = lock.to_str().expect("a plain path");
        let plain = |words: &[&str]| {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).stdin(Stdio::null());
            command
        };
        let limit = self.limit.to_str().expect("a plain path");
        let mut cases: Vec<(&'static str, Command)> = vec![
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
        let mut times: Vec<Vec<Duration>> = vec![Vec::with_capacity(rounds); cases.len()];
        let mut draws = Draws(rounds as u64);
        for _ in 0..rounds {
            // What ran just before decides what is still in the caches, so the
            // order is another one in every round.
            for at in draws.order(cases.len()) {
                times[at].push(time(&mut cases[at].1));
            }
        }
        let mut medians = Medians::new();
        for ((name, _), times) in cases.iter().zip(&mut times) {
            times.sort();
            let median = times[times.len() / 2].as_secs_f64() * 1e6;
            println!("{name:<32} {median:>8.0} us");
            medians.insert(name, median);
        }
        println!();
        medians
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
        let peak = "sed -n 's/^VmHWM:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/$PPID/status";
        let kib = |mut command: Command| -> f64 {
            command.args(["-c", peak]);
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
        let status = Command::new(&self.cb)
            .args(["status", "--json", "x"])
            .env("CB_STORE", self.store("one"))
            .output()
            .expect("cb runs");
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
        let counted = &status["breakers"][0]["totals"]["succeeded"];
        println!("{:<44} {counted} of {}", "calls counted", each / 2 * 2 * LOOPS);
    }
}

/// Draws of chance: the 64-bit generator of Knuth's MMIX.
struct Draws(u64);

impl Draws {
    fn below(&mut self, count: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % count
    }

    /// The numbers below `count`, shuffled.
    fn order(&mut self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

fn time(command: &mut Command) -> Duration {
    let begin = Instant::now();
    command.status().expect("the program runs");
    begin.elapsed()
}

fn at_most(what: &str, ratio: f64, most: f64) {
    let verdict = if ratio <= most { "ok" } else { "MISSED" };
    println!("{what:<44} {ratio:>5.2}  (at most {most:.2}: {verdict})");
}

fn at_least(what: &str, ratio: f64, least: f64) {
    let verdict = if ratio >= least { "ok" } else { "MISSED" };
    println!("{what:<44} {ratio:>5.2}  (at least {least:.2}: {verdict})");
}

fn tell(what: &str, ratio: f64) {
    println!("{what:<44} {ratio:>5.2}");
}
