//! Whether an answer is as expected; if not, why, in words for people.

use std::ops::RangeInclusive;

use hyper::HeaderMap;
use hyper::header::LOCATION;
use memchr::memmem;
use serde_json::Value;
use tokio::task::yield_now;
use url::Url;

use super::exchange::{Answer, Read};
use super::pointer;
use crate::model::text::excerpt;
use crate::probe::spec::{Expected, Http};

/// What is told of a server's words has a bound.
const CHARS_MAX: usize = 80;
/// A value of JSON that is longer is not what is expected: that is a part of a
/// command line or a config file.
const JSON_BYTES_MAX: usize = 256 << 10;

/// What is wrong with the status.
pub(super) fn status(it: &Http, answer: &Answer, url: &Url) -> Option<String> {
    let status = answer.status();
    if it.statuses.iter().any(|range| range.contains(&status.as_u16())) {
        return None;
    }
    let reason = status.canonical_reason().map(|reason| format!(" {reason}")).unwrap_or_default();
    let told = format!("HTTP {}{reason}", status.as_u16());
    let location = answer.headers().get(LOCATION).filter(|_| status.is_redirection());
    Some(match location {
        Some(to) => {
            let to = super::shown_from(url, &String::from_utf8_lossy(to.as_bytes()));
            format!("{told}, redirects to {to}, expected {}", listed(&it.statuses))
        }
        None => format!("{told}, expected {}", listed(&it.statuses)),
    })
}

/// What is wrong with the headers.
pub(super) fn headers(it: &Http, headers: &HeaderMap) -> Option<String> {
    it.expected.iter().find_map(|expected| {
        let Expected::Header(name, regex) = expected else { return None };
        let mut values = headers.get_all(name).iter().peekable();
        let Some(first) = values.peek().copied() else {
            return Some(format!("there is no header {name}"));
        };
        if values.any(|value| regex.is_match(value.as_bytes())) {
            return None;
        }
        let value = excerpt(&String::from_utf8_lossy(first.as_bytes()), CHARS_MAX);
        let regex = excerpt(regex.as_str(), CHARS_MAX);
        Some(format!("the header {name} is '{value}', which does not match '{regex}'"))
    })
}

/// Whether the body has to be kept.
pub(super) fn needs_body(it: &Http) -> bool {
    it.expected.iter().any(|expected| !matches!(expected, Expected::Header(..)))
}

/// What is wrong with the body. A large one takes its time, so the deadline is
/// looked at between all that is expected of it.
pub(super) async fn body(it: &Http, read: &Read) -> Option<String> {
    for expected in &it.expected {
        if let Some(why) = body_fault(expected, read) {
            return Some(why);
        }
        // Once for the timer to run, and once more for it to be heard.
        yield_now().await;
        yield_now().await;
    }
    None
}

fn body_fault(expected: &Expected, read: &Read) -> Option<String> {
    let part = match read.is_whole {
        true => "the body".to_owned(),
        false => format!("the first {} bytes of the body", read.len),
    };
    match expected {
        Expected::Header(..) => None,
        Expected::Contains(text) => memmem::find(&read.bytes, text.as_bytes())
            .is_none()
            .then(|| format!("there is no '{}' in {part}", excerpt(text, CHARS_MAX))),
        Expected::Matches(regex) => (!regex.is_match(&read.bytes))
            .then(|| format!("nothing in {part} matches '{}'", excerpt(regex.as_str(), CHARS_MAX))),
        Expected::Json(..) if !read.is_whole => Some(format!(
            "the body is longer than {} bytes, so it cannot be read as JSON",
            read.len
        )),
        Expected::Json(pointer, value) => json_fault(&read.bytes, pointer, value),
    }
}

fn json_fault(json: &[u8], pointer: &str, expected: &Value) -> Option<String> {
    let at = match pointer {
        "" => "the whole body".to_owned(),
        pointer => excerpt(pointer, CHARS_MAX),
    };
    let is_no_json = || Some("the body is not JSON".to_owned());
    let text = match pointer::find(json, pointer) {
        Err(()) => return is_no_json(),
        Ok(None) => return Some(format!("the body has no {at}")),
        Ok(Some(text)) => text,
    };
    // Nothing so long is expected.
    let found = match text.len() > JSON_BYTES_MAX {
        true => text.to_owned(),
        false => match serde_json::from_str::<Value>(text) {
            Err(_) => return is_no_json(),
            Ok(found) if is_same(&found, expected) => return None,
            Ok(found) => found.to_string(),
        },
    };
    let (found, expected) = (excerpt(&found, CHARS_MAX), expected.to_string());
    Some(format!("{at} is {found}, not {}", excerpt(&expected, CHARS_MAX)))
}

/// 1 and 1.0 are one number.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn listed(ranges: &[RangeInclusive<u16>]) -> String {
    let shown = |range: &RangeInclusive<u16>| match range.start() == range.end() {
        true => range.start().to_string(),
        false => format!("{}-{}", range.start(), range.end()),
    };
    ranges.iter().map(shown).collect::<Vec<_>>().join(",")
}
