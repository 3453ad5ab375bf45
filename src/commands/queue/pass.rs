//! One go through the jobs that wait.
//!
//! A job is claimed, asked for at the breaker, begun on disk, run, ended on
//! disk, told to the breaker: in this order, so that whatever a crash leaves
//! behind tells how far the job had come.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::fs::MemfdFlags;

use super::list::policy;
use super::tally::Tally;
use crate::cli::QueueRun;
use crate::clock;
use crate::commands::attempt::{how, words_of};
use crate::commands::call::{Admission, Caller, Granted, finished};
use crate::commands::moment::Moment;
use crate::commands::output::Voice;
use crate::commands::setup::Setup;
use crate::error::Error;
use crate::model::backoff::millis;
use crate::model::job::{Ended, Fate, JobPolicy};
use crate::model::outcome::{End, ExitReport};
use crate::model::{Finished, Ms, Outcome, Rejection, State};
use crate::process::{self, Capture, Input, Output, Request, Startup, Tap};
use crate::render::times::rough;
use crate::settings::{Given, OnStoreError, Settings};
use crate::store::queue::{AttemptEnd, AttemptLog, Claim, Claimed, Job, JobId, Queue, Recovered};

/// How long a job waits for room among the calls in flight, where no other time
/// is set.
const ROOM_WAIT: Duration = Duration::from_secs(30);

/// What drains a queue.
pub struct Drainer<'a> {
    pub setup: &'a Setup<'a>,
    pub words: &'a QueueRun,
    pub startup: &'a Startup,
    pub caller: Caller<'a>,
    pub queue: &'a Queue<'a>,
    pub moment: Moment,
    pub voice: Voice<'a>,
    /// The least time between the starts of two jobs.
    pub interval: Option<Duration>,
    /// The flags of the breaker's last call.
    pub last_flags: String,
    pub tally: Tally,
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

