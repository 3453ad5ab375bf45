//! The embedded store: a directory, with one sub-directory for each breaker.
//!
//! ```text
//! STORE/NAME/lock                the breaker's lock; never renamed
//! STORE/NAME/state               two slots (slots.rs)
//! STORE/NAME/permit-GEN-SERIAL   a trial's permit (permit.rs)
//! STORE/NAME/state.corrupt-TIME  what could not be read
//! STORE/NAME/cache/              outputs that were kept (cache.rs)
//! STORE/NAME/slots/              the calls in flight (bulkhead.rs)
//! STORE/NAME/queue/              calls that are kept for later (queue.rs)
//! ```

use std::cell::{Cell, RefCell};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;

use super::directory::{Directory, Private};
use super::queue::{self, JobId};
use super::slots::{self, Content, Loaded};
use super::{Absent, Found, Keep, Notice, Receipt, Scene, Step, Store};
use super::{body, lock, permit};
use crate::clock::{Clock, Stamp};
use crate::error::Error;
use crate::model::breaker::Breaker;
use crate::model::name::BreakerName;
use crate::model::{Now, Permit};

const LOCK: &str = "lock";
const STATE: &str = "state";
const STATE_NEW: &str = "state.new";
/// What a breaker has beside its state, each a directory of plain files.
const PARTS: [&str; 2] = [super::cache::DIRECTORY, super::bulkhead::DIRECTORY];
const CORRUPT_PREFIX: &str = "state.corrupt-";
/// So many states that could not be read are kept.
const CORRUPT_KEPT_MAX: usize = 4;
/// A reader meets two torn slots only while two saves overtake it.
const READS_MAX: u32 = 20;
const READ_PAUSE: Duration = Duration::from_millis(1);

/// A store in a directory.
pub struct FileStore {
    root: PathBuf,
    clock: Box<dyn Clock>,
    /// The breaker of the last operation, still open for the next one.
    entered: RefCell<Option<Entered>>,
    /// The latest job that was enqueued through this store.
    last_job: Cell<Option<JobId>>,
}

/// An open breaker.
struct Entered {
    name: BreakerName,
    directory: Directory,
    lock: Private,
    state: Option<Private>,
}

/// A state on its way through an operation.
struct Current {
    breaker: Breaker,
    stamp: Stamp,
    /// Where it came from; `None` for a new breaker.
    loaded: Option<Loaded>,
    notices: Vec<Notice>,
}

