//! Programs that run while the test looks on: to be signalled, to be waited for
//! within bounds, and ended by their pid where a test fails before that.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::RawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Cb, PATIENCE, Ran, eventually};

/// A program that was started. Its output goes to files, so that those it leaves
/// behind hold no pipe of the test's.
pub struct Live {
    child: Child,
    out: File,
    err: File,
}

impl Live {
    /// Starts it.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let out = tempfile::tempfile().expect("a file for stdout");
        let err = tempfile::tempfile().expect("a file for stderr");
        let copy = |file: &File| file.try_clone().expect("a descriptor");
        command.stdout(copy(&out)).stderr(copy(&err));
        Live { child: command.spawn().expect("it starts"), out, err }
    }

    /// Its pid.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    /// Sends it a signal. It was not waited for, so the pid is its own.
    pub fn send(&self, signal: i32) {
        send(self.pid(), signal);
    }

    /// Whether it has not ended.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// What it wrote to stderr up to now.
    pub fn stderr_so_far(&self) -> String {
        String::from_utf8_lossy(&content(&self.err)).into_owned()
    }

    /// Waits for its end, for as long as [`PATIENCE`].
    #[track_caller]
    pub fn end(mut self) -> Ran {
        let status = ended(&mut self.child);
        let output = Output { status, stdout: content(&self.out), stderr: content(&self.err) };
        Ran { output }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for the end of a child, for as long as [`PATIENCE`].
#[track_caller]
pub fn ended(child: &mut Child) -> ExitStatus {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return status;
        }
        if begin.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            panic!("it does not end");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// All of a file, whoever else stands where in it.
fn content(file: &File) -> Vec<u8> {
    let len = usize::try_from(file.metadata().expect("a file").len()).expect("it fits");
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0).expect("what was written");
    bytes
}

/// Sends a signal to a process that a test started, or to a group as -pid.
pub fn send(pid: i32, signal: i32) {
    assert!(pid.abs() > 1, "no pid of a test's");
    // SAFETY: kill touches no memory.
    unsafe { libc::kill(pid, signal) };
}

/// The state of a process, as /proc tells it; `None` once it is gone.
pub fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')? + 1..].trim_start().chars().next()
}

/// Whether a process is neither gone nor a dead one that nobody waited for.
pub fn alive(pid: i32) -> bool {
    !matches!(state(pid), None | Some('Z' | 'X'))
}

/// Field N of a process's stat, counted from 1 as in its manual page.
#[track_caller]
pub fn stat(pid: i32, field: usize) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let rest = &stat[stat.rfind(')').expect("a name") + 1..];
    rest.split_whitespace().nth(field - 3).and_then(|word| word.parse().ok()).expect("a number")
}

/// Has the program run this first, once it is a process of its own.
pub fn first(command: &mut Command, mut act: impl FnMut() + Send + Sync + 'static) {
    let act = move || {
        act();
        Ok(())
    };
    // SAFETY: what the tests do there are system calls, and no allocation.
    unsafe { command.pre_exec(act) };
}

/// Has the program inherit a descriptor of the test's, under the same number.
pub fn keep(command: &mut Command, fd: RawFd) {
    // SAFETY: the number is open in this copy of the test's process.
    first(command, move || unsafe {
        libc::fcntl(fd, libc::F_SETFD, 0);
    });
}

/// Ignores a signal, or gives it its default action.
pub fn ignore(signal: i32, ignored: bool) {
    let action = if ignored { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: no handler of ours is set.
    unsafe { libc::signal(signal, action) };
}

/// A number in the environment, to make a test longer than CI has time for.
pub fn scaled(name: &str, default: usize) -> usize {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().expect("a number"))
}

impl Cb {
    /// `cb exec OPTIONS NAME -- sh -c SCRIPT`, in the test's own directory.
    pub fn sh<const N: usize>(&self, options: [&str; N], name: &str, script: &str) -> Command {
        let mut command = self.command(["exec"]);
        command.args(options).args([name, "--", "sh", "-c", script]);
        command.current_dir(self.path(""));
        command
    }

    /// Makes an empty file.
    #[track_caller]
    pub fn touch(&self, name: &str) {
        fs::write(self.path(name), "").expect("an empty file");
    }

    /// Makes a FIFO for a script to `read _ <`. A shell that waits so starts no
    /// process, which matters where it is stopped: one that is about to start a
    /// command (vfork) cannot stop before that command goes on.
    #[track_caller]
    pub fn gate(&self, name: &str) {
        let path = CString::new(self.path(name).into_os_string().into_encoded_bytes());
        let path = path.expect("a path");
        // SAFETY: the path ends in a zero byte and outlives the call.
        assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0, "{path:?}");
    }

    /// Lets the script go on that waits at this gate, once it is there.
    #[track_caller]
    pub fn open_gate(&self, name: &str) {
        let mut options = File::options();
        options.write(true).custom_flags(libc::O_NONBLOCK);
        eventually("someone is at the gate", || {
            options.open(self.path(name)).is_ok_and(|mut gate| gate.write_all(b"\n").is_ok())
        });
    }

    /// The lines of a file so far; none while it is not there.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for a file.
    #[track_caller]
    pub fn sees(&self, name: &str) {
        eventually(&format!("{name} is made"), || self.path(name).exists());
    }

    /// Waits for a file with a pid in it, on a line.
    #[track_caller]
    pub fn pid(&self, name: &str) -> i32 {
        let path = self.path(name);
        eventually(&format!("a pid in {name}"), || whole_line(&path).is_some());
        whole_line(&path).and_then(|line| line.parse().ok()).expect("a pid")
    }

    /// One of the totals of a breaker.
    #[track_caller]
    pub fn total(&self, name: &str, which: &str) -> u64 {
        self.status(name)["totals"][which].as_u64().expect("a total")
    }

    /// Opens a breaker, and waits until its next call is a trial.
    #[track_caller]
    pub fn make_due(&self, name: &str) {
        self.run(["trip", "-q", name, "--for", "1ms"]).code(0);
        eventually("a trial is due", || self.status(name)["trial_due"] == true);
    }
}

fn whole_line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.strip_suffix('\n')?.to_owned())
}
