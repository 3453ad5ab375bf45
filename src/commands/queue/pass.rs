//! One go through the jobs that wait.
//!
//! A job is claimed, asked for at the breaker, begun on disk, run, ended on
//! disk, told to the breaker: in this order, so that whatever a crash leaves
//! behind tells how far the job had come.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::list::policy;
use super::tally::Tally;
use crate::cli::QueueRun;
use crate::clock;
use crate::commands::call::{Admission, Caller};
use crate::commands::moment::Moment;
use crate::commands::output::Voice;
use crate::commands::setup::Setup;
use crate::error::Error;
use crate::model::job::{Fate, JobPolicy};
use crate::model::{Ms, Rejection, State};
use crate::process::{self, Startup};
use crate::render::sentence;
use crate::settings::{Drain, Given, OnStoreError, Settings};
use crate::store::queue::{Claim, Claimed, Job, JobId, Queue, Recovered};
use crate::store::{Absent, FileStore};

/// How long a job waits for room among the calls in flight, where no other time
/// is set.
const ROOM_WAIT: Duration = Duration::from_secs(30);

/// What drains a queue.
pub struct Drainer<'a> {
    pub setup: &'a Setup<'a>,
    pub words: &'a QueueRun,
    pub startup: &'a Startup,
    /// The store of the queue; the caller has one of its own, for the state.
    pub store: &'a FileStore,
    /// Makes the calls, by the settings of the job at hand.
    pub caller: Caller<'a>,
    /// The settings of the breaker.
    pub settings: Settings,
    pub moment: Moment,
    pub voice: Voice<'a>,
    /// The least time between the starts of two jobs.
    pub interval: Option<Duration>,
    /// The flags of the breaker's last call.
    pub last_flags: String,
    pub tally: Tally,
    /// Whether a job of this drain closed the breaker.
    pub closed_it: bool,
    /// The jobs that the latest go found waiting, and when those are due that
    /// were not.
    pub waiting: BTreeMap<JobId, Ms>,
    /// The jobs of which was said that this cb cannot run them.
    told: BTreeSet<JobId>,
}

/// What came of one go.
#[derive(Default)]
pub struct Pass {
    /// How many jobs were attempted.
    pub ran: u32,
    /// How many of those that wait are somebody else's at this moment.
    pub others: u32,
    /// When the first of those is due that wait for their time.
    pub next_due_ms: Option<Ms>,
    /// Why it ended before its end.
    pub stop: Option<Stop>,
    /// Whether the breaker was closed after the last job.
    pub closed: bool,
    /// Whether a job could not be had, which stopped no other.
    pub troubled: bool,
}

/// Why no more jobs are started.
pub enum Stop {
    /// The breaker is open.
    Open(String),
    /// A trial of somebody else is under way, or no room was to be had.
    Busy(String),
    /// A person's signal.
    Signal(i32),
}

impl<'a> Drainer<'a> {
    /// A drain that has not begun.
    ///
    /// # Errors
    ///
    /// What the store cannot do.
    pub fn new(
        setup: &'a Setup<'a>,
        words: &'a QueueRun,
        startup: &'a Startup,
        store: &'a FileStore,
        caller: Caller<'a>,
    ) -> Result<Self, Error> {
        Ok(Drainer {
            setup,
            words,
            startup,
            store,
            moment: Moment::of(store, caller.name)?,
            voice: Voice { name: caller.name.as_str(), quiet: words.quiet },
            settings: caller.settings.clone(),
            caller,
            interval: None,
            last_flags: String::new(),
            tally: Tally::default(),
            closed_it: false,
            waiting: BTreeMap::new(),
            told: BTreeSet::new(),
        })
    }

    /// Goes through the jobs that wait, in order, until `enough` of them ran.
    ///
    /// # Errors
    ///
    /// What the store cannot do. The jobs are as safe as before.
    pub fn pass(&mut self, enough: u32) -> Result<Pass, Error> {
        process::listen(self.startup);
        let mut pass = Pass::default();
        // Looked up anew: the breaker may have been removed, and made again.
        let found = self.store.queue(self.caller.name, Absent::Refuse)?;
        let Some(queue) = &found else { return Ok(pass) };
        self.moment = Moment::of(self.store, self.caller.name)?;
        let (done_kept, now_ms) = (self.settings.queue.max_age, self.moment.now_ms());
        let recovered = queue.recover(&|job| self.policy_of(job), done_kept, now_ms)?;
        self.take_in(&recovered);
        let ids = queue.ids_pending()?;
        self.waiting.retain(|id, _| ids.binary_search(id).is_ok());
        pass.stop = if ids.is_empty() { None } else { self.stopped() };
        for id in ids {
            if let Some(asked) = process::end_request() {
                pass.stop = Some(Stop::Signal(asked.signal));
            }
            if pass.stop.is_some() || pass.ran >= enough {
                break;
            }
            self.look(queue, id, &mut pass)?;
        }
        Ok(pass)
    }

    /// Why no job can be run now, where a reader sees that already: no call is
    /// asked for, and none counted as rejected.
    fn stopped(&self) -> Option<Stop> {
        let breaker = self.caller.view().filter(|breaker| !breaker.admits)?;
        let words = sentence::of(&breaker);
        Some(match breaker.state {
            State::HalfOpen => Stop::Busy(words),
            _ => Stop::Open(words),
        })
    }

