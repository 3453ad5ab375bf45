//! A job as it is read back, and what its debug text leaves out.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::JobId;
use crate::model::Ms;
use crate::model::job::{Ended, History, JobPolicy, JobState};

/// A job as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// The breaker it goes through: that whose queue it is in.
    pub breaker: String,
    /// The command and its arguments; never empty.
    pub argv: Vec<OsString>,
    /// Where it runs.
    pub cwd: PathBuf,
    /// Its file mode creation mask.
    pub umask: u32,
    /// Its environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its stdin; not read for a list.
    pub stdin: Vec<u8>,
    /// How long its stdin is.
    pub stdin_len: u64,
    /// The key it was enqueued under.
    pub key: Option<String>,
    /// Whether it may run again when nobody knows how an attempt ended.
    pub idempotent: bool,
    /// Settings of the call, as text.
    pub flags: String,
    /// When it was enqueued, on the breaker's clock.
    pub enqueued_ms: Ms,
    /// The same on the wall clock, for people.
    pub enqueued_wall_ms: i64,
    /// What was tried.
    pub attempts: Vec<Attempt>,
    /// Its life so far.
    pub history: History,
}

impl Job {
    /// Where it belongs when nobody works on it, as far as its history alone
    /// says: by its rules one that is to wait may be given up.
    pub(super) fn state_as_nobodys(&self) -> JobState {
        let max = Duration::MAX;
        let lenient = JobPolicy { max_attempts: u32::MAX, max_age: max, attempt_delay: max };
        self.history.fate(&lenient, self.enqueued_ms).state()
    }
}

/// The rules of a job, which may have brought some of its own.
pub type PolicyOf<'a> = &'a dyn Fn(&Job) -> JobPolicy;

/// One attempt at a job.
#[derive(Clone, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// When it began, on the breaker's clock.
    pub began_ms: Ms,
    /// When and how it ended, if that is known.
    pub ended: Option<(Ms, AttemptEnd)>,
}

/// How an attempt ended.
#[derive(Clone, PartialEq, Eq)]
pub struct AttemptEnd {
    /// What it means for the job.
    pub how: Ended,
    /// The command's exit code, if it had one.
    pub exit_code: Option<i32>,
    /// The signal that killed it, if one did.
    pub signal: Option<i32>,
    /// Whether its time was up.
    pub timed_out: bool,
    /// How long it ran.
    pub duration_ms: u64,
    /// What else a person should know; cut to [`NOTE_LEN_MAX`](super::NOTE_LEN_MAX) bytes.
    pub note: String,
}

/// Without arguments, environment, stdin and key: they may hold secrets.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.id.to_string())
            .field("breaker", &self.breaker)
            .field("words", &self.argv.len())
            .field("variables", &self.env.len())
            .field("stdin_len", &self.stdin_len)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("number", &self.number)
            .field("began_ms", &self.began_ms)
            .field("ended", &self.ended)
            .finish()
    }
}

/// Without the note, which may quote the command.
impl fmt::Debug for AttemptEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptEnd")
            .field("how", &self.how)
            .field("exit_code", &self.exit_code)
            .field("signal", &self.signal)
            .finish_non_exhaustive()
    }
}
