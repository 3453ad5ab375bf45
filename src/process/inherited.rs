//! What cb was started with, for a command that Rust's library starts: a probe's,
//! which is waited for among many other things.

use std::fmt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

use super::Startup;
use super::signals::{self, Set};

/// How signals were when cb was started.
#[derive(Clone, Copy)]
pub struct Inherited {
    mask: Set,
    chld_ignored: bool,
    pipe_ignored: bool,
}

impl Startup {
    /// What a command gets of this that cb does not have itself any more.
    pub fn inherited(&self) -> Inherited {
        Inherited {
            mask: self.mask,
            chld_ignored: self.chld_ignored,
            pipe_ignored: signals::is_ignored(libc::SIGPIPE),
        }
    }
}

impl Inherited {
    /// Has this command start as if its caller had started it, and not cb: cb waits
    /// for signals that it blocks, and Rust's library would leave them blocked and
    /// always give SIGPIPE its default action. And has the kernel kill the command
    /// when the thread that starts it ends, whatever ends that.
    pub fn restore_in(self, command: &mut Command) {
        let parent = getpid();
        let restore = move || {
            // The library has set SIGPIPE by now.
            signals::set_ignored(libc::SIGPIPE, self.pipe_ignored);
            if self.chld_ignored {
                signals::set_ignored(libc::SIGCHLD, true);
            }
            set_parent_process_death_signal(Some(Signal::KILL))?;
            if getppid() != Some(parent) {
                // SAFETY: _exit ends the process at once and runs nothing.
                unsafe { libc::_exit(128 + libc::SIGKILL) };
            }
            // Last, so that no signal comes before all is as it is to be.
            self.mask.make_mask();
            Ok(())
        };
        // SAFETY: between fork and exec it only makes system calls that are fit for
        // there (sigaction, prctl, getppid, sigprocmask), on its own copies.
        unsafe { command.pre_exec(restore) };
    }

    /// As if the test had been cb from its start.
    #[cfg(test)]
    pub(crate) fn of_the_test() -> Self {
        let pipe_ignored = signals::is_ignored(libc::SIGPIPE);
        Inherited { mask: Set::of(&[]).block(), chld_ignored: false, pipe_ignored }
    }
}

impl fmt::Debug for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inherited")
            .field("chld_ignored", &self.chld_ignored)
            .field("pipe_ignored", &self.pipe_ignored)
            .finish_non_exhaustive()
    }
}
