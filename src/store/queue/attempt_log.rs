//! What the attempts at a job wrote: a file for each attempt, up to a bound.

use std::fs::File;
use std::io::{Read, Write};
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
pub struct AttemptLog {
    /// `None` once a write failed.
    file: Option<File>,
    left: u64,
    left_out: u64,
    ends_line: bool,
}

impl AttemptLog {
    /// Takes what the command wrote: up to the bound it is kept.
    pub fn take(&mut self, bytes: &[u8]) {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let (kept, rest) = bytes.split_at(room);
        self.left_out = self.left_out.saturating_add(rest.len() as u64);
        self.left -= room as u64;
        if let Some(last) = kept.last() {
            self.ends_line = *last == b'\n';
        }
        self.write(kept);
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.file
            && file.write_all(bytes).is_err()
        {
            self.file = None;
        }
    }
}

impl Drop for AttemptLog {
    fn drop(&mut self) {
        if self.left_out > 0 {
            let begin = if self.ends_line { "" } else { "\n" };
            let line = format!("{begin}[cb: {} more bytes were left out]\n", self.left_out);
            self.write(line.as_bytes());
        }
    }
}

impl Queue<'_> {
    /// Begins the log of an attempt.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn attempt_log(&self, id: JobId, attempt: u32) -> Result<AttemptLog, Error> {
        let log = self.folder(Folder::Log)?;
        let name = file_name(id, attempt);
        // What has the name is of an attempt whose beginning was taken back.
        log.unlink(&name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let file = log.open_file(&name, flags)?.map(|new| new.file);
        Ok(AttemptLog { file, left: LOG_LEN_MAX, left_out: 0, ends_line: true })
    }

    /// Where the log of an attempt is, if there is one.
    pub fn log_path(&self, id: JobId, attempt: u32) -> Option<PathBuf> {
        let log = self.folder(Folder::Log).ok()?;
        let name = file_name(id, attempt);
        log.identity_of(&name).ok().flatten().map(|_| log.path_of(&name))
    }

    /// What an attempt wrote; `None` where there is no log of it.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn read_log(&self, id: JobId, attempt: u32) -> Result<Option<Vec<u8>>, Error> {
        let log = self.folder(Folder::Log)?;
        let name = file_name(id, attempt);
        let Some(found) = log.open_file(&name, OFlags::RDONLY)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let mut limited = found.file.take(2 * LOG_LEN_MAX);
        limited.read_to_end(&mut bytes).map_err(Error::io("read", log.path_of(&name)))?;
        Ok(Some(bytes))
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
