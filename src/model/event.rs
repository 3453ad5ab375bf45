//! What a step reports: the states, the reasons, and the transitions it made.

use super::Ms;

/// A state that a person sets and that takes the place of the machine's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Reject every call.
    ForcedOpen,
    /// Admit every call and count none.
    Disabled,
    /// Admit and count, say which rule would trip, never trip.
    MetricsOnly,
}

impl Hold {
    /// Every hold, in the order of the documentation.
    pub const ALL: [Hold; 3] = [Hold::ForcedOpen, Hold::Disabled, Hold::MetricsOnly];

    /// The name that people and JSON see.
    pub const fn name(self) -> &'static str {
        match self {
            Hold::ForcedOpen => "forced-open",
            Hold::Disabled => "disabled",
            Hold::MetricsOnly => "metrics-only",
        }
    }

    /// The hold of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Hold::ALL.into_iter().find(|hold| hold.name() == name)
    }
}

/// The state of a breaker, holds included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Calls pass and are counted.
    Closed,
    /// Calls are rejected until the trial is due.
    Open,
    /// A round of trial calls decides.
    HalfOpen,
    /// A person set it: the hold takes the state's place.
    Held(Hold),
}

impl State {
    /// The name that people and JSON see.
    pub const fn name(self) -> &'static str {
        match self {
            State::Closed => "closed",
            State::Open => "open",
            State::HalfOpen => "half-open",
            State::Held(hold) => hold.name(),
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "closed" => State::Closed,
            "open" => State::Open,
            "half-open" => State::HalfOpen,
            other => State::Held(Hold::from_name(other)?),
        })
    }
}

/// Why a transition happened, or which rule would have made one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// So many failures in a row.
    ConsecutiveFailures,
    /// So many failures in the window.
    FailureCount,
    /// The share of failures.
    FailureRate,
    /// The share of slow calls.
    SlowRate,
    /// A round of trials could no longer succeed.
    TrialFailed,
    /// Enough trials succeeded.
    TrialsSucceeded,
    /// The open period was over and a call came.
    TrialDue,
    /// A hold with an end reached it.
    HoldEnded,
    /// A person did it.
    Manual,
    /// A health probe did it.
    Probe,
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Reason; 10] = [
        Reason::ConsecutiveFailures,
        Reason::FailureCount,
        Reason::FailureRate,
        Reason::SlowRate,
        Reason::TrialFailed,
        Reason::TrialsSucceeded,
        Reason::TrialDue,
        Reason::HoldEnded,
        Reason::Manual,
        Reason::Probe,
    ];

    /// The name that people and JSON see.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::ConsecutiveFailures => "consecutive_failures",
            Reason::FailureCount => "failure_count",
            Reason::FailureRate => "failure_rate",
            Reason::SlowRate => "slow_rate",
            Reason::TrialFailed => "trial_failed",
            Reason::TrialsSucceeded => "trials_succeeded",
            Reason::TrialDue => "trial_due",
            Reason::HoldEnded => "hold_ended",
            Reason::Manual => "manual",
            Reason::Probe => "probe",
        }
    }

    /// The reason in words, to stand in a sentence.
    pub const fn words(self) -> &'static str {
        match self {
            Reason::ConsecutiveFailures => "too many failures in a row",
            Reason::FailureCount => "too many failures",
            Reason::FailureRate => "failure rate too high",
            Reason::SlowRate => "too many slow calls",
            Reason::TrialFailed => "the trial failed",
            Reason::TrialsSucceeded => "the trial succeeded",
            Reason::TrialDue => "a trial was due",
            Reason::HoldEnded => "the hold ended",
            Reason::Manual => "by hand",
            Reason::Probe => "by a probe",
        }
    }

    /// The reason of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Reason::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// One change of state. Exactly one process learns that it made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// Why.
    pub reason: Reason,
    /// When, on the breaker's clock.
    pub at_ms: Ms,
    /// The generation that began with it.
    pub generation: u64,
}

/// The answer of a step, and the transitions it made on the way.
#[must_use = "transitions must be told to those who wait for them"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<T> {
    /// The answer.
    pub value: T,
    /// The transitions, in order.
    pub transitions: Vec<Transition>,
}

impl<T> Step<T> {
    /// The same transitions with another answer.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Step<U> {
        Step { value: make(self.value), transitions: self.transitions }
    }
}
