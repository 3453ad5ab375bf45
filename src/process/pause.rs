//! Waiting between two commands, until the time is up or a person ends it.

use std::time::Duration;

use super::signals::{self, Set};

/// The signals by which a person ends cb.
const ENDS: [i32; 4] = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// Waits for so long; the signal by which a person asked for an end, if one came
/// or had come before. One that is ignored, as under nohup, asks for nothing.
/// From here on these signals come through here, or through a command's run.
pub fn pause(length: Duration) -> Option<i32> {
    let set = Set::of(&ENDS);
    set.block();
    let mut left = length;
    loop {
        let arrival = signals::wait(&set, Some(left))?;
        if !signals::is_ignored(arrival.signal) {
            return Some(arrival.signal);
        }
        // Somebody who sends what is ignored shortens the wait: whoever waits
        // for a certain moment looks at the clock again.
        left = Duration::ZERO;
    }
}
