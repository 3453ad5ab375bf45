//! Every call that an exec makes on its store fails once, in every way: strace
//! answers in the kernel's place. The command runs with its own status, and the
//! state is whole afterwards.
//!
//! `CB_TEST_FULL=1` tries every error, and lets calls fail from one on for good.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::store::{RAN, bounded, can, full};
use crate::support::{Cb, Ran, binary, crowded, eventually};

/// Every call that touches files, whether cb makes it today or not: one that it
/// never makes costs one run.
pub const CALLS: [&str; 27] = [
    "close",
    "open",
    "openat",
    "openat2",
    "fstat",
    "newfstatat",
    "statx",
    "fstatfs",
    "flock",
    "read",
    "pread64",
    "write",
    "pwrite64",
    "ftruncate",
    "fallocate",
    "mkdir",
    "mkdirat",
    "fchmod",
    "fchmodat",
    "rename",
    "renameat",
    "renameat2",
    "fsync",
    "fdatasync",
    "unlinkat",
    "getdents64",
    "fcntl",
];
const ERRORS: [&str; 5] = ["EIO", "ENOSPC", "EMFILE", "EINTR", "EACCES"];
const MORE_ERRORS: [&str; 5] = ["ENOMEM", "ESTALE", "EROFS", "EDQUOT", "EPERM"];
/// An exec makes fewer calls of one kind than this.
const TIMES_MAX: usize = 64;

/// A store in the state before the exec, to be copied for every run.
struct Scene {
    name: &'static str,
    store: Option<PathBuf>,
    /// The results that it has recorded.
    recorded: u64,
    _made_by: Cb,
    options: &'static [&'static str],
}

impl Scene {
    fn new(name: &'static str, options: &'static [&'static str], make: &[&[&str]]) -> Self {
        let cb = Cb::new();
        for words in make {
            cb.run(*words);
        }
        if name.starts_with("trial") {
            eventually("the trial is due", || cb.run(["check", "-q", "pay"]).status().success());
        }
        let store = cb.store().exists().then(|| cb.store());
        let recorded = recorded(&cb.status("pay"));
        Scene { name, store, recorded, _made_by: cb, options }
    }

    /// A cb with a copy of the store.
    fn play(&self) -> Cb {
        let cb = Cb::new();
        if let Some(store) = &self.store {
            copy(store, &cb.store());
        }
        cb
    }
}

/// Copies a store.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("the name is free");
    fs::set_permissions(to, fs::metadata(from).expect("it is there").permissions()).expect("ours");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

fn scenes() -> Vec<Scene> {
    vec![
        Scene::new("fresh store", &[], &[]),
        Scene::new("new breaker", &[], &[&["exec", "other", "true"]]),
        Scene::new("closed", &[], &[&["exec", "pay", "true"]]),
        Scene::new(
            "a failure that opens",
            &["--consecutive-failures", "1"],
            &[&["exec", "pay", "true"]],
        ),
        Scene::new("trial that fails", &[], &[&["trip", "pay", "--for", "1ms"]]),
        Scene::new(
            "trial that is ignored",
            &["--failure-codes", "9"],
            &[&["trip", "pay", "--for", "1ms"]],
        ),
        Scene::new(
            "trial after a lost one",
            &[],
            &[
                &["trip", "pay", "--for", "1ms"],
                &["status"],
                &["allow", "pay", "--permit-ttl", "1ms"],
            ],
        ),
    ]
}

/// One exec whose `when`-th call of this name fails; what strace saw of that
/// call, or `None` where there was no such call.
fn fault(scene: &Scene, call: &str, error: &str, when: &str) -> Option<String> {
    let cb = scene.play();
    let log = cb.path("log");
    let mut strace = Command::new("strace");
    // Without -f: the child is left alone.
    strace.args(["-y", "-o"]).arg(&log);
    strace.args(["-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:error={error}:when={when}")]);
    strace.arg(binary()).arg("exec").args(scene.options).args(["pay", "--"]).args(RAN);
    cb.environ(&mut strace);
    let ran = bounded(strace);
    let log = fs::read_to_string(&log).expect("a log");
    let injected = log.lines().find(|line| line.contains("(INJECTED)"));
    let what =
        format!("{}, {call} {error} {when}: {}\n{ran}", scene.name, injected.unwrap_or_default());
    check(&ran, injected.unwrap_or_default(), &what);
    let recorded_after = check_after(&cb, &what);
    // A result that is lost without a word would be the worst of faults, and an
    // interrupted call is none: it is made again.
    if ran.stderr_text().is_empty() && ran.status().code() == Some(3) {
        assert_eq!(recorded_after, scene.recorded + 1, "not recorded, and not said: {what}");
    }
    assert!(error != "EINTR" || ran.stderr_text().is_empty(), "{what}");
    injected.map(str::to_owned)
}

