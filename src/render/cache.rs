//! Outputs that are kept, as a table and as JSON.

use std::io::{self, Write};

use serde::Serialize;

use super::grid::Grid;
use super::json::write_safe;
use super::times::rough;
use crate::model::text::excerpt;

/// So much of a key tells the outputs of one breaker apart.
const KEY_CHARS: usize = 12;
/// The most characters of a program's name in the table.
const PROGRAM_CHARS_MAX: usize = 40;

/// An output to list.
#[derive(Clone, Debug, Serialize)]
pub struct OutputRow {
    /// The breaker.
    pub breaker: String,
    /// What it is found by.
    pub key: String,
    /// The program that wrote it, by name.
    pub program: String,
    /// How old it is.
    pub age_ms: u64,
    /// How long it is.
    pub bytes: u64,
    /// The status that the program had.
    pub exit_code: i32,
}

/// `cb cache list`
///
/// # Errors
///
/// What cannot be written.
pub fn table(outputs: &[OutputRow], out: &mut dyn Write) -> io::Result<()> {
    let grid = Grid { head: &["BREAKER", "KEY", "PROGRAM", "AGE", "BYTES"], right: &[3, 4] };
    let row = |output: &OutputRow| {
        vec![
            output.breaker.clone(),
            output.key.chars().take(KEY_CHARS).collect(),
            excerpt(&output.program, PROGRAM_CHARS_MAX),
            rough(output.age_ms),
            output.bytes.to_string(),
        ]
    };
    let rows: Vec<Vec<String>> = outputs.iter().map(row).collect();
    grid.write(&rows, |_| None, out)
}

/// `cb cache list --json`: the schema `cb.cache/1`.
///
/// # Errors
///
/// What cannot be written.
pub fn json(outputs: &[OutputRow], out: &mut dyn Write) -> io::Result<()> {
    let body = Body { schema: "cb.cache/1", outputs };
    write_safe(&serde_json::to_string_pretty(&body)?, out)
}

#[derive(Serialize)]
struct Body<'a> {
    schema: &'static str,
    outputs: &'a [OutputRow],
}
