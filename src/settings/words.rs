//! What the words of the command line mean, each with a message of its own
//! where they mean nothing: policy flags, `--set`, and the values of other flags.

use std::ffi::OsStr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::keys::{self, Form, Key, Kind};
use super::layers::{Assignment, Layers, Place};
use super::parse;
use super::value::Raw;
use crate::cli::Flag;
use crate::error::Error;
use crate::model::job::KEY_BYTES_MAX;
use crate::model::{BreakerName, text};

/// The most bytes of flags that travel with a state.
pub const FLAGS_TEXT_MAX: usize = 512;

/// The most bytes of flags that a job keeps: two lists of all exit codes and
/// the rest.
pub const JOB_FLAGS_TEXT_MAX: usize = 4096;

/// The highest rate, in a second.
const RATE_MAX: u64 = 10_000;

/// The name of a breaker.
///
/// # Errors
///
/// If no breaker can have this name.
pub fn breaker_name(word: &OsStr) -> Result<BreakerName, Error> {
    BreakerName::parse(word).map_err(|error| Error::Usage(error.to_string()))
}

/// A duration above zero that a flag gives (`--for`).
///
/// # Errors
///
/// If it is none, or out of bounds.
pub fn period(flag: &str, word: &OsStr) -> Result<Duration, Error> {
    parse::duration_word(word, Duration::from_millis(1))
        .map_err(|why| refused(flag, word, &why, &Key::OpenFor.allowed(Form::Word)))
}

/// How long something took (`--duration`): zero is a length too.
///
/// # Errors
///
/// If it is no duration, or out of bounds.
pub fn length(flag: &str, word: &OsStr) -> Result<Duration, Error> {
    if word.to_str().is_some_and(|word| word.trim_matches('0').is_empty() && !word.is_empty()) {
        return Ok(Duration::ZERO);
    }
    parse::duration_word(word, Duration::ZERO)
        .map_err(|why| refused(flag, word, &why, "a duration such as 1.5s or 250ms, at most 365d"))
}

/// The key of a queued call (`--key`): by it a call is told from another, so it
/// is compared byte for byte, and shown.
///
/// # Errors
///
/// If it is empty, too long, or nothing to show.
pub fn job_key(flag: &str, word: &OsStr) -> Result<String, Error> {
    let why = match word.to_str() {
        None => parse::NOT_UTF8,
        Some("") => "empty",
        Some(key) if key.len() > KEY_BYTES_MAX => "too long",
        Some(key) if key.chars().any(text::steers) => "it has a control character",
        Some(key) => return Ok(key.to_owned()),
    };
    let allowed = format!("a text of at most {KEY_BYTES_MAX} bytes");
    Err(refused(flag, word, why, &allowed))
}

/// A whole number that a flag gives (`--seed`, `--result-fd`), at most this.
///
/// # Errors
///
/// If it is none, or above that.
pub fn whole(flag: &str, word: &OsStr, max: u64) -> Result<u64, Error> {
    number(flag, word, 0..=max)
}

/// A whole number that a flag gives (`--jobs`), within this range.
///
/// # Errors
///
/// If it is none, or outside of that.
pub fn number(flag: &str, word: &OsStr, range: RangeInclusive<u64>) -> Result<u64, Error> {
    let (min, max) = (*range.start(), *range.end());
    parse::whole_word(word, max)
        .and_then(|number| if number < min { Err("out of range".into()) } else { Ok(number) })
        .map_err(|why| refused(flag, word, &why, &format!("a whole number, {min} to {max}")))
}

/// A rate that a flag gives (`--rate`), as the time from one to the next:
/// `10/s`, `600/m`, or `10` for so many a second.
///
/// # Errors
///
/// If it is none, or out of bounds.
pub fn rate(flag: &str, word: &OsStr) -> Result<Duration, Error> {
    interval(word).map_err(|why| {
        let allowed = "such as 10/s, 100/m, 500/h or 24/d, from 1/d to 10000/s";
        refused(flag, word, &why, allowed)
    })
}

fn interval(word: &OsStr) -> Result<Duration, parse::Why> {
    let text = word.to_str().unwrap_or_default();
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let secs = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err("not a number for a time".into()),
    };
    let number = parse::whole_word(OsStr::new(number), secs * RATE_MAX)?;
    let nanos = (secs * 1_000_000_000).checked_div(number).ok_or("it must be above 0")?;
    Ok(Duration::from_nanos(nanos))
}

/// Adds the layer of the policy flags.
///
/// # Errors
///
/// If a value is not allowed for its key.
pub fn put_flags(layers: &mut Layers, flags: &[Flag]) -> Result<(), Error> {
    for (name, word) in flags {
        let key = Key::by_name(name).expect("each policy flag has a key");
        let value = parse::value(key, &Raw::Word(word))
            .map_err(|why| refused(&key.flag(), word, &why, &key.allowed(Form::Word)))?;
        layers.put(Assignment { key, value, place: Place::Flag });
    }
    Key::ALL
        .into_iter()
        .filter(|key| key.kind() == Kind::Actions)
        .try_for_each(|key| put_chain(layers, key, flags))
}

