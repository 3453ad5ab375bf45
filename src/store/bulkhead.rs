//! The bulkhead: how many calls are in flight at once, held by the kernel.
//!
//! ```text
//! STORE/NAME/slots/lock       for short steps that must not cross
//! STORE/NAME/slots/slot-N     locked by a call for as long as it runs
//! STORE/NAME/slots/wait-SEQ   locked by a call that waits for a slot
//! ```
//!
//! All are flocks: whatever a holder or a waiter dies of, its place is free at
//! once. Slot files stay where they are; only the removal of the breaker takes
//! them away.
//!
//! Who comes takes a slot under the lock, and only where nobody waits. Who waits
//! draws a number under the lock and has locked its ticket before it lets the
//! lock go, so a ticket that can be locked has lost its owner. A waiter watches
//! the ticket before its own, and once there is none it is its turn: nobody else
//! takes slots then, so it tries them without the lock.

use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;

use super::FileStore;
use super::directory::{Directory, Private};
use super::lock;
use crate::error::Error;
use crate::model::name::BreakerName;

/// The directory below a breaker's own.
pub(super) const DIRECTORY: &str = "slots";

const LOCK: &str = "lock";
const WAIT_PREFIX: &str = "wait-";
const SEQUENCE_LEN: usize = 20;
/// Higher numbers were not drawn by cb.
const SEQUENCE_MAX: u64 = u64::MAX / 2;
/// A waiter looks again after half of this to one and a half of it.
const PAUSE: Duration = Duration::from_millis(15);
/// So often a waiter asks whether it shall go on.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// A slot of the bulkhead, held until this is dropped or the process ends.
#[derive(Debug)]
pub struct SlotFile {
    file: Private,
}

impl Drop for SlotFile {
    fn drop(&mut self) {
        // Closing it is not enough while a process that is being started still
        // has a copy of the descriptor.
        lock::release(&self.file.file);
    }
}

/// What came of a try to take a slot.
enum Tried {
    Got(SlotFile),
    /// All slots are held, or others are first.
    Full,
    /// The breaker was removed meanwhile: begin anew.
    Removed,
}

/// A place in the line, left when this is dropped.
struct Ticket {
    directory: Directory,
    file: Private,
    sequence: u64,
    /// The ticket before this one, as it was when last looked for.
    ahead: Option<u64>,
}

/// What the first look at the slots came to.
enum Begun {
    Ended(Option<SlotFile>),
    Waits(Ticket),
}

impl FileStore {
    /// Takes one of so many slots; `None` where all are held, or where others
    /// wait for one already.
    ///
    /// # Errors
    ///
    /// What the store cannot do.
    pub fn take_slot(&self, name: &BreakerName, max: u32) -> Result<Option<SlotFile>, Error> {
        self.under_lock(name, |directory| {
            Ok(match come(&directory, max)? {
                Tried::Got(slot) => Some(Some(slot)),
                Tried::Full => Some(None),
                Tried::Removed => None,
            })
        })
    }

    /// The same, waiting for a slot in the order of arrival; `None` where the
    /// time is up, or `go_on` says so, which is asked about every 100 ms.
    ///
    /// # Errors
    ///
    /// What the store cannot do.
    pub fn wait_for_slot(
        &self,
        name: &BreakerName,
        max: u32,
        wait_max: Duration,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<SlotFile>, Error> {
        let clock = self.clock();
        let mut asked = clock.monotonic();
        let end = asked.saturating_add(wait_max);
        loop {
            let begun = self.under_lock(name, |directory| match come(&directory, max)? {
                Tried::Got(slot) => Ok(Some(Begun::Ended(Some(slot)))),
                Tried::Full if clock.monotonic() >= end => Ok(Some(Begun::Ended(None))),
                Tried::Full => Ok(Ticket::draw(directory)?.map(Begun::Waits)),
                Tried::Removed => Ok(None),
            })?;
            let mut ticket = match begun {
                Begun::Ended(slot) => return Ok(slot),
                Begun::Waits(ticket) => ticket,
            };
            loop {
                match ticket.try_turn(max)? {
                    Tried::Got(slot) => return Ok(Some(slot)),
                    Tried::Full => {}
                    Tried::Removed => break,
                }
                let now = clock.monotonic();
                if now >= end {
                    return Ok(None);
                }
                if now.saturating_sub(asked) >= ASK_EVERY {
                    asked = now;
                    if !go_on() {
                        return Ok(None);
                    }
                }
                thread::sleep(lock::jittered(PAUSE, clock.draw()).min(end - now));
            }
        }
    }

    /// Runs `work` under the lock of the slots, again where it finds that the
    /// breaker was removed meanwhile (`None`).
    fn under_lock<T>(
        &self,
        name: &BreakerName,
        mut work: impl FnMut(Directory) -> Result<Option<T>, Error>,
    ) -> Result<T, Error> {
        let begin = self.clock().monotonic();
        while self.clock().monotonic().saturating_sub(begin) < lock::WAIT_MAX {
            let Some(directory) = self.make_part(name, DIRECTORY)? else { continue };
            let flags = OFlags::RDWR | OFlags::CREATE;
            let Some(held) = directory.open_file(LOCK, flags)? else { continue };
            lock::exclusive(&held.file, &directory.path_of(LOCK), self.clock(), begin)?;
            // Removed between opening and locking, it protects nothing.
            if directory.identity_of(LOCK)? != Some(held.identity) {
                continue;
            }
            let done = work(directory);
            lock::release(&held.file);
            if let Some(value) = done? {
                return Ok(value);
            }
        }
        let path = self.root().join(name.as_str()).join(DIRECTORY);
        Err(Error::Unsafe { path, why: "is removed again and again".into() })
    }
}

impl Ticket {
    /// Draws the next number and locks it; the lock of the slots is held.
    fn draw(directory: Directory) -> Result<Option<Self>, Error> {
        let highest = sequences(&directory)?.into_iter().max();
        let sequence = highest.map_or(0, |highest| highest + 1);
        let name = ticket_name(sequence);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let Some(file) = directory.open_file(&name, flags)? else { return Ok(None) };
        let path = directory.path_of(&name);
        if lock::try_exclusive(&file.file).map_err(Error::io("lock", &path))? {
            Ok(Some(Ticket { directory, file, sequence, ahead: None }))
        } else {
            Err(Error::Locked { path, waited_ms: 0 })
        }
    }

