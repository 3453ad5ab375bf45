//! `cb queue run`: the jobs of a queue, in order, through their breaker; once,
//! or for as long as there is something to wait for.

use std::io::Write;
use std::time::Duration;

use super::pass::{Drainer, Pass, Stop};
use super::workers::Workers;
use crate::cli::QueueRun;
use crate::clock::{self, Clock, SystemClock};
use crate::commands::background::Background;
use crate::commands::call::Caller;
use crate::commands::output::Output;
use crate::commands::setup::Setup;
use crate::error::Error;
use crate::exit;
use crate::process::{self, Startup};
use crate::settings;
use crate::store::Absent;

/// How often a drain that stays looks for new jobs, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// So often in a row a drain in the background meets with trouble, and gives up.
const TROUBLES_MAX: u32 = 60;

/// How long a drain stays.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stay {
    /// Until nothing is left that could run now.
    Once,
    /// Until nothing is left at all, or the breaker opens.
    UntilEmpty,
    /// Until somebody ends it.
    Always,
}

/// Drains the queue.
///
/// # Errors
///
/// What the words, the store or stdout have against it.
pub fn run(
    words: &QueueRun,
    setup: &Setup<'_>,
    startup: &Startup,
    out: &mut Output,
) -> Result<i32, Error> {
    let interval = words.rate.as_deref().map(|word| settings::rate("--rate", word)).transpose()?;
    let jobs = match &words.jobs {
        Some(word) => settings::number("--jobs", word, 1..=JOBS_MAX)?,
        None => 1,
    };
    let (target, found) = setup.target(&words.name, &words.flags)?;
    let stay = match words {
        QueueRun { watch: true, .. } => Stay::Always,
        QueueRun { background: true, .. } => Stay::UntilEmpty,
        _ => Stay::Once,
    };
    let store = setup.store()?;
    let caller = Caller {
        name: &target.name,
        settings: target.settings,
        store: Some(target.store),
        flags: None,
    };
    let mut drainer = Drainer::new(setup, words, startup, &store, caller)?;
    drainer.interval = interval;
    drainer.last_flags = found.map(|found| found.breaker.flags().to_owned()).unwrap_or_default();
    if words.background { in_background(drainer) } else { in_foreground(drainer, stay, jobs, out) }
}

/// The most jobs at once.
const JOBS_MAX: u64 = 64;

/// Why a drain ended.
enum End {
    /// Nothing is left that could run now.
    Idle,
    Stopped(Stop),
    /// What is left cannot be had, which was said.
    Troubled,
}

fn in_foreground(
    mut drainer: Drainer<'_>,
    stay: Stay,
    jobs: u64,
    out: &mut Output,
) -> Result<i32, Error> {
    let mut workers = Workers::new(&drainer, jobs);
    let end = drain(&mut drainer, stay, &mut workers);
    if drainer.words.worker {
        let line = serde_json::to_string(&drainer.tally).expect("counts have a JSON form");
        writeln!(out, "{line}").map_err(Error::Stdout)?;
    } else if !drainer.words.quiet {
        let line = summary(&drainer, end.as_ref().ok())?;
        writeln!(out, "{}: {line}", drainer.caller.name).map_err(Error::Stdout)?;
    }
    let end = end?;
    if drainer.closed_it
        && !drainer.words.worker
        && let Some(queue) =
            Background::of(&drainer.caller, drainer.setup.places(), drainer.startup)
        && let Some(notice) = queue.if_flowing()
    {
        // What failed just now is tried again as after any closing.
        drainer.voice.say(notice);
    }
    match end {
        End::Stopped(Stop::Signal(signal)) if stay != Stay::Always => {
            out.finish()?;
            Ok(process::end_by_signal(signal))
        }
        End::Troubled => Ok(exit::OWN_ERROR),
        _ => Ok(exit::OK),
    }
}

/// The drain that a closing breaker starts: one at a time, and it stays until
/// the queue is empty, since nobody comes back for what waits.
///
/// Whoever queues a job, or closes the breaker, finds the lock held and starts no
/// other drain. So once it is let go there is one more look: what came before
/// that was seen, and for what comes after it somebody else gets the lock.
fn in_background(mut drainer: Drainer<'_>) -> Result<i32, Error> {
    loop {
        let Some(queue) = drainer.store.queue(drainer.caller.name, Absent::Refuse)? else { break };
        let Some(lock) = queue.drain_lock()? else { break };
        let ended = drain(&mut drainer, Stay::UntilEmpty, &mut Workers::none());
        drop(lock);
        let more = match ended? {
            End::Idle => {
                let seen = &drainer.waiting;
                queue.ids_pending()?.iter().any(|id| !seen.contains_key(id))
            }
            End::Stopped(Stop::Open(_)) => drainer.caller.flows(),
            End::Stopped(Stop::Busy(_) | Stop::Signal(_)) | End::Troubled => false,
        };
        if !more {
            break;
        }
    }
    Ok(exit::OK)
}

