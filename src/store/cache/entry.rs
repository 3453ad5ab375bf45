//! The file of an output: a head of 1024 bytes (little-endian), and the output.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | magic `cbcache\n` |
//! | 8..12 | format version |
//! | 12..16 | length of the JSON text |
//! | 16..24 | length of the output |
//! | 24..28 | CRC-32 of the output |
//! | 28..32 | CRC-32 of bytes 0..28 and 32..1024 |
//! | 32..1024 | JSON: the exit code, the program, the clocks; then zeros |
//! | 1024.. | the output, to the end of the file |
//!
//! The head has its place before the output is known, so an output is written
//! once, as it comes. No bit of the file can change unseen. The magic, the
//! version and the head's checksum are where they are in every version.

use std::fs::File;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Reading, Stamp};
use crate::store::slots::read_up_to;

/// The version that this code writes.
const VERSION: u32 = 1;
/// Where the output begins.
pub const HEAD_LEN: usize = 1024;
/// The longest output that is kept or read back, whatever the settings say.
pub const BODY_LEN_MAX: u64 = 1 << 30;

const MAGIC: [u8; 8] = *b"cbcache\n";
const META_AT: usize = 32;
/// The longest program name that is kept: escaped, it leaves room for the rest.
const PROGRAM_CHARS_MAX: usize = 64;
const PIECE_LEN: usize = 64 * 1024;

/// What is said of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The exit code of the command.
    pub exit_code: i32,
    /// The base name of its program.
    pub program: String,
    /// The machine's clocks when it was kept.
    pub stored: Reading,
    /// The length of the output.
    pub body_len: u64,
    /// Its checksum.
    pub body_checksum: u32,
}

/// What the beginning of a file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// An output, as long as its file is.
    Head(Head),
    /// An output of a version that this code does not know.
    Newer(u32),
    /// Nothing that can be believed.
    Damaged,
}

#[derive(Serialize, Deserialize)]
struct Meta {
    exit_code: i32,
    program: String,
    wall: i64,
    boot: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot_id: Option<[u64; 2]>,
}

impl Head {
    /// The first bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let meta = Meta {
            exit_code: self.exit_code,
            program: self.program.chars().take(PROGRAM_CHARS_MAX).collect(),
            wall: self.stored.wall_ms,
            boot: self.stored.boot_ms,
            boot_id: self.stored.boot_id.map(|id| [(id >> 64) as u64, id as u64]),
        };
        let meta = serde_json::to_vec(&meta).expect("plain data always has a JSON form");
        let mut bytes = Vec::with_capacity(HEAD_LEN);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(meta.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.body_len.to_le_bytes());
        bytes.extend_from_slice(&self.body_checksum.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&meta);
        bytes.resize(HEAD_LEN, 0);
        let checksum = checksum(&bytes).to_le_bytes();
        bytes[28..META_AT].copy_from_slice(&checksum);
        bytes
    }

    /// How long ago the output was kept: by boot time on the same boot, so a
    /// wall clock that was set changes nothing; never less than nothing.
    pub fn age(&self, now: Reading) -> Duration {
        let stored = Stamp { clock_ms: 0, machine: self.stored };
        Duration::from_millis(stored.moved_on(now).clock_ms)
    }

    fn parse(bytes: &[u8], file_len: u64) -> Parsed {
        Self::fields(bytes, file_len).unwrap_or(Parsed::Damaged)
    }

    fn fields(bytes: &[u8], file_len: u64) -> Option<Parsed> {
        let u32_at = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let u64_at = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let is_ours = bytes.len() == HEAD_LEN && bytes.starts_with(&MAGIC);
        (is_ours && u32_at(28)? == checksum(bytes)).then_some(())?;
        match u32_at(8)? {
            VERSION => {}
            newer if newer > VERSION => return Some(Parsed::Newer(newer)),
            _ => return None,
        }
        let body_len = u64_at(16)?;
        let is_as_long = body_len.checked_add(HEAD_LEN as u64) == Some(file_len);
        (is_as_long && body_len <= BODY_LEN_MAX).then_some(())?;
        let meta_end = META_AT.checked_add(usize::try_from(u32_at(12)?).ok()?)?;
        let meta: Meta = serde_json::from_slice(bytes.get(META_AT..meta_end)?).ok()?;
        let boot_id = meta.boot_id.map(|[high, low]| u128::from(high) << 64 | u128::from(low));
        Some(Parsed::Head(Head {
            exit_code: meta.exit_code,
            program: meta.program,
            stored: Reading { wall_ms: meta.wall, boot_ms: meta.boot, boot_id },
            body_len,
            body_checksum: u32_at(24)?,
        }))
    }
}

/// Reads the head of a file and holds it to the file's length.
///
/// # Errors
///
/// What the file system refuses.
pub fn read_head(file: &File) -> io::Result<Parsed> {
    let mut bytes = [0; HEAD_LEN];
    let filled = read_up_to(file, &mut bytes, 0)?;
    Ok(Head::parse(&bytes[..filled], file.metadata()?.len()))
}

