//! The table of exit statuses.

use crate::error::Error;

/// All went well.
pub const OK: i32 = 0;
/// `cb status --check`: half-open, or a trial is due.
pub const CHECK_TRIAL: i32 = 1;
/// `cb status --check`: open.
pub const CHECK_OPEN: i32 = 2;
/// `cb status --check`: no such breaker.
pub const CHECK_UNKNOWN: i32 = 3;
/// `cb probe`: something is not as expected.
pub const UNHEALTHY: i32 = 1;
/// `cb probe --nagios`: answers, and is slow or warns.
pub const NAGIOS_WARNING: i32 = 1;
/// `cb probe --nagios`: something is not as expected.
pub const NAGIOS_CRITICAL: i32 = 2;
/// `cb probe --nagios`: nothing is known.
pub const NAGIOS_UNKNOWN: i32 = 3;
/// Rejected: EX_TEMPFAIL of sysexits.h, "try again later".
pub const REJECTED: u8 = 75;
/// Queued: not run yet, so not 0.
pub const QUEUED: u8 = 76;
/// The command's time was up, as timeout(1) says it.
pub const TIMED_OUT: i32 = 124;
/// cb's own error.
pub const OWN_ERROR: i32 = 125;
/// The command is there and cannot be executed.
pub const NOT_EXECUTABLE: i32 = 126;
/// There is no such command.
pub const NOT_FOUND: i32 = 127;
/// The command's time was up and it had to be killed: 128 + SIGKILL.
pub const KILLED: i32 = 137;

/// The status of an error of cb's own.
pub fn status_of(error: &Error) -> i32 {
    match error {
        Error::Usage(_)
        | Error::Config { .. }
        | Error::Io { .. }
        | Error::Unsafe { .. }
        | Error::Locked { .. }
        | Error::Newer { .. }
        | Error::Corrupt { .. }
        | Error::Refused { .. }
        | Error::Following { .. }
        | Error::NotQueued { .. }
        | Error::Queued { .. }
        | Error::NoStore
        | Error::Unknown { .. }
        | Error::Stdout(_)
        | Error::Spawn(_) => OWN_ERROR,
    }
}
