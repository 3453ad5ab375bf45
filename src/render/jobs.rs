//! Jobs of the queues, as a table and as JSON, and one job with its attempts.

use std::io::{self, Write};

use serde::Serialize;

use super::grid::Grid;
use super::json::write_safe;
use super::times::{rfc3339, rough};
use crate::model::job::JobState;
use crate::model::text::{duration, excerpt, printable};

/// The most characters of a program's name and of a key in a table.
const CELL_CHARS_MAX: usize = 24;

/// A job to list.
#[derive(Clone, Debug)]
pub struct JobRow {
    /// Its id.
    pub id: String,
    /// The breaker.
    pub breaker: String,
    /// Where it stands.
    pub state: JobState,
    /// How many attempts began.
    pub attempts: u32,
    /// When it was queued, in ms since 1970.
    pub enqueued_wall_ms: i64,
    /// How long ago that is.
    pub age_ms: u64,
    /// How long until its next attempt; pending only.
    pub due_in_ms: Option<u64>,
    /// Whether its breaker would admit it now, as far as that can be told.
    pub is_admitted: bool,
    /// What makes it the same job as another.
    pub key: Option<String>,
    /// Its program, by name.
    pub program: String,
    /// Why it is where it is, if that has to be said.
    pub why: Option<String>,
}

/// `cb queue list`
///
/// # Errors
///
/// What cannot be written.
pub fn table(jobs: &[JobRow], out: &mut dyn Write) -> io::Result<()> {
    let head = ["ID", "BREAKER", "STATE", "TRIES", "AGE", "PROGRAM", "KEY", "NEXT"];
    let grid = Grid { head: &head, right: &[3] };
    let rows: Vec<Vec<String>> = jobs.iter().map(row).collect();
    grid.write(&rows, |_| None, out)
}

fn row(job: &JobRow) -> Vec<String> {
    vec![
        job.id.clone(),
        job.breaker.clone(),
        job.state.name().to_owned(),
        job.attempts.to_string(),
        rough(job.age_ms),
        excerpt(&job.program, CELL_CHARS_MAX),
        job.key.as_deref().map_or_else(|| "-".to_owned(), |key| excerpt(key, CELL_CHARS_MAX)),
        next(job),
    ]
}

fn next(job: &JobRow) -> String {
    if let Some(why) = &job.why {
        return printable(why).into_owned();
    }
    match (job.state, job.due_in_ms) {
        (JobState::Pending, Some(left_ms @ 1..)) => format!("in {}", rough(left_ms)),
        (JobState::Pending, _) if job.is_admitted => "due".to_owned(),
        (JobState::Pending, _) => "when the breaker admits it".to_owned(),
        (JobState::Running, _) => "under way".to_owned(),
        (JobState::Failed | JobState::Doubt, _) => "'cb queue retry' or 'drop'".to_owned(),
        (JobState::Done, _) => "-".to_owned(),
    }
}

/// `cb queue list --json`: the schema `cb.queue/1`.
///
/// # Errors
///
/// What cannot be written.
pub fn json(jobs: &[JobRow], out: &mut dyn Write) -> io::Result<()> {
    let body = ListBody { schema: "cb.queue/1", jobs: jobs.iter().map(JobBody::of).collect() };
    write_safe(&serde_json::to_string_pretty(&body)?, out)
}

#[derive(Serialize)]
struct ListBody<'a> {
    schema: &'static str,
    jobs: Vec<JobBody<'a>>,
}

#[derive(Serialize)]
struct JobBody<'a> {
    id: &'a str,
    breaker: &'a str,
    state: &'static str,
    attempts: u32,
    enqueued_at: String,
    due_in_ms: Option<u64>,
    key: Option<&'a str>,
    program: &'a str,
    why: Option<&'a str>,
}

impl<'a> JobBody<'a> {
    fn of(job: &'a JobRow) -> Self {
        JobBody {
            id: &job.id,
            breaker: &job.breaker,
            state: job.state.name(),
            attempts: job.attempts,
            enqueued_at: rfc3339(job.enqueued_wall_ms),
            due_in_ms: job.due_in_ms,
            key: job.key.as_deref(),
            program: &job.program,
            why: job.why.as_deref(),
        }
    }
}

/// One attempt of a job.
#[derive(Clone, Debug, Serialize)]
pub struct AttemptRow {
    /// Its number, from 1.
    pub attempt: u32,
    /// How long ago it began.
    pub began_ago_ms: u64,
    /// How it ended; none where that is not known.
    pub ended: Option<&'static str>,
    /// The exit code, where there was one.
    pub exit_code: Option<i32>,
    /// The signal that ended it, where one did.
    pub signal: Option<i32>,
    /// How long it took.
    pub duration_ms: Option<u64>,
    /// What else there is to know.
    pub note: Option<String>,
    /// Where its output is kept.
    pub log: Option<String>,
}

