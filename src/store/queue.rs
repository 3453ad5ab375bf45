//! Calls that are kept for later: a durable queue for each breaker.
//!
//! ```text
//! STORE/NAME/queue/tmp/ID        a job that is being written
//! STORE/NAME/queue/pending/ID    one that waits; likewise running, done, failed, doubt
//! STORE/NAME/queue/keys/HEX      the job that a --key stands for (keys.rs)
//! STORE/NAME/queue/log/ID.N      what attempt N wrote (attempt_log.rs)
//! STORE/NAME/queue/pace          when the next job may start (pace.rs)
//! STORE/NAME/queue/drain         the lock of the background drain
//! ```
//!
//! A job is one file (format.rs). The folder is an index, the file is the
//! evidence: whatever a crash leaves, the history in the file says where the job
//! belongs. An exclusive flock on the file is the claim on the job. The producer
//! holds it until the job is acknowledged, the drainer while it works on it, and
//! the job's own command with it, so that an orphan is seen as running.

mod add;
mod attempt_log;
mod claim;
mod format;
mod id;
mod job;
mod keys;
mod manage;
mod meta;
mod pace;
mod recover;
#[cfg(test)]
mod tests;

use std::cell::{Cell, OnceCell};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use rustix::fs::OFlags;

use super::directory::{Directory, Private};
use super::{Absent, FileStore, lock};
use crate::clock::Clock;
use crate::error::Error;
use crate::model::BreakerName;
use crate::model::job::JobState;
use format::{Content, Wanted};

pub use add::{Added, NewJob, QueueNow};
pub use attempt_log::{AttemptLog, LOG_LEN_MAX};
pub use claim::{Claim, Claimed};
pub use format::{META_LEN_MAX, NOTE_LEN_MAX, STDIN_LEN_MAX};
pub use id::JobId;
pub use job::{Attempt, AttemptEnd, Job, PolicyOf};
pub use recover::{DONE_KEPT_MAX, Recovered};

const QUEUE: &str = "queue";
const DRAIN: &str = "drain";
/// A job that moves while it is looked for is missed in one round at most.
const ROUNDS: u32 = 3;

/// A directory of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Folder {
    Tmp,
    Of(JobState),
    Keys,
    Log,
}

/// The queue of a breaker.
pub struct Queue<'s> {
    breaker: BreakerName,
    clock: &'s dyn Clock,
    last_job: &'s Cell<Option<JobId>>,
    home: Directory,
    /// Opened when they are needed, in the order of [`Folder::ALL`].
    folders: [OnceCell<Directory>; Folder::ALL.len()],
}

/// How many jobs there are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// They wait.
    pub pending: u64,
    /// They are being attempted.
    pub running: u64,
    /// They were given up.
    pub failed: u64,
    /// Only a person can tell.
    pub doubt: u64,
    /// They succeeded and are still kept.
    pub done: u64,
}

/// A job in a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its id.
    pub id: JobId,
    /// Where it stands. What nobody works on any more is not running, whatever
    /// folder it is in.
    pub state: JobState,
    /// What is known of it, without its stdin; or why nothing is.
    pub job: Result<Job, String>,
}

/// A job that was read without a claim on it.
struct Found {
    folder: JobState,
    /// The folder, or where it belongs that it should not be in running/ any
    /// more: whoever worked on it is gone, and nobody has moved it yet.
    state: JobState,
    content: Content,
}

/// The lock of the background drain, held until this is dropped.
#[derive(Debug)]
pub struct DrainLock {
    _file: Private,
}

