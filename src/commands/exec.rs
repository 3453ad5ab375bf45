//! `cb exec`: ask the breaker, run the command, tell the breaker, end alike.

use super::operate::{Done, operate};
use super::output::Voice;
use super::result::{Report, Sink};
use super::setup::Setup;
use crate::cli::ExecWords;
use crate::clock;
use crate::error::{Error, plain};
use crate::exit;
use crate::model::breaker::{Holder, Rejection};
use crate::model::outcome::{End, ExitReport};
use crate::model::text::duration;
use crate::model::{BreakerName, Finished, Outcome, Permit, State, Step, Verdict, View};
use crate::process::{self, Notice, Request, Startup};
use crate::render::sentence;
use crate::settings::{self, OnStoreError, Settings};
use crate::store::{Absent, FileStore, Keep, PermitFile, Store};

/// The answer to "may this command run?".
enum Admission {
    Granted(Granted),
    Rejected(Box<Refusal>),
    /// The store cannot be used, and without it the command shall not run.
    Refused(Error),
}

/// A command that may run.
struct Granted {
    /// Its permit; none where the store cannot be used and it runs all the same.
    permit: Option<Permit>,
    /// The kernel's hold on the permit, for the life of the call.
    held: Option<PermitFile>,
    before: Option<State>,
    after: Option<State>,
}

/// A command that may not.
struct Refusal {
    why: Rejection,
    before: State,
    after: View,
}

/// A call of one command through one breaker.
struct Call<'a> {
    words: &'a ExecWords,
    name: &'a BreakerName,
    settings: Settings,
    /// None where not even its place can be told.
    store: Option<FileStore>,
}

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
    let status = attempt(words, &name, startup, &mut sink);
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

fn attempt(
    words: &ExecWords,
    name: &BreakerName,
    startup: &Startup,
    sink: &mut Sink,
) -> Result<i32, Error> {
    let setup = Setup::load(&words.places)?;
    let settings = setup.settings(name, "", &words.flags)?;
    let store = match setup.store() {
        Ok(store) => Some(store),
        Err(error) if error.is_of_store() => None,
        Err(error) => return Err(error),
    };
    let call = Call { words, name, settings, store };
    let voice = Voice { name: name.as_str(), quiet: words.quiet };
    match call.admit(&voice)? {
        Admission::Refused(error) => {
            Err(Error::Refused { name: name.to_string(), why: Box::new(error) })
        }
        Admission::Rejected(refusal) => {
            voice.say(format_args!("not run: {}", sentence::of(&refusal.after)));
            let status = i32::from(call.settings.open_exit_code);
            sink.write(&refusal.report(voice.name, status), &voice);
            Ok(status)
        }
        Admission::Granted(granted) => call.run(granted, startup, sink, &voice),
    }
}

