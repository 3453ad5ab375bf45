//! The breaker: every change of its state is in this file, but what health probes
//! do to it, which is in `breaker/probe.rs`.
//!
//! Each operation takes the policy and the time, first lets what has run out
//! run out (a hold with an end, a trial's lease), then acts, and returns its
//! answer with the transitions it made. A permit carries the generation in
//! which it was given; a result from another generation changes totals only.

mod probe;

use std::time::Duration;

use super::backoff::{millis, open_period_ms};
use super::event::{Hold, Reason, State, Step, Transition};
use super::outcome::{Finished, Outcome};
use super::policy::Policy;
use super::round::Round;
use super::window::Window;
use super::{Ms, Now};

pub use super::permit::{Permit, Recorded, Rejection, Verdict};
pub use super::round::{Holder, Trial};
pub use super::totals::{LastFailure, LastProbe, LastTransition, Totals};
pub use probe::{ProbeEffect, ProbePermit, Probed};

/// A breaker's whole state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// When it was made. One that was removed and made again under its name is
    /// another breaker, and takes no result of the former's calls.
    pub(crate) born_ms: Ms,
    pub(crate) generation: u64,
    pub(crate) phase: Phase,
    pub(crate) since_ms: Ms,
    pub(crate) window: Window,
    pub(crate) consecutive_failures: u32,
    /// Re-opens since the breaker was last closed: the exponent of the backoff.
    pub(crate) reopens: u32,
    /// Good looks in a row since the breaker opened.
    pub(crate) good_looks: u32,
    pub(crate) totals: Totals,
    pub(crate) last_transition: Option<LastTransition>,
    pub(crate) last_failure: Option<LastFailure>,
    pub(crate) last_probe: Option<LastProbe>,
    /// The settings that the last caller gave by hand. The machine does not
    /// read them; they let readers see the policy that callers use.
    pub(crate) flags: String,
}

/// The state with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Closed,
    Open { retry_at_ms: Ms },
    HalfOpen(Round),
    Held(Held),
}

/// A hold in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) hold: Hold,
    pub(crate) until_ms: Option<Ms>,
    pub(crate) by: String,
    pub(crate) comment: String,
}

/// What a person asks for.
#[derive(Clone, Copy, Debug)]
pub struct Manual<'a> {
    /// Who asks.
    pub by: &'a str,
    /// Why, in their words; may be empty.
    pub comment: &'a str,
    /// For how long, where it shall end by itself.
    pub lasting: Option<Duration>,
}

impl Breaker {
    /// A closed breaker that has seen nothing. Its window takes the size of the
    /// first policy it meets.
    pub fn new(now: Now) -> Self {
        Breaker {
            born_ms: now.at_ms,
            generation: 0,
            phase: Phase::Closed,
            since_ms: now.at_ms,
            window: Window::new(Policy::default().window),
            consecutive_failures: 0,
            reopens: 0,
            good_looks: 0,
            totals: Totals::default(),
            last_transition: None,
            last_failure: None,
            last_probe: None,
            flags: String::new(),
        }
    }

    /// Asks for a permit to make one call.
    pub fn admit(&mut self, policy: &Policy, now: Now, holder: Holder) -> Step<Verdict> {
        let mut transitions = self.settle(policy, now);
        if let Phase::Open { retry_at_ms } = self.phase
            && now.at_ms >= retry_at_ms
        {
            self.go(Phase::HalfOpen(Round::default()), Reason::TrialDue, now.at_ms)
                .onto(&mut transitions);
        }
        let (born_ms, generation, started_ms) = (self.born_ms, self.generation, now.at_ms);
        let permit = |trial| Verdict::Admit(Permit { born_ms, generation, trial, started_ms });
        let value = match &mut self.phase {
            Phase::Closed => permit(None),
            Phase::Open { retry_at_ms } => {
                Verdict::Reject(Rejection::Open { retry_at_ms: *retry_at_ms })
            }
            Phase::HalfOpen(round) => match round.start_trial(policy, now, holder) {
                Some(serial) => permit(Some(serial)),
                None => Verdict::Reject(Rejection::NoTrialFree),
            },
            Phase::Held(held) => match held.hold {
                Hold::ForcedOpen => Verdict::Reject(Rejection::ForcedOpen),
                Hold::Disabled | Hold::MetricsOnly => permit(None),
            },
        };
        match value {
            Verdict::Admit(_) => self.totals.admitted = self.totals.admitted.saturating_add(1),
            Verdict::Reject(_) => self.totals.rejected = self.totals.rejected.saturating_add(1),
        }
        Step { value, transitions }
    }

