//! Many callers at once, and a killer among them: the state is whole at any
//! time, and what the dead held is free.
//!
//! `CB_TEST_KILLS` says how many callers die (300).

use std::fs::{self, File, OpenOptions};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value;

use crate::store::bounded;
use crate::support::{Cb, PATIENCE, crowded, eventually, got_the_lock};

const WORKERS: u64 = 8;
const BREAKERS: [&str; 4] = ["pay", "pay", "mail", "search"];
const POLICY: [&str; 6] =
    ["--consecutive-failures", "2", "--open-for", "20ms", "--half-open-calls", "2"];
const COMMANDS: [&[&str]; 4] = [&["true"], &["false"], &["true"], &["sleep", "0.005"]];

fn kills() -> u64 {
    std::env::var("CB_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

/// Chance enough to spread things (Marsaglia's xorshift).
pub struct Dice(pub u64);

impl Dice {
    /// Less than the bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).expect("short")]
    }
}

/// A place for the process that a worker runs, where the killer finds it. It is
/// reaped under the lock, so its number stays its own until then.
pub type Slot = Mutex<Option<Child>>;

/// What the workers saw.
#[derive(Default)]
struct Seen {
    started: AtomicU64,
    killed: AtomicU64,
    ran: AtomicU64,
    rejected: AtomicU64,
    over: AtomicBool,
}

impl Seen {
    fn count(&self, which: &AtomicU64) {
        which.fetch_add(1, Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Waits for the end of the process in a slot without holding the slot.
pub fn reap(slot: &Slot) -> std::process::ExitStatus {
    let pid = Pid::from_child(slot.lock().expect("no panic").as_ref().expect("a process"));
    let left_to_reap = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(pid), left_to_reap).is_err() {}
    let mut child = slot.lock().expect("no panic").take().expect("a process");
    child.wait().expect("it has ended")
}

fn work(cb: &Cb, number: u64, slot: &Slot, seen: &Seen) {
    let mut dice = Dice(number * 7919 + 1);
    let errors = cb.path(&format!("stderr-{number}"));
    while !seen.is_over() {
        let stderr = OpenOptions::new().create(true).append(true).open(&errors).expect("a file");
        let mut command = cb.command(["exec"]);
        command.args(POLICY).arg(dice.pick(&BREAKERS)).args(dice.pick(&COMMANDS));
        command.stdout(Stdio::null()).stderr(stderr);
        *slot.lock().expect("no panic") = Some(command.spawn().expect("cb starts"));
        seen.count(&seen.started);
        match reap(slot).code() {
            Some(0 | 1) => seen.count(&seen.ran),
            Some(75) => seen.count(&seen.rejected),
            None => seen.count(&seen.killed),
            Some(other) => panic!("exit code {other}"),
        }
    }
}

fn kill(slots: &[Slot], seen: &Seen, target: u64) {
    let mut dice = Dice(4711);
    let begin = Instant::now();
    while seen.killed.load(Ordering::Relaxed) < target {
        assert!(begin.elapsed() < PATIENCE + Duration::from_millis(60 * target), "too slow");
        thread::sleep(Duration::from_micros(dice.below(6000)));
        let slot = &slots[usize::try_from(dice.below(WORKERS)).expect("few")];
        if let Some(child) = slot.lock().expect("no panic").as_mut() {
            let _ = child.kill();
        }
    }
}

/// Every breaker as a reader finds it; totals never shrink and add up.
fn look(cb: &Cb, before: &mut [u64]) -> Vec<Value> {
    let ran = bounded(cb.command(["status", "--json"])).code(0).stderr("");
    let status: Value = serde_json::from_str(&ran.stdout_text()).expect("JSON");
    let breakers = status["breakers"].as_array().expect("a list").clone();
    for breaker in &breakers {
        let total = |name: &str| breaker["totals"][name].as_u64().expect("a number");
        let recorded = total("succeeded") + total("failed") + total("ignored");
        assert!(total("admitted") >= recorded, "{breaker}");
        assert!(total("stale") <= recorded, "{breaker}");
        assert!(breaker["half_open"]["in_flight"].as_u64().expect("a number") <= 2, "{breaker}");
        let place = BREAKERS[1..].iter().position(|name| breaker["name"] == *name);
        let sum = total("admitted") + total("rejected");
        let before = &mut before[place.expect("one of ours")];
        assert!(sum >= *before, "{sum} after {before}: {breaker}");
        *before = sum;
    }
    breakers
}

#[test]
fn callers_that_are_killed_at_any_moment_leave_the_breakers_whole() {
    let _alone = crowded();
    let cb = Cb::new();
    let (seen, target) = (Seen::default(), kills());
    let slots: Vec<Slot> = (0..WORKERS).map(|_| Slot::default()).collect();
    let begin = Instant::now();
    let mut looks = 0;
    let mut before = [0; BREAKERS.len() - 1];
    thread::scope(|scope| {
        let over = Over(&seen.over);
        for (number, slot) in (0..).zip(&slots) {
            let (cb, seen) = (&cb, &seen);
            scope.spawn(move || work(cb, number, slot, seen));
        }
        let killer = scope.spawn(|| kill(&slots, &seen, target));
        while !killer.is_finished() {
            look(&cb, &mut before);
            looks += 1;
        }
        drop(over);
    });
    let breakers = look(&cb, &mut before);
    let sum = |name: &str| -> u64 {
        breakers.iter().map(|breaker| breaker["totals"][name].as_u64().expect("a number")).sum()
    };
    let count = |which: &AtomicU64| which.load(Ordering::Relaxed);
    println!(
        "{} started, {} ran, {} rejected, {} killed, {looks} looks in {:?}; {} opened, {} stale",
        count(&seen.started),
        count(&seen.ran),
        count(&seen.rejected),
        count(&seen.killed),
        begin.elapsed(),
        sum("opened"),
        sum("stale"),
    );
    check_stderr(&cb);
    // Who lived has told its result, and nobody told one twice.
    assert!(sum("succeeded") + sum("failed") >= count(&seen.ran));
    assert!(sum("rejected") >= count(&seen.rejected));
    assert!(sum("admitted") + sum("rejected") <= count(&seen.started));
    assert_eq!(sum("ignored"), 0);
    assert!(sum("opened") > 0, "the storm should open something");
    for name in &BREAKERS[1..] {
        check_free(&cb, name);
    }
}

/// Ends the workers, also where the test fails.
pub struct Over<'a>(pub &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Nobody said anything but that a call was rejected.
fn check_stderr(cb: &Cb) {
    for number in 0..WORKERS {
        let text = fs::read_to_string(cb.path(&format!("stderr-{number}"))).expect("a file");
        got_the_lock(&text);
        let odd: Vec<&str> = text.lines().filter(|line| !line.contains(": not run: ")).collect();
        assert!(odd.is_empty(), "{odd:#?}");
    }
}

/// Nothing is held of a breaker that nobody uses any more.
fn check_free(cb: &Cb, name: &str) {
    let dir = cb.store().join(name);
    let lock = File::open(dir.join("lock")).expect("a lock file");
    flock(&lock, FlockOperation::NonBlockingLockExclusive).expect("nobody holds the lock");
    drop(lock);
    assert_eq!(cb.status(name)["half_open"]["in_flight"], 0, "{name}");
    let files: Vec<_> = fs::read_dir(&dir)
        .expect("readable")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    assert!(!files.iter().any(|file| file.contains("corrupt")), "{files:?}");
    assert!(files.len() <= 3 + WORKERS as usize, "{files:?}");
    eventually("the breaker closes", || {
        let mut command = cb.command(["exec"]);
        command.args(POLICY).args([name, "true"]);
        bounded(command);
        cb.state(name) == "closed"
    });
}

#[test]
fn the_permit_of_a_killed_trial_is_free_at_once() {
    let cb = Cb::new();
    let mut longest = Duration::ZERO;
    for round in 0..kills() / 15 {
        cb.run(["trip", "pay", "--for", "1ms"]).code(0);
        eventually("the trial is due", || cb.run(["check", "-q", "pay"]).status().success());
        let pid_file = cb.path(&format!("pid-{round}"));
        let script = "echo $$ > \"$0.new\"; mv \"$0.new\" \"$0\"; exec sleep 60";
        let mut command = cb.command(["exec", "pay", "sh", "-c", script]);
        command.arg(&pid_file).stdout(Stdio::null()).stderr(Stdio::null());
        let mut holder = command.spawn().expect("cb starts");
        eventually("the trial runs", || pid_file.exists());
        cb.exec("pay", ["true"]).code(75).one_line("not run: half-open");

        holder.kill().expect("ours");
        holder.wait().expect("it ends");
        let begin = Instant::now();
        cb.exec("pay", ["true"]).code(0).stderr("");
        longest = longest.max(begin.elapsed());
        cb.is("pay", "closed");

        // The command of the killed cb goes on; here it has done its part.
        let pid = fs::read_to_string(&pid_file).expect("a number");
        let pid = pid.trim().parse().ok().and_then(Pid::from_raw).expect("a number");
        kill_process(pid, Signal::TERM).expect("ours");
    }
    println!("the longest call after a kill took {longest:?}");
}
