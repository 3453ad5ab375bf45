//! From a value as it was written to what it means for its key. The answer to
//! what is not allowed is a fragment that says why; place, key, value and what
//! is allowed are added by the caller. Nothing here computes with floats: what
//! people write in decimals is read in decimals.

use std::ffi::OsStr;
use std::time::Duration;

use super::keys::{Key, Kind};
use super::value::{Raw, Value};
use super::{Drain, OnStoreError, action, size};
use crate::model::policy::{DURATION_MAX, Growth, Percent, WINDOW_CALLS_MAX, WindowSize};
use crate::model::text;

/// Why a value is not allowed.
pub type Why = String;

const QUOTED: &str = "a number is written without quotes";
const NOT_WHOLE: &str = "not a whole number";
const NOT_DURATION: &str = "not a duration";
pub(super) const NOT_UTF8: &str = "not valid UTF-8";
const OUT_OF_RANGE: &str = "out of range";

/// The most names in a list of variables, and the most bytes of one.
const NAMES_MAX: usize = 100;
const NAME_BYTES_MAX: usize = 100;
/// The same, in words.
pub const NAMES_SPAN: &str = "at most 100 of at most 100 characters";

/// What the value means for the key.
pub fn value(key: Key, raw: &Raw<'_>) -> Result<Value, Why> {
    if is_none(raw) {
        return match (key.kind(), key.is_optional()) {
            (Kind::Codes { empty: true }, _) => Ok(Value::Codes(Vec::new())),
            (Kind::Names, _) => Ok(Value::Names(Vec::new())),
            (_, true) => Ok(Value::Unset),
            (_, false) => Err("this key always has a value".into()),
        };
    }
    match key.kind() {
        Kind::Window => window(raw).map(Value::Window),
        Kind::Count { min, max } => count(raw, min, max).map(Value::Count),
        Kind::Percent => percent(raw).map(Value::Percent),
        Kind::Duration { min } => duration(raw, min).map(Value::Duration),
        Kind::Growth => growth(raw).map(Value::Growth),
        Kind::Codes { empty } => codes(raw, empty).map(Value::Codes),
        Kind::Code => count(raw, 0, 255).map(|code| Value::Code(code as u8)),
        Kind::OnStoreError => choice(raw, OnStoreError::from_name).map(Value::OnStoreError),
        Kind::Actions => action::read(raw).map(Value::Actions),
        Kind::Drain => choice(raw, Drain::from_name).map(Value::Drain),
        Kind::Names => names(raw).map(Value::Names),
        Kind::Size { max } => size::read(raw, max).map(Value::Size),
        Kind::Switch => switch(raw).map(Value::Switch),
    }
}

/// A duration of the command line: a number with a unit, or of seconds.
pub fn duration_word(word: &OsStr, min: Duration) -> Result<Duration, Why> {
    let text = utf8(word)?;
    let bare = is_bare_number(text);
    let mut full = String::with_capacity(text.len() + 2);
    if text.starts_with('.') {
        full.push('0');
    }
    full.push_str(if bare { text.trim_end_matches('.') } else { text });
    if bare {
        full.push('s');
    }
    within(duration_text(&full)?, min)
}

/// A whole number of the command line, at most this.
pub fn whole_word(word: &OsStr, max: u64) -> Result<u64, Why> {
    let text = utf8(word)?;
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NOT_WHOLE.into());
    }
    text.parse().ok().filter(|number| *number <= max).ok_or_else(|| OUT_OF_RANGE.into())
}

fn is_none(raw: &Raw<'_>) -> bool {
    match raw {
        Raw::Word(word) => *word == "none",
        Raw::Text(text) => *text == "none",
        _ => false,
    }
}

fn window(raw: &Raw<'_>) -> Result<WindowSize, Why> {
    let duration = match raw {
        Raw::Integer(..) => return count(raw, 1, WINDOW_CALLS_MAX).map(WindowSize::Calls),
        Raw::Word(word) if is_integer(utf8(word)?) => {
            return count(raw, 1, WINDOW_CALLS_MAX).map(WindowSize::Calls);
        }
        Raw::Word(word) if is_bare_number(utf8(word)?) => {
            return Err("calls are whole numbers, and seconds need a unit ('1.5s')".into());
        }
        Raw::Text(text) if is_bare_number(text) => {
            return Err(format!("as text it needs a unit (\"{text}s\"); calls have no quotes"));
        }
        Raw::Float(_) => return Err(NOT_WHOLE.into()),
        _ => duration(raw, Duration::from_millis(1))?,
    };
    let ms = u64::try_from(duration.as_millis()).map_err(|_| OUT_OF_RANGE)?;
    Ok(WindowSize::Millis(ms))
}

