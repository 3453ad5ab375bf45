//! The commands: glue between words, settings, store and output, one file each.

pub mod completions;
pub mod config;
pub mod man;
