//! Descriptors that the caller hands to cb by number.

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use rustix::fs::OFlags;
use rustix::io::{Errno, FdFlags};

/// A copy of a descriptor that cb was started with and that can be written.
/// From here on no child inherits it, unless it is one of the standard three,
/// which are the child's as much as cb's.
///
/// # Errors
///
/// `EBADF` where it is not open, or not for writing.
pub fn claim(number: RawFd) -> io::Result<File> {
    if number < 0 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: the number is not -1, and is only borrowed for this call; where it
    // is not open the kernel answers EBADF.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let mode = rustix::fs::fcntl_getfl(borrowed)? & OFlags::RWMODE;
    if mode != OFlags::WRONLY && mode != OFlags::RDWR {
        return Err(Errno::BADF.into());
    }
    let copy = rustix::io::fcntl_dupfd_cloexec(borrowed, 3)?;
    if number > 2 {
        rustix::io::fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
    }
    Ok(File::from(copy))
}
