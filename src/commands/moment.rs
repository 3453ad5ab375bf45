//! The clock of a breaker, for what is kept beside its state: the jobs of its
//! queue have their times on it, so that no step of the wall clock moves them.

use crate::clock::{Clock, Stamp, SystemClock};
use crate::error::Error;
use crate::model::{BreakerName, Ms};
use crate::store::{FileStore, Store};

/// A breaker's clock, looked up once and read as often as needed.
pub struct Moment {
    stamp: Stamp,
    clock: SystemClock,
}

impl Moment {
    /// The clock of this breaker. One that was never used, or cannot be read,
    /// would begin with the wall time.
    ///
    /// # Errors
    ///
    /// What the store cannot do, other than read this state.
    pub fn of(store: &FileStore, name: &BreakerName) -> Result<Self, Error> {
        let clock = SystemClock::default();
        let stamp = match store.find(name) {
            Ok(Some(found)) => found.stamp,
            Ok(None) | Err(Error::Corrupt { .. }) => Stamp::first(clock.read()),
            Err(error) => return Err(error),
        };
        Ok(Moment { stamp, clock })
    }

    /// The time on the breaker's clock.
    pub fn now_ms(&self) -> Ms {
        self.now().clock_ms
    }

    /// A draw of chance.
    pub fn draw(&self) -> u64 {
        self.clock.draw()
    }

    /// Both the breaker's time and the wall's.
    pub fn now(&self) -> Stamp {
        self.stamp.moved_on(self.clock.read())
    }
}
