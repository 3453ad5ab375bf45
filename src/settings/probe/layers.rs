//! Layers of a probe's assignments: key by key the later wins. A probe looks at
//! one thing, so a kind takes the place of another; what was set for that one
//! and says nothing to this one is left out.

use std::ffi::{OsStr, OsString};

use super::keys::{PROBE_KEY_COUNT, ProbeKey};
use super::value::ProbeValue;
use super::{ProbeAssignment, parse};
use crate::cli::Flag;
use crate::error::Error;
use crate::settings::value::Raw;
use crate::settings::{Place, parse as values};

/// What all layers so far say about each key.
#[derive(Clone, Debug)]
pub struct ProbeLayers {
    slots: [Option<(ProbeValue, Place)>; PROBE_KEY_COUNT],
}

impl Default for ProbeLayers {
    fn default() -> Self {
        ProbeLayers { slots: [const { None }; PROBE_KEY_COUNT] }
    }
}

impl ProbeLayers {
    /// Adds an assignment of a layer above all so far.
    pub fn put(&mut self, assignment: ProbeAssignment) {
        let ProbeAssignment { key, value, place } = assignment;
        for other in ProbeKey::ALL.into_iter().filter(|other| exclude_each_other(key, *other)) {
            self.slots[other as usize] = None;
        }
        self.slots[key as usize] = Some((value, place));
    }

    /// What is looked at, if anything says so.
    pub fn kind(&self) -> Option<ProbeKey> {
        ProbeKey::kinds().find(|kind| self.value(*kind).is_some())
    }

    /// The value of a key that was set.
    pub fn value(&self, key: ProbeKey) -> Option<&ProbeValue> {
        self.slots[key as usize].as_ref().map(|(value, _)| value)
    }

    /// Where a key was set; nowhere means that it is the default.
    pub fn place(&self, key: ProbeKey) -> Option<&Place> {
        self.slots[key as usize].as_ref().map(|(_, place)| place)
    }

    /// The keys that say something to the kind that there is, with the values that
    /// they come to: none of them where there is no kind.
    pub fn values(&self) -> impl Iterator<Item = (ProbeKey, Option<ProbeValue>)> {
        let kind = self.kind();
        let fits = move |key: &ProbeKey| kind.is_some_and(|kind| key.fits(kind));
        ProbeKey::ALL.into_iter().filter(fits).map(|key| (key, self.value_or_default(key)))
    }

    fn value_or_default(&self, key: ProbeKey) -> Option<ProbeValue> {
        if let Some(value) = self.value(key) {
            return Some(value.clone());
        }
        let body = self.value(ProbeKey::Body).or(self.value(ProbeKey::BodyFile));
        let default = match (key, key.default_text()) {
            (ProbeKey::Method, _) if body.is_some() => "POST",
            (ProbeKey::FastInterval | ProbeKey::DownInterval, _) => {
                return self.value_or_default(ProbeKey::Interval);
            }
            (_, "none") => return None,
            (_, default) => default,
        };
        let value = parse::value(key, &Raw::Word(OsStr::new(default)));
        Some(value.expect("a default is allowed"))
    }

    /// Adds the layer of the command line.
    ///
    /// # Errors
    ///
    /// If a value is not allowed, or words exclude each other.
    pub fn put_words(&mut self, flags: &[Flag], command: &[OsString]) -> Result<(), Error> {
        let mut said = Vec::new();
        for key in ProbeKey::ALL {
            let mut words = flags.iter().filter(|(name, _)| *name == key.name());
            let raw = match words.clone().count() {
                0 => continue,
                1 => Raw::Word(&words.next().expect("there is one").1),
                _ if key.is_list() => Raw::Array(words.map(|(_, word)| Raw::Word(word)).collect()),
                _ => Raw::Word(&words.next_back().expect("there are several").1),
            };
            let value = parse::value(key, &raw).map_err(|why| refused(key, &raw, &why))?;
            said.push(ProbeAssignment { key, value, place: Place::Flag });
        }
        if !command.is_empty() {
            let value = ProbeValue::Command(words_of(command)?);
            said.push(ProbeAssignment { key: ProbeKey::Command, value, place: Place::Flag });
        }
        if let Some((_, message)) = conflicts(&said).into_iter().next() {
            return Err(Error::Usage(message));
        }
        for assignment in said.iter().cloned() {
            self.put(assignment);
        }
        let Some(kind) = self.kind() else { return Ok(()) };
        match said.iter().find(|one| !one.key.fits(kind)) {
            Some(one) => Err(Error::Usage(misfit(one.key, &one.place, kind, self.place(kind)))),
            None => Ok(()),
        }
    }

