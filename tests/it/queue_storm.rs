//! Producers and drains at once, and a killer among them: no job that was
//! acknowledged is lost, none is run twice, and what nobody saw end is in doubt.
//!
//! `CB_TEST_QUEUE_JOBS` says how many jobs are acknowledged at least (600), and
//! `CB_TEST_QUEUE_KILLS` how many processes die at least (140).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::live::scaled;
use crate::queue::{STATES, manual, names_in};
use crate::storm::{Dice, Over, Slot, reap};
use crate::support::{Cb, PATIENCE, crowded};

const PRODUCERS: usize = 4;
const DRAINS: usize = 4;

/// A job: it says that it began, works a little, and says that it ended. Each
/// line of the ledger is one write at the end of the file. Most jobs succeed, so
/// they run once; some fail at first, or are killed, and run again.
const JOB: &str = "echo \"began $2 $CB_JOB_ID $CB_JOB_ATTEMPT\" >> ledger; sleep 0.0$1; \
                   echo \"ended $2 $CB_JOB_ID $CB_JOB_ATTEMPT\" >> ledger; \
                   [ $2 = once ] || [ $CB_JOB_ATTEMPT -ge 2 ]";

/// What was seen.
#[derive(Default)]
struct Seen {
    acknowledged: Mutex<Vec<String>>,
    refused: AtomicUsize,
    kills: AtomicUsize,
    job_kills: AtomicUsize,
    over: AtomicBool,
}

impl Seen {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().expect("no panic").len()
    }
}

