//! The harness: a cb with a store, a home and an environment of its own.
//!
//! ```ignore
//! let cb = Cb::new();
//! cb.exec("pay", ["false"]).code(1).stderr("");
//! cb.run(["status", "--check", "pay"]).code(0);
//! ```

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::{LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};
use rustix::process::{getegid, geteuid};
use serde_json::Value;
use tempfile::TempDir;

/// No wait in a test is longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A cb to drive.
pub struct Cb {
    dir: TempDir,
    env: Vec<(String, std::ffi::OsString)>,
}

impl Cb {
    /// A cb with an empty store and no config.
    pub fn new() -> Self {
        let dir = TempDir::with_prefix_in("cb-it-", base()).expect("a temporary directory");
        fs::create_dir(dir.path().join("home")).expect("a home");
        Cb { dir, env: Vec::new() }
    }

    /// The same with one more environment variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// The same with this text as the user's config file.
    pub fn config(self, text: &str) -> Self {
        let dir = self.path("home/.config/cb");
        fs::create_dir_all(&dir).expect("a config directory");
        fs::write(dir.join("config.toml"), text).expect("a config file");
        self
    }

    /// A path in the test's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// A command line of cb, not yet started, in the environment of [`plain`].
    pub fn command<I, S>(&self, args: I) -> Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = Command::new(binary());
        self.environ(&mut command);
        command.args(args);
        command
    }

    /// Gives any other program the environment that cb has here.
    pub fn environ(&self, command: &mut Command) {
        plain(command);
        command.env("HOME", self.path("home")).env("CB_STORE", self.store());
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
    }

    /// Runs cb to its end.
    #[track_caller]
    pub fn run<I, S>(&self, args: I) -> Ran
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        Ran::of(self.command(args))
    }

    /// Runs `cb exec NAME -- COMMAND...`.
    #[track_caller]
    pub fn exec<I, S>(&self, name: &str, command: I) -> Ran
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.exec_with([] as [&str; 0], name, command)
    }

    /// Runs `cb exec OPTIONS... NAME -- COMMAND...`.
    #[track_caller]
    pub fn exec_with<O, P, I, S>(&self, options: O, name: &str, command: I) -> Ran
    where
        O: IntoIterator<Item = P>,
        P: AsRef<OsStr>,
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut cb = self.command(["exec"]);
        cb.args(options).arg(name).arg("--").args(command);
        Ran::of(cb)
    }

    /// One breaker of `cb status --json`.
    #[track_caller]
    pub fn status(&self, name: &str) -> Value {
        let ran = self.run(["status", "--json", name]).code(0);
        let status: Value = serde_json::from_slice(&ran.output.stdout).expect("JSON");
        status["breakers"][0].clone()
    }

    /// The state of a breaker.
    #[track_caller]
    pub fn state(&self, name: &str) -> String {
        self.status(name)["state"].as_str().expect("a state").to_owned()
    }

    /// Asserts the state of a breaker.
    #[track_caller]
    pub fn is(&self, name: &str, state: &str) -> &Self {
        assert_eq!(self.state(name), state, "the state of {name}");
        self
    }
}

/// Takes out of a program's environment what changes how cb and the shells act:
/// the caller's settings of cb, and the language that messages are in.
pub fn plain(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CB_") || text.starts_with("XDG_") {
            command.env_remove(&name);
        }
    }
    for name in ["NO_COLOR", "CLICOLOR_FORCE", "LANGUAGE", "BASH_ENV", "ENV"] {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C").env("LANG", "C");
}

/// Where the tests have their directories: cb takes no store that somebody else
/// could replace, wherever TMPDIR points.
pub fn base() -> &'static Path {
    static BASE: OnceLock<PathBuf> = OnceLock::new();
    BASE.get_or_init(|| {
        let places = [PathBuf::from(env!("CARGO_TARGET_TMPDIR")), std::env::temp_dir()];
        let real = places.iter().filter_map(|place| place.canonicalize().ok());
        let fit = real.clone().find(|place| is_fit(place));
        let why = "nowhere for the tests' stores: set TMPDIR to a place that others cannot change";
        fit.unwrap_or_else(|| panic!("{why}; not these: {places:?}"))
    })
}

/// Whether a directory can be made there, nobody else can change what lies on the
/// way, the name of a socket has room below it, and, where root plays a stranger,
/// the stranger gets there.
fn is_fit(place: &Path) -> bool {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    place.as_os_str().len() <= 60
        && access(place, Access::WRITE_OK).is_ok()
        && place.ancestors().all(|dir| {
            let Ok(meta) = dir.metadata() else { return false };
            let has = |bits| meta.mode() & bits != 0;
            let others_write = has(0o002) || has(0o020) && meta.gid() != gid;
            (meta.uid() == uid || meta.uid() == 0)
                && (!others_write || has(0o1000))
                && (uid != 0 || has(0o001))
        })
}

