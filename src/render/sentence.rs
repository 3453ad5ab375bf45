//! A breaker in one line of words.

use super::times::rough;
use crate::model::text::printable;
use crate::model::{Hold, State, View};

/// What the breaker does with calls, and until when; what people wrote is
/// escaped for a terminal.
pub fn of(view: &View) -> String {
    printable(&words(view)).into_owned()
}

fn words(view: &View) -> String {
    match view.state {
        State::Closed => "closed".to_owned(),
        State::Open => match view.retry_after_ms {
            Some(left_ms) if left_ms > 0 => {
                format!("open{}, next trial in {}", why(view), rough(left_ms))
            }
            _ => format!("open{}, a trial is due", why(view)),
        },
        State::HalfOpen => half_open(view),
        State::Held(hold) => {
            let what = match hold {
                Hold::ForcedOpen => "every call is rejected",
                Hold::Disabled => "every call passes, none is counted",
                Hold::MetricsOnly => "every call passes and is counted, none trips",
            };
            format!("{}: {what}{}", hold.name(), held_by(view))
        }
    }
}

fn half_open(view: &View) -> String {
    let round = &view.round;
    let taken = match round.in_flight {
        0 => String::new(),
        1 => ", 1 trial under way".to_owned(),
        count => format!(", {count} trials under way"),
    };
    let free = match round.permitted {
        0 => ", none free",
        _ => "",
    };
    format!("half-open{taken}{free}")
}

/// Why the latest transition happened, in brackets.
fn why(view: &View) -> String {
    match &view.last_transition {
        Some(last) if last.by.is_empty() => format!(" ({})", last.reason.words()),
        Some(last) if last.comment.is_empty() => format!(" (by {})", last.by),
        Some(last) => format!(" (by {}: {})", last.by, last.comment),
        None => String::new(),
    }
}

fn held_by(view: &View) -> String {
    let Some(held) = &view.held else { return String::new() };
    let comment = if held.comment.is_empty() { "" } else { ": " };
    format!(" (by {}{comment}{})", held.by, held.comment)
}
