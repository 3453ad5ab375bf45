//! The state machine, pure: no I/O, no clock, no environment, no randomness.
//!
//! Time and chance come in as [`Now`]; what happened comes back as a [`Step`].
//! The same inputs give the same outputs, so one implementation serves `exec`,
//! the two-step permits, `simulate` and every store.

pub mod backoff;
pub mod breaker;
pub mod event;
pub mod job;
pub mod name;
pub mod outcome;
pub mod permit;
pub mod policy;
pub mod round;
pub mod text;
pub mod totals;
pub mod trust;
pub mod view;
pub mod window;

pub use breaker::Breaker;
pub use event::{Hold, Reason, State, Step, Transition};
pub use name::BreakerName;
pub use outcome::{Finished, Outcome};
pub use permit::{Permit, Rejection, Verdict};
pub use policy::Policy;
pub use view::View;

/// A point on a breaker's own clock, in whole milliseconds.
///
/// The clock belongs to the stored state (it moves on by the boot time that
/// passed, never backwards), so that no step of the wall clock reaches a rule.
pub type Ms = u64;

/// What a step may know of the world: the time, and one draw of chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The time on the breaker's clock.
    pub at_ms: Ms,
    /// A uniform draw that spreads an open period; 0 where there is no jitter.
    pub draw: u64,
}

impl Now {
    /// The given time without a draw of chance: for reading, and for tests.
    pub const fn at(at_ms: Ms) -> Self {
        Now { at_ms, draw: 0 }
    }
}

#[cfg(test)]
mod tests;
