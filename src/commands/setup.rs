//! What most commands begin with: the config files and the store.

use std::ffi::OsStr;

use crate::cli::{Flag, Places};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::error::Error;
use crate::model::BreakerName;
use crate::paths;
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

impl<'a> Setup<'a> {
    /// Reads the config files.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn load(places: &'a Places) -> Result<Self, Error> {
        Ok(Setup { config: Config::load(places.config.as_deref())?, places })
    }

    /// The settings of a breaker, with those that its last caller gave by hand
    /// (a text out of the state) and those that this one gives.
    ///
    /// # Errors
    ///
    /// Flags that are not allowed, or that exclude each other.
    pub fn settings(
        &self,
        name: &BreakerName,
        last_flags: &str,
        flags: &[Flag],
    ) -> Result<Settings, Error> {
        let given = Given { last_flags, flags, ..Given::default() };
        settings::resolve(self.config.assignments(name), &given)
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
        let settings = self.settings(&name, last_flags, flags)?;
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
                let settings = self.settings(&name, "", &[])?;
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
