//! `cb queue`: the calls that are kept for later.

mod add;
mod drain;
mod list;
mod manage;
mod pass;
mod show;
mod tally;
mod work;
mod workers;

use std::ffi::OsStr;

use super::output::Output;
use super::setup::Setup;
use crate::cli::{QueueWhat, QueueWords};
use crate::error::Error;
use crate::model::BreakerName;
use crate::model::text::excerpt;
use crate::process::Startup;
use crate::store::queue::{JobId, Queue};
use crate::store::{Absent, FileStore, Store};

/// `cb queue`
///
/// # Errors
///
/// What the words, the store or stdout have against it.
pub fn run(words: &QueueWords, startup: &Startup, out: &mut Output) -> Result<i32, Error> {
    let setup = Setup::load(&words.places)?;
    match &words.what {
        QueueWhat::Add(add) => add::run(add, &setup, startup, out),
        QueueWhat::List { names, states, json } => {
            list::run(&setup, &list::Wanted { names, states }, *json, out)
        }
        QueueWhat::Show { id, reveal, json } => {
            show::run(&setup, id, &show::How { reveal: *reveal, json: *json }, out)
        }
        QueueWhat::Run(run) => drain::run(run, &setup, startup, out),
        QueueWhat::Retry { ids } => manage::retry(&setup, ids, startup, out),
        QueueWhat::Drop { ids } => manage::drop(&setup, ids, out),
        QueueWhat::Purge { name, states } => manage::purge(&setup, name, states, out),
    }
}

/// Does something with the job of this id, whichever breaker's queue it is in.
fn with_job<T>(
    store: &FileStore,
    word: &OsStr,
    mut act: impl FnMut(&BreakerName, &Queue<'_>, JobId) -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    let id = word.to_str().and_then(JobId::parse).ok_or_else(|| {
        let word = excerpt(&word.to_string_lossy(), 60);
        Error::Usage(format!(
            "'{word}' is no job: an id has 26 letters and digits; 'cb queue list' shows them"
        ))
    })?;
    // A queue that cannot be looked into may be the one: it is told of where no
    // other has the job.
    let mut unseen = None;
    for name in store.names()? {
        let queue = match store.queue(&name, Absent::Refuse) {
            Ok(Some(queue)) => queue,
            Ok(None) => continue,
            Err(error) => {
                unseen.get_or_insert(error);
                continue;
            }
        };
        match queue.state_of(id) {
            Ok(Some(_)) if let Some(done) = act(&name, &queue, id)? => return Ok(done),
            Ok(_) => {}
            Err(error) => {
                unseen.get_or_insert(error);
            }
        }
    }
    Err(unseen.unwrap_or_else(|| {
        Error::Usage(format!("no job {id} in this store; 'cb queue list' shows those that are"))
    }))
}
