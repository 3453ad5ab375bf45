//! Running a command as if cb were not there, or with a time limit.
//!
//! The child gets what cb got: descriptors, terminal, process group, signal
//! mask, ignored signals, environment and arguments byte for byte. cb takes the
//! signals that are sent to it and passes them on, stops when the child is
//! stopped, and says how the child ended. There is one wait (`sigtimedwait`), no
//! thread and no handler. Where its output or its stdin goes through cb, that wait
//! is a `poll` over both, and signals are still taken one at a time.
//!
//! ```ignore
//! #![no_main]
//! cb::entry_point!(run);
//!
//! fn run(startup: &Startup) -> i32 {
//!     let mut request = Request::new(OsStr::new("true"), &[], clock::monotonic);
//!     let mut say = |notice: Notice| { /* cb: NAME: timed out after 5s */ };
//!     match process::run(&mut request, startup, &mut say) {
//!         Ok(report) => match report.end {
//!             End::Code(code) => code,
//!             End::Signal(signal) => process::end_by_signal(signal),
//!             End::NotFound => 127,
//!             End::NotExecutable => 126,
//!         },
//!         Err(_) => 125,
//!     }
//! }
//! ```
//!
//! Invariants: cb has one thread when it comes here (a signal goes to any thread
//! that does not block it). After `run` the signals stay blocked, so that none
//! can come between the child's end and its being recorded;
//! [`Startup::unblock_signals`] lets them through again.

pub mod entry;

pub mod capture;
mod channel;
mod deadline;
pub mod descriptor;
mod group;
mod heir;
mod inherited;
mod myself;
mod pause;
mod pump;
mod signals;
mod spawn;
mod spool;
pub mod stdin;
mod terminal;
mod wait;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Error;
use crate::model::outcome::{End, ExitReport, SignalSet};

pub use capture::{Capture, Tap};
pub use entry::Startup;
pub use inherited::Inherited;
pub use myself::{Worker, start_detached};
pub use pause::{EndRequest, end_request, is_asked_to_end, listen, listen_by_descriptor, pause};
pub use signals::end_by_signal;
pub use spool::Spool;
pub use stdin::{Input, NotAgain, Stdin};

use pump::Plumbing;
use signals::Set;
use spawn::{Place, Started};
use terminal::Terminal;
use wait::{OwnGroup, Watch};

/// A command to run.
pub struct Request<'a, 't> {
    /// Its name, found in PATH unless it has a slash; also its `argv[0]`.
    pub program: &'a OsStr,
    /// Its arguments.
    pub args: &'a [OsString],
    /// Variables set for it, besides all that cb has.
    pub env: &'a [(OsString, OsString)],
    /// Give it those alone; its name is found in their PATH then.
    pub clean_env: bool,
    /// Its directory, where it is not cb's.
    pub cwd: Option<&'a Path>,
    /// Its umask, where it is not cb's.
    pub umask: Option<u32>,
    /// A descriptor of cb's that it inherits, at the same number.
    pub keep: Option<BorrowedFd<'a>>,
    /// What it reads.
    pub stdin: Input<'a>,
    /// Where what it writes goes.
    pub stdout: Output<'a, 't>,
    /// How long it may run; `None`: for ever. Zero is over at once.
    pub timeout: Option<Duration>,
    /// How long after TERM it is killed; means nothing without a timeout.
    pub kill_after: Duration,
    /// With a timeout: leave it in cb's group, and end it alone.
    pub foreground: bool,
    /// Have the kernel send it TERM when cb dies.
    pub die_with_parent: bool,
    /// Let it finish when cb is sent TERM or HUP: they are left for [`pause`],
    /// which takes them after its end.
    pub finishes: bool,
    /// A clock that never goes back.
    pub clock: fn() -> Duration,
}

