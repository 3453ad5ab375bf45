//! What people do with single jobs: send them back, drop them, clear away.

use std::ffi::{OsStr, OsString};
use std::io::Write;

use super::with_job;
use crate::commands::background::Background;
use crate::commands::moment::Moment;
use crate::commands::output::{Output, say};
use crate::commands::setup::Setup;
use crate::error::Error;
use crate::exit;
use crate::model::BreakerName;
use crate::model::job::JobState;
use crate::process::Startup;
use crate::settings::{self, Given};
use crate::store::{Absent, FileStore};

/// `cb queue retry`
///
/// # Errors
///
/// The first job that is not there, or cannot be sent back.
pub fn retry(
    setup: &Setup<'_>,
    ids: &[OsString],
    startup: &Startup,
    out: &mut Output,
) -> Result<i32, Error> {
    let store = setup.store()?;
    let mut names: Vec<BreakerName> = Vec::new();
    let sent_back = send_back(&store, ids, &mut names, out);
    // What was done is told, whatever comes after it.
    let told = out.finish();
    // Those before one that fails are sent back, and wait for a drain like any.
    for name in &names {
        let settings = setup.settings(name, &Given::default())?;
        let (store, settings) = (&store, &settings);
        let queue = Background { store, name, settings, places: setup.places(), startup };
        if let Some(notice) = queue.if_flowing() {
            say(format_args!("{name}: {notice}"));
        }
    }
    sent_back.and(told).map(|()| exit::OK)
}

/// Sends the jobs back in order, and notes whose they are.
fn send_back(
    store: &FileStore,
    ids: &[OsString],
    names: &mut Vec<BreakerName>,
    out: &mut Output,
) -> Result<(), Error> {
    for word in ids {
        let (id, name) = with_job(store, word, |name, queue, id| {
            let sent_back = queue.retry(id, Moment::of(store, name)?.now_ms())?;
            Ok(sent_back.map(|_| (id, name.clone())))
        })?;
        if !names.contains(&name) {
            names.push(name);
        }
        writeln!(out, "{id}: waits for its next attempt").map_err(Error::Stdout)?;
    }
    Ok(())
}

/// `cb queue drop`
///
/// # Errors
///
/// The first job that is not there, or cannot be dropped.
pub fn drop(setup: &Setup<'_>, ids: &[OsString], out: &mut Output) -> Result<i32, Error> {
    let store = setup.store()?;
    let mut drop_one = |word: &OsString| {
        let id = with_job(&store, word, |_, queue, id| Ok(queue.drop(id)?.map(|_| id)))?;
        writeln!(out, "{id}: dropped").map_err(Error::Stdout)
    };
    let dropped = ids.iter().try_for_each(&mut drop_one);
    dropped.and(out.finish()).map(|()| exit::OK)
}

/// `cb queue purge`
///
/// # Errors
///
/// What cannot be removed.
pub fn purge(
    setup: &Setup<'_>,
    name: &OsStr,
    states: &[String],
    out: &mut Output,
) -> Result<i32, Error> {
    let name = settings::breaker_name(name)?;
    let states = match states {
        [] => vec![JobState::Done],
        states => states.iter().filter_map(|state| JobState::parse(state)).collect(),
    };
    let store = setup.store()?;
    let purged = match store.queue(&name, Absent::Refuse)? {
        Some(queue) => queue.purge(&states)?,
        None => 0,
    };
    let jobs = if purged == 1 { "job" } else { "jobs" };
    writeln!(out, "{name}: {purged} {jobs} removed").map_err(Error::Stdout)?;
    Ok(exit::OK)
}
