//! cb started again by cb, with other words: left alone in the background, or as
//! a worker that answers.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions};

use crate::error::Error;

use super::signals::{self, To};
use super::{Request, Startup, spawn};

/// What it is called.
const NAME: &str = "cb";
/// How much of a worker's answer is kept.
const ANSWER_MAX: u64 = 64 * 1024;

/// Starts cb with these words in the background, where nothing of the caller's
/// reaches it and it keeps nothing of the caller's: in a session of its own,
/// with /dev/null as its standard descriptors and no others, in "/", with no
/// signal blocked or ignored. Its environment and umask are cb's. Nobody waits
/// for it.
///
/// # Errors
///
/// That it could not be started.
pub fn start_detached(args: &[OsString], startup: &Startup) -> Result<(), Error> {
    let null = open_null().map_err(Error::Spawn)?;
    let null = Some(null.as_raw_fd());
    spawn::start_myself(&request(args), startup, [null; 3], true).map(drop)
}

/// cb as a worker of this cb. It has cb's stderr, environment and directory, and
/// an empty stdin; it gets TERM when cb dies.
pub struct Worker {
    pid: Pid,
    answer: File,
}

impl Worker {
    /// Starts one with these words. Signals that cb blocks now are let through
    /// in it, as they were when cb started.
    ///
    /// # Errors
    ///
    /// That it could not be started.
    pub fn start(args: &[OsString], startup: &Startup) -> Result<Worker, Error> {
        let null = open_null().map_err(Error::Spawn)?;
        let (reader, writer) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|errno| Error::Spawn(errno.into()))?;
        let request = Request { die_with_parent: true, ..request(args) };
        let standard = [Some(null.as_raw_fd()), Some(writer.as_raw_fd()), None];
        let pid = spawn::start_myself(&request, startup, standard, false)?;
        Ok(Worker { pid, answer: File::from(reader) })
    }

    /// Asks it to end by this signal. One that was stopped hears of it as well.
    pub fn end(&self, signal: i32) {
        let worker = To::Child(self.pid.as_raw_nonzero().get());
        signals::send(worker, signal);
        signals::send(worker, libc::SIGCONT);
    }

    /// Waits for its end: its exit status, 128 + N where signal N ended it, and
    /// what it wrote to its stdout, of which the first 64 KiB are kept.
    ///
    /// # Errors
    ///
    /// The system's. It is waited for all the same.
    pub fn wait(mut self) -> io::Result<(i32, Vec<u8>)> {
        let answer = self.read_answer();
        let status = loop {
            match rustix::process::waitpid(Some(self.pid), WaitOptions::empty()) {
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
                Ok(status) => break status.map(|(_, status)| status),
            }
        };
        let status = status.and_then(|status| {
            status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal))
        });
        Ok((status.unwrap_or(128), answer?))
    }

    fn read_answer(&mut self) -> io::Result<Vec<u8>> {
        let mut answer = Vec::new();
        (&mut self.answer).take(ANSWER_MAX).read_to_end(&mut answer)?;
        io::copy(&mut self.answer, &mut io::sink())?;
        Ok(answer)
    }

    /// The first of these that has ended or is about to, for which `wait` takes
    /// no time; `None` after `timeout` or when a signal came. One that writes
    /// more than a pipe holds is not told to have ended until it is waited for.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn first_done(workers: &[Worker], timeout: Option<Duration>) -> io::Result<Option<usize>> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let watch = |worker| PollFd::from_borrowed_fd(worker, PollFlags::empty());
        let mut fds: Vec<_> = workers.iter().map(|worker| watch(worker.answer.as_fd())).collect();
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) => Ok(fds.iter().position(|fd| !fd.revents().is_empty())),
            Err(Errno::INTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("pid", &self.pid).finish_non_exhaustive()
    }
}

fn request(args: &[OsString]) -> Request<'_, '_> {
    // Nobody measures how long it takes.
    Request { args, ..Request::new(OsStr::new(NAME), &[], || Duration::ZERO) }
}

fn open_null() -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(rustix::fs::open(c"/dev/null", flags, Mode::empty())?)
}
