//! The machine's settings: what trips a breaker, how long it stays open, and
//! what closes it again. Values are whole numbers, so that comparing is exact.

use std::time::Duration;

/// The largest count window, and the largest `min_calls`.
pub const WINDOW_CALLS_MAX: u32 = 10_000;
/// The largest number of trials in a round.
pub const HALF_OPEN_CALLS_MAX: u32 = 64;
/// The longest run of good probes that can be asked for.
pub const RISE_MAX: u32 = 1_000;
/// The longest duration any setting takes.
pub const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Which outcomes still count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowSize {
    /// The last so many outcomes (1 to [`WINDOW_CALLS_MAX`]).
    Calls(u32),
    /// The outcomes that finished in the last so many milliseconds.
    Millis(u64),
}

/// A share in hundredths of a percent: 0 to 10,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u16);

impl Percent {
    /// Nothing; for a rate rule this means that the rule is off.
    pub const ZERO: Percent = Percent(0);

    /// From hundredths of a percent, at most 10,000.
    pub const fn from_hundredths(hundredths: u16) -> Option<Self> {
        if hundredths <= 10_000 { Some(Percent(hundredths)) } else { None }
    }

    /// In hundredths of a percent.
    pub const fn hundredths(self) -> u16 {
        self.0
    }

    /// Whether the rule that this share belongs to is off.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether `part / whole >= self`, exactly.
    pub const fn is_reached_by(self, part: u32, whole: u32) -> bool {
        part as u64 * 10_000 >= self.0 as u64 * whole as u64
    }
}

/// The growth of an open period per re-open, in ten-thousandths: 1.0 to 1000.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth(u32);

impl Growth {
    /// No growth.
    pub const ONE: Growth = Growth(Self::SCALE);
    /// What 1.0 is stored as.
    pub const SCALE: u32 = 10_000;

    /// From ten-thousandths, within 1.0 to 1000.0.
    pub const fn from_ten_thousandths(value: u32) -> Option<Self> {
        if value >= Self::SCALE && value <= 1000 * Self::SCALE { Some(Growth(value)) } else { None }
    }

    /// In ten-thousandths.
    pub const fn ten_thousandths(self) -> u32 {
        self.0
    }
}

/// The settings of one breaker, as far as the machine knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Which outcomes still count.
    pub window: WindowSize,
    /// Trip after so many failures in a row; 0 is off.
    pub consecutive_failures: u32,
    /// Trip at so many failures in the window; 0 is off.
    pub failures: u32,
    /// Trip at this share of failures; zero is off.
    pub failure_rate: Percent,
    /// A call longer than this is slow.
    pub slow_call: Option<Duration>,
    /// Trip at this share of slow calls; zero is off.
    pub slow_rate: Percent,
    /// The two rates hold only once the window has so many calls.
    pub min_calls: u32,
    /// The first open period.
    pub open_for: Duration,
    /// The growth of the period with each re-open.
    pub open_backoff: Growth,
    /// The cap of the period (never below `open_for`).
    pub open_max: Duration,
    /// The spread of the period, to both sides.
    pub open_jitter: Percent,
    /// Trials in a round: 1 to [`HALF_OPEN_CALLS_MAX`].
    pub half_open_calls: u32,
    /// Successes that close: 1 to `half_open_calls`.
    pub success_threshold: u32,
    /// The lease of a trial's permit.
    pub permit_ttl: Duration,
    /// Probes that must succeed in a row to end an open period: 1 to [`RISE_MAX`].
    pub rise: u32,
    /// Whether they close the breaker, and do not only make a trial due.
    pub probe_closes: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            window: WindowSize::Calls(20),
            consecutive_failures: 5,
            failures: 0,
            failure_rate: Percent(5_000),
            slow_call: None,
            slow_rate: Percent::ZERO,
            min_calls: 10,
            open_for: Duration::from_secs(30),
            open_backoff: Growth::ONE,
            open_max: Duration::from_secs(600),
            open_jitter: Percent::ZERO,
            half_open_calls: 1,
            success_threshold: 1,
            permit_ttl: Duration::from_secs(600),
            rise: 2,
            probe_closes: false,
        }
    }
}

impl Policy {
    /// Whether a call of this length is slow: longer than `slow_call`, not equal.
    pub fn is_slow(&self, duration: Duration) -> bool {
        self.slow_call.is_some_and(|limit| duration > limit)
    }

    /// Whether any rule can trip this breaker. Without one it is a switch that
    /// only people move.
    pub fn has_rule(&self) -> bool {
        self.consecutive_failures > 0
            || self.failures > 0
            || !self.failure_rate.is_zero()
            || self.judges_slow_calls()
    }

    /// Whether slow calls count against the dependency (the `slow_rate` rule).
    pub fn judges_slow_calls(&self) -> bool {
        self.slow_call.is_some() && !self.slow_rate.is_zero()
    }

    /// `min_calls`, clamped to what a count window can hold.
    pub fn min_calls_effective(&self) -> u32 {
        match self.window {
            WindowSize::Calls(calls) => self.min_calls.min(calls),
            WindowSize::Millis(_) => self.min_calls,
        }
    }
}
