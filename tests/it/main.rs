//! Integration tests.

mod completions;
mod config;
mod man;
