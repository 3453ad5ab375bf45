//! `--result-file` and `--result-fd`: one JSON object that says what happened,
//! since the command may use any of cb's exit statuses itself.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use serde::Serialize;

use super::fallback::StandIn;
use super::output::Voice;
use crate::cli::ExecWords;
use crate::error::{Error, plain};
use crate::model::outcome::{End, ExitReport};
use crate::model::{Outcome, State};
use crate::process::{self, Startup};
use crate::settings;

/// What happened to a call.
#[derive(Debug)]
pub struct Report<'a> {
    name: &'a str,
    outcome: &'static str,
    ran: bool,
    reason: Option<&'static str>,
    exit_code: Option<i32>,
    signal: Option<i32>,
    timed_out: bool,
    duration_ms: Option<u64>,
    before: Option<State>,
    after: Option<State>,
    retry_after_ms: Option<u64>,
    attempts: u32,
    fallback: Option<&'static str>,
    job_id: Option<String>,
}

impl<'a> Report<'a> {
    /// Of a command that ran, or could not be started.
    pub fn of_run(name: &'a str, exited: &ExitReport, outcome: Outcome, status: i32) -> Self {
        let started = !matches!(exited.end, End::NotFound | End::NotExecutable);
        Report {
            name,
            outcome: outcome.name(),
            ran: started,
            reason: match (exited.end, outcome) {
                (End::NotFound, _) => Some("not_found"),
                (End::NotExecutable, _) => Some("not_executable"),
                _ if exited.timed_out => Some("timeout"),
                (_, Outcome::Success) => None,
                (End::Code(_), _) => Some("exit_code"),
                (End::Signal(_), _) => Some("signal"),
            },
            exit_code: if started { exited.exit_code() } else { Some(status) },
            signal: exited.signal(),
            timed_out: exited.timed_out,
            duration_ms: started.then(|| crate::model::backoff::millis(exited.duration)),
            before: None,
            after: None,
            retry_after_ms: None,
            attempts: u32::from(started),
            fallback: None,
            job_id: None,
        }
    }

    /// Of a command that was not run.
    pub fn of_rejection(
        name: &'a str,
        why: &'static str,
        status: i32,
        retry_after_ms: Option<u64>,
    ) -> Self {
        Report {
            name,
            outcome: "rejected",
            ran: false,
            reason: Some(why),
            exit_code: Some(status),
            signal: None,
            timed_out: false,
            duration_ms: None,
            before: None,
            after: None,
            retry_after_ms,
            attempts: 0,
            fallback: None,
            job_id: None,
        }
    }

    /// With the state before the call asked, and the one once it was recorded.
    pub fn between(self, before: Option<State>, after: Option<State>) -> Self {
        Report { before, after, ..self }
    }

    /// With so many attempts; the last one counts only where it was started.
    pub fn tried(self, attempts: u32) -> Self {
        Report { attempts: attempts.saturating_sub(u32::from(!self.ran)), ..self }
    }

    /// With what stood in.
    pub fn with(self, stood_in: &StandIn) -> Self {
        let job_id = match stood_in {
            StandIn::Queued(id) => Some(id.clone()),
            _ => None,
        };
        Report { fallback: stood_in.name(), job_id, ..self }
    }

    fn line(&self) -> Vec<u8> {
        let body = ReportBody {
            schema: "cb.result/1",
            breaker: self.name,
            outcome: self.outcome,
            ran: self.ran,
            reason: self.reason,
            exit_code: self.exit_code,
            signal: self.signal,
            timed_out: self.timed_out,
            duration_ms: self.duration_ms,
            attempts: self.attempts,
            state_before: self.before.map(State::name),
            state_after: self.after.map(State::name),
            fallback: self.fallback,
            job_id: self.job_id.as_deref(),
            retry_after_ms: self.retry_after_ms,
        };
        let mut line = serde_json::to_vec(&body).expect("plain data always has a JSON form");
        line.push(b'\n');
        line
    }
}

/// The schema `cb.result/1`.
#[derive(Serialize)]
struct ReportBody<'a> {
    schema: &'static str,
    breaker: &'a str,
    outcome: &'static str,
    ran: bool,
    reason: Option<&'static str>,
    exit_code: Option<i32>,
    signal: Option<i32>,
    timed_out: bool,
    duration_ms: Option<u64>,
    attempts: u32,
    state_before: Option<&'static str>,
    state_after: Option<&'static str>,
    fallback: Option<&'static str>,
    job_id: Option<&'a str>,
    retry_after_ms: Option<u64>,
}

/// Where the report goes; nowhere, unless it is asked for.
#[derive(Debug, Default)]
pub struct Sink {
    files: Vec<(PathBuf, File)>,
    failed: Vec<Error>,
}

impl Sink {
    /// Opens what the words ask for, before the command runs: a file is emptied,
    /// so that nobody takes an old report for this one's.
    ///
    /// # Errors
    ///
    /// A descriptor that is not open is a wrong word. A file that cannot be
    /// opened is not: the command runs without the report, and a warning.
    pub fn open(words: &ExecWords, startup: &Startup) -> Result<Self, Error> {
        let mut sink = Sink::default();
        if let Some(word) = &words.result_fd {
            let number = settings::whole("--result-fd", word, 1_000_000)?;
            let path = PathBuf::from(format!("/dev/fd/{number}"));
            sink.files.push((path, claim(number, startup)?));
        }
        if let Some(word) = &words.result_file {
            let path = PathBuf::from(word);
            match create(&path) {
                Ok(file) => sink.files.push((path, file)),
                Err(error) => sink.failed.push(Error::io("open", path)(error)),
            }
        }
        Ok(sink)
    }

    /// Whether there is anything to write to.
    pub fn is_wanted(&self) -> bool {
        !self.files.is_empty()
    }

    /// Says what could not be opened.
    pub fn warnings(&mut self, voice: &Voice<'_>) {
        for error in self.failed.drain(..) {
            voice.say(format_args!("{error}; there will be no result in it"));
        }
    }

    /// Writes the report: the first one, whatever else goes wrong after it.
    pub fn write(&mut self, report: &Report<'_>, voice: &Voice<'_>) {
        if self.files.is_empty() {
            return;
        }
        let line = report.line();
        for (path, mut file) in self.files.drain(..) {
            if let Err(error) = file.write_all(&line) {
                voice.say(format_args!("cannot write {}: {}", path.display(), plain(&error)));
            }
        }
    }
}

fn claim(number: u64, startup: &Startup) -> Result<File, Error> {
    // What was closed is filled with something that would swallow the report.
    let closed = (0..).zip(startup.closed).any(|(fd, closed)| closed && fd == number);
    let claimed = i32::try_from(number)
        .ok()
        .filter(|_| !closed)
        .ok_or_else(|| io::Error::from(rustix::io::Errno::BADF))
        .and_then(process::descriptor::claim);
    claimed.map_err(|error| {
        Error::Usage(format!(
            "--result-fd {number}: {}; allowed: a descriptor that is open for writing",
            plain(&error)
        ))
    })
}

fn create(path: &PathBuf) -> io::Result<File> {
    // A pipe without a reader is refused rather than waited for.
    let flags = OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::TRUNC
        | OFlags::CLOEXEC
        | OFlags::NOCTTY
        | OFlags::NONBLOCK;
    let mode = Mode::from_raw_mode(0o666);
    Ok(File::from(rustix::io::retry_on_intr(|| rustix::fs::open(path, flags, mode))?))
}
