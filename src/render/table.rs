//! The table of `cb status`.

use std::io::{self, Write};

use super::grid::Grid;
use super::sentence::by;
use super::times::rough;
use super::{Listed, QueueCounts};
use crate::model::policy::WindowSize;
use crate::model::{Hold, State, View};

const HEAD: [&str; 9] =
    ["NAME", "STATE", "SINCE", "CALLS", "FAILED", "SLOW", "NEXT TRIAL", "QUEUE", "WHY"];
const STATE_COLUMN: usize = 1;
const QUEUE_COLUMN: usize = 7;
/// Numbers line up at their right end.
const NUMBER_COLUMNS: [usize; 3] = [3, 4, 5];

/// Writes one line for each breaker, columns aligned. The queues have a column
/// only where there is one.
///
/// # Errors
///
/// What cannot be written.
pub fn status(listed: &[Listed], colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut head = HEAD.to_vec();
    let mut rows: Vec<Vec<String>> = listed.iter().map(row).collect();
    if listed.iter().all(|one| one.queue.is_none()) {
        head.remove(QUEUE_COLUMN);
        for row in &mut rows {
            row.remove(QUEUE_COLUMN);
        }
    }
    let grid = Grid { head: &head, right: &NUMBER_COLUMNS };
    let paint = |index: usize| colour.then(|| (STATE_COLUMN, paint(&listed[index].view)));
    grid.write(&rows, paint, out)
}

fn row(listed: &Listed) -> Vec<String> {
    let view = &listed.view;
    let tally = view.tally;
    let calls = match view.window {
        WindowSize::Calls(size) => format!("{}/{size}", tally.calls),
        WindowSize::Millis(millis) => format!("{} in {}", tally.calls, rough(millis)),
    };
    vec![
        listed.name.clone(),
        view.state.name().to_owned(),
        if listed.known { rough(listed.ago_ms(view.since_ms)) } else { "-".to_owned() },
        calls,
        share(tally.failures, tally.calls),
        share(tally.slow, tally.calls),
        next_trial(view),
        queue(listed.queue.as_ref()),
        why(listed),
    ]
}

/// The jobs that wait, and those that need a person.
fn queue(queue: Option<&QueueCounts>) -> String {
    let Some(queue) = queue else { return "-".to_owned() };
    let mut text = (queue.pending + queue.running).to_string();
    if queue.doubt > 0 {
        text.push_str(&format!(" +{} in doubt", queue.doubt));
    }
    if queue.failed > 0 {
        text.push_str(&format!(" +{} failed", queue.failed));
    }
    text
}

/// A share to a tenth of a percent, rounded down: what a rule has not reached
/// does not look as if it had.
fn share(part: u32, whole: u32) -> String {
    let permille = match whole {
        0 => return "-".to_owned(),
        _ => u64::from(part) * 1000 / u64::from(whole),
    };
    match permille % 10 {
        0 => format!("{}%", permille / 10),
        tenth => format!("{}.{tenth}%", permille / 10),
    }
}

fn next_trial(view: &View) -> String {
    match (view.state, view.retry_after_ms) {
        (State::Open, Some(left_ms)) if left_ms > 0 => format!("in {}", rough(left_ms)),
        (State::Open, _) => "due".to_owned(),
        (State::HalfOpen, _) => match view.round.in_flight {
            0 => "due".to_owned(),
            _ => "under way".to_owned(),
        },
        _ => "-".to_owned(),
    }
}

fn why(listed: &Listed) -> String {
    let view = &listed.view;
    if !listed.known {
        return "never used".to_owned();
    }
    let mut why = match (&view.held, &view.last_transition) {
        (Some(held), _) => by(&held.by, &held.comment),
        (None, Some(last)) if !last.by.is_empty() => by(&last.by, &last.comment),
        (None, Some(last)) => last.reason.words().to_owned(),
        (None, None) => String::new(),
    };
    if let Some(left_ms) = view.held.as_ref().and_then(|held| held.left_ms) {
        why.push_str(&format!("; ends in {}", rough(left_ms)));
    }
    if let Some(rule) = view.would_trip {
        why.push_str(&format!("; would trip: {}", rule.words()));
    }
    if view.state == State::Closed && view.consecutive_failures > 0 {
        let run = view.consecutive_failures;
        why = format!("{run} failure{} in a row", if run == 1 { "" } else { "s" });
    }
    why
}

/// The SGR code of a state: what is well is green, what is not red.
fn paint(view: &View) -> &'static str {
    match view.state {
        State::Closed => "32",
        State::Open | State::Held(Hold::ForcedOpen) => "31",
        State::HalfOpen => "33",
        State::Held(Hold::Disabled | Hold::MetricsOnly) => "35",
    }
}
