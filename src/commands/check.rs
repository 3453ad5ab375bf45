//! `cb check`: would a call be admitted now?

use std::io::Write;

use super::operate;
use super::output::Output;
use super::setup::Setup;
use crate::cli::AskWords;
use crate::error::Error;
use crate::exit;
use crate::model::{Breaker, Now};
use crate::render::sentence;

/// Says whether, and changes nothing.
///
/// # Errors
///
/// What cannot be read.
pub fn run(words: &AskWords, out: &mut Output) -> Result<i32, Error> {
    let setup = Setup::load(&words.places)?;
    let (target, found) = setup.target(&words.name, &words.flags)?;
    let policy = &target.settings.policy;
    let view = match &found {
        Some(found) => operate::view(found, policy),
        None => Breaker::new(Now::at(0)).view(policy, Now::at(0)),
    };
    if !words.quiet {
        let note = if found.is_none() { " (never used)" } else { "" };
        writeln!(out, "{}: {}{note}", target.name, sentence::of(&view)).map_err(Error::Stdout)?;
    }
    Ok(if view.admits { exit::OK } else { target.settings.refusal_code() })
}