    fn try_turn(&mut self, max: u32) -> Result<Tried, Error> {
        if !self.is_there()? {
            return Ok(Tried::Removed);
        }
        if self.is_first()? { try_slots(&self.directory, max) } else { Ok(Tried::Full) }
    }

    /// Whether the ticket still has its name: the removal of the breaker takes
    /// it away.
    fn is_there(&self) -> Result<bool, Error> {
        let found = self.directory.identity_of(&ticket_name(self.sequence))?;
        Ok(found == Some(self.file.identity))
    }

    /// Whether nobody is before this one. No lower number is ever drawn while
    /// this ticket is there, so those before it only become fewer.
    fn is_first(&mut self) -> Result<bool, Error> {
        if let Some(ahead) = self.ahead
            && is_live(&self.directory, ahead)?
        {
            return Ok(false);
        }
        self.ahead = None;
        let mut before = sequences(&self.directory)?;
        before.retain(|sequence| *sequence < self.sequence);
        before.sort_unstable();
        for sequence in before.into_iter().rev() {
            if is_live(&self.directory, sequence)? {
                self.ahead = Some(sequence);
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // It may be another's that drew the same number after a removal. A
        // ticket that stays behind is void: nobody has it locked.
        if self.is_there().unwrap_or(false) {
            let _ = self.directory.unlink(&ticket_name(self.sequence));
        }
    }
}

/// Tries the slots for one who just came; the lock of the slots is held.
fn come(directory: &Directory, max: u32) -> Result<Tried, Error> {
    for sequence in sequences(directory)? {
        if is_live(directory, sequence)? {
            return Ok(Tried::Full);
        }
        // Its owner died. Not being able to remove it changes nothing.
        let _ = directory.unlink(&ticket_name(sequence));
    }
    try_slots(directory, max)
}

fn try_slots(directory: &Directory, max: u32) -> Result<Tried, Error> {
    for number in 0..max {
        let name = format!("slot-{number}");
        let flags = OFlags::RDWR | OFlags::CREATE;
        let Some(file) = directory.open_file(&name, flags)? else { return Ok(Tried::Removed) };
        let path = || directory.path_of(&name);
        if !lock::try_exclusive(&file.file).map_err(|error| Error::io("lock", path())(error))? {
            continue;
        }
        let is_there = directory.identity_of(&name)? == Some(file.identity);
        return Ok(if is_there { Tried::Got(SlotFile { file }) } else { Tried::Removed });
    }
    Ok(Tried::Full)
}

/// Whether a ticket has an owner. What is not a file of ours is no ticket.
fn is_live(directory: &Directory, sequence: u64) -> Result<bool, Error> {
    let name = ticket_name(sequence);
    match directory.open_file(&name, OFlags::RDONLY) {
        Ok(Some(ticket)) => match lock::try_shared(&ticket.file) {
            Ok(is_free) => Ok(!is_free),
            Err(error) => Err(Error::io("lock", directory.path_of(&name))(error)),
        },
        Ok(None) | Err(Error::Unsafe { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The numbers of all tickets, in no order.
fn sequences(directory: &Directory) -> Result<Vec<u64>, Error> {
    let entries = directory.entries()?;
    let sequence = |name: &String| -> Option<u64> {
        let digits = name.strip_prefix(WAIT_PREFIX)?;
        let is_ours = digits.len() == SEQUENCE_LEN && digits.bytes().all(|b| b.is_ascii_digit());
        is_ours.then(|| digits.parse().ok()).flatten().filter(|sequence| *sequence < SEQUENCE_MAX)
    };
    Ok(entries.iter().filter_map(sequence).collect())
}

fn ticket_name(sequence: u64) -> String {
    format!("{WAIT_PREFIX}{sequence:020}")
}
