//! What goes through cb while a command runs, and the one wait for it and for
//! signals: `poll` over the pipes and a signalfd.
//!
//! The signalfd only says that a signal is there. It is taken where all are, by
//! `sigtimedwait`, so whoever handles signals need not know about any of this.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use super::capture::{Capture, PIPE_BYTES};
use super::heir::Source;
use super::signals::Set;
use super::spawn::Standard;
use super::stdin::{Feed, Input};
use super::{Output, Startup};

/// After the command's end: for how long nothing may come before cb leaves those
/// behind who hold the pipe, and how long it stays in all.
const QUIET: Duration = Duration::from_millis(200);
const STAY_MAX: Duration = Duration::from_secs(1);

/// An entry that is not waited for.
pub(super) const UNUSED: libc::pollfd = watch(-1, 0);

/// An entry for these events; errors and a hang-up are always told.
pub(super) const fn watch(fd: RawFd, events: libc::c_short) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0 }
}

/// The pipes of a command that is to start: its ends and cb's.
#[derive(Default)]
pub(super) struct Plumbing {
    /// What becomes the child's stdin: opened for it, or somebody's.
    stdin: Option<OwnedFd>,
    stdin_number: Option<RawFd>,
    /// Its stdout, and its stderr where it is the same.
    stdout: Option<OwnedFd>,
    takes_stderr: bool,
    feed: Option<OwnedFd>,
    output: Option<Source>,
    signals: Option<OwnedFd>,
}

impl Plumbing {
    /// Makes what this input and this output need: nothing where they are cb's.
    pub(super) fn lay(
        input: &Input<'_>,
        output: &mut Output<'_, '_>,
        startup: &Startup,
        waited: &Set,
    ) -> io::Result<Self> {
        let mut pipes = Plumbing::default();
        match input {
            Input::Inherit => {}
            Input::Null => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                pipes.stdin = Some(rustix::fs::open(c"/dev/null", flags, Mode::empty())?);
            }
            Input::File(file) => pipes.stdin_number = Some(file.as_raw_fd()),
            Input::Replay(_) => {
                let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
                rustix::fs::fcntl_setfl(&writer, OFlags::NONBLOCK)?;
                (pipes.stdin, pipes.feed) = (Some(reader), Some(writer));
            }
        }
        if let Some(stdin) = &pipes.stdin {
            pipes.stdin_number = Some(stdin.as_raw_fd());
        }
        if let Output::Capture(capture) = output {
            capture.prepare();
        }
        if let Output::Capture(capture) = output
            && (capture.takes_stderr() || !startup.closed[1])
        {
            let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
            rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK)?;
            // Where the user's share of pipe memory is used up it stays small.
            let _ = fcntl_setpipe_size(&writer, PIPE_BYTES);
            (pipes.output, pipes.stdout) = (Some(Source::new(reader)), Some(writer));
            pipes.takes_stderr = capture.takes_stderr();
        }
        if pipes.feed.is_some() || pipes.output.is_some() {
            pipes.signals = Some(waited.descriptor()?);
        }
        Ok(pipes)
    }

    /// The child's descriptors, where they are not cb's.
    pub(super) fn standard(&self) -> Standard {
        let stdout = self.stdout.as_ref().map(AsRawFd::as_raw_fd);
        [self.stdin_number, stdout, stdout.filter(|_| self.takes_stderr)]
    }

    /// The child has its ends: closes them here, and begins with cb's.
    pub(super) fn open<'r, 't>(
        self,
        input: &'r mut Input<'_>,
        output: &'r mut Output<'_, 't>,
    ) -> Option<Pumps<'r, 't>> {
        let Plumbing { stdin, stdout, feed, output: pipe, signals, .. } = self;
        drop((stdin, stdout));
        let output = match (output, pipe) {
            (Output::Capture(capture), Some(pipe)) => {
                capture.begin(pipe);
                Some(&mut **capture)
            }
            _ => None,
        };
        let input = match (input, feed) {
            (Input::Replay(replay), Some(feed)) => Some(Feed::new(replay, feed)),
            _ => None,
        };
        signals.map(|signals| Pumps { signals, input, output })
    }
}

/// What goes through cb while a command runs.
pub(super) struct Pumps<'r, 't> {
    signals: OwnedFd,
    input: Option<Feed<'r>>,
    output: Option<&'r mut Capture<'t>>,
}

impl Pumps<'_, '_> {
    /// Waits until something can be done, and does it; at most for `timeout`.
    /// Whether a signal is there to be taken.
    pub(super) fn turn(&mut self, timeout: Option<Duration>) -> bool {
        self.step(watch(self.signals.as_raw_fd(), libc::POLLIN), timeout)
    }

    fn step(&mut self, signals: libc::pollfd, timeout: Option<Duration>) -> bool {
        let [feed, stdin] = self.input.as_ref().map_or([UNUSED; 2], Feed::wants);
        let [pipe, stdout] = self.output.as_ref().map_or([UNUSED; 2], |output| output.wants());
        let mut fds = [signals, feed, stdin, pipe, stdout];
        if !poll(&mut fds, timeout) {
            return false;
        }
        let [signals, feed, stdin, pipe, stdout] = fds;
        if let Some(input) = &mut self.input {
            input.serve([feed, stdin]);
        }
        if let Some(output) = &mut self.output {
            output.serve([pipe, stdout]);
        }
        signals.revents != 0
    }

    /// The command ended: takes all that it wrote, and for a short time what
    /// those write whom it left behind. Signals wait meanwhile.
    pub(super) fn end(mut self, clock: fn() -> Duration) {
        // Nobody is left to be fed for.
        self.input = None;
        if let Some(output) = &mut self.output {
            output.end();
        }
        let began = clock();
        let mut heard = (began, self.seen());
        while self.output.as_ref().is_some_and(|output| output.takes_more()) {
            let now = clock();
            let until = heard.0.saturating_add(QUIET).min(began.saturating_add(STAY_MAX));
            let Some(left) = until.checked_sub(now).filter(|left| !left.is_zero()) else { break };
            self.step(UNUSED, Some(left));
            if self.seen() != heard.1 {
                heard = (clock(), self.seen());
            }
        }
        if let Some(output) = &mut self.output {
            output.leave();
        }
    }

    fn seen(&self) -> u64 {
        self.output.as_ref().map_or(0, |output| output.seen())
    }
}

/// Whether any of these is ready within `timeout`.
pub(super) fn poll(fds: &mut [libc::pollfd], timeout: Option<Duration>) -> bool {
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the entries and the timeout outlive the call; no mask is given.
    unsafe { libc::ppoll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, timeout, ptr::null()) > 0 }
}
