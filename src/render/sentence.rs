//! A breaker in one line of words.

use std::time::Duration;

use super::times::rough;
use crate::model::text::{duration, excerpt};
use crate::model::{Hold, Outcome, State, View};

const WHO_CHARS_MAX: usize = 32;
const COMMENT_CHARS_MAX: usize = 80;

/// What the breaker does with calls, and until when.
pub fn of(view: &View) -> String {
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

/// How a breaker stands that somebody waited for in vain, for so long.
pub fn still(view: &View, waited: Duration) -> String {
    let begin = format!("still {} after {}", view.state.name(), duration(waited));
    match view.state {
        State::Closed => begin,
        State::Open => match view.retry_after_ms {
            Some(left_ms) if left_ms > 0 => format!("{begin}: next trial in {}", rough(left_ms)),
            _ => format!("{begin}: a trial is due"),
        },
        State::HalfOpen => format!("{begin}: {} of its trials under way", view.round.in_flight),
        State::Held(_) => format!("{begin}: held{}", held_by(view)),
    }
}

/// The same where it was healthy probes that somebody waited for.
pub fn not_healthy(view: &View, waited: Duration) -> String {
    format!("{}, and not healthy after {}", view.state.name(), duration(waited))
}

/// What the latest probe said.
pub fn last_probe(view: &View) -> String {
    match view.last_probe {
        None => "never probed".to_owned(),
        Some(last) => match (last.outcome, last.in_a_row) {
            (Outcome::Success | Outcome::Ignored, _) => "the last probe succeeded".to_owned(),
            (Outcome::Failure, 1) => "the last probe failed".to_owned(),
            (Outcome::Failure, count) => format!("the last {count} probes failed"),
        },
    }
}

fn half_open(view: &View) -> String {
    let round = &view.round;
    let counted = |count: u32, what: &str| match count {
        0 => String::new(),
        1 => format!(", 1 trial {what}"),
        _ => format!(", {count} trials {what}"),
    };
    let succeeded = counted(round.successes, "succeeded");
    let failed = counted(round.failures, "failed");
    let taken = counted(round.in_flight, "under way");
    let free = match round.permitted {
        0 => ", none free",
        _ => "",
    };
    format!("half-open{succeeded}{failed}{taken}{free}")
}

/// Why the latest transition happened, in brackets.
fn why(view: &View) -> String {
    match &view.last_transition {
        Some(last) if last.by.is_empty() => format!(" ({})", last.reason.words()),
        Some(last) => format!(" ({})", by(&last.by, &last.comment)),
        None => String::new(),
    }
}

fn held_by(view: &View) -> String {
    let Some(held) = &view.held else { return String::new() };
    let end =
        held.left_ms.map_or_else(String::new, |left_ms| format!("; ends in {}", rough(left_ms)));
    format!(" ({}{end})", by(&held.by, &held.comment))
}

/// Who did it and why, in one line that steers no terminal. What a person wrote
/// can be long: a sentence shows its beginning, JSON all of it.
pub(super) fn by(who: &str, comment: &str) -> String {
    let who = excerpt(who, WHO_CHARS_MAX);
    match comment {
        "" => format!("by {who}"),
        _ => format!("by {who}: {}", excerpt(comment, COMMENT_CHARS_MAX)),
    }
}
