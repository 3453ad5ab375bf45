//! Keys: one file for each, named by the key's SHA-256, which says what job has
//! it: the job's id, the SHA-256 of its command, and a CRC-32 of both.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use super::{Folder, JobId, Queue};
use crate::error::Error;
use crate::store::directory::{Directory, Private};
use crate::store::{lock, slots};

const HEX_CHARS: usize = 64;
/// Id, space, command, space, CRC, newline.
const LEN: usize = super::id::ID_CHARS + 1 + HEX_CHARS + 1 + 8 + 1;

/// The file of a key, locked.
pub struct KeyFile<'q> {
    directory: &'q Directory,
    name: String,
    file: Private,
}

/// Who has a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Holder {
    /// Nobody yet.
    Nobody,
    /// A job, which may be gone, with this command.
    Job(JobId, String),
    /// The file is damaged.
    Unknown,
}

impl<'q> KeyFile<'q> {
    /// Locks the file of a key, and makes it where it is not there.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`], or what the system refuses.
    pub fn lock(queue: &'q Queue<'_>, hex: &str) -> Result<Self, Error> {
        let directory = queue.folder(Folder::Keys)?;
        let begin = queue.clock.monotonic();
        let path = directory.path_of(hex);
        while queue.clock.monotonic().saturating_sub(begin) < lock::WAIT_MAX {
            let Some(file) = directory.open_file(hex, OFlags::RDWR | OFlags::CREATE)? else {
                return Err(Error::io("create", path)(ErrorKind::NotFound.into()));
            };
            lock::exclusive(&file.file, &path, queue.clock, begin)?;
            // Its job may have been removed meanwhile, and the file with it.
            if directory.identity_of(hex)? == Some(file.identity) {
                return Ok(KeyFile { directory, name: hex.to_owned(), file });
            }
        }
        Err(Error::Unsafe { path, why: "is removed again and again".into() })
    }

    /// Who has the key.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn read(&self) -> Result<Holder, Error> {
        let mut bytes = [0; LEN + 1];
        let filled = slots::read_up_to(&self.file.file, &mut bytes, 0)
            .map_err(Error::io("read", self.directory.path_of(&self.name)))?;
        Ok(match filled {
            0 => Holder::Nobody,
            _ => parse(&bytes[..filled]).unwrap_or(Holder::Unknown),
        })
    }

    /// Gives the key to a job, durably.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn write(&self, id: JobId, command: &str) -> Result<(), Error> {
        let text = format!("{id} {command}");
        let line = format!("{text} {:08x}\n", crc32fast::hash(text.as_bytes()));
        let file = &self.file.file;
        file.write_all_at(line.as_bytes(), 0)
            .and_then(|()| file.set_len(line.len() as u64))
            .and_then(|()| file.sync_all())
            .map_err(Error::io("write", self.directory.path_of(&self.name)))
    }

    /// Frees the key.
    ///
    /// # Errors
    ///
    /// What the system refuses.
    pub fn remove(self) -> Result<(), Error> {
        self.directory.unlink(&self.name)
    }
}

/// The name of a key's file.
pub fn hex_of_key(key: &str) -> String {
    hex(Sha256::digest(key))
}

/// What is the same for the same command in the same place.
pub fn hex_of_command(argv: &[OsString], cwd: &Path) -> String {
    let mut hash = Sha256::new();
    for word in argv.iter().map(OsString::as_os_str).chain([cwd.as_os_str()]) {
        // With its length, so that no other words give the same bytes.
        hash.update((word.len() as u64).to_le_bytes());
        hash.update(word.as_bytes());
    }
    hex(hash.finalize())
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse(bytes: &[u8]) -> Option<Holder> {
    let line = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (text, crc) = line.rsplit_once(' ')?;
    (format!("{:08x}", crc32fast::hash(text.as_bytes())) == crc).then_some(())?;
    let (id, command) = text.split_once(' ')?;
    Some(Holder::Job(JobId::parse(id)?, command.to_owned()))
}
