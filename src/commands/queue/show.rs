//! `cb queue show`: one job, and how its attempts went.

use std::ffi::{OsStr, OsString};

use super::{list, with_job};
use crate::commands::moment::Moment;
use crate::commands::output::Output;
use crate::commands::setup::Setup;
use crate::error::Error;
use crate::exit;
use crate::model::Ms;
use crate::render::jobs::{self, AttemptRow, JobView};
use crate::store::queue::{Attempt, Job, Queue};

/// How a job is shown.
pub struct How {
    /// With its arguments and the values of its variables.
    pub reveal: bool,
    /// As JSON.
    pub json: bool,
}

/// Shows a job.
///
/// # Errors
///
/// A job that is not there or cannot be read, or what stdout does not take.
pub fn run(setup: &Setup<'_>, word: &OsStr, how: &How, out: &mut Output) -> Result<i32, Error> {
    let store = setup.store()?;
    let view = with_job(&store, word, |name, queue, id| {
        let Some((state, job)) = queue.open(id)? else { return Ok(None) };
        let now_ms = Moment::of(&store, name)?.now_ms();
        let row = list::row_of(&job, state, &list::policy_of(setup, name, &job), now_ms);
        let attempts = job.attempts.iter().map(|made| attempt(made, &job, queue, now_ms)).collect();
        // Arguments may be secrets.
        let shown = if how.reveal { job.argv.len() } else { 1 };
        let value = |value: &OsString| how.reveal.then(|| text(value));
        Ok(Some(JobView {
            row,
            idempotent: job.idempotent,
            cwd: job.cwd.to_string_lossy().into_owned(),
            umask: job.umask,
            stdin_len: job.stdin_len,
            flags: job.flags.clone(),
            command: job.argv.iter().take(shown).map(text).collect(),
            hidden: job.argv.len().saturating_sub(shown),
            env: job.env.iter().map(|(name, of)| (text(name), value(of))).collect(),
            attempts,
        }))
    })?;
    let written = if how.json { jobs::show_json(&view, out) } else { jobs::show(&view, out) };
    written.map_err(Error::Stdout)?;
    Ok(exit::OK)
}

fn text(word: &OsString) -> String {
    word.to_string_lossy().into_owned()
}

fn attempt(made: &Attempt, job: &Job, queue: &Queue<'_>, now_ms: Ms) -> AttemptRow {
    let end = made.ended.as_ref().map(|(_, end)| end);
    AttemptRow {
        attempt: made.number,
        began_ago_ms: now_ms.saturating_sub(made.began_ms),
        ended: end.map(|end| end.how.name()),
        exit_code: end.and_then(|end| end.exit_code),
        signal: end.and_then(|end| end.signal),
        duration_ms: end.map(|end| end.duration_ms),
        note: end.map(|end| end.note.clone()).filter(|note| !note.is_empty()),
        log: queue.log_path(job.id, made.number).map(|path| path.display().to_string()),
    }
}
