//! The state file: two slots at fixed places, written in turns.
//!
//! Each slot is a header of 32 bytes (little-endian) and a JSON body:
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | magic `cbstate\n` |
//! | 8..12 | format version |
//! | 12..16 | length of the body |
//! | 16..24 | sequence number |
//! | 24..28 | CRC-32 of bytes 0..24 and the body |
//! | 28..32 | zero |
//!
//! A save is one positioned write into the slot that does not hold the latest
//! state, so a write that is cut short leaves the state before it. A load takes
//! the valid slot with the higher sequence number. The header is the same in
//! every version, so an older cb can tell a newer state from a broken one.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The version that this code writes.
pub const VERSION: u32 = 1;
/// What one slot may take.
pub const SLOT_LEN: usize = 16 * 1024;
/// The length of the header.
pub const HEADER_LEN: usize = 32;
/// The longest body.
pub const BODY_LEN_MAX: usize = SLOT_LEN - HEADER_LEN;

const MAGIC: [u8; 8] = *b"cbstate\n";
/// A newer version may have longer bodies: so much is read to check one.
const NEWER_BODY_LEN_MAX: usize = 1024 * 1024;
/// Most states fit into one block; a load reads so much of each slot at first,
/// and a new file has so much of each slot allocated.
const FIRST_READ_LEN: usize = 4096;
const SLOTS: usize = 2;

/// The latest valid state of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The JSON body.
    pub body: Vec<u8>,
    /// Its sequence number.
    pub sequence: u64,
    /// The slot it is in.
    slot: usize,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A state, and perhaps an older one behind it.
    State(Loaded, Option<Loaded>),
    /// No slot is valid.
    Nothing,
    /// A state of a version that this code does not know.
    Newer(u32),
}

/// Reads both slots.
///
/// # Errors
///
/// What the file system refuses.
pub fn load(file: &File) -> io::Result<Content> {
    let (first, second) = (read_slot(file, 0)?, read_slot(file, 1)?);
    Ok(match (first, second) {
        (Slot::Newer(version), _) | (_, Slot::Newer(version)) => Content::Newer(version),
        (Slot::Valid(a), Slot::Valid(b)) if a.sequence >= b.sequence => Content::State(a, Some(b)),
        (Slot::Valid(a), Slot::Valid(b)) => Content::State(b, Some(a)),
        (Slot::Valid(only), Slot::Invalid) | (Slot::Invalid, Slot::Valid(only)) => {
            Content::State(only, None)
        }
        (Slot::Invalid, Slot::Invalid) => Content::Nothing,
    })
}

/// Writes a body into the slot that does not hold `latest`.
///
/// # Errors
///
/// A body that is too long, a write that fails or is cut short.
pub fn save(file: &File, latest: &Loaded, body: &[u8]) -> io::Result<()> {
    let bytes = encode(latest.sequence.saturating_add(1), body)?;
    let other = (latest.slot + 1) % SLOTS;
    file.write_all_at(&bytes, offset(other))
}

/// The bytes of a new file: the body in the first slot, the second slot empty
/// but allocated, so that later saves need no more space.
///
/// # Errors
///
/// A body that is too long.
pub fn new_file(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = encode(1, body)?;
    bytes.resize(SLOT_LEN + FIRST_READ_LEN, 0);
    Ok(bytes)
}

/// The bytes of one slot.
///
/// # Errors
///
/// A body that is too long.
pub fn encode(sequence: u64, body: &[u8]) -> io::Result<Vec<u8>> {
    if body.len() > BODY_LEN_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the state is too long"));
    }
    let mut bytes = Vec::with_capacity(HEADER_LEN + body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    let checksum = checksum(&bytes, body);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.resize(HEADER_LEN, 0);
    bytes.extend_from_slice(body);
    Ok(bytes)
}

enum Slot {
    Valid(Loaded),
    Newer(u32),
    Invalid,
}

fn read_slot(file: &File, slot: usize) -> io::Result<Slot> {
    let mut bytes = vec![0; FIRST_READ_LEN];
    let mut filled = read_up_to(file, &mut bytes, offset(slot))?;
    let Some(header) = Header::parse(&bytes[..filled]) else { return Ok(Slot::Invalid) };
    let len = HEADER_LEN + header.body_len;
    if len > filled {
        bytes.resize(len, 0);
        let rest_at = offset(slot) + filled as u64;
        filled += read_up_to(file, &mut bytes[filled..], rest_at)?;
    }
    if len > filled {
        return Ok(Slot::Invalid);
    }
    bytes.truncate(len);
    let body = bytes.split_off(HEADER_LEN);
    if checksum(&bytes[..24], &body) != header.checksum {
        return Ok(Slot::Invalid);
    }
    Ok(match header.version {
        VERSION => Slot::Valid(Loaded { body, sequence: header.sequence, slot }),
        newer if newer > VERSION => Slot::Newer(newer),
        _ => Slot::Invalid,
    })
}