impl FileStore {
    /// The queue of a breaker; `None` where it is not there and shall not be made.
    ///
    /// # Errors
    ///
    /// [`Error::Unsafe`], or what the system refuses.
    pub fn queue(&self, name: &BreakerName, absent: Absent) -> Result<Option<Queue<'_>>, Error> {
        let found = match Directory::open_root(self.root())? {
            Some(root) => match root.open_below(name.as_str())? {
                Some(breaker) => breaker.open_below(QUEUE)?,
                None => None,
            },
            None => None,
        };
        let home = match (found, absent) {
            // The drain's lock is made last: where it is, all the rest is on
            // the disk for certain.
            (Some(home), Absent::Create) if home.identity_of(DRAIN)?.is_some() => home,
            (_, Absent::Create) => self.make_queue(name)?,
            (Some(home), Absent::Refuse) => home,
            (None, Absent::Refuse) => return Ok(None),
        };
        Ok(Some(Queue {
            breaker: name.clone(),
            clock: self.clock(),
            last_job: self.last_job(),
            home,
            folders: [const { OnceCell::new() }; Folder::ALL.len()],
        }))
    }

    /// How many jobs a breaker's queue has; `None` where it has no queue.
    ///
    /// # Errors
    ///
    /// As [`FileStore::queue`].
    pub fn queue_counts(&self, name: &BreakerName) -> Result<Option<Counts>, Error> {
        self.queue(name, Absent::Refuse)?.map(|queue| queue.counts()).transpose()
    }

    /// Makes what is not there of the way to a job, and has it on the disk.
    fn make_queue(&self, name: &BreakerName) -> Result<Directory, Error> {
        let root = Directory::make_root(self.root())?;
        root.make_unsynced(name.as_str())?;
        let gone = |path| Error::io("open", path)(ErrorKind::NotFound.into());
        let breaker = root.open_below(name.as_str())?;
        let breaker = breaker.ok_or_else(|| gone(root.path_of(name.as_str())))?;
        breaker.make_unsynced(QUEUE)?;
        let home = breaker.open_below(QUEUE)?.ok_or_else(|| gone(breaker.path_of(QUEUE)))?;
        for folder in Folder::ALL {
            home.make_unsynced(folder.name())?;
        }
        home.sync()?;
        breaker.sync()?;
        root.sync()?;
        root.sync_parent()?;
        home.open_file(DRAIN, OFlags::RDWR | OFlags::CREATE)?;
        Ok(home)
    }
}

