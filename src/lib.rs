//! cb: a circuit breaker for commands.
//!
//! Data flows one way:
//!
//! ```text
//! words (cli) + files (config) -> settings -> store.transact(decide) -> child
//!     -> classify -> store.transact(record) -> result -> exit status
//! ```

pub mod cli;
pub mod model;

pub mod commands;
pub mod config;
pub mod error;
pub mod paths;
pub mod settings;
