//! What a reader sees of a breaker: what the next operation would find.

use super::breaker::{Breaker, LastFailure, LastProbe, LastTransition, Phase, Totals};
use super::event::{Hold, Reason, State};
use super::policy::{Policy, WindowSize};
use super::window::Tally;
use super::{Ms, Now};

/// A breaker as it stands at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The state.
    pub state: State,
    /// Open, and the next call would be a trial.
    pub trial_due: bool,
    /// Whether a call would be admitted.
    pub admits: bool,
    /// A number that grows with every transition.
    pub generation: u64,
    /// When this state began.
    pub since_ms: Ms,
    /// When the first trial is due; while open only.
    pub retry_at_ms: Option<Ms>,
    /// How long until then; 0 once it is due.
    pub retry_after_ms: Option<u64>,
    /// The window.
    pub window: WindowSize,
    /// What the window counts.
    pub tally: Tally,
    /// The run of failures.
    pub consecutive_failures: u32,
    /// The round of trials; all zero unless half-open.
    pub round: RoundView,
    /// The hold in force.
    pub held: Option<HeldView>,
    /// Counts since the breaker was made.
    pub totals: Totals,
    /// Under `metrics-only`: the rule that would have tripped.
    pub would_trip: Option<Reason>,
    /// The latest transition.
    pub last_transition: Option<LastTransition>,
    /// The latest failure that counted.
    pub last_failure: Option<LastFailure>,
    /// The latest probe that said something.
    pub last_probe: Option<LastProbe>,
}

/// A round of trials, as a reader sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoundView {
    /// Trials that the round may still start.
    pub permitted: u32,
    /// Trials under way.
    pub in_flight: u32,
    /// Trials that succeeded.
    pub successes: u32,
    /// Trials that failed.
    pub failures: u32,
}

/// A hold, as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldView {
    /// Which.
    pub hold: Hold,
    /// When it ends by itself.
    pub until_ms: Option<Ms>,
    /// How long until then.
    pub left_ms: Option<u64>,
    /// Who set it.
    pub by: String,
    /// Why, in their words.
    pub comment: String,
}

impl Breaker {
    /// What the next operation would find. Changes nothing.
    pub fn view(&self, policy: &Policy, now: Now) -> View {
        let mut settled = self.clone();
        settled.settle(policy, now);
        settled.view_settled(policy, now)
    }

    fn view_settled(&self, policy: &Policy, now: Now) -> View {
        let retry_at_ms = match &self.phase {
            Phase::Open { retry_at_ms } => Some(*retry_at_ms),
            _ => None,
        };
        let trial_due = retry_at_ms.is_some_and(|at_ms| now.at_ms >= at_ms);
        let round = self.round_view(policy);
        let state = self.state();
        View {
            state,
            trial_due,
            admits: match state {
                State::Closed | State::Held(Hold::Disabled | Hold::MetricsOnly) => true,
                State::Held(Hold::ForcedOpen) => false,
                State::Open => trial_due,
                State::HalfOpen => round.permitted > 0,
            },
            generation: self.generation,
            since_ms: self.since_ms,
            retry_at_ms,
            retry_after_ms: retry_at_ms.map(|at_ms| at_ms.saturating_sub(now.at_ms)),
            window: self.window.size(),
            tally: self.window.tally(now.at_ms),
            consecutive_failures: self.consecutive_failures,
            round,
            held: self.held_view(now),
            totals: self.totals,
            would_trip: match state {
                State::Held(Hold::MetricsOnly) => self.rule_that_trips(policy, now),
                _ => None,
            },
            last_transition: self.last_transition.clone(),
            last_failure: self.last_failure,
            last_probe: self.last_probe,
        }
    }

    fn round_view(&self, policy: &Policy) -> RoundView {
        match &self.phase {
            Phase::HalfOpen(round) => RoundView {
                permitted: policy.half_open_calls.saturating_sub(round.taken()),
                in_flight: u32::try_from(round.trials.len()).unwrap_or(u32::MAX),
                successes: round.successes,
                failures: round.failures,
            },
            _ => RoundView::default(),
        }
    }

    fn held_view(&self, now: Now) -> Option<HeldView> {
        match &self.phase {
            Phase::Held(held) => Some(HeldView {
                hold: held.hold,
                until_ms: held.until_ms,
                left_ms: held.until_ms.map(|at_ms| at_ms.saturating_sub(now.at_ms)),
                by: held.by.clone(),
                comment: held.comment.clone(),
            }),
            _ => None,
        }
    }
}