/// Adds jobs until it is over. Whatever was printed whole is acknowledged, and
/// if its producer was killed a moment later.
fn produce(cb: &Cb, number: usize, slot: &Slot, seen: &Seen) {
    let mut dice = Dice(number as u64 * 7919 + 5);
    let printed = cb.path(&format!("ids-{number}"));
    while !seen.is_over() {
        let ids = File::create(&printed).expect("a file");
        let errors = cb.path(&format!("add-{number}"));
        let errors = OpenOptions::new().create(true).append(true).open(errors).expect("a file");
        let (naps, again) = (dice.below(4).to_string(), dice.below(10) == 0);
        let kind = if again { "again" } else { "once" };
        let mut add = cb.adding(&[], ["sh", "-c", JOB, "sh", &naps, kind]);
        *slot.lock().expect("no panic") =
            Some(add.stdout(ids).stderr(errors).spawn().expect("cb starts"));
        let status = reap(slot);
        let text = fs::read_to_string(&printed).expect("a file");
        match text.strip_suffix('\n') {
            Some(id) => seen.acknowledged.lock().expect("no panic").push(id.to_owned()),
            None => {
                assert!(!status.success(), "nothing printed: {status:?}");
                seen.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Drains until it is over, by different commands.
fn drain(cb: &Cb, number: usize, slot: &Slot, seen: &Seen) {
    let options: [&[&str]; DRAINS] =
        [&["--watch"], &[], &["--jobs", "2"], &["--watch", "--rate", "200/s"]];
    while !seen.is_over() {
        let open = |name: &str| {
            let path = cb.path(&format!("{name}-{number}"));
            OpenOptions::new().create(true).append(true).open(path).expect("a file")
        };
        let mut run = cb.draining(options[number]);
        run.args(["--consecutive-failures", "0", "--failure-rate", "0", "--attempt-delay", "5ms"]);
        *slot.lock().expect("no panic") =
            Some(run.stdout(open("out")).stderr(open("run")).spawn().expect("cb starts"));
        reap(slot);
    }
}

/// Kills at random moments: cb's mostly, and the command of a job now and then.
fn kill(cb: &Cb, slots: &[Slot], seen: &Seen, (jobs, kills): (usize, usize)) {
    let mut dice = Dice(4711);
    let begin = Instant::now();
    let patience = PATIENCE * 3 + Duration::from_millis(250 * (jobs + kills) as u64);
    while seen.kills.load(Ordering::Relaxed) < kills || seen.count() < jobs {
        assert!(begin.elapsed() < patience, "too slow: {} jobs", seen.count());
        // So that both figures are reached at about the same time.
        let ahead = seen.kills.load(Ordering::Relaxed) * jobs > seen.count() * kills;
        thread::sleep(Duration::from_millis(if ahead { 20 } else { 1 + dice.below(20) }));
        if ahead {
            continue;
        }
        if dice.below(5) == 0 {
            kill_a_job(cb, &mut dice, seen);
            continue;
        }
        let slot = &slots[usize::try_from(dice.below(slots.len() as u64)).expect("few")];
        if let Some(child) = slot.lock().expect("no panic").as_mut()
            && child.kill().is_ok()
        {
            seen.kills.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Kills the command of a job that may run again, found by its directory: each
/// job of this test, and nobody else, runs in this one.
fn kill_a_job(cb: &Cb, dice: &mut Dice, seen: &Seen) {
    let here = cb.path("").canonicalize().expect("a path");
    let mut commands = Vec::new();
    for name in names_in("/proc".as_ref()) {
        let Ok(pid) = name.parse::<i32>() else { continue };
        let at = |what: &str| format!("/proc/{pid}/{what}");
        let is_here = fs::read_link(at("cwd")).is_ok_and(|cwd| cwd == here);
        let is_job = fs::read(at("environ")).is_ok_and(|env| {
            env.split(|byte| *byte == 0).any(|one| one.starts_with(b"CB_JOB_ID="))
        });
        let may_fail = fs::read(at("cmdline")).is_ok_and(|words| words.ends_with(b"\0again\0"));
        if is_here && is_job && may_fail {
            commands.push(pid);
        }
    }
    if !commands.is_empty() {
        crate::live::send(dice.pick(&commands), libc::SIGKILL);
        seen.job_kills.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn no_acknowledged_job_is_lost_or_run_twice_whoever_is_killed() {
    let _alone = crowded();
    let cb = manual();
    let targets = (scaled("CB_TEST_QUEUE_JOBS", 600), scaled("CB_TEST_QUEUE_KILLS", 140));
    let seen = Seen::default();
    let slots: Vec<Slot> = (0..PRODUCERS + DRAINS).map(|_| Slot::default()).collect();
    let begin = Instant::now();
    thread::scope(|scope| {
        let over = Over(&seen.over);
        let (producers, drains) = slots.split_at(PRODUCERS);
        for (number, slot) in producers.iter().enumerate() {
            let (cb, seen) = (&cb, &seen);
            scope.spawn(move || produce(cb, number, slot, seen));
        }
        for (number, slot) in drains.iter().enumerate() {
            let (cb, seen) = (&cb, &seen);
            scope.spawn(move || drain(cb, number, slot, seen));
        }
        let killer = scope.spawn(|| kill(&cb, &slots, &seen, targets));
        eventually_over(&killer);
        drop(over);
        // Those that watch end when they are told to.
        while !drains_ended(drains) {
            thread::sleep(Duration::from_millis(10));
        }
    });
    let storm = begin.elapsed();
    settle(&cb);
    check(&cb, &seen, storm);
}

fn eventually_over(killer: &thread::ScopedJoinHandle<'_, ()>) {
    while !killer.is_finished() {
        thread::sleep(Duration::from_millis(20));
    }
}

/// Ends the drains that are left; whether none is.
fn drains_ended(drains: &[Slot]) -> bool {
    drains.iter().all(|slot| match slot.lock().expect("no panic").as_mut() {
        Some(child) => {
            crate::live::send(i32::try_from(child.id()).expect("a pid"), libc::SIGTERM);
            false
        }
        None => true,
    })
}

/// Drains what is left, until nobody works and nothing waits.
fn settle(cb: &Cb) {
    let begin = Instant::now();
    let over = || {
        let left = ["pending", "running"].map(|state| names_in(&cb.queue(state)).len());
        left == [0, 0]
    };
    while !over() {
        assert!(begin.elapsed() < PATIENCE * 10, "it does not settle: {:?}", counts(cb));
        let policy =
            ["--consecutive-failures", "0", "--failure-rate", "0", "--attempt-delay", "5ms"];
        let mut run = cb.draining(&policy);
        run.args(["--jobs", "4"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child: Child = run.spawn().expect("cb starts");
        child.wait().expect("it ends");
    }
}

fn counts(cb: &Cb) -> BTreeMap<&'static str, usize> {
    STATES.into_iter().map(|state| (state, names_in(&cb.queue(state)).len())).collect()
}

/// The attempts that began, and those that ended, by job. No attempt is made
/// twice, and none is made again of a job that never failed.
fn ledger(cb: &Cb) -> (BTreeMap<String, usize>, BTreeMap<String, usize>) {
    let (mut began, mut ended) = (BTreeMap::new(), BTreeMap::new());
    let mut lines = BTreeSet::new();
    for line in cb.lines("ledger") {
        let words: Vec<&str> = line.split(' ').collect();
        let &[what, kind, id, attempt] = &words[..] else { panic!("{line}") };
        assert!(id.len() == 26 && (kind == "again" || attempt == "1"), "run twice: {line}");
        assert!(lines.insert(line.clone()), "run twice: {line}");
        let which = if what == "began" { &mut began } else { &mut ended };
        *which.entry(id.to_owned()).or_insert(0) += 1;
    }
    (began, ended)
}

fn check(cb: &Cb, seen: &Seen, storm: Duration) {
    let acknowledged = seen.acknowledged.lock().expect("no panic");
    let known: BTreeSet<&String> = acknowledged.iter().collect();
    assert_eq!(known.len(), acknowledged.len(), "an id was given twice");
    let (began, ended) = ledger(cb);
    let shown: BTreeMap<String, Value> = cb
        .jobs()
        .into_iter()
        .map(|job| (job["id"].as_str().expect("an id").to_owned(), job))
        .collect();
    crate::store::note(format_args!(
        "{} acknowledged, {} not, {} cb and {} commands killed in {storm:?}; {} began, {} ended; {:?}",
        acknowledged.len(),
        seen.refused.load(Ordering::Relaxed),
        seen.kills.load(Ordering::Relaxed),
        seen.job_kills.load(Ordering::Relaxed),
        began.len(),
        ended.len(),
        counts(cb)
    ));
    // Jobs that are done are pruned one day, and these have their place in the ledger.
    let lost: Vec<&&String> =
        known.iter().filter(|id| !shown.contains_key(**id) && !ended.contains_key(**id)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    for (id, job) in &shown {
        check_job(cb, id, job, (began.get(id).copied(), ended.get(id).copied()));
    }
    assert_eq!(names_in(&cb.queue("tmp")), [""; 0], "swept");
    check_words(cb);
}

/// A job began as often as its history says, and again only after a failure
/// that was recorded.
fn check_job(cb: &Cb, id: &str, job: &Value, (began, ended): (Option<usize>, Option<usize>)) {
    let (began, ended) = (began.unwrap_or(0), ended.unwrap_or(0));
    let state = job["state"].as_str().expect("a state");
    let tried = job["attempts"].as_u64().expect("a number") as usize;
    assert!(began <= tried, "{id} began {began} times: {job}");
    assert!(ended <= began, "{id}: {job}");
    match (state, tried) {
        ("done", 1) => assert_eq!((began, ended), (1, 1), "{job}"),
        ("doubt", 1) => assert!(began <= 1, "{job}"),
        ("done" | "doubt" | "failed", _) => {
            let shown = cb.shown(id);
            let history = shown["history"].as_array().expect("a list");
            assert_eq!(history.len(), tried, "{shown}");
            let (last, before) = history.split_last().expect("it was attempted");
            // What was not known to have failed was never tried again.
            assert!(before.iter().all(|attempt| attempt["ended"] == "failure"), "{shown}");
            match state {
                "done" => assert_eq!(last["ended"], "success", "{shown}"),
                "failed" => assert_eq!(last["ended"], "failure", "{shown}"),
                _ => assert!(last["ended"].is_null() || last["ended"] == "interrupted", "{shown}"),
            }
        }
        other => panic!("{other:?}: {job}"),
    }
}

/// Nobody said that something could not be done.
fn check_words(cb: &Cb) {
    let odd = |text: String| -> Vec<String> {
        let known =
            ["is in doubt", "in doubt: ", " failed (", "is given up: ", "ended without a word"];
        let odd = text.lines().filter(|line| !known.iter().any(|part| line.contains(part)));
        odd.map(str::to_owned).collect()
    };
    for number in 0..DRAINS.max(PRODUCERS) {
        for name in ["run", "add"] {
            let text = fs::read_to_string(cb.path(&format!("{name}-{number}"))).unwrap_or_default();
            let odd = odd(text);
            assert!(odd.is_empty(), "{odd:#?}");
        }
    }
}
