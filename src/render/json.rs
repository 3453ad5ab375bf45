//! The JSON that programs read. Each schema has a version and only grows.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Map, Value};

use super::times::rfc3339;
use super::{Listed, QueueCounts};
use crate::model::policy::WindowSize;
use crate::model::totals::Totals;
use crate::model::view::HeldView;
use crate::model::window::Tally;
use crate::model::{Ms, Reason, State, Transition, View, text};
use crate::simulate::Outcomes;

/// `cb status --json`: the schema `cb.status/1`.
///
/// # Errors
///
/// What cannot be written.
pub fn status(listed: &[Listed], out: &mut dyn Write) -> io::Result<()> {
    let breakers = listed.iter().map(BreakerBody::of).collect();
    let body = StatusBody { schema: "cb.status/1", breakers };
    write_safe(&serde_json::to_string_pretty(&body)?, out)
}

/// `cb simulate --json`: one object for each line, named by its time, op and id.
///
/// # Errors
///
/// What cannot be written.
pub fn simulated(
    (t, op, id): (Ms, &str, Option<&str>),
    outcomes: &Outcomes,
    out: &mut dyn Write,
) -> io::Result<()> {
    let view = &outcomes.view;
    let Rates { failure_rate, slow_rate } = Rates::of(view.tally);
    let body = SimulatedBody {
        t,
        op,
        id,
        admitted: outcomes.admitted,
        recorded: outcomes.recorded,
        state: view.state.name(),
        trial_due: view.trial_due,
        retry_after_ms: view.retry_after_ms,
        calls: view.tally.calls,
        failures: view.tally.failures,
        slow: view.tally.slow,
        failure_rate,
        slow_rate,
        consecutive_failures: view.consecutive_failures,
        generation: view.generation,
        would_trip: view.would_trip.map(Reason::name),
        transitions: outcomes.transitions.iter().map(TransitionBody::of).collect(),
    };
    write_safe(&serde_json::to_string(&body)?, out)
}

/// Writes JSON so that it may also be read on a terminal. JSON itself escapes
/// the ASCII control characters; what else could steer stands in strings only,
/// and is escaped as those are.
pub(super) fn write_safe(json: &str, out: &mut dyn Write) -> io::Result<()> {
    let mut rest = json;
    while let Some(at) = rest.find(|c| c != '\n' && text::steers(c)) {
        let (before, from) = rest.split_at(at);
        out.write_all(before.as_bytes())?;
        let mut chars = from.chars();
        let mut units = [0; 2];
        for unit in chars.next().unwrap_or_default().encode_utf16(&mut units) {
            write!(out, "\\u{unit:04x}")?;
        }
        rest = chars.as_str();
    }
    out.write_all(rest.as_bytes())?;
    out.write_all(b"\n")
}

#[derive(Serialize)]
struct SimulatedBody<'a> {
    t: u64,
    op: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admitted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<bool>,
    state: &'static str,
    trial_due: bool,
    retry_after_ms: Option<u64>,
    calls: u32,
    failures: u32,
    slow: u32,
    failure_rate: Option<f64>,
    slow_rate: Option<f64>,
    consecutive_failures: u32,
    generation: u64,
    would_trip: Option<&'static str>,
    transitions: Vec<TransitionBody>,
}

#[derive(Serialize)]
struct TransitionBody {
    from: &'static str,
    to: &'static str,
    reason: &'static str,
}

#[derive(Serialize)]
struct StatusBody<'a> {
    schema: &'static str,
    breakers: Vec<BreakerBody<'a>>,
}

#[derive(Serialize)]
struct BreakerBody<'a> {
    name: &'a str,
    known: bool,
    state: &'static str,
    trial_due: bool,
    hold: Option<HoldBody<'a>>,
    generation: u64,
    since: Option<String>,
    retry_at: Option<String>,
    retry_after_ms: Option<u64>,
    window: WindowBody,
    consecutive_failures: u32,
    half_open: RoundBody,
    totals: Map<String, Value>,
    would_trip: Option<&'static str>,
    last_transition: Option<LastTransitionBody<'a>>,
    last_failure: Option<LastFailureBody>,
    last_probe: Option<LastProbeBody>,
    queue: QueueBody,
    policy: Map<String, Value>,
}

#[derive(Serialize)]
struct HoldBody<'a> {
    until: Option<String>,
    by: &'a str,
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct WindowBody {
    kind: &'static str,
    size: u64,
    calls: u32,
    failures: u32,
    slow: u32,
    failure_rate: Option<f64>,
    slow_rate: Option<f64>,
}

