//! The file of a job: a head that never changes, and a journal behind it.
//!
//! | bytes | what |
//! |---|---|
//! | 0..6 | magic `cbjob\n` |
//! | 6..8 | format version |
//! | 8..12 | length of the description |
//! | 12..16 | length of stdin |
//! | 16..20 | CRC-32 of stdin |
//! | 20..28 | zero |
//! | 28..32 | CRC-32 of bytes 0..28 and the description |
//! | 32.. | the description (JSON), then stdin, then the journal |
//!
//! Numbers are little-endian. A line of the journal is JSON, a space, the CRC-32
//! of that JSON in 8 hexadecimal digits, and a newline. A last line without its
//! newline was cut short when it was written: it counts as not there. Any other
//! line that cannot be read makes the job corrupt, since it may have said that
//! an attempt began.

use std::fs::File;
use std::io;

use serde::{Deserialize, Serialize};

use super::meta;
use super::{AttemptEnd, Job, JobId};
use crate::model::Ms;
use crate::model::job::{Ended, History, JobEvent, JobState};
use crate::model::text;
use crate::store::slots::read_up_to;

/// The version that this code writes.
pub const VERSION: u16 = 1;
/// The longest stdin of a job.
pub const STDIN_LEN_MAX: usize = 64 * 1024 * 1024;
/// The longest description: twice what the kernel takes as words.
pub const META_LEN_MAX: usize = 4 * 1024 * 1024;
/// The longest journal: room for all attempts that a job may have, each with
/// the longest note.
pub const JOURNAL_LEN_MAX: usize = 2 * 1024 * 1024;
/// The longest note on how an attempt ended, in bytes.
pub const NOTE_LEN_MAX: usize = 500;

const MAGIC: [u8; 6] = *b"cbjob\n";
const HEAD_LEN: usize = 32;
/// Most jobs fit into one block: so much is read at first.
const FIRST_READ_LEN: usize = 4096;
const CRC_CHARS: usize = 8;

/// What a file holds.
#[derive(Debug)]
pub enum Content {
    /// A job, and where its journal begins and ends.
    Job(Box<Job>, Journal),
    /// A job of a version that this code does not know.
    Newer(u32),
    /// Nothing that this code wrote, and why.
    Corrupt(&'static str),
}

impl Content {
    /// Where this belongs when nobody works on it; `None` where only a newer cb
    /// can tell.
    pub fn state_as_nobodys(&self) -> Option<JobState> {
        match self {
            Content::Job(job, _) => Some(job.state_as_nobodys()),
            Content::Newer(_) => None,
            Content::Corrupt(_) => Some(JobState::Doubt),
        }
    }
}

/// Where the journal of a job begins, and where it ends without what was cut
/// short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journal {
    /// From the beginning of the file.
    pub begin: u64,
    /// Likewise.
    pub end: u64,
}

/// How much of a job is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All of it.
    Whole,
    /// All but its stdin, which is not looked at.
    WithoutStdin,
}

/// An entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The attempt of this number began.
    Began(u32),
    /// It ended so.
    Ended(u32, AttemptEnd),
    /// A person sent the job back.
    Retried,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    began: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    retried: bool,
    at: Ms,
    #[serde(skip_serializing_if = "Option::is_none")]
    how: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    timed_out: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<u64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    note: String,
}

