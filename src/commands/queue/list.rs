//! `cb queue list`: the jobs, as a table or as JSON.

use std::ffi::OsString;

use crate::commands::keeping::program;
use crate::commands::moment::Moment;
use crate::commands::operate;
use crate::commands::output::{Output, say};
use crate::commands::setup::Setup;
use crate::commands::wanted::wanted;
use crate::error::Error;
use crate::exit;
use crate::model::job::{Fate, GivenUp, JobPolicy, JobState};
use crate::model::{BreakerName, Ms};
use crate::render::jobs::{self, JobRow};
use crate::settings::{Given, Settings};
use crate::store::queue::{Job, Listed};
use crate::store::{Absent, FileStore, Store};

/// Which jobs are meant.
pub struct Wanted<'a> {
    /// Names and patterns of breakers; none means all.
    pub names: &'a [OsString],
    /// States; none means all but those that are done.
    pub states: &'a [String],
}

/// Lists the jobs.
///
/// # Errors
///
/// What cannot be read, or written to stdout.
pub fn run(
    setup: &Setup<'_>,
    which: &Wanted<'_>,
    as_json: bool,
    out: &mut Output,
) -> Result<i32, Error> {
    let store = setup.store()?;
    let is_meant = |state: JobState| match which.states {
        [] => state != JobState::Done,
        states => states.iter().any(|name| name == state.name()),
    };
    let mut rows = Vec::new();
    for name in wanted(&store, which.names)? {
        let Some(queue) = store.queue(&name, Absent::Refuse)? else { continue };
        let now_ms = Moment::of(&store, &name)?.now_ms();
        let is_admitted = would_admit(setup, &store, &name);
        let listed = queue.list()?.into_iter().filter(|listed| is_meant(listed.state));
        let row = |listed: Listed| row(&listed, &name, setup, now_ms);
        rows.extend(listed.map(|listed| JobRow { is_admitted, ..row(listed) }));
    }
    match (as_json, rows.is_empty()) {
        (true, _) => jobs::json(&rows, out).map_err(Error::Stdout)?,
        (false, true) => say(format_args!("no jobs")),
        (false, false) => jobs::table(&rows, out).map_err(Error::Stdout)?,
    }
    Ok(exit::OK)
}

/// Whether the breaker would admit a job now, as far as a reader sees.
fn would_admit(setup: &Setup<'_>, store: &FileStore, name: &BreakerName) -> bool {
    let Ok(Some(found)) = store.find(name) else { return true };
    let given = Given { last_flags: found.breaker.flags(), ..Given::default() };
    let settings = setup.settings(name, &given).unwrap_or_default();
    operate::view(&found, &settings.policy).admits
}

/// A job as it is listed; one that cannot be read says why.
fn row(listed: &Listed, breaker: &BreakerName, setup: &Setup<'_>, now_ms: Ms) -> JobRow {
    match &listed.job {
        Ok(job) => row_of(job, listed.state, &policy_of(setup, breaker, job), now_ms),
        Err(why) => JobRow {
            id: listed.id.to_string(),
            breaker: breaker.to_string(),
            state: listed.state,
            attempts: 0,
            enqueued_wall_ms: i64::try_from(listed.id.made_ms()).unwrap_or(i64::MAX),
            age_ms: now_ms.saturating_sub(listed.id.made_ms()),
            due_in_ms: None,
            is_admitted: false,
            key: None,
            program: "?".to_owned(),
            why: Some(why.clone()),
        },
    }
}

/// A job that can be read.
pub fn row_of(job: &Job, state: JobState, policy: &JobPolicy, now_ms: Ms) -> JobRow {
    let fate = job.history.fate(policy, now_ms);
    let due_in_ms = match fate {
        Fate::Pending { due_ms } if state == JobState::Pending => {
            Some(due_ms.saturating_sub(now_ms))
        }
        _ => None,
    };
    let attempts = job.history.attempts();
    let why = match (state, fate) {
        (JobState::Failed, Fate::Failed(GivenUp::Age)) => Some(GivenUp::Age.to_string()),
        // It may have had fewer than would be allowed now.
        (JobState::Failed, _) if attempts == 1 => Some("given up after 1 attempt".to_owned()),
        (JobState::Failed, _) => Some(format!("given up after {attempts} attempts")),
        (JobState::Doubt, _) => Some("nobody knows whether it ran".to_owned()),
        _ => None,
    };
    JobRow {
        id: job.id.to_string(),
        breaker: job.breaker.clone(),
        state,
        attempts,
        enqueued_wall_ms: job.enqueued_wall_ms,
        age_ms: now_ms.saturating_sub(job.enqueued_ms),
        due_in_ms,
        // Whoever lists jobs asks their breaker, once for all of them.
        is_admitted: false,
        key: job.key.clone(),
        program: job.argv.first().map(|word| program(word)).unwrap_or_default(),
        why,
    }
}

/// The rules of a job: its breaker's, and those that it brought.
pub fn policy_of(setup: &Setup<'_>, name: &BreakerName, job: &Job) -> JobPolicy {
    let given = Given { job_flags: &job.flags, ..Given::default() };
    policy(&setup.settings(name, &given).unwrap_or_default())
}

/// The rules that settings make for jobs.
pub fn policy(settings: &Settings) -> JobPolicy {
    JobPolicy {
        max_attempts: settings.queue.max_attempts,
        max_age: settings.queue.max_age,
        attempt_delay: settings.queue.attempt_delay,
    }
}