impl Queue<'_> {
    /// The breaker it belongs to.
    pub fn breaker(&self) -> &BreakerName {
        &self.breaker
    }

    /// How many jobs there are in each state.
    ///
    /// # Errors
    ///
    /// What cannot be read.
    pub fn counts(&self) -> Result<Counts, Error> {
        let count = |state| self.ids(state).map(|ids| ids.len() as u64);
        let mut counts = Counts {
            pending: count(JobState::Pending)?,
            running: 0,
            failed: count(JobState::Failed)?,
            doubt: count(JobState::Doubt)?,
            done: count(JobState::Done)?,
        };
        for id in self.ids(JobState::Running)? {
            *match self.state_told(JobState::Running, id) {
                JobState::Pending => &mut counts.pending,
                JobState::Running => &mut counts.running,
                JobState::Failed => &mut counts.failed,
                JobState::Doubt => &mut counts.doubt,
                JobState::Done => &mut counts.done,
            } += 1;
        }
        Ok(counts)
    }

    /// The jobs that wait, in the order in which they were enqueued.
    ///
    /// # Errors
    ///
    /// What cannot be read.
    pub fn ids_pending(&self) -> Result<Vec<JobId>, Error> {
        self.ids(JobState::Pending)
    }

    /// All jobs, in order. One that cannot be read is listed as such.
    ///
    /// # Errors
    ///
    /// What cannot be listed.
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        let mut ids = BTreeSet::new();
        // Twice the first: a job that went back while the others were looked at.
        for state in JobState::ALL.into_iter().chain([JobState::Pending]) {
            ids.extend(self.ids(state)?.into_iter().map(|id| (id, state)));
        }
        let mut listed: Vec<Listed> = Vec::new();
        for (id, state) in ids {
            if listed.last().is_some_and(|last| last.id == id) {
                continue;
            }
            // Where it moved on since, it is looked for.
            let (state, content) = match self.read(state, id, Wanted::WithoutStdin) {
                Ok(None) => match self.find(id, Wanted::WithoutStdin)? {
                    Some(found) => (found.state, Ok(found.content)),
                    None => continue,
                },
                Ok(Some(found)) => (found.state, Ok(found.content)),
                Err(error) => (state, Err(error)),
            };
            let job = match content {
                Ok(Content::Job(job, _)) => Ok(*job),
                Ok(Content::Corrupt(why)) => Err(why.to_owned()),
                Ok(Content::Newer(version)) => {
                    Err(format!("has format version {version}, written by a newer cb"))
                }
                Err(error) => Err(error.to_string()),
            };
            listed.push(Listed { id, state, job });
        }
        Ok(listed)
    }

    /// One job, whole; `None` where there is none of this id.
    ///
    /// # Errors
    ///
    /// What cannot be read, and a job that is corrupt or of a newer cb.
    pub fn open(&self, id: JobId) -> Result<Option<(JobState, Job)>, Error> {
        let Some(found) = self.find(id, Wanted::Whole)? else { return Ok(None) };
        let path = || self.path_of(found.folder, id);
        match found.content {
            Content::Job(job, _) => Ok(Some((found.state, *job))),
            Content::Newer(version) => Err(Error::Newer { path: path(), version }),
            Content::Corrupt(why) => Err(Error::Unsafe { path: path(), why: why.into() }),
        }
    }

    /// The lock of the background drain; `None` where another process has it.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn drain_lock(&self) -> Result<Option<DrainLock>, Error> {
        let path = || self.home.path_of(DRAIN);
        let Some(file) = self.home.open_file(DRAIN, OFlags::RDWR | OFlags::CREATE)? else {
            return Err(Error::io("open", path())(ErrorKind::NotFound.into()));
        };
        let locked = lock::try_exclusive(&file.file).map_err(Error::io("lock", path()))?;
        Ok(locked.then_some(DrainLock { _file: file }))
    }

    fn ids(&self, state: JobState) -> Result<Vec<JobId>, Error> {
        let Some(folder) = self.folder_if_there(Folder::Of(state))? else { return Ok(Vec::new()) };
        let names = folder.entries()?;
        let mut ids: Vec<JobId> = names.iter().filter_map(|name| JobId::parse(name)).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Opens a folder, or makes it anew where somebody removed it.
    fn folder(&self, folder: Folder) -> Result<&Directory, Error> {
        if let Some(directory) = self.folder_if_there(folder)? {
            return Ok(directory);
        }
        let name = folder.name();
        self.home.make_below(name)?;
        let gone = || Error::io("open", self.home.path_of(name))(ErrorKind::NotFound.into());
        self.folder_if_there(folder)?.ok_or_else(gone)
    }

    fn folder_if_there(&self, folder: Folder) -> Result<Option<&Directory>, Error> {
        let cell = &self.folders[folder.place()];
        if cell.get().is_none()
            && let Some(found) = self.home.open_below(folder.name())?
        {
            let _ = cell.set(found);
        }
        Ok(cell.get())
    }

    fn path_of(&self, state: JobState, id: JobId) -> PathBuf {
        self.home.path_of(state.name()).join(id.to_string())
    }

    /// The state of a job by the folder it is in.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn state_of(&self, id: JobId) -> Result<Option<JobState>, Error> {
        let name = id.to_string();
        for _ in 0..ROUNDS {
            for state in JobState::ALL {
                if let Some(folder) = self.folder_if_there(Folder::Of(state))?
                    && folder.identity_of(&name)?.is_some()
                {
                    return Ok(Some(state));
                }
            }
        }
        Ok(None)
    }

    /// Where a job stands that is in this folder, as far as that can be told.
    fn state_told(&self, folder: JobState, id: JobId) -> JobState {
        match (folder, self.read(folder, id, Wanted::WithoutStdin)) {
            (JobState::Running, Ok(Some(found))) => found.state,
            _ => folder,
        }
    }

    fn find(&self, id: JobId, wanted: Wanted) -> Result<Option<Found>, Error> {
        for _ in 0..ROUNDS {
            let Some(folder) = self.state_of(id)? else { return Ok(None) };
            if let Some(found) = self.read(folder, id, wanted)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Reads a job without a claim on it; `None` where it is not there.
    fn read(&self, folder: JobState, id: JobId, wanted: Wanted) -> Result<Option<Found>, Error> {
        let Some(directory) = self.folder_if_there(Folder::Of(folder))? else { return Ok(None) };
        let name = id.to_string();
        let path = || directory.path_of(&name);
        let Some(opened) = directory.open_file(&name, OFlags::RDONLY)? else { return Ok(None) };
        // Before it is read: what is in it then is the last word of who is gone.
        let is_nobodys = folder == JobState::Running
            && lock::is_free(&opened.file).map_err(Error::io("lock", path()))?;
        let content =
            self.read_file(&opened.file, id, wanted).map_err(Error::io("read", path()))?;
        let mut state = folder;
        if is_nobodys {
            if directory.identity_of(&name)? != Some(opened.identity) {
                return Ok(None);
            }
            state = content.state_as_nobodys().unwrap_or(folder);
        }
        Ok(Some(Found { folder, state, content }))
    }

    /// Reads the file of a job. Whatever breaker it was made for, it goes
    /// through that whose queue it is in: nobody needs to trust the file's word.
    fn read_file(&self, file: &File, id: JobId, wanted: Wanted) -> io::Result<Content> {
        let mut content = format::read(file, id, wanted)?;
        if let Content::Job(job, _) = &mut content {
            self.breaker.as_str().clone_into(&mut job.breaker);
        }
        Ok(content)
    }
}

/// Removes a breaker's queue, unless there are jobs in it that are not done.
///
/// # Errors
///
/// [`Error::Usage`] with what there is, or what the system refuses.
pub fn remove(breaker: &Directory, name: &BreakerName) -> Result<(), Error> {
    let Some(home) = breaker.open_below(QUEUE)? else { return Ok(()) };
    let unfinished = JobState::ALL.into_iter().filter(|state| *state != JobState::Done);
    let mut found = Vec::new();
    let mut total = 0;
    for state in unfinished.clone() {
        let Some(folder) = home.open_below(state.name())? else { continue };
        let count = folder.entries()?.iter().filter(|name| JobId::parse(name).is_some()).count();
        total += count;
        if count > 0 {
            let in_doubt = if state == JobState::Doubt { "in " } else { "" };
            found.push(format!("{count} {in_doubt}{state}"));
        }
    }
    if total > 0 {
        let (jobs, them) = if total == 1 { ("job", "it") } else { ("jobs", "them") };
        return Err(Error::Usage(format!(
            "{name} has {total} queued {jobs} ({}): drain, drop or purge {them} first",
            found.join(", ")
        )));
    }
    // Nothing is unlinked in these folders: a job that is acknowledged meanwhile
    // keeps its folder. Once pending/ is gone no job can be.
    for state in unfinished {
        if !home.remove_empty(state.name())? {
            let path = home.path_of(state.name());
            // Whatever it is: the folders before it are made anew when needed.
            return Err(Error::Unsafe { path, why: "is not empty: look what is in it".into() });
        }
    }
    for folder in [Folder::Tmp, Folder::Of(JobState::Done), Folder::Keys, Folder::Log] {
        home.remove_tree(folder.name())?;
    }
    breaker.remove_tree(QUEUE)
}

impl Folder {
    const ALL: [Folder; 8] = [
        Folder::Tmp,
        Folder::Of(JobState::Pending),
        Folder::Of(JobState::Running),
        Folder::Of(JobState::Done),
        Folder::Of(JobState::Failed),
        Folder::Of(JobState::Doubt),
        Folder::Keys,
        Folder::Log,
    ];

    const fn name(self) -> &'static str {
        match self {
            Folder::Tmp => "tmp",
            Folder::Of(state) => state.name(),
            Folder::Keys => "keys",
            Folder::Log => "log",
        }
    }

    fn place(self) -> usize {
        Self::ALL.iter().position(|folder| *folder == self).expect("all of them are listed")
    }
}

impl Counts {
    /// Jobs that are not done.
    pub const fn unfinished(&self) -> u64 {
        self.pending + self.running + self.failed + self.doubt
    }
}

impl fmt::Debug for Queue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Queue").field(&self.breaker.as_str()).finish()
    }
}
