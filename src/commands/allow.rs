//! `cb allow`: a permit to make one call, as a token.

use std::io::Write;
use std::time::Duration;

use super::operate::operate;
use super::output::{Output, Voice};
use super::setup::{Setup, Target};
use super::token;
use crate::cli::AskWords;
use crate::error::Error;
use crate::exit;
use crate::model::breaker::Holder;
use crate::model::{Finished, Outcome, Permit, Step, Verdict};
use crate::process::Startup;
use crate::render::sentence;
use crate::settings::{self, Given};
use crate::store::{Absent, Keep};

/// Prints a token, or exits as a rejected call does.
///
/// # Errors
///
/// What the store cannot do.
pub fn run(words: &AskWords, startup: &Startup, out: &mut Output) -> Result<i32, Error> {
    let setup = Setup::load(&words.places)?;
    let name = settings::breaker_name(&words.name)?;
    let settings = setup.settings(&name, &Given { flags: &words.flags, ..Given::default() })?;
    let target = Target { name, settings, store: setup.store()? };
    let flags = settings::flags_text(&words.flags);
    let policy = &target.settings.policy;
    let voice = Voice { name: target.name.as_str(), quiet: words.quiet };

    let how = (Absent::Create, Keep::State);
    let done = operate(&target.store, &target.name, how, policy, |breaker, now| {
        breaker.set_flags(&flags);
        let step = breaker.admit(policy, now, Holder::Token);
        let view = breaker.view(policy, now);
        step.map(|verdict| (verdict, view))
    })?;
    done.receipt.notices.iter().for_each(|notice| voice.say(notice));
    // A hold that ended by itself may have closed it.
    if let Some(notice) = target.background(&words.places, startup).after(&done.transitions) {
        voice.say(notice);
    }
    match done.value {
        (Verdict::Admit(permit), _) => {
            let token = token::print(&target.name, permit);
            if let Err(error) = writeln!(out, "{token}").and_then(|()| out.flush()) {
                give_back(&target, permit)?;
                // Here a reader that goes away is an error: nobody has the token.
                return Err(Error::io("write to", "stdout")(error));
            }
            Ok(exit::OK)
        }
        (Verdict::Reject(_), view) => {
            voice.say(format_args!("not allowed: {}", sentence::of(&view)));
            Ok(target.settings.refusal_code())
        }
    }
}

/// Nobody got the token: the permit is free again.
fn give_back(target: &Target, permit: Permit) -> Result<(), Error> {
    let policy = &target.settings.policy;
    let how = (Absent::Refuse, Keep::State);
    let nothing = Finished::new(Outcome::Ignored, Duration::ZERO);
    operate(&target.store, &target.name, how, policy, |breaker, now| -> Step<()> {
        breaker.record(policy, now, permit, &nothing).map(|_| ())
    })?;
    Ok(())
}