struct Header {
    version: u32,
    body_len: usize,
    sequence: u64,
    checksum: u32,
}

impl Header {
    /// The header, if these bytes begin with one whose length is possible.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let u32_at = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let u64_at = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let body_len = usize::try_from(u32_at(12)?).ok()?;
        let version = u32_at(8)?;
        let len_max = if version > VERSION { NEWER_BODY_LEN_MAX } else { BODY_LEN_MAX };
        (bytes.starts_with(&MAGIC) && body_len <= len_max).then_some(())?;
        Some(Header { version, body_len, sequence: u64_at(16)?, checksum: u32_at(24)? })
    }
}

const fn offset(slot: usize) -> u64 {
    (slot * SLOT_LEN) as u64
}

fn checksum(head: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(body);
    hasher.finalize()
}

/// Reads until the buffer is full or the file ends.
///
/// # Errors
///
/// What the file system refuses.
pub(super) fn read_up_to(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> File {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file
    }

    fn body_of(file: &File) -> Option<Vec<u8>> {
        match load(file).unwrap() {
            Content::State(latest, _) => Some(latest.body),
            Content::Nothing => None,
            Content::Newer(version) => panic!("version {version}"),
        }
    }

    fn latest(file: &File) -> Loaded {
        match load(file).unwrap() {
            Content::State(latest, _) => latest,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn saves_take_turns_and_the_latest_wins() {
        let file = file(&new_file(b"one").unwrap());
        for i in 0..5u8 {
            let state = latest(&file);
            assert_eq!(state.slot, usize::from(i) % 2);
            save(&file, &state, &[i]).unwrap();
            assert_eq!(body_of(&file), Some(vec![i]));
        }
    }

    #[test]
    fn a_long_body_is_read_whole_and_a_longer_one_refused() {
        let long = vec![b'x'; BODY_LEN_MAX];
        let file = file(&new_file(b"one").unwrap());
        save(&file, &latest(&file), &long).unwrap();
        assert_eq!(body_of(&file), Some(long.clone()));
        save(&file, &latest(&file), &long).unwrap();
        assert_eq!(body_of(&file), Some(long.clone()));
        assert!(save(&file, &latest(&file), &[long, vec![0]].concat()).is_err());
    }

    #[test]
    fn a_torn_write_leaves_the_state_before() {
        let before = new_file(b"before").unwrap();
        let next = encode(2, b"the one after").unwrap();
        for cut in 0..next.len() {
            let file = file(&before);
            file.write_all_at(&next[..cut], SLOT_LEN as u64).unwrap();
            assert_eq!(body_of(&file), Some(b"before".to_vec()), "cut at {cut}");
        }
    }

    #[test]
    fn any_flipped_byte_makes_a_slot_invalid() {
        let whole = new_file(b"only").unwrap();
        for at in 0..HEADER_LEN - 4 + b"only".len() {
            let at = if at < 28 { at } else { at + 4 };
            let mut bytes = whole.clone();
            bytes[at] ^= 0x40;
            assert_eq!(body_of(&file(&bytes)), None, "byte {at}");
        }
    }

    #[test]
    fn any_truncation_is_no_state_or_the_state() {
        let whole = new_file(b"only").unwrap();
        for len in 0..whole.len() {
            let expected = (len >= HEADER_LEN + 4).then(|| b"only".to_vec());
            assert_eq!(body_of(&file(&whole[..len])), expected, "length {len}");
        }
    }

    #[test]
    fn a_newer_version_is_told_from_a_broken_one() {
        let mut bytes = encode(9, b"{}").unwrap();
        bytes[8] = 2;
        assert_eq!(load(&file(&bytes)).unwrap(), Content::Nothing);
        let sum = checksum(&bytes[..24], b"{}");
        bytes[24..28].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(load(&file(&bytes)).unwrap(), Content::Newer(2));
    }

    #[test]
    fn a_newer_version_may_have_longer_bodies() {
        let body = vec![b' '; 20_000];
        let mut bytes = encode(9, b"").unwrap();
        bytes[8] = 2;
        bytes[12..16].copy_from_slice(&20_000u32.to_le_bytes());
        let sum = checksum(&bytes[..24], &body);
        bytes[24..28].copy_from_slice(&sum.to_le_bytes());
        bytes.extend(body);
        assert_eq!(load(&file(&bytes)).unwrap(), Content::Newer(2));
    }
}
