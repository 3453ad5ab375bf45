//! Enqueuing: acknowledged means durable.

use std::ffi::OsString;
use std::fmt;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::OFlags;

use super::keys::{self, KeyFile};
use super::{Folder, Job, JobId, Queue, format, meta};
use crate::error::Error;
use crate::model::Ms;
use crate::model::backoff::mix;
use crate::model::job::{JobState, KEY_BYTES_MAX};
use crate::model::text;
use crate::store::directory::NAME_LEN_MIN;
use crate::store::lock;

/// How much of a key a message shows, in characters.
const KEY_SHOWN_MAX: usize = 60;
/// Between making a file and locking it, a drain may take it for one that was left
/// over: seldom, but with many drains on a busy machine several times in a row.
const TRIES: u32 = 100;

/// A call to keep for later.
#[derive(Clone, Default)]
pub struct NewJob {
    /// The command and its arguments.
    pub argv: Vec<OsString>,
    /// Where it shall run.
    pub cwd: PathBuf,
    /// Its file mode creation mask.
    pub umask: u32,
    /// Its environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its stdin.
    pub stdin: Vec<u8>,
    /// What makes it the same job as another.
    pub key: Option<String>,
    /// Whether it may run again when nobody knows how an attempt ended.
    pub idempotent: bool,
    /// Settings of the call, as text.
    pub flags: String,
    /// How long it waits before its first attempt, up to
    /// [`ATTEMPT_DELAY_MAX`](crate::model::job::ATTEMPT_DELAY_MAX).
    pub delay_ms: u64,
}

/// The moment of an enqueue.
#[derive(Clone, Copy, Debug)]
pub struct QueueNow {
    /// On the breaker's clock.
    pub clock_ms: Ms,
    /// On the wall clock, in ms since 1970.
    pub wall_ms: i64,
    /// A draw of chance.
    pub draw: u64,
}

/// A job that is kept, for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added {
    /// Its id.
    pub id: JobId,
    /// Whether it was added now; `false` where its key had it already.
    pub is_new: bool,
    /// Where it stands.
    pub state: JobState,
}

