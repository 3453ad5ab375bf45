//! The start of the program, in place of the one that Rust's library makes.
//!
//! That one has SIGPIPE ignored, which a child would inherit and from which the
//! disposition that cb was started with can no longer be told, and it sets up a
//! signal stack and handlers that cb has no use for. This one leaves every
//! disposition as it came, but SIGCHLD's: ignored, it would lose exit statuses.
//! Here is also where a closed standard descriptor is noted and filled, so that
//! none of cb's files can come to stand in its place.

use std::ffi::{CStr, OsString, c_char, c_int};
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStringExt;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use rustix::fs::{Mode, OFlags};

use super::signals::{self, Set};

/// What cb was started with.
pub struct Startup {
    /// The words of the command line, the name of the program first.
    pub args: Vec<OsString>,
    /// Which of stdin, stdout and stderr were closed.
    pub closed: [bool; 3],
    /// The signal mask, which every child gets.
    pub(super) mask: Set,
    /// Whether SIGCHLD was ignored, as it then is in every child.
    pub(super) chld_ignored: bool,
}

impl Startup {
    /// Takes over the process at its start: notes what was inherited and makes
    /// it fit to write and to wait in. To be called once, with one thread.
    pub fn take_over(args: Vec<OsString>) -> Self {
        Startup {
            args,
            closed: fill_closed(),
            mask: Set::of_writes().block(),
            chld_ignored: signals::set_ignored(libc::SIGCHLD, false),
        }
    }

    /// The same, from the arguments of C's `main`.
    ///
    /// # Safety
    ///
    /// `argv` holds `argc` pointers to strings that end in a zero byte.
    pub unsafe fn from_main(argc: c_int, argv: *const *const c_char) -> Self {
        let count = usize::try_from(argc).unwrap_or(0);
        let words = (0..count).map(|index| {
            // SAFETY: the caller vouches for `count` strings.
            unsafe { CStr::from_ptr(*argv.add(index)) }
        });
        note_title(words.clone());
        let args = words.map(|word| OsString::from_vec(word.to_bytes().to_vec()));
        Self::take_over(args.collect())
    }

    /// Undoes the blocking that `run` leaves behind: from here on a signal ends
    /// cb as it would any program. For a wait between two runs, and for the time
    /// after the last one's end was recorded.
    pub fn unblock_signals(&self) {
        Set::waited().without(&self.mask).unblock();
    }
}

/// Where the words of the command line lie one after the other, and how long
/// they are: what the system shows for this process.
static TITLE: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static TITLE_LEN: AtomicUsize = AtomicUsize::new(0);

fn note_title<'w>(words: impl Iterator<Item = &'w CStr>) {
    let mut len = 0;
    for word in words {
        let begin = word.as_ptr().cast::<u8>().cast_mut();
        if len == 0 {
            TITLE.store(begin, Ordering::Relaxed);
        } else if TITLE.load(Ordering::Relaxed).wrapping_add(len) != begin {
            return;
        }
        len += word.count_bytes() + 1;
        TITLE_LEN.store(len, Ordering::Relaxed);
    }
}

/// In a fork of cb: has the system show this in the place of cb's words.
pub(super) fn retitle(title: &CStr) {
    let (begin, len) = (TITLE.load(Ordering::Relaxed), TITLE_LEN.load(Ordering::Relaxed));
    let shown = title.to_bytes();
    if begin.is_null() || len <= shown.len() {
        return;
    }
    // SAFETY: the kernel put the words there for the process to write to; cb has
    // copies of its own, and nothing else reads these.
    unsafe {
        ptr::write_bytes(begin, 0, len);
        ptr::copy_nonoverlapping(shown.as_ptr(), begin, shown.len());
    }
}

/// Defines C's `main`, which hands what cb was started with to a
/// `fn(&Startup) -> i32` and returns its answer as the exit status. For a
/// program with `#![no_main]`.
///
/// Nothing flushes Rust's `stdout` after that function: it does so itself.
#[macro_export]
macro_rules! entry_point {
    ($run:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn main(
            argc: ::std::ffi::c_int,
            argv: *const *const ::std::ffi::c_char,
        ) -> ::std::ffi::c_int {
            let run: fn(&$crate::process::Startup) -> i32 = $run;
            // SAFETY: the C runtime calls main once, with the arguments that
            // `from_main` asks for.
            run(&unsafe { $crate::process::Startup::from_main(argc, argv) })
        }
    };
}

/// Finds out which of the first three descriptors are closed, and fills these
/// with something harmless that no child inherits.
fn fill_closed() -> [bool; 3] {
    let watch = |fd| libc::pollfd { fd, events: 0, revents: 0 };
    let mut fds = [watch(0), watch(1), watch(2)];
    // SAFETY: the array outlives the call and has the length that is given.
    let found = unsafe { libc::poll(fds.as_mut_ptr(), 3, 0) };
    let closed = fds.map(|polled| match found {
        0 => false,
        1.. => polled.revents & libc::POLLNVAL != 0,
        // SAFETY: F_GETFD touches no memory.
        _ => unsafe { libc::fcntl(polled.fd, libc::F_GETFD) == -1 },
    });
    // The lowest free number is the next closed one: they fill up in order.
    for _ in closed.iter().filter(|&&closed| closed) {
        let null = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
        let root = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
        let filler = rustix::fs::open(c"/dev/null", null, Mode::empty())
            .or_else(|_| rustix::fs::open(c"/", root, Mode::empty()));
        if let Ok(filler) = filler {
            let _ = filler.into_raw_fd();
        }
    }
    closed
}
