//! The outcomes that still count: the last N of them, or those of the last so
//! many milliseconds in 60 buckets.

use std::collections::VecDeque;

use super::Ms;
use super::policy::{WINDOW_CALLS_MAX, WindowSize};

/// A time window is kept in so many buckets.
pub const BUCKETS: u64 = 60;

const FAILED: u8 = 0b01;
const SLOW: u8 = 0b10;
const CELL_BITS: usize = 2;
const CELLS_PER_BYTE: usize = 8 / CELL_BITS;

/// What a window counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Recorded outcomes.
    pub calls: u32,
    /// Failures among them.
    pub failures: u32,
    /// Slow calls among them; a slow failure is in both.
    pub slow: u32,
}

impl Tally {
    fn add(&mut self, failed: bool, slow: bool) {
        self.calls = self.calls.saturating_add(1);
        self.failures = self.failures.saturating_add(u32::from(failed));
        self.slow = self.slow.saturating_add(u32::from(slow));
    }

    fn merge(&mut self, other: Tally) {
        self.calls = self.calls.saturating_add(other.calls);
        self.failures = self.failures.saturating_add(other.failures);
        self.slow = self.slow.saturating_add(other.slow);
    }

    /// Whether no part is larger than the whole.
    pub const fn is_sound(&self) -> bool {
        self.failures <= self.calls && self.slow <= self.calls
    }
}

/// A window of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Window {
    /// The last outcomes by count.
    Calls(Ring),
    /// The last outcomes by time.
    Time(Buckets),
}

impl Window {
    /// An empty window.
    pub fn new(size: WindowSize) -> Self {
        match size {
            WindowSize::Calls(calls) => Window::Calls(Ring::new(calls)),
            WindowSize::Millis(millis) => Window::Time(Buckets::new(millis)),
        }
    }

    /// How much it holds.
    pub fn size(&self) -> WindowSize {
        match self {
            Window::Calls(ring) => WindowSize::Calls(ring.capacity),
            Window::Time(buckets) => WindowSize::Millis(buckets.window_ms),
        }
    }

    /// Counts one outcome that finished at `at_ms`.
    pub fn record(&mut self, at_ms: Ms, failed: bool, slow: bool) {
        match self {
            Window::Calls(ring) => ring.push(failed, slow),
            Window::Time(buckets) => buckets.record(at_ms, failed, slow),
        }
    }

    /// What counts at `at_ms`.
    pub fn tally(&self, at_ms: Ms) -> Tally {
        match self {
            Window::Calls(ring) => ring.tally,
            Window::Time(buckets) => buckets.tally(at_ms),
        }
    }

    /// Forgets every outcome.
    pub fn clear(&mut self) {
        *self = Window::new(self.size());
    }

    /// Takes another size and keeps what still fits: the latest outcomes of a
    /// count window, the latest buckets of a time window. A change of kind keeps
    /// nothing, since neither kind holds what the other needs.
    pub fn resize(&mut self, size: WindowSize, at_ms: Ms) {
        if self.size() == size {
            return;
        }
        *self = match (&*self, size) {
            (Window::Calls(ring), WindowSize::Calls(calls)) => Window::Calls(ring.resized(calls)),
            (Window::Time(buckets), WindowSize::Millis(millis)) => {
                Window::Time(buckets.resized(millis, at_ms))
            }
            _ => Window::new(size),
        };
    }
}

/// The last outcomes by count, two bits each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    capacity: u32,
    next: u32,
    cells: Vec<u8>,
    tally: Tally,
}

impl Ring {
    fn new(capacity: u32) -> Self {
        let capacity = capacity.clamp(1, WINDOW_CALLS_MAX);
        let bytes = (capacity as usize).div_ceil(CELLS_PER_BYTE);
        Ring { capacity, next: 0, cells: vec![0; bytes], tally: Tally::default() }
    }

    /// Rebuilds a ring from what a store kept; `None` where the parts do not
    /// fit together. The tallies are counted anew, so they cannot disagree.
    pub fn from_parts(capacity: u32, next: u32, calls: u32, cells: Vec<u8>) -> Option<Self> {
        let sound = (1..=WINDOW_CALLS_MAX).contains(&capacity)
            && next < capacity
            && calls <= capacity
            && cells.len() == (capacity as usize).div_ceil(CELLS_PER_BYTE);
        if !sound {
            return None;
        }
        let mut ring = Ring { capacity, next, cells, tally: Tally { calls, ..Tally::default() } };
        let (mut failures, mut slow) = (0, 0);
        for index in ring.indices() {
            let cell = ring.cell(index);
            failures += u32::from(cell & FAILED != 0);
            slow += u32::from(cell & SLOW != 0);
        }
        ring.tally = Tally { calls, failures, slow };
        Some(ring)
    }

    /// How many outcomes it holds at most.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Where the next outcome goes.
    pub fn next(&self) -> u32 {
        self.next
    }

    /// The outcomes it holds.
    pub fn calls(&self) -> u32 {
        self.tally.calls
    }

