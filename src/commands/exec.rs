//! `cb exec`: ask the breaker, run the command, tell the breaker, end alike; or
//! let something stand in.

use super::attempt::{Call, Came, Ran, how, status_of};
use super::call::{Caller, Refusal};
use super::fallback::{self, Occasion, StandIn};
use super::output::Voice;
use super::result::{Report, Sink};
use super::setup::Setup;
use crate::cli::ExecWords;
use crate::error::Error;
use crate::exit;
use crate::model::Outcome;
use crate::model::outcome::{End, ExitReport};
use crate::process::{self, Startup};
use crate::settings::{self, Given};

/// Runs the command, or does not; the exit status of cb.
///
/// # Errors
///
/// What is cb's own fault, or its caller's.
pub fn run(words: &ExecWords, startup: &Startup) -> Result<i32, Error> {
    let name = settings::breaker_name(&words.name)?;
    let voice = Voice { name: name.as_str(), quiet: words.quiet };
    let mut sink = Sink::open(words, startup)?;
    sink.warnings(&voice);
    let status = Setup::load(&words.places).and_then(|setup| {
        let settings = setup.settings(&name, &Given { flags: &words.flags, ..Given::default() })?;
        let store = match setup.store() {
            Ok(store) => Some(store),
            Err(error) if error.is_of_store() => None,
            Err(error) => return Err(error),
        };
        let flags = Some(settings::flags_text(&words.flags));
        let caller = Caller { name: &name, settings, store, flags };
        let mut call = Call::new(words, caller, startup, sink.is_wanted());
        let came = call.make()?;
        end(&mut call, came, &mut sink)
    });
    if let Err(error) = &status {
        let why = match error {
            Error::Refused { .. } => "store",
            Error::Spawn(_) => "spawn",
            _ => "error",
        };
        sink.write(&Report::of_rejection(voice.name, why, exit::OWN_ERROR, None), &voice);
    }
    status
}

fn end(call: &mut Call<'_>, came: Came, sink: &mut Sink) -> Result<i32, Error> {
    match came {
        Came::Rejected(refusal) => rejected(call, &refusal, sink),
        Came::Ran(ran) => ended(call, ran, sink),
        Came::BrokenOff(ran, signal) => Ok(broken_off(call, ran, signal, sink)),
    }
}

fn rejected(call: &mut Call<'_>, refusal: &Refusal, sink: &mut Sink) -> Result<i32, Error> {
    let occasion = Occasion {
        reason: refusal.reason(),
        state: Some(refusal.after.state),
        retry_after_ms: refusal.after.retry_after_ms,
        status: None,
        what: format!("not run: {}", refusal.words(&call.caller.settings)),
    };
    let chain = call.caller.settings.on_open.clone();
    let stood_in = fallback::stand_in(call, &chain, &occasion)?;
    let settings = &call.caller.settings;
    let status = status_with(&stood_in, settings).unwrap_or(i32::from(settings.open_exit_code));
    let name = call.caller.name.as_str();
    let why = refusal.why.name();
    let report = Report::of_rejection(name, why, status, refusal.after.retry_after_ms)
        .between(Some(refusal.before), Some(refusal.after.state))
        .with(&stood_in);
    sink.write(&report, &call.voice);
    Ok(match stood_in {
        StandIn::Ran(exited) => end_like(&exited),
        _ => status,
    })
}

fn ended(call: &mut Call<'_>, mut ran: Box<Ran>, sink: &mut Sink) -> Result<i32, Error> {
    let mut stood_in = Ok(StandIn::Nothing);
    if ran.outcome == Outcome::Failure && ran.exited.asked_to_end().is_none() {
        let occasion = Occasion {
            reason: if ran.exited.timed_out { "timeout" } else { "failure" },
            state: ran.after,
            retry_after_ms: None,
            status: Some(ran.status),
            what: format!("failed ({})", how(&ran.exited)),
        };
        let chain = call.caller.settings.on_failure.clone();
        stood_in = fallback::stand_in(call, &chain, &occasion);
    }
    // What stands in takes the place of an output that was held back.
    let (stood_in, written) = match stood_in {
        Ok(StandIn::Nothing) => (StandIn::Nothing, ran.pass_on()),
        Ok(stood_in) => (stood_in, Ok(())),
        // It ran all the same, which is what the report is about.
        Err(error) => (StandIn::Nothing, Err(error)),
    };
    let status = status_with(&stood_in, &call.caller.settings);
    sink.write(&report_of(call, &ran).with(&stood_in), &call.voice);
    written?;
    Ok(match (stood_in, status) {
        (StandIn::Ran(exited), _) => end_like(&exited),
        (_, Some(status)) => status,
        (_, None) => end_like(&ran.exited),
    })
}

/// A person ended it between two attempts: nothing stands in, and cb ends by the
/// same signal.
fn broken_off(call: &Call<'_>, mut ran: Box<Ran>, signal: i32, sink: &mut Sink) -> i32 {
    sink.write(&report_of(call, &ran), &call.voice);
    // All is told: whoever has no time for the rest of the output asks again.
    call.startup.unblock_signals();
    if let Err(error) = ran.pass_on() {
        call.voice.say(error);
    }
    process::end_by_signal(signal)
}

/// The report on a call that ran.
fn report_of<'c>(call: &Call<'c>, ran: &Ran) -> Report<'c> {
    Report::of_run(call.caller.name.as_str(), &ran.exited, ran.outcome, ran.status)
        .between(ran.before, ran.after)
        .tried(call.attempts)
}

/// The exit status that comes of what stood in.
fn status_with(stood_in: &StandIn, settings: &settings::Settings) -> Option<i32> {
    match stood_in {
        StandIn::Nothing => None,
        StandIn::Exit(code) => Some(i32::from(*code)),
        StandIn::Ran(exited) => Some(status_of(exited)),
        StandIn::Replayed(code) => Some(*code),
        StandIn::Queued(_) => Some(i32::from(settings.queued_exit_code)),
    }
}

/// The status of a command, or its end by the same signal.
fn end_like(exited: &ExitReport) -> i32 {
    match exited.end {
        End::Signal(signal) if !exited.timed_out => process::end_by_signal(signal),
        _ => status_of(exited),
    }
}
