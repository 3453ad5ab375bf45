//! A round of trials in half-open: permits that are leases, and the verdict.

use super::backoff::millis;
use super::outcome::Outcome;
use super::permit::Recorded;
use super::policy::Policy;
use super::{Ms, Now};

/// So many lost trials with no result between them count as one failed trial.
pub const LOST_TRIALS_PER_FAILURE: u32 = 3;

/// A round of trials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Round {
    pub(crate) successes: u32,
    pub(crate) failures: u32,
    /// Trials lost since the last result.
    pub(crate) lost: u32,
    /// The number of the next trial: numbers are never used twice in a round.
    pub(crate) next_serial: u64,
    pub(crate) trials: Vec<Trial>,
}

/// A trial in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Its number within the round.
    pub serial: u64,
    /// When its lease ends.
    pub until_ms: Ms,
    /// Who holds the permit.
    pub holder: Holder,
}

/// Who holds a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A process, for as long as it lives.
    Process,
    /// Whoever has the token: only the lease ends it.
    Token,
}

impl Round {
    pub(super) fn start_trial(&mut self, policy: &Policy, now: Now, holder: Holder) -> Option<u64> {
        if !self.has_room(policy) {
            return None;
        }
        let serial = self.next_serial;
        self.next_serial = self.next_serial.saturating_add(1);
        let until_ms = now.at_ms.saturating_add(millis(policy.permit_ttl));
        self.trials.push(Trial { serial, until_ms, holder });
        Some(serial)
    }

    /// Whether another trial may start.
    pub(super) fn has_room(&self, policy: &Policy) -> bool {
        self.taken() < policy.half_open_calls
    }

    /// Takes a trial out of flight; whether it was in it.
    pub(super) fn end_trial(&mut self, serial: u64) -> bool {
        let before = self.trials.len();
        self.trials.retain(|trial| trial.serial != serial);
        self.trials.len() < before
    }

    /// Takes the trial out of flight whose lease was the first to run out by now;
    /// when it did.
    pub(super) fn end_lease(&mut self, now_ms: Ms) -> Option<Ms> {
        let first = self.trials.iter().min_by_key(|trial| trial.until_ms)?;
        let (serial, until_ms) = (first.serial, first.until_ms);
        (until_ms <= now_ms && self.end_trial(serial)).then_some(until_ms)
    }

    pub(super) fn count(&mut self, outcome: Outcome, failed: bool) -> Recorded {
        if outcome == Outcome::Ignored {
            return Recorded::Uncounted;
        }
        self.lost = 0;
        if failed {
            self.failures = self.failures.saturating_add(1);
        } else {
            self.successes = self.successes.saturating_add(1);
        }
        Recorded::Counted
    }

    pub(super) fn count_lost(&mut self) {
        self.lost = self.lost.saturating_add(1);
        if self.lost >= LOST_TRIALS_PER_FAILURE {
            self.lost = 0;
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// The trials of the round that are decided or in flight.
    pub(super) fn taken(&self) -> u32 {
        let in_flight = u32::try_from(self.trials.len()).unwrap_or(u32::MAX);
        self.successes.saturating_add(self.failures).saturating_add(in_flight)
    }

    /// Whether the successes that close can no longer be reached.
    pub(super) fn is_lost(&self, policy: &Policy) -> bool {
        policy.half_open_calls.saturating_sub(self.failures) < policy.success_threshold
    }
}