    /// The cells, two bits an outcome.
    pub fn cells(&self) -> &[u8] {
        &self.cells
    }

    fn cell(&self, index: u32) -> u8 {
        let index = index as usize;
        let shift = index % CELLS_PER_BYTE * CELL_BITS;
        self.cells[index / CELLS_PER_BYTE] >> shift & (FAILED | SLOW)
    }

    /// The positions of what it holds, oldest first.
    fn indices(&self) -> impl Iterator<Item = u32> + use<> {
        let (capacity, first) = (self.capacity, self.next + self.capacity - self.tally.calls);
        (0..self.tally.calls).map(move |offset| (first + offset) % capacity)
    }

    fn push(&mut self, failed: bool, slow: bool) {
        if self.tally.calls == self.capacity {
            let oldest = self.cell(self.next);
            self.tally.calls -= 1;
            self.tally.failures -= u32::from(oldest & FAILED != 0);
            self.tally.slow -= u32::from(oldest & SLOW != 0);
        }
        let index = self.next as usize;
        let shift = index % CELLS_PER_BYTE * CELL_BITS;
        let cell = if failed { FAILED } else { 0 } | if slow { SLOW } else { 0 };
        let byte = &mut self.cells[index / CELLS_PER_BYTE];
        *byte = *byte & !((FAILED | SLOW) << shift) | cell << shift;
        self.tally.add(failed, slow);
        self.next = (self.next + 1) % self.capacity;
    }

    fn resized(&self, capacity: u32) -> Self {
        let mut ring = Ring::new(capacity);
        let surplus = self.tally.calls.saturating_sub(ring.capacity);
        for index in self.indices().skip(surplus as usize) {
            let cell = self.cell(index);
            ring.push(cell & FAILED != 0, cell & SLOW != 0);
        }
        ring
    }
}

/// The last outcomes by time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    window_ms: u64,
    /// When the first outcome of each bucket finished, and what the bucket
    /// counts; oldest first. The bucket's number follows from that moment, so a
    /// window that takes another length and back is what it was.
    counts: VecDeque<(Ms, Tally)>,
}

impl Buckets {
    fn new(window_ms: u64) -> Self {
        Buckets { window_ms: window_ms.max(1), counts: VecDeque::new() }
    }

    /// Rebuilds the buckets from what a store kept; `None` where they are not
    /// in order or do not add up.
    pub fn from_parts(window_ms: u64, counts: Vec<(Ms, Tally)>) -> Option<Self> {
        let sound = counts.iter().all(|(_, tally)| tally.is_sound());
        if window_ms == 0 || counts.len() as u64 > BUCKETS {
            return None;
        }
        let buckets = Buckets { window_ms, counts: counts.into() };
        let numbers: Vec<u64> = buckets.counts().map(|(at_ms, _)| buckets.bucket(at_ms)).collect();
        let ordered = numbers.windows(2).all(|pair| pair[0] < pair[1]);
        (ordered && sound).then_some(buckets)
    }

    /// The length of the window.
    pub fn window_ms(&self) -> u64 {
        self.window_ms
    }

