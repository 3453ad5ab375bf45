//! A terminal of the test's own, with a program on it that leads its session.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::live::{ended, first};
use crate::support::{Cb, binary, eventually};

/// What is typed for ^C, ^D, ^Z and ^\.
pub const CTRL_C: &str = "\x03";
pub const CTRL_D: &str = "\x04";
pub const CTRL_Z: &str = "\x1a";
pub const CTRL_BACKSLASH: &str = "\x1c";

/// A terminal and the program that was started on it.
pub struct Pty {
    master: File,
    screen: Arc<Mutex<Vec<u8>>>,
    read_to: usize,
    child: Child,
}

impl Pty {
    /// Starts a program as the leader of a session on a new terminal.
    #[track_caller]
    pub fn start(mut command: Command) -> Self {
        let (master, slave) = open();
        for stream in [Command::stdin, Command::stdout, Command::stderr] {
            stream(&mut command, File::from(slave.try_clone().expect("a descriptor")));
        }
        // SAFETY: system calls on this process; 0 is the terminal.
        first(&mut command, || unsafe {
            libc::setsid();
            libc::ioctl(0, libc::TIOCSCTTY, 0);
        });
        let child = command.spawn().expect("it starts");
        // The test must not keep the terminal open: its reader sees no end then.
        drop((command, slave));
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (mut reader, shared) = (master.try_clone().expect("a descriptor"), screen.clone());
        thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(read @ 1..) = reader.read(&mut part) {
                shared.lock().unwrap_or_else(PoisonError::into_inner).extend(&part[..read]);
            }
        });
        Pty { master, screen, read_to: 0, child }
    }

    /// Starts an interactive bash with job control, in the test's directory and
    /// with `$CB` for cb.
    #[track_caller]
    pub fn bash(cb: &Cb) -> Self {
        let mut command = Command::new("bash");
        cb.environ(&mut command);
        command.args(["--norc", "--noprofile", "--noediting", "-i"]).current_dir(cb.path(""));
        command.env("CB", binary()).env("PS1", "> ").env("TERM", "dumb").env_remove("HISTFILE");
        let mut pty = Pty::start(command);
        pty.sees("> ");
        pty
    }

    /// The pid of the program.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    /// Types this.
    #[track_caller]
    pub fn types(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("a terminal");
    }

    /// Types a line.
    #[track_caller]
    pub fn line(&mut self, line: &str) {
        self.types(&format!("{line}\n"));
    }

    /// Types ^C, and waits for bash to prompt again: it may lose what is typed
    /// before that.
    #[track_caller]
    pub fn interrupt(&mut self) {
        self.types(CTRL_C);
        self.sees("^C");
        self.sees("> ");
    }

    /// Waits until this is shown, after what was waited for before. What is
    /// typed is shown too, so it should not be in that.
    #[track_caller]
    pub fn sees(&mut self, text: &str) {
        let (screen, from) = (self.screen.clone(), self.read_to);
        let shown = || screen.lock().unwrap_or_else(PoisonError::into_inner)[from..].to_vec();
        let find = |all: &[u8]| all.windows(text.len()).position(|part| part == text.as_bytes());
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(text, || find(&shown()).is_some());
        }));
        let all = shown();
        assert!(found.is_ok(), "no {text:?} in {:?}", String::from_utf8_lossy(&all));
        self.read_to += find(&all).expect("it was there") + text.len();
    }

    /// All that was shown up to now.
    pub fn shown(&self) -> String {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&screen).into_owned()
    }

    /// The group in the terminal's foreground.
    pub fn foreground(&self) -> i32 {
        // SAFETY: touches no memory; the descriptor is open.
        unsafe { libc::tcgetpgrp(self.master.as_raw_fd()) }
    }

    /// Hangs up: the terminal is gone for all who use it.
    pub fn hang_up(self) {
        drop(self);
    }

    /// Waits for the end of the program.
    #[track_caller]
    pub fn end(mut self) -> ExitStatus {
        ended(&mut self.child)
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // The kernel hangs up a terminal when its session's leader ends.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A new terminal: the end that a person sits at, and the one for programs.
fn open() -> (File, OwnedFd) {
    // SAFETY: the name is written where there is room for it, and ends in a zero
    // byte; the descriptors are new and nobody else's.
    unsafe {
        let master = libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC);
        assert!(master >= 0, "no terminal: {}", std::io::Error::last_os_error());
        assert!(libc::grantpt(master) == 0 && libc::unlockpt(master) == 0);
        let mut name = [0; 64];
        assert_eq!(libc::ptsname_r(master, name.as_mut_ptr(), name.len()), 0);
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        let slave: RawFd = libc::open(name.as_ptr(), flags);
        assert!(slave >= 0, "no terminal: {}", std::io::Error::last_os_error());
        (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
    }
}
