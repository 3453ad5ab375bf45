//! `cb report`: how the call with a token went.

use std::time::Duration;

use super::operate::operate;
use super::output::say;
use super::setup::Setup;
use super::token;
use crate::cli::ReportWords;
use crate::error::Error;
use crate::exit;
use crate::model::breaker::Recorded;
use crate::model::{Finished, Outcome};
use crate::process::Startup;
use crate::settings;
use crate::store::{Absent, Keep};

/// Records the outcome.
///
/// # Errors
///
/// A token that is none of this breaker's, or what the store cannot do.
pub fn run(words: &ReportWords, startup: &Startup) -> Result<i32, Error> {
    let setup = Setup::load(&words.places)?;
    let target = setup.target_to_change(&words.name)?;
    let name = &target.name;
    let permit = token::parse(name, &words.token).ok_or_else(|| {
        let shown = words.token.to_string_lossy();
        Error::Usage(format!(
            "'{}' is no token of {name}; allowed: what 'cb allow {name}' printed",
            crate::model::text::excerpt(&shown, 60)
        ))
    })?;
    let length = words.duration.as_deref().map(|word| settings::length("--duration", word));
    let length = length.transpose()?;
    let outcome = Outcome::from_name(&words.outcome).expect("clap knows the three outcomes");

    let policy = &target.settings.policy;
    let how = (Absent::Refuse, Keep::State);
    let done = operate(&target.store, name, how, policy, |breaker, now| {
        let since = Duration::from_millis(now.at_ms.saturating_sub(permit.started_ms));
        let call = Finished::new(outcome, length.unwrap_or(since));
        breaker.record(policy, now, permit, &call)
    })?;
    for notice in &done.receipt.notices {
        say(format_args!("{name}: {notice}"));
    }
    if let Some(notice) = target.background(&words.places, startup).after(&done.transitions) {
        say(format_args!("{name}: {notice}"));
    }
    if done.value == Recorded::Stale {
        say(format_args!(
            "{name}: this result came too late to count: the breaker has changed its state, or \
             the permit has run out, since 'cb allow'"
        ));
    }
    Ok(exit::OK)
}