/// All of one job.
#[derive(Clone, Debug)]
pub struct JobView {
    /// What a list shows of it.
    pub row: JobRow,
    /// Whether it may run again without a person where nobody knows if it ran.
    pub idempotent: bool,
    /// Its working directory.
    pub cwd: String,
    /// Its umask.
    pub umask: u32,
    /// The bytes of its standard input.
    pub stdin_len: u64,
    /// The settings that it keeps.
    pub flags: String,
    /// Its command and arguments, as far as they may be shown.
    pub command: Vec<String>,
    /// How many arguments are not shown.
    pub hidden: usize,
    /// Its variables: the values only where they may be shown.
    pub env: Vec<(String, Option<String>)>,
    /// Its attempts, in order.
    pub attempts: Vec<AttemptRow>,
}

/// `cb queue show`
///
/// # Errors
///
/// What cannot be written.
pub fn show(job: &JobView, out: &mut dyn Write) -> io::Result<()> {
    let row = &job.row;
    let state = match &row.why {
        Some(why) => format!("{} ({why})", row.state),
        None => row.state.to_string(),
    };
    let mut command: Vec<String> = job.command.iter().map(|word| quoted(word)).collect();
    match job.hidden {
        0 => {}
        1 => command.push("[1 argument]".to_owned()),
        hidden => command.push(format!("[{hidden} arguments]")),
    }
    let env = job.env.iter().map(|(name, value)| match value {
        Some(value) => format!("{name}={}", quoted(value)),
        None => name.clone(),
    });
    let lines = [
        ("job", row.id.clone()),
        ("breaker", row.breaker.clone()),
        ("state", state),
        ("queued", format!("{} ({} ago)", rfc3339(row.enqueued_wall_ms), rough(row.age_ms))),
        ("key", row.key.clone().unwrap_or_else(|| "-".to_owned())),
        ("idempotent", if job.idempotent { "yes" } else { "no" }.to_owned()),
        ("command", command.join(" ")),
        ("directory", job.cwd.clone()),
        ("umask", format!("{:04o}", job.umask)),
        ("environment", env.collect::<Vec<_>>().join(" ")),
        ("stdin", format!("{} bytes", job.stdin_len)),
        ("settings", if job.flags.is_empty() { "-".to_owned() } else { job.flags.clone() }),
    ];
    for (name, value) in lines {
        writeln!(out, "{name:<12} {}", printable(&value))?;
    }
    for attempt in &job.attempts {
        writeln!(
            out,
            "{:<12} {}",
            format!("attempt {}", attempt.attempt),
            printable(&told(attempt))
        )?;
    }
    Ok(())
}

fn told(attempt: &AttemptRow) -> String {
    let mut text = format!("began {} ago", rough(attempt.began_ago_ms));
    match attempt.ended {
        None => text.push_str(", no result is known"),
        Some(how) => text.push_str(&format!(", {how}")),
    }
    match (attempt.exit_code, attempt.signal) {
        (Some(code), _) => text.push_str(&format!(", exit status {code}")),
        (None, Some(signal)) => text.push_str(&format!(", killed by signal {signal}")),
        (None, None) => {}
    }
    if let Some(millis) = attempt.duration_ms {
        text.push_str(&format!(", {}", duration(std::time::Duration::from_millis(millis))));
    }
    if let Some(note) = &attempt.note {
        text.push_str(&format!(" ({note})"));
    }
    if let Some(log) = &attempt.log {
        text.push_str(&format!("; output in {log}"));
    }
    text
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,=".contains(c);
    match word {
        "" => "''".to_owned(),
        _ if word.chars().all(plain) => word.to_owned(),
        _ => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// `cb queue show --json`: the schema `cb.job/1`.
///
/// # Errors
///
/// What cannot be written.
pub fn show_json(job: &JobView, out: &mut dyn Write) -> io::Result<()> {
    let env: serde_json::Map<_, _> =
        job.env.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    let body = ShowBody {
        schema: "cb.job/1",
        job: JobBody::of(&job.row),
        idempotent: job.idempotent,
        command: &job.command,
        hidden_arguments: job.hidden,
        cwd: &job.cwd,
        umask: job.umask,
        env,
        stdin_bytes: job.stdin_len,
        settings: &job.flags,
        history: &job.attempts,
    };
    write_safe(&serde_json::to_string_pretty(&body)?, out)
}

#[derive(Serialize)]
struct ShowBody<'a> {
    schema: &'static str,
    #[serde(flatten)]
    job: JobBody<'a>,
    idempotent: bool,
    command: &'a [String],
    hidden_arguments: usize,
    cwd: &'a str,
    umask: u32,
    env: serde_json::Map<String, serde_json::Value>,
    stdin_bytes: u64,
    settings: &'a str,
    history: &'a [AttemptRow],
}