/// The bytes of a new job.
///
/// # Errors
///
/// Which part is too long.
pub fn encode(meta: &[u8], stdin: &[u8]) -> Result<Vec<u8>, String> {
    if meta.len() > META_LEN_MAX {
        return Err(format!("its words and variables take more than {META_LEN_MAX} bytes"));
    }
    if stdin.len() > STDIN_LEN_MAX {
        return Err(format!("its stdin is longer than {STDIN_LEN_MAX} bytes"));
    }
    let mut bytes = Vec::with_capacity(HEAD_LEN + meta.len() + stdin.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(meta.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&(stdin.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(stdin).to_le_bytes());
    bytes.resize(HEAD_LEN - 4, 0);
    let crc = checksum(&bytes, meta);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(meta);
    bytes.extend_from_slice(stdin);
    Ok(bytes)
}

fn cut(note: &str) -> String {
    note[..note.floor_char_boundary(NOTE_LEN_MAX)].to_owned()
}

/// A line of the journal.
pub fn line(entry: &Entry, at_ms: Ms) -> Vec<u8> {
    let empty = Line { at: at_ms, ..Line::default() };
    let line = match entry {
        Entry::Began(number) => Line { began: Some(*number), ..empty },
        Entry::Retried => Line { retried: true, ..empty },
        Entry::Ended(number, end) => Line {
            ended: Some(*number),
            how: Some(end.how.name().to_owned()),
            exit_code: end.exit_code,
            signal: end.signal,
            timed_out: end.timed_out,
            ms: Some(end.duration_ms),
            note: cut(&text::printable(&end.note)),
            ..empty
        },
    };
    let mut bytes = serde_json::to_vec(&line).expect("plain data always has a JSON form");
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(format!(" {crc:08x}\n").as_bytes());
    bytes
}

/// Reads the file of this job.
///
/// # Errors
///
/// What the file system refuses.
pub fn read(file: &File, id: JobId, wanted: Wanted) -> io::Result<Content> {
    let file_len = file.metadata()?.len();
    // No further than the file goes: whoever has it all asks for no more.
    let first_len = usize::try_from(file_len).unwrap_or(usize::MAX).min(FIRST_READ_LEN);
    let mut first = vec![0; first_len];
    let filled = read_up_to(file, &mut first, 0)?;
    first.truncate(filled);
    let Some(head) = Head::parse(&first) else {
        return Ok(Content::Corrupt("does not begin like a job"));
    };
    if head.version == VERSION && (head.meta_len > META_LEN_MAX || head.stdin_len > STDIN_LEN_MAX) {
        return Ok(Content::Corrupt("has a length that no job has"));
    }
    let journal_at = HEAD_LEN as u64 + head.meta_len as u64 + head.stdin_len as u64;
    // Before anything is allocated: a file cannot ask for more than it has.
    if (HEAD_LEN + head.meta_len) as u64 > file_len {
        return Ok(Content::Corrupt("is cut short"));
    }
    let meta = part(file, &first, HEAD_LEN as u64, head.meta_len)?;
    if checksum(&first[..HEAD_LEN - 4], &meta) != head.crc {
        return Ok(Content::Corrupt("has a damaged head"));
    }
    if head.version != VERSION {
        return Ok(Content::Newer(u32::from(head.version)));
    }
    if journal_at > file_len || file_len - journal_at > JOURNAL_LEN_MAX as u64 {
        return Ok(Content::Corrupt("does not have the length that its head says"));
    }
    let mut stdin = Vec::new();
    if wanted == Wanted::Whole {
        stdin = part(file, &first, (HEAD_LEN + head.meta_len) as u64, head.stdin_len)?;
        if crc32fast::hash(&stdin) != head.stdin_crc {
            return Ok(Content::Corrupt("has a damaged stdin"));
        }
    }
    let journal_len = usize::try_from(file_len - journal_at).unwrap_or(JOURNAL_LEN_MAX);
    let journal = part(file, &first, journal_at, journal_len)?;
    let Some(mut job) = meta::decode(&meta, id) else {
        return Ok(Content::Corrupt("has a description that makes no sense"));
    };
    job.stdin = stdin;
    job.stdin_len = head.stdin_len as u64;
    Ok(match follow(&journal, &mut job) {
        Some(len) => {
            let journal = Journal { begin: journal_at, end: journal_at + len as u64 };
            Content::Job(Box::new(job), journal)
        }
        None => Content::Corrupt("has a damaged journal"),
    })
}

struct Head {
    version: u16,
    meta_len: usize,
    stdin_len: usize,
    stdin_crc: u32,
    crc: u32,
}

impl Head {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let u32_at = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        bytes.starts_with(&MAGIC).then_some(())?;
        Some(Head {
            version: u16::from_le_bytes(bytes.get(6..8)?.try_into().ok()?),
            meta_len: usize::try_from(u32_at(8)?).ok()?,
            stdin_len: usize::try_from(u32_at(12)?).ok()?,
            stdin_crc: u32_at(16)?,
            crc: u32_at(28)?,
        })
        .filter(|head| head.version >= VERSION && head.meta_len <= NEWER_META_LEN_MAX)
    }
}

/// A newer version may have longer descriptions: so much is read to check one.
const NEWER_META_LEN_MAX: usize = 4 * META_LEN_MAX;

/// Takes the journal into the job; the length without what was cut short, or
/// `None` where it cannot be believed.
fn follow(journal: &[u8], job: &mut Job) -> Option<usize> {
    let mut valid_len = 0;
    for line in journal.split_inclusive(|byte| *byte == b'\n') {
        let Some(whole) = line.strip_suffix(b"\n") else {
            // A whole line whose newline is another byte was not cut short.
            let (_, shorter) = line.split_last()?;
            return parse(shorter).is_none().then_some(valid_len);
        };
        let (entry, at_ms) = parse(whole)?;
        job.take_in(entry, at_ms)?;
        valid_len += line.len();
    }
    Some(valid_len)
}

fn parse(line: &[u8]) -> Option<(Entry, Ms)> {
    let (json, crc) = line.split_at_checked(line.len().checked_sub(CRC_CHARS + 1)?)?;
    let crc = std::str::from_utf8(crc.strip_prefix(b" ")?).ok()?;
    (format!("{:08x}", crc32fast::hash(json)) == crc).then_some(())?;
    let line: Line = serde_json::from_slice(json).ok()?;
    let at_ms = line.at;
    let entry = match (line.began, line.ended, line.retried) {
        (Some(number), None, false) => Entry::Began(number),
        (None, Some(number), false) => Entry::Ended(
            number,
            AttemptEnd {
                how: Ended::parse(&line.how?)?,
                exit_code: line.exit_code,
                signal: line.signal,
                timed_out: line.timed_out,
                duration_ms: line.ms?,
                note: line.note,
            },
        ),
        (None, None, true) => Entry::Retried,
        _ => return None,
    };
    Some((entry, at_ms))
}

impl Job {
    /// Takes in what the journal says next; `None` where that cannot be next.
    pub(super) fn take_in(&mut self, entry: Entry, at_ms: Ms) -> Option<()> {
        let mut history: History = self.history;
        let event = match &entry {
            Entry::Began(number) if *number == history.attempts() + 1 => JobEvent::Began,
            Entry::Ended(number, end) if *number == history.attempts() => JobEvent::Ended(end.how),
            Entry::Retried => JobEvent::Retried,
            Entry::Began(_) | Entry::Ended(..) => return None,
        };
        history.push(event, at_ms).then_some(())?;
        self.history = history;
        match entry {
            Entry::Began(number) => {
                self.attempts.push(super::Attempt { number, began_ms: at_ms, ended: None });
            }
            Entry::Ended(_, end) => {
                self.attempts.last_mut().expect("one began").ended = Some((at_ms, end));
            }
            Entry::Retried => {}
        }
        Some(())
    }
}

/// So many bytes from there: out of what was read already, or from the file.
/// Fewer where the file has become shorter.
fn part(file: &File, first: &[u8], at: u64, len: usize) -> io::Result<Vec<u8>> {
    let begin = usize::try_from(at).unwrap_or(usize::MAX);
    if let Some(bytes) = begin.checked_add(len).and_then(|end| first.get(begin..end)) {
        return Ok(bytes.to_vec());
    }
    let mut bytes = vec![0; len];
    let filled = read_up_to(file, &mut bytes, at)?;
    bytes.truncate(filled);
    Ok(bytes)
}

fn checksum(head: &[u8], meta: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(meta);
    hasher.finalize()
}
