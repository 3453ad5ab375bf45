//! `cb queue run`: the jobs of a queue, in order, through their breaker; once,
//! or for as long as there is something to wait for.

use std::io::Write;
use std::time::Duration;

use super::pass::{Drainer, Pass, Stop};
use super::tally::Tally;
use super::workers::Workers;
use crate::cli::QueueRun;
use crate::clock::{Clock, SystemClock};
use crate::commands::call::Caller;
use crate::commands::moment::Moment;
use crate::commands::output::{Output, Voice};
use crate::commands::setup::Setup;
use crate::error::Error;
use crate::exit;
use crate::process::{self, Startup};
use crate::settings;
use crate::store::Absent;

/// How often a drain that stays looks for new jobs, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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
    let absent = if stay == Stay::Always { Absent::Create } else { Absent::Refuse };
    let store = setup.store()?;
    let Some(queue) = store.queue(&target.name, absent)? else {
        if !words.background {
            writeln!(out, "{}: nothing is queued", target.name).map_err(Error::Stdout)?;
        }
        return Ok(exit::OK);
    };
    let drainer = Drainer {
        setup,
        words,
        startup,
        moment: Moment::of(&target.store, &target.name)?,
        voice: Voice { name: target.name.as_str(), quiet: words.quiet },
        interval,
        last_flags: found.map(|found| found.breaker.flags().to_owned()).unwrap_or_default(),
        tally: Tally::default(),
        caller: Caller {
            name: &target.name,
            settings: target.settings,
            store: Some(target.store),
            flags: None,
        },
        queue: &queue,
    };
    if words.background { in_background(drainer) } else { in_foreground(drainer, stay, jobs, out) }
}

/// The most jobs at once.
const JOBS_MAX: u64 = 64;

/// Why a drain ended.
enum End {
    /// Nothing is left that could run now.
    Idle,
    Stopped(Stop),
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
    match end? {
        End::Stopped(Stop::Signal(signal)) if stay != Stay::Always => {
            out.finish()?;
            Ok(process::end_by_signal(signal))
        }
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
    while let Some(lock) = drainer.queue.drain_lock()? {
        let ended = drain(&mut drainer, Stay::UntilEmpty, &mut Workers::none());
        drop(lock);
        let more = match ended? {
            End::Idle => true,
            End::Stopped(Stop::Open(_)) => drainer.caller.is_closed(),
            End::Stopped(Stop::Busy(_) | Stop::Signal(_)) => false,
        };
        if !more || drainer.queue.ids_pending()?.is_empty() {
            break;
        }
    }
    Ok(exit::OK)
}

fn drain(drainer: &mut Drainer<'_>, stay: Stay, workers: &mut Workers) -> Result<End, Error> {
    let mut closed = workers.are_wanted() && drainer.caller.is_closed();
    loop {
        // Several join in once the breaker is known to be closed: until then
        // there is one job at a time, which may be the trial. What they leave,
        // and why, is found out by this one.
        if closed && workers.are_wanted() {
            let (startup, voice) = (drainer.startup, &drainer.voice);
            if let Some(signal) = workers.work(startup, voice, &mut drainer.tally)? {
                return Ok(End::Stopped(Stop::Signal(signal)));
            }
        }
        let enough = if workers.are_wanted() { 1 } else { u32::MAX };
        let pass = drainer.pass(enough)?;
        closed = pass.closed;
        let pause = match (stay, &pass) {
            (_, Pass { stop: Some(Stop::Signal(signal)), .. }) => {
                return Ok(End::Stopped(Stop::Signal(*signal)));
            }
            (Stay::Always, Pass { stop: Some(_), .. }) => LOOK_EVERY,
            (Stay::UntilEmpty, Pass { stop: Some(Stop::Busy(_)), .. }) => LOOK_EVERY,
            (_, Pass { stop: Some(_), .. }) => {
                return Ok(pass.stop.map_or(End::Idle, End::Stopped));
            }
            (_, Pass { ran: 1.., .. }) => continue,
            (Stay::Once, _) => return Ok(End::Idle),
            (Stay::UntilEmpty, Pass { next_due_ms: None, others: 0, .. }) => {
                return Ok(End::Idle);
            }
            (Stay::UntilEmpty | Stay::Always, Pass { next_due_ms, .. }) => {
                let now_ms = drainer.moment.now_ms();
                let left_ms = next_due_ms.map_or(u64::MAX, |due_ms| due_ms.saturating_sub(now_ms));
                LOOK_EVERY.min(Duration::from_millis(left_ms))
            }
        };
        if let Some(asked) = process::pause(spread(pause)) {
            return Ok(End::Stopped(Stop::Signal(asked.signal)));
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
    let counts = drainer.queue.counts()?;
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
