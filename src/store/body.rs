//! The JSON body of a state, version 1: the only shapes that are written to a
//! state file, with the bounds under which they are read back.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use crate::clock::{Reading, Stamp};
use crate::model::breaker::{
    Breaker, Held, Holder, LastFailure, LastProbe, LastTransition, Phase, Totals,
};
use crate::model::event::{Hold, Reason, State};
use crate::model::outcome::Outcome;
use crate::model::policy::HALF_OPEN_CALLS_MAX;
use crate::model::round::{Round, Trial};
use crate::model::window::{Buckets, Ring, Tally, Window};

/// The longest name of a person that is kept, in bytes.
pub const BY_LEN_MAX: usize = 100;
/// The longest comment that is kept, in bytes.
pub const COMMENT_LEN_MAX: usize = 500;
/// The longest text of flags that is kept, in bytes.
pub const FLAGS_LEN_MAX: usize = 512;

/// Writes a state.
pub fn encode(breaker: &Breaker, stamp: &Stamp) -> Vec<u8> {
    serde_json::to_vec(&Body::of(breaker, stamp)).expect("plain data always has a JSON form")
}

/// Reads a state; `None` where it is not one that this code could have written.
pub fn decode(bytes: &[u8]) -> Option<(Breaker, Stamp)> {
    serde_json::from_slice::<Body<'_>>(bytes).ok()?.into_parts()
}

#[derive(Serialize, Deserialize)]
struct Body<'a> {
    clock: ClockBody,
    born: u64,
    generation: u64,
    since: u64,
    #[serde(borrow)]
    phase: PhaseBody<'a>,
    #[serde(borrow)]
    window: WindowBody<'a>,
    #[serde(default)]
    consecutive_failures: u32,
    #[serde(default)]
    reopens: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    good_looks: u32,
    /// In the order of [`Totals::NAMES`].
    #[serde(default)]
    totals: Vec<u64>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    last_transition: Option<LastTransitionBody<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_failure: Option<LastFailureBody>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    last_probe: Option<LastProbeBody<'a>>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    flags: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct ClockBody {
    at: u64,
    wall: i64,
    boot: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot_id: Option<[u64; 2]>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PhaseBody<'a> {
    Closed,
    Open {
        retry_at: u64,
    },
    HalfOpen {
        successes: u32,
        failures: u32,
        lost: u32,
        next: u64,
        /// Serial number, end of the lease, whether a process holds the permit.
        trials: Vec<(u64, u64, bool)>,
    },
    #[serde(borrow)]
    Held(HeldBody<'a>),
}

#[derive(Serialize, Deserialize)]
struct HeldBody<'a> {
    hold: &'a str,
    until: Option<u64>,
    #[serde(borrow)]
    by: Cow<'a, str>,
    #[serde(borrow)]
    comment: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WindowBody<'a> {
    Calls {
        capacity: u32,
        next: u32,
        calls: u32,
        #[serde(borrow)]
        cells: Cow<'a, str>,
    },
    Time {
        window_ms: u64,
        /// When the first outcome of the bucket finished, calls, failures, slow.
        buckets: Vec<(u64, u32, u32, u32)>,
    },
}

#[derive(Serialize, Deserialize)]
struct LastTransitionBody<'a> {
    at: u64,
    from: &'a str,
    to: &'a str,
    reason: &'a str,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    by: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    comment: Cow<'a, str>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct LastFailureBody {
    at: u64,
    exit_code: Option<i32>,
    signal: Option<i32>,
    timed_out: bool,
    duration_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct LastProbeBody<'a> {
    at: u64,
    outcome: &'a str,
    slow: bool,
    duration_ms: u64,
    in_a_row: u32,
}

