//! What a probe found: a line, a table, JSON, a line for Nagios.

mod json;

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use super::grid::Grid;
use super::times::rough;
use crate::model::breaker::ProbeEffect;
use crate::model::text::excerpt;
use crate::model::{Reason, State};
use crate::probe::{Report, Verdict};

pub use json::{json, json_of_all};

/// What was found shows so much of what a server said.
const FOUND_CHARS_MAX: usize = 300;
/// What would be shown as nothing is not shown.
const TIME_SHOWN_MIN: Duration = Duration::from_micros(50);
/// In a table, so much.
const CELL_CHARS_MAX: usize = 60;

/// A probe that ended.
#[derive(Clone, Debug)]
pub struct Probed {
    /// The breaker that it is of; none where only the target was given.
    pub name: Option<String>,
    /// The kind of probe.
    pub kind: &'static str,
    /// What was looked at, without secrets.
    pub target: String,
    /// What was found.
    pub report: Report,
    /// Whether it took longer than the breaker's `slow_call`.
    pub slow: bool,
    /// When it ended, in ms since 1970.
    pub at_wall_ms: i64,
    /// What the breaker made of it; none where it was not told.
    pub fed: Option<Fed>,
}

/// What a breaker made of a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fed {
    /// The state before it.
    pub before: State,
    /// The state after it.
    pub after: State,
    /// Why, where the two differ.
    pub why: Option<Reason>,
    /// Whether it was counted as a call.
    pub recorded: bool,
    /// What it did to an open breaker.
    pub effect: Option<ProbeEffect>,
    /// How long until the trial; while open only.
    pub retry_after_ms: Option<u64>,
}

/// How well a target is, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// All is as expected.
    Healthy,
    /// So it is, and it took longer than it may.
    Slow,
    /// It answers, and warns.
    Warning,
    /// Nothing is known.
    Unknown,
    /// It is not as expected.
    Unhealthy,
}

impl Health {
    /// The name that people see.
    pub const fn name(self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Slow => "slow",
            Health::Warning => "warning",
            Health::Unknown => "unknown",
            Health::Unhealthy => "unhealthy",
        }
    }

    const fn colour(self) -> &'static str {
        match self {
            Health::Healthy => "32",
            Health::Slow | Health::Warning | Health::Unknown => "33",
            Health::Unhealthy => "31",
        }
    }
}

impl Probed {
    /// How well the target is.
    pub fn health(&self) -> Health {
        match self.report.verdict {
            Verdict::Healthy if self.slow => Health::Slow,
            Verdict::Healthy => Health::Healthy,
            Verdict::Warning => Health::Warning,
            Verdict::Unhealthy => Health::Unhealthy,
            Verdict::Unknown => Health::Unknown,
        }
    }

    /// What stands for it in front of a line.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.target)
    }

    /// What was found, with the phase that failed.
    pub fn found(&self) -> String {
        self.found_within(FOUND_CHARS_MAX)
    }

    /// The same, cut to a bound.
    fn found_within(&self, chars_max: usize) -> String {
        let found = excerpt(&self.report.found, chars_max);
        match self.report.phase {
            Some(phase) => format!("{}: {found}", phase.name()),
            None => found,
        }
    }
}

/// One line, without its end.
pub fn line(probed: &Probed) -> String {
    let report = &probed.report;
    let label = excerpt(probed.label(), FOUND_CHARS_MAX);
    let mut line = format!("{label}: {}: {}", probed.health().name(), probed.found());
    // How long it took to know nothing is of no use, and a deadline is known.
    if !report.timed_out && report.verdict != Verdict::Unknown {
        line.push_str(&format!(" in {}", Time(report.duration)));
    }
    let times = times(report);
    let address = report.address.as_deref().map(|address| excerpt(address, FOUND_CHARS_MAX));
    match (&address, times.is_empty()) {
        (Some(address), false) => line.push_str(&format!(" ({address}; {times})")),
        (Some(address), true) => line.push_str(&format!(" ({address})")),
        (None, false) => line.push_str(&format!(" ({times})")),
        (None, true) => {}
    }
    if let Some(told) = probed.fed.as_ref().and_then(told) {
        line.push_str("; ");
        line.push_str(&told);
    }
    line
}

/// The time of each phase that took any.
fn times(report: &Report) -> String {
    let each = report.phases.iter().filter(|(_, took)| *took >= TIME_SHOWN_MIN);
    let each = each.map(|(phase, took)| format!("{} {}", phase.name(), Time(*took)));
    each.collect::<Vec<_>>().join(", ")
}