    /// A setting that says nothing beside another: an error of the config file if
    /// both come from there, else of the command line.
    pub(super) fn nothing_with(&self, key: ProbeKey, with: &str) -> Error {
        let place = self.place(key);
        let name = match place {
            Some(place) => described(key, place),
            None => key.name().to_owned(),
        };
        let message = format!("{name} says nothing with {with}");
        match place {
            Some(Place::File { path, line, .. }) => {
                Error::Config { path: path.to_path_buf(), line: *line, message }
            }
            _ => Error::Usage(message),
        }
    }
}

fn words_of(command: &[OsString]) -> Result<Vec<OsString>, Error> {
    match command.first() {
        Some(program) if program.is_empty() => {
            Err(Error::Usage("-- '': the command is empty; allowed: -- COMMAND [ARG]...".into()))
        }
        _ => Ok(command.to_vec()),
    }
}

fn refused(key: ProbeKey, raw: &Raw<'_>, why: &values::Why) -> Error {
    let (flag, shown, allowed) = (key.flag(), parse::shown(key, raw), key.allowed());
    Error::Usage(format!("{flag} {shown}: {why}; allowed: {allowed}"))
}

/// What is wrong with the assignments of one section, or of one command line,
/// beside each other: at which of them, and why.
pub fn conflicts(section: &[ProbeAssignment]) -> Vec<(&ProbeAssignment, String)> {
    let mut found = Vec::new();
    for (at, one) in section.iter().enumerate() {
        let other = section[..at].iter().find(|other| exclude_each_other(other.key, one.key));
        if let Some(other) = other {
            let (a, b) = (described(other.key, &other.place), described(one.key, &one.place));
            let allowed = match one.key.is_kind() {
                true => "one kind of probe",
                false => "one body",
            };
            found.push((one, format!("{a} and {b} exclude each other; allowed: {allowed}")));
        }
    }
    let mut kinds = section.iter().filter(|one| one.key.is_kind());
    if let (Some(kind), None) = (kinds.next(), kinds.next()) {
        for one in section.iter().filter(|one| !one.key.fits(kind.key)) {
            found.push((one, misfit(one.key, &one.place, kind.key, Some(&kind.place))));
        }
    }
    found
}

fn exclude_each_other(a: ProbeKey, b: ProbeKey) -> bool {
    let bodies = [ProbeKey::Body, ProbeKey::BodyFile];
    a != b && (a.is_kind() && b.is_kind() || bodies.contains(&a) && bodies.contains(&b))
}

fn misfit(key: ProbeKey, place: &Place, kind: ProbeKey, kind_place: Option<&Place>) -> String {
    let kind_text = kind_place.map_or_else(|| kind.name().to_owned(), |at| described(kind, at));
    let fitting = ProbeKey::ALL.into_iter().filter(|key| key.fits(kind) && !key.is_kind());
    let names: Vec<_> = match place {
        Place::Flag => fitting.map(ProbeKey::flag).collect(),
        _ => fitting.map(|key| key.name().to_owned()).collect(),
    };
    let allowed = names.join(", ");
    format!("{} says nothing with {kind_text}; allowed: {allowed}", described(key, place))
}

/// `--tcp`, or `tcp (line 3 of [breaker.db.probe])`
fn described(key: ProbeKey, place: &Place) -> String {
    match place {
        Place::File { line, section, .. } => format!("{} (line {line} of {section})", key.name()),
        _ => key.flag(),
    }
}