pub(super) fn count(raw: &Raw<'_>, min: u32, max: u32) -> Result<u32, Why> {
    let number = match raw {
        Raw::Integer(number, _) => *number,
        Raw::Word(word) if is_integer(utf8(word)?) => utf8(word)?.parse().ok(),
        Raw::Word(_) | Raw::Float(_) => return Err(NOT_WHOLE.into()),
        Raw::Text(_) => return Err(QUOTED.into()),
        other => return Err(wrong_type(other)),
    };
    number
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| OUT_OF_RANGE.into())
}

pub(super) fn percent(raw: &Raw<'_>) -> Result<Percent, Why> {
    let text = match raw {
        Raw::Word(word) => utf8(word)?,
        Raw::Text(text) | Raw::Float(text) => text,
        Raw::Integer(_, text) => text,
        other => return Err(wrong_type(other)),
    };
    let (number, places) = match text.strip_suffix('%') {
        Some(number) => (number, 2),
        None => (text, 4),
    };
    let hundredths = decimal(number, places)?;
    u16::try_from(hundredths).ok().and_then(Percent::from_hundredths).ok_or_else(|| {
        if places == 4 && hundredths <= 100 * 10_000 {
            format!("above 1 it needs a percent sign (\"{number}%\")")
        } else {
            OUT_OF_RANGE.into()
        }
    })
}

fn growth(raw: &Raw<'_>) -> Result<Growth, Why> {
    let text = match raw {
        Raw::Word(word) => utf8(word)?,
        Raw::Float(text) => text,
        Raw::Integer(_, text) => text,
        Raw::Text(_) => return Err(QUOTED.into()),
        other => return Err(wrong_type(other)),
    };
    u32::try_from(decimal(text, 4)?)
        .ok()
        .and_then(Growth::from_ten_thousandths)
        .ok_or_else(|| OUT_OF_RANGE.into())
}

pub(super) fn duration(raw: &Raw<'_>, min: Duration) -> Result<Duration, Why> {
    match raw {
        Raw::Word(word) => duration_word(word, min),
        Raw::Text(text) => duration_text_within(text, min),
        Raw::Integer(_, text) => Err(format!("it needs a unit (\"{text}s\")")),
        Raw::Float(text) => Err(format!("it needs a unit (\"{text}s\")")),
        other => Err(wrong_type(other)),
    }
}

/// A duration of a config file: each number has its unit.
pub(super) fn duration_text_within(text: &str, min: Duration) -> Result<Duration, Why> {
    within(duration_text(text)?, min)
}

fn within(duration: Duration, min: Duration) -> Result<Duration, Why> {
    if duration < min {
        return Err(if duration.is_zero() { "it must be above 0" } else { "too short" }.into());
    }
    if duration > DURATION_MAX { Err("too long".into()) } else { Ok(duration) }
}

/// The most digits of a number in a duration, and the most bytes of it all.
/// humantime adds in 64 bits, and panics at the very end of that range: numbers
/// of 11 digits, in the 5 terms that fit 60 bytes, stay below it even as years.
const DIGITS_MAX: usize = 11;
const DURATION_BYTES_MAX: usize = 60;

/// What humantime reads, but for digits with a space between them, which it
/// takes for one number.
fn duration_text(text: &str) -> Result<Duration, Why> {
    let words: Vec<_> = text.split_whitespace().collect();
    let ends_in_digit = |word: &str| word.ends_with(|c: char| c.is_ascii_digit());
    let starts_with_digit = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    if words.windows(2).any(|pair| ends_in_digit(pair[0]) && starts_with_digit(pair[1])) {
        return Err(NOT_DURATION.into());
    }
    let numbers = text.split(|c: char| !c.is_ascii_digit());
    let digits = numbers.map(|digits| digits.trim_start_matches('0').len()).max();
    if text.len() > DURATION_BYTES_MAX || digits > Some(DIGITS_MAX) {
        return Err("too long a number".into());
    }
    if text == "0" {
        return Err("it must be above 0".into());
    }
    humantime::parse_duration(text).map_err(|error| match error {
        humantime::DurationError::UnknownUnit { unit, .. } if !unit.is_empty() => {
            format!("unknown unit '{}'", text::excerpt(&unit, 20))
        }
        humantime::DurationError::UnknownUnit { .. } => "it needs a unit".into(),
        humantime::DurationError::NumberOverflow => "too long, or finer than 1ns".into(),
        _ => NOT_DURATION.into(),
    })
}

