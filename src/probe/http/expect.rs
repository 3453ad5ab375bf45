//! Whether an answer is as expected; if not, why, in words for people.

use std::ops::RangeInclusive;

use hyper::HeaderMap;
use hyper::header::LOCATION;
use serde_json::Value;

use super::exchange::{Answer, Read};
use crate::model::text::excerpt;
use crate::probe::spec::{Expected, Http};

/// What is told of a server's words has a bound.
const CHARS_MAX: usize = 80;

/// What is wrong with the status.
pub(super) fn status(it: &Http, answer: &Answer) -> Option<String> {
    let status = answer.status();
    if it.statuses.iter().any(|range| range.contains(&status.as_u16())) {
        return None;
    }
    let reason = status.canonical_reason().map(|reason| format!(" {reason}")).unwrap_or_default();
    let told = format!("HTTP {}{reason}", status.as_u16());
    let location = answer.headers().get(LOCATION).filter(|_| status.is_redirection());
    Some(match location {
        Some(to) => {
            let to = excerpt(&String::from_utf8_lossy(to.as_bytes()), super::URL_CHARS_MAX);
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

/// What is wrong with the body.
pub(super) fn body(it: &Http, read: &Read) -> Option<String> {
    // Parsed once, for all that is expected of it.
    let mut json: Option<Option<Value>> = None;
    let part = match read.is_whole {
        true => "the body".to_owned(),
        false => format!("the first {} bytes of the body", read.len),
    };
    it.expected.iter().find_map(|expected| match expected {
        Expected::Header(..) => None,
        Expected::Contains(text) => (!contains(&read.bytes, text.as_bytes()))
            .then(|| format!("there is no '{}' in {part}", excerpt(text, CHARS_MAX))),
        Expected::Matches(regex) => (!regex.is_match(&read.bytes))
            .then(|| format!("nothing in {part} matches '{}'", excerpt(regex.as_str(), CHARS_MAX))),
        Expected::Json(..) if !read.is_whole => Some(format!(
            "the body is longer than {} bytes, so it cannot be read as JSON",
            read.len
        )),
        Expected::Json(pointer, value) => {
            let json = json.get_or_insert_with(|| serde_json::from_slice(&read.bytes).ok());
            match json {
                None => Some("the body is not JSON".to_owned()),
                Some(json) => json_fault(json, pointer, value),
            }
        }
    })
}

fn json_fault(json: &Value, pointer: &str, expected: &Value) -> Option<String> {
    let at = match pointer {
        "" => "the whole body".to_owned(),
        pointer => excerpt(pointer, CHARS_MAX),
    };
    match json.pointer(pointer) {
        None => Some(format!("the body has no {at}")),
        Some(found) if is_same(found, expected) => None,
        Some(found) => {
            let (found, expected) = (found.to_string(), expected.to_string());
            let (found, expected) = (excerpt(&found, CHARS_MAX), excerpt(&expected, CHARS_MAX));
            Some(format!("{at} is {found}, not {expected}"))
        }
    }
}

/// 1 and 1.0 are one number.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|part| part == text)
}

fn listed(ranges: &[RangeInclusive<u16>]) -> String {
    let shown = |range: &RangeInclusive<u16>| match range.start() == range.end() {
        true => range.start().to_string(),
        false => format!("{}-{}", range.start(), range.end()),
    };
    ranges.iter().map(shown).collect::<Vec<_>>().join(",")
}
