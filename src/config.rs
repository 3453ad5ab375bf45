//! The config files: which there are, what they say, and what of it is for a
//! breaker.
//!
//! The file of the machine lies below the user's; but a more specific section
//! wins over a less specific one in any file.

mod check;
mod file;
mod section;
mod walk;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::model::BreakerName;
use crate::paths;
use crate::settings::probe::{ProbeAssignment, ProbeLayers};
use crate::settings::{Assignment, Layers};

pub use check::{Report, check};
use section::{Section, Selector};
use walk::Reads;

/// What the config files say.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The least specific first; of equal ones, the one that wins last.
    sections: Vec<Section>,
}

/// A config file that cb looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where.
    pub path: PathBuf,
    /// Who named it, if someone did: then it must exist.
    pub named_by: Option<&'static str>,
}

impl Candidate {
    /// Whether there is something at its path.
    pub fn exists(&self) -> bool {
        self.path.symlink_metadata().is_ok()
    }
}

/// The files that cb looks for, the lowest first: that of the machine, then
/// `--config`, `CB_CONFIG` or the user's own.
///
/// # Errors
///
/// If the value of `--config` is empty.
pub fn candidates(flag: Option<&OsStr>) -> Result<Vec<Candidate>, Error> {
    let system = Candidate { path: paths::SYSTEM_CONFIG.into(), named_by: None };
    let above = match flag {
        Some(path) if path.is_empty() => {
            return Err(Error::Usage("--config '': empty; allowed: a file".into()));
        }
        Some(path) => Some(Candidate { path: path.into(), named_by: Some("--config") }),
        None => match paths::variable("CB_CONFIG") {
            Some(path) => Some(Candidate { path: path.into(), named_by: Some("CB_CONFIG") }),
            None => paths::user_config().map(|path| Candidate { path, named_by: None }),
        },
    };
    Ok(std::iter::once(system).chain(above).collect())
}

impl Config {
    /// Reads what the config files say of calls.
    ///
    /// # Errors
    ///
    /// The first problem of the first file that has one: whatever the section,
    /// since a file that is half understood is not to be relied on. What only a
    /// probe needs stops no call.
    pub fn load(flag: Option<&OsStr>) -> Result<Config, Error> {
        Config::read(flag, Reads::Calls)
    }

    /// Reads all that the config files say, of probes too.
    ///
    /// # Errors
    ///
    /// The first problem of the first file that has one.
    pub fn load_with_probes(flag: Option<&OsStr>) -> Result<Config, Error> {
        Config::read(flag, Reads::Probes)
    }

    fn read(flag: Option<&OsStr>, reads: Reads) -> Result<Config, Error> {
        let mut config = Config::default();
        for candidate in candidates(flag)? {
            if let Some(text) = read_candidate(&candidate)? {
                config.add_text(&candidate.path, &text, reads)?;
            }
        }
        Ok(config)
    }

    /// The assignments that are for a breaker, the later wins.
    pub fn assignments(&self, breaker: &BreakerName) -> impl Iterator<Item = &Assignment> {
        self.sections_of(breaker.as_str()).flat_map(|section| &section.assignments)
    }

    /// The assignments for a breaker, as the lowest of layers.
    pub fn layers(&self, breaker: &BreakerName) -> Layers {
        layers(self.assignments(breaker))
    }

    /// The assignments of the sections for every breaker.
    pub fn defaults(&self) -> Layers {
        let sections = self.sections.iter();
        let defaults = sections.filter(|section| matches!(section.selector, Selector::Defaults));
        layers(defaults.flat_map(|section| &section.assignments))
    }

    /// The breakers that have a section of their own.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().filter_map(|section| match &section.selector {
            Selector::Name(name) => Some(&**name),
            _ => None,
        })
    }

    /// The assignments that are for a breaker's probe, the later wins.
    pub fn probe_assignments(
        &self,
        breaker: &BreakerName,
    ) -> impl Iterator<Item = &ProbeAssignment> {
        self.sections_of(breaker.as_str()).flat_map(Section::probe_assignments)
    }

    /// The assignments for a breaker's probe, as the lowest of layers.
    pub fn probe_layers(&self, breaker: &BreakerName) -> ProbeLayers {
        probe_layers(self.probe_assignments(breaker))
    }

    /// The breakers that have a probe of their own, each once and in the order of
    /// their names. Patterns and defaults give settings to such probes only.
    pub fn probed_names(&self) -> Vec<BreakerName> {
        let mut names: Vec<BreakerName> = self
            .sections
            .iter()
            .filter(|section| section.probe.is_some())
            .filter_map(|section| match &section.selector {
                Selector::Name(name) => BreakerName::parse(&**name).ok(),
                _ => None,
            })
            .collect();
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup_by(|a, b| a.as_str() == b.as_str());
        names
    }

    fn add_text(&mut self, path: &Path, text: &str, reads: Reads) -> Result<(), Error> {
        let parsed = walk::walk(path, text, reads);
        if let Some(problem) = parsed.problems.into_iter().next() {
            return Err(problem);
        }
        self.add(parsed.sections);
        Ok(())
    }

    /// Adds the sections of a file above those so far. The sort is stable, so
    /// among equally specific sections the later file wins, then the later line.
    fn add(&mut self, sections: Vec<Section>) {
        self.sections.extend(sections);
        self.sections.sort_by_key(Section::rank);
    }

    fn sections_of(&self, breaker: &str) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(move |section| section.selector.is_for(breaker))
    }
}

fn layers<'a>(assignments: impl Iterator<Item = &'a Assignment>) -> Layers {
    let mut layers = Layers::default();
    for assignment in assignments {
        layers.put(assignment.clone());
    }
    layers
}

fn probe_layers<'a>(assignments: impl Iterator<Item = &'a ProbeAssignment>) -> ProbeLayers {
    let mut layers = ProbeLayers::default();
    for assignment in assignments {
        layers.put(assignment.clone());
    }
    layers
}

fn read_candidate(candidate: &Candidate) -> Result<Option<String>, Error> {
    match (file::read(&candidate.path)?, candidate.named_by) {
        (None, Some(by)) => Err(Error::Config {
            path: candidate.path.clone(),
            line: 0,
            message: format!("no such file; it is named by {by}"),
        }),
        (text, _) => Ok(text),
    }
}

#[cfg(test)]
mod tests;
