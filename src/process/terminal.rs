//! The terminal's foreground, lent to a child that has a group of its own.
//!
//! A child in cb's own group shares the terminal as any command does, and none
//! of this is used. With a timeout the child leads its own group, and somebody
//! has to say which of the two groups the terminal listens to:
//!
//! - cb started alone by a shell with job control: the child's group has the
//!   foreground from its first instruction on.
//! - cb in a script's group or in a pipeline: others there need the terminal
//!   too (the script its ^C, `less` its keys), so the child's group gets the
//!   foreground once it asks for it, which is when TTIN or TTOU stops it. Until
//!   then cb passes on what is typed.
//! - where TTIN is ignored, as interactive shells have it in `$(...)`, nothing
//!   stops a child that reads in the background: it gets an error. So its group
//!   has the foreground from the start.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::process::Pid;

use super::signals;

/// cb's controlling terminal.
pub(super) struct Terminal {
    tty: OwnedFd,
    mine: Pid,
}

impl Terminal {
    /// The controlling terminal, if there is one.
    pub(super) fn open() -> Option<Self> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
        let tty = rustix::fs::open(c"/dev/tty", flags, Mode::empty()).ok()?;
        Some(Terminal { tty, mine: rustix::process::getpgrp() })
    }

    /// The descriptor with which a child takes the foreground at its start, if
    /// that is due.
    pub(super) fn lent_at_start(&self) -> Option<RawFd> {
        let alone = self.mine == rustix::process::getpid() && !writes_to_a_pipe();
        let due = alone || signals::is_ignored(libc::SIGTTIN);
        (due && self.is_mine()).then(|| self.tty.as_raw_fd())
    }

    /// Whether cb's group is in the foreground.
    pub(super) fn is_mine(&self) -> bool {
        self.foreground() == Some(self.mine)
    }

    /// Whether this group is in the foreground.
    pub(super) fn is_of(&self, group: Pid) -> bool {
        self.foreground() == Some(group)
    }

    /// Whether it was hung up: then it tells no group at all.
    pub(super) fn is_gone(&self) -> bool {
        self.foreground().is_none()
    }

    /// Puts this group in the foreground. TTOU must be blocked.
    pub(super) fn lend(&self, group: Pid) {
        let _ = rustix::termios::tcsetpgrp(&self.tty, group);
    }

    /// Puts cb's group in the foreground again, where the child's group, or one
    /// that is gone, still is; never where a shell took it. TTOU must be blocked.
    pub(super) fn take_back(&self, from: Option<Pid>) {
        let Some(current) = self.foreground() else { return };
        let gone =
            || rustix::process::test_kill_process_group(current) == Err(rustix::io::Errno::SRCH);
        if current != self.mine && (Some(current) == from || gone()) {
            let _ = rustix::termios::tcsetpgrp(&self.tty, self.mine);
        }
    }

    fn foreground(&self) -> Option<Pid> {
        rustix::termios::tcgetpgrp(&self.tty).ok()
    }
}

fn writes_to_a_pipe() -> bool {
    let kind = |stat: rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode);
    rustix::fs::fstat(std::io::stdout())
        .map(kind)
        .is_ok_and(|kind| matches!(kind, FileType::Fifo | FileType::Socket))
}
