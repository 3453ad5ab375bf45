//! Working on a job: the claim, and what is on the disk before each step.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::OFlags;

use super::format::{self, Content, Entry, JOURNAL_LEN_MAX, Journal, Wanted};
use super::{AttemptEnd, Folder, Job, JobId, PolicyOf, Queue};
use crate::error::Error;
use crate::model::Ms;
use crate::model::job::{Fate, JobPolicy, JobState};
use crate::store::directory::Private;
use crate::store::lock;

/// So many names are tried for what is put aside.
const NAMES_MAX: u32 = 100;

/// What came of a try to claim a job.
#[derive(Debug)]
pub enum Claimed<'q> {
    /// It is due and nobody else's.
    Got(Claim<'q>),
    /// It waits for its next attempt.
    NotDue {
        /// On the breaker's clock.
        due_ms: Ms,
    },
    /// Somebody works on it, or is still adding it.
    Busy,
    /// It is not pending any more.
    Gone,
    /// It shall not be attempted, and was moved to where it belongs: given up,
    /// or in doubt or done after a power cut.
    Settled(Fate),
    /// It cannot be read, and was put aside into doubt: why.
    PutAside(String),
    /// It is of a newer cb, and was left alone.
    Newer(u32),
}

/// A job that is claimed. Dropping it is what a crash is: the kernel frees the
/// lock, and the file says what is known.
#[derive(Debug)]
pub struct Claim<'q> {
    held: Box<Held<'q>>,
}

/// A locked job.
#[derive(Debug)]
pub(super) struct Held<'q> {
    queue: &'q Queue<'q>,
    state: JobState,
    name: String,
    file: Private,
    journal: Journal,
    pub(super) job: Job,
}

/// What came of locking a job.
pub(super) enum Hold<'q> {
    Got(Box<Held<'q>>),
    Busy,
    Gone,
    /// Why it cannot be read, and its file where that could be opened.
    Broken(String, Option<Private>),
    Newer(u32),
}

impl<'q> Queue<'q> {
    /// Claims a pending job that is due by its own rules.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn claim(
        &'q self,
        id: JobId,
        policy_of: PolicyOf<'_>,
        now_ms: Ms,
    ) -> Result<Claimed<'q>, Error> {
        let mut held = match self.hold(JobState::Pending, id)? {
            Hold::Got(held) => held,
            Hold::Busy => return Ok(Claimed::Busy),
            Hold::Gone => return Ok(Claimed::Gone),
            Hold::Newer(version) => return Ok(Claimed::Newer(version)),
            Hold::Broken(why, _file) => {
                self.put_aside(JobState::Pending, id)?;
                return Ok(Claimed::PutAside(why));
            }
        };
        match held.job.history.fate(&policy_of(&held.job), now_ms) {
            Fate::Pending { due_ms } if due_ms > now_ms => Ok(Claimed::NotDue { due_ms }),
            // Here, a power cut took back the move that followed the attempt.
            Fate::Pending { .. } => match held.read_whole(id)? {
                None => Ok(Claimed::Got(Claim { held })),
                Some(why) => {
                    self.put_aside(JobState::Pending, id)?;
                    Ok(Claimed::PutAside(why))
                }
            },
            fate => {
                held.move_to(fate.state())?;
                Ok(Claimed::Settled(fate))
            }
        }
    }

    /// Locks a job in this folder and reads it, without its stdin.
    pub(super) fn hold(&'q self, state: JobState, id: JobId) -> Result<Hold<'q>, Error> {
        let directory = self.folder(Folder::Of(state))?;
        let name = id.to_string();
        let file = match directory.open_file(&name, OFlags::RDWR) {
            Ok(Some(file)) => file,
            Ok(None) => return Ok(Hold::Gone),
            Err(Error::Unsafe { why, .. }) => return Ok(Hold::Broken(why, None)),
            Err(error) => return Err(error),
        };
        let path = || directory.path_of(&name);
        if !lock::try_exclusive_among_readers(&file.file).map_err(Error::io("lock", path()))? {
            return Ok(Hold::Busy);
        }
        // Whoever held it before may have moved it on or removed it.
        if directory.identity_of(&name)? != Some(file.identity) {
            return Ok(Hold::Gone);
        }
        let content = self.read_file(&file.file, id, Wanted::WithoutStdin);
        Ok(match content.map_err(Error::io("read", path()))? {
            Content::Newer(version) => Hold::Newer(version),
            Content::Corrupt(why) => Hold::Broken(why.to_owned(), Some(file)),
            Content::Job(job, journal) => {
                Hold::Got(Box::new(Held { queue: self, state, name, file, journal, job: *job }))
            }
        })
    }

    /// Moves what cannot be read out of the way. Where doubt/ has the name
    /// already it gets one of those that follow: nothing is overwritten.
    pub(super) fn put_aside(&self, state: JobState, id: JobId) -> Result<(), Error> {
        let name = id.to_string();
        let from = self.folder(Folder::Of(state))?;
        let doubt = self.folder(Folder::Of(JobState::Doubt))?;
        let mut aside = id;
        for _ in 0..NAMES_MAX {
            if from.move_to(&name, doubt, &aside.to_string())? || from.identity_of(&name)?.is_none()
            {
                return Ok(());
            }
            aside = aside.next();
        }
        let why = "cannot be read, and its name is taken in doubt: move it away".into();
        Err(Error::Unsafe { path: from.path_of(&name), why })
    }
}

