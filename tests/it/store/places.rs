//! Stores in places that cannot be written, are full, far away, or locked.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::*;
use crate::support::{binary, eventually, skipped};

const NAMESPACE: [&str; 5] = ["unshare", "-m", "sh", "-c", "true"];

/// A user who has no entry in the user database and owns nothing.
const STRANGER: [&str; 5] =
    ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups", "--reset-env"];

/// Words that run what follows in a mount namespace of its own, once `script` has
/// changed its mounts; the store is `$CB_STORE` there.
fn mounted(script: &str) -> Vec<String> {
    let script = format!("{script} || exit 99; exec \"$0\" \"$@\"");
    ["unshare", "-m", "sh", "-c", &script].map(str::to_owned).to_vec()
}

const READ_ONLY: &str =
    "mount --bind \"$CB_STORE\" \"$CB_STORE\" && mount -o remount,ro,bind \"$CB_STORE\"";

#[test]
fn a_store_on_a_read_only_file_system() {
    if !can(&NAMESPACE) {
        return;
    }
    let cb = Cb::new();
    cb.run(["trip", "pay"]).code(0);
    let before = snapshot(&cb.store());
    Unusable::new(&cb, "Read-only file system").readable().through(mounted(READ_ONLY)).check();
    assert_eq!(snapshot(&cb.store()), before);
    cb.exec("pay", ["true"]).code(75);

    let cb = Cb::new();
    fs::create_dir(cb.store()).expect("a store");
    fs::set_permissions(cb.store(), Permissions::from_mode(0o700)).expect("ours");
    Unusable::new(&cb, "Read-only file system").readable().through(mounted(READ_ONLY)).check();
}

#[test]
fn a_store_that_may_not_be_written() {
    let cb = Cb::new();
    if rustix::process::geteuid().is_root() {
        // Root may write anything: a stranger looks at a store below a directory
        // of root's.
        if !can(&[&STRANGER[..], &["true"]].concat()) {
            return;
        }
        let program = cb.path("cb");
        fs::copy(binary(), &program).expect("a copy that the stranger can reach");
        fs::set_permissions(cb.path(""), Permissions::from_mode(0o755)).expect("ours");
        let store = format!("CB_STORE={}", cb.path("closed/store").display());
        let home = format!("HOME={}", cb.path("home").display());
        let run = |words: &[&str]| {
            let mut command = Command::new(STRANGER[0]);
            command.args(&STRANGER[1..]).args(["env", &store, &home]).arg(&program).args(words);
            bounded(command)
        };
        fs::create_dir(cb.path("closed")).expect("a directory");
        fs::set_permissions(cb.path("closed"), Permissions::from_mode(0o755)).expect("ours");
        let says = "/closed/store: Permission denied";
        run(&exec_words(&[])).code(3).stdout("ran\n").one_line(says);
        run(&exec_words(&["--on-store-error", "refuse"])).code(125).stdout("").one_line(says);
        run(&["trip", "pay"]).code(125).one_line(says);
        run(&["status"]).code(0).one_line("no breakers yet");
    } else {
        cb.run(["trip", "pay"]).code(0);
        fs::set_permissions(cb.store(), Permissions::from_mode(0o000)).expect("ours");
        Unusable::new(&cb, "/store").check();
        fs::set_permissions(cb.store(), Permissions::from_mode(0o700)).expect("ours");
    }
}

#[test]
fn without_a_home_there_is_no_place_for_the_store() {
    if !is_root("a user without an entry") || !can(&[&STRANGER[..], &["true"]].concat()) {
        return;
    }
    let cb = Cb::new();
    let program = cb.path("cb");
    fs::copy(binary(), &program).expect("a copy that the stranger can reach");
    fs::set_permissions(cb.path(""), Permissions::from_mode(0o755)).expect("ours");
    for home in [&["-u", "HOME"][..], &["HOME="], &["HOME=relative/home"]] {
        let run = |words: &[&str]| {
            let mut command = Command::new(STRANGER[0]);
            command.args(&STRANGER[1..]).args(["env", "-u", "CB_STORE"]).args(home);
            bounded({
                command.arg(&program).args(words);
                command
            })
        };
        let says = "no place for the store: HOME is not set";
        run(&exec_words(&[])).code(3).stdout("ran\n").one_line(says);
        run(&exec_words(&["--on-store-error", "refuse"])).code(125).stdout("").one_line(says);
        for words in [&["status"][..], &["trip", "pay"], &["allow", "pay"], &["check", "pay"]] {
            run(words).code(125).stdout("").one_line(says);
        }
    }
}

