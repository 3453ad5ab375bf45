//! Every call that an enqueue makes fails once, in every way: strace answers in
//! the kernel's place. Either the job is acknowledged and whole, or it is not
//! acknowledged, says so, and never runs.
//!
//! `CB_TEST_FULL=1` tries every error at every call; else some of them.

use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;
use crate::faults::{CALLS, copy};
use crate::store::{can, full};
use crate::support::binary;

/// What the job brings along: longer than a page, so that a write can be short.
fn stdin() -> Vec<u8> {
    (0..6000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

const WORD: &str = "one word: 'quoted' \"$HOME\" \\";
const SCRIPT: &str = "cat > in.$CB_JOB_ID; printf %s \"$0\" > word.$CB_JOB_ID; \
                      echo $CB_JOB_ID >> ledger";
/// An enqueue makes fewer calls of one kind than this.
const TIMES_MAX: usize = 80;

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Error(&'static str),
    /// A write takes so many bytes, and says so.
    Short(usize),
}

/// A store before the enqueue, to be copied for every run.
struct Scene {
    name: &'static str,
    options: &'static [&'static str],
    made_by: Cb,
}

fn scenes() -> Vec<Scene> {
    let used = manual();
    used.add(&["--key", "other"], ["true"]);
    used.drain(&[]).code(0);
    let known = manual();
    known.exec("pay", ["true"]).code(0);
    vec![
        Scene { name: "fresh store", options: &[], made_by: manual() },
        Scene { name: "known breaker", options: &["--key", "k"], made_by: known },
        Scene { name: "queue", options: &[], made_by: used },
    ]
}

impl Scene {
    fn play(&self) -> Cb {
        let cb = manual();
        if self.made_by.store().exists() {
            copy(&self.made_by.store(), &cb.store());
        }
        cb
    }
}

/// One add whose `nth` call of this name fails; whether there was such a call.
fn fault(scene: &Scene, call: &str, fault: Fault, nth: usize) -> bool {
    let cb = scene.play();
    let log = cb.path("log");
    let mut strace = Command::new("strace");
    strace.args(["-y", "-o"]).arg(&log).args(["-e", &format!("trace={call}")]);
    let what = match fault {
        Fault::Error(error) => format!("error={error}"),
        // The call is made for nothing, and answers that it took less.
        Fault::Short(len) => format!("retval={len}"),
    };
    strace.args(["-e", &format!("inject={call}:{what}:when={nth}")]);
    strace.arg(binary()).args(["queue", "add"]).args(scene.options);
    strace.args(["pay", "--", "sh", "-c", SCRIPT, WORD]);
    cb.environ(&mut strace);
    strace.current_dir(cb.path(""));
    let ran = Ran::fed(strace, &stdin());
    let log = fs::read_to_string(&log).expect("a log");
    let injected = log.lines().find(|line| line.contains("(INJECTED)"));
    let told =
        format!("{}, {call} {fault:?} {nth}: {}\n{ran}", scene.name, injected.unwrap_or_default());
    let ids = check(&cb, &ran, injected.unwrap_or_default(), fault, &told);
    check_after(&cb, scene, &ids, &told);
    injected.is_some()
}

/// The ids that may run: of the job, if it was acknowledged.
fn check(cb: &Cb, ran: &Ran, injected: &str, fault: Fault, told: &str) -> Option<String> {
    let stderr = ran.stderr_text();
    assert!(stderr.lines().all(|line| line.starts_with("cb: ")), "{told}");
    let is_flush = injected.starts_with("fsync") || injected.starts_with("fdatasync");
    match ran.status().code() {
        Some(0) => {
            assert!(!is_flush || fault == Fault::Error("EINTR"), "a flush failed: {told}");
            let id = ran.stdout_text().trim_end().to_owned();
            assert_eq!(id.len(), 26, "{told}");
            assert!(stderr.lines().count() <= 1, "{told}");
            Some(id)
        }
        Some(125) => {
            assert_eq!(stderr.lines().count(), 1, "{told}");
            // An id that could not be printed is not acknowledged; the job is kept.
            if stderr.contains("cannot write to stdout") {
                return cb.jobs().last().map(|job| job["id"].as_str().expect("an id").to_owned());
            }
            assert_eq!(ran.stdout_text(), "", "{told}");
            // One that could not be taken back is named, and may be there.
            stderr.contains("it could not be taken back").then(String::new)
        }
        other => panic!("exit status {other:?}: {told}"),
    }
}

/// What was acknowledged drains whole, and nothing else does; the next enqueue
/// works.
fn check_after(cb: &Cb, scene: &Scene, ids: &Option<String>, told: &str) {
    let mut next = cb.adding(scene.options, ["sh", "-c", SCRIPT, WORD]);
    next.stdin(Stdio::null());
    let next = Ran::fed(next, &stdin());
    assert_eq!(next.status().code(), Some(0), "{told}\nthen {next}");
    assert_eq!(next.stderr_text(), "", "{told}\nthen {next}");
    let next = next.stdout_text().trim_end().to_owned();
    let ran = cb.drain(&[]);
    assert_eq!((ran.status().code(), ran.stderr_text()), (Some(0), String::new()), "{told}\n{ran}");
    let mut expected: Vec<String> = vec![next];
    match ids {
        Some(id) if id.is_empty() => return,
        Some(id) => expected.push(id.clone()),
        None => {}
    }
    expected.sort();
    expected.dedup();
    let mut ledger = cb.lines("ledger");
    ledger.sort();
    assert_eq!(ledger, expected, "{told}\nthen {ran}");
    for id in expected {
        let read = |name: &str| fs::read(cb.path(&format!("{name}.{id}"))).expect("a file");
        assert!(read("in") == stdin(), "another stdin: {told}");
        assert_eq!(read("word"), WORD.as_bytes(), "{told}");
    }
    assert!(names_in(&cb.queue("tmp")).is_empty(), "{told}");
}

/// How this call can fail. A short answer that does nothing is right for a write
/// of which nothing counts; see `short_writes`.
fn faults_of() -> Vec<Fault> {
    let errors: &[&str] = match full() {
        true => &["EIO", "ENOSPC", "EINTR", "EACCES", "EMFILE", "EDQUOT"],
        false => &["EIO", "ENOSPC"],
    };
    errors.iter().map(|error| Fault::Error(error)).collect()
}

#[test]
fn an_enqueue_whose_calls_fail_is_whole_or_not_acknowledged() {
    if !can(&["strace", "-o", "/dev/null", "-e", "inject=flock:error=EIO", "true"]) {
        return;
    }
    let scenes = scenes();
    let mut tasks: Vec<(usize, &Scene, &str)> = Vec::new();
    for call in CALLS {
        for scene in &scenes {
            tasks.push((tasks.len(), scene, call));
        }
    }
    let (tasks, runs) = (Mutex::new(tasks), AtomicUsize::new(0));
    let sweep = |number: usize, scene: &Scene, call: &str| {
        let all = faults_of();
        let mut nth = 1;
        // Without CB_TEST_FULL the three scenes share the calls, and the calls the errors.
        let step = if full() || call.contains("sync") || call.contains("rename") { 1 } else { 3 };
        if step > 1 {
            nth += number % step;
        }
        loop {
            assert!(nth < TIMES_MAX, "{call} does not end");
            let faults = match step {
                1 => &all[..],
                _ => &all[(nth / step + number) % all.len()..][..1],
            };
            for one in faults {
                runs.fetch_add(1, Ordering::Relaxed);
                if !fault(scene, call, *one, nth) {
                    return;
                }
            }
            nth += step;
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let task = tasks.lock().expect("no panic").pop();
                    let Some((number, scene, call)) = task else { return };
                    sweep(number, scene, call);
                }
            });
        }
    });
    crate::store::note(format_args!("{} runs", runs.into_inner()));
}

