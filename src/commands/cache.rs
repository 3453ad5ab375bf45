//! `cb cache`: the outputs that are kept.

use std::ffi::OsStr;
use std::io::Write;

use super::output::{Output, Stdout, say};
use super::setup::Setup;
use super::wanted::wanted;
use crate::cli::{CacheWhat, CacheWords};
use crate::error::Error;
use crate::exit;
use crate::model::backoff::millis;
use crate::process::Startup;
use crate::render::cache::{self, OutputRow};
use crate::settings;

/// `cb cache`
///
/// # Errors
///
/// What the words, the store or stdout have against it.
pub fn run(words: &CacheWords, startup: &Startup, out: &mut Output) -> Result<i32, Error> {
    let setup = Setup::load(&words.places)?;
    let store = setup.store()?;
    match &words.what {
        CacheWhat::List { names, json } => {
            let mut rows = Vec::new();
            for name in wanted(&store, names)? {
                rows.extend(store.cache_list(&name)?.into_iter().map(|entry| OutputRow {
                    breaker: name.to_string(),
                    key: entry.key,
                    program: entry.program,
                    age_ms: millis(entry.age),
                    bytes: entry.len,
                    exit_code: entry.exit_code,
                }));
            }
            match (json, rows.is_empty()) {
                (true, _) => cache::json(&rows, out).map_err(Error::Stdout)?,
                (false, true) => say(format_args!("no output is kept")),
                (false, false) => cache::table(&rows, out).map_err(Error::Stdout)?,
            }
        }
        CacheWhat::Show { name, key } => {
            let name = settings::breaker_name(name)?;
            let mut cached = store.cache_open(&name, &key_text(key))?;
            cached.copy_to(&mut Stdout::new(startup)).map_err(Error::Stdout)?;
        }
        CacheWhat::Drop { name, keys } => {
            let name = settings::breaker_name(name)?;
            let mut dropped = 0;
            if keys.is_empty() {
                dropped = store.cache_drop(&name, None)?;
            }
            for key in keys {
                dropped += store.cache_drop(&name, Some(&key_text(key)))?;
            }
            let outputs = if dropped == 1 { "output" } else { "outputs" };
            writeln!(out, "{name}: {dropped} {outputs} removed").map_err(Error::Stdout)?;
        }
    }
    Ok(exit::OK)
}

fn key_text(word: &OsStr) -> String {
    word.to_string_lossy().into_owned()
}