    /// Counts a call that finds no room among those in flight, and so is not
    /// admitted: the machine's own reason to reject it goes first, if it has one.
    pub fn turn_away(&mut self, policy: &Policy, now: Now) -> Step<Rejection> {
        let transitions = self.settle(policy, now);
        let value = match &self.phase {
            Phase::Open { retry_at_ms } if now.at_ms < *retry_at_ms => {
                Rejection::Open { retry_at_ms: *retry_at_ms }
            }
            Phase::Held(Held { hold: Hold::ForcedOpen, .. }) => Rejection::ForcedOpen,
            Phase::HalfOpen(round) if !round.has_room(policy) => Rejection::NoTrialFree,
            _ => Rejection::NoRoom,
        };
        self.totals.rejected = self.totals.rejected.saturating_add(1);
        Step { value, transitions }
    }

    /// Takes the result of a call that was admitted with this permit.
    pub fn record(
        &mut self,
        policy: &Policy,
        now: Now,
        permit: Permit,
        call: &Finished,
    ) -> Step<Recorded> {
        let mut transitions = self.settle(policy, now);
        let slow = policy.is_slow(call.duration);
        self.totals.count(call, slow);
        let value = self.take_result(policy, now, permit, call);
        match value {
            Recorded::Stale => self.totals.stale = self.totals.stale.saturating_add(1),
            Recorded::Counted if call.outcome == Outcome::Failure => {
                self.last_failure = Some(LastFailure::of(call, now));
            }
            Recorded::Counted | Recorded::Uncounted => {}
        }
        if value == Recorded::Counted {
            self.judge(policy, now).onto(&mut transitions);
        }
        Step { value, transitions }
    }

    /// Gives up a trial whose holder is gone: its permit is free again.
    pub fn lose(&mut self, policy: &Policy, now: Now, permit: Permit) -> Step<()> {
        let mut transitions = self.settle(policy, now);
        if self.gave(permit)
            && let Phase::HalfOpen(round) = &mut self.phase
            && permit.trial.is_some_and(|serial| round.end_trial(serial))
        {
            round.count_lost();
            self.judge(policy, now).onto(&mut transitions);
        }
        Step { value: (), transitions }
    }

    /// Opens now; for a period of its own if it has a length. On an open breaker
    /// only such a length changes anything.
    pub fn trip(&mut self, policy: &Policy, now: Now, asked: &Manual<'_>) -> Step<()> {
        let mut transitions = self.settle(policy, now);
        let own_end_ms = asked.lasting.map(|lasting| now.at_ms.saturating_add(millis(lasting)));
        match &mut self.phase {
            Phase::Open { retry_at_ms } => {
                if let Some(own_end_ms) = own_end_ms {
                    *retry_at_ms = own_end_ms;
                    // What was good before says nothing about why it is to last.
                    self.good_looks = 0;
                }
            }
            other => {
                if matches!(other, Phase::HalfOpen(_)) {
                    self.reopens = self.reopens.saturating_add(1);
                }
                let retry_at_ms = own_end_ms.unwrap_or_else(|| self.retry_at_ms(policy, now));
                self.go(Phase::Open { retry_at_ms }, Reason::Manual, now.at_ms)
                    .signed(self, asked)
                    .onto(&mut transitions);
            }
        }
        Step { value: (), transitions }
    }

    /// Closes now, from any state, and empties the window.
    pub fn reset(&mut self, policy: &Policy, now: Now, asked: &Manual<'_>) -> Step<()> {
        let mut transitions = self.settle(policy, now);
        if self.phase == Phase::Closed {
            self.forget();
        } else {
            self.close(Reason::Manual, now.at_ms).signed(self, asked).onto(&mut transitions);
        }
        Step { value: (), transitions }
    }

    /// Sets a hold; on a breaker that is held so already, its end and its words.
    pub fn hold(&mut self, policy: &Policy, now: Now, hold: Hold, asked: &Manual<'_>) -> Step<()> {
        let mut transitions = self.settle(policy, now);
        let held = Held {
            hold,
            until_ms: asked.lasting.map(|lasting| now.at_ms.saturating_add(millis(lasting))),
            by: asked.by.to_owned(),
            comment: asked.comment.to_owned(),
        };
        match &mut self.phase {
            Phase::Held(present) if present.hold == hold => *present = held,
            _ => self
                .go(Phase::Held(held), Reason::Manual, now.at_ms)
                .signed(self, asked)
                .onto(&mut transitions),
        }
        Step { value: (), transitions }
    }

