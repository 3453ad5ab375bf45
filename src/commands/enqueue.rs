//! A call put into the queue of its breaker: by `cb queue add`, or in place of
//! one that was rejected or that failed.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::Mode;

use super::moment::Moment;
use crate::cli::Flag;
use crate::error::Error;
use crate::model::BreakerName;
use crate::model::backoff::millis;
use crate::model::job::JobState;
use crate::settings::{self, Settings};
use crate::store::queue::{Added, NewJob, QueueNow};
use crate::store::{Absent, FileStore};

/// What a job is, whose key was given again, in words; none where it is new or
/// still waits for its first end.
pub fn is_already(added: &Added) -> Option<String> {
    let id = added.id;
    let stands = match added.state {
        JobState::Pending | JobState::Running => return None,
        JobState::Done => "is done",
        JobState::Failed => "has failed for good ('cb queue retry' runs it again)",
        JobState::Doubt => "is in doubt ('cb queue retry' runs it again)",
    };
    Some(format!("its key has job {id} already, which {stands}"))
}

/// What every job keeps of the environment.
const ENV_ALWAYS: [&str; 2] = ["PATH", "HOME"];

/// What shall be queued.
pub struct Order<'a> {
    /// The command and its arguments.
    pub command: &'a [OsString],
    /// The flags of the call.
    pub flags: &'a [Flag],
    /// What makes it the same job as another.
    pub key: Option<&'a OsStr>,
    /// Whether it may be run again without a person where nobody knows if it ran.
    pub idempotent: bool,
    /// All of its standard input.
    pub stdin: Vec<u8>,
    /// How long it waits before its first attempt.
    pub delay: Duration,
}

/// Puts a call into the queue. It is there, whatever happens next, once this
/// has returned its id.
///
/// # Errors
///
/// What kept it from being queued: then it is not.
pub fn enqueue(
    store: &FileStore,
    name: &BreakerName,
    settings: &Settings,
    order: Order<'_>,
) -> Result<Added, Error> {
    let job = NewJob {
        argv: order.command.to_vec(),
        cwd: working_directory()?,
        umask: umask(),
        env: environment(&settings.queue.env),
        stdin: order.stdin,
        key: order.key.map(|key| settings::job_key("--key", key)).transpose()?,
        idempotent: order.idempotent,
        flags: settings::job_flags_text(order.flags),
        delay_ms: millis(order.delay),
    };
    let moment = Moment::of(store, name)?;
    let stamp = moment.now();
    let now =
        QueueNow { clock_ms: stamp.clock_ms, wall_ms: stamp.machine.wall_ms, draw: moment.draw() };
    let queue = store.queue(name, Absent::Create)?;
    let queue = queue.ok_or_else(|| Error::Unknown { name: name.to_string() })?;
    queue.add(&job, now, settings.queue.max_jobs)
}

fn working_directory() -> Result<PathBuf, Error> {
    std::env::current_dir().map_err(Error::io("find", "the working directory"))
}

/// The umask, which can only be read by setting it.
fn umask() -> u32 {
    let mask = rustix::process::umask(Mode::empty());
    rustix::process::umask(mask);
    mask.bits()
}

fn environment(named: &[String]) -> Vec<(OsString, OsString)> {
    let names = ENV_ALWAYS.into_iter().chain(named.iter().map(String::as_str));
    let mut env: Vec<(OsString, OsString)> = Vec::new();
    for name in names {
        if let Some(value) = std::env::var_os(name)
            && env.iter().all(|(known, _)| known != name)
        {
            env.push((name.into(), value));
        }
    }
    env
}