impl Claim<'_> {
    /// The job, whole.
    pub fn job(&self) -> &Job {
        &self.held.job
    }

    /// The descriptor that holds the claim, for the job's command to inherit:
    /// as long as that lives, the job counts as running.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.held.file.file.as_fd()
    }

    /// Has it on the disk that an attempt begins, and returns its number. Only
    /// then may the command start.
    ///
    /// # Errors
    ///
    /// What the system refuses. The attempt did not begin, and the claim is of
    /// no more use.
    pub fn begin(&mut self, now_ms: Ms) -> Result<u32, Error> {
        let held = &mut self.held;
        let number = held.job.history.attempts() + 1;
        let end_before = held.journal.end;
        held.append(Entry::Began(number), now_ms)?;
        // The directories are not flushed: should a power cut bring the file
        // back to pending/, it says itself that an attempt began.
        if let Err(error) = held.move_to(JobState::Running) {
            held.cut_to(end_before);
            return Err(error);
        }
        Ok(number)
    }

    /// Has the attempt's result on the disk, moves the job to where it belongs,
    /// and lets it go.
    ///
    /// # Errors
    ///
    /// What the system refuses. Without a stored result the job is left in
    /// running/, and will be found there as one whose end is not known.
    pub fn end(self, ended: &AttemptEnd, policy: &JobPolicy, now_ms: Ms) -> Result<Fate, Error> {
        let mut held = self.held;
        let number = held.job.history.attempts();
        let result = match held.append(Entry::Ended(number, ended.clone()), now_ms) {
            Ok(()) => {
                let fate = held.job.history.fate(policy, now_ms);
                held.move_to(fate.state()).map(|()| fate)
            }
            Err(why) => {
                let done = format!(
                    "job {} ended ({}) and this could not be stored: nobody will know",
                    held.name,
                    ended.how.name()
                );
                Err(Error::Following { done, why: Box::new(why) })
            }
        };
        // Explicitly: a daemon that the command left behind has the descriptor.
        lock::release(&held.file.file);
        result
    }

    /// Lets go of a job whose attempt did not begin.
    pub fn release(self) {
        lock::release(&self.held.file.file);
    }
}

impl Held<'_> {
    /// Appends an entry and has it on the disk, or takes it back.
    pub(super) fn append(&mut self, entry: Entry, at_ms: Ms) -> Result<(), Error> {
        let path = self.queue.path_of(self.state, self.job.id);
        let bytes = format::line(&entry, at_ms);
        let (history, attempts) = (self.job.history, self.job.attempts.clone());
        if self.job.take_in(entry, at_ms).is_none() {
            return Err(Error::Unsafe { path, why: "is at another point of its life".into() });
        }
        let (file, end) = (&self.file.file, self.journal.end);
        if end - self.journal.begin + bytes.len() as u64 > JOURNAL_LEN_MAX as u64 {
            return Err(Error::Unsafe { path, why: "has a full journal: drop it".into() });
        }
        let write = || {
            // What was cut short before must not stand between the lines.
            if file.metadata()?.len() != end {
                file.set_len(end)?;
            }
            file.write_all_at(&bytes, end)?;
            file.sync_data()
        };
        if let Err(error) = write() {
            self.cut_to(end);
            (self.job.history, self.job.attempts) = (history, attempts);
            return Err(Error::io("write", path)(error));
        }
        self.journal.end = end + bytes.len() as u64;
        Ok(())
    }

    /// Takes back what was appended since, as far as that can be done: what
    /// stays there says more than is certain, never less.
    fn cut_to(&self, len: u64) {
        let _ = self.file.file.set_len(len);
    }

    /// Moves the job to the folder of this state.
    pub(super) fn move_to(&mut self, state: JobState) -> Result<(), Error> {
        if state == self.state {
            return Ok(());
        }
        let from = self.queue.folder(Folder::Of(self.state))?;
        let to = self.queue.folder(Folder::Of(state))?;
        if !from.move_to(&self.name, to, &self.name)? {
            let why = format!("cannot be moved to {state}: it is gone, or its name is taken there");
            return Err(Error::Unsafe { path: from.path_of(&self.name), why });
        }
        self.state = state;
        Ok(())
    }

    /// Reads the stdin as well; why it cannot be believed, if so.
    fn read_whole(&mut self, id: JobId) -> Result<Option<String>, Error> {
        if self.job.stdin_len == 0 {
            return Ok(None);
        }
        let path = self.queue.path_of(self.state, id);
        let content = self.queue.read_file(&self.file.file, id, Wanted::Whole);
        match content.map_err(Error::io("read", path))? {
            Content::Job(job, journal) => {
                (self.job, self.journal) = (*job, journal);
                Ok(None)
            }
            Content::Corrupt(why) => Ok(Some(why.to_owned())),
            Content::Newer(_) => Ok(Some("changed while it was read".to_owned())),
        }
    }
}
