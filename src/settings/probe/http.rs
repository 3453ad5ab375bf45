//! What a request by HTTP is made of, and what is expected of its answer.

use std::ffi::OsString;
use std::ops::RangeInclusive;

use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use regex::bytes::{Regex, RegexBuilder};

use crate::model::text;
use crate::probe::spec::{Expected, Header};
use crate::settings::parse::{Why, is_variable};

/// The most bytes of a method, of a header's name and its value, of a regular
/// expression, and of what is expected of JSON.
const METHOD_BYTES_MAX: usize = 20;
const HEADER_NAME_BYTES_MAX: usize = 200;
const HEADER_BYTES_MAX: usize = 8192;
const REGEX_BYTES_MAX: usize = 1000;
const JSON_BYTES_MAX: usize = 8192;
/// The most bytes of a regular expression once it is compiled.
const COMPILED_BYTES_MAX: usize = 4 << 20;

/// What belongs to the connection and not to a request, or says how long a body
/// is: cb knows it, and nothing else may say it.
const OWN_HEADERS: [&str; 7] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// A method.
pub fn method(text: &str) -> Result<Method, Why> {
    let is_token = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b"-_".contains(&b);
    match text {
        "CONNECT" => Err("it asks for no page".into()),
        _ if text.len() > METHOD_BYTES_MAX => Err("too long".into()),
        _ if !text.bytes().all(is_token) => Err("not a method".into()),
        _ => Method::from_bytes(text.as_bytes()).map_err(|_| "not a method".into()),
    }
}

/// `Name: value`.
pub fn header(bytes: &[u8]) -> Result<Header, Why> {
    let (name, value) = name_and_rest(bytes)?;
    if value.contains(&b'\n') || value.contains(&b'\r') {
        return Err("the value has a newline".into());
    }
    if value.len() > HEADER_BYTES_MAX {
        return Err("the value is too long".into());
    }
    let mut value =
        HeaderValue::from_bytes(value).map_err(|_| "the value has a control character")?;
    value.set_sensitive(true);
    Ok(Header::Given(name, value))
}

/// `Name: VARIABLE`.
pub fn header_env(text: &str) -> Result<Header, Why> {
    let (name, variable) = name_and_rest(text.as_bytes())?;
    let variable = str::from_utf8(variable).expect("a part of a text at ASCII bounds");
    match is_variable(variable) {
        true => Ok(Header::FromVariable(name, OsString::from(variable))),
        false => Err(format!("'{}': not a variable's name", text::excerpt(variable, 40))),
    }
}

/// `Name: REGEX`.
pub fn header_regex(text: &str) -> Result<Expected, Why> {
    let Some((name, pattern)) = text.split_once(':') else { return Err(NO_COLON.into()) };
    Ok(Expected::Header(header_name(name.as_bytes())?, regex(pattern.trim())?))
}

const NO_COLON: &str = "no ':' behind a name";

fn name_and_rest(bytes: &[u8]) -> Result<(HeaderName, &[u8]), Why> {
    let at = bytes.iter().position(|byte| *byte == b':').ok_or(NO_COLON)?;
    let name = header_name(&bytes[..at])?;
    match OWN_HEADERS.contains(&name.as_str()) {
        true => Err(format!("cb says '{name}' by itself")),
        false => Ok((name, trimmed(&bytes[at + 1..]))),
    }
}

/// Without the spaces at both ends, but with a newline there: that is a mistake.
fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

fn header_name(name: &[u8]) -> Result<HeaderName, Why> {
    match HeaderName::from_bytes(name) {
        Ok(known) if name.len() <= HEADER_NAME_BYTES_MAX => Ok(known),
        _ => {
            let shown = text::excerpt(&String::from_utf8_lossy(name), 40);
            Err(format!("'{shown}' is no name of a header"))
        }
    }
}

/// A regular expression over bytes. Classes such as `\d` are those of ASCII;
/// where the expression itself has other letters, they stand for themselves.
pub fn regex(pattern: &str) -> Result<Regex, Why> {
    match pattern {
        "" => return Err("empty".into()),
        _ if pattern.len() > REGEX_BYTES_MAX => return Err("too long".into()),
        _ => {}
    }
    let built = |unicode| {
        let mut builder = RegexBuilder::new(pattern);
        builder.unicode(unicode).size_limit(COMPILED_BYTES_MAX).build()
    };
    let unicode = !pattern.is_ascii();
    built(unicode).map_err(|error| regex_error(&error))
}

/// The cause alone: the error shows the expression, too, on several lines.
fn regex_error(error: &regex::Error) -> Why {
    let said = error.to_string();
    let mut causes = said.lines().filter_map(|line| line.trim().strip_prefix("error: "));
    match (causes.next_back(), error) {
        (Some(cause), _) if cause.contains("unicode-") => {
            "beside letters beyond ASCII it can have no class such as \\d, and no (?i)".into()
        }
        (Some(cause), _) => format!("not a regular expression: {}", text::excerpt(cause, 100)),
        (None, regex::Error::CompiledTooBig(_)) => "too large once it is compiled".into(),
        (None, _) => "not a regular expression".into(),
    }
}

/// `POINTER=VALUE`.
pub fn json(text: &str) -> Result<Expected, Why> {
    let Some((pointer, value)) = text.split_once('=') else {
        return Err("not POINTER=VALUE".into());
    };
    if text.len() > JSON_BYTES_MAX {
        return Err("too long".into());
    }
    if !pointer.is_empty() && !pointer.starts_with('/') {
        return Err("a pointer begins with '/'".into());
    }
    let mut after = pointer.split('~').skip(1);
    if !after.all(|rest| rest.starts_with(['0', '1'])) {
        return Err("in a pointer '~' is followed by 0 (for '~') or 1 (for '/')".into());
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok(Expected::Json(pointer.to_owned(), value))
}

/// `200-299,304`.
pub fn statuses(text: &str) -> Result<Vec<RangeInclusive<u16>>, Why> {
    text.split(',').map(|item| range(item.trim())).collect()
}

fn range(text: &str) -> Result<RangeInclusive<u16>, Why> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let code = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|code| digits && *code >= 100)
    };
    match (code(low.trim()), code(high.trim())) {
        (Some(low), Some(high)) if low <= high => Ok(low..=high),
        (Some(_), Some(_)) => Err("the range ends before it begins".into()),
        _ => Err(format!("'{}' is no status", text::excerpt(text, 40))),
    }
}
