//! Times and lengths in words.

use std::time::{Duration, SystemTime};

/// The last moment that RFC 3339 can write: the end of the year 9999.
const WALL_MS_MAX: u64 = 253_402_300_799_999;

/// A wall time in RFC 3339, in UTC, with milliseconds.
pub fn rfc3339(wall_ms: i64) -> String {
    let wall_ms = u64::try_from(wall_ms).unwrap_or(0).min(WALL_MS_MAX);
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(wall_ms);
    humantime::format_rfc3339_millis(time).to_string()
}

/// A length in at most two units, for people: `250ms`, `12s`, `1m30s`, `3d4h`.
/// Rounded up to whole seconds, so that "in 1s" is never too early.
pub fn rough(millis: u64) -> String {
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let secs = millis.div_ceil(1000);
    let parts = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let first = parts.iter().position(|(unit, _)| secs >= *unit).unwrap_or(3);
    let mut text = String::new();
    let mut rest = secs;
    for (unit, letter) in parts.iter().skip(first).take(2) {
        if rest / unit > 0 {
            text.push_str(&format!("{}{letter}", rest / unit));
        }
        rest %= unit;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_at_most_two_units() {
        let check = |millis, expected| assert_eq!(rough(millis), expected);
        check(0, "0ms");
        check(999, "999ms");
        check(1000, "1s");
        check(1001, "2s");
        check(60_000, "1m");
        check(90_000, "1m30s");
        check(3_600_000, "1h");
        check(90_061_000, "1d1h");
        check(u64::MAX, "213503982334d14h");
    }

    #[test]
    fn the_ends_of_time_can_be_written() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(-5), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(rfc3339(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
    }
}