/// Says that a test, or a part of it, is left out, and why. A failure with
/// `CB_TEST_STRICT=1`, which is for where everything can be had.
#[expect(clippy::print_stderr, reason = "the output of a test is read where it fails")]
#[track_caller]
pub fn skipped(why: impl std::fmt::Display) {
    let strict = std::env::var_os("CB_TEST_STRICT").is_some_and(|value| value == "1");
    assert!(!strict, "skipped, which CB_TEST_STRICT=1 does not allow: {why}");
    eprintln!("skipped: {why}");
}

/// The same for what no installation can give: a network, or not being root.
#[expect(clippy::print_stderr, reason = "the output of a test is read where it fails")]
pub fn not_here(why: impl std::fmt::Display) {
    eprintln!("not here: {why}");
}

/// Fails in words of its own where a call gave up waiting for the lock: it ran
/// unprotected then, and what a test counts is off for no fault of cb's.
#[track_caller]
pub fn got_the_lock(stderr: &str) {
    let gave_up = stderr.lines().find(|line| line.contains(" is locked by another process"));
    assert!(
        gave_up.is_none(),
        "a call waited longer for the lock than cb does (1 s): the disk or the machine is too \
         slow for so many at once, or somebody keeps the lock: {}",
        gave_up.unwrap_or_default()
    );
}

/// The binary under test.
pub fn binary() -> &'static Path {
    static BINARY: LazyLock<PathBuf> = LazyLock::new(|| assert_cmd::cargo::cargo_bin!("cb").into());
    &BINARY
}

/// A cb that has ended.
#[derive(Debug)]
pub struct Ran {
    /// All of it.
    pub output: Output,
}

impl Ran {
    /// Runs a command to its end.
    #[track_caller]
    pub fn of(mut command: Command) -> Self {
        Ran { output: command.output().expect("cb starts") }
    }

    /// Runs a command to its end, with this on its stdin.
    #[track_caller]
    pub fn fed(mut command: Command, input: &[u8]) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("cb starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_vec();
        let feeder = thread::spawn(move || {
            // A reader that goes away early is the test's business.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().expect("cb ends");
        feeder.join().expect("the feeder ends");
        Ran { output }
    }

    /// How it ended.
    pub fn status(&self) -> ExitStatus {
        self.output.status
    }

    /// Asserts its exit code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.output.status.code(), Some(code), "{self}");
        self
    }

    /// Asserts the signal that ended it.
    #[track_caller]
    pub fn signal(self, signal: i32) -> Self {
        assert_eq!(self.output.status.signal(), Some(signal), "{self}");
        self
    }

    /// Asserts its whole stdout.
    #[track_caller]
    pub fn stdout(self, expected: &str) -> Self {
        assert_eq!(self.stdout_text(), expected, "stdout: {self}");
        self
    }

    /// Asserts its whole stderr.
    #[track_caller]
    pub fn stderr(self, expected: &str) -> Self {
        assert_eq!(self.stderr_text(), expected, "stderr: {self}");
        self
    }

    /// Asserts a part of its stdout.
    #[track_caller]
    pub fn stdout_has(self, part: &str) -> Self {
        assert!(self.stdout_text().contains(part), "no {part:?} on stdout: {self}");
        self
    }

    /// Asserts a part of its stderr.
    #[track_caller]
    pub fn stderr_has(self, part: &str) -> Self {
        assert!(self.stderr_text().contains(part), "no {part:?} on stderr: {self}");
        self
    }

    /// Asserts that stderr is one line of cb's with this in it, and no control
    /// character but the last newline.
    #[track_caller]
    pub fn one_line(self, part: &str) -> Self {
        let text = self.stderr_text();
        assert_eq!(text.matches('\n').count(), 1, "not one line: {self}");
        assert!(text.starts_with("cb: ") && text.ends_with('\n'), "{self}");
        assert!(!text.trim_end_matches('\n').contains(char::is_control), "{self}");
        self.stderr_has(part)
    }

    /// Its stdout as text.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// Its stderr as text.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}{}", self.output.status, self.stdout_text(), self.stderr_text())
    }
}

/// For a test that has dozens of processes at once: one such at a time, or they
/// take from each other the second that cb waits for a lock.
pub fn crowded() -> MutexGuard<'static, ()> {
    static CROWDED: Mutex<()> = Mutex::new(());
    CROWDED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until something is true, for as long as [`PATIENCE`].
#[track_caller]
pub fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_true() {
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
