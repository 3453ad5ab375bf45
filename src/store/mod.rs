//! Where breakers live between processes: one trait with one way to change a
//! state, and the stores behind it.

pub mod body;
pub mod bulkhead;
pub mod cache;
mod directory;
pub mod file;
mod lock;
pub mod memory;
mod permit;
pub mod queue;
pub mod slots;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;

use crate::clock::Stamp;
use crate::error::Error;
use crate::model::breaker::Breaker;
use crate::model::name::BreakerName;
use crate::model::{Now, Permit};

pub use bulkhead::SlotFile;
pub use cache::{CacheEntry, CacheKey, Cached, Kept, Recording};
pub use file::FileStore;
pub use memory::MemoryStore;
pub use permit::PermitFile;
pub use queue::Queue;

/// What a step may know.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The time on the breaker's clock, and a draw of chance.
    pub now: Now,
    /// Trials in the state whose holder is gone.
    pub gone: Vec<Permit>,
}

/// What shall be kept of what a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: the step only looked.
    Nothing,
    /// The state, soon: it survives the process, and a crash of the machine may
    /// lose it. A transition is made durable all the same.
    State,
    /// The state, durably: a person asked for it.
    Durably,
}

/// What to do about a breaker that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// Make it, closed.
    Create,
    /// Say so ([`Error::Unknown`]).
    Refuse,
}

/// A pure step over one breaker. It may run more than once.
pub type Step<'a> = dyn FnMut(&mut Breaker, &Scene) -> Keep + 'a;

/// What came of an operation besides what the step returned.
#[derive(Debug, Default)]
pub struct Receipt {
    /// The kernel's hold on the trial that began, where one did.
    pub permit: Option<PermitFile>,
    /// What the caller should hear of.
    pub notices: Vec<Notice>,
    /// The state was saved and is not flushed to the disk yet.
    unflushed: bool,
}

/// Something that was mended or could not be done, and stopped nothing.
#[derive(Debug)]
pub enum Notice {
    /// The state could not be read and was put aside; the breaker starts closed.
    PutAside {
        /// The file that could not be read.
        path: PathBuf,
        /// Where it is kept.
        kept: PathBuf,
    },
    /// The state was saved, and could not be flushed to the disk.
    NotFlushed(Error),
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::PutAside { path, kept } => write!(
                f,
                "{} was corrupt: kept as {}, and the breaker starts closed",
                path.display(),
                kept.display()
            ),
            Notice::NotFlushed(error) => write!(f, "{error}; a power cut now may undo this change"),
        }
    }
}

/// A breaker as a reader finds it.
#[derive(Clone, Debug)]
pub struct Found {
    /// The state as it was saved.
    pub breaker: Breaker,
    /// The time on its clock, and the trials whose holder is gone.
    pub scene: Scene,
    /// Ties its clock to the wall clock.
    pub stamp: Stamp,
}

/// A place for breakers.
pub trait Store {
    /// Locks one breaker, loads it, runs the step, saves, unlocks. Nothing else
    /// changes a state, and no lock outlives this call.
    ///
    /// # Errors
    ///
    /// What the store cannot do; then nothing of the step was kept.
    fn transact(
        &self,
        name: &BreakerName,
        absent: Absent,
        step: &mut Step<'_>,
    ) -> Result<Receipt, Error>;

    /// Reads one breaker without a lock; `None` where it is not there.
    ///
    /// # Errors
    ///
    /// What cannot be read.
    fn find(&self, name: &BreakerName) -> Result<Option<Found>, Error>;

    /// The names of all breakers, in order.
    ///
    /// # Errors
    ///
    /// What cannot be read.
    fn names(&self) -> Result<Vec<BreakerName>, Error>;

    /// Removes a breaker with all that belongs to it.
    ///
    /// # Errors
    ///
    /// [`Error::Unknown`], or what cannot be removed.
    fn remove(&self, name: &BreakerName) -> Result<(), Error>;
}