impl<'a> Body<'a> {
    fn of(breaker: &'a Breaker, stamp: &Stamp) -> Self {
        Body {
            clock: ClockBody::of(stamp),
            born: breaker.born_ms,
            generation: breaker.generation,
            since: breaker.since_ms,
            phase: PhaseBody::of(&breaker.phase),
            window: WindowBody::of(&breaker.window),
            consecutive_failures: breaker.consecutive_failures,
            reopens: breaker.reopens,
            good_looks: breaker.good_looks,
            totals: breaker.totals.counts().to_vec(),
            last_transition: breaker.last_transition.as_ref().map(LastTransitionBody::of),
            last_failure: breaker.last_failure.as_ref().map(LastFailureBody::of),
            last_probe: breaker.last_probe.as_ref().map(LastProbeBody::of),
            flags: Cow::Borrowed(cut(&breaker.flags, FLAGS_LEN_MAX)),
        }
    }

    fn into_parts(self) -> Option<(Breaker, Stamp)> {
        let breaker = Breaker {
            born_ms: self.born,
            generation: self.generation,
            phase: self.phase.into_phase()?,
            since_ms: self.since,
            window: self.window.into_window()?,
            consecutive_failures: self.consecutive_failures,
            reopens: self.reopens,
            good_looks: self.good_looks,
            totals: Totals::from_counts(&self.totals),
            last_transition: match self.last_transition {
                Some(last) => Some(last.into_last()?),
                None => None,
            },
            last_failure: self.last_failure.map(LastFailureBody::into_last),
            last_probe: match self.last_probe {
                Some(last) => Some(last.into_last()?),
                None => None,
            },
            flags: bounded(self.flags, FLAGS_LEN_MAX)?,
        };
        Some((breaker, self.clock.into_stamp()))
    }
}

impl ClockBody {
    fn of(stamp: &Stamp) -> Self {
        let halves = |id: u128| [(id >> 64) as u64, id as u64];
        ClockBody {
            at: stamp.clock_ms,
            wall: stamp.machine.wall_ms,
            boot: stamp.machine.boot_ms,
            boot_id: stamp.machine.boot_id.map(halves),
        }
    }

    fn into_stamp(self) -> Stamp {
        let whole = |[high, low]: [u64; 2]| u128::from(high) << 64 | u128::from(low);
        let boot_id = self.boot_id.map(whole);
        let machine = Reading { wall_ms: self.wall, boot_ms: self.boot, boot_id };
        Stamp { clock_ms: self.at, machine }
    }
}

impl<'a> PhaseBody<'a> {
    fn of(phase: &'a Phase) -> Self {
        match phase {
            Phase::Closed => PhaseBody::Closed,
            Phase::Open { retry_at_ms } => PhaseBody::Open { retry_at: *retry_at_ms },
            Phase::HalfOpen(round) => PhaseBody::HalfOpen {
                successes: round.successes,
                failures: round.failures,
                lost: round.lost,
                next: round.next_serial,
                trials: round
                    .trials
                    .iter()
                    .map(|trial| (trial.serial, trial.until_ms, trial.holder == Holder::Process))
                    .collect(),
            },
            Phase::Held(held) => PhaseBody::Held(HeldBody {
                hold: held.hold.name(),
                until: held.until_ms,
                by: Cow::Borrowed(cut(&held.by, BY_LEN_MAX)),
                comment: Cow::Borrowed(cut(&held.comment, COMMENT_LEN_MAX)),
            }),
        }
    }

    fn into_phase(self) -> Option<Phase> {
        Some(match self {
            PhaseBody::Closed => Phase::Closed,
            PhaseBody::Open { retry_at } => Phase::Open { retry_at_ms: retry_at },
            PhaseBody::HalfOpen { successes, failures, lost, next, trials } => {
                if trials.len() > HALF_OPEN_CALLS_MAX as usize {
                    return None;
                }
                let trials = trials.into_iter().map(|(serial, until_ms, held)| Trial {
                    serial,
                    until_ms,
                    holder: if held { Holder::Process } else { Holder::Token },
                });
                let trials = trials.collect();
                Phase::HalfOpen(Round { successes, failures, lost, next_serial: next, trials })
            }
            PhaseBody::Held(held) => Phase::Held(Held {
                hold: Hold::from_name(held.hold)?,
                until_ms: held.until,
                by: bounded(held.by, BY_LEN_MAX)?,
                comment: bounded(held.comment, COMMENT_LEN_MAX)?,
            }),
        })
    }
}

