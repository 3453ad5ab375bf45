//! `cb status`: the breakers, as a table, as JSON, or as an exit status.

use std::ffi::OsStr;

use super::operate;
use super::output::{Output, complain, say};
use super::setup::Setup;
use crate::cli::StatusWords;
use crate::error::Error;
use crate::exit;
use crate::model::{Breaker, BreakerName, Hold, Now, State, name};
use crate::render::{Listed, json, table};
use crate::settings;
use crate::store::{FileStore, Store};

/// Lists the breakers, or says how one is.
///
/// # Errors
///
/// What cannot be read, or written to stdout.
pub fn run(words: &StatusWords, out: &mut Output) -> Result<i32, Error> {
    let setup = Setup::load(&words.places)?;
    let store = setup.store()?;
    if let Some(word) = &words.check {
        let name = settings::breaker_name(word)?;
        return Ok(check_status(&look(&setup, &store, name)?));
    }
    let mut failed = None;
    let mut listed = Vec::new();
    for name in wanted(&store, &words.names)? {
        match look(&setup, &store, name) {
            // A breaker that was never used is listed only where it is named.
            Ok(one) if one.known || is_named(&words.names, &one.name) => listed.push(one),
            Ok(_) => {}
            // One broken breaker does not hide the others.
            Err(error) => {
                complain(&error);
                failed = Some(error);
            }
        }
    }
    if words.json {
        json::status(&listed, out).map_err(Error::Stdout)?;
    } else if listed.is_empty() && failed.is_none() && words.names.is_empty() {
        say(format_args!(
            "no breakers yet in {}: 'cb exec NAME -- COMMAND' makes the first",
            store.root().display()
        ));
    } else if listed.is_empty() && failed.is_none() {
        let words: Vec<_> = words.names.iter().map(|word| word.to_string_lossy()).collect();
        say(format_args!("no breaker matches '{}'", words.join("' or '")));
    } else if !listed.is_empty() {
        table::status(&listed, out.takes_colour(), out).map_err(Error::Stdout)?;
    }
    Ok(if failed.is_some() { exit::OWN_ERROR } else { exit::OK })
}

/// The names that are meant: all, or those given, patterns filled in.
fn wanted(store: &FileStore, words: &[std::ffi::OsString]) -> Result<Vec<BreakerName>, Error> {
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

fn is_named(words: &[std::ffi::OsString], name: &str) -> bool {
    words.iter().any(|word| word.as_os_str() == OsStr::new(name))
}

fn look(setup: &Setup<'_>, store: &FileStore, name: BreakerName) -> Result<Listed, Error> {
    let found = store.find(&name)?;
    let flags = found.as_ref().map_or("", |found| found.breaker.flags());
    let settings = setup.settings(&name, flags, &[])?;
    let (view, now_ms, wall_offset_ms) = match &found {
        Some(found) => {
            let now_ms = found.scene.now.at_ms;
            (operate::view(found, &settings.policy), now_ms, found.stamp.wall_offset_ms())
        }
        None => (Breaker::new(Now::at(0)).view(&settings.policy, Now::at(0)), 0, 0),
    };
    let values = settings.values();
    Ok(Listed {
        name: name.to_string(),
        known: found.is_some(),
        view,
        now_ms,
        wall_offset_ms,
        policy: values.map(|(key, value)| (key.name(), value.json())).collect(),
    })
}

fn check_status(listed: &Listed) -> i32 {
    match listed.view.state {
        _ if !listed.known => exit::CHECK_UNKNOWN,
        State::Closed | State::Held(Hold::Disabled | Hold::MetricsOnly) => exit::OK,
        State::HalfOpen => exit::CHECK_TRIAL,
        State::Open if listed.view.trial_due => exit::CHECK_TRIAL,
        State::Open | State::Held(Hold::ForcedOpen) => exit::CHECK_OPEN,
    }
}
