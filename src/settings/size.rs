//! Sizes: whole numbers of bytes, with or without a unit.

use super::parse::{Why, is_integer, utf8, wrong_type};
use super::value::Raw;

/// The units, the larger of each kind first, as a size is shown.
const UNITS: [(&str, u64); 6] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];

/// A size as it was written, at most this.
pub(super) fn read(raw: &Raw<'_>, max: u64) -> Result<u64, Why> {
    let text = match raw {
        Raw::Integer(number, _) => {
            let size = number.and_then(|number| u64::try_from(number).ok());
            return within(size, max);
        }
        Raw::Word(word) => utf8(word)?,
        Raw::Text(text) if is_integer(text) => {
            return Err("bytes are written without quotes".into());
        }
        Raw::Text(text) => text,
        Raw::Float(_) => return Err("not a whole number of bytes".into()),
        other => return Err(wrong_type(other)),
    };
    if text.starts_with('-') && text[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return Err("out of range".into());
    }
    let (digits, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    if digits.is_empty() || unit.starts_with(['.', ',']) {
        return Err("not a whole number with a unit".into());
    }
    let factor = match unit.trim_start() {
        "" | "B" => 1,
        // As many write it.
        "KB" => 1_000,
        unit => match UNITS.iter().find(|(name, _)| *name == unit) {
            Some((_, factor)) => *factor,
            None => return Err("unknown unit".into()),
        },
    };
    within(digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)), max)
}

fn within(size: Option<u64>, max: u64) -> Result<u64, Why> {
    size.filter(|size| *size <= max).ok_or_else(|| "out of range".into())
}

/// A size, exactly, in the shortest words that read back: `8MiB`, `1500`.
pub(super) fn show(size: u64) -> String {
    let unit = UNITS.iter().find(|(_, factor)| size >= *factor && size.is_multiple_of(*factor));
    match unit {
        Some((unit, factor)) => format!("{}{unit}", size / factor),
        None => size.to_string(),
    }
}
