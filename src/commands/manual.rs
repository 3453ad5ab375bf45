//! What people do to a breaker by hand: trip, reset, hold, release, rm.

use std::io::Write;

use super::operate::operate;
use super::output::{Output, say};
use super::setup::{self, Setup};
use crate::cli::ManualWords;
use crate::error::Error;
use crate::exit;
use crate::model::breaker::{Breaker, Manual};
use crate::model::{Hold, Now, Policy, Step};
use crate::paths;
use crate::process::Startup;
use crate::render::sentence;
use crate::settings;
use crate::store::{Absent, Keep, Store, body};

/// `cb trip`
///
/// # Errors
///
/// What the store cannot do.
pub fn trip(words: &ManualWords, startup: &Startup, out: &mut Output) -> Result<i32, Error> {
    change(words, startup, out, Absent::Create, Breaker::trip)
}

/// `cb reset`
///
/// # Errors
///
/// An unknown breaker, or what the store cannot do.
pub fn reset(words: &ManualWords, startup: &Startup, out: &mut Output) -> Result<i32, Error> {
    change(words, startup, out, Absent::Refuse, Breaker::reset)
}

/// `cb hold`
///
/// # Errors
///
/// What the store cannot do.
pub fn hold(
    words: &ManualWords,
    hold: &str,
    startup: &Startup,
    out: &mut Output,
) -> Result<i32, Error> {
    let hold = Hold::from_name(hold).expect("clap knows the three holds");
    change(words, startup, out, Absent::Create, |breaker, policy, now, asked| {
        breaker.hold(policy, now, hold, asked)
    })
}

/// `cb release`
///
/// # Errors
///
/// An unknown breaker, or what the store cannot do.
pub fn release(words: &ManualWords, startup: &Startup, out: &mut Output) -> Result<i32, Error> {
    change(words, startup, out, Absent::Refuse, Breaker::release)
}

/// `cb rm`
///
/// # Errors
///
/// An unknown breaker, or what the store cannot do.
pub fn remove(words: &ManualWords, out: &mut Output) -> Result<i32, Error> {
    let name = settings::breaker_name(&words.name)?;
    // Without the config files: what is wrong with them hinders no removal.
    setup::store(&words.places)?.remove(&name)?;
    if !words.quiet {
        writeln!(out, "{name}: removed").map_err(Error::Stdout)?;
    }
    Ok(exit::OK)
}

fn change(
    words: &ManualWords,
    startup: &Startup,
    out: &mut Output,
    absent: Absent,
    act: impl Fn(&mut Breaker, &Policy, Now, &Manual<'_>) -> Step<()>,
) -> Result<i32, Error> {
    let lasting = words.for_.as_deref().map(|word| settings::period("--for", word)).transpose()?;
    let comment = words.reason.as_deref().unwrap_or_default().to_string_lossy();
    let by = paths::user_name();
    let asked = Manual {
        by: body::cut(&by, body::BY_LEN_MAX),
        comment: body::cut(&comment, body::COMMENT_LEN_MAX),
        lasting,
    };
    let setup = Setup::load(&words.places)?;
    let target = setup.target_to_change(&words.name)?;
    let policy = &target.settings.policy;
    let how = (absent, Keep::Durably);
    let done = operate(&target.store, &target.name, how, policy, |breaker, now| {
        let step = act(breaker, policy, now, &asked);
        let view = breaker.view(policy, now);
        step.map(|()| view)
    })?;
    for notice in &done.receipt.notices {
        say(format_args!("{}: {notice}", target.name));
    }
    let queue = target.background(&words.places, startup);
    if let Some(notice) = queue.if_flowing() {
        say(format_args!("{}: {notice}", target.name));
    }
    if !words.quiet {
        let unchanged = if done.transitions.is_empty() { " (state unchanged)" } else { "" };
        writeln!(out, "{}: {}{unchanged}", target.name, sentence::of(&done.value))
            .map_err(Error::Stdout)?;
    }
    Ok(exit::OK)
}