fn codes(raw: &Raw<'_>, empty: bool) -> Result<Vec<u8>, Why> {
    let mut codes = Vec::new();
    match raw {
        Raw::Word(word) => {
            let text = utf8(word)?;
            for item in text.split(',').filter(|_| !text.is_empty()) {
                add_code(&mut codes, &Raw::Word(OsStr::new(item.trim())))?;
            }
        }
        Raw::Array(items) => {
            for item in items {
                add_code(&mut codes, item)?;
            }
        }
        Raw::Integer(_, text) => return Err(format!("one code is a list too ([{text}])")),
        Raw::Text(_) => return Err("a list has brackets, and no quotes".into()),
        other => return Err(wrong_type(other)),
    }
    if codes.is_empty() && !empty {
        return Err("without any code, nothing could fail".into());
    }
    Ok(codes)
}

fn add_code(codes: &mut Vec<u8>, raw: &Raw<'_>) -> Result<(), Why> {
    let code = count(raw, 0, 255).map_err(|why| format!("{}: {why}", raw.shown()))?;
    match code as u8 {
        0 => return Err("0 is success".into()),
        code if codes.contains(&code) => {}
        code => codes.push(code),
    }
    Ok(())
}

/// One of a few names.
fn choice<T>(raw: &Raw<'_>, from_name: fn(&str) -> Option<T>) -> Result<T, Why> {
    let name = match raw {
        Raw::Word(word) => utf8(word)?,
        Raw::Text(text) => text,
        other => return Err(wrong_type(other)),
    };
    from_name(name).ok_or_else(|| "no such choice".into())
}

pub(super) fn switch(raw: &Raw<'_>) -> Result<bool, Why> {
    match raw {
        Raw::Boolean(value) => Ok(*value),
        Raw::Word(word) => utf8(word)?.parse().map_err(|_| "no such choice".into()),
        Raw::Text(_) => Err("it is written without quotes".into()),
        other => Err(wrong_type(other)),
    }
}

fn names(raw: &Raw<'_>) -> Result<Vec<String>, Why> {
    let mut names: Vec<String> = Vec::new();
    let mut add = |name: &str| {
        if !is_variable(name) {
            return Err(format!("'{}': not a variable's name", text::excerpt(name, 40)));
        }
        if name == "none" {
            return Err("'none' stands alone".into());
        }
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
        if names.len() > NAMES_MAX { Err("too many names".to_owned()) } else { Ok(()) }
    };
    match raw {
        Raw::Word(word) => {
            let text = utf8(word)?;
            text.split(',').filter(|_| !text.is_empty()).try_for_each(|name| add(name.trim()))?;
        }
        Raw::Array(items) => {
            for item in items {
                let Raw::Text(name) = item else {
                    return Err(format!("{}: {}", item.shown(), wrong_type(item)));
                };
                add(name)?;
            }
        }
        Raw::Text(text) => {
            return Err(format!("a list has brackets ([\"{}\"])", text::excerpt(text, 40)));
        }
        other => return Err(wrong_type(other)),
    }
    Ok(names)
}

/// Whether it can be the name of an environment variable.
pub(super) fn is_variable(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && (1..=NAME_BYTES_MAX).contains(&name.len())
}

/// A plain decimal number times ten to the power of `places`, exactly.
fn decimal(text: &str, places: usize) -> Result<u64, Why> {
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let (int, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if text.starts_with('-') {
        return Err(OUT_OF_RANGE.into());
    }
    if int.len() + fraction.len() == 0 || !digits(int) || !digits(fraction) {
        return Err("not a plain decimal number".into());
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > places {
        return Err("too many decimals".into());
    }
    let padded = format!("{int}{fraction:0<places$}");
    let significant = padded.trim_start_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    significant.parse().map_err(|_| OUT_OF_RANGE.into())
}

pub(super) fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn is_bare_number(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && text.bytes().filter(|b| *b == b'.').count() <= 1
}

pub(super) fn utf8(word: &OsStr) -> Result<&str, Why> {
    word.to_str().ok_or_else(|| NOT_UTF8.into())
}

/// A value whose type no value of the key has.
pub(super) fn wrong_type(raw: &Raw<'_>) -> Why {
    let what = match raw {
        Raw::Word(_) | Raw::Text(_) => "text",
        Raw::Integer(..) => "integer",
        Raw::Float(_) => "float",
        Raw::Boolean(_) => "boolean",
        Raw::Array(_) => "array",
        Raw::Other(what, _) => what,
    };
    format!("the wrong type ({what})")
}
