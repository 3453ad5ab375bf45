//! Outputs that were kept: what a command last wrote to its stdout when it
//! succeeded, to be given again while the command cannot be called.
//!
//! ```text
//! STORE/NAME/cache/KEY             an output; KEY is a SHA-256 in hex (entry.rs)
//! STORE/NAME/cache/tmp-PID-DRAW    one that is being recorded (record.rs)
//! ```
//!
//! There is no lock and nothing is flushed: a file gets its name once it is
//! whole, and what a power cut leaves of it is recognised by its checksums and
//! counts as absent. A reader keeps to the file that it opened, so it does not
//! matter that another recording takes over the name.

mod entry;
mod record;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::OFlags;
use sha2::{Digest, Sha256};

use self::entry::{Head, Parsed};
use super::FileStore;
use super::directory::{Directory, Private};
use crate::clock::Reading;
use crate::error::Error;
use crate::model::name::BreakerName;
use crate::model::text::excerpt;

pub use self::entry::BODY_LEN_MAX;
pub use self::record::{ENTRIES_MAX, Kept, Recording};

/// The directory below a breaker's own.
pub(super) const DIRECTORY: &str = "cache";
/// The digits of a key.
const KEY_LEN: usize = 64;
/// The fewest digits that name a key.
const PREFIX_LEN_MIN: usize = 4;

/// Which call an output belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheKey {
    hex: String,
}

impl CacheKey {
    /// The key of a command, of the directory it runs in and of variables, where
    /// these make a difference. A variable that is not set is not an empty one.
    pub fn of(argv: &[OsString], cwd: Option<&Path>, env: &[(String, Option<OsString>)]) -> Self {
        let mut hasher = Sha256::new();
        // Each part says what it is and how long: no two calls have the same text.
        let mut part = |kind: u8, bytes: &[u8]| {
            hasher.update([kind]);
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        for word in argv {
            part(b'a', word.as_bytes());
        }
        if let Some(cwd) = cwd {
            part(b'c', cwd.as_os_str().as_bytes());
        }
        let mut env: Vec<_> = env.iter().collect();
        env.sort();
        for (name, value) in env {
            part(b'n', name.as_bytes());
            if let Some(value) = value {
                part(b'v', value.as_bytes());
            }
        }
        CacheKey { hex: hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect() }
    }

    /// The key as its file has it: 64 hex digits.
    pub fn hex(&self) -> &str {
        &self.hex
    }
}

/// What is known of an output without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// The key, 64 hex digits.
    pub key: String,
    /// The base name of the command's program.
    pub program: String,
    /// The exit code of the command.
    pub exit_code: i32,
    /// The length of the output in bytes.
    pub len: u64,
    /// How long ago it was kept.
    pub age: Duration,
    /// The wall time when it was kept, in ms since 1970.
    pub stored_wall_ms: i64,
}

/// An output, checked from its first byte to its last.
#[derive(Debug)]
pub struct Cached {
    /// The key, 64 hex digits.
    pub key: String,
    /// The base name of the command's program.
    pub program: String,
    /// The exit code of the command.
    pub exit_code: i32,
    /// The length of the output in bytes.
    pub len: u64,
    /// How long ago it was kept.
    pub age: Duration,
    file: File,
}

impl Cached {
    /// Writes the output, in pieces.
    ///
    /// # Errors
    ///
    /// What `out` or the file system refuses.
    pub fn copy_to(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let given = entry::each_piece(&self.file, self.len, |piece| out.write_all(piece))?;
        if given < self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.flush()
    }
}

/// What a file with a key for a name turns out to be.
enum Looked {
    Whole(Cached),
    /// Nothing has the name, or it is older than was asked for.
    Absent,
    /// A newer cb kept it.
    Newer(u32),
    /// It was damaged, and is no more.
    Removed,
}

