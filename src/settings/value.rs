//! Values: as they were written ([`Raw`]), and as they were understood
//! ([`Value`]). A value's text reads back as the same value.

use std::ffi::OsStr;
use std::fmt;
use std::time::Duration;

use super::action::{Action, Chain};
use super::{Drain, OnStoreError, size};
use crate::model::policy::{Growth, Percent, WindowSize};
use crate::model::text;

/// A value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw<'a> {
    /// A word of the command line.
    Word(&'a OsStr),
    /// A TOML string.
    Text(&'a str),
    /// A TOML integer; no number where it does not fit 64 bits.
    Integer(Option<i64>, String),
    /// A TOML float, as it stands in the file.
    Float(&'a str),
    /// A TOML boolean.
    Boolean(bool),
    /// A TOML array.
    Array(Vec<Raw<'a>>),
    /// Another TOML value: what it is, and how it reads.
    Other(&'static str, String),
}

/// The most characters of a value that a message repeats.
const SHOWN_CHARS_MAX: usize = 60;

impl Raw<'_> {
    /// The value as a message repeats it.
    pub fn shown(&self) -> String {
        match self {
            Raw::Word(word) => format!("'{}'", excerpt(&word.to_string_lossy())),
            Raw::Text(text) => format!("\"{}\"", excerpt(text)),
            Raw::Integer(_, text) | Raw::Other(_, text) => excerpt(text),
            Raw::Float(text) => excerpt(text),
            Raw::Boolean(value) => value.to_string(),
            Raw::Array(items) => {
                let items: Vec<_> = items.iter().take(20).map(Raw::shown).collect();
                excerpt(&format!("[{}]", items.join(", ")))
            }
        }
    }
}

fn excerpt(text: &str) -> String {
    text::excerpt(text, SHOWN_CHARS_MAX)
}

/// A value that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Explicitly without a value.
    Unset,
    /// A window.
    Window(WindowSize),
    /// A whole number.
    Count(u32),
    /// A share.
    Percent(Percent),
    /// A duration.
    Duration(Duration),
    /// A factor.
    Growth(Growth),
    /// Exit codes.
    Codes(Vec<u8>),
    /// An exit code.
    Code(u8),
    /// What to do without a store.
    OnStoreError(OnStoreError),
    /// What stands in for a call.
    Actions(Vec<Action>),
    /// What empties the queue.
    Drain(Drain),
    /// Names of environment variables.
    Names(Vec<String>),
    /// Bytes.
    Size(u64),
    /// Yes or no.
    Switch(bool),
}

impl Value {
    /// The value as JSON has it: numbers as numbers, durations and shares as
    /// text that a config file takes, no value as null.
    pub fn json(&self) -> serde_json::Value {
        match self {
            Value::Unset => serde_json::Value::Null,
            Value::Window(WindowSize::Calls(count)) | Value::Count(count) => (*count).into(),
            Value::Code(code) => (*code).into(),
            Value::Codes(codes) => codes.clone().into(),
            Value::Growth(growth) => {
                (f64::from(growth.ten_thousandths()) / f64::from(Growth::SCALE)).into()
            }
            Value::Actions(actions) => actions.iter().map(Action::json).collect(),
            Value::Names(names) => names.clone().into(),
            Value::Size(size) => (*size).into(),
            Value::Switch(value) => (*value).into(),
            Value::Window(_)
            | Value::Percent(_)
            | Value::Duration(_)
            | Value::OnStoreError(_)
            | Value::Drain(_) => self.to_string().into(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Unset => f.write_str("none"),
            Value::Window(WindowSize::Calls(count)) | Value::Count(count) => write!(f, "{count}"),
            Value::Window(WindowSize::Millis(ms)) => {
                f.write_str(&text::duration(Duration::from_millis(*ms)))
            }
            Value::Percent(share) => {
                let hundredths = u32::from(share.hundredths());
                write!(f, "{}%", decimal(hundredths, 100, ""))
            }
            Value::Duration(duration) => f.write_str(&text::duration(*duration)),
            Value::Growth(growth) => {
                f.write_str(&decimal(growth.ten_thousandths(), Growth::SCALE, ".0"))
            }
            Value::Codes(codes) => {
                let codes: Vec<_> = codes.iter().map(u8::to_string).collect();
                f.write_str(&codes.join(","))
            }
            Value::Code(code) => write!(f, "{code}"),
            Value::OnStoreError(what) => f.write_str(what.name()),
            Value::Actions(actions) => Chain(actions).fmt(f),
            Value::Drain(drain) => f.write_str(drain.name()),
            Value::Names(names) if names.is_empty() => f.write_str("none"),
            Value::Names(names) => f.write_str(&names.join(",")),
            Value::Size(size) => f.write_str(&size::show(*size)),
            Value::Switch(value) => write!(f, "{value}"),
        }
    }
}

/// `value / scale` as a decimal without zeros at its end; `whole` follows a
/// whole number.
fn decimal(value: u32, scale: u32, whole: &str) -> String {
    let (int, rest) = (value / scale, value % scale);
    if rest == 0 {
        return format!("{int}{whole}");
    }
    let width = scale.ilog10() as usize;
    format!("{int}.{rest:0width$}").trim_end_matches('0').to_owned()
}
