//! `cb status`: the breakers, as a table, as JSON, or as an exit status.

use std::ffi::OsStr;

use super::operate;
use super::output::{Output, complain, say};
use super::setup::Setup;
use super::wanted::wanted;
use crate::cli::StatusWords;
use crate::error::Error;
use crate::exit;
use crate::model::{Breaker, BreakerName, Hold, Now, State};
use crate::render::{Listed, QueueCounts, json, table};
use crate::settings::{self, Given};
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
            Ok(one) if is_used(&one) || is_named(&words.names, &one.name) => listed.push(one),
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

/// Whether calls were made through it, or are kept for it.
fn is_used(one: &Listed) -> bool {
    one.known || one.queue.is_some_and(|queue| queue != QueueCounts::default())
}

fn is_named(words: &[std::ffi::OsString], name: &str) -> bool {
    words.iter().any(|word| word.as_os_str() == OsStr::new(name))
}

fn look(setup: &Setup<'_>, store: &FileStore, name: BreakerName) -> Result<Listed, Error> {
    let found = store.find(&name)?;
    let last_flags = found.as_ref().map_or("", |found| found.breaker.flags());
    let settings = setup.settings(&name, &Given { last_flags, ..Given::default() })?;
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
        queue: queue_counts(store, &name),
        policy: values.map(|(key, value)| (key.name(), value.json())).collect(),
    })
}

/// The jobs of its queue. That they cannot be read does not hide its state.
fn queue_counts(store: &FileStore, name: &BreakerName) -> Option<QueueCounts> {
    match store.queue_counts(name) {
        Ok(counts) => counts.map(|counts| QueueCounts {
            pending: counts.pending,
            running: counts.running,
            failed: counts.failed,
            doubt: counts.doubt,
        }),
        Err(error) => {
            complain(&error);
            None
        }
    }
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