impl Drainer<'_> {
    /// Goes through the jobs that wait, in order, until `enough` of them ran.
    ///
    /// # Errors
    ///
    /// What the store cannot do. The jobs are as safe as before.
    pub fn pass(&mut self, enough: u32) -> Result<Pass, Error> {
        let mut pass = Pass::default();
        let done_kept = self.caller.settings.queue.max_age;
        let recovered =
            self.queue.recover(&|job| self.policy_of(job), done_kept, self.moment.now_ms())?;
        self.take_in(&recovered);
        for id in self.queue.ids_pending()? {
            if let Some(asked) = process::pause(Duration::ZERO) {
                pass.stop = Some(Stop::Signal(asked.signal));
            }
            if pass.stop.is_some() || pass.ran >= enough {
                break;
            }
            match self.queue.claim(id, &|job| self.policy_of(job), self.moment.now_ms())? {
                Claimed::Got(claim) => self.job(claim, &mut pass)?,
                Claimed::NotDue { due_ms } => {
                    let first = pass.next_due_ms.map_or(due_ms, |first| first.min(due_ms));
                    pass.next_due_ms = Some(first);
                }
                Claimed::Settled(fate) => self.settled(id, &fate),
                Claimed::PutAside(why) => self.put_aside(id, &why),
                Claimed::Busy => pass.others += 1,
                Claimed::Gone => {}
                Claimed::Newer(version) => {
                    self.voice.say(format_args!("job {id} is of a newer cb (format {version})"));
                }
            }
        }
        Ok(pass)
    }

    fn job(&mut self, claim: Claim<'_>, pass: &mut Pass) -> Result<(), Error> {
        self.caller.settings = self.settings_of(claim.job())?;
        if let Some(signal) = self.pace()? {
            claim.release();
            pass.stop = Some(Stop::Signal(signal));
            return Ok(());
        }
        match self.caller.admit(&self.voice)? {
            Admission::Granted(granted) => self.run(claim, granted, pass),
            Admission::Refused(error) => {
                claim.release();
                Err(error)
            }
            Admission::Rejected(refusal) => {
                claim.release();
                let words = refusal.words(&self.caller.settings);
                pass.stop = Some(match refusal.why {
                    Rejection::Open { .. } | Rejection::ForcedOpen => Stop::Open(words),
                    Rejection::NoTrialFree | Rejection::NoRoom => Stop::Busy(words),
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

    /// The job's rules, or the breaker's where its own cannot be had.
    fn policy_of(&self, job: &Job) -> JobPolicy {
        match self.settings_of(job) {
            Ok(settings) => policy(&settings),
            Err(_) => policy(&self.caller.settings),
        }
    }

    /// Waits for this job's turn at the rate that all drains of the queue share;
    /// a signal that came meanwhile.
    fn pace(&mut self) -> Result<Option<i32>, Error> {
        let Some(interval) = self.interval else { return Ok(None) };
        let start_ms = self.moment.boot_ms() + millis(self.queue.pace(interval)?);
        loop {
            let left_ms = start_ms.saturating_sub(self.moment.boot_ms());
            let asked = process::pause(Duration::from_millis(left_ms));
            if asked.is_some() || left_ms == 0 {
                return Ok(asked.map(|asked| asked.signal));
            }
        }
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

    fn run(
        &mut self,
        mut claim: Claim<'_>,
        granted: Granted,
        pass: &mut Pass,
    ) -> Result<(), Error> {
        let attempt = match claim.begin(self.moment.now_ms()) {
            Ok(attempt) => attempt,
            Err(error) => {
                // The command was not started: the permit goes back.
                let nothing = Finished::new(Outcome::Ignored, Duration::ZERO);
                self.tell(granted, &nothing, &mut Vec::new());
                claim.release();
                return Err(error);
            }
        };
        let id = claim.job().id;
        let mut notices = Vec::new();
        let exited = self.spawn(&claim, attempt, &granted, &mut notices);
        let outcome = exited
            .as_ref()
            .map_or(Outcome::Ignored, |exited| exited.classify(&self.caller.settings.codes));
        let call = match &exited {
            Ok(exited) => finished(exited, outcome),
            Err(_) => Finished::new(Outcome::Ignored, Duration::ZERO),
        };
        // First on the disk: should cb be killed now, the job is not in doubt.
        let end = AttemptEnd {
            how: exited.as_ref().map_or(Ended::NotStarted, |exited| ended(exited, outcome)),
            exit_code: call.exit_code,
            signal: call.signal,
            timed_out: call.timed_out,
            duration_ms: millis(call.duration),
            note: notices.join("; "),
        };
        let fate = claim.end(&end, &policy(&self.caller.settings), self.moment.now_ms());
        pass.closed = self.tell(granted, &call, &mut notices);
        pass.ran += 1;
        notices.iter().for_each(|notice| self.voice.say(format_args!("job {id}: {notice}")));
        let (exited, fate) = (exited?, fate?);
        self.tally.add(&fate);
        self.say_failure(id, &exited, attempt, &fate);
        pass.stop = exited.asked_to_end().map(Stop::Signal);
        Ok(())
    }

    /// Runs the job's command as it was queued: its words, directory, umask,
    /// variables and stdin. What it writes goes into a log.
    fn spawn(
        &self,
        claim: &Claim<'_>,
        attempt: u32,
        granted: &Granted,
        notices: &mut Vec<String>,
    ) -> Result<ExitReport, Error> {
        let job = claim.job();
        let mut env = job.env.clone();
        env.extend(
            [
                ("CB_BREAKER", self.caller.name.to_string()),
                ("CB_STATE", granted.state_of_call().name().to_owned()),
                ("CB_ATTEMPT", attempt.to_string()),
                ("CB_JOB_ID", job.id.to_string()),
                ("CB_JOB_ATTEMPT", attempt.to_string()),
            ]
            .map(|(name, value)| (OsString::from(name), OsString::from(value))),
        );
        let (program, args) = job.argv.split_first().expect("no job without a command is read");
        let stdin = stdin_of(&job.stdin).map_err(Error::Spawn)?;
        let mut log = LogTap(match self.queue.attempt_log(job.id, attempt) {
            Ok(log) => Some(log),
            Err(error) => {
                notices.push(not_kept(&error));
                None
            }
        });
        let mut capture = Capture::log(&mut log);
        let settings = &self.caller.settings;
        let mut request = Request {
            env: &env,
            clean_env: true,
            cwd: Some(&job.cwd),
            umask: Some(job.umask),
            keep: Some(claim.fd()),
            timeout: settings.timeout,
            kill_after: settings.kill_after,
            stdin: stdin.as_ref().map_or(Input::Null, |file| Input::File(file.as_fd())),
            stdout: Output::Capture(&mut capture),
            ..Request::new(program, args, clock::monotonic)
        };
        let ran = process::run(&mut request, self.startup, &mut |notice| {
            notices.push(words_of(program, &notice));
        });
        if let Some(Err(error)) = log.0.map(AttemptLog::finish) {
            notices.push(not_kept(&error));
        }
        ran
    }

    /// Tells the breaker; whether it is closed now.
    fn tell(&self, granted: Granted, call: &Finished, notices: &mut Vec<String>) -> bool {
        let told = self.caller.record(granted, call, notices);
        told.is_some_and(|told| told.state == State::Closed)
    }

    /// Says what became of a job that did not succeed.
    fn say_failure(&self, id: JobId, exited: &ExitReport, attempt: u32, fate: &Fate) {
        let then = match fate {
            Fate::Done => return,
            Fate::Pending { due_ms } => {
                let left_ms = due_ms.saturating_sub(self.moment.now_ms());
                format!("next in {}", rough(left_ms))
            }
            Fate::Failed(why) => format!("given up: {why}"),
            Fate::Doubt => "in doubt: it may have done a part".to_owned(),
        };
        let how = how(exited);
        self.voice.say(format_args!("job {id}: attempt {attempt} failed ({how}); {then}"));
    }
}

/// What the end of its command means for a job.
fn ended(exited: &ExitReport, outcome: Outcome) -> Ended {
    match (exited.end, outcome) {
        (End::NotFound | End::NotExecutable, _) => Ended::NotStarted,
        (_, Outcome::Success) => Ended::Success,
        (_, Outcome::Ignored) if exited.ended_on_request() => Ended::Interrupted,
        (_, Outcome::Failure | Outcome::Ignored) => Ended::Failure,
    }
}

/// A job's stdin as a file without a name, so that no reader hinders anybody.
fn stdin_of(bytes: &[u8]) -> io::Result<Option<File>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut file = File::from(rustix::fs::memfd_create("stdin", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(Some(file))
}

fn not_kept(error: &Error) -> String {
    format!("{error}; its output is not kept whole")
}

/// What a job writes, on its way into its log.
struct LogTap<'q>(Option<AttemptLog<'q>>);

impl Tap for LogTap<'_> {
    fn take(&mut self, bytes: &[u8]) {
        if let Some(log) = &mut self.0 {
            log.take(bytes);
        }
    }
}