impl<'a> Request<'a, '_> {
    /// A command without a time limit; whoever sets one sets `kill_after` too.
    pub fn new(program: &'a OsStr, args: &'a [OsString], clock: fn() -> Duration) -> Self {
        Request {
            program,
            args,
            env: &[],
            clean_env: false,
            cwd: None,
            umask: None,
            keep: None,
            stdin: Input::Inherit,
            stdout: Output::Inherit,
            timeout: None,
            kill_after: Duration::ZERO,
            foreground: false,
            die_with_parent: false,
            finishes: false,
            clock,
        }
    }
}

impl fmt::Debug for Request<'_, '_> {
    /// Without the arguments and the environment, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("program", &self.program)
            .field("cwd", &self.cwd)
            .field("timeout", &self.timeout)
            .field("kill_after", &self.kill_after)
            .field("foreground", &self.foreground)
            .field("die_with_parent", &self.die_with_parent)
            .finish_non_exhaustive()
    }
}

/// Where a command's output goes.
#[derive(Debug, Default)]
pub enum Output<'a, 't> {
    /// Where cb's goes.
    #[default]
    Inherit,
    /// Through cb. A command without a stdout still has none, and is captured
    /// only for a log.
    Capture(&'a mut Capture<'t>),
}

/// Something that a person may want to read while it happens.
#[derive(Debug)]
pub enum Notice {
    /// The time was up, and TERM was sent.
    TimedOut {
        /// The time it had.
        after: Duration,
    },
    /// It did not end in time, and KILL was sent.
    Killed {
        /// The time it had to end.
        after: Duration,
    },
    /// It could not be started, for this reason; the report says which status.
    NotStarted(io::Error),
    /// It could not be started in its directory; the report says 126.
    NotEntered {
        /// The directory.
        directory: PathBuf,
        /// Why it cannot be entered.
        error: io::Error,
    },
}

/// Runs the command to its end. `Err` is cb's own failure to start a process,
/// not the command's.
pub fn run(
    request: &mut Request<'_, '_>,
    startup: &Startup,
    notify: &mut dyn FnMut(Notice),
) -> Result<ExitReport, Error> {
    Set::waited().block();
    let waited = match request.finishes {
        true => Set::waited().without(&Set::of(&[libc::SIGTERM, libc::SIGHUP])),
        false => Set::waited(),
    };
    let pipes = Plumbing::lay(&request.stdin, &mut request.stdout, startup, &waited);
    let pipes = pipes.map_err(Error::Spawn)?;
    let own_group = request.timeout.is_some() && !request.foreground;
    let terminal = if own_group { Terminal::open() } else { None };
    let lent = terminal.as_ref().and_then(Terminal::lent_at_start);
    let began = (request.clock)();
    let place = Place { own_group, terminal: lent, standard: pipes.standard() };
    match spawn::start(request, startup, place) {
        Ok(Started::Running(child)) => {
            let own_group = own_group.then(|| OwnGroup { terminal, was_lent: lent.is_some() });
            let watch = Watch::new(request, notify, waited, child, own_group, began);
            watch.with(pipes.open(&mut request.stdin, &mut request.stdout)).finish()
        }
        Ok(Started::Refused(end, error)) => {
            restore(terminal.as_ref());
            notify(Notice::NotStarted(error));
            Ok(not_run(end, request, began))
        }
        Ok(Started::NotEntered(error)) => {
            restore(terminal.as_ref());
            let directory = request.cwd.map(Path::to_owned).unwrap_or_default();
            notify(Notice::NotEntered { directory, error });
            Ok(not_run(End::NotExecutable, request, began))
        }
        Err(error) => {
            restore(terminal.as_ref());
            Err(error)
        }
    }
}

/// The report on a command that never came to be.
fn not_run(end: End, request: &Request<'_, '_>, began: Duration) -> ExitReport {
    let duration = (request.clock)().saturating_sub(began);
    let (timed_out, killed, sent) = (false, false, SignalSet::EMPTY);
    ExitReport { end, duration, timed_out, killed, sent }
}

/// Takes the terminal back from a child that never became the command.
fn restore(terminal: Option<&Terminal>) {
    if let Some(terminal) = terminal {
        terminal.take_back(None);
    }
}

#[cfg(test)]
mod tests;