/// What the breaker made of it, where that is worth a word.
fn told(fed: &Fed) -> Option<String> {
    let waits = || fed.retry_after_ms.map_or_else(String::new, |ms| format!(" for {}", rough(ms)));
    let why = || fed.why.map_or_else(String::new, |why| format!(" ({})", why.words()));
    Some(match fed.effect {
        Some(ProbeEffect::TrialDue) => "the breaker is open, and its trial is due now".to_owned(),
        Some(ProbeEffect::RetryLater) if fed.before == fed.after => {
            format!("the breaker stays open{}, as the server asks", waits())
        }
        Some(ProbeEffect::RetryLater) => {
            let state = fed.after.name();
            format!("the breaker is {state} now{}{}, as the server asks", why(), waits())
        }
        _ if fed.before != fed.after => format!("the breaker is {} now{}", fed.after.name(), why()),
        _ if fed.after != State::Closed => format!("the breaker is {}", fed.after.name()),
        _ => return None,
    })
}

/// A table of many, as they are given.
///
/// # Errors
///
/// What cannot be written.
pub fn table(all: &[&Probed], colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|probed| {
            vec![
                probed.label().to_owned(),
                probed.health().name().to_owned(),
                Time(probed.report.duration).to_string(),
                probed.fed.as_ref().map_or("-", |fed| fed.after.name()).to_owned(),
                probed.found_within(CELL_CHARS_MAX),
            ]
        })
        .collect();
    let grid = Grid { head: &["NAME", "HEALTH", "TIME", "BREAKER", "FOUND"], right: &[2] };
    grid.write(&rows, |row| colour.then(|| (1, all[row].health().colour())), out)
}

/// How many are how well, in one line.
pub fn summary(all: &[&Probed]) -> String {
    let count = |health| all.iter().filter(|probed| probed.health() == health).count();
    let order =
        [Health::Healthy, Health::Slow, Health::Warning, Health::Unhealthy, Health::Unknown];
    let counts = order.into_iter().map(|health| (count(health), health.name()));
    let counts: Vec<_> = counts
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    format!("{} probed: {}", all.len(), counts.join(", "))
}

/// A line as a Nagios plugin writes it: the status, a text, and the figures.
pub fn nagios(probed: &Probed, slow_call: Option<Duration>, timeout: Duration) -> String {
    let report = &probed.report;
    // The bar begins the figures.
    let found = probed.found().replace('|', "/");
    let label = excerpt(probed.label(), FOUND_CHARS_MAX).replace('|', "/");
    let warn = slow_call.map_or_else(String::new, seconds);
    let mut line = format!(
        "PROBE {}: {label}: {found} | time={}s;{warn};{};0;{}",
        nagios_word(probed.health()),
        seconds(report.duration),
        seconds(timeout),
        seconds(timeout),
    );
    for (phase, took) in &report.phases {
        line.push_str(&format!(" {}={}s", phase.name().replace(' ', "_"), seconds(*took)));
    }
    if let Some(http) = &report.detail.http {
        line.push_str(&format!(" size={}B", http.body_bytes));
    }
    if let Some(tls) = &report.detail.tls {
        line.push_str(&format!(" days_left={}", tls.days_left));
    }
    line
}

/// The same of many: the worst first, then a line for each.
///
/// # Errors
///
/// What cannot be written.
pub fn nagios_of_all(all: &[&Probed], out: &mut dyn Write) -> io::Result<()> {
    let worst = all.iter().map(|probed| probed.health()).max().unwrap_or(Health::Unknown);
    let healthy = all.iter().filter(|probed| probed.report.verdict.is_healthy()).count();
    let (word, summary, count) = (nagios_word(worst), summary(all), all.len());
    writeln!(out, "PROBE {word}: {summary} | healthy={healthy};;;0;{count}")?;
    for probed in all.iter().filter(|probed| probed.health() != Health::Healthy) {
        writeln!(out, "{}", line(probed).replace('|', "/"))?;
    }
    Ok(())
}

fn nagios_word(health: Health) -> &'static str {
    match health {
        Health::Healthy => "OK",
        Health::Slow | Health::Warning => "WARNING",
        Health::Unhealthy => "CRITICAL",
        Health::Unknown => "UNKNOWN",
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.6}", time.as_secs_f64())
}

/// A time in the unit that suits it.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        match seconds {
            0.0..0.01 => write!(f, "{:.1}ms", seconds * 1e3),
            0.01..1.0 => write!(f, "{:.0}ms", seconds * 1e3),
            _ => write!(f, "{seconds:.1}s"),
        }
    }
}