fn check(ran: &Ran, injected: &str, what: &str) {
    let stderr = ran.stderr_text();
    assert!(stderr.lines().all(|line| line.starts_with("cb: ")), "{what}");
    assert!(stderr.lines().count() <= 2, "{what}");
    // A config file that cannot be read may hold anything: that is an error.
    if injected.contains("config.toml") && ran.status().code() == Some(125) {
        assert_eq!(ran.stdout_text(), "", "{what}");
        return;
    }
    assert_eq!(ran.status().code(), Some(3), "{what}");
    assert_eq!(ran.stdout_text(), "ran\n", "{what}");
}

/// The state is whole, nothing is held, and the next call goes its way.
///
/// Returns how many results were recorded before that.
fn check_after(cb: &Cb, what: &str) -> u64 {
    let status = bounded(cb.command(["status", "--json", "pay"]));
    assert_eq!(status.status().code(), Some(0), "{what}\nthen {status}");
    assert_eq!(status.stderr_text(), "", "{what}\nthen {status}");
    let json: serde_json::Value = serde_json::from_str(&status.stdout_text()).expect("JSON");
    assert_eq!(json["breakers"][0]["half_open"]["in_flight"], 0, "{what}\nthen {json}");
    let next = bounded(cb.command(["exec", "pay", "true"]));
    let code = next.status().code();
    let open = json["breakers"][0]["state"] == "open" && json["breakers"][0]["trial_due"] == false;
    assert_eq!(code, Some(if open { 75 } else { 0 }), "{what}\nthen {next}");
    assert_eq!(next.stderr_text().is_empty(), !open, "{what}\nthen {next}");
    recorded(&json["breakers"][0])
}

fn recorded(status: &serde_json::Value) -> u64 {
    let total = |name: &str| status["totals"][name].as_u64().expect("a number");
    total("succeeded") + total("failed") + total("ignored")
}

#[test]
fn any_call_that_fails_leaves_the_command_and_the_state_alone() {
    let _alone = crowded();
    if !can(&["strace", "-o", "/dev/null", "-e", "inject=flock:error=EIO", "true"]) {
        return;
    }
    let scenes = scenes();
    let errors: Vec<&str> = match full() {
        true => ERRORS.into_iter().chain(MORE_ERRORS).collect(),
        false => vec!["EIO", "EINTR"],
    };
    let mut jobs: Vec<(&Scene, &str)> = Vec::new();
    for scene in &scenes {
        jobs.extend(CALLS.iter().map(|call| (scene, *call)));
    }
    let (jobs, runs) = (Mutex::new(jobs), AtomicUsize::new(0));
    let sweep = |scene: &Scene, call: &str| {
        let mut count = TIMES_MAX;
        for error in &errors {
            // Interruptions are answered the same way everywhere.
            if *error == "EINTR" && !full() && !scene.name.starts_with("trial that f") {
                continue;
            }
            for nth in 1..=count {
                assert!(nth < TIMES_MAX, "{call} does not end");
                runs.fetch_add(1, Ordering::Relaxed);
                if fault(scene, call, error, &nth.to_string()).is_none() {
                    count = nth - 1;
                    break;
                }
                if full() && *error != "EINTR" {
                    runs.fetch_add(1, Ordering::Relaxed);
                    fault(scene, call, error, &format!("{nth}+"));
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let job = jobs.lock().expect("no panic").pop();
                    let Some((scene, call)) = job else { return };
                    sweep(scene, call);
                }
            });
        }
    });
    println!("{} runs", runs.into_inner());
}
