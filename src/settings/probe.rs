//! What the words and keys of a probe mean: what is looked at, what is expected,
//! and how often. Layers as those of the policy: each section sets single keys,
//! and the later wins.
//!
//! `keys` is the table of keys, `parse` reads a value (`hosts` and `http` parts
//! of it), `layers` lays them over each other, `build` makes a probe of them,
//! `words` says what the command line asks for.

mod build;
mod hosts;
mod http;
pub mod keys;
mod layers;
pub mod parse;
mod value;
mod words;

use std::ffi::OsString;
use std::time::Duration;

use super::Place;
use crate::cli::Flag;
use crate::error::Error;
use crate::model::policy::Percent;
use crate::probe::Spec;

pub use keys::ProbeKey;
pub use layers::{ProbeLayers, conflicts};
pub use parse::RECORDS;
pub use value::ProbeValue;
pub use words::{Asked, asked, missing};

/// A key of a probe set to a value, somewhere.
#[derive(Clone, Debug)]
pub struct ProbeAssignment {
    /// The key.
    pub key: ProbeKey,
    /// Its value.
    pub value: ProbeValue,
    /// Where.
    pub place: Place,
}

/// The settings of a probe.
#[derive(Clone, Debug)]
pub struct ProbeSettings {
    /// What to look at; none where nothing says it.
    pub spec: Option<Spec>,
    /// Whether the breaker learns of it.
    pub feed: bool,
    /// How often it looks.
    pub watch: WatchSettings,
}

/// How often a probe looks that goes on looking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchSettings {
    /// From one look to the next.
    pub interval: Duration,
    /// The spread of each pause, to both sides.
    pub jitter: Percent,
    /// The same while the result changes.
    pub fast: Duration,
    /// The same while it is unhealthy.
    pub down: Duration,
}

/// The settings that come of the config files' assignments for a breaker, the
/// later wins, and of the words of a command laid over them.
///
/// # Errors
///
/// If a flag is not allowed, says nothing to this kind of probe, or excludes
/// another.
pub fn resolve_probe<'a>(
    files: impl IntoIterator<Item = &'a ProbeAssignment>,
    flags: &[Flag],
    command: &[OsString],
) -> Result<ProbeSettings, Error> {
    let mut layers = ProbeLayers::default();
    for assignment in files {
        layers.put(assignment.clone());
    }
    layers.put_words(flags, command)?;
    layers.settings()
}

#[cfg(test)]
mod tests;
