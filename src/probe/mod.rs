//! Health probes: one look at a server or a command, within one deadline, and a
//! report that says why.
//!
//! `spec` is what to look at, `report` what was found; each kind has a file.

pub mod report;
pub mod spec;

pub use report::{Detail, Found, Report, Verdict};
pub use spec::{Spec, What};
