//! Recording an output as it comes, into a file that gets its name once it is
//! whole.
//!
//! The file is locked while it is being written: what is not locked was left
//! behind by a process that died, and is swept when another recording begins or
//! ends. Who sweeps holds a shared lock while it removes; a recording that finds
//! its new file locked or gone has met a sweeper, and takes another name.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;

use super::entry::{BODY_LEN_MAX, HEAD_LEN, Head};
use super::{CacheKey, head_of, keys};
use crate::clock::{Clock, Reading};
use crate::error::Error;
use crate::store::directory::{Directory, Private};
use crate::store::lock;

/// So many outputs are kept for each breaker; the oldest give way.
pub const ENTRIES_MAX: usize = 100;

const TMP_PREFIX: &str = "tmp-";
const NAMES_TRIED_MAX: u32 = 10;

/// An output on its way into the cache. Dropped, it leaves nothing behind.
pub struct Recording<'s> {
    clock: &'s dyn Clock,
    directory: Directory,
    key: String,
    tmp: String,
    len_max: u64,
    len: u64,
    hasher: crc32fast::Hasher,
    /// Where it goes, locked; `None` once it is given up.
    file: Option<File>,
    /// What made it give up, if it is not the length.
    failed: Option<Error>,
}

/// What became of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is in the cache, so many bytes.
    Stored {
        /// The length of the output.
        len: u64,
    },
    /// It was longer than what may be kept; what was there before still is.
    TooLarge,
}

impl<'s> Recording<'s> {
    pub(super) fn begin(
        clock: &'s dyn Clock,
        directory: Directory,
        key: &CacheKey,
        max_bytes: u64,
    ) -> Result<Self, Error> {
        clock.prepare();
        sweep(&directory);
        let (tmp, file) = create(&directory, clock)?;
        Ok(Recording {
            clock,
            directory,
            key: key.hex().to_owned(),
            tmp,
            len_max: max_bytes.min(BODY_LEN_MAX),
            len: 0,
            hasher: crc32fast::Hasher::new(),
            file: Some(file.file),
            failed: None,
        })
    }

    /// Takes the next bytes. Once the output is too long or cannot be written,
    /// what was written is given back to the disk, and the rest passes by.
    pub fn take(&mut self, bytes: &[u8]) {
        let Some(file) = &self.file else { return };
        if bytes.len() as u64 > self.len_max - self.len {
            self.give_up();
            return;
        }
        match file.write_all_at(bytes, HEAD_LEN as u64 + self.len) {
            Ok(()) => {
                self.hasher.update(bytes);
                self.len += bytes.len() as u64;
            }
            Err(error) => {
                self.failed = Some(Error::io("write", self.directory.path_of(&self.tmp))(error));
                self.give_up();
            }
        }
    }

    /// Puts the output into the cache, in place of what was there under its key.
    /// `program` is the command's first word.
    ///
    /// # Errors
    ///
    /// What went wrong now or earlier; what was there before still is.
    pub fn keep(mut self, exit_code: i32, program: &OsStr) -> Result<Kept, Error> {
        let Some(file) = self.file.take() else {
            return self.failed.take().map_or(Ok(Kept::TooLarge), Err);
        };
        let program = Path::new(program).file_name().unwrap_or(program);
        let stored = self.clock.read();
        let head = Head {
            exit_code,
            program: program.to_string_lossy().into_owned(),
            stored,
            body_len: self.len,
            body_checksum: self.hasher.clone().finalize(),
        };
        file.write_all_at(&head.encode(), 0)
            .map_err(Error::io("write", self.directory.path_of(&self.tmp)))?;
        self.directory.rename(&self.tmp, &self.key)?;
        sweep(&self.directory);
        evict(&self.directory, &self.key, stored);
        Ok(Kept::Stored { len: self.len })
    }

    fn give_up(&mut self) {
        self.file = None;
        let _ = self.directory.unlink(&self.tmp);
    }
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        // Where it was kept, nothing has this name any more, nor ever will.
        self.give_up();
    }
}

/// Makes and locks a file under a name of its own.
fn create(directory: &Directory, clock: &dyn Clock) -> Result<(String, Private), Error> {
    let pid = std::process::id();
    let mut draw = clock.draw();
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    for _ in 0..NAMES_TRIED_MAX {
        let name = format!("{TMP_PREFIX}{pid}-{draw:016x}");
        draw = draw.wrapping_add(clock.draw() | 1);
        let file = match directory.open_file(&name, flags) {
            Ok(Some(file)) => file,
            Ok(None) => {
                let path = directory.path_of(&name);
                return Err(Error::io("create", path)(std::io::ErrorKind::NotFound.into()));
            }
            Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => {
                continue;
            }
            Err(error) => return Err(error),
        };
        let path = directory.path_of(&name);
        let is_locked = lock::try_exclusive(&file.file).map_err(Error::io("lock", path))?;
        if is_locked && directory.identity_of(&name)? == Some(file.identity) {
            return Ok((name, file));
        }
        directory.unlink(&name)?;
    }
    Err(Error::Locked { path: directory.path_of(TMP_PREFIX), waited_ms: 0 })
}

/// Removes what recordings that died left behind. Nobody waits for it.
pub(super) fn sweep(directory: &Directory) {
    let Ok(entries) = directory.entries() else { return };
    for name in entries.iter().filter(|name| name.starts_with(TMP_PREFIX)) {
        if let Ok(Some(left)) = directory.open_file(name, OFlags::RDONLY)
            && lock::try_shared(&left.file).unwrap_or(false)
        {
            let _ = directory.unlink(name);
        }
    }
}

/// Makes the oldest outputs give way, and first of all what cannot be read.
fn evict(directory: &Directory, newest: &str, now: Reading) {
    let Ok(mut keys) = keys(directory) else { return };
    if keys.len() <= ENTRIES_MAX {
        return;
    }
    keys.retain(|key| key != newest);
    let age = |key: &String| head_of(directory, key).map_or(Duration::MAX, |head| head.age(now));
    keys.sort_by_cached_key(age);
    for key in keys.iter().skip(ENTRIES_MAX - 1) {
        let _ = directory.unlink(key);
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::clock::SystemClock;
    use crate::model::name::BreakerName;
    use crate::store::FileStore;

    #[test]
    fn what_cannot_be_written_is_given_up_at_once_and_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::new(dir.path().join("store"), Box::new(SystemClock::default()));
        let name = BreakerName::parse("pay").unwrap();
        let key = CacheKey::of(&[OsString::from("a")], None, &[]);
        let begin = || store.cache_record(&name, &key, 100).unwrap();
        let mut recording = begin();
        recording.take(b"good");
        recording.keep(0, OsStr::new("x")).unwrap();

        let mut recording = begin();
        let tmp = recording.directory.path_of(&recording.tmp);
        recording.take(b"one");
        recording.file = Some(File::open(&tmp).unwrap());
        recording.take(b"two");
        assert!(!tmp.exists());
        recording.take(b"three");
        let error = recording.keep(0, OsStr::new("x")).unwrap_err().to_string();
        assert_eq!(error, format!("cannot write {}: Bad file descriptor", tmp.display()));

        // The head, as the last of it, can fail as well.
        let mut recording = begin();
        let tmp = recording.directory.path_of(&recording.tmp);
        recording.file = Some(File::open(&tmp).unwrap());
        assert!(recording.keep(0, OsStr::new("x")).is_err());
        assert!(!tmp.exists());

        let mut kept = Vec::new();
        store.cache_find(&name, &key, None).unwrap().unwrap().copy_to(&mut kept).unwrap();
        assert_eq!(kept, b"good");
    }
}
