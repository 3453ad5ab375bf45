//! The lock of a breaker: an flock on a file of its own. The only user of fs2.

use std::fs::File;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::clock::Clock;
use crate::error::Error;

/// How long a process waits for a lock that another one holds.
pub const WAIT_MAX: Duration = Duration::from_secs(1);

const PAUSE_MIN: Duration = Duration::from_micros(50);
const PAUSE_MAX: Duration = Duration::from_millis(2);
/// So often may somebody be asking just now whether a lock is free.
const READERS_MAX: u32 = 100;
/// Who has waited for so long is one of many: their tries would take the time
/// that the lock's holder needs.
const CROWD_AFTER: Duration = Duration::from_millis(50);
const CROWD_PAUSE_MAX: Duration = Duration::from_millis(10);

/// Tries one exclusive lock; `false` where another process holds one.
///
/// # Errors
///
/// What the kernel refuses for another reason.
pub fn try_exclusive(file: &File) -> io::Result<bool> {
    attempt(|| fs2::FileExt::try_lock_exclusive(file))
}

/// Tries one shared lock; `false` where a process holds an exclusive one.
///
/// # Errors
///
/// What the kernel refuses for another reason.
pub fn try_shared(file: &File) -> io::Result<bool> {
    attempt(|| fs2::FileExt::try_lock_shared(file))
}

/// Whether nobody has an exclusive lock. Who asks hinders for a moment whoever
/// tries one, but [`try_exclusive_among_readers`].
///
/// # Errors
///
/// What the kernel refuses.
pub fn is_free(file: &File) -> io::Result<bool> {
    let is_free = try_shared(file)?;
    if is_free {
        release(file);
    }
    Ok(is_free)
}

/// As [`try_exclusive`], but not put off by those who only ask [`is_free`].
///
/// # Errors
///
/// What the kernel refuses for another reason.
pub fn try_exclusive_among_readers(file: &File) -> io::Result<bool> {
    for _ in 0..READERS_MAX {
        if try_exclusive(file)? {
            return Ok(true);
        }
        if !is_free(file)? {
            return Ok(false);
        }
        thread::sleep(PAUSE_MIN);
    }
    Ok(false)
}

/// Takes the exclusive lock within [`WAIT_MAX`] of `begin`, in tries that spread.
///
/// # Errors
///
/// [`Error::Locked`] once the time is up, or what the kernel refuses.
pub fn exclusive(
    file: &File,
    path: &Path,
    clock: &dyn Clock,
    begin: Duration,
) -> Result<(), Error> {
    let locked = || try_exclusive(file).map_err(Error::io("lock", path));
    if locked()? {
        return Ok(());
    }
    let mut pause = PAUSE_MIN;
    loop {
        let waited = clock.monotonic().saturating_sub(begin);
        if waited >= WAIT_MAX {
            let waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
            return Err(Error::Locked { path: path.to_owned(), waited_ms });
        }
        thread::sleep(jittered(pause, clock.draw()).min(WAIT_MAX - waited));
        let pause_max = if waited < CROWD_AFTER { PAUSE_MAX } else { CROWD_PAUSE_MAX };
        pause = (pause * 2).min(pause_max);
        if locked()? {
            return Ok(());
        }
    }
}

/// Lets a lock go. (So does closing the file, and the end of the process.)
pub fn release(file: &File) {
    let _ = fs2::FileExt::unlock(file);
}

/// Between half of the pause and one and a half of it.
pub fn jittered(pause: Duration, draw: u64) -> Duration {
    pause / 2 + pause.mul_f64(draw as f64 / u64::MAX as f64)
}

fn attempt(lock: impl Fn() -> io::Result<()>) -> io::Result<bool> {
    loop {
        match lock() {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
