//! Which breakers the words name: all, or those given, patterns filled in.

use std::ffi::OsString;

use crate::error::Error;
use crate::model::{BreakerName, name};
use crate::settings;
use crate::store::{FileStore, Store};

/// The names that are meant, in order, each once. One that is given is meant
/// whether there is such a breaker or not.
///
/// # Errors
///
/// A word that is no name, or what cannot be read.
pub fn wanted(store: &FileStore, words: &[OsString]) -> Result<Vec<BreakerName>, Error> {
    if words.is_empty() {
        return store.names();
    }
    let mut wanted = Vec::new();
    for word in words {
        match word.to_str().filter(|word| name::is_pattern(word)) {
            Some(pattern) => {
                let names = store.names()?.into_iter();
                wanted.extend(names.filter(|one| name::matches(pattern, one.as_str())));
            }
            None => wanted.push(settings::breaker_name(word)?),
        }
    }
    wanted.sort();
    wanted.dedup();
    Ok(wanted)
}
