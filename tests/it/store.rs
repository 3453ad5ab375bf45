//! A store that is damaged, tampered with, or cannot be used: the command runs
//! all the same with its own status, one line names what is wrong, and nothing
//! panics, hangs or follows a link.

pub mod clocks;
mod damage;
mod hostile;
mod places;
mod stdout;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Cb, PATIENCE, Ran, skipped};

/// A command that tells that it ran.
pub const RAN: [&str; 3] = ["sh", "-c", "echo ran; exit 3"];

/// Runs a command to its end, or kills it when patience is at its end.
#[track_caller]
pub fn bounded(mut command: Command) -> Ran {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("it starts");
    let pid = Pid::from_child(&child);
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let _ = tell.send(child.wait_with_output());
    });
    match told.recv_timeout(PATIENCE) {
        Ok(output) => Ran { output: output.expect("it can be waited for") },
        Err(_) => {
            let _ = kill_process(pid, Signal::KILL);
            panic!("it hangs: {command:?}");
        }
    }
}

/// The words of an exec of [`RAN`], with options.
pub fn exec_words<'a>(options: &[&'a str]) -> Vec<&'a str> {
    [&["exec"], options, &["pay", "--"], &RAN].concat()
}

/// What a store that cannot be used comes to.
pub struct Unusable<'a> {
    /// The cb.
    pub cb: &'a Cb,
    /// What every line must say: the file, as a rule.
    pub says: &'a str,
    /// Whether readers, who need no lock and write nothing, do their work.
    pub reads: bool,
    /// What goes before cb on the command line: `unshare`, `setpriv`, ...
    pub through: Vec<OsString>,
}

impl<'a> Unusable<'a> {
    pub fn new(cb: &'a Cb, says: &'a str) -> Self {
        Unusable { cb, says, reads: false, through: Vec::new() }
    }

    pub fn readable(self) -> Self {
        Unusable { reads: true, ..self }
    }

    pub fn through<S: AsRef<OsStr>>(self, words: impl IntoIterator<Item = S>) -> Self {
        let through = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        Unusable { through, ..self }
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> Ran {
        let cb = self.cb.command(words);
        let Some((program, args)) = self.through.split_first() else { return bounded(cb) };
        let mut command = Command::new(program);
        command.args(args).arg(cb.get_program()).args(cb.get_args());
        self.cb.environ(&mut command);
        bounded(command)
    }

    /// Holds every command to it.
    #[track_caller]
    pub fn check(&self) {
        self.run(&exec_words(&[]))
            .code(3)
            .stdout("ran\n")
            .one_line(self.says)
            .stderr_has("; running the command unprotected");
        self.run(&exec_words(&["-q"])).code(3).stdout("ran\n").stderr("");
        self.run(&exec_words(&["--on-store-error", "refuse"]))
            .code(125)
            .stdout("")
            .one_line(self.says);
        for words in [&["trip", "pay"][..], &["hold", "pay", "forced-open"], &["allow", "pay"]] {
            self.run(words).code(125).stdout("").one_line(self.says);
        }
        for words in [&["status", "pay"][..], &["status", "--check", "pay"], &["check", "pay"]] {
            let ran = self.run(words);
            if self.reads {
                assert_ne!(ran.status().code(), Some(125), "{words:?}: {ran}");
                ran.stderr("");
            } else {
                ran.code(125).one_line(self.says);
            }
        }
    }
}

/// Says how far a test came.
#[expect(clippy::print_stdout, reason = "the output of a test is read where it fails")]
pub fn note(what: impl std::fmt::Display) {
    println!("{what}");
}

/// Whether the tests run as root; says so where that leaves something out.
#[track_caller]
pub fn is_root(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skipped(format_args!("needs root: {what}"));
    }
    root
}

/// Whether a helper program can do what a test needs of it here.
#[track_caller]
pub fn can(words: &[&str]) -> bool {
    let ran = Command::new(words[0]).args(&words[1..]).output();
    let can = ran.as_ref().is_ok_and(|output| output.status.success());
    if !can {
        skipped(format_args!("{words:?} does not work here: {ran:?}"));
    }
    can
}

/// Everything about the files below a directory that a stranger could change.
pub fn snapshot(path: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let meta = path.symlink_metadata().expect("it is there");
    let content =
        if meta.is_file() { std::fs::read(path).expect("it is readable") } else { vec![] };
    let mut all = vec![format!(
        "{} {:o} {} {} {:?} {:?}",
        path.display(),
        meta.mode(),
        meta.uid(),
        meta.nlink(),
        meta.modified(),
        content
    )];
    if meta.is_dir() {
        for entry in path.read_dir().expect("it is readable") {
            all.extend(snapshot(&entry.expect("an entry").path()));
        }
    }
    all.sort();
    all
}

/// Works through the cases in a few threads, each with a cb of its own.
pub fn each<T: Sync>(cases: &[T], make: impl Fn() -> Cb + Sync, work: impl Fn(&Cb, &T) + Sync) {
    let share = cases.len().div_ceil(4).max(1);
    thread::scope(|scope| {
        for cases in cases.chunks(share) {
            let (make, work) = (&make, &work);
            scope.spawn(move || {
                let cb = make();
                cases.iter().for_each(|case| work(&cb, case));
            });
        }
    });
}

/// Whether the whole of a long test was asked for.
pub fn full() -> bool {
    std::env::var_os("CB_TEST_FULL").is_some_and(|value| value == "1")
}
