//! The ids of jobs: 26 characters that sort by time.
//!
//! As in a ULID, 48 bits of milliseconds and 80 bits of chance are written in
//! Crockford's base 32, here in lower case.

use std::fmt;

use crate::model::Ms;
use crate::model::backoff::mix;

/// How many characters an id has.
pub const ID_CHARS: usize = 26;

const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const CHANCE_BITS: u32 = 80;
const CHANCE_MASK: u128 = (1 << CHANCE_BITS) - 1;
const MS_MASK: u64 = (1 << 48) - 1;

/// The id of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(u128);

impl JobId {
    /// An id for a job that is made at this time, later than `last`.
    pub fn after(last: Option<JobId>, at_ms: Ms, draw: u64) -> Self {
        let (high, low) = (mix(draw), mix(draw ^ u64::MAX));
        let chance = (u128::from(high) << 64 | u128::from(low)) & CHANCE_MASK;
        let id = JobId(u128::from(at_ms & MS_MASK) << CHANCE_BITS | chance);
        match last {
            Some(last) if id <= last => last.next(),
            _ => id,
        }
    }

    /// The id that this word spells, exactly as it was written.
    pub fn parse(word: &str) -> Option<Self> {
        if word.len() != ID_CHARS {
            return None;
        }
        let mut id = 0_u128;
        for (place, byte) in word.bytes().enumerate() {
            let digit = DIGITS.iter().position(|digit| *digit == byte)? as u128;
            // 26 x 5 bits are 130: the first digit has three.
            if place == 0 && digit > 7 {
                return None;
            }
            id = id << 5 | digit;
        }
        Some(JobId(id))
    }

    /// The id that follows this one.
    pub(super) fn next(self) -> Self {
        JobId(self.0.saturating_add(1))
    }

    /// When it was made, on the breaker's clock.
    pub fn made_ms(self) -> Ms {
        u64::try_from(self.0 >> CHANCE_BITS).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = (0..ID_CHARS).rev().map(|place| {
            let digit = (self.0 >> (5 * place)) & 31;
            char::from(DIGITS[digit as usize])
        });
        f.pad(&digits.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_and_read_back() {
        for (at_ms, draw) in [(0, 0), (1, 2), (1_700_000_000_000, 9), (MS_MASK, u64::MAX)] {
            let id = JobId::after(None, at_ms, draw);
            let word = id.to_string();
            assert_eq!((word.len(), JobId::parse(&word)), (ID_CHARS, Some(id)));
            assert_eq!(id.made_ms(), at_ms);
        }
        assert_eq!(JobId(u128::MAX).to_string(), "7zzzzzzzzzzzzzzzzzzzzzzzzz");
        assert_eq!(format!("{:<28}|", JobId(0)), "00000000000000000000000000  |");
    }

    #[test]
    fn other_words_are_no_ids() {
        let id = JobId::after(None, 5, 5).to_string();
        let upper = id.to_uppercase();
        let words =
            ["", &id[1..], &upper, &id.replace('0', "u"), &id.replace('0', "/"), &format!("{id}0")];
        for word in words {
            assert_eq!(JobId::parse(word), None, "{word}");
        }
        assert_eq!(JobId::parse("80000000000000000000000000"), None);
    }

    #[test]
    fn ids_sort_by_time_and_later_ones_are_greater() {
        let mut words = Vec::new();
        let mut last = None;
        for at_ms in [5, 5, 5, 4, 6, 6, 1000] {
            let id = JobId::after(last, at_ms, at_ms);
            words.push(id.to_string());
            last = Some(id);
        }
        assert!(words.is_sorted());
        assert!(JobId::after(None, 6, 0) > JobId::after(None, 5, u64::MAX));
        assert_ne!(JobId::after(None, 5, 1), JobId::after(None, 5, 2));
    }
}