impl FileStore {
    /// A store in this directory, which need not be there yet.
    pub fn new(root: PathBuf, clock: Box<dyn Clock>) -> Self {
        let (entered, last_job) = (RefCell::new(None), Cell::new(None));
        FileStore { root, clock, entered, last_job }
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its clock.
    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Opens a directory of a breaker's; `None` where it is not there.
    pub(super) fn open_part(
        &self,
        name: &BreakerName,
        part: &str,
    ) -> Result<Option<Directory>, Error> {
        let Some(root) = Directory::open_root(&self.root)? else { return Ok(None) };
        let Some(breaker) = root.open_below(name.as_str())? else { return Ok(None) };
        breaker.open_below(part)
    }

    /// The same, made with the breaker's own where it is not there; `None` where
    /// it vanished on the way.
    pub(super) fn make_part(
        &self,
        name: &BreakerName,
        part: &str,
    ) -> Result<Option<Directory>, Error> {
        if let Some(found) = self.open_part(name, part)? {
            return Ok(Some(found));
        }
        let root = Directory::make_root(&self.root)?;
        root.make_below(name.as_str())?;
        let Some(breaker) = root.open_below(name.as_str())? else { return Ok(None) };
        breaker.make_below(part)?;
        breaker.open_below(part)
    }

    /// The latest job that was enqueued through this store.
    pub(super) fn last_job(&self) -> &Cell<Option<JobId>> {
        &self.last_job
    }

    /// Opens a breaker, or takes the one that is still open; `None` where it
    /// vanished on the way.
    fn enter(&self, name: &BreakerName, absent: Absent) -> Result<Option<Entered>, Error> {
        if let Some(entered) = self.entered.take()
            && entered.name == *name
        {
            return Ok(Some(entered));
        }
        let found = match Directory::open_root(&self.root)? {
            Some(root) => root.open_below(name.as_str())?,
            None => None,
        };
        let directory = match (found, absent) {
            (Some(directory), _) => directory,
            (None, Absent::Refuse) => return Err(Error::Unknown { name: name.to_string() }),
            (None, Absent::Create) => {
                let root = Directory::make_root(&self.root)?;
                root.make_below(name.as_str())?;
                match root.open_below(name.as_str())? {
                    Some(directory) => directory,
                    None => return Ok(None),
                }
            }
        };
        let lock = directory.open_file(LOCK, OFlags::RDWR | OFlags::CREATE)?;
        Ok(lock.map(|lock| Entered { name: name.clone(), directory, lock, state: None }))
    }

    /// Runs `work` under the breaker's lock, and keeps the breaker open after.
    fn locked<T>(
        &self,
        name: &BreakerName,
        absent: Absent,
        work: impl FnOnce(&mut Entered) -> Result<T, Error>,
    ) -> Result<T, Error> {
        // Before the lock: nobody shall wait for it.
        self.clock.prepare();
        let begin = self.clock.monotonic();
        while self.clock.monotonic().saturating_sub(begin) < lock::WAIT_MAX {
            let Some(mut entered) = self.enter(name, absent)? else { continue };
            let path = entered.directory.path_of(LOCK);
            lock::exclusive(&entered.lock.file, &path, &*self.clock, begin)?;
            // Between opening and locking another process may have removed the
            // breaker: then this lock protects nothing.
            if entered.directory.identity_of(LOCK)? != Some(entered.lock.identity) {
                continue;
            }
            let result = work(&mut entered);
            lock::release(&entered.lock.file);
            if result.is_ok() {
                self.entered.replace(Some(entered));
            }
            return result;
        }
        let path = self.root.join(name.as_str()).join(LOCK);
        Err(Error::Unsafe { path, why: "is removed again and again".into() })
    }

    /// Flushes the state of the breaker that is open, if one is.
    fn flush(&self) -> Option<Result<(), Error>> {
        let entered = self.entered.borrow();
        let entered = entered.as_ref()?;
        let state = entered.state.as_ref()?;
        let path = entered.directory.path_of(STATE);
        Some(state.file.sync_data().map_err(Error::io("sync", path)))
    }

    fn scene(&self, breaker: &Breaker, stamp: &Stamp, directory: &Directory) -> Scene {
        let gone = breaker.process_trials().filter(|trial| permit::is_gone(directory, *trial));
        Scene { now: Now { at_ms: stamp.clock_ms, draw: self.clock.draw() }, gone: gone.collect() }
    }
}

impl Store for FileStore {
    fn transact(
        &self,
        name: &BreakerName,
        absent: Absent,
        step: &mut Step<'_>,
    ) -> Result<Receipt, Error> {
        let mut receipt = self.locked(name, absent, |entered| {
            let mut current = entered.load(&*self.clock, absent)?;
            let scene = self.scene(&current.breaker, &current.stamp, &entered.directory);
            let generation = current.breaker.generation();
            let trials: Vec<Permit> = current.breaker.process_trials().collect();

            let keep = step(&mut current.breaker, &scene);
            let moved = current.breaker.generation() != generation;
            if keep == Keep::Nothing && !moved {
                return Ok(Receipt { notices: current.notices, ..Receipt::default() });
            }

            let begun = current.breaker.process_trials().find(|trial| !trials.contains(trial));
            let saved = begun
                .map(|trial| permit::take(&entered.directory, trial))
                .transpose()
                .and_then(|held| entered.save(&mut current).map(|()| held));
            let held = match saved {
                Ok(held) => held,
                Err(error) => return Err(Error::following(&current.notices, error)),
            };
            if moved {
                permit::sweep(&entered.directory, begun);
            } else {
                let left: Vec<Permit> = current.breaker.process_trials().collect();
                for trial in trials.iter().filter(|trial| !left.contains(trial)) {
                    permit::remove(&entered.directory, *trial);
                }
            }
            let unflushed = moved || keep == Keep::Durably;
            Ok(Receipt { permit: held, notices: current.notices, unflushed })
        })?;
        // Without the lock: a slow disk must not keep the others out. They see
        // the new state already, and both slots are flushed at once.
        if receipt.unflushed
            && let Some(Err(error)) = self.flush()
        {
            receipt.notices.push(Notice::NotFlushed(error));
        }
        Ok(receipt)
    }

    fn find(&self, name: &BreakerName) -> Result<Option<Found>, Error> {
        let Some(root) = Directory::open_root(&self.root)? else { return Ok(None) };
        let Some(directory) = root.open_below(name.as_str())? else { return Ok(None) };
        for _ in 0..READS_MAX {
            let Some(state) = directory.open_file(STATE, OFlags::RDONLY)? else { return Ok(None) };
            if let Some((breaker, stamp, loaded)) = read_state(&state, &directory)? {
                let stamp = stamp.moved_on(self.clock.read());
                let scene = self.scene(&breaker, &stamp, &directory);
                // A trial that ended since was not lost: the state says how.
                let is_current = scene.gone.is_empty()
                    || read_state(&state, &directory)?
                        .is_some_and(|(_, _, again)| again.sequence == loaded.sequence);
                if is_current {
                    return Ok(Some(Found { breaker, scene, stamp }));
                }
            }
            thread::sleep(READ_PAUSE);
        }
        Err(Error::Corrupt { path: directory.path_of(STATE) })
    }

    fn names(&self) -> Result<Vec<BreakerName>, Error> {
        let Some(root) = Directory::open_root(&self.root)? else { return Ok(Vec::new()) };
        let mut names: Vec<_> =
            root.directories()?.iter().filter_map(|name| BreakerName::parse(name).ok()).collect();
        names.sort();
        Ok(names)
    }

