//! cb's stdin, for a call that may need it more than once.
//!
//! What can be read again is: a file from where it stood. A pipe or a socket is
//! handed on through a pipe of cb's, and what went through it is recorded up to
//! a bound, so that a further attempt gets the same bytes and then the rest. A
//! command that reads nothing still has cb read ahead what one pipe holds. All
//! other kinds (a terminal, a device) are the command's as they are.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::FileType;
use rustix::io::Errno;

use super::Startup;
use super::channel::{self, Channel};
use super::pump::{UNUSED, watch};
use super::spool::Spool;

/// How much is handed on at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// What a command has as its stdin.
#[derive(Debug, Default)]
pub enum Input<'a> {
    /// cb's own.
    #[default]
    Inherit,
    /// Nothing: /dev/null.
    Null,
    /// This, which becomes its descriptor 0.
    File(BorrowedFd<'a>),
    /// What was recorded of cb's own, then the rest of it.
    Replay(&'a mut Replay),
}

/// Why a further attempt cannot have the same stdin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAgain {
    /// It is over the bound.
    TooLong {
        /// The bound, in bytes.
        max: u64,
    },
    /// It could not be recorded.
    NotKept(io::ErrorKind),
}

impl fmt::Display for NotAgain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            NotAgain::TooLong { max } if max > 0 && max % (1 << 20) == 0 => {
                write!(f, "its stdin is over {} MiB", max >> 20)
            }
            NotAgain::TooLong { max } if max > 0 && max % (1 << 10) == 0 => {
                write!(f, "its stdin is over {} KiB", max >> 10)
            }
            NotAgain::TooLong { max } => write!(f, "its stdin is over {max} bytes"),
            NotAgain::NotKept(why) => write!(f, "its stdin could not be kept: {why}"),
        }
    }
}

/// cb's stdin, by what can be done with it.
#[derive(Debug)]
pub struct Stdin(Kind);

#[derive(Debug)]
enum Kind {
    /// Nothing is to be read here: closed, /dev/null, or a person's terminal.
    Empty,
    /// It can be handed on, but what was read is gone.
    AsIs,
    /// A file, and where it stood.
    Seekable { start: u64 },
    /// A pipe or a socket.
    Stream(Box<Replay>),
}

impl Stdin {
    /// What cb was started with; of a stream at most `max` bytes are recorded.
    pub fn of(startup: &Startup, max: u64) -> Self {
        let stdin = rustix::stdio::stdin();
        if startup.closed[0] || rustix::termios::isatty(stdin) {
            return Stdin(Kind::Empty);
        }
        Stdin(match channel::file_type(stdin) {
            Some(FileType::RegularFile) => match rustix::fs::tell(stdin) {
                Ok(start) => Kind::Seekable { start },
                Err(_) => Kind::AsIs,
            },
            Some(FileType::Fifo | FileType::Socket) => Kind::Stream(Box::new(Replay::new(max))),
            _ => Kind::AsIs,
        })
    }

    /// For the next attempt: from its beginning, where that can be had.
    pub fn input(&mut self) -> Input<'_> {
        match &mut self.0 {
            Kind::Empty | Kind::AsIs => Input::Inherit,
            Kind::Seekable { start } => {
                // A file that could tell where it stands can be moved there.
                let _ =
                    rustix::fs::seek(rustix::stdio::stdin(), rustix::fs::SeekFrom::Start(*start));
                Input::Inherit
            }
            Kind::Stream(replay) => Input::Replay(replay),
        }
    }

    /// Whether a further attempt can have it.
    ///
    /// # Errors
    ///
    /// Why it cannot.
    pub fn again(&self) -> Result<(), NotAgain> {
        match &self.0 {
            Kind::Stream(replay) => replay.lost.map_or(Ok(()), Err),
            _ => Ok(()),
        }
    }

    /// All of it from its beginning, or `None` where that is more than `max`
    /// bytes. A terminal is empty: nobody is to be waited for. Reads to the end,
    /// for as long as that takes.
    ///
    /// # Errors
    ///
    /// What the reading failed with.
    pub fn read_all(&mut self, max: u64) -> io::Result<Option<Vec<u8>>> {
        match &mut self.0 {
            Kind::Empty => Ok(Some(Vec::new())),
            Kind::AsIs => read_file(None, max),
            Kind::Seekable { start } => read_file(Some(*start), max),
            Kind::Stream(replay) => replay.read_all(max),
        }
    }
}

/// The rest of a stdin that is a file or a device.
fn read_file(start: Option<u64>, max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut stdin = File::from(rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?);
    if let Some(start) = start {
        stdin.seek(SeekFrom::Start(start))?;
    }
    let mut all = Vec::new();
    stdin.take(max.saturating_add(1)).read_to_end(&mut all)?;
    Ok((all.len() as u64 <= max).then_some(all))
}

/// A stream that is recorded while it is handed on.
pub struct Replay {
    source: Channel,
    recorded: Spool,
    max: u64,
    /// Why it is not all recorded any more.
    lost: Option<NotAgain>,
    /// Read, but neither recorded nor handed on yet.
    loose: Vec<u8>,
    /// Whether the source was read to its end.
    ended: bool,
}

impl Replay {
    fn new(max: u64) -> Self {
        Replay {
            source: Channel::stdin(),
            recorded: Spool::default(),
            max,
            lost: None,
            loose: Vec::new(),
            ended: false,
        }
    }