/// A write that really takes a part only: the file may not grow beyond.
#[test]
fn a_write_that_is_cut_short_is_not_acknowledged() {
    let longest = 6000 + 1500;
    let step = if full() { 64 } else { 700 };
    for max in (0..longest).step_by(step) {
        let cb = manual();
        cb.add(&[], ["true"]);
        cb.drain(&[]).code(0);
        let mut add = cb.adding(&[], ["sh", "-c", SCRIPT, WORD]);
        crate::live::first(&mut add, move || {
            let limit = libc::rlimit { rlim_cur: max, rlim_max: max };
            // SAFETY: the limit is read, and nothing else is touched.
            unsafe {
                libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
            }
        });
        let ran = Ran::fed(add, &stdin());
        if ran.status().code() == Some(0) {
            assert!(max > 6000, "a job in {max} bytes: {ran}");
            continue;
        }
        ran.code(125).stdout("").one_line("not queued: ").stderr_has("File too large");
        assert!(names_in(&cb.queue("pending")).is_empty() && names_in(&cb.queue("tmp")).is_empty());
    }
}

/// The kernel says that less was taken than was given, as it may at any time.
#[test]
fn a_write_that_is_answered_short_is_finished_or_not_acknowledged() {
    if !can(&["strace", "-o", "/dev/null", "-e", "inject=flock:error=EIO", "true"]) {
        return;
    }
    let scene = Scene { name: "queue", options: &["--key", "k"], made_by: manual() };
    for nth in 1..=4 {
        let cb = scene.play();
        let log = cb.path("log");
        let mut strace = Command::new("strace");
        strace.args(["-y", "-o"]).arg(&log).args(["-e", "trace=pwrite64"]);
        strace.args(["-e", &format!("inject=pwrite64:retval=0:when={nth}")]);
        strace.arg(binary()).args(["queue", "add", "--key", "k", "pay", "--", "sh", "-c"]);
        strace.args([SCRIPT, WORD]).current_dir(cb.path(""));
        cb.environ(&mut strace);
        strace.current_dir(cb.path(""));
        let ran = Ran::fed(strace, &stdin());
        let told = format!("{nth}: {}\n{ran}", fs::read_to_string(&log).expect("a log"));
        if fs::read_to_string(&log).expect("a log").contains("(INJECTED)") {
            // Nothing was taken: there is no room, whatever the reason.
            assert_eq!(ran.status().code(), Some(125), "{told}");
        }
        let ids = check(&cb, &ran, "", Fault::Short(0), &told);
        check_after(&cb, &scene, &ids, &told);
    }
}

/// The names of all directories that the first enqueue makes are on the disk
/// when it is acknowledged.
#[test]
fn the_directories_of_a_new_store_are_flushed_with_the_job() {
    if !can(&["strace", "-o", "/dev/null", "true"]) {
        return;
    }
    let cb = manual();
    let (log, store) = (cb.path("log"), cb.path("n1/n2/n3"));
    let mut strace = Command::new("strace");
    strace.args(["-y", "-e", "trace=fsync", "-o"]).arg(&log).arg(binary());
    strace.args(["queue", "add", "--store"]).arg(&store).args(["pay", "--", "true"]);
    cb.environ(&mut strace);
    Ran::of(strace).code(0);
    let log = fs::read_to_string(&log).expect("a log");
    for below in ["", "/n1", "/n1/n2", "/n1/n2/n3", "/n1/n2/n3/pay", "/n1/n2/n3/pay/queue"] {
        let path = format!("{}{below}", cb.path("").display().to_string().trim_end_matches('/'));
        // strace lines up the results.
        let is_flush =
            |line: &str| line.contains(&format!("<{path}>)")) && line.trim_end().ends_with(" = 0");
        assert!(log.lines().any(is_flush), "{path} is not flushed:\n{log}");
    }
}