/// A flag that was given several times: its words are one list.
fn put_chain(layers: &mut Layers, key: Key, flags: &[Flag]) -> Result<(), Error> {
    let words = flags.iter().filter(|(name, _)| *name == key.name());
    let chain = Raw::Array(words.map(|(_, word)| Raw::Word(word)).collect());
    if matches!(&chain, Raw::Array(words) if words.len() < 2) {
        return Ok(());
    }
    let value = parse::value(key, &chain).map_err(|why| {
        let allowed = key.allowed(Form::Word);
        Error::Usage(format!("{} {}: {why}; allowed: {allowed}", key.flag(), chain.shown()))
    })?;
    layers.put(Assignment { key, value, place: Place::Flag });
    Ok(())
}

/// Adds a `--set KEY=VALUE`.
///
/// # Errors
///
/// If it is no assignment, the key is unknown, or the value not allowed.
pub fn put_set(layers: &mut Layers, word: &OsStr) -> Result<(), Error> {
    let shown = text::excerpt(&word.to_string_lossy(), 60);
    let Some((name, value)) = word.to_str().and_then(|word| word.split_once('=')) else {
        return Err(Error::Usage(format!(
            "--set '{shown}': not KEY=VALUE; allowed: such as open_for=10s"
        )));
    };
    let Some(key) = Key::by_name(name) else {
        return Err(Error::Usage(format!("--set '{shown}': {}", keys::unknown(name))));
    };
    let place = format!("--set {name}");
    let value = OsStr::new(value);
    let parsed = parse::value(key, &Raw::Word(value))
        .map_err(|why| refused(&place, value, &why, &key.allowed(Form::Word)))?;
    layers.put(Assignment { key, value: parsed, place: Place::Set });
    Ok(())
}

/// The machine's flags as a text that a state can keep, so that other commands
/// see the policy of the last call: `window=10 failures=3`. What concerns only
/// the call itself (its timeout, its exit statuses) stays with it. Values are in their shortest
/// form, which has no space. What is not allowed is left out, and so is what
/// exceeds [`FLAGS_TEXT_MAX`] (only a very long list of exit codes can).
pub fn flags_text(flags: &[Flag]) -> String {
    kept_text(flags, Key::is_of_machine, FLAGS_TEXT_MAX)
}

/// The flags that a queued job must have when it runs, as a text of the same
/// form: what ends an attempt, what its exit code says, how often and how late
/// it is tried, and how many may run at once. All of them fit.
pub fn job_flags_text(flags: &[Flag]) -> String {
    kept_text(flags, Key::is_of_job, JOB_FLAGS_TEXT_MAX)
}

fn kept_text(flags: &[Flag], is_kept: fn(Key) -> bool, bytes_max: usize) -> String {
    let mut kept = String::new();
    for (name, word) in flags {
        let Some(key) = Key::by_name(name).filter(|key| is_kept(*key)) else { continue };
        let Ok(value) = parse::value(key, &Raw::Word(word)) else { continue };
        let item = format!("{name}={value}");
        if kept.len() + 1 + item.len() <= bytes_max {
            if !kept.is_empty() {
                kept.push(' ');
            }
            kept.push_str(&item);
        }
    }
    kept
}

/// Adds the layer of the last call's flags. The text comes out of a state, and
/// maybe from another version of cb: what is not understood is left out.
pub fn put_flags_text(layers: &mut Layers, kept: &str) {
    if kept.len() <= FLAGS_TEXT_MAX {
        put_kept(layers, kept, Key::is_of_machine, &Place::LastFlags);
    }
}

/// Adds the layer of the flags that a job kept, as carefully.
pub fn put_job_flags_text(layers: &mut Layers, kept: &str) {
    if kept.len() <= JOB_FLAGS_TEXT_MAX {
        put_kept(layers, kept, Key::is_of_job, &Place::JobFlags);
    }
}

fn put_kept(layers: &mut Layers, kept: &str, is_kept: fn(Key) -> bool, place: &Place) {
    for item in kept.split(' ') {
        let Some((name, value)) = item.split_once('=') else { continue };
        let Some(key) = Key::by_name(name).filter(|key| is_kept(*key)) else { continue };
        if let Ok(value) = parse::value(key, &Raw::Word(OsStr::new(value))) {
            layers.put(Assignment { key, value, place: place.clone() });
        }
    }
}

fn refused(place: &str, word: &OsStr, why: &str, allowed: &str) -> Error {
    Error::Usage(format!("{place} {}: {why}; allowed: {allowed}", Raw::Word(word).shown()))
}