    /// Reads some, without waiting.
    fn pull(&mut self) {
        let mut chunk = [0; CHUNK_BYTES];
        match self.source.read(&mut chunk) {
            Ok(0) => self.ended = true,
            Ok(read) => self.record(&chunk[..read]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // As to any filter: what cannot be read is at its end.
            Err(errno) => {
                self.ended = true;
                self.lose(NotAgain::NotKept(io::Error::from(errno).kind()));
            }
        }
    }

    fn record(&mut self, bytes: &[u8]) {
        if self.lost.is_none() {
            if self.recorded.len() + bytes.len() as u64 > self.max {
                self.lose(NotAgain::TooLong { max: self.max });
            } else if let Err(error) = self.recorded.push(bytes) {
                self.lose(NotAgain::NotKept(error.kind()));
            } else {
                return;
            }
        }
        self.loose.extend_from_slice(bytes);
    }

    fn lose(&mut self, why: NotAgain) {
        self.lost.get_or_insert(why);
    }

    fn read_all(&mut self, max: u64) -> io::Result<Option<Vec<u8>>> {
        let mut chunk = [0; CHUNK_BYTES];
        while self.lost.is_none() && self.recorded.len() <= max && !self.ended {
            match self.source.read_waiting(&mut chunk)? {
                0 => self.ended = true,
                read => {
                    let pushed = self.recorded.push(&chunk[..read]);
                    // What was read and not kept is gone for every reader.
                    pushed.inspect_err(|error| self.lose(NotAgain::NotKept(error.kind())))?;
                }
            }
        }
        if self.lost.is_some() || self.recorded.len() > max {
            return Ok(None);
        }
        self.recorded.to_vec().map(Some)
    }
}

impl fmt::Debug for Replay {
    /// Without the bytes, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("recorded", &self.recorded.len())
            .field("max", &self.max)
            .field("lost", &self.lost)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// A replay on its way to one attempt.
pub(super) struct Feed<'r> {
    replay: &'r mut Replay,
    /// Where it goes; `None` once all went there, or nobody reads it.
    pipe: Option<OwnedFd>,
    /// How much of what is recorded went there.
    fed: u64,
}

impl<'r> Feed<'r> {
    /// From the beginning, into this pipe, which does not block.
    pub(super) fn new(replay: &'r mut Replay, pipe: OwnedFd) -> Self {
        let mut feed = Feed { replay, pipe: Some(pipe), fed: 0 };
        feed.push();
        feed
    }

    fn has_more(&self) -> bool {
        self.fed < self.replay.recorded.len() || !self.replay.loose.is_empty()
    }

    /// What to wait for: at the pipe, and at stdin. No more is read of this
    /// before the pipe took what was.
    pub(super) fn wants(&self) -> [libc::pollfd; 2] {
        let Some(pipe) = &self.pipe else { return [UNUSED; 2] };
        if self.has_more() {
            return [watch(pipe.as_raw_fd(), libc::POLLOUT), UNUSED];
        }
        let source = self.replay.source.fd().as_raw_fd();
        [watch(pipe.as_raw_fd(), 0), watch(source, libc::POLLIN)]
    }

    /// Does what can be done without waiting.
    pub(super) fn serve(&mut self, [at_pipe, at_source]: [libc::pollfd; 2]) {
        if at_pipe.revents & libc::POLLERR != 0 {
            self.pipe = None;
            return;
        }
        if at_source.revents != 0 {
            self.replay.pull();
        }
        if at_source.revents | at_pipe.revents != 0 {
            self.push();
        }
    }

    /// Hands on what can be; after the last of it, the end.
    fn push(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        if self.fed < self.replay.recorded.len() {
            let mut scratch = [0; CHUNK_BYTES];
            match self.replay.recorded.part(self.fed, &mut scratch) {
                Ok(part) => match rustix::io::write(pipe, part) {
                    Ok(written) => self.fed += written as u64,
                    Err(Errno::AGAIN | Errno::INTR) => {}
                    Err(_) => self.pipe = None,
                },
                Err(error) => {
                    self.replay.lose(NotAgain::NotKept(error.kind()));
                    self.pipe = None;
                }
            }
        } else if !self.replay.loose.is_empty() {
            match rustix::io::write(pipe, &self.replay.loose) {
                Ok(written) => drop(self.replay.loose.drain(..written)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => self.pipe = None,
            }
        }
        if self.has_more() {
            return;
        }
        // A named pipe opened after its last writer left never tells that it has
        // ended, except when it is read.
        if !self.replay.ended && self.replay.source.can_be_tried() {
            self.replay.pull();
        }
        if self.replay.ended && !self.has_more() {
            self.pipe = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_in_round_numbers() {
        let too_long = |max| NotAgain::TooLong { max }.to_string();
        assert_eq!(too_long(64 << 20), "its stdin is over 64 MiB");
        assert_eq!(too_long(3 << 10), "its stdin is over 3 KiB");
        assert_eq!(too_long(1500), "its stdin is over 1500 bytes");
        assert_eq!(too_long(0), "its stdin is over 0 bytes");
        let full = NotAgain::NotKept(io::ErrorKind::StorageFull).to_string();
        assert_eq!(full, "its stdin could not be kept: no storage space");
    }
}
