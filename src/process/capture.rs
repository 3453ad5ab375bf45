//! A command's output on its way through cb: to cb's stdout, to somebody who
//! listens, or kept until it is known whether it is wanted.
//!
//! Nothing here waits while the command runs: what cb's stdout does not take now
//! is kept, and as long as something is kept nothing more is read, so that a slow
//! reader slows the command down as it would without cb. Once the command ended,
//! the rest of it is read within bounds and kept; `finish` writes that when the
//! outcome has been recorded.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;

use rustix::io::Errno;

use super::channel::Channel;
use super::heir::Source;
use super::pump::{UNUSED, watch};
use super::spool::Spool;

/// How large the pipe is made, where that is allowed.
pub(super) const PIPE_BYTES: usize = 256 * 1024;
/// How much is read at once. It stays in the processor's cache: with 128 KiB all
/// took twice as long.
const CHUNK_BYTES: usize = 64 * 1024;
/// How often is read before signals and all else are looked at again.
const READS_MAX: usize = 8;
/// How much of what is held is written at once.
const SCRATCH_BYTES: usize = 32 * 1024;
/// How much is kept of what those whom the command left behind write. What the
/// command itself wrote fits into the pipe, and is kept whatever its size.
const BACKLOG_MAX: usize = 1024 * 1024;

/// What becomes of a command's output besides.
pub trait Tap {
    /// Takes some of it. Never blocks for long, never fails.
    fn take(&mut self, bytes: &[u8]);
}

/// Where the output goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    PassOn,
    /// Kept until it is more than this.
    Hold(u64),
    Log,
}

/// The output of a command, or of several attempts at one.
pub struct Capture<'t> {
    way: Way,
    tap: Option<&'t mut dyn Tap>,
    stdout: Option<Channel>,
    /// Whether nobody can come to read once the reader of stdout is gone.
    watches_reader: bool,
    /// Where the command's output comes from, as long as it is read.
    pipe: Option<Source>,
    /// What was held; it comes before what is in `buffer`.
    held: Spool,
    /// How much of it was written.
    held_written: u64,
    released: bool,
    /// What was read, and written but for what comes after `written`.
    buffer: Vec<u8>,
    written: usize,
    /// How much was read in all.
    seen: u64,
    /// Whether the command ended: what comes is read though nobody takes it.
    ended: bool,
    /// Whether the output was read to its end.
    complete: bool,
    reader_is_gone: bool,
    error: Option<io::Error>,
}

impl<'t> Capture<'t> {
    /// Its stdout goes to cb's as it comes, and to the tap.
    pub fn pass_on(tap: Option<&'t mut dyn Tap>) -> Self {
        Self::new(Way::PassOn, tap)
    }

    /// Its stdout is kept until [`Capture::finish`], and goes to the tap. More
    /// than `max` bytes are not: from there on it is as with [`Capture::pass_on`].
    pub fn hold(max: u64, tap: Option<&'t mut dyn Tap>) -> Self {
        Self::new(Way::Hold(max), tap)
    }

    /// Its stdout and stderr go to the tap alone, as one stream.
    pub fn log(tap: &'t mut dyn Tap) -> Self {
        Self::new(Way::Log, Some(tap))
    }

    fn new(way: Way, tap: Option<&'t mut dyn Tap>) -> Self {
        Capture {
            way,
            tap,
            stdout: None,
            watches_reader: false,
            pipe: None,
            held: Spool::default(),
            held_written: 0,
            released: false,
            buffer: Vec::new(),
            written: 0,
            seen: 0,
            ended: false,
            complete: false,
            reader_is_gone: false,
            error: None,
        }
    }

