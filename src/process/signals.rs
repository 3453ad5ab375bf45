//! Signals: the sets, the one wait, what is ignored, sending, and ending by one.
//!
//! cb installs no handler. It blocks what it waits for and takes signals one at
//! a time from `sigtimedwait`, so a signal can neither be lost nor interrupt
//! anything, and every disposition stays as it was inherited. Linux keeps a
//! blocked signal pending even where it is ignored; whoever takes it asks
//! [`is_ignored`] then, and not on every start.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use libc::c_int;

/// Signals that cb leaves alone: those that no process can block, those that a
/// fault of cb itself raises, and those that its own writes raise (blocked from
/// the start, so that the write's error is what is seen).
const NOT_WAITED: [c_int; 11] = [
    libc::SIGKILL,
    libc::SIGSTOP,
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGSYS,
    libc::SIGABRT,
    libc::SIGPIPE,
    libc::SIGXFSZ,
];

/// The signals that a write can raise in cb.
const OF_WRITES: [c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];

/// What a terminal sends to a whole group: for keys and a new size, and when it
/// is hung up.
pub(super) const OF_TERMINALS: [c_int; 6] =
    [libc::SIGINT, libc::SIGQUIT, libc::SIGTSTP, libc::SIGWINCH, libc::SIGHUP, libc::SIGCONT];

/// A set of signals, as the system calls take it.
#[derive(Clone, Copy)]
pub(super) struct Set(libc::sigset_t);

impl Set {
    fn empty() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset writes the whole set it is given a place for.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            Set(set.assume_init())
        }
    }

    /// The set of these.
    pub(super) fn of(signals: &[c_int]) -> Self {
        let mut set = Self::empty();
        for &signal in signals {
            // SAFETY: the set is initialised; a bad number is only refused.
            unsafe { libc::sigaddset(&raw mut set.0, signal) };
        }
        set
    }

    /// Those that a write can raise.
    pub(super) fn of_writes() -> Self {
        Self::of(&OF_WRITES)
    }

    /// All that cb takes while a command runs.
    pub(super) fn waited() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigfillset writes the whole set; sigdelset gets it initialised.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            let mut set = set.assume_init();
            for signal in NOT_WAITED {
                libc::sigdelset(&raw mut set, signal);
            }
            Set(set)
        }
    }

    /// Those that wait to be taken.
    pub(super) fn pending() -> Self {
        let mut set = Self::empty();
        // SAFETY: the set is initialised and outlives the call.
        unsafe { libc::sigpending(&raw mut set.0) };
        set
    }

    /// Whether this one is in the set.
    pub(super) fn contains(&self, signal: c_int) -> bool {
        // SAFETY: the set is initialised; a bad number gives -1.
        unsafe { libc::sigismember(&raw const self.0, signal) == 1 }
    }

    /// A descriptor that is ready to be read while one of these is pending.
    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: the set is initialised and outlives the call; what comes back
        // is an error or nobody else's.
        unsafe {
            match libc::signalfd(-1, &raw const self.0, flags) {
                -1 => Err(io::Error::last_os_error()),
                fd => Ok(OwnedFd::from_raw_fd(fd)),
            }
        }
    }

    /// Those of this set that are not in the other.
    pub(super) fn without(mut self, other: &Set) -> Self {
        for signal in (1..=libc::SIGRTMAX()).filter(|&signal| other.contains(signal)) {
            // SAFETY: the set is initialised; a bad number is only refused.
            unsafe { libc::sigdelset(&raw mut self.0, signal) };
        }
        self
    }

    /// Makes this the mask. Safe in a child that shares memory with its parent.
    pub(super) fn make_mask(&self) {
        // SAFETY: the set is initialised, and the old mask is not asked for.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }

    /// Blocks these too, and returns the mask as it was.
    pub(super) fn block(&self) -> Set {
        let mut old = Self::empty();
        // SAFETY: both sets are initialised and outlive the call.
        unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const self.0, &raw mut old.0) };
        old
    }

    /// Lets these through: one that is pending is delivered before this returns.
    pub(super) fn unblock(&self) {
        // SAFETY: the set is initialised, and the old mask is not asked for.
        unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const self.0, ptr::null_mut()) };
    }
}

/// Whether this signal waits to be taken.
pub(super) fn is_pending(signal: c_int) -> bool {
    Set::pending().contains(signal)
}

/// A signal that came.
#[derive(Clone, Copy)]
pub(super) struct Arrival {
    /// Its number.
    pub(super) signal: c_int,
    /// Sent by the kernel, as for a key typed at the terminal or an alarm.
    pub(super) from_kernel: bool,
    /// The value that `sigqueue` sent with it.
    pub(super) value: Option<libc::sigval>,
}