impl FileStore {
    /// Begins to record an output of at most so many bytes.
    ///
    /// # Errors
    ///
    /// What the store cannot do.
    pub fn cache_record(
        &self,
        name: &BreakerName,
        key: &CacheKey,
        max_bytes: u64,
    ) -> Result<Recording<'_>, Error> {
        match self.make_part(name, DIRECTORY)? {
            Some(directory) => Recording::begin(self.clock(), directory, key, max_bytes),
            None => {
                let path = self.root().join(name.as_str()).join(DIRECTORY);
                Err(Error::io("create", path)(io::ErrorKind::NotFound.into()))
            }
        }
    }

    /// The last good output of a call, not older than `ttl`. All of it is
    /// checked before a byte is given out; one that is damaged is removed.
    ///
    /// # Errors
    ///
    /// What cannot be read.
    pub fn cache_find(
        &self,
        name: &BreakerName,
        key: &CacheKey,
        ttl: Option<Duration>,
    ) -> Result<Option<Cached>, Error> {
        let Some(directory) = self.open_part(name, DIRECTORY)? else { return Ok(None) };
        match look(&directory, key.hex(), ttl, self.clock().read())? {
            Looked::Whole(cached) => Ok(Some(cached)),
            Looked::Absent | Looked::Newer(_) | Looked::Removed => Ok(None),
        }
    }

    /// All outputs of a breaker, the youngest first. Only their heads are read.
    ///
    /// # Errors
    ///
    /// What cannot be read.
    pub fn cache_list(&self, name: &BreakerName) -> Result<Vec<CacheEntry>, Error> {
        let Some(directory) = self.open_part(name, DIRECTORY)? else { return Ok(Vec::new()) };
        let now = self.clock().read();
        let mut entries: Vec<CacheEntry> = keys(&directory)?
            .into_iter()
            .filter_map(|key| {
                let head = head_of(&directory, &key)?;
                Some(CacheEntry {
                    key,
                    exit_code: head.exit_code,
                    len: head.body_len,
                    age: head.age(now),
                    stored_wall_ms: head.stored.wall_ms,
                    program: head.program,
                })
            })
            .collect();
        entries.sort_by(|a, b| (a.age, &a.key).cmp(&(b.age, &b.key)));
        Ok(entries)
    }

    /// The output whose key begins so, of any age.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`] where none or several begin so, or what cannot be read.
    pub fn cache_open(&self, name: &BreakerName, key_prefix: &str) -> Result<Cached, Error> {
        let (directory, key) = self.cache_pick(name, key_prefix)?;
        let path = directory.path_of(&key);
        match look(&directory, &key, None, self.clock().read())? {
            Looked::Whole(cached) => Ok(cached),
            Looked::Absent => Err(is_unknown(name, key_prefix)),
            Looked::Newer(version) => Err(Error::Newer { path, version }),
            Looked::Removed => Err(Error::Unsafe { path, why: "was damaged: now removed".into() }),
        }
    }

    /// Removes the output whose key begins so, or all of them; says how many.
    ///
    /// # Errors
    ///
    /// As [`FileStore::cache_open`], or what cannot be removed.
    pub fn cache_drop(&self, name: &BreakerName, key_prefix: Option<&str>) -> Result<u32, Error> {
        if let Some(key_prefix) = key_prefix {
            let (directory, key) = self.cache_pick(name, key_prefix)?;
            return directory.unlink(&key).map(|()| 1);
        }
        let Some(directory) = self.open_part(name, DIRECTORY)? else { return Ok(0) };
        record::sweep(&directory);
        let mut count = 0;
        for key in keys(&directory)? {
            directory.unlink(&key)?;
            count += 1;
        }
        Ok(count)
    }

    fn cache_pick(&self, name: &BreakerName, prefix: &str) -> Result<(Directory, String), Error> {
        let wanted = prefix.to_ascii_lowercase();
        if !(PREFIX_LEN_MIN..=KEY_LEN).contains(&wanted.len()) || !is_hex(&wanted) {
            return Err(Error::Usage(format!(
                "'{}' is no key of the cache: give its first {PREFIX_LEN_MIN} to {KEY_LEN} hex \
                 digits; 'cb cache list {name}' lists them",
                excerpt(prefix, KEY_LEN)
            )));
        }
        let Some(directory) = self.open_part(name, DIRECTORY)? else {
            return Err(is_unknown(name, prefix));
        };
        let mut found = keys(&directory)?;
        found.retain(|key| key.starts_with(&wanted));
        match (found.pop(), found.len()) {
            (None, _) => Err(is_unknown(name, prefix)),
            (Some(key), 0) => Ok((directory, key)),
            (Some(_), others) => Err(Error::Usage(format!(
                "{name}: {} outputs in the cache begin with '{prefix}': give more of the key",
                others + 1
            ))),
        }
    }
}

fn is_unknown(name: &BreakerName, prefix: &str) -> Error {
    Error::Usage(format!(
        "{name}: no output in the cache begins with '{prefix}'; 'cb cache list {name}' lists them"
    ))
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The keys in the directory: whatever else lies there is not ours.
fn keys(directory: &Directory) -> Result<Vec<String>, Error> {
    let mut names = directory.entries()?;
    names.retain(|name| name.len() == KEY_LEN && is_hex(name));
    Ok(names)
}

/// The head of an output that looks whole.
fn head_of(directory: &Directory, key: &str) -> Option<Head> {
    let found = directory.open_file(key, OFlags::RDONLY).ok()??;
    match entry::read_head(&found.file).ok()? {
        Parsed::Head(head) => Some(head),
        Parsed::Newer(_) | Parsed::Damaged => None,
    }
}

fn look(
    directory: &Directory,
    key: &str,
    ttl: Option<Duration>,
    now: Reading,
) -> Result<Looked, Error> {
    let Some(found) = directory.open_file(key, OFlags::RDONLY)? else { return Ok(Looked::Absent) };
    let read = Error::io("read", directory.path_of(key));
    let head = match entry::read_head(&found.file) {
        Ok(Parsed::Head(head)) => head,
        Ok(Parsed::Newer(version)) => return Ok(Looked::Newer(version)),
        Ok(Parsed::Damaged) => return Ok(remove(directory, key, &found)),
        Err(error) => return Err(read(error)),
    };
    let age = head.age(now);
    if ttl.is_some_and(|ttl| age > ttl) {
        return Ok(Looked::Absent);
    }
    match entry::is_whole(&found.file, &head) {
        Ok(true) => Ok(Looked::Whole(Cached {
            key: key.to_owned(),
            program: head.program,
            exit_code: head.exit_code,
            len: head.body_len,
            age,
            file: found.file,
        })),
        Ok(false) => Ok(remove(directory, key, &found)),
        Err(error) => Err(read(error)),
    }
}

/// Removes what is damaged, unless a whole one took its name since. Where it
/// cannot be removed the next recording takes its place.
fn remove(directory: &Directory, key: &str, damaged: &Private) -> Looked {
    if directory.identity_of(key).ok().flatten() == Some(damaged.identity) {
        let _ = directory.unlink(key);
    }
    Looked::Removed
}