impl Call<'_> {
    fn admit(&self, voice: &Voice<'_>) -> Result<Admission, Error> {
        let asked = match &self.store {
            Some(store) => self.ask(store),
            None => Err(Error::NoStore),
        };
        match asked {
            Ok(done) => {
                done.receipt.notices.iter().for_each(|notice| voice.say(notice));
                Ok(match done.value {
                    Admission::Granted(granted) => {
                        Admission::Granted(Granted { held: done.receipt.permit, ..granted })
                    }
                    not_granted => not_granted,
                })
            }
            Err(error) if !error.is_of_store() => Err(error),
            Err(error) => match self.settings.on_store_error {
                OnStoreError::Refuse => Ok(Admission::Refused(error)),
                OnStoreError::Run => {
                    voice.say(format_args!("{error}; running the command unprotected"));
                    let (permit, held, before, after) = (None, None, None, None);
                    Ok(Admission::Granted(Granted { permit, held, before, after }))
                }
            },
        }
    }

    fn ask(&self, store: &dyn Store) -> Result<Done<Admission>, Error> {
        let flags = settings::flags_text(&self.words.flags);
        let policy = &self.settings.policy;
        operate(store, self.name, (Absent::Create, Keep::State), policy, |breaker, now| {
            breaker.set_flags(&flags);
            let before = breaker.state();
            let step = breaker.admit(policy, now, Holder::Process);
            step.map(|verdict| match verdict {
                Verdict::Admit(permit) => Admission::Granted(Granted {
                    permit: Some(permit),
                    held: None,
                    before: Some(before),
                    after: Some(breaker.state()),
                }),
                Verdict::Reject(why) => {
                    let after = breaker.view(policy, now);
                    Admission::Rejected(Box::new(Refusal { why, before, after }))
                }
            })
        })
    }

    fn run(
        &self,
        granted: Granted,
        startup: &Startup,
        sink: &mut Sink,
        voice: &Voice<'_>,
    ) -> Result<i32, Error> {
        let mut notices = Vec::new();
        let ran = self.spawn(&granted, startup, &mut notices);
        let finished = match &ran {
            Ok(exited) => finished(exited, exited.classify(&self.settings.codes)),
            // The call never came to be: its permit goes back.
            Err(_) => Finished::new(Outcome::Ignored, std::time::Duration::ZERO),
        };
        let after = self.record(&granted, &finished, &mut notices);
        drop(granted.held);
        // All is told: from here on cb may be ended while it waits for those who
        // read its words.
        if !notices.is_empty() || sink.is_wanted() {
            startup.unblock_signals();
        }
        notices.iter().for_each(|notice| voice.say(notice));
        let exited = ran?;
        let status = status_of(&exited);
        let report = Report::of_run(voice.name, &exited, finished.outcome, status);
        sink.write(&report.between(granted.before, after.or(granted.after)), voice);
        match exited.end {
            End::Signal(signal) if !exited.timed_out => Ok(process::end_by_signal(signal)),
            _ => Ok(status),
        }
    }

    /// Runs the command. What happens meanwhile is noted and not said: nobody
    /// may be reading, and a deadline waits for no reader.
    fn spawn(
        &self,
        granted: &Granted,
        startup: &Startup,
        notices: &mut Vec<String>,
    ) -> Result<ExitReport, Error> {
        let state = match granted.after {
            Some(State::HalfOpen) => State::HalfOpen,
            _ => State::Closed,
        };
        let env = [
            ("CB_BREAKER".into(), self.name.to_string().into()),
            ("CB_STATE".into(), state.name().into()),
            ("CB_ATTEMPT".into(), "1".into()),
        ];
        let (program, args) = self.words.command.split_first().expect("clap requires a command");
        let mut request = Request {
            env: &env,
            timeout: self.settings.timeout,
            kill_after: self.settings.kill_after,
            foreground: self.words.foreground,
            die_with_parent: self.words.die_with_parent,
            ..Request::new(program, args, clock::monotonic)
        };
        process::run(&mut request, startup, &mut |notice| {
            notices.push(match notice {
                Notice::TimedOut { after } => format!("timed out after {}", duration(after)),
                Notice::Killed { after } => {
                    format!("still running {} later: killed", duration(after))
                }
                Notice::NotStarted(error) => {
                    format!("cannot run '{}': {}", program.to_string_lossy(), plain(&error))
                }
                Notice::NotEntered { directory, error } => {
                    format!("cannot enter {}: {}", directory.display(), plain(&error))
                }
            });
        })
    }

    /// Tells the breaker; the state after, if that can be told.
    fn record(
        &self,
        granted: &Granted,
        call: &Finished,
        notices: &mut Vec<String>,
    ) -> Option<State> {
        let (Some(store), Some(permit)) = (&self.store, granted.permit) else { return None };
        let policy = &self.settings.policy;
        let keep = (Absent::Refuse, Keep::State);
        let done = operate(store, self.name, keep, policy, |breaker, now| {
            let step = breaker.record(policy, now, permit, call);
            Step { value: breaker.state(), transitions: step.transitions }
        });
        match done {
            Ok(done) => {
                notices.extend(done.receipt.notices.iter().map(ToString::to_string));
                Some(done.value)
            }
            // Somebody removed the breaker meanwhile: there is nothing to tell.
            Err(Error::Unknown { .. }) => None,
            Err(error) => {
                notices.push(format!("{error}; this result is not recorded"));
                None
            }
        }
    }
}

impl Refusal {
    fn report<'a>(&self, name: &'a str, status: i32) -> Report<'a> {
        let why = match self.why {
            Rejection::Open { .. } => "open",
            Rejection::NoTrialFree => "no_trial_free",
            Rejection::ForcedOpen => "forced_open",
        };
        Report::of_rejection(name, why, status, self.after.retry_after_ms)
            .between(Some(self.before), Some(self.after.state))
    }
}

fn finished(exited: &ExitReport, outcome: Outcome) -> Finished {
    Finished {
        outcome,
        duration: exited.duration,
        exit_code: exited.exit_code(),
        signal: exited.signal(),
        timed_out: exited.timed_out,
    }
}

/// The exit status, where cb does not end by the command's signal.
fn status_of(exited: &ExitReport) -> i32 {
    match exited.end {
        _ if exited.timed_out && exited.killed => exit::KILLED,
        _ if exited.timed_out => exit::TIMED_OUT,
        End::Code(code) => code,
        End::Signal(signal) => 128 + signal,
        End::NotFound => exit::NOT_FOUND,
        End::NotExecutable => exit::NOT_EXECUTABLE,
    }
}
