//! What a breaker remembers for its readers: totals, the latest transition, the
//! latest failure, the latest probe. No rule depends on any of it.

use super::backoff::millis;
use super::event::{Reason, State};
use super::outcome::{Finished, Outcome};
use super::{Ms, Now};

/// Counts since the breaker was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls admitted.
    pub admitted: u64,
    /// Calls rejected.
    pub rejected: u64,
    /// Results that were successes.
    pub succeeded: u64,
    /// Results that were failures.
    pub failed: u64,
    /// Results that said nothing.
    pub ignored: u64,
    /// Failures by timeout.
    pub timed_out: u64,
    /// Slow calls, whatever else they were.
    pub slow: u64,
    /// Results that came too late to count.
    pub stale: u64,
    /// Transitions to open.
    pub opened: u64,
}

/// The latest transition and who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastTransition {
    /// When.
    pub at_ms: Ms,
    /// From which state.
    pub from: State,
    /// To which state.
    pub to: State,
    /// Why.
    pub reason: Reason,
    /// The person who asked for it; empty where the machine did it.
    pub by: String,
    /// Their words; may be empty.
    pub comment: String,
}

/// The latest failure that counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastFailure {
    /// When it was recorded.
    pub at_ms: Ms,
    /// The exit code, where there was one.
    pub exit_code: Option<i32>,
    /// The signal that ended it, where one did.
    pub signal: Option<i32>,
    /// Whether its time was up.
    pub timed_out: bool,
    /// How long it took.
    pub duration_ms: u64,
}

/// The latest probe that said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastProbe {
    /// When it ended.
    pub at_ms: Ms,
    /// What it said; never [`Outcome::Ignored`].
    pub outcome: Outcome,
    /// Whether it was slow.
    pub slow: bool,
    /// How long it took.
    pub duration_ms: u64,
    /// How many in a row said so, this one included.
    pub in_a_row: u32,
}

impl Totals {
    /// The names that JSON sees, in the order of [`Totals::counts`].
    pub const NAMES: [&'static str; 9] = [
        "admitted",
        "rejected",
        "succeeded",
        "failed",
        "ignored",
        "timed_out",
        "slow",
        "stale",
        "opened",
    ];

    /// All counts, in the order of [`Totals::NAMES`].
    pub const fn counts(&self) -> [u64; 9] {
        [
            self.admitted,
            self.rejected,
            self.succeeded,
            self.failed,
            self.ignored,
            self.timed_out,
            self.slow,
            self.stale,
            self.opened,
        ]
    }

    /// The totals of such counts; what is missing at the end is 0.
    pub fn from_counts(counts: &[u64]) -> Self {
        let count = |at: usize| counts.get(at).copied().unwrap_or(0);
        Totals {
            admitted: count(0),
            rejected: count(1),
            succeeded: count(2),
            failed: count(3),
            ignored: count(4),
            timed_out: count(5),
            slow: count(6),
            stale: count(7),
            opened: count(8),
        }
    }

    pub(super) fn count(&mut self, call: &Finished, slow: bool) {
        match call.outcome {
            Outcome::Ignored => {
                self.ignored = self.ignored.saturating_add(1);
                return;
            }
            Outcome::Success => self.succeeded = self.succeeded.saturating_add(1),
            Outcome::Failure => self.failed = self.failed.saturating_add(1),
        }
        self.timed_out = self.timed_out.saturating_add(u64::from(call.timed_out));
        self.slow = self.slow.saturating_add(u64::from(slow));
    }
}

impl LastFailure {
    pub(super) fn of(call: &Finished, now: Now) -> Self {
        LastFailure {
            at_ms: now.at_ms,
            exit_code: call.exit_code,
            signal: call.signal,
            timed_out: call.timed_out,
            duration_ms: millis(call.duration),
        }
    }
}