    /// Ends a hold; without one, changes nothing.
    pub fn release(&mut self, policy: &Policy, now: Now, asked: &Manual<'_>) -> Step<()> {
        let mut transitions = self.settle(policy, now);
        if let Phase::Held(held) = &self.phase {
            let hold = held.hold;
            self.end_hold(hold, Reason::Manual, now.at_ms)
                .signed(self, asked)
                .onto(&mut transitions);
        }
        Step { value: (), transitions }
    }

    /// Lets run out what has run out by now, and takes a changed policy.
    pub fn settle(&mut self, policy: &Policy, now: Now) -> Vec<Transition> {
        let mut transitions = Vec::new();
        self.window.resize(policy.window, now.at_ms);
        if let Phase::Held(held) = &self.phase
            && let Some(until_ms) = held.until_ms
            && now.at_ms >= until_ms
        {
            let hold = held.hold;
            self.end_hold(hold, Reason::HoldEnded, until_ms).onto(&mut transitions);
        }
        self.end_leases(policy, now).onto(&mut transitions);
        transitions
    }

    /// The trials in flight whose permit a process holds.
    pub fn process_trials(&self) -> impl Iterator<Item = Permit> + '_ {
        let trials = match &self.phase {
            Phase::HalfOpen(round) => round.trials.as_slice(),
            _ => &[],
        };
        trials.iter().filter(|trial| trial.holder == Holder::Process).map(|trial| Permit {
            born_ms: self.born_ms,
            generation: self.generation,
            trial: Some(trial.serial),
            started_ms: 0,
        })
    }

    /// The state, as it was left by the last operation.
    pub fn state(&self) -> State {
        match &self.phase {
            Phase::Closed => State::Closed,
            Phase::Open { .. } => State::Open,
            Phase::HalfOpen(_) => State::HalfOpen,
            Phase::Held(held) => State::Held(held.hold),
        }
    }

    /// A number that grows with every transition.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The latest transition, and who made it.
    pub fn last_transition(&self) -> Option<&LastTransition> {
        self.last_transition.as_ref()
    }

    /// The settings that the last caller gave by hand, as that caller wrote them.
    pub fn flags(&self) -> &str {
        &self.flags
    }

    /// Keeps the settings that this caller gave by hand.
    pub fn set_flags(&mut self, flags: &str) {
        if self.flags != flags {
            flags.clone_into(&mut self.flags);
        }
    }

    /// The first rule, in their order, that trips on what the window holds.
    pub(super) fn rule_that_trips(&self, policy: &Policy, now: Now) -> Option<Reason> {
        let tally = self.window.tally(now.at_ms);
        let enough = tally.calls > 0 && tally.calls >= policy.min_calls_effective();
        let reached = |limit: u32, count: u32| limit > 0 && count >= limit;
        if reached(policy.consecutive_failures, self.consecutive_failures) {
            Some(Reason::ConsecutiveFailures)
        } else if reached(policy.failures, tally.failures) {
            Some(Reason::FailureCount)
        } else if enough
            && !policy.failure_rate.is_zero()
            && policy.failure_rate.is_reached_by(tally.failures, tally.calls)
        {
            Some(Reason::FailureRate)
        } else if enough
            && policy.judges_slow_calls()
            && policy.slow_rate.is_reached_by(tally.slow, tally.calls)
        {
            Some(Reason::SlowRate)
        } else {
            None
        }
    }

    fn take_result(
        &mut self,
        policy: &Policy,
        now: Now,
        permit: Permit,
        call: &Finished,
    ) -> Recorded {
        if !self.gave(permit) {
            return Recorded::Stale;
        }
        let slow = policy.is_slow(call.duration);
        match (&mut self.phase, permit.trial) {
            (Phase::HalfOpen(round), Some(serial)) => {
                let failed = call.outcome == Outcome::Failure || slow && policy.judges_slow_calls();
                if round.end_trial(serial) {
                    round.count(call.outcome, failed)
                } else {
                    Recorded::Stale
                }
            }
            (Phase::Closed, None) | (Phase::Held(Held { hold: Hold::MetricsOnly, .. }), None) => {
                self.count(now, call.outcome, slow)
            }
            (Phase::Held(Held { hold: Hold::Disabled, .. }), None) => Recorded::Uncounted,
            _ => Recorded::Stale,
        }
    }

    /// Whether this is a permit of this breaker, and of this generation.
    fn gave(&self, permit: Permit) -> bool {
        permit.born_ms == self.born_ms && permit.generation == self.generation
    }

    fn count(&mut self, now: Now, outcome: Outcome, slow: bool) -> Recorded {
        match outcome {
            Outcome::Ignored => return Recorded::Uncounted,
            Outcome::Success => self.consecutive_failures = 0,
            Outcome::Failure => {
                self.consecutive_failures = self.consecutive_failures.saturating_add(1);
            }
        }
        self.window.record(now.at_ms, outcome == Outcome::Failure, slow);
        Recorded::Counted
    }

    /// Draws the conclusion from what was counted.
    fn judge(&mut self, policy: &Policy, now: Now) -> Move {
        match &self.phase {
            Phase::Closed => match self.rule_that_trips(policy, now) {
                Some(reason) => {
                    let retry_at_ms = self.retry_at_ms(policy, now);
                    self.go(Phase::Open { retry_at_ms }, reason, now.at_ms)
                }
                None => Move(None),
            },
            Phase::HalfOpen(round) if round.successes >= policy.success_threshold => {
                self.close(Reason::TrialsSucceeded, now.at_ms)
            }
            Phase::HalfOpen(round) if round.is_lost(policy) => {
                self.reopens = self.reopens.saturating_add(1);
                let retry_at_ms = self.retry_at_ms(policy, now);
                self.go(Phase::Open { retry_at_ms }, Reason::TrialFailed, now.at_ms)
            }
            Phase::HalfOpen(_) | Phase::Open { .. } | Phase::Held(_) => Move(None),
        }
    }

    /// Gives up each trial whose lease has run out, at the time when it did: a
    /// round that is decided by it was decided then, whoever looks when.
    fn end_leases(&mut self, policy: &Policy, now: Now) -> Move {
        while let Phase::HalfOpen(round) = &mut self.phase {
            let Some(until_ms) = round.end_lease(now.at_ms) else {
                // A changed policy can decide a round without a new result.
                return self.judge(policy, now);
            };
            round.count_lost();
            let decided = self.judge(policy, Now { at_ms: until_ms, ..now });
            if decided.0.is_some() {
                return decided;
            }
        }
        Move(None)
    }

    fn end_hold(&mut self, hold: Hold, reason: Reason, at_ms: Ms) -> Move {
        match hold {
            Hold::ForcedOpen => self.go(Phase::Open { retry_at_ms: at_ms }, reason, at_ms),
            Hold::Disabled => self.close(reason, at_ms),
            Hold::MetricsOnly => {
                self.reopens = 0;
                self.go(Phase::Closed, reason, at_ms)
            }
        }
    }

    fn close(&mut self, reason: Reason, at_ms: Ms) -> Move {
        self.forget();
        self.go(Phase::Closed, reason, at_ms)
    }

    fn forget(&mut self) {
        self.window.clear();
        self.consecutive_failures = 0;
        self.reopens = 0;
    }

    fn retry_at_ms(&self, policy: &Policy, now: Now) -> Ms {
        now.at_ms.saturating_add(open_period_ms(policy, self.reopens, now.draw))
    }

    /// The one place where the state changes.
    fn go(&mut self, to: Phase, reason: Reason, at_ms: Ms) -> Move {
        let from = self.state();
        self.phase = to;
        self.generation = self.generation.saturating_add(1);
        self.since_ms = at_ms;
        self.good_looks = 0;
        let to = self.state();
        if to == State::Open {
            self.totals.opened = self.totals.opened.saturating_add(1);
        }
        self.last_transition = Some(LastTransition {
            at_ms,
            from,
            to,
            reason,
            by: String::new(),
            comment: String::new(),
        });
        Move(Some(Transition { from, to, reason, at_ms, generation: self.generation }))
    }
}

/// A transition on its way to the report, if there was one.
#[must_use]
struct Move(Option<Transition>);

impl Move {
    fn signed(self, breaker: &mut Breaker, asked: &Manual<'_>) -> Self {
        if let Some(last) = &mut breaker.last_transition {
            asked.by.clone_into(&mut last.by);
            asked.comment.clone_into(&mut last.comment);
        }
        self
    }

    fn onto(self, transitions: &mut Vec<Transition>) {
        transitions.extend(self.0);
    }
}
