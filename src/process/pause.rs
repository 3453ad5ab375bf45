//! Waiting between two commands, until the time is up or a person ends it.

use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::error::Error;

use super::Startup;
use super::signals::{self, Set};

/// The signals by which a person ends cb.
const ENDS: [i32; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// A person's wish that cb ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndRequest {
    /// The signal.
    pub signal: i32,
    /// Whether it was typed at the terminal, and so reached the whole group.
    pub typed: bool,
}

/// From here on the signals that end cb are taken by [`pause`], and all others do
/// to cb what they do to any program. For the time between two commands: a run
/// leaves all of them blocked.
pub fn listen(startup: &Startup) {
    let ends = Set::of(&ENDS);
    ends.block();
    Set::waited().without(&ends).without(&startup.mask).unblock();
}

/// As [`listen`], with a descriptor that can be read once a person has asked for
/// an end, for whoever waits for other things too. [`end_request`] takes it.
///
/// # Errors
///
/// That there is no descriptor to be had.
pub fn listen_by_descriptor(startup: &Startup) -> Result<OwnedFd, Error> {
    listen(startup);
    // One that is ignored can be pending for ever.
    let heard: Vec<_> = ENDS.into_iter().filter(|&end| !signals::is_ignored(end)).collect();
    Set::of(&heard).descriptor().map_err(Error::Spawn)
}

/// Whether a person has asked for an end, which [`pause`] has yet to take.
pub fn is_asked_to_end() -> bool {
    let pending = Set::pending();
    ENDS.into_iter().any(|signal| pending.contains(signal) && !signals::is_ignored(signal))
}

/// Waits for so long, by a clock that never goes back; a person's wish that cb
/// ends, if one came or had come before. A signal that is ignored, as under nohup,
/// wishes for nothing. From here on these signals come through here, or through a
/// command's run.
pub fn pause(length: Duration, clock: fn() -> Duration) -> Option<EndRequest> {
    let until = clock().saturating_add(length);
    loop {
        let left = until.saturating_sub(clock());
        // A signal that stopped cb, and one that is ignored, end a wait early.
        let request = take(left);
        if request.is_some() || left.is_zero() {
            return request;
        }
    }
}

/// The wish that came before, if one did.
pub fn end_request() -> Option<EndRequest> {
    take(Duration::ZERO)
}

/// Waits at most for so long; less, where a signal came that is ignored.
fn take(length: Duration) -> Option<EndRequest> {
    let set = Set::of(&ENDS);
    set.block();
    let mut left = length;
    loop {
        let arrival = signals::wait(&set, Some(left))?;
        if !signals::is_ignored(arrival.signal) {
            return Some(EndRequest { signal: arrival.signal, typed: arrival.from_kernel });
        }
        left = Duration::ZERO;
    }
}
