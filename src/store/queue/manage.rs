//! What a person does with jobs: send one back, drop one, purge many.

use super::attempt_log;
use super::claim::Hold;
use super::format::Entry;
use super::keys::{self, Holder, KeyFile};
use super::{Folder, JobId, Queue};
use crate::error::Error;
use crate::model::Ms;
use crate::model::job::{ATTEMPTS_MAX, JobState};

/// What came of removing a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removed {
    Yes,
    Busy,
    Gone,
}

impl<'q> Queue<'q> {
    /// Sends a job that failed or is in doubt back to pending, with all its
    /// attempts before it and its age new; the state it was in, or `None` where
    /// there is no such job. One in running/ that nobody works on any more is
    /// sent back as well, unless it was done.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for a job in another state, or what the system refuses.
    pub fn retry(&'q self, id: JobId, now_ms: Ms) -> Result<Option<JobState>, Error> {
        let Some(state) = self.state_of(id)? else { return Ok(None) };
        if !matches!(state, JobState::Failed | JobState::Doubt | JobState::Running) {
            return Err(not_for_retry(id, state));
        }
        let mut held = match self.hold(state, id)? {
            Hold::Got(held) => held,
            Hold::Gone => return Ok(None),
            Hold::Busy => return Err(busy(id)),
            Hold::Newer(version) => {
                return Err(Error::Newer { path: self.path_of(state, id), version });
            }
            Hold::Broken(why, _) => {
                let why = format!("{why}: it can only be dropped");
                return Err(Error::Unsafe { path: self.path_of(state, id), why });
            }
        };
        let was = match state {
            JobState::Running => held.job.state_as_nobodys(),
            _ => state,
        };
        if was == JobState::Done {
            held.move_to(was)?;
            return Err(not_for_retry(id, was));
        }
        if held.job.history.attempts() >= ATTEMPTS_MAX {
            return Err(Error::Usage(format!(
                "job {id} was attempted {ATTEMPTS_MAX} times: drop it, and add the call anew"
            )));
        }
        held.append(Entry::Retried, now_ms)?;
        held.move_to(JobState::Pending)?;
        self.folder(Folder::Of(JobState::Pending))?.sync()?;
        self.folder(Folder::Of(state))?.sync()?;
        Ok(Some(was))
    }

    /// Removes a job, whatever became of it, unless it is running; the state it
    /// was in, or `None` where there is no such job.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] for a job that somebody works on, or what the system
    /// refuses.
    pub fn drop(&'q self, id: JobId) -> Result<Option<JobState>, Error> {
        let Some(state) = self.state_of(id)? else { return Ok(None) };
        match self.remove(state, id)? {
            Removed::Gone => Ok(None),
            Removed::Busy => Err(busy(id)),
            Removed::Yes => {
                self.folder(Folder::Of(state))?.sync()?;
                Ok(Some(state))
            }
        }
    }

    /// Removes all jobs in these states but those that somebody works on; how
    /// many there were.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn purge(&'q self, states: &[JobState]) -> Result<u64, Error> {
        let mut count = 0;
        for state in states {
            for id in self.ids(*state)? {
                if self.remove(*state, id)? == Removed::Yes {
                    count += 1;
                }
            }
            self.folder(Folder::Of(*state))?.sync()?;
        }
        // Those whose drainer died, and which nobody has moved yet.
        for id in self.ids(JobState::Running)? {
            if states.contains(&self.state_told(JobState::Running, id))
                && self.remove(JobState::Running, id)? == Removed::Yes
            {
                count += 1;
            }
        }
        Ok(count)
    }

    /// Removes a job in this folder with all that belongs to it.
    pub(super) fn remove(&'q self, state: JobState, id: JobId) -> Result<Removed, Error> {
        let folder = self.folder(Folder::Of(state))?;
        let name = id.to_string();
        let log = self.folder(Folder::Log)?;
        let held = match self.hold(state, id)? {
            Hold::Got(held) => held,
            Hold::Busy => return Ok(Removed::Busy),
            Hold::Gone => return Ok(Removed::Gone),
            // Its key is free once its job is gone, whatever its file says.
            Hold::Newer(_) | Hold::Broken(..) => {
                folder.unlink(&name)?;
                attempt_log::remove_all(log, id)?;
                return Ok(Removed::Yes);
            }
        };
        let key = held.job.key.as_deref().map(keys::hex_of_key);
        let key = key.map(|hex| KeyFile::lock(self, &hex)).transpose()?;
        folder.unlink(&name)?;
        if let Some(key) = key
            && matches!(key.read()?, Holder::Job(of, _) if of == id)
        {
            key.remove()?;
        }
        for attempt in 1..=held.job.history.attempts() {
            log.unlink(&attempt_log::file_name(id, attempt))?;
        }
        Ok(Removed::Yes)
    }
}

fn not_for_retry(id: JobId, state: JobState) -> Error {
    Error::Usage(format!(
        "job {id} is {state}: only jobs that failed or are in doubt can be sent back"
    ))
}

fn busy(id: JobId) -> Error {
    Error::Usage(format!("job {id} is running: wait for its end, or end it"))
}
