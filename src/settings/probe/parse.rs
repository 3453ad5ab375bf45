//! From a value as it was written to what it means for a key of a probe. The
//! answer to what is not allowed is a fragment that says why, as in
//! `settings::parse`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use super::keys::ProbeKey;
use super::value::ProbeValue;
use super::{hosts, http};
use crate::model::text;
use crate::net::Family;
use crate::probe::spec::{Expected, Version};
use crate::settings::parse::{Why, count, duration, percent, switch, utf8, wrong_type};
use crate::settings::value::Raw;
use crate::settings::{action, size};

/// The most items of a list.
const ITEMS_MAX: usize = 100;
/// The most bytes of a text that is expected.
const TEXT_BYTES_MAX: usize = 8192;
/// The most bytes of a body that is sent.
const BODY_BYTES_MAX: usize = 1 << 20;
/// The most bytes of an answer's body that can be asked for: they are held in
/// memory.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// The most bytes of a socket's path: a name of a socket has no room for more.
const SOCKET_BYTES_MAX: usize = 107;

/// The types of records that can be asked for.
pub const RECORDS: [&str; 10] =
    ["A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"];

/// What the value means for the key.
pub fn value(key: ProbeKey, raw: &Raw<'_>) -> Result<ProbeValue, Why> {
    match key {
        ProbeKey::Http => hosts::url(text_of(raw)?).map(ProbeValue::Url),
        ProbeKey::Tcp => hosts::endpoint(text_of(raw)?, None).map(ProbeValue::Endpoint),
        ProbeKey::Tls => hosts::endpoint(text_of(raw)?, Some(443)).map(ProbeValue::Endpoint),
        ProbeKey::Grpc => hosts::service(text_of(raw)?),
        ProbeKey::Dns => hosts::question(text_of(raw)?),
        ProbeKey::Unix | ProbeKey::UnixSocket => socket(raw).map(ProbeValue::Path),
        ProbeKey::Command => command(raw).map(ProbeValue::Command),
        ProbeKey::Timeout => duration(raw, Duration::from_millis(1)).map(ProbeValue::Duration),
        ProbeKey::Interval | ProbeKey::FastInterval | ProbeKey::DownInterval => {
            duration(raw, Duration::from_millis(10)).map(ProbeValue::Duration)
        }
        ProbeKey::Jitter => percent(raw).map(ProbeValue::Percent),
        ProbeKey::IpVersion => chosen(raw, &IP_VERSIONS).map(ProbeValue::Family),
        ProbeKey::HttpVersion => chosen(raw, &HTTP_VERSIONS).map(ProbeValue::Version),
        ProbeKey::Resolve => {
            list(key, raw, |item| hosts::pin(text_of(item)?)).map(ProbeValue::Pins)
        }
        ProbeKey::Method => http::method(text_of(raw)?).map(ProbeValue::Method),
        ProbeKey::Header => {
            list(key, raw, |item| http::header(bytes_of(item)?)).map(ProbeValue::Headers)
        }
        ProbeKey::HeaderEnv => {
            list(key, raw, |item| http::header_env(text_of(item)?)).map(ProbeValue::Headers)
        }
        ProbeKey::HeaderFile
        | ProbeKey::BodyFile
        | ProbeKey::Ca
        | ProbeKey::Cert
        | ProbeKey::CertKey => path(raw).map(ProbeValue::Path),
        ProbeKey::Body => match bytes_of(raw)? {
            body if body.len() > BODY_BYTES_MAX => Err("too long; give it in a file".into()),
            body => Ok(ProbeValue::Body(body.to_vec())),
        },
        ProbeKey::Redirects => count(raw, 0, 20).map(ProbeValue::Count),
        ProbeKey::MinDays => count(raw, 0, 36_500).map(ProbeValue::Count),
        ProbeKey::BodyMax => size::read(raw, ANSWER_BYTES_MAX).map(ProbeValue::Size),
        ProbeKey::ExpectStatus => statuses(raw),
        ProbeKey::ExpectBody => {
            expected(key, raw, |item| Ok(Expected::Contains(some_text(item)?.to_owned())))
        }
        ProbeKey::ExpectRegex => {
            expected(key, raw, |item| http::regex(text_of(item)?).map(Expected::Matches))
        }
        ProbeKey::ExpectJson => expected(key, raw, |item| http::json(text_of(item)?)),
        ProbeKey::ExpectHeader => expected(key, raw, |item| http::header_regex(text_of(item)?)),
        ProbeKey::ServerName => hosts::host(text_of(raw)?).map(ProbeValue::Text),
        ProbeKey::Record => record(text_of(raw)?),
        ProbeKey::ExpectAnswer => some_text(raw).map(|text| ProbeValue::Text(text.to_owned())),
        ProbeKey::Insecure | ProbeKey::GrpcTls | ProbeKey::NagiosIn | ProbeKey::Feed => {
            switch(raw).map(ProbeValue::Switch)
        }
    }
}

/// The value as a message repeats it: without what may be secret.
pub fn shown(key: ProbeKey, raw: &Raw<'_>) -> String {
    let quote = if matches!(raw, Raw::Word(_)) { '\'' } else { '"' };
    let Ok(bytes) = bytes_of(raw) else {
        return match (key, raw) {
            (ProbeKey::Header | ProbeKey::Http, Raw::Array(items)) => {
                let items: Vec<_> = items.iter().take(20).map(|item| shown(key, item)).collect();
                text::excerpt(&format!("[{}]", items.join(", ")), 60)
            }
            _ => raw.shown(),
        };
    };
    let whole = String::from_utf8_lossy(bytes);
    let part = |part: &str| format!("{quote}{}{quote}", text::excerpt(part, 60));
    match key {
        ProbeKey::Header => match whole.split_once(':') {
            Some((name, _)) => part(&format!("{name}: ...")),
            None => part("..."),
        },
        ProbeKey::Http => part(&page(&whole)),
        ProbeKey::Body => part("..."),
        _ => raw.shown(),
    }
}

