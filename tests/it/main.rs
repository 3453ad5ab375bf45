//! The integration tests: the real binary, real children, a store for each test.

#![expect(clippy::disallowed_methods, reason = "tests ask for the time themselves")]

mod live;
mod pty;
#[expect(dead_code, reason = "tests of the library use the rest")]
mod servers;
mod support;

mod bulkhead;
mod cache;
mod cache_stream;
mod completions;
mod config;
mod docs;
mod examples;
mod exec;
mod exec_crowd;
mod exec_inherited;
mod exec_result;
mod exec_signals;
mod exec_terminal;
mod exec_timeout;
mod fallback;
mod fallback_run;
mod faults;
mod man;
mod manual;
mod probe;
mod probe_resolve;
mod queue;
mod queue_storm;
mod regressions;
mod retries;
mod retries_stdin;
mod rooms;
mod simulate;
mod smoke;
mod status;
mod store;
mod storm;
mod story;
mod vectors;
mod wait;
mod wait_probe;