    /// When the first outcome of each bucket finished, and what it counts.
    pub fn counts(&self) -> impl ExactSizeIterator<Item = (Ms, Tally)> + '_ {
        self.counts.iter().copied()
    }

    fn bucket(&self, at_ms: Ms) -> u64 {
        let bucket = u128::from(at_ms) * u128::from(BUCKETS) / u128::from(self.window_ms);
        u64::try_from(bucket).unwrap_or(u64::MAX)
    }

    fn expire(&mut self, at_ms: Ms) {
        let live = self.counts.iter().position(|(first_ms, _)| self.counts_at(*first_ms, at_ms));
        self.counts.drain(..live.unwrap_or(self.counts.len()));
    }

    fn record(&mut self, at_ms: Ms, failed: bool, slow: bool) {
        self.expire(at_ms);
        let mut tally = Tally::default();
        tally.add(failed, slow);
        self.add(at_ms, tally);
    }

    /// Adds to the bucket of this moment, which is not before the latest one.
    fn add(&mut self, at_ms: Ms, tally: Tally) {
        let bucket = self.bucket(at_ms);
        match self.counts.back().map(|(latest_ms, _)| self.bucket(*latest_ms)) {
            Some(latest) if latest >= bucket => {
                let (_, counts) = self.counts.back_mut().expect("there is a latest one");
                counts.merge(tally);
            }
            _ => self.counts.push_back((at_ms, tally)),
        }
    }

    fn tally(&self, at_ms: Ms) -> Tally {
        let mut sum = Tally::default();
        for (first_ms, tally) in &self.counts {
            if self.counts_at(*first_ms, at_ms) {
                sum.merge(*tally);
            }
        }
        sum
    }

    /// Each bucket moves whole to where its first outcome falls, so that none
    /// counts for longer than the new window allows.
    fn resized(&self, window_ms: u64, at_ms: Ms) -> Self {
        let mut resized = Buckets::new(window_ms);
        for (first_ms, tally) in &self.counts {
            if self.counts_at(*first_ms, at_ms) {
                resized.add(*first_ms, *tally);
            }
        }
        resized.expire(at_ms);
        resized
    }

    /// Whether the bucket of a moment still counts at another.
    fn counts_at(&self, first_ms: Ms, at_ms: Ms) -> bool {
        self.bucket(at_ms).saturating_sub(self.bucket(first_ms)) < BUCKETS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(calls: u32, failures: u32, slow: u32) -> Tally {
        Tally { calls, failures, slow }
    }

    #[test]
    fn a_count_window_slides_over_every_boundary() {
        for capacity in [1, 2, 3, 4, 5, 7, 8, 9, 63] {
            let mut window = Window::new(WindowSize::Calls(capacity));
            let mut all = Vec::new();
            for i in 0..200u32 {
                let (failed, slow) = (i % 3 == 0, i % 5 == 0);
                all.push((failed, slow));
                window.record(0, failed, slow);
                let kept = &all[all.len().saturating_sub(capacity as usize)..];
                let expected = tally(
                    kept.len() as u32,
                    kept.iter().filter(|(failed, _)| *failed).count() as u32,
                    kept.iter().filter(|(_, slow)| *slow).count() as u32,
                );
                assert_eq!(window.tally(0), expected, "capacity {capacity}, outcome {i}");
            }
        }
    }

    #[test]
    fn a_smaller_count_window_keeps_the_latest_and_a_larger_one_all() {
        let mut window = Window::new(WindowSize::Calls(5));
        for failed in [true, true, true, false, true, false] {
            window.record(0, failed, false);
        }
        window.resize(WindowSize::Calls(8), 0);
        assert_eq!(window.tally(0), tally(5, 3, 0));
        window.resize(WindowSize::Calls(2), 0);
        assert_eq!(window.tally(0), tally(2, 1, 0));
        window.record(0, false, false);
        assert_eq!(window.tally(0), tally(2, 0, 0));
    }

    #[test]
    fn a_ring_survives_its_parts() {
        let mut ring = Ring::new(7);
        for i in 0..10 {
            ring.push(i % 2 == 0, i % 3 == 0);
        }
        let parts = (ring.capacity(), ring.next(), ring.calls(), ring.cells().to_vec());
        assert_eq!(Ring::from_parts(parts.0, parts.1, parts.2, parts.3), Some(ring));
        assert_eq!(Ring::from_parts(7, 7, 0, vec![0, 0]), None);
        assert_eq!(Ring::from_parts(7, 0, 8, vec![0, 0]), None);
        assert_eq!(Ring::from_parts(7, 0, 0, vec![0]), None);
        assert_eq!(Ring::from_parts(0, 0, 0, vec![]), None);
    }

    #[test]
    fn a_time_window_forgets_whole_buckets() {
        let mut window = Window::new(WindowSize::Millis(6000));
        window.record(0, true, false);
        window.record(99, true, true);
        window.record(100, false, false);
        assert_eq!(window.tally(5999), tally(3, 2, 1));
        assert_eq!(window.tally(6000), tally(1, 0, 0));
        assert_eq!(window.tally(6100), tally(0, 0, 0));
    }

    #[test]
    fn a_time_window_shorter_than_its_buckets_still_slides() {
        let mut window = Window::new(WindowSize::Millis(7));
        window.record(10, true, false);
        assert_eq!(window.tally(16), tally(1, 1, 0));
        assert_eq!(window.tally(17), tally(0, 0, 0));
    }

    #[test]
    fn a_changed_time_window_keeps_what_still_fits() {
        let mut window = Window::new(WindowSize::Millis(60_000));
        window.record(1_000, true, false);
        window.record(50_000, true, false);
        window.record(58_000, false, true);
        window.resize(WindowSize::Millis(20_000), 59_000);
        assert_eq!(window.tally(59_000), tally(2, 1, 1));
        window.resize(WindowSize::Millis(600_000), 59_000);
        assert_eq!(window.tally(59_000), tally(2, 1, 1));
        window.resize(WindowSize::Calls(10), 59_000);
        assert_eq!(window.tally(59_000), tally(0, 0, 0));
    }

    #[test]
    fn a_time_window_that_changes_to_and_fro_ages_nothing() {
        let mut window = Window::new(WindowSize::Millis(60_000));
        window.record(59_999, true, false);
        for _ in 0..40 {
            window.resize(WindowSize::Millis(61_000), 60_000);
            window.resize(WindowSize::Millis(60_000), 60_000);
        }
        assert_eq!(window.tally(118_999), tally(1, 1, 0));
    }

    #[test]
    fn the_ends_of_time_do_not_panic() {
        let mut window = Window::new(WindowSize::Millis(1));
        window.record(Ms::MAX, true, true);
        window.record(0, true, true);
        assert_eq!(window.tally(Ms::MAX).calls, 2);
        window.resize(WindowSize::Millis(u64::MAX), Ms::MAX);
        assert!(window.tally(0).is_sound());
    }
}