#[derive(Serialize)]
struct RoundBody {
    permitted: u32,
    in_flight: u32,
    successes: u32,
    failures: u32,
}

#[derive(Serialize)]
struct QueueBody {
    pending: u64,
    running: u64,
    failed: u64,
    doubt: u64,
}

#[derive(Serialize)]
struct LastTransitionBody<'a> {
    at: String,
    from: &'static str,
    to: &'static str,
    reason: &'static str,
    by: Option<&'a str>,
    comment: Option<&'a str>,
}

#[derive(Serialize)]
struct LastFailureBody {
    at: String,
    exit_code: Option<i32>,
    signal: Option<i32>,
    timed_out: bool,
    duration_ms: u64,
}

#[derive(Serialize)]
struct LastProbeBody {
    at: String,
    outcome: &'static str,
    slow: bool,
    duration_ms: u64,
}

/// The shares of a tally; none while it is empty.
struct Rates {
    failure_rate: Option<f64>,
    slow_rate: Option<f64>,
}

impl Rates {
    fn of(tally: Tally) -> Self {
        let share = |part: u32| match tally.calls {
            0 => None,
            calls => Some(f64::from(part) / f64::from(calls)),
        };
        Rates { failure_rate: share(tally.failures), slow_rate: share(tally.slow) }
    }
}

impl TransitionBody {
    fn of(transition: &Transition) -> Self {
        TransitionBody {
            from: transition.from.name(),
            to: transition.to.name(),
            reason: transition.reason.name(),
        }
    }
}

impl<'a> BreakerBody<'a> {
    fn of(listed: &'a Listed) -> Self {
        let view = &listed.view;
        let at = |at_ms: Ms| rfc3339(listed.wall_ms(at_ms));
        let policy = listed.policy.iter();
        BreakerBody {
            name: &listed.name,
            known: listed.known,
            state: view.state.name(),
            trial_due: view.trial_due,
            hold: view.held.as_ref().map(|held| HoldBody::of(held, at)),
            generation: view.generation,
            since: listed.known.then(|| at(view.since_ms)),
            retry_at: view.retry_at_ms.map(at),
            retry_after_ms: view.retry_after_ms,
            window: WindowBody::of(view),
            consecutive_failures: view.consecutive_failures,
            half_open: RoundBody::of(view),
            totals: totals(view),
            would_trip: view.would_trip.map(Reason::name),
            last_transition: view.last_transition.as_ref().map(|last| LastTransitionBody {
                at: at(last.at_ms),
                from: State::name(last.from),
                to: State::name(last.to),
                reason: last.reason.name(),
                by: some(&last.by),
                comment: some(&last.comment),
            }),
            last_failure: view.last_failure.map(|last| LastFailureBody {
                at: at(last.at_ms),
                exit_code: last.exit_code,
                signal: last.signal,
                timed_out: last.timed_out,
                duration_ms: last.duration_ms,
            }),
            last_probe: view.last_probe.map(|last| LastProbeBody {
                at: at(last.at_ms),
                outcome: last.outcome.name(),
                slow: last.slow,
                duration_ms: last.duration_ms,
            }),
            queue: QueueBody::of(listed.queue.unwrap_or_default()),
            policy: policy.map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        }
    }
}

impl QueueBody {
    fn of(counts: QueueCounts) -> Self {
        let QueueCounts { pending, running, failed, doubt } = counts;
        QueueBody { pending, running, failed, doubt }
    }
}

impl<'a> HoldBody<'a> {
    fn of(held: &'a HeldView, at: impl Fn(Ms) -> String) -> Self {
        HoldBody { until: held.until_ms.map(at), by: &held.by, reason: some(&held.comment) }
    }
}

impl WindowBody {
    fn of(view: &View) -> Self {
        let (kind, size) = match view.window {
            WindowSize::Calls(calls) => ("calls", u64::from(calls)),
            WindowSize::Millis(millis) => ("time", millis),
        };
        let Rates { failure_rate, slow_rate } = Rates::of(view.tally);
        let Tally { calls, failures, slow } = view.tally;
        WindowBody { kind, size, calls, failures, slow, failure_rate, slow_rate }
    }
}

impl RoundBody {
    fn of(view: &View) -> Self {
        let round = view.round;
        RoundBody {
            permitted: round.permitted,
            in_flight: round.in_flight,
            successes: round.successes,
            failures: round.failures,
        }
    }
}

fn totals(view: &View) -> Map<String, Value> {
    let counts = Totals::NAMES.into_iter().zip(view.totals.counts());
    counts.map(|(name, count)| (name.to_owned(), count.into())).collect()
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
