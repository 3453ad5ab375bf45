//! Which probes the words of `cb probe` ask for.

use std::ffi::OsString;

use super::keys::ProbeKey;
use crate::cli::ProbeWords;
use crate::error::Error;
use crate::model::{BreakerName, name};
use crate::settings::breaker_name;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// The probe that the words describe; for a breaker, or for none.
    Described(Option<BreakerName>),
    /// The configured probes of these breakers; never empty. A pattern stands for
    /// all that have a probe of their own.
    Named(&'a [OsString]),
    /// The configured probes of all, or of those that a pattern stands for.
    All(&'a [OsString]),
}

/// What the words ask for.
///
/// # Errors
///
/// If they ask for nothing, or for two things at once.
pub fn asked(words: &ProbeWords) -> Result<Asked<'_>, Error> {
    let described = ProbeKey::kinds().find(|kind| match kind {
        ProbeKey::Command => !words.command.is_empty(),
        kind => words.probe_flags.iter().any(|(name, _)| *name == kind.name()),
    });
    let Some(kind) = described else {
        return match (words.all, words.names.as_slice()) {
            (true, names) => Ok(Asked::All(names)),
            (false, []) => Err(Error::Usage(format!(
                "probe needs a NAME, --all, or what to look at: {}; for example: cb probe --http \
                 http://localhost:8080/up",
                kinds_text()
            ))),
            (false, names) => Ok(Asked::Named(names)),
        };
    };
    let flag = kind.flag();
    if words.all {
        return Err(Error::Usage(format!(
            "{flag} with --all: it would be the same probe for every breaker; allowed: one NAME"
        )));
    }
    match words.names.as_slice() {
        [] => Ok(Asked::Described(None)),
        [one] if !one.to_str().is_some_and(name::is_pattern) => {
            Ok(Asked::Described(Some(breaker_name(one)?)))
        }
        [pattern] => Err(Error::Usage(format!(
            "{flag} with '{}': a pattern; allowed: one NAME",
            crate::model::text::excerpt(&pattern.to_string_lossy(), 40)
        ))),
        names => Err(Error::Usage(format!(
            "{flag} with {} names; allowed: one NAME, or none",
            names.len()
        ))),
    }
}

/// That a breaker has no probe, and how to give it one.
pub fn missing(name: &BreakerName) -> Error {
    let name = name.as_str();
    let section = match name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) {
        true => format!("[breaker.{name}.probe]"),
        false => format!("[breaker.\"{name}\".probe]"),
    };
    Error::Usage(format!("no probe for '{name}': give one of {}, or set {section}", kinds_text()))
}

fn kinds_text() -> String {
    let kinds: Vec<_> = ProbeKey::kinds().map(ProbeKey::flag).collect();
    let (last, others) = kinds.split_last().expect("there are kinds");
    format!("{} or {last}", others.join(", "))
}
