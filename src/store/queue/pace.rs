//! `--rate`: one timetable for all who drain a queue.
//!
//! The file says when the next job may start, in microseconds of this boot.

use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::fs::OFlags;

use super::Queue;
use crate::clock::Reading;
use crate::error::Error;
use crate::store::lock;

const PACE: &str = "pace";
const LEN_MAX: usize = 128;
/// A timetable that is full for longer is nonsense, unless starts are rare.
const AHEAD_MAX: Duration = Duration::from_hours(1);
/// So many starts may be spoken for.
const STARTS_AHEAD_MAX: u32 = 1000;

impl Queue<'_> {
    /// Takes the next free start of a job, starts being `interval` apart, and
    /// returns how long it is until then.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`], or what the system refuses.
    pub fn pace(&self, interval: Duration) -> Result<Duration, Error> {
        let path = self.home.path_of(PACE);
        let Some(file) = self.home.open_file(PACE, OFlags::RDWR | OFlags::CREATE)? else {
            return Err(Error::io("open", path)(ErrorKind::NotFound.into()));
        };
        lock::exclusive(&file.file, &path, self.clock, self.clock.monotonic())?;
        let machine = self.clock.read();
        let mut bytes = [0; LEN_MAX];
        let len = file.file.read_at(&mut bytes, 0).map_err(Error::io("read", &path))?;
        let now = Duration::from_millis(machine.boot_ms);
        let ahead_max = AHEAD_MAX.max(interval.saturating_mul(STARTS_AHEAD_MAX));
        let start = match parse(&bytes[..len], &machine) {
            Some(next) if next.saturating_sub(now) <= ahead_max => next.max(now),
            _ => now,
        };
        let next = start.saturating_add(interval);
        let line = line(next, &machine);
        file.file
            .write_all_at(line.as_bytes(), 0)
            .and_then(|()| file.file.set_len(line.len() as u64))
            .map_err(Error::io("write", &path))?;
        lock::release(&file.file);
        Ok(start.saturating_sub(now))
    }
}

fn line(next: Duration, machine: &Reading) -> String {
    let next_us = u64::try_from(next.as_micros()).unwrap_or(u64::MAX);
    format!("{next_us} {:x}\n", machine.boot_id.unwrap_or(0))
}

/// When the next job may start, if that was written on this boot.
fn parse(bytes: &[u8], machine: &Reading) -> Option<Duration> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (next_us, boot) = text.split_once(' ')?;
    let boot = u128::from_str_radix(boot, 16).ok()?;
    (boot == machine.boot_id.unwrap_or(0)).then_some(())?;
    Some(Duration::from_micros(next_us.parse().ok()?))
}
