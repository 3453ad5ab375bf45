//! What `cb config check` finds: every problem of every file, and policies that
//! are allowed but do not do what their author may think.

use std::ffi::OsStr;
use std::path::PathBuf;

use super::section::{Section, Selector, header, probe_header};
use super::{Config, candidates, read_candidate, walk};
use crate::error::Error;
use crate::model::Policy;
use crate::model::policy::WindowSize;
use crate::settings::{Key, Settings};

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// The files that were read, the lowest first.
    pub files: Vec<PathBuf>,
    /// What makes cb refuse a file.
    pub problems: Vec<Error>,
    /// What it takes, but a person should look at.
    pub warnings: Vec<Error>,
}

impl Report {
    fn add_problem(&mut self, error: Error) {
        if !self.problems.iter().any(|known| known.to_string() == error.to_string()) {
            self.problems.push(error);
        }
    }
}

/// Reads all files and reports on them.
///
/// # Errors
///
/// Only for an empty `--config`: what is wrong with files is in the report.
pub fn check(flag: Option<&OsStr>) -> Result<Report, Error> {
    let mut report = Report::default();
    let mut config = Config::default();
    for candidate in candidates(flag)? {
        match read_candidate(&candidate) {
            Ok(None) => {}
            Ok(Some(text)) => {
                let parsed = walk::walk(&candidate.path, &text, walk::Reads::Probes);
                report.problems.extend(parsed.problems);
                config.add(parsed.sections);
                report.files.push(candidate.path);
            }
            Err(error) => report.problems.push(error),
        }
    }
    for section in &config.sections {
        check_section(&config, section, &mut report);
    }
    Ok(report)
}

/// A section's settings with all that is below it. For a pattern, its own text
/// stands for the names that it matches.
fn check_section(config: &Config, section: &Section, report: &mut Report) {
    let subject = match &section.selector {
        Selector::Defaults => "",
        Selector::Pattern(name) | Selector::Name(name) => name,
    };
    let is_below = |other: &&Section| other.rank() <= section.rank();
    let below: Vec<_> = config.sections_of(subject).filter(is_below).collect();
    check_probe(section, &below, report);
    let layers = super::layers(below.iter().flat_map(|section| &section.assignments));
    match layers.settings() {
        Err(error) => report.add_problem(error),
        Ok(settings) => {
            let touched = |key: Key| section.assignments.iter().any(|one| one.key == key);
            for message in warnings(&settings, touched) {
                report.warnings.push(Error::Config {
                    path: section.path.to_path_buf(),
                    line: section.line,
                    message: format!("{}: {message}", header(&section.selector)),
                });
            }
        }
    }
}

/// The probe of a section with all that is below it.
fn check_probe(section: &Section, below: &[&Section], report: &mut Report) {
    let Some(probe) = &section.probe else { return };
    let layers = super::probe_layers(below.iter().flat_map(|one| one.probe_assignments()));
    match layers.settings() {
        Err(error) => report.add_problem(error),
        // It may be what is wrong with the file.
        Ok(_) if !report.problems.is_empty() => {}
        Ok(settings)
            if settings.spec.is_none() && matches!(section.selector, Selector::Name(_)) =>
        {
            let header = probe_header(&section.selector);
            report.warnings.push(Error::Config {
                path: section.path.to_path_buf(),
                line: probe.line,
                message: format!("{header}: nothing says what to look at, such as http or tcp"),
            });
        }
        Ok(_) => {}
    }
}

/// What is odd about settings, as far as the section touches it.
fn warnings(settings: &Settings, touched: impl Fn(Key) -> bool) -> Vec<String> {
    let policy = &settings.policy;
    let rules = [Key::ConsecutiveFailures, Key::Failures, Key::FailureRate, Key::SlowRate];
    let mut found = Vec::new();
    if let WindowSize::Calls(calls) = policy.window {
        let touches = |key| touched(key) || touched(Key::Window);
        if policy.failures > calls && touches(Key::Failures) {
            found.push(format!(
                "failures = {} can never be reached in a window of {calls} calls",
                policy.failures
            ));
        }
        if policy.min_calls > calls && touches(Key::MinCalls) {
            found.push(format!(
                "min_calls = {} counts as {calls}: the window holds no more calls",
                policy.min_calls
            ));
        }
    }
    if !can_trip(policy) && (rules.into_iter().any(&touched) || touched(Key::Window)) {
        found.push("no rule can open the breaker; only people can".to_owned());
    }
    if settings.timeout.is_some() && policy.slow_call >= settings.timeout && touched(Key::SlowCall)
    {
        found
            .push("slow_call is not below timeout: such a call fails before it is slow".to_owned());
    }
    found
}

fn can_trip(policy: &Policy) -> bool {
    let reachable = match policy.window {
        WindowSize::Calls(calls) => policy.failures <= calls,
        WindowSize::Millis(_) => true,
    };
    if reachable { policy.has_rule() } else { Policy { failures: 0, ..policy.clone() }.has_rule() }
}