impl Queue<'_> {
    /// Keeps a call for later. When this returns, the job is on the disk.
    ///
    /// # Errors
    ///
    /// [`Error::NotQueued`], or [`Error::Usage`] for a key that another command
    /// has; then there is no job. A flush that fails is never tried again.
    pub fn add(&self, job: &NewJob, now: QueueNow, max_jobs: u32) -> Result<Added, Error> {
        match &job.key {
            Some(key) => self.add_keyed(job, key, now, max_jobs),
            None => {
                self.check_room(max_jobs).map_err(not_queued)?;
                let id = self.put_anew(job, now, |_| Ok(()))?;
                Ok(Added { id, is_new: true, state: JobState::Pending })
            }
        }
    }

    fn add_keyed(
        &self,
        job: &NewJob,
        key: &str,
        now: QueueNow,
        max_jobs: u32,
    ) -> Result<Added, Error> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(Error::Usage(format!(
                "--key has {} bytes; allowed: 1 to {KEY_BYTES_MAX}",
                key.len()
            )));
        }
        let hex = keys::hex_of_key(key);
        let command = keys::hex_of_command(&job.argv, &job.cwd);
        // Held to the end: whoever comes with the same key waits for the answer.
        let file = KeyFile::lock(self, &hex).map_err(not_queued)?;
        if let Some((id, state, taken_by)) = self.job_of_key(&file, key).map_err(not_queued)? {
            if taken_by != command {
                let shown = text::excerpt(key, KEY_SHOWN_MAX);
                let why = format!("--key '{shown}' is taken by job {id} with another command");
                return Err(Error::Usage(why));
            }
            // Its producer may have died before this.
            self.folder(Folder::Of(state)).and_then(|folder| folder.sync()).map_err(not_queued)?;
            return Ok(Added { id, is_new: false, state: self.state_told(state, id) });
        }
        let added = self.check_room(max_jobs).map_err(not_queued).and_then(|()| {
            // The key is on the disk before the job is: a job without its key
            // could be added twice, a key without its job is free.
            self.put_anew(job, now, |id| {
                file.write(id, &command)?;
                self.folder(Folder::Keys)?.sync()
            })
        });
        match added {
            Ok(id) => Ok(Added { id, is_new: true, state: JobState::Pending }),
            Err(error) => {
                // Keys that were refused do not pile up. One whose job could
                // not be taken back stays with it.
                if !matches!(error, Error::NotQueued { left: Some(_), .. }) {
                    let _ = file.remove();
                }
                Err(error)
            }
        }
    }

    /// The job that has this key, its state, and its command.
    fn job_of_key(
        &self,
        file: &KeyFile<'_>,
        key: &str,
    ) -> Result<Option<(JobId, JobState, String)>, Error> {
        match file.read()? {
            keys::Holder::Nobody => Ok(None),
            keys::Holder::Job(id, command) => {
                Ok(self.state_of(id)?.map(|state| (id, state, command)))
            }
            // The file is damaged: the jobs know their keys.
            keys::Holder::Unknown => {
                let has_key = |job: &Job| job.key.as_deref() == Some(key);
                let found = self.list()?.into_iter().find_map(|listed| match listed.job {
                    Ok(job) if has_key(&job) => Some((listed.state, job)),
                    _ => None,
                });
                Ok(found
                    .map(|(state, job)| (job.id, state, keys::hex_of_command(&job.argv, &job.cwd))))
            }
        }
    }

    /// Refuses where the queue has all the jobs that it may have.
    fn check_room(&self, max_jobs: u32) -> Result<(), Error> {
        let pending = self.folder(Folder::Of(JobState::Pending))?;
        // Names are counted only where so many may be there.
        let is_far = pending.names_len()? < u64::from(max_jobs).saturating_mul(NAME_LEN_MIN);
        if is_far && pending.grows_with_names() {
            return Ok(());
        }
        let count = self.ids(JobState::Pending)?.len() + self.ids(JobState::Running)?.len();
        if count < usize::try_from(max_jobs).unwrap_or(usize::MAX) {
            return Ok(());
        }
        let jobs = if count == 1 { "job" } else { "jobs" };
        let are = if max_jobs == 1 { "is" } else { "are" };
        Err(Error::Usage(format!(
            "the queue of {} is full: it has {count} {jobs}, and {max_jobs} {are} allowed",
            self.breaker
        )))
    }

    /// Stores a job under a new id, which `before` hears of first.
    fn put_anew(
        &self,
        job: &NewJob,
        now: QueueNow,
        before: impl Fn(JobId) -> Result<(), Error>,
    ) -> Result<JobId, Error> {
        if job.argv.is_empty() {
            return Err(not_queued(Error::Usage("there is no command".into())));
        }
        for round in 0..TRIES {
            let draw = mix(now.draw ^ u64::from(std::process::id())) ^ u64::from(round);
            let id = JobId::after(self.last_job.get(), now.clock_ms, draw);
            self.last_job.set(Some(id));
            let meta = meta::encode(self.breaker.as_str(), id, job, &now);
            let bytes =
                format::encode(&meta, &job.stdin).map_err(|why| not_queued(Error::Usage(why)))?;
            before(id).map_err(not_queued)?;
            if self.put(id, &bytes)? {
                return Ok(id);
            }
        }
        let path = self.home.path_of(Folder::Tmp.name());
        Err(not_queued(Error::Unsafe { path, why: "loses its files again and again".into() }))
    }

    /// Stores a job durably, or not at all; `false` where the id is taken.
    fn put(&self, id: JobId, bytes: &[u8]) -> Result<bool, Error> {
        let tmp = self.folder(Folder::Tmp).map_err(not_queued)?;
        let pending = self.folder(Folder::Of(JobState::Pending)).map_err(not_queued)?;
        let name = id.to_string();
        let path = tmp.path_of(&name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let new = match tmp.open_file(&name, flags) {
            Ok(Some(new)) => new,
            Ok(None) => {
                let gone = ErrorKind::NotFound.into();
                return Err(not_queued(Error::io("create", path)(gone)));
            }
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::AlreadyExists => {
                return Ok(false);
            }
            Err(error) => {
                // It may have been made all the same.
                let _ = tmp.unlink(&name);
                return Err(not_queued(error));
            }
        };
        let stored = || {
            // Held until the job is acknowledged: nobody runs what may still be
            // taken back. Whoever holds it now takes the file for left over.
            if !lock::try_exclusive(&new.file).map_err(Error::io("lock", &path))? {
                return Ok(false);
            }
            new.file.write_all_at(bytes, 0).map_err(Error::io("write", &path))?;
            new.file.sync_all().map_err(Error::io("sync", &path))?;
            if !tmp.move_to(&name, pending, &name)? {
                return Ok(false);
            }
            pending.sync()?;
            tmp.sync()?;
            Ok(true)
        };
        match stored() {
            Ok(true) => Ok(true),
            Ok(false) => {
                let _ = tmp.unlink(&name);
                Ok(false)
            }
            Err(why) => {
                // A rename that failed may have been made nevertheless. What has
                // the name in pending/ is this file: its lock kept it there.
                let _ = tmp.unlink(&name);
                let is_ours = pending.identity_of(&name).is_ok_and(|is| is == Some(new.identity));
                let left =
                    (is_ours && pending.unlink(&name).is_err()).then(|| pending.path_of(&name));
                Err(Error::NotQueued { why: Box::new(why), left })
            }
        }
    }
}

fn not_queued(why: Error) -> Error {
    Error::NotQueued { why: Box::new(why), left: None }
}

/// Without arguments, environment, stdin and key: they may hold secrets.
impl fmt::Debug for NewJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewJob")
            .field("words", &self.argv.len())
            .field("variables", &self.env.len())
            .field("stdin_len", &self.stdin.len())
            .field("idempotent", &self.idempotent)
            .finish_non_exhaustive()
    }
}
