//! Permits: what a call asks for, is given or refused, and what becomes of its
//! result.

use super::Ms;

/// The right to make one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// When the breaker that gave it was made.
    pub born_ms: Ms,
    /// The generation it was given in.
    pub generation: u64,
    /// The number of the trial, where the call is one.
    pub trial: Option<u64>,
    /// When it was given.
    pub started_ms: Ms,
}

/// The answer to a call that asks to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Admit(Permit),
    /// It may not.
    Reject(Rejection),
}

/// Why a call may not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The breaker is open.
    Open {
        /// When the first trial is due.
        retry_at_ms: Ms,
    },
    /// Half-open, and every trial of the round is taken.
    NoTrialFree,
    /// A person forced it open.
    ForcedOpen,
    /// As many calls are in flight as may be.
    NoRoom,
}

impl Rejection {
    /// The name that JSON sees.
    pub const fn name(self) -> &'static str {
        match self {
            Rejection::Open { .. } => "open",
            Rejection::NoTrialFree => "no_trial_free",
            Rejection::ForcedOpen => "forced_open",
            Rejection::NoRoom => "bulkhead",
        }
    }
}

/// What became of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It counts: in the window, or in the round of trials.
    Counted,
    /// It says nothing: it was ignored, or nothing is counted while disabled.
    Uncounted,
    /// It is from another generation, or its trial was given up: totals only.
    Stale,
}