    /// The same once nobody listens any more: the tap is free again.
    pub fn untapped(mut self) -> Capture<'static> {
        let held = std::mem::take(&mut self.held);
        let buffer = std::mem::take(&mut self.buffer);
        Capture {
            tap: None,
            way: self.way,
            stdout: self.stdout.take(),
            watches_reader: self.watches_reader,
            pipe: self.pipe.take(),
            held,
            held_written: self.held_written,
            released: self.released,
            buffer,
            written: self.written,
            seen: self.seen,
            ended: self.ended,
            complete: self.complete,
            reader_is_gone: self.reader_is_gone,
            error: self.error.take(),
        }
    }

    /// Whether all that the command wrote was seen: to its end, which nobody
    /// whom it left behind can add to, and with a stdout that took it.
    pub fn is_complete(&self) -> bool {
        self.complete && !self.reader_is_gone
    }

    /// Whether output that was to be held was too much, and reached the caller.
    pub fn was_released(&self) -> bool {
        self.released
    }

    /// Whether the reader of cb's stdout went away, which is no error: without
    /// cb the command would have got SIGPIPE, and with it does if it writes on.
    #[cfg(test)]
    pub(super) fn reader_is_gone(&self) -> bool {
        self.reader_is_gone
    }

    /// Writes what is left to cb's stdout, for as long as its reader takes. To
    /// be called once the outcome is recorded and signals are let through.
    ///
    /// # Errors
    ///
    /// What a write to stdout failed with, now or before; not that its reader
    /// went away.
    pub fn finish(&mut self) -> io::Result<()> {
        let written = self.write_rest();
        self.forget();
        match (self.error.take(), written) {
            (Some(error), _) => Err(error),
            (None, Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.reader_is_gone = true;
                Ok(())
            }
            (None, written) => {
                self.complete &= written.is_ok();
                written
            }
        }
    }

    fn write_rest(&mut self) -> io::Result<()> {
        let Some(stdout) = &self.stdout else { return Ok(()) };
        let mut scratch = [0; SCRATCH_BYTES];
        while self.held_written < self.held.len() {
            let part = self.held.part(self.held_written, &mut scratch)?;
            stdout.write_waiting(part)?;
            self.held_written += part.len() as u64;
        }
        stdout.write_waiting(&self.buffer[self.written..])
    }

    fn forget(&mut self) {
        self.held.clear();
        self.held_written = 0;
        self.buffer.clear();
        self.written = 0;
    }

    /// Whether stderr goes the same way.
    pub(super) fn takes_stderr(&self) -> bool {
        self.way == Way::Log
    }

    /// A command starts, whose output comes from here. What is still unwritten
    /// of the one before stays before it.
    pub(super) fn begin(&mut self, pipe: Source) {
        if self.way != Way::Log && self.stdout.is_none() {
            let stdout = Channel::stdout();
            self.watches_reader = stdout.is_anonymous_pipe();
            self.stdout = Some(stdout);
        }
        self.pipe = (!self.reader_is_gone && self.error.is_none()).then_some(pipe);
    }

    /// Another command is to start: what is known of the end of the one before
    /// says nothing about it.
    pub(super) fn prepare(&mut self) {
        self.ended = false;
        self.complete = false;
    }

    /// What to wait for: at the pipe, and at stdout.
    pub(super) fn wants(&self) -> [libc::pollfd; 2] {
        let mut wants = [UNUSED; 2];
        let writes = self.has_unwritten();
        if let Some(pipe) = &self.pipe
            && (!writes || self.ended)
        {
            wants[0] = watch(pipe.as_raw_fd(), libc::POLLIN);
        }
        if let Some(stdout) = &self.stdout {
            let fd = stdout.fd().as_raw_fd();
            if writes {
                wants[1] = watch(fd, libc::POLLOUT);
            } else if self.watches_reader && self.pipe.is_some() && self.writes_at_once() {
                wants[1] = watch(fd, 0);
            }
        }
        wants
    }

    /// Does what can be done without waiting.
    pub(super) fn serve(&mut self, [at_pipe, at_stdout]: [libc::pollfd; 2]) {
        if at_stdout.revents != 0 {
            if self.has_unwritten() {
                self.write_some();
            } else {
                self.lose_reader();
            }
        }
        if at_pipe.revents != 0 {
            let _ = (0..READS_MAX).take_while(|_| self.relay()).count();
        }
    }

    /// Reads some and hands it on; whether there may be more to read at once.
    fn relay(&mut self) -> bool {
        let before = self.seen;
        self.read_some();
        if self.has_unwritten() {
            self.write_some();
        }
        self.seen > before && !self.has_unwritten()
    }

    /// The command ended. Takes what is in the pipe by now, all that it wrote.
    pub(super) fn end(&mut self) {
        self.ended = true;
        let Some(pipe) = &self.pipe else { return };
        let there = rustix::io::ioctl_fionread(pipe).unwrap_or(0);
        let until = self.seen.saturating_add(there);
        while self.pipe.is_some() && self.seen < until {
            let before = self.seen;
            self.read_some();
            if self.seen == before {
                return;
            }
        }
    }

    /// How much came so far.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Whether more of what comes now, after the command's end, can be kept.
    pub(super) fn takes_more(&self) -> bool {
        self.pipe.is_some() && self.buffer.len() - self.written < BACKLOG_MAX
    }

    /// Leaves those who may still write behind.
    pub(super) fn leave(&mut self) {
        self.pipe = None;
    }

    /// Whether what comes goes to stdout at once.
    fn writes_at_once(&self) -> bool {
        self.released || self.way == Way::PassOn
    }

    fn has_unwritten(&self) -> bool {
        self.writes_at_once()
            && (self.held_written < self.held.len() || self.written < self.buffer.len())
    }

    fn read_some(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        if self.written == self.buffer.len() {
            self.buffer.clear();
            self.written = 0;
        }
        let before = self.buffer.len();
        self.buffer.reserve(CHUNK_BYTES);
        match rustix::io::read(pipe, rustix::buffer::spare_capacity(&mut self.buffer)) {
            Ok(0) => {
                self.complete = true;
                self.pipe = None;
            }
            Ok(read) => {
                self.seen += read as u64;
                if let Some(tap) = &mut self.tap {
                    tap.take(&self.buffer[before..]);
                }
                self.keep();
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => self.fail(errno.into()),
        }
    }

    /// Puts what was just read where it is kept.
    fn keep(&mut self) {
        match self.way {
            Way::Log => self.buffer.clear(),
            Way::Hold(max) if !self.released => {
                // Where it cannot be kept it is let go, in order.
                let kept = self.held.push(&self.buffer).is_ok();
                if kept {
                    self.buffer.clear();
                }
                self.released = !kept || self.held.len() > max;
            }
            Way::Hold(_) | Way::PassOn => {}
        }
    }

    fn write_some(&mut self) {
        let Some(stdout) = &self.stdout else { return };
        let written = if self.held_written < self.held.len() {
            let mut scratch = [0; SCRATCH_BYTES];
            match self.held.part(self.held_written, &mut scratch) {
                Ok(part) => stdout.write(part).inspect(|&n| self.held_written += n as u64),
                Err(error) => return self.fail(error),
            }
        } else {
            stdout.write(&self.buffer[self.written..]).inspect(|&n| self.written += n)
        };
        match written {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::PIPE) => self.lose_reader(),
            Err(errno) => self.fail(errno.into()),
        }
        if self.held_written > 0 && self.held_written == self.held.len() {
            self.held.clear();
            self.held_written = 0;
        }
    }

    /// Nobody reads any more: the command learns it from its own pipe.
    fn lose_reader(&mut self) {
        self.reader_is_gone = true;
        self.pipe = None;
        self.forget();
    }

    /// Nothing more can be written: to the command that is a broken pipe.
    fn fail(&mut self, error: io::Error) {
        self.error = Some(error);
        self.complete = false;
        self.pipe = None;
        self.forget();
    }
}

impl fmt::Debug for Capture<'_> {
    /// Without the output, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("seen", &self.seen)
            .field("is_complete", &self.is_complete())
            .field("was_released", &self.released)
            .finish_non_exhaustive()
    }
}