/// What was to be a page, without what may be its user, password or query.
fn page(text: &str) -> String {
    let (begin, rest) = match (text.find("://"), text.rfind('@')) {
        (scheme, Some(at)) => {
            let begin = scheme.map_or(0, |scheme| scheme + 3).min(at);
            // Is it a password with a question mark, or a query with an at sign?
            let rest = if text[..at].contains(['?', '#']) { "" } else { &text[at..] };
            (format!("{}...", &text[..begin]), rest)
        }
        _ => (String::new(), text),
    };
    match rest.find(['?', '#']) {
        Some(end) => format!("{begin}{}?...", &rest[..end]),
        None => begin + rest,
    }
}

const IP_VERSIONS: [(&str, Family); 3] =
    [("any", Family::Any), ("4", Family::V4), ("6", Family::V6)];

const HTTP_VERSIONS: [(&str, Version); 3] =
    [("any", Version::Negotiated), ("1.1", Version::Http1), ("2", Version::Http2)];

/// One of a few, which in a file may as well be written as numbers.
fn chosen<T: Copy>(raw: &Raw<'_>, choices: &[(&str, T)]) -> Result<T, Why> {
    let name = match raw {
        Raw::Integer(_, text) => text.as_str(),
        Raw::Float(text) => text,
        raw => text_of(raw)?,
    };
    let found = choices.iter().find(|(choice, _)| *choice == name);
    found.map(|(_, value)| *value).ok_or_else(|| "no such choice".into())
}

fn text_of<'a>(raw: &Raw<'a>) -> Result<&'a str, Why> {
    match raw {
        Raw::Word(word) => utf8(word),
        Raw::Text(text) => Ok(text),
        other => Err(wrong_type(other)),
    }
}

fn bytes_of<'a>(raw: &Raw<'a>) -> Result<&'a [u8], Why> {
    match raw {
        Raw::Word(word) => Ok(word.as_bytes()),
        Raw::Text(text) => Ok(text.as_bytes()),
        other => Err(wrong_type(other)),
    }
}

fn some_text<'a>(raw: &Raw<'a>) -> Result<&'a str, Why> {
    match text_of(raw)? {
        "" => Err("empty".into()),
        text if text.len() > TEXT_BYTES_MAX => Err("too long".into()),
        text => Ok(text),
    }
}

/// A list, where one value is a list of one. Of several the answer names the one
/// that is not allowed.
fn list<T>(
    key: ProbeKey,
    raw: &Raw<'_>,
    one: impl Fn(&Raw<'_>) -> Result<T, Why>,
) -> Result<Vec<T>, Why> {
    match raw {
        Raw::Array(items) if items.len() > ITEMS_MAX => {
            Err(format!("more than {ITEMS_MAX} of them"))
        }
        Raw::Array(items) if items.len() > 1 => {
            let named = |item| one(item).map_err(|why| format!("{}: {why}", shown(key, item)));
            items.iter().map(named).collect()
        }
        Raw::Array(items) => items.iter().map(one).collect(),
        raw => Ok(vec![one(raw)?]),
    }
}

fn expected(
    key: ProbeKey,
    raw: &Raw<'_>,
    one: impl Fn(&Raw<'_>) -> Result<Expected, Why>,
) -> Result<ProbeValue, Why> {
    list(key, raw, one).map(ProbeValue::Expected)
}

fn statuses(raw: &Raw<'_>) -> Result<ProbeValue, Why> {
    let lists = list(ProbeKey::ExpectStatus, raw, |item| match item {
        Raw::Integer(_, text) => http::statuses(text),
        item => http::statuses(text_of(item)?),
    })?;
    match lists.concat() {
        all if all.is_empty() => Err("without any status, nothing could be healthy".into()),
        all if all.len() > ITEMS_MAX => Err(format!("more than {ITEMS_MAX} of them")),
        all => Ok(ProbeValue::Statuses(all)),
    }
}

/// A file. Whose directory a config file's relative path would begin in depends
/// on the caller, so there is none.
fn path(raw: &Raw<'_>) -> Result<PathBuf, Why> {
    let bytes = bytes_of(raw)?;
    match bytes {
        b"" => Err("empty".into()),
        _ if bytes.contains(&0) => Err("no path can have a NUL byte".into()),
        [first, ..] if matches!(raw, Raw::Text(_)) && *first != b'/' => {
            Err("it does not begin with '/'".into())
        }
        _ => Ok(PathBuf::from(OsString::from_vec(bytes.to_vec()))),
    }
}

fn socket(raw: &Raw<'_>) -> Result<PathBuf, Why> {
    let path = path(raw)?;
    if path.as_os_str().len() > SOCKET_BYTES_MAX { Err("too long".into()) } else { Ok(path) }
}

/// A command of a config file. The line has its words as they are.
fn command(raw: &Raw<'_>) -> Result<Vec<OsString>, Why> {
    match raw {
        Raw::Text(text) => action::shell_words(OsStr::new(*text)),
        Raw::Array(words) => action::program_words(words),
        other => Err(wrong_type(other)),
    }
}

fn record(text: &str) -> Result<ProbeValue, Why> {
    let record = text.to_ascii_uppercase();
    match RECORDS.contains(&record.as_str()) {
        true => Ok(ProbeValue::Text(record)),
        false => Err("no such type of record".into()),
    }
}
