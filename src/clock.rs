//! The only place that asks for the time, and the rule by which a stored state
//! carries a clock of its own from one process to the next.

#![expect(clippy::disallowed_methods, reason = "this is where the time is asked for")]

use std::fs::File;
use std::io::Read;
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::model::Ms;
use crate::model::backoff::mix;

/// The clocks of this machine at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock, in ms since 1970; negative where it is set before that.
    pub wall_ms: i64,
    /// The time since boot, suspend included.
    pub boot_ms: u64,
    /// Which boot; `None` where the machine does not tell.
    pub boot_id: Option<u128>,
}

/// Where the time comes from.
pub trait Clock {
    /// Looks up what is looked up once, so that no later reading waits for it.
    fn prepare(&self) {}
    /// The clocks now.
    fn read(&self) -> Reading;
    /// A time that only grows: for how long something takes.
    fn monotonic(&self) -> Duration;
    /// A draw of chance, good enough to spread waits: uniform, not secret.
    fn draw(&self) -> u64;
}

/// The machine's own clocks.
#[derive(Debug, Default)]
pub struct SystemClock {
    boot_id: OnceLock<Option<u128>>,
}

impl Clock for SystemClock {
    fn prepare(&self) {
        self.boot_id.get_or_init(read_boot_id);
    }

    fn read(&self) -> Reading {
        Reading {
            wall_ms: wall_ms(SystemTime::now()),
            boot_ms: u64::try_from(boot_time().as_millis()).unwrap_or(u64::MAX),
            boot_id: *self.boot_id.get_or_init(read_boot_id),
        }
    }

    fn monotonic(&self) -> Duration {
        monotonic()
    }

    fn draw(&self) -> u64 {
        // Processes that start in the same instant differ in where their memory is.
        let place = std::ptr::from_ref(self).addr() as u64;
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        mix(since.as_secs() << 30 ^ u64::from(since.subsec_nanos()) ^ place << 24)
    }
}

/// A time that only grows, from an arbitrary start.
pub fn monotonic() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    // The start is a second before the first reading, so that no reading is 0.
    Duration::from_secs(1) + START.elapsed()
}

/// Negative before 1970.
fn wall_ms(time: SystemTime) -> i64 {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    }
}

/// A wall clock that is off by no more than this was not set, but slewed.
const WALL_SLACK_MS: u64 = 1000;

/// What a state keeps of the clocks when it is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The state's own clock.
    pub clock_ms: Ms,
    /// The machine's clocks at the same moment.
    pub machine: Reading,
}

impl Stamp {
    /// The stamp of a state that is made now. Its clock begins at the wall
    /// time, which makes a raw state easier to read and means nothing else.
    pub fn first(machine: Reading) -> Self {
        Stamp { clock_ms: u64::try_from(machine.wall_ms).unwrap_or(0), machine }
    }

    /// The stamp of now: the state's clock moves on by the boot time that passed
    /// since, so a step of the wall clock changes nothing; after a reboot by the
    /// wall time. It never moves back.
    pub fn moved_on(&self, machine: Reading) -> Self {
        let same_boot = machine.boot_id.is_some() && machine.boot_id == self.machine.boot_id;
        let passed_ms = if same_boot {
            machine.boot_ms.saturating_sub(self.machine.boot_ms)
        } else {
            u64::try_from(machine.wall_ms.saturating_sub(self.machine.wall_ms)).unwrap_or(0)
        };
        // Two clocks cut to whole ms drift apart by one now and then. As long as
        // the wall clock was not set, what it should say is taken for what it
        // says: so a moment in the past keeps its wall time.
        let passed = i64::try_from(passed_ms).unwrap_or(i64::MAX);
        let expected_ms = self.machine.wall_ms.saturating_add(passed);
        let was_set = machine.wall_ms.abs_diff(expected_ms) > WALL_SLACK_MS;
        let wall_ms = if was_set { machine.wall_ms } else { expected_ms };
        Stamp {
            clock_ms: self.clock_ms.saturating_add(passed_ms),
            machine: Reading { wall_ms, ..machine },
        }
    }

