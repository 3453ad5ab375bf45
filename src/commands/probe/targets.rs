//! What is to be probed: the target that the words describe, or those of the config.

use std::ffi::OsString;
use std::sync::Arc;

use crate::cli::{Flag, ProbeWords};
use crate::commands::setup::Setup;
use crate::error::Error;
use crate::model::{BreakerName, name, text};
use crate::probe::Spec;
use crate::settings::probe::{Asked, ProbeSettings, WatchSettings, asked, missing};
use crate::settings::{self, Given, Settings};
use crate::store::{FileStore, Store};

/// Something to probe.
pub struct Target {
    /// Its breaker; none where only the target is described.
    pub name: Option<BreakerName>,
    /// The settings of the breaker, or the defaults.
    pub settings: Settings,
    /// What is looked at.
    pub spec: Arc<Spec>,
    /// When it is looked at again.
    pub watch: WatchSettings,
    /// Whether the breaker hears of it.
    pub feeds: bool,
}

/// What the words ask for: never empty.
///
/// # Errors
///
/// Words that ask for nothing, or for what cannot be probed.
pub fn wanted(words: &ProbeWords, store: Option<&FileStore>) -> Result<Vec<Target>, Error> {
    let asked = asked(words)?;
    if asked == Asked::Described(None) {
        return Ok(vec![nameless(words)?]);
    }
    let setup = &Setup::load_with_probes(&words.places)?;
    let names = match asked {
        Asked::Described(name) => name.into_iter().collect(),
        Asked::Named(words) => configured(chosen(words, setup)?, setup)?,
        Asked::All([]) => setup.probed(),
        Asked::All(words) => {
            let probed = setup.probed();
            let mut chosen = chosen(words, setup)?;
            chosen.retain(|name| probed.contains(name));
            chosen
        }
    };
    if names.is_empty() {
        return Err(nobody(&words.names));
    }
    let target = |name| {
        let mut target = Target::of(name, setup, store, (&words.flags, words))?;
        target.feeds &= !words.no_feed;
        Ok(target)
    };
    names.into_iter().map(target).collect()
}

impl Target {
    /// The configured probe of a breaker.
    ///
    /// # Errors
    ///
    /// That it has none.
    pub fn configured(
        name: BreakerName,
        setup: &Setup<'_>,
        store: Option<&FileStore>,
    ) -> Result<Self, Error> {
        let names = configured(vec![name], setup)?;
        let target = |name| Target::of(name, setup, store, (&[], &ProbeWords::default()));
        names.into_iter().map(target).next().expect("the one that was given")
    }

    fn of(
        name: BreakerName,
        setup: &Setup<'_>,
        store: Option<&FileStore>,
        (flags, words): (&[Flag], &ProbeWords),
    ) -> Result<Self, Error> {
        let ProbeSettings { spec, feed, watch } =
            setup.probe(&name, &words.probe_flags, &words.command)?;
        let spec = Arc::new(spec.ok_or_else(|| missing(&name))?);
        // The policy that its callers use. A state that cannot be read tells none.
        let found = store.and_then(|store| store.find(&name).ok().flatten());
        let last_flags = found.as_ref().map_or("", |found| found.breaker.flags());
        let given = Given { last_flags, flags, ..Given::default() };
        let settings = setup.settings(&name, &given)?;
        Ok(Target { name: Some(name), settings, spec, watch, feeds: feed })
    }
}

/// These, of which each has a probe of its own: what is for all of them gives
/// settings to a probe, but makes none, or a name that is misspelt would have one.
fn configured(names: Vec<BreakerName>, setup: &Setup<'_>) -> Result<Vec<BreakerName>, Error> {
    let probed = setup.probed();
    match names.iter().find(|name| !probed.contains(name)) {
        Some(name) => Err(missing(name)),
        None => Ok(names),
    }
}

/// The names that words and patterns stand for, in order, each once.
fn chosen(words: &[OsString], setup: &Setup<'_>) -> Result<Vec<BreakerName>, Error> {
    let mut chosen = Vec::new();
    for word in words {
        match word.to_str().filter(|word| name::is_pattern(word)) {
            Some(pattern) => {
                let probed = setup.probed().into_iter();
                chosen.extend(probed.filter(|one| name::matches(pattern, one.as_str())));
            }
            None => chosen.push(settings::breaker_name(word)?),
        }
    }
    chosen.sort();
    chosen.dedup();
    Ok(chosen)
}

/// A target without a breaker: nobody hears of it, and no config is for it.
fn nameless(words: &ProbeWords) -> Result<Target, Error> {
    let given = Given { flags: &words.flags, ..Given::default() };
    let settings = settings::resolve([], &given)?;
    let probe = settings::probe::resolve_probe([], &words.probe_flags, &words.command)?;
    let spec = Arc::new(probe.spec.expect("what to look at is described"));
    Ok(Target { name: None, settings, spec, watch: probe.watch, feeds: false })
}

fn nobody(words: &[OsString]) -> Error {
    let patterns: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let which = match patterns.is_empty() {
        true => String::new(),
        false => format!(" like '{}'", text::excerpt(&patterns.join("' or '"), 80)),
    };
    Error::Usage(format!(
        "no breaker{which} has a probe; give it one in the config file: [breaker.NAME.probe]"
    ))
}
