//! What most commands begin with: the config files and the store.

use std::ffi::{OsStr, OsString};

use super::background::Background;
use crate::cli::{Flag, Places};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::error::Error;
use crate::model::BreakerName;
use crate::paths;
use crate::process::Startup;
use crate::settings::probe::ProbeSettings;
use crate::settings::{self, Given, Settings};
use crate::store::{FileStore, Found, Store};

/// The settings of every breaker, and where the state is.
pub struct Setup<'a> {
    config: Config,
    places: &'a Places,
}

/// One breaker that a command is about.
pub struct Target {
    /// Its name.
    pub name: BreakerName,
    /// Its settings.
    pub settings: Settings,
    /// The store.
    pub store: FileStore,
}

impl Target {
    /// Its queue, which may have to be drained.
    pub fn background<'b>(&'b self, places: &'b Places, startup: &'b Startup) -> Background<'b> {
        let Target { name, settings, store } = self;
        Background { store, name, settings, places, startup }
    }
}

impl<'a> Setup<'a> {
    /// Reads the config files.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn load(places: &'a Places) -> Result<Self, Error> {
        Ok(Setup { config: Config::load(places.config.as_deref())?, places })
    }

    /// Reads the config files, for [`Setup::probe`] and [`Setup::probed`] too.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn load_with_probes(places: &'a Places) -> Result<Self, Error> {
        Ok(Setup { config: Config::load_with_probes(places.config.as_deref())?, places })
    }

    /// Where the words say that the state and the settings are.
    pub fn places(&self) -> &'a Places {
        self.places
    }

    /// The settings of a breaker, with what was given by hand laid over them.
    ///
    /// # Errors
    ///
    /// Flags that are not allowed, or that exclude each other.
    pub fn settings(&self, name: &BreakerName, given: &Given<'_>) -> Result<Settings, Error> {
        settings::resolve(self.config.assignments(name), given)
    }

    /// The probe of a breaker, or the one that the flags give, laid over what the
    /// config says.
    ///
    /// # Errors
    ///
    /// Flags that are not allowed, or that exclude each other.
    pub fn probe(
        &self,
        name: &BreakerName,
        flags: &[Flag],
        command: &[OsString],
    ) -> Result<ProbeSettings, Error> {
        settings::probe::resolve_probe(self.config.probe_assignments(name), flags, command)
    }

    /// The breakers that have a probe of their own in the config.
    pub fn probed(&self) -> Vec<BreakerName> {
        self.config.probed_names()
    }

    /// The store.
    ///
    /// # Errors
    ///
    /// [`Error::NoStore`], or an empty `--store`.
    pub fn store(&self) -> Result<FileStore, Error> {
        store(self.places)
    }

    /// The breaker that a word names, as it stands, with the settings that its
    /// callers use: the flags of the last call included, unless this command
    /// has some of its own.
    ///
    /// # Errors
    ///
    /// A word that is no name, or what cannot be read.
    pub fn target(&self, word: &OsStr, flags: &[Flag]) -> Result<(Target, Option<Found>), Error> {
        let name = settings::breaker_name(word)?;
        let store = self.store()?;
        let found = store.find(&name)?;
        let last_flags = match &found {
            Some(found) if flags.is_empty() => found.breaker.flags(),
            _ => "",
        };
        let settings = self.settings(&name, &Given { last_flags, flags, ..Given::default() })?;
        Ok((Target { name, settings, store }, found))
    }

    /// The same for a command that will change the breaker: a state that cannot
    /// be read does not stop it, since the change puts it aside.
    ///
    /// # Errors
    ///
    /// As [`Setup::target`].
    pub fn target_to_change(&self, word: &OsStr) -> Result<Target, Error> {
        match self.target(word, &[]) {
            Ok((target, _)) => Ok(target),
            Err(Error::Corrupt { .. }) => {
                let name = settings::breaker_name(word)?;
                let settings = self.settings(&name, &Given::default())?;
                Ok(Target { name, settings, store: self.store()? })
            }
            Err(error) => Err(error),
        }
    }
}

/// The store that the words and the environment name.
///
/// # Errors
///
/// [`Error::NoStore`], or an empty `--store`.
pub fn store(places: &Places) -> Result<FileStore, Error> {
    let root = paths::store_dir(places.store.as_deref())?;
    Ok(FileStore::new(root, Box::new(SystemClock::default())))
}
