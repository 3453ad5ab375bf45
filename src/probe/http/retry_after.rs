//! How long a server asks to be left alone.

use std::time::{Duration, SystemTime};

use hyper::StatusCode;
use hyper::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

use crate::clock::{Clock, SystemClock};

/// Nobody is left alone for longer.
const MAX: Duration = Duration::from_secs(365 * 86_400);

/// What an answer asks for, if it is one that may ask (429 and 503). It says so in
/// seconds, or as a date (RFC 9110, 10.2.3).
pub(super) fn asked(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    if ![StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status) {
        return None;
    }
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number has are more than the bound.
        return Some(value.parse().map_or(MAX, Duration::from_secs).min(MAX));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    // By the server's own clock, so that it does not matter whether ours is right.
    let now = date(headers, DATE).unwrap_or_else(wall);
    Some(until.duration_since(now).unwrap_or(Duration::ZERO).min(MAX))
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

fn wall() -> SystemTime {
    let ms = u64::try_from(SystemClock::default().read().wall_ms).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE_AT: &str = "Mon, 23 Nov 2026 19:00:00 GMT";

    #[track_caller]
    fn check(status: u16, value: &str, expected: Option<u64>) {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, DATE_AT.parse().unwrap());
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        let found = asked(StatusCode::from_u16(status).unwrap(), &headers);
        assert_eq!(found, expected.map(Duration::from_secs), "{value}");
    }

    #[test]
    fn seconds_and_dates_are_read_within_a_bound() {
        let year = Some(365 * 86_400);
        check(503, "30", Some(30));
        check(429, "0", Some(0));
        check(503, "99999999999999999999999999", year);
        check(503, "99999999999", year);
        check(503, "Mon, 23 Nov 2026 19:02:00 GMT", Some(120));
        check(503, "Monday, 23-Nov-26 19:02:00 GMT", Some(120));
        check(503, "Mon Nov 23 19:02:00 2026", Some(120));
        check(503, "Mon, 23 Nov 2026 18:00:00 GMT", Some(0));
        check(503, "Tue, 23 Nov 9999 18:00:00 GMT", year);
        check(200, "30", None);
        check(500, "30", None);
        for nonsense in ["-1", "1.5", "soon", "", "+3", "Mon, 99 Nov 2026 19:02:00 GMT"] {
            check(503, nonsense, None);
        }
    }

    #[test]
    fn without_a_date_our_own_clock_counts() {
        let mut headers = HeaderMap::new();
        let past = "Thu, 01 Jan 1970 00:00:10 GMT".parse().unwrap();
        headers.insert(RETRY_AFTER, past);
        assert_eq!(asked(StatusCode::SERVICE_UNAVAILABLE, &headers), Some(Duration::ZERO));
    }
}