fn drain(drainer: &mut Drainer<'_>, stay: Stay, workers: &mut Workers) -> Result<End, Error> {
    let mut flows = workers.are_wanted() && drainer.caller.flows();
    let mut troubles = 0_u32;
    loop {
        // Several join in once calls are known to flow: until then there is one
        // job at a time, which may be the trial. What they leave, and why, is
        // found out by this one.
        if flows && workers.are_wanted() {
            let (startup, voice) = (drainer.startup, &drainer.voice);
            process::listen(startup);
            if let Some(signal) = workers.work(startup, voice, &mut drainer.tally)? {
                return Ok(End::Stopped(Stop::Signal(signal)));
            }
        }
        let enough = if workers.are_wanted() { 1 } else { u32::MAX };
        let pass = drainer.pass(enough);
        let in_vain = |pass: &Pass| pass.troubled && pass.ran == 0 && pass.stop.is_none();
        // A store that is locked, or a disk that is full, is so for a while.
        troubles = if pass.as_ref().is_ok_and(|pass| !in_vain(pass)) { 0 } else { troubles + 1 };
        let gives_up = match stay {
            Stay::Once => true,
            Stay::UntilEmpty => troubles > TROUBLES_MAX,
            Stay::Always => false,
        };
        let pause = match pass {
            Err(error) if gives_up => return Err(error),
            Err(error) => {
                drainer.voice.say(&error);
                LOOK_EVERY
            }
            Ok(pass) if in_vain(&pass) && gives_up => return Ok(End::Troubled),
            Ok(pass) if in_vain(&pass) => LOOK_EVERY,
            Ok(pass) => {
                flows = pass.closed;
                match next(drainer, stay, pass) {
                    Next::Again => continue,
                    Next::Pause(pause) => pause,
                    Next::End(end) => return Ok(end),
                }
            }
        };
        if let Some(asked) = process::pause(spread(pause), clock::monotonic) {
            return Ok(End::Stopped(Stop::Signal(asked.signal)));
        }
    }
}

/// What a drain does after a go.
enum Next {
    Again,
    Pause(Duration),
    End(End),
}

fn next(drainer: &Drainer<'_>, stay: Stay, pass: Pass) -> Next {
    match (stay, pass.stop) {
        (_, Some(Stop::Signal(signal))) => Next::End(End::Stopped(Stop::Signal(signal))),
        (Stay::Always, Some(_)) | (Stay::UntilEmpty, Some(Stop::Busy(_))) => {
            Next::Pause(LOOK_EVERY)
        }
        (_, Some(stop)) => Next::End(End::Stopped(stop)),
        (_, None) if pass.ran > 0 => Next::Again,
        (Stay::Once, None) => Next::End(End::Idle),
        (Stay::UntilEmpty, None) if pass.next_due_ms.is_none() && pass.others == 0 => {
            Next::End(End::Idle)
        }
        (Stay::UntilEmpty | Stay::Always, None) => {
            let now_ms = drainer.moment.now_ms();
            let due_ms = pass.next_due_ms.unwrap_or(u64::MAX);
            Next::Pause(LOOK_EVERY.min(Duration::from_millis(due_ms.saturating_sub(now_ms))))
        }
    }
}

/// Between three quarters of a pause and all of it: drains on many machines, or
/// of many queues, do not wake at once.
fn spread(pause: Duration) -> Duration {
    let share = SystemClock::default().draw() as f64 / u64::MAX as f64;
    pause.mul_f64(0.75 + share / 4.0)
}

/// What was done, and what is left and why.
fn summary(drainer: &Drainer<'_>, end: Option<&End>) -> Result<String, Error> {
    let mut parts: Vec<String> = drainer.tally.words().into_iter().collect();
    let counts = drainer.store.queue_counts(drainer.caller.name)?.unwrap_or_default();
    if counts.running > 0 {
        parts.push(format!("{} still running", counts.running));
    }
    if counts.pending > 0 {
        parts.push(match end {
            Some(End::Stopped(Stop::Open(why) | Stop::Busy(why))) => {
                format!("{} left: {why}", counts.pending)
            }
            Some(End::Stopped(Stop::Signal(signal))) => {
                format!("{} left: ended by signal {signal}", counts.pending)
            }
            _ => format!("{} left for later", counts.pending),
        });
    }
    if parts.is_empty() {
        parts.push("nothing is queued".to_owned());
    }
    Ok(parts.join("; "))
}
