//! The values of a probe's keys, and how they are shown: without the values of
//! headers, passwords and bodies, which may be secret.

use std::ffi::OsString;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Method;
use url::Url;

use crate::model::policy::Percent;
use crate::model::text::{self, printable};
use crate::net::{Endpoint, Family, Pin};
use crate::probe::spec::{Expected, Header, Version};
use crate::settings::{Value, action, size};

/// A value of a probe's key.
#[derive(Clone)]
pub enum ProbeValue {
    /// A page.
    Url(Url),
    /// A host and a port.
    Endpoint(Endpoint),
    /// A host, a port and a service there.
    Service(Endpoint, String),
    /// A name, and whom to ask.
    Question(String, Option<Endpoint>),
    /// A command and its arguments; never empty.
    Command(Vec<OsString>),
    /// A file.
    Path(PathBuf),
    /// A duration.
    Duration(Duration),
    /// Which kind of addresses.
    Family(Family),
    /// Addresses that are given.
    Pins(Vec<Pin>),
    /// A method of HTTP.
    Method(Method),
    /// Headers, or where they come from.
    Headers(Vec<Header>),
    /// A body.
    Body(Vec<u8>),
    /// A version of HTTP.
    Version(Version),
    /// A whole number.
    Count(u32),
    /// Bytes.
    Size(u64),
    /// Statuses of HTTP; never empty.
    Statuses(Vec<RangeInclusive<u16>>),
    /// What is expected of an answer.
    Expected(Vec<Expected>),
    /// Yes or no.
    Switch(bool),
    /// A text.
    Text(String),
    /// A share.
    Percent(Percent),
}

impl ProbeValue {
    /// The value as JSON has it: numbers as numbers, lists as lists of texts, all
    /// else as text.
    pub fn json(&self) -> serde_json::Value {
        match self {
            ProbeValue::Count(count) => (*count).into(),
            ProbeValue::Size(size) => (*size).into(),
            ProbeValue::Switch(value) => (*value).into(),
            ProbeValue::Command(words) => words_json(words),
            value => match value.items() {
                Some(items) => items.into(),
                None => value.to_string().into(),
            },
        }
    }

    /// Each item of a list.
    fn items(&self) -> Option<Vec<String>> {
        Some(match self {
            ProbeValue::Pins(pins) => pins.iter().map(pin).collect(),
            ProbeValue::Headers(headers) => headers.iter().map(header).collect(),
            ProbeValue::Statuses(statuses) => statuses.iter().map(range).collect(),
            ProbeValue::Expected(expected) => expected.iter().map(expectation).collect(),
            _ => return None,
        })
    }
}

fn words_json(words: &[OsString]) -> serde_json::Value {
    words.iter().map(|word| serde_json::Value::from(word.to_string_lossy())).collect()
}

fn pin(pin: &Pin) -> String {
    let addresses: Vec<_> = pin.addresses.iter().map(ToString::to_string).collect();
    format!("{}:{}", pin.of, addresses.join(","))
}

fn header(header: &Header) -> String {
    match header {
        Header::Given(name, _) => name.to_string(),
        Header::FromVariable(name, variable) => format!("{name}: {}", variable.to_string_lossy()),
        Header::FromFile(path) => path.to_string_lossy().into_owned(),
    }
}

fn range(codes: &RangeInclusive<u16>) -> String {
    match codes.start() == codes.end() {
        true => codes.start().to_string(),
        false => format!("{}-{}", codes.start(), codes.end()),
    }
}

fn expectation(expected: &Expected) -> String {
    match expected {
        Expected::Contains(text) => text.clone(),
        Expected::Matches(regex) => regex.as_str().to_owned(),
        Expected::Json(pointer, value) => format!("{pointer}={value}"),
        Expected::Header(name, regex) => format!("{name}: {}", regex.as_str()),
    }
}

/// The page, with whatever stands before its host or in its query hidden.
fn without_secrets(url: &Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() || !url.username().is_empty() {
        // Both can only fail for a URL without a host, and these have one.
        let _ = url.set_password(None);
        let _ = url.set_username("...");
    }
    if url.query().is_some() {
        url.set_query(Some("..."));
    }
    url.into()
}

impl fmt::Display for ProbeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProbeValue::Url(url) => f.write_str(&without_secrets(url)),
            ProbeValue::Endpoint(at) => at.fmt(f),
            ProbeValue::Service(at, service) if service.is_empty() => at.fmt(f),
            ProbeValue::Service(at, service) => write!(f, "{at}/{}", printable(service)),
            ProbeValue::Question(name, None) => f.write_str(name),
            ProbeValue::Question(name, Some(server)) => write!(f, "{name}@{server}"),
            ProbeValue::Command(words) => f.write_str(&action::toml(&words_json(words))),
            ProbeValue::Path(path) => f.write_str(&printable(&path.to_string_lossy())),
            ProbeValue::Duration(duration) => f.write_str(&text::duration(*duration)),
            ProbeValue::Family(Family::Any) | ProbeValue::Version(Version::Negotiated) => {
                f.write_str("any")
            }
            ProbeValue::Family(Family::V4) => f.write_str("4"),
            ProbeValue::Family(Family::V6) => f.write_str("6"),
            ProbeValue::Version(Version::Http1) => f.write_str("1.1"),
            ProbeValue::Version(Version::Http2) => f.write_str("2"),
            ProbeValue::Method(method) => f.write_str(method.as_str()),
            ProbeValue::Body(body) => write!(f, "({} bytes)", body.len()),
            ProbeValue::Count(count) => write!(f, "{count}"),
            ProbeValue::Size(size) => f.write_str(&size::show(*size)),
            ProbeValue::Switch(value) => write!(f, "{value}"),
            ProbeValue::Text(text) => f.write_str(&printable(text)),
            ProbeValue::Percent(share) => Value::Percent(*share).fmt(f),
            ProbeValue::Pins(_)
            | ProbeValue::Headers(_)
            | ProbeValue::Statuses(_)
            | ProbeValue::Expected(_) => match self.items().unwrap_or_default() {
                items if items.is_empty() => f.write_str("none"),
                items => f.write_str(&printable(&items.join(", "))),
            },
        }
    }
}

/// As it is shown: a derived one would show what may be secret.
impl fmt::Debug for ProbeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
