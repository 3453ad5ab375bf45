//! One job at work: begun on disk, run, ended on disk, told to the breaker.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::fs::MemfdFlags;

use super::list::policy;
use super::pass::{Drainer, Pass, Stop};
use crate::clock;
use crate::commands::attempt::{how, words_of};
use crate::commands::call::{Granted, finished, variables};
use crate::error::Error;
use crate::model::backoff::millis;
use crate::model::job::{Ended, Fate};
use crate::model::outcome::{End, ExitReport};
use crate::model::{Finished, Outcome, State};
use crate::process::{self, Capture, Input, Output, Request, Tap};
use crate::render::times::rough;
use crate::store::queue::{AttemptEnd, AttemptLog, Claim, JobId, Queue};

/// The least number of the descriptor by which a job's command holds the claim.
const CLAIM_FD_MIN: i32 = 100;

/// A call that never came to be.
const NOTHING: Finished = Finished::new(Outcome::Ignored, Duration::ZERO);

impl Drainer<'_> {
    /// Runs a job that was claimed and admitted.
    ///
    /// # Errors
    ///
    /// What could not be done; how far the job came is on the disk.
    pub(super) fn run(
        &mut self,
        queue: &Queue<'_>,
        mut claim: Claim<'_>,
        granted: Granted,
        pass: &mut Pass,
    ) -> Result<(), Error> {
        // Who asked for an end meanwhile wants no other job to begin.
        let asked = process::end_request().map(|asked| Stop::Signal(asked.signal));
        let began = match asked {
            Some(_) => Ok(0),
            None => claim.begin(self.moment.now_ms()),
        };
        let attempt = match (asked, began) {
            (None, Ok(attempt)) => attempt,
            (asked, began) => {
                // The command was not started: the permit goes back.
                self.tell(granted, &NOTHING, &mut Vec::new());
                let id = claim.job().id;
                claim.release();
                pass.stop = asked;
                if let Err(error) = began {
                    self.trouble(id, &error, pass);
                }
                return Ok(());
            }
        };
        let id = claim.job().id;
        let mut notices = Vec::new();
        let mut exited = self.spawn(queue, &claim, attempt, &granted, &mut notices);
        // What was sent to this drain was not passed on. A command that died of the
        // same was meant as well, as when a service is stopped.
        let asked = process::end_request().map(|asked| asked.signal);
        if let (Ok(exited), Some(signal)) = (&mut exited, asked)
            && exited.end == End::Signal(signal)
        {
            exited.sent = exited.sent.with(signal);
        }
        let (call, end) = self.ends(&exited, &notices);
        // First on the disk: should cb be killed now, the job is not in doubt.
        let fate = claim.end(&end, &policy(&self.caller.settings), self.moment.now_ms());
        pass.closed = self.tell(granted, &call, &mut notices);
        pass.ran += 1;
        self.waiting.remove(&id);
        let asked = asked.or_else(|| exited.as_ref().ok()?.asked_to_end());
        pass.stop = asked.map(Stop::Signal);
        // All is told. Nobody may be reading what is said of it: meanwhile a signal
        // ends cb as it ends any program.
        if !notices.is_empty() || !matches!(fate, Ok(Fate::Done)) {
            self.startup.unblock_signals();
        }
        notices.iter().for_each(|notice| self.voice.say(format_args!("job {id}: {notice}")));
        let (exited, fate) = (exited?, fate?);
        self.tally.add(&fate);
        self.say_failure(id, &exited, attempt, &fate);
        process::listen(self.startup);
        Ok(())
    }

    /// What the end of the command is for the breaker, and what for the job.
    fn ends(
        &self,
        exited: &Result<ExitReport, Error>,
        notices: &[String],
    ) -> (Finished, AttemptEnd) {
        let (call, how) = match exited {
            Ok(exited) => {
                let outcome = exited.classify(&self.caller.settings.codes);
                (finished(exited, outcome), ended(exited, outcome))
            }
            Err(_) => (NOTHING, Ended::NotStarted),
        };
        let end = AttemptEnd {
            how,
            exit_code: call.exit_code,
            signal: call.signal,
            timed_out: call.timed_out,
            duration_ms: millis(call.duration),
            note: notices.join("; "),
        };
        (call, end)
    }

    /// Runs the job's command as it was queued: its words, directory, umask,
    /// variables and stdin. What it writes goes into a log.
    fn spawn(
        &self,
        queue: &Queue<'_>,
        claim: &Claim<'_>,
        attempt: u32,
        granted: &Granted,
        notices: &mut Vec<String>,
    ) -> Result<ExitReport, Error> {
        let job = claim.job();
        // Where no script has descriptors of its own: a claim that was closed by
        // mistake would be given up.
        let high = rustix::io::fcntl_dupfd_cloexec(claim.fd(), CLAIM_FD_MIN).ok();
        let mut env = job.env.clone();
        if let Ok(store) = std::path::absolute(self.store.root()) {
            // Whatever it calls of cb is about the same breakers.
            env.retain(|(name, _)| name != "CB_STORE");
            env.push(("CB_STORE".into(), store.into_os_string()));
        }
        env.extend(variables([
            ("CB_BREAKER", self.caller.name.to_string()),
            ("CB_STATE", granted.state_of_call().name().to_owned()),
            ("CB_ATTEMPT", attempt.to_string()),
            ("CB_JOB_ID", job.id.to_string()),
            ("CB_JOB_ATTEMPT", attempt.to_string()),
        ]));
        let (program, args) = job.argv.split_first().expect("no job without a command is read");
        let stdin = stdin_of(&job.stdin).map_err(Error::Spawn)?;
        let mut log = LogTap(match queue.attempt_log(job.id, attempt) {
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
            keep: Some(high.as_ref().map_or(claim.fd(), AsFd::as_fd)),
            timeout: settings.timeout,
            kill_after: settings.kill_after,
            finishes: true,
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
    fn tell(&mut self, granted: Granted, call: &Finished, notices: &mut Vec<String>) -> bool {
        let Some(told) = self.caller.record(granted, call, notices) else { return false };
        self.closed_it |= told.transitions.iter().any(|made| made.to == State::Closed);
        told.state == State::Closed
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