/// A file system of 64 KiB in place of the store, and a breaker in it or not;
/// then it is filled.
fn full_disk(before: &str) -> Vec<String> {
    mounted(&format!(
        "mount -t tmpfs -o size=64k,mode=700 none \"$CB_STORE\" && {before} && \
         {{ dd if=/dev/zero of=\"$CB_STORE/ballast\" bs=1k count=100 2>/dev/null; true; }}"
    ))
}

#[test]
fn a_new_breaker_on_a_full_disk() {
    if !can(&NAMESPACE) {
        return;
    }
    let cb = Cb::new();
    fs::create_dir(cb.store()).expect("a store");
    Unusable::new(&cb, ": No space left on device").readable().through(full_disk("true")).check();
    // No room for one more name.
    let inodes = mounted("mount -t tmpfs -o nr_inodes=1,mode=700 none \"$CB_STORE\"");
    Unusable::new(&cb, ": No space left on device").readable().through(inodes).check();
}

#[test]
fn a_breaker_that_is_there_goes_on_with_a_full_disk() {
    if !can(&NAMESPACE) {
        return;
    }
    let cb = Cb::new();
    fs::create_dir(cb.store()).expect("a store");
    let cb_path = binary().display();
    // Made, filled up, and then everything that happens in the life of a breaker.
    let script = format!(
        "{} || exit 99
        for i in 1 2 3 4 5; do {cb_path} exec pay false; test $? = 1 || exit 91; done
        {cb_path} exec pay true 2>/dev/null; test $? = 75 || exit 92
        {cb_path} trip pay --for 1ms || exit 93
        until {cb_path} check -q pay; do :; done
        {cb_path} exec pay true || exit 94
        {cb_path} status --check pay || exit 95",
        full_disk(&format!("{cb_path} exec pay true"))[4].replace("exec \"$0\" \"$@\"", "true")
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", &script]);
    cb.environ(&mut command);
    bounded(command).code(0).stderr("");
}

#[test]
fn a_store_that_cannot_be_reached() {
    let long = format!("/{}", "x/".repeat(2100));
    for (store, says) in [
        ("/dev/null/store", "/dev/null/store: Not a directory"),
        ("/etc/passwd/store", "/etc/passwd/store: Not a directory"),
        (long.as_str(), ": File name too long"),
    ] {
        let cb = Cb::new().env("CB_STORE", store);
        Unusable::new(&cb, says).check();
    }
    let component = "y".repeat(300);
    let cb = Cb::new();
    let store = cb.path(&component);
    let cb = cb.env("CB_STORE", store);
    Unusable::new(&cb, ": File name too long").check();
    // Nothing can be made in /proc, not even by root.
    let cb = Cb::new().env("CB_STORE", "/proc/cb-store/here");
    Unusable::new(&cb, "/proc/cb-store").readable().check();
}

#[test]
fn an_empty_store_is_a_wrong_word_and_no_broken_store() {
    let says = "--store '': empty; allowed: a directory";
    let cb = Cb::new();
    bounded(cb.command(exec_words(&["--store", ""]))).code(125).stdout("").one_line(says);
    bounded(cb.command(["status", "--store", ""])).code(125).stdout("").one_line(says);
    // An empty variable is as good as none.
    let cb = cb.env("CB_STORE", "").env("XDG_STATE_HOME", "");
    bounded(cb.command(exec_words(&[]))).code(3).stdout("ran\n").stderr("");
    assert!(cb.path("home/.local/state/cb/pay/state").is_file());
}

#[test]
fn odd_paths_work_and_stay_on_one_line() {
    let long = "d".repeat(200);
    let mut deep = PathBuf::new();
    for _ in 0..15 {
        deep.push(&long);
    }
    let names: [OsString; 6] = [
        "with space".into(),
        "new\nline".into(),
        OsString::from_vec(b"\xff\xfe".to_vec()),
        "esc\u{1b}[31m\u{7}".into(),
        "quo'te\"s".into(),
        deep.into_os_string(),
    ];
    for name in names {
        let cb = Cb::new();
        let store = cb.path("").join(&name).join("store");
        let cb = cb.env("CB_STORE", &store);
        bounded(cb.command(["status"])).code(0).stdout("").one_line("no breakers yet in ");
        cb.exec("pay", RAN).code(3).stdout("ran\n").stderr("");
        cb.run(["trip", "pay"]).code(0).stderr("");
        assert!(store.join("pay/state").is_file());
        fs::rename(store.join("pay/state"), cb.path("moved")).expect("it is there");
        fs::create_dir(store.join("pay/state")).expect("the name is free");
        Unusable::new(&cb, "pay/state is ").check();
        fs::set_permissions(&store, Permissions::from_mode(0o707)).expect("ours");
        Unusable::new(&cb, " is writable by others").check();
    }
}

#[test]
fn a_relative_store_is_below_the_current_directory() {
    let cb = Cb::new().env("CB_STORE", "some/where");
    let mut command = cb.command(["trip", "pay"]);
    command.current_dir(cb.path("home"));
    bounded(command).code(0).stderr("");
    assert!(cb.path("home/some/where/pay/state").is_file());
    let mut command = cb.command(["--store", "./some/../some/where", "status", "--check", "pay"]);
    command.current_dir(cb.path("home"));
    let ran = bounded(command);
    assert!([2, 125].contains(&ran.status().code().expect("a code")), "{ran}");
}

/// A process that ends with its test, whatever becomes of that.
struct Leash(std::process::Child);

impl Leash {
    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn a_lock_held_by_a_stopped_process_is_waited_for_once_and_not_for_long() {
    let cb = Cb::new();
    cb.run(["trip", "pay"]).code(0);
    let lock = cb.store().join("pay/lock");
    let mut holder = Command::new("flock");
    holder.args(["--no-fork", "-n"]).arg(&lock).args(["sleep", "600"]);
    holder.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut holder = match holder.spawn() {
        Ok(holder) => Leash(holder),
        Err(error) => return skipped(format_args!("flock does not work here: {error}")),
    };
    let is_free = || {
        let file = fs::File::open(&lock).expect("a lock file");
        flock(&file, FlockOperation::NonBlockingLockShared).is_ok()
    };
    eventually("the lock is held", || !is_free());
    kill_process(Pid::from_child(&holder.0), Signal::STOP).expect("ours");

    let begin = Instant::now();
    let says = format!("{} is locked by another process (waited 1", lock.display());
    bounded(cb.command(exec_words(&[]))).code(3).stdout("ran\n").one_line(&says);
    assert!(begin.elapsed() >= Duration::from_millis(900), "it did wait");
    Unusable::new(&cb, " is locked by another process").readable().check();
    // Many wait at the same time, and none of them for the others.
    let many: Vec<_> = (0..8)
        .map(|_| {
            thread::spawn({
                let command = cb.command(exec_words(&[]));
                move || bounded(command)
            })
        })
        .collect();
    for one in many {
        one.join().expect("it ends").code(3).stdout("ran\n").one_line(" is locked by another");
    }
    holder.end();
    cb.exec("pay", ["true"]).code(75);
}

#[test]
fn whatever_the_umask_the_store_is_private_and_works() {
    for umask in ["0777", "0077", "0027", "0000"] {
        let cb = Cb::new().env("CB_STORE", "");
        let store = cb.path("a/b/store");
        let cb = cb.env("CB_STORE", &store);
        let run = |words: &[&str]| {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")]);
            cb.environ(&mut command);
            command.arg(binary()).args(words);
            bounded(command)
        };
        run(&["exec", "pay", "sh", "-c", "umask"]).code(0).stdout(&format!("{umask}\n")).stderr("");
        run(&["trip", "pay", "--for", "1ms"]).code(0).stderr("");
        eventually("the trial is due", || {
            bounded(cb.command(["check", "-q", "pay"])).status().success()
        });
        // A trial sees the permit that cb holds for it.
        let list =
            "stat -c '%a %F' \"$CB_STORE\"/.. \"$CB_STORE\" \"$CB_STORE\"/pay \"$CB_STORE\"/pay/*";
        let listed = run(&["exec", "pay", "sh", "-c", list]).code(0).stderr("").stdout_text();
        let (dirs, files): (Vec<&str>, Vec<&str>) =
            listed.lines().partition(|line| line.ends_with("directory"));
        assert_eq!(dirs, ["700 directory"; 3], "umask {umask}");
        assert_eq!(files.len(), 3, "lock, state, permit: {listed}");
        assert!(files.iter().all(|file| file.starts_with("600 regular")), "{listed}");
        assert!(OsStr::new(umask).as_bytes().len() == 4);
    }
}
