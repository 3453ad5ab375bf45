//! Probes: looks at the dependency that are no calls, and what they may change.
//!
//! A probe of a closed breaker is a call like any other, and one of a half-open
//! breaker is a trial where one is free. Everywhere else it only looks: it admits
//! nothing, rejects nothing and counts in no total. What a look may do is end an
//! open period early, after enough good ones in a row; a bad one never makes the
//! period longer. Only a server that says itself when to come back does, and no
//! longer than the longest period that the policy has.

use std::time::Duration;

use super::{Breaker, Holder, Permit, Phase, Recorded};
use crate::model::backoff::millis;
use crate::model::event::{Reason, Step, Transition};
use crate::model::outcome::{Finished, Outcome};
use crate::model::policy::Policy;
use crate::model::totals::LastProbe;
use crate::model::{Ms, Now};

/// What a probe was given when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbePermit {
    /// It is a call, or a trial.
    Call(Permit),
    /// It only looks.
    Look {
        /// When the breaker was made.
        born_ms: Ms,
        /// The generation in which it began.
        generation: u64,
    },
}

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// What became of its result. A look is never counted.
    pub recorded: Recorded,
    /// What it changed besides.
    pub effect: Option<ProbeEffect>,
}

/// What a probe can do to an open period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeEffect {
    /// The next call is a trial, before its time.
    TrialDue,
    /// The breaker is closed.
    Closed,
    /// The first trial is due later: the server said so.
    RetryLater,
}

impl ProbePermit {
    /// Whether it is a permit of this breaker, of whatever generation.
    fn is_of(self, breaker: &Breaker) -> bool {
        let (ProbePermit::Call(Permit { born_ms, .. }) | ProbePermit::Look { born_ms, .. }) = self;
        born_ms == breaker.born_ms
    }

    /// Whether it is a permit of this breaker, and of this generation.
    fn is_current(self, breaker: &Breaker) -> bool {
        let (ProbePermit::Call(Permit { generation, .. }) | ProbePermit::Look { generation, .. }) =
            self;
        self.is_of(breaker) && generation == breaker.generation
    }
}

impl Breaker {
    /// Begins a probe. It never makes an open breaker half-open, and is never
    /// rejected.
    pub fn begin_probe(&mut self, policy: &Policy, now: Now, holder: Holder) -> Step<ProbePermit> {
        let transitions = self.settle(policy, now);
        let (born_ms, generation, started_ms) = (self.born_ms, self.generation, now.at_ms);
        let call = |trial| ProbePermit::Call(Permit { born_ms, generation, trial, started_ms });
        let value = match &mut self.phase {
            Phase::Closed => Some(call(None)),
            Phase::HalfOpen(round) => {
                round.start_trial(policy, now, holder).map(|serial| call(Some(serial)))
            }
            Phase::Open { .. } | Phase::Held(_) => None,
        };
        if value.is_some() {
            self.totals.admitted = self.totals.admitted.saturating_add(1);
        }
        let value = value.unwrap_or(ProbePermit::Look { born_ms, generation });
        Step { value, transitions }
    }

    /// Takes the result of a probe, and for how long the server asked to be left
    /// alone, if it did. A probe that says nothing ([`Outcome::Ignored`]) leaves no
    /// trace: it is as if it had not begun.
    pub fn end_probe(
        &mut self,
        policy: &Policy,
        now: Now,
        permit: ProbePermit,
        call: &Finished,
        retry_after: Option<Duration>,
    ) -> Step<Probed> {
        let mut transitions = self.settle(policy, now);
        if call.outcome == Outcome::Ignored {
            let value = Probed { recorded: self.take_back(permit), effect: None };
            return Step { value, transitions };
        }
        let is_current = permit.is_current(self);
        let (recorded, mut effect) = match permit {
            ProbePermit::Call(permit) => {
                let step = self.record(policy, now, permit, call);
                transitions.extend(step.transitions);
                (step.value, None)
            }
            ProbePermit::Look { .. } if is_current => {
                (Recorded::Uncounted, self.take_look(policy, now, call, &mut transitions))
            }
            ProbePermit::Look { .. } => (Recorded::Stale, None),
        };
        // Whoever opened it: what the server asks for holds for all.
        if permit.is_of(self)
            && call.outcome == Outcome::Failure
            && let Some(wait) = retry_after
        {
            effect = self.retry_later(policy, now, wait);
        }
        self.remember(policy, now, call);
        Step { value: Probed { recorded, effect }, transitions }
    }

    /// Undoes the beginning of a probe.
    fn take_back(&mut self, permit: ProbePermit) -> Recorded {
        let is_current = permit.is_current(self);
        if let ProbePermit::Call(call) = permit {
            // Another breaker of this name has not counted it.
            if permit.is_of(self) {
                self.totals.admitted = self.totals.admitted.saturating_sub(1);
            }
            if let (true, Phase::HalfOpen(round), Some(serial)) =
                (is_current, &mut self.phase, call.trial)
            {
                round.end_trial(serial);
            }
        }
        if is_current { Recorded::Uncounted } else { Recorded::Stale }
    }

    /// A look of this generation: where the breaker is open, good ones in a row
    /// end its period.
    fn take_look(
        &mut self,
        policy: &Policy,
        now: Now,
        call: &Finished,
        transitions: &mut Vec<Transition>,
    ) -> Option<ProbeEffect> {
        let Phase::Open { retry_at_ms } = &mut self.phase else { return None };
        let too_slow = policy.is_slow(call.duration) && policy.judges_slow_calls();
        match call.outcome {
            Outcome::Success if !too_slow => self.good_looks = self.good_looks.saturating_add(1),
            Outcome::Success | Outcome::Failure | Outcome::Ignored => self.good_looks = 0,
        }
        if self.good_looks == 0 || self.good_looks < policy.rise {
            None
        } else if policy.probe_closes {
            self.close(Reason::Probe, now.at_ms).onto(transitions);
            Some(ProbeEffect::Closed)
        } else if now.at_ms < *retry_at_ms {
            *retry_at_ms = now.at_ms;
            Some(ProbeEffect::TrialDue)
        } else {
            None
        }
    }

    /// Puts off the first trial to when the server wants to be asked again: never
    /// to an earlier time, and never so that the whole period gets longer than any
    /// may be. So no server holds a breaker open for ever by asking again and again.
    fn retry_later(&mut self, policy: &Policy, now: Now, wait: Duration) -> Option<ProbeEffect> {
        let longest_ms = millis(policy.open_max.max(policy.open_for));
        let last_ms = self.since_ms.saturating_add(longest_ms);
        let Phase::Open { retry_at_ms } = &mut self.phase else { return None };
        let asked_ms = now.at_ms.saturating_add(millis(wait)).min(last_ms);
        if asked_ms <= *retry_at_ms {
            return None;
        }
        *retry_at_ms = asked_ms;
        Some(ProbeEffect::RetryLater)
    }

    /// Keeps for readers what a probe said, whatever became of its result.
    fn remember(&mut self, policy: &Policy, now: Now, call: &Finished) {
        let before = match &self.last_probe {
            Some(last) if last.outcome == call.outcome => last.in_a_row,
            _ => 0,
        };
        self.last_probe = Some(LastProbe {
            at_ms: now.at_ms,
            outcome: call.outcome,
            slow: policy.is_slow(call.duration),
            duration_ms: millis(call.duration),
            in_a_row: before.saturating_add(1),
        });
    }
}
