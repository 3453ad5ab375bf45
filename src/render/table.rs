//! The table of `cb status`.

use std::io::{self, Write};

use super::Listed;
use super::sentence::by;
use super::times::rough;
use crate::model::policy::WindowSize;
use crate::model::{Hold, State, View};

const HEAD: [&str; 8] = ["NAME", "STATE", "SINCE", "CALLS", "FAILED", "SLOW", "NEXT TRIAL", "WHY"];
const STATE_COLUMN: usize = 1;
/// Numbers line up at their right end.
const NUMBER_COLUMNS: [usize; 3] = [3, 4, 5];

/// Writes one line for each breaker, columns aligned.
///
/// # Errors
///
/// What cannot be written.
pub fn status(listed: &[Listed], colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let rows: Vec<[String; 8]> = listed.iter().map(row).collect();
    let mut widths = HEAD.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let head = HEAD.map(str::to_owned);
    line(&head, &widths, None, out)?;
    for (row, listed) in rows.iter().zip(listed) {
        let paint = if colour { Some(paint(&listed.view)) } else { None };
        line(row, &widths, paint, out)?;
    }
    Ok(())
}

fn row(listed: &Listed) -> [String; 8] {
    let view = &listed.view;
    let tally = view.tally;
    let calls = match view.window {
        WindowSize::Calls(size) => format!("{}/{size}", tally.calls),
        WindowSize::Millis(millis) => format!("{} in {}", tally.calls, rough(millis)),
    };
    [
        listed.name.clone(),
        view.state.name().to_owned(),
        if listed.known { rough(listed.ago_ms(view.since_ms)) } else { "-".to_owned() },
        calls,
        share(tally.failures, tally.calls),
        share(tally.slow, tally.calls),
        next_trial(view),
        why(listed),
    ]
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

fn line(
    cells: &[String; 8],
    widths: &[usize; 8],
    paint: Option<&str>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let gap = " ".repeat(width - cell.chars().count());
        let cell = match paint {
            Some(code) if column == STATE_COLUMN => format!("\u{1b}[{code}m{cell}\u{1b}[0m"),
            _ => cell.clone(),
        };
        if column > 0 {
            text.push_str("  ");
        }
        if NUMBER_COLUMNS.contains(&column) {
            text.push_str(&gap);
            text.push_str(&cell);
        } else {
            text.push_str(&cell);
            text.push_str(&gap);
        }
    }
    writeln!(out, "{}", text.trim_end())
}
