//! `cb probe`.

use crate::cli::ProbeWords;
use crate::error::Error;
use crate::process::Startup;

use super::output::Output;

/// Runs `cb probe`.
///
/// # Errors
///
/// Always: it is not built yet.
pub fn run(words: &ProbeWords, startup: &Startup, out: &mut Output) -> Result<i32, Error> {
    let _ = (words, startup, out);
    Err(Error::Usage("not built yet".into()))
}
