//! What the benchmarks share: programs built and run side by side, in an order
//! that is another one in every round, medians, and ratios with their bounds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a case took, by its name, in microseconds.
pub type Medians = BTreeMap<&'static str, f64>;

/// How many rounds `--rounds` asks for, within what makes sense.
pub fn rounds(default: usize, least: usize) -> usize {
    let mut args = std::env::args().skip_while(|arg| arg != "--rounds").skip(1);
    let asked = args.next().and_then(|rounds| rounds.parse().ok());
    asked.unwrap_or(default).max(least)
}

/// Where cb runs, and what it is measured against.
pub struct Place {
    /// An empty directory.
    pub dir: PathBuf,
    cb: PathBuf,
}

impl Place {
    /// A place of this name, without what was there before.
    pub fn new(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a directory for the benchmark");
        // As it is installed: a copy. What a linker wrote lies in the page cache in
        // smaller pieces, and takes longer to be mapped.
        let cb = dir.join("cb");
        fs::copy(env!("CARGO_BIN_EXE_cb"), &cb).expect("a copy of cb");
        Place { dir, cb }
    }

    /// Builds `benches/NAME.c`.
    pub fn build(&self, name: &str) -> PathBuf {
        let program = self.dir.join(name);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("benches/{name}.c"));
        let mut cc = Command::new("cc");
        let built = cc.args(["-O2", "-static", "-o"]).arg(&program).arg(source).status();
        let built = built.expect("cc, which Rust links with, is there");
        assert!(built.success(), "cc builds {name}");
        program
    }

    /// The directory of a store.
    pub fn store(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// cb, on this store.
    pub fn cb(&self, store: &str) -> Command {
        let mut command = Command::new(&self.cb);
        command.env("CB_STORE", self.store(store)).env_remove("CB_CONFIG");
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// A call through a breaker of this store.
    pub fn exec(&self, store: &str, args: &[&str], name: &str, command: &[&str]) -> Command {
        let mut cb = self.cb(store);
        cb.arg("exec").args(args).args([name, "--"]).args(command);
        cb
    }
}

/// A command without cb.
pub fn plain(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null());
    command
}

/// Runs every case once a round and prints its median.
pub fn medians(mut cases: Vec<(&'static str, Command)>, rounds: usize) -> Medians {
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
    for ((name, _), times) in cases.iter().zip(times) {
        let median = median(times);
        println!("{name:<44} {median:>8.0} us");
        medians.insert(name, median);
    }
    println!();
    medians
}

/// Half of them took longer, in microseconds.
pub fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64() * 1e6
}

/// How long a whole process takes.
pub fn time(command: &mut Command) -> Duration {
    let begin = Instant::now();
    command.status().expect("the program runs");
    begin.elapsed()
}

/// Words for `sh -c` that print the peak memory of the shell's parent, in KiB.
pub const PEAK: &str = "sed -n 's/^VmHWM:[^0-9]*\\([0-9]*\\).*/\\1/p' /proc/$PPID/status";

/// Prints a ratio that has a bound above.
pub fn at_most(what: &str, ratio: f64, most: f64) {
    let verdict = if ratio <= most { "ok" } else { "MISSED" };
    println!("{what:<44} {ratio:>5.2}  (at most {most:.2}: {verdict})");
}

/// Prints a ratio that has a bound below.
pub fn at_least(what: &str, ratio: f64, least: f64) {
    let verdict = if ratio >= least { "ok" } else { "MISSED" };
    println!("{what:<44} {ratio:>5.2}  (at least {least:.2}: {verdict})");
}

/// Prints a ratio that has none.
pub fn tell(what: &str, ratio: f64) {
    println!("{what:<44} {ratio:>5.2}");
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
