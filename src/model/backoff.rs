//! How long a breaker stays open, and a caller waits before it tries again: a
//! first wait that grows by a factor each time, capped, spread.

use std::time::Duration;

use super::policy::{Growth, Percent, Policy};

/// Below the millisecond, the period is carried to this many parts, in decimal,
/// so that 1.4 x 1.4 is 1.96 and not a little less.
const PARTS_PER_MS: u128 = 1_000_000_000_000_000_000;

/// The length in whole ms, rounded down, of the open period after `reopens`
/// re-opens since the breaker was last closed.
///
/// The cap is `open_max`, or `open_for` where that is longer. `draw` is uniform
/// over all of `u64` and picks a place within the jitter to both sides.
pub fn open_period_ms(policy: &Policy, reopens: u32, draw: u64) -> u64 {
    let open_for_ms = millis(policy.open_for);
    let cap_ms = millis(policy.open_max).max(open_for_ms);
    let period_ms = grow(open_for_ms, policy.open_backoff, reopens, cap_ms);
    spread(period_ms, policy.open_jitter.hundredths(), draw)
}

/// How a caller waits before it tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryDelay {
    /// Before the second attempt.
    pub first: Duration,
    /// The growth with each further one.
    pub growth: Growth,
    /// The longest; `first` where that is longer.
    pub max: Duration,
    /// The spread to both sides.
    pub jitter: Percent,
}

impl RetryDelay {
    /// The wait after so many attempts, at least one. `draw` as for
    /// [`open_period_ms`].
    pub fn after(&self, attempts: u32, draw: u64) -> Duration {
        let first_ms = millis(self.first);
        let cap_ms = millis(self.max).max(first_ms);
        let wait_ms = grow(first_ms, self.growth, attempts.saturating_sub(1), cap_ms);
        Duration::from_millis(spread(wait_ms, self.jitter.hundredths(), draw))
    }
}

/// A duration in whole ms, rounded down.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood: "Fast splittable
/// pseudorandom number generators", 2014), after one step of its counter.
pub const fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn grow(first_ms: u64, growth: Growth, reopens: u32, cap_ms: u64) -> u64 {
    if growth == Growth::ONE || first_ms == 0 {
        return first_ms.min(cap_ms);
    }
    let cap = u128::from(cap_ms) * PARTS_PER_MS;
    let mut period = u128::from(first_ms) * PARTS_PER_MS;
    for _ in 0..reopens {
        if period >= cap {
            return cap_ms;
        }
        // At most 365 days (3.2e10 ms) x 1e18 parts x 1e7: within u128.
        period = period * u128::from(growth.ten_thousandths()) / u128::from(Growth::SCALE);
    }
    u64::try_from(period.min(cap) / PARTS_PER_MS).unwrap_or(cap_ms)
}

/// A length in ms, spread to both sides by a share of it in hundredths of a
/// percent. `draw` as for [`open_period_ms`].
pub fn spread(period_ms: u64, jitter_hundredths: u16, draw: u64) -> u64 {
    let reach = u128::from(period_ms) * u128::from(jitter_hundredths) / 10_000;
    let offset = (u128::from(draw) * (2 * reach + 1)) >> 64;
    let spread = u128::from(period_ms) - reach + offset;
    u64::try_from(spread).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(open_for_ms: u64, growth: u32, open_max_ms: u64) -> Policy {
        Policy {
            open_for: Duration::from_millis(open_for_ms),
            open_backoff: Growth::from_ten_thousandths(growth).unwrap(),
            open_max: Duration::from_millis(open_max_ms),
            ..Policy::default()
        }
    }

    #[test]
    fn grows_exactly_and_stops_at_the_cap() {
        let check = |growth, k, expected| {
            assert_eq!(
                open_period_ms(&policy(1000, growth, 16_000), k, 0),
                expected,
                "{growth} {k}"
            );
        };
        check(20_000, 0, 1000);
        check(20_000, 3, 8000);
        check(20_000, 4, 16_000);
        check(20_000, u32::MAX, 16_000);
        check(14_000, 2, 1960);
        check(11_000, 3, 1331);
        check(10_000, 1_000_000, 1000);
    }

    #[test]
    fn a_cap_below_the_first_period_never_shortens_it() {
        assert_eq!(open_period_ms(&policy(5000, 20_000, 1000), 0, 0), 5000);
        assert_eq!(open_period_ms(&policy(5000, 20_000, 1000), 3, 0), 5000);
    }

    #[test]
    fn the_slowest_growth_with_the_most_reopens_ends() {
        let slow = policy(1, 10_001, 1 << 34);
        assert_eq!(open_period_ms(&slow, u32::MAX, 0), 1 << 34);
    }

    #[test]
    fn jitter_reaches_both_ends_and_no_further() {
        let mut jittered = policy(1000, 10_000, 1000);
        jittered.open_jitter = Percent::from_hundredths(2000).unwrap();
        assert_eq!(open_period_ms(&jittered, 0, 0), 800);
        assert_eq!(open_period_ms(&jittered, 0, u64::MAX), 1200);
        assert_eq!(open_period_ms(&jittered, 0, u64::MAX / 2), 1000);
    }

    #[test]
    fn a_caller_waits_longer_each_time_up_to_the_cap() {
        let delay = |max_s| RetryDelay {
            first: Duration::from_secs(1),
            growth: Growth::from_ten_thousandths(20_000).unwrap(),
            max: Duration::from_secs(max_s),
            jitter: Percent::from_hundredths(2000).unwrap(),
        };
        let waits = [1, 2, 3, 4, 9].map(|attempts| delay(8).after(attempts, u64::MAX / 2));
        assert_eq!(waits, [1, 2, 4, 8, 8].map(Duration::from_secs));
        assert_eq!(delay(8).after(1, 0), Duration::from_millis(800));
        assert_eq!(delay(8).after(5, u64::MAX), Duration::from_millis(9600));
        let half = Duration::from_millis(500);
        assert_eq!(RetryDelay { max: half, ..delay(8) }.after(3, u64::MAX / 2).as_secs(), 1);
    }
}