/// Whether the output is what its head says.
///
/// # Errors
///
/// What the file system refuses.
pub fn is_whole(file: &File, head: &Head) -> io::Result<bool> {
    let mut hasher = crc32fast::Hasher::new();
    let len = each_piece(file, head.body_len, |piece| {
        hasher.update(piece);
        Ok(())
    })?;
    Ok(len == head.body_len && hasher.finalize() == head.body_checksum)
}

/// Hands out the output in pieces; says how much of it there was.
///
/// # Errors
///
/// What the file system refuses, or `take`.
pub fn each_piece(
    file: &File,
    len: u64,
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut buffer = vec![0; PIECE_LEN];
    let mut at = 0;
    while at < len {
        let wanted = usize::try_from(len - at).unwrap_or(PIECE_LEN).min(PIECE_LEN);
        let filled = read_up_to(file, &mut buffer[..wanted], HEAD_LEN as u64 + at)?;
        take(&buffer[..filled])?;
        at += filled as u64;
        if filled < wanted {
            break;
        }
    }
    Ok(at)
}

/// Over the whole head but the checksum itself.
fn checksum(head: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head[..28]);
    hasher.update(&head[META_AT..]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        let stored = Reading { wall_ms: -5, boot_ms: u64::MAX, boot_id: Some(u128::MAX - 1) };
        let program = "curl".to_owned();
        Head { exit_code: 3, program, stored, body_len: 7, body_checksum: 0xdead_beef }
    }

    fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
        let sum = checksum(&bytes).to_le_bytes();
        bytes[28..32].copy_from_slice(&sum);
        bytes
    }

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let bytes = head().encode();
        assert_eq!(bytes.len(), HEAD_LEN);
        assert_eq!(Head::parse(&bytes, HEAD_LEN as u64 + 7), Parsed::Head(head()));
        let no_boot = Head { stored: Reading { boot_id: None, ..head().stored }, ..head() };
        assert_eq!(Head::parse(&no_boot.encode(), HEAD_LEN as u64 + 7), Parsed::Head(no_boot));
    }

    #[test]
    fn the_longest_names_and_numbers_fit() {
        for program in ["\u{1}", "\u{10ffff}", "\"", "x"] {
            let stored = Reading { wall_ms: i64::MIN, boot_ms: u64::MAX, boot_id: Some(u128::MAX) };
            let program = program.repeat(500);
            let long = Head { exit_code: i32::MIN, program, stored, ..head() };
            let bytes = long.encode();
            assert_eq!(bytes.len(), HEAD_LEN);
            let Parsed::Head(read) = Head::parse(&bytes, HEAD_LEN as u64 + 7) else { panic!() };
            assert_eq!(read.program, long.program.chars().take(64).collect::<String>());
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_damage() {
        let bytes = head().encode();
        for file_len in [0, 7, HEAD_LEN as u64, HEAD_LEN as u64 + 6, HEAD_LEN as u64 + 8, u64::MAX]
        {
            assert_eq!(Head::parse(&bytes, file_len), Parsed::Damaged, "{file_len}");
        }
        for len in [BODY_LEN_MAX + 1, u64::MAX] {
            let long = Head { body_len: len, ..head() }.encode();
            let file_len = len.wrapping_add(HEAD_LEN as u64);
            assert_eq!(Head::parse(&long, file_len), Parsed::Damaged, "{len}");
        }
        for meta_len in [0, 1, HEAD_LEN as u32, u32::MAX] {
            let mut bytes = head().encode();
            bytes[12..16].copy_from_slice(&meta_len.to_le_bytes());
            let bytes = with_checksum(bytes);
            assert_eq!(Head::parse(&bytes, HEAD_LEN as u64 + 7), Parsed::Damaged, "{meta_len}");
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut bytes = head().encode();
        bytes[8] = 2;
        assert_eq!(Head::parse(&bytes, 9), Parsed::Damaged);
        assert_eq!(Head::parse(&with_checksum(bytes.clone()), 9), Parsed::Newer(2));
        bytes[8] = 0;
        assert_eq!(Head::parse(&with_checksum(bytes), HEAD_LEN as u64 + 7), Parsed::Damaged);
    }

    #[test]
    fn an_age_is_by_boot_time_and_never_negative() {
        let stored = Reading { wall_ms: 10_000, boot_ms: 500, boot_id: Some(7) };
        let head = Head { stored, ..head() };
        let age = |wall_ms, boot_ms, boot| {
            head.age(Reading { wall_ms, boot_ms, boot_id: Some(boot) }).as_millis()
        };
        assert_eq!(age(10_020, 520, 7), 20);
        assert_eq!(age(99_999, 520, 7), 20, "the wall clock was set forward");
        assert_eq!(age(-99_999, 520, 7), 20, "the wall clock was set back");
        assert_eq!(age(10_000, 400, 7), 0);
        assert_eq!(age(13_000, 1, 8), 3000, "after a reboot");
        assert_eq!(age(9_000, 1, 8), 0, "after a reboot, with a wall clock that is behind");
    }
}