impl<'a> WindowBody<'a> {
    fn of(window: &'a Window) -> Self {
        match window {
            Window::Calls(ring) => WindowBody::Calls {
                capacity: ring.capacity(),
                next: ring.next(),
                calls: ring.calls(),
                cells: Cow::Owned(BASE64.encode(ring.cells())),
            },
            Window::Time(buckets) => WindowBody::Time {
                window_ms: buckets.window_ms(),
                buckets: buckets
                    .counts()
                    .map(|(bucket, tally)| (bucket, tally.calls, tally.failures, tally.slow))
                    .collect(),
            },
        }
    }

    fn into_window(self) -> Option<Window> {
        match self {
            WindowBody::Calls { capacity, next, calls, cells } => {
                let cells = BASE64.decode(cells.as_bytes()).ok()?;
                Ring::from_parts(capacity, next, calls, cells).map(Window::Calls)
            }
            WindowBody::Time { window_ms, buckets } => {
                let counts = buckets.into_iter().map(|(bucket, calls, failures, slow)| {
                    (bucket, Tally { calls, failures, slow })
                });
                Buckets::from_parts(window_ms, counts.collect()).map(Window::Time)
            }
        }
    }
}

impl<'a> LastTransitionBody<'a> {
    fn of(last: &'a LastTransition) -> Self {
        LastTransitionBody {
            at: last.at_ms,
            from: last.from.name(),
            to: last.to.name(),
            reason: last.reason.name(),
            by: Cow::Borrowed(cut(&last.by, BY_LEN_MAX)),
            comment: Cow::Borrowed(cut(&last.comment, COMMENT_LEN_MAX)),
        }
    }

    fn into_last(self) -> Option<LastTransition> {
        Some(LastTransition {
            at_ms: self.at,
            from: State::from_name(self.from)?,
            to: State::from_name(self.to)?,
            reason: Reason::from_name(self.reason)?,
            by: bounded(self.by, BY_LEN_MAX)?,
            comment: bounded(self.comment, COMMENT_LEN_MAX)?,
        })
    }
}

impl LastFailureBody {
    fn of(last: &LastFailure) -> Self {
        let LastFailure { at_ms, exit_code, signal, timed_out, duration_ms } = *last;
        LastFailureBody { at: at_ms, exit_code, signal, timed_out, duration_ms }
    }

    fn into_last(self) -> LastFailure {
        let LastFailureBody { at, exit_code, signal, timed_out, duration_ms } = self;
        LastFailure { at_ms: at, exit_code, signal, timed_out, duration_ms }
    }
}

impl LastProbeBody<'_> {
    fn of(last: &LastProbe) -> Self {
        let LastProbe { at_ms, outcome, slow, duration_ms, in_a_row } = *last;
        LastProbeBody { at: at_ms, outcome: outcome.name(), slow, duration_ms, in_a_row }
    }

    fn into_last(self) -> Option<LastProbe> {
        let LastProbeBody { at, outcome, slow, duration_ms, in_a_row } = self;
        let outcome = Outcome::from_name(outcome).filter(|said| *said != Outcome::Ignored)?;
        Some(LastProbe { at_ms: at, outcome, slow, duration_ms, in_a_row })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The text up to a length in bytes, cut between characters.
pub fn cut(text: &str, len_max: usize) -> &str {
    &text[..text.floor_char_boundary(len_max)]
}

fn bounded(text: Cow<'_, str>, len_max: usize) -> Option<String> {
    (text.len() <= len_max).then(|| text.into_owned())
}