    fn remove(&self, name: &BreakerName) -> Result<(), Error> {
        let root = Directory::open_root(&self.root)?;
        let root = root.ok_or_else(|| Error::Unknown { name: name.to_string() })?;
        // All or nothing: what cannot be removed whole is not begun.
        root.check_writable()?;
        self.locked(name, Absent::Refuse, |entered| {
            let directory = &entered.directory;
            queue::remove(directory, name)?;
            for part in PARTS {
                directory.remove_tree(part)?;
            }
            for file in directory.entries()? {
                let ours = [STATE, STATE_NEW].contains(&file.as_str())
                    || file.starts_with(CORRUPT_PREFIX)
                    || permit::is_permit(&file);
                if ours {
                    directory.unlink(&file)?;
                }
            }
            // Those who wait for the lock find out, once they have it, that it
            // has no name any more, and begin anew.
            directory.unlink(LOCK)
        })?;
        self.entered.take();
        root.remove_below(name.as_str())
    }
}

impl Entered {
    /// Loads the state, or begins a new one where that is wanted; one that cannot
    /// be read is put aside.
    fn load(&mut self, clock: &dyn Clock, absent: Absent) -> Result<Current, Error> {
        let machine = clock.read();
        let mut notices = Vec::new();
        if self.open_state()? {
            let state = self.state.as_ref().expect("it was just opened");
            if let Some((breaker, stamp, loaded)) = read_state(state, &self.directory)? {
                let stamp = stamp.moved_on(machine);
                return Ok(Current { breaker, stamp, loaded: Some(loaded), notices });
            }
            notices.push(self.put_aside(machine.wall_ms)?);
        } else if absent == Absent::Refuse {
            return Err(Error::Unknown { name: self.name.to_string() });
        }
        let stamp = Stamp::first(machine);
        let breaker = Breaker::new(Now::at(stamp.clock_ms));
        Ok(Current { breaker, stamp, loaded: None, notices })
    }

    /// Opens the state file unless the one that is open still has its name;
    /// `false` where there is none.
    fn open_state(&mut self) -> Result<bool, Error> {
        if let Some(state) = &self.state
            && self.directory.identity_of(STATE)? == Some(state.identity)
        {
            return Ok(true);
        }
        self.state = self.directory.open_file(STATE, OFlags::RDWR)?;
        Ok(self.state.is_some())
    }

    fn put_aside(&mut self, wall_ms: i64) -> Result<Notice, Error> {
        let mut kept: Vec<String> = self.directory.entries()?;
        kept.retain(|name| name.starts_with(CORRUPT_PREFIX));
        kept.sort();
        for name in kept.iter().rev().skip(CORRUPT_KEPT_MAX - 1) {
            self.directory.unlink(name)?;
        }
        let aside = format!("{CORRUPT_PREFIX}{wall_ms}");
        self.directory.rename(STATE, &aside)?;
        self.state = None;
        Ok(Notice::PutAside {
            path: self.directory.path_of(STATE),
            kept: self.directory.path_of(&aside),
        })
    }

    fn save(&self, current: &mut Current) -> Result<(), Error> {
        let body = body::encode(&current.breaker, &current.stamp);
        match (&self.state, &current.loaded) {
            (Some(state), Some(loaded)) => slots::save(&state.file, loaded, &body)
                .map_err(Error::io("write", self.directory.path_of(STATE))),
            _ => {
                self.create_state(&body)?;
                if let Err(error) = self.directory.sync() {
                    current.notices.push(Notice::NotFlushed(error));
                }
                Ok(())
            }
        }
    }

    /// Makes the state file whole or not at all.
    fn create_state(&self, body: &[u8]) -> Result<(), Error> {
        let path = self.directory.path_of(STATE_NEW);
        let bytes = slots::new_file(body).map_err(Error::io("write", &path))?;
        self.directory.unlink(STATE_NEW)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let made = match self.directory.open_file(STATE_NEW, flags)? {
            Some(new) => new.file.write_all_at(&bytes, 0).and_then(|()| new.file.sync_all()),
            None => Err(std::io::ErrorKind::NotFound.into()),
        };
        if let Err(error) = made {
            let _ = self.directory.unlink(STATE_NEW);
            return Err(Error::io("write", path)(error));
        }
        self.directory.rename(STATE_NEW, STATE)
    }
}

/// The latest state of a file that can be read; `None` where there is none.
fn read_state(
    state: &Private,
    directory: &Directory,
) -> Result<Option<(Breaker, Stamp, Loaded)>, Error> {
    let path = || directory.path_of(STATE);
    match slots::load(&state.file).map_err(Error::io("read", path()))? {
        Content::Newer(version) => Err(Error::Newer { path: path(), version }),
        Content::Nothing => Ok(None),
        Content::State(latest, older) => {
            let mut candidates = std::iter::once(latest).chain(older);
            Ok(candidates.find_map(|loaded| {
                let (breaker, stamp) = body::decode(&loaded.body)?;
                Some((breaker, stamp, loaded))
            }))
        }
    }
}