/// Waits for one of these; `None` after `timeout`, or for no reason at all.
pub(super) fn wait(set: &Set, timeout: Option<Duration>) -> Option<Arrival> {
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the set is initialised, the timeout null or valid, and siginfo_t
    // is plain data for which zeroes are a value.
    let (signal, info) = unsafe {
        let signal = libc::sigtimedwait(&raw const set.0, info.as_mut_ptr(), timeout);
        (signal, info.assume_init())
    };
    (signal > 0).then(|| Arrival {
        signal,
        from_kernel: info.si_code == libc::SI_KERNEL,
        // SAFETY: SI_QUEUE says that the value is the member that was set.
        value: (info.si_code == libc::SI_QUEUE).then(|| unsafe { info.si_value() }),
    })
}

/// Takes this signal if it is pending.
pub(super) fn take(signal: c_int) -> Option<Arrival> {
    wait(&Set::of(&[signal]), Some(Duration::ZERO))
}

/// Takes those of these that are pending. Safe in a child that shares memory
/// with its parent.
pub(super) fn take_all(signals: &[c_int]) {
    let set = Set::of(signals);
    // Each is pending once; the bound is for somebody who sends them in a loop.
    let _ = signals.iter().take_while(|_| wait(&set, Some(Duration::ZERO)).is_some()).count();
}

/// Whether this signal is ignored, as `nohup` and shells arrange it.
pub(super) fn is_ignored(signal: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: nothing is set; the old action is written where one is expected,
    // and zeroes are a value of it where the call fails.
    unsafe {
        libc::sigaction(signal, ptr::null(), action.as_mut_ptr());
        action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Gives this signal its default action, or has it ignored; returns whether it
/// was ignored. Safe in a child that shares memory with its parent.
pub(super) fn set_ignored(signal: c_int, ignored: bool) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    let mut old = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: zeroes are a valid action (default, no flags, empty mask); both
    // structures outlive the call.
    unsafe {
        if ignored {
            (*action.as_mut_ptr()).sa_sigaction = libc::SIG_IGN;
        }
        libc::sigaction(signal, action.as_ptr(), old.as_mut_ptr());
        old.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Gives every signal its default action. Safe in a child that shares memory
/// with its parent.
pub(super) fn heed_all() {
    for signal in 1..=libc::SIGRTMAX() {
        set_ignored(signal, false);
    }
}

/// Whom a signal goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// The child that cb started, not yet waited for.
    Child(libc::pid_t),
    /// Everyone in the group that the child leads or led.
    Group(libc::pid_t),
    /// cb alone.
    Myself,
    /// Everyone in cb's own group.
    MyGroup,
}

/// Sends a signal. That the target is gone, or another user's, is no error: the
/// end of the child is what counts, and it is waited for.
pub(super) fn send(to: To, signal: c_int) {
    let target = match to {
        To::Child(pid) => pid,
        To::Group(pgid) => -pgid,
        To::Myself => rustix::process::getpid().as_raw_nonzero().get(),
        To::MyGroup => 0,
    };
    // SAFETY: kill touches no memory.
    unsafe { libc::kill(target, signal) };
}

/// Sends what came on to the child, with the value it came with if it is one
/// process.
pub(super) fn pass_on(to: To, arrival: &Arrival) {
    match (to, arrival.value) {
        (To::Child(pid), Some(value)) => {
            // SAFETY: sigqueue copies the value and touches no memory.
            unsafe { libc::sigqueue(pid, arrival.signal, value) };
        }
        _ => send(to, arrival.signal),
    }
}

/// Ends cb the way the command ended: by this signal, without a second core
/// file. Returns 128 + `signal`, the shells' code for it, if cb still lives, as
/// the first process of a container does.
#[must_use = "cb may survive: end with the status that this returns"]
pub fn end_by_signal(signal: i32) -> i32 {
    let limit = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Core, limit);
    // A core_pattern that is a program ignores the limit; it honours this.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    set_ignored(signal, false);
    send(To::Myself, signal);
    Set::of(&[signal]).unblock();
    128 + signal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for() {
        let set = Set::waited();
        let all = [
            libc::SIGHUP,
            libc::SIGINT,
            libc::SIGTERM,
            libc::SIGCHLD,
            libc::SIGCONT,
            libc::SIGTSTP,
            libc::SIGTTIN,
            libc::SIGRTMIN(),
            libc::SIGRTMAX(),
        ];
        assert!(all.into_iter().all(|signal| set.contains(signal)));
        assert!(NOT_WAITED.into_iter().all(|signal| !set.contains(signal)));
    }
}
