//! Who reads on from a command's output when cb is killed.
//!
//! A pipe whose reader died ends its writer by SIGPIPE, in the middle of
//! whatever it does: `kill -9` of cb would cut a charge in half that was not to
//! be captured by half. Nothing in the kernel reads a pipe to nowhere, and no
//! other way serves:
//!
//! - a read end that the command itself inherits spares it the signal, but then
//!   a full pipe, which nobody ever empties, holds it for ever;
//! - a file that the command writes into has no bound that outlives cb, and cb
//!   would have to look again and again how long it is.
//!
//! So each pipe has an heir: a fork of cb, with nothing of it but the read end,
//! in a session of its own and deaf to signals, that sleeps until the kernel
//! tells it that cb is dead. Then it reads what comes, and throws it away, until
//! nobody can write any more. It throws away all of it: what it could pass on
//! would have a gap where cb died. While cb lives it only costs a process; cb
//! ends it with the pipe, before it lets go of anything else.
//!
//! Where there cannot be one (no more processes are allowed), the command runs
//! all the same.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use libc::c_int;
use rustix::process::{Pid, Signal};

use super::entry::retitle;
use super::pump::{poll, watch};
use super::signals::{self, Set, To};

/// What the kernel sends at cb's death.
const DEATH: Signal = Signal::USR1;
/// Neither cb's own name nor its words: who kills all that are called cb, or have
/// `queue run` in their line, does not mean this.
const NAME: &std::ffi::CStr = c"pipe-heir";
/// How much is thrown away at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// How many descriptors a kernel without `close_range` is asked to close.
const CLOSED_MAX: RawFd = 4096;

/// The read end of a command's pipe, and its heir.
pub(super) struct Source {
    pipe: OwnedFd,
    _heir: Option<Heir>,
}

impl Source {
    /// Gives this read end, which does not block, an heir. To be done before
    /// there is a command: so none is without one.
    pub(super) fn new(pipe: OwnedFd) -> Self {
        let heir = Heir::of(&pipe);
        Source { pipe, _heir: heir }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

impl AsRawFd for Source {
    fn as_raw_fd(&self) -> RawFd {
        self.pipe.as_raw_fd()
    }
}

/// The process that reads on. Dropping this ends it.
struct Heir(libc::pid_t);

impl Heir {
    fn of(pipe: &OwnedFd) -> Option<Self> {
        let parent = rustix::process::getpid();
        let pipe = pipe.as_raw_fd();
        let none: libc::c_ulong = 0;
        // Without a signal at its end, which is nobody's news.
        // SAFETY: as fork, without a stack or anything else of its own; cb has
        // one thread, and the child calls only what touches no lock and
        // allocates nothing, and never returns.
        let pid = unsafe { libc::syscall(libc::SYS_clone, none, none, none, none, none) };
        match libc::pid_t::try_from(pid) {
            Ok(0) => inherit(parent, pipe),
            Ok(pid) if pid > 0 => Some(Heir(pid)),
            _ => None,
        }
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        signals::send(To::Child(self.0), libc::SIGKILL);
        // SAFETY: the status is not asked for. It was not waited for yet, so the
        // number is its own.
        while unsafe { libc::waitpid(self.0, std::ptr::null_mut(), libc::__WALL) } == -1
            && std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted
        {}
    }
}

/// The heir's whole life.
fn inherit(parent: Pid, pipe: RawFd) -> ! {
    let death = Set::of(&[DEATH.as_raw()]);
    Set::waited().block();
    let _ = rustix::process::set_parent_process_death_signal(Some(DEATH));
    retitle(NAME);
    // SAFETY: the name ends in a zero byte; no other call touches memory, and
    // nothing uses the descriptors of cb here.
    unsafe {
        libc::setsid();
        libc::prctl(libc::PR_SET_NAME, NAME.as_ptr());
        libc::chdir(c"/".as_ptr());
        libc::dup2(pipe, 0);
        close_from(1);
    }
    // Somebody else may send the signal as well.
    while rustix::process::getppid() == Some(parent) {
        let _ = signals::wait(&death, None);
    }
    let mut scratch = [0; CHUNK_BYTES];
    loop {
        // SAFETY: 0 is the pipe.
        let pipe = unsafe { BorrowedFd::borrow_raw(0) };
        match rustix::io::read(pipe, &mut scratch) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                poll(&mut [watch(0, libc::POLLIN)], None::<Duration>);
            }
            Err(_) => break,
        }
    }
    // SAFETY: _exit ends the process at once and runs nothing of cb's.
    unsafe { libc::_exit(0) }
}

/// Closes all descriptors from this one on.
///
/// # Safety
///
/// Nothing of this process may use them any more.
pub(super) unsafe fn close_from(first: c_int) {
    // SAFETY: touches no memory; the caller answers for the descriptors.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) == -1 {
            for fd in first..CLOSED_MAX {
                libc::close(fd);
            }
        }
    }
}
