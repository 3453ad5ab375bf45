//! cb: a circuit breaker for commands.
//!
//! Data flows one way:
//!
//! ```text
//! words (cli) + files (config) -> settings -> store.transact(decide) -> child
//!     -> classify -> store.transact(record) -> result -> exit status
//! ```

pub mod cli;

pub mod config;
pub mod paths;
pub mod settings;

pub mod model;
pub mod simulate;

pub mod store;

pub mod net;
pub mod probe;
pub mod process;

pub mod render;

pub mod commands;

pub mod clock;
pub mod error;
pub mod exit;
