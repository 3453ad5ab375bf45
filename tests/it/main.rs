//! The integration tests: the real binary, real children, a store for each test.

#![expect(clippy::disallowed_methods, reason = "tests ask for the time themselves")]
#![expect(dead_code, reason = "not every theme uses the whole harness")]

mod support;

mod completions;
mod config;
mod faults;
mod man;
mod smoke;
mod store;
mod storm;
