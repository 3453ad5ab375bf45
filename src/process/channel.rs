//! cb's own stdin and stdout, read and written without ever waiting in them.
//!
//! `O_NONBLOCK` belongs to the open file, which cb shares with its caller and
//! with whoever else the caller started: to set it there would change it for
//! all. So cb opens pipes and terminals again, for itself. Where that cannot be
//! had (no /proc, a terminal of another user), it asks first and moves no more
//! than a pipe that has room is sure to take.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// What a pipe takes without blocking, once it takes anything: POSIX's PIPE_BUF
/// as Linux has it.
const CAREFUL_BYTES: usize = 4096;
/// The file system of pipes that have no name.
const PIPEFS_MAGIC: u64 = 0x5049_5045;

/// How a standard descriptor is used without waiting.
enum Way {
    /// Through an open file of cb's own, which does not block.
    Own(OwnedFd),
    /// Through calls that do not block.
    Socket,
    /// As it is: a file or a device, for which nobody waits long.
    Plain,
    /// As it is, but only when it is ready, and little at a time.
    Careful,
}

/// One of cb's standard descriptors.
pub(super) struct Channel {
    standard: BorrowedFd<'static>,
    way: Way,
}

impl Channel {
    /// cb's stdin, which was open when cb started.
    pub(super) fn stdin() -> Self {
        Self::of(rustix::stdio::stdin(), c"/proc/self/fd/0", OFlags::RDONLY)
    }

    /// cb's stdout, which was open when cb started.
    pub(super) fn stdout() -> Self {
        Self::of(rustix::stdio::stdout(), c"/proc/self/fd/1", OFlags::WRONLY)
    }

    fn of(standard: BorrowedFd<'static>, path: &CStr, mode: OFlags) -> Self {
        let is_waited_for = match file_type(standard) {
            Some(FileType::Socket) => return Channel { standard, way: Way::Socket },
            Some(FileType::Fifo) => true,
            Some(FileType::CharacterDevice) => rustix::termios::isatty(standard),
            _ => false,
        };
        if !is_waited_for {
            return Channel { standard, way: Way::Plain };
        }
        let flags = mode | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let way = rustix::fs::open(path, flags, Mode::empty()).map_or(Way::Careful, Way::Own);
        Channel { standard, way }
    }

    /// What is to be polled.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match &self.way {
            Way::Own(own) => own.as_fd(),
            _ => self.standard,
        }
    }

    /// Whether it may be tried without being polled first.
    pub(super) fn can_be_tried(&self) -> bool {
        matches!(self.way, Way::Own(_) | Way::Socket)
    }

    /// Whether it is a pipe without a name: once its reader is gone, none comes.
    pub(super) fn is_anonymous_pipe(&self) -> bool {
        let is_pipefs = |found: rustix::fs::StatFs| found.f_type.cast_unsigned() == PIPEFS_MAGIC;
        rustix::fs::fstatfs(self.standard).is_ok_and(is_pipefs)
    }

    /// Writes some of this: `AGAIN` where nothing can be now.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match &self.way {
            Way::Own(own) => rustix::io::write(own, bytes),
            Way::Socket => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                rustix::net::send(self.standard, bytes, flags)
            }
            Way::Plain => rustix::io::write(self.standard, bytes),
            Way::Careful => {
                self.must_be_ready(PollFlags::OUT)?;
                let part = &bytes[..bytes.len().min(CAREFUL_BYTES)];
                rustix::io::write(self.standard, part)
            }
        }
    }

    /// Reads some: 0 at the end, `AGAIN` where there is nothing now.
    pub(super) fn read(&self, into: &mut [u8]) -> Result<usize, Errno> {
        match &self.way {
            Way::Own(own) => rustix::io::read(own, into),
            Way::Socket => {
                rustix::net::recv(self.standard, into, RecvFlags::DONTWAIT).map(|(read, _)| read)
            }
            Way::Plain => rustix::io::read(self.standard, into),
            Way::Careful => {
                self.must_be_ready(PollFlags::IN)?;
                rustix::io::read(self.standard, into)
            }
        }
    }

    fn must_be_ready(&self, flags: PollFlags) -> Result<(), Errno> {
        if poll_one(self.standard, flags, Some(Duration::ZERO))? {
            Ok(())
        } else {
            Err(Errno::AGAIN)
        }
    }

    /// Waits until some can be read, for as long as that takes.
    pub(super) fn read_waiting(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.read(into) {
                Err(Errno::AGAIN) => self.wait(PollFlags::IN)?,
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    /// Writes all of this, for as long as that takes.
    pub(super) fn write_waiting(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::AGAIN) => self.wait(PollFlags::OUT)?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn wait(&self, flags: PollFlags) -> io::Result<()> {
        match poll_one(self.fd(), flags, None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// What kind of file this is.
pub(super) fn file_type(fd: BorrowedFd<'_>) -> Option<FileType> {
    rustix::fs::fstat(fd).ok().map(|found| FileType::from_raw_mode(found.st_mode))
}

fn poll_one(
    fd: BorrowedFd<'_>,
    flags: PollFlags,
    timeout: Option<Duration>,
) -> Result<bool, Errno> {
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    let mut fds = [PollFd::from_borrowed_fd(fd, flags)];
    Ok(rustix::event::poll(&mut fds, timeout.as_ref())? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe that stays open, as standard descriptors do.
    fn pipe() -> [BorrowedFd<'static>; 2] {
        let (reader, writer) = io::pipe().unwrap();
        let leaked: &'static (OwnedFd, OwnedFd) =
            Box::leak(Box::new((reader.into(), writer.into())));
        [leaked.0.as_fd(), leaked.1.as_fd()]
    }

    #[test]
    fn where_a_pipe_cannot_be_opened_again_nobody_waits_either() {
        let [reader, writer] =
            pipe().map(|standard| Channel::of(standard, c"/no/such", OFlags::RDWR));
        assert!(matches!((&reader.way, &writer.way), (Way::Careful, Way::Careful)));
        assert!(!reader.can_be_tried() && writer.is_anonymous_pipe());
        let mut part = vec![0; 1 << 20];
        assert_eq!(reader.read(&mut part), Err(Errno::AGAIN));
        let mut written = 0;
        let stopped = loop {
            match writer.write(&vec![7; 100_000]) {
                Ok(some) => written += some,
                Err(errno) => break errno,
            }
        };
        assert_eq!((stopped, written % CAREFUL_BYTES), (Errno::AGAIN, 0));
        let mut read = 0;
        while let Ok(some) = reader.read(&mut part) {
            read += some;
        }
        assert_eq!(read, written);
        // It can be written again.
        assert_eq!(writer.write(b"more"), Ok(4));
    }

    #[test]
    fn the_callers_open_file_stays_as_it_is() {
        let [_reader, writer] = pipe();
        let path = format!("/proc/self/fd/{}\0", std::os::fd::AsRawFd::as_raw_fd(&writer));
        let path = CStr::from_bytes_with_nul(path.as_bytes()).unwrap();
        let channel = Channel::of(writer, path, OFlags::WRONLY);
        assert!(matches!(channel.way, Way::Own(_)));
        while channel.write(&[0; 4096]).is_ok() {}
        assert_eq!(channel.write(b"x"), Err(Errno::AGAIN));
        assert!(!rustix::fs::fcntl_getfl(writer).unwrap().contains(OFlags::NONBLOCK));
    }
}