    /// Looks at one job that waits, and runs it if it is due. One that cannot be
    /// had stops no other; a breaker that cannot be asked does.
    fn look(&mut self, queue: &Queue<'_>, id: JobId, pass: &mut Pass) -> Result<(), Error> {
        let now_ms = self.moment.now_ms();
        let known_due_ms = self.waiting.get(&id).copied().filter(|due_ms| *due_ms > now_ms);
        let claimed = match known_due_ms {
            Some(due_ms) => Claimed::NotDue { due_ms },
            None => match queue.claim(id, &|job| self.policy_of(job), now_ms) {
                Ok(claimed) => claimed,
                Err(error) => {
                    self.trouble(id, &error, pass);
                    return Ok(());
                }
            },
        };
        self.waiting.insert(id, 0);
        match claimed {
            // Its caller said that only people run it.
            Claimed::Got(claim) if self.words.background && self.is_manual(claim.job()) => {
                claim.release();
            }
            Claimed::Got(claim) => self.ask(queue, claim, pass)?,
            Claimed::NotDue { due_ms } => {
                self.waiting.insert(id, due_ms);
                let first = pass.next_due_ms.map_or(due_ms, |first| first.min(due_ms));
                pass.next_due_ms = Some(first);
            }
            Claimed::Settled(fate) => self.settled(id, &fate),
            Claimed::PutAside(why) => self.put_aside(id, &why),
            Claimed::Busy => pass.others += 1,
            Claimed::Gone => {}
            Claimed::Newer(version) => {
                if self.told.insert(id) {
                    self.voice.say(format_args!("job {id} is of a newer cb (format {version})"));
                }
            }
        }
        Ok(())
    }

    /// Tells of a job that cannot be had.
    pub(super) fn trouble(&self, id: JobId, error: &Error, pass: &mut Pass) {
        self.voice.say(format_args!("job {id}: {error}"));
        pass.troubled = true;
    }

    /// Asks the breaker for a job that was claimed, and runs it.
    fn ask(&mut self, queue: &Queue<'_>, claim: Claim<'_>, pass: &mut Pass) -> Result<(), Error> {
        self.caller.settings = self.settings_of(claim.job())?;
        if let Some(signal) = self.pace(queue)? {
            claim.release();
            pass.stop = Some(Stop::Signal(signal));
            return Ok(());
        }
        match self.caller.admit(&self.voice)? {
            Admission::Granted(granted) => self.run(queue, claim, granted, pass),
            Admission::Refused(error) => {
                claim.release();
                Err(error)
            }
            Admission::Rejected(refusal) => {
                claim.release();
                let words = refusal.words(&self.caller.settings);
                pass.stop = Some(match (process::end_request(), refusal.why) {
                    (Some(asked), _) => Stop::Signal(asked.signal),
                    (None, Rejection::Open { .. } | Rejection::ForcedOpen) => Stop::Open(words),
                    (None, Rejection::NoTrialFree | Rejection::NoRoom) => Stop::Busy(words),
                });
                Ok(())
            }
        }
    }

    /// The settings of the call when it was queued, as far as the job keeps
    /// them, under those of this command.
    fn settings_of(&self, job: &Job) -> Result<Settings, Error> {
        let given =
            Given { last_flags: &self.last_flags, job_flags: &job.flags, flags: &self.words.flags };
        let settings = self.setup.settings(self.caller.name, &given)?;
        let max_wait = settings.max_concurrent.map(|_| settings.max_wait.unwrap_or(ROOM_WAIT));
        // Nothing is run that could not be told.
        Ok(Settings { max_wait, on_store_error: OnStoreError::Refuse, ..settings })
    }

    fn is_manual(&self, job: &Job) -> bool {
        self.settings_of(job).is_ok_and(|settings| settings.queue.drain == Drain::Manual)
    }

    /// The job's rules, or the breaker's where its own cannot be had.
    fn policy_of(&self, job: &Job) -> JobPolicy {
        match self.settings_of(job) {
            Ok(settings) => policy(&settings),
            Err(_) => policy(&self.settings),
        }
    }

    /// Waits for this job's turn at the rate that all drains of the queue share;
    /// a signal that came meanwhile.
    fn pace(&self, queue: &Queue<'_>) -> Result<Option<i32>, Error> {
        let Some(interval) = self.interval else { return Ok(None) };
        let asked = process::pause(queue.pace(interval)?, clock::monotonic);
        Ok(asked.map(|asked| asked.signal))
    }

    /// Tells of what was left behind, and where it went.
    fn take_in(&mut self, recovered: &Recovered) {
        recovered.settled.iter().for_each(|(id, fate)| self.settled(*id, fate));
        recovered.put_aside.iter().for_each(|(id, why)| self.put_aside(*id, why));
        recovered.errors.iter().for_each(|error| self.voice.say(error));
    }

    /// A job that was not run now, and is not pending any more.
    fn settled(&mut self, id: JobId, fate: &Fate) {
        self.tally.add(fate);
        match fate {
            Fate::Doubt => self
                .voice
                .say(format_args!("job {id} is in doubt: it began, and nobody knows how it ended")),
            Fate::Failed(why) => self.voice.say(format_args!("job {id} is given up: {why}")),
            Fate::Done | Fate::Pending { .. } => {}
        }
    }

    fn put_aside(&mut self, id: JobId, why: &str) {
        self.tally.add(&Fate::Doubt);
        self.voice.say(format_args!("job {id} cannot be read ({why}): put aside"));
    }
}