    /// What to add to a time on the state's clock to get the wall time, in ms
    /// since 1970.
    pub fn wall_offset_ms(&self) -> i64 {
        let clock_ms = i64::try_from(self.clock_ms).unwrap_or(i64::MAX);
        self.machine.wall_ms.saturating_sub(clock_ms)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn boot_time() -> Duration {
    duration_of(clock_gettime(ClockId::Boottime))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn boot_time() -> Duration {
    monotonic()
}

fn duration_of(time: rustix::time::Timespec) -> Duration {
    let secs = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(secs, nanos)
}

fn read_boot_id() -> Option<u128> {
    let mut text = [0; 64];
    let mut file = File::open("/proc/sys/kernel/random/boot_id").ok()?;
    let len = file.read(&mut text).ok()?;
    let hex: String = std::str::from_utf8(&text[..len]).ok()?.trim().split('-').collect();
    u128::from_str_radix(&hex, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn reading(wall_ms: i64, boot_ms: u64, boot: u128) -> Reading {
        Reading { wall_ms, boot_ms, boot_id: Some(boot) }
    }

    #[track_caller]
    fn check(then: Reading, now: Reading, passed_ms: u64) {
        let stamp = Stamp { clock_ms: 1000, machine: then };
        assert_eq!(stamp.moved_on(now).clock_ms, 1000 + passed_ms);
    }

    #[test]
    fn on_the_same_boot_only_boot_time_counts() {
        let then = reading(10 * HOUR_MS, 500, 7);
        check(then, reading(10 * HOUR_MS + 20, 520, 7), 20);
        check(then, reading(9 * HOUR_MS, 520, 7), 20);
        check(then, reading(34 * HOUR_MS, 520, 7), 20);
        check(then, reading(-HOUR_MS, 520, 7), 20);
        check(then, reading(10 * HOUR_MS, 400, 7), 0);
    }

    #[test]
    fn after_a_reboot_the_wall_clock_counts_and_never_backwards() {
        let then = reading(10 * HOUR_MS, 500_000, 7);
        check(then, reading(11 * HOUR_MS, 20, 8), 3_600_000);
        check(then, reading(9 * HOUR_MS, 20, 8), 0);
        check(then, reading(-HOUR_MS, 20, 8), 0);
        let unknown = Reading { boot_id: None, ..then };
        check(unknown, Reading { wall_ms: then.wall_ms + 5, ..unknown }, 5);
    }

    #[test]
    fn extreme_clocks_do_not_panic() {
        check(reading(i64::MIN, u64::MAX, 7), reading(i64::MAX, 0, 7), 0);
        let stamp = Stamp { clock_ms: u64::MAX, machine: reading(i64::MIN, 0, 7) };
        assert_eq!(stamp.moved_on(reading(i64::MAX, u64::MAX, 7)).clock_ms, u64::MAX);
        assert_eq!(stamp.wall_offset_ms(), i64::MIN);
        assert_eq!(Stamp::first(reading(-HOUR_MS, 5, 7)).clock_ms, 0);
    }

    #[test]
    fn a_moment_keeps_its_wall_time_until_the_clock_is_set() {
        let stamp = Stamp { clock_ms: 1000, machine: reading(HOUR_MS, 500, 7) };
        let offset =
            |wall_ms, boot_ms| stamp.moved_on(reading(wall_ms, boot_ms, 7)).wall_offset_ms();
        assert_eq!(offset(HOUR_MS + 21, 520), HOUR_MS - 1000);
        assert_eq!(offset(HOUR_MS - 900, 520), HOUR_MS - 1000);
        assert_eq!(offset(2 * HOUR_MS, 520), 2 * HOUR_MS - 1020);
    }

    #[test]
    fn a_moment_has_a_wall_time() {
        let stamp = Stamp { clock_ms: 1000, machine: reading(HOUR_MS, 0, 7) };
        assert_eq!(stamp.wall_offset_ms(), HOUR_MS - 1000);
    }

    #[test]
    fn the_machine_tells_its_boot_and_its_clocks_move_on() {
        let clock = SystemClock::default();
        let first = clock.read();
        assert!(first.boot_id.is_some());
        assert!(clock.read().boot_ms >= first.boot_ms);
        assert_ne!(clock.draw(), clock.draw());
    }
}
