//! What the attempts at a job wrote: a file for each that wrote something, up to
//! a bound.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use rustix::fs::OFlags;

use super::{Folder, JobId, Queue};
use crate::error::Error;
use crate::store::directory::Directory;

/// The longest log, in bytes, without the line that says what was left out.
pub const LOG_LEN_MAX: u64 = 64 * 1024;

/// The log of an attempt that is under way. Nothing that goes wrong with it
/// reaches the job.
#[derive(Debug)]
pub struct AttemptLog<'q> {
    directory: &'q Directory,
    name: String,
    /// Made once there is something to keep: most jobs that succeed are silent.
    file: Option<File>,
    /// From then on nothing is kept.
    error: Option<Error>,
    left: u64,
    left_out: u64,
    ends_line: bool,
}

impl AttemptLog<'_> {
    /// Takes what the command wrote: up to the bound it is kept.
    pub fn take(&mut self, bytes: &[u8]) {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let (kept, rest) = bytes.split_at(room);
        self.left_out = self.left_out.saturating_add(rest.len() as u64);
        self.left -= room as u64;
        if let Some(last) = kept.last() {
            self.ends_line = *last == b'\n';
            self.write(kept);
        }
    }

    /// Ends the log, and says in it what was left out.
    ///
    /// # Errors
    ///
    /// What kept the output, or a part of it, from being kept.
    pub fn finish(mut self) -> Result<(), Error> {
        if self.left_out > 0 {
            let begin = if self.ends_line { "" } else { "\n" };
            let line = format!("{begin}[cb: {} more bytes were left out]\n", self.left_out);
            self.write(line.as_bytes());
        }
        self.error.map_or(Ok(()), Err)
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.error.is_none() {
            self.error = self.try_write(bytes).err();
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let path = || self.directory.path_of(&self.name);
        if self.file.is_none() {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            let new = self.directory.open_file(&self.name, flags)?;
            let gone = || Error::io("create", path())(ErrorKind::NotFound.into());
            self.file = Some(new.ok_or_else(gone)?.file);
        }
        let file = self.file.as_mut().expect("it was just made");
        file.write_all(bytes).map_err(Error::io("write", path()))
    }
}

impl Queue<'_> {
    /// Begins the log of an attempt.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn attempt_log(&self, id: JobId, attempt: u32) -> Result<AttemptLog<'_>, Error> {
        let directory = self.folder(Folder::Log)?;
        let name = file_name(id, attempt);
        // What has the name is of an attempt whose beginning was taken back.
        directory.unlink(&name)?;
        let (file, error) = (None, None);
        let (left, left_out, ends_line) = (LOG_LEN_MAX, 0, true);
        Ok(AttemptLog { directory, name, file, error, left, left_out, ends_line })
    }

    /// Where the log of an attempt is, if there is one.
    pub fn log_path(&self, id: JobId, attempt: u32) -> Option<PathBuf> {
        let log = self.folder(Folder::Log).ok()?;
        let name = file_name(id, attempt);
        log.identity_of(&name).ok().flatten().map(|_| log.path_of(&name))
    }
}

/// The name of an attempt's log.
pub(super) fn file_name(id: JobId, attempt: u32) -> String {
    format!("{id}.{attempt}")
}

/// Removes all logs of a job whose attempts are not known.
pub(super) fn remove_all(log: &Directory, id: JobId) -> Result<(), Error> {
    let prefix = format!("{id}.");
    for name in log.entries()?.iter().filter(|name| name.starts_with(&prefix)) {
        log.unlink(name)?;
    }
    Ok(())
}
