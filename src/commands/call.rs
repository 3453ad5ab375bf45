//! One call through one breaker: asked for, and told about. `cb exec` makes one
//! for each attempt, a drain one for each job.

use super::operate::{Done, operate};
use super::output::Voice;
use crate::error::Error;
use crate::model::breaker::{Holder, Rejection};
use crate::model::outcome::ExitReport;
use crate::model::{BreakerName, Finished, Outcome, Permit, State, Step, Verdict, View};
use crate::settings::{OnStoreError, Settings};
use crate::store::{Absent, FileStore, Keep, PermitFile, Store};

/// The answer to "may this command run?".
pub enum Admission {
    Granted(Granted),
    Rejected(Box<Refusal>),
    /// The store cannot be used, and without it the command shall not run.
    Refused(Error),
}

/// A command that may run.
#[derive(Default)]
pub struct Granted {
    /// Its permit; none where the store cannot be used and it runs all the same.
    permit: Option<Permit>,
    /// The kernel's hold on the permit, for the life of the call.
    held: Option<PermitFile>,
    pub before: Option<State>,
    pub after: Option<State>,
}

/// A command that may not.
pub struct Refusal {
    pub why: Rejection,
    pub before: State,
    pub after: View,
}

/// A breaker that calls are made through.
pub struct Caller<'a> {
    pub name: &'a BreakerName,
    pub settings: Settings,
    /// None where not even its place can be told.
    pub store: Option<FileStore>,
    /// The machine's flags, which travel with the state; none where these calls
    /// are made by the settings of the last one.
    pub flags: Option<String>,
}

/// What the breaker made of a result.
pub struct Told {
    /// The state after it.
    pub state: State,
}

impl Caller<'_> {
    /// Asks for a permit.
    ///
    /// # Errors
    ///
    /// What is not the store's fault.
    pub fn admit(&self, voice: &Voice<'_>) -> Result<Admission, Error> {
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
                    Ok(Admission::Granted(Granted::default()))
                }
            },
        }
    }

    fn ask(&self, store: &dyn Store) -> Result<Done<Admission>, Error> {
        let policy = &self.settings.policy;
        operate(store, self.name, (Absent::Create, Keep::State), policy, |breaker, now| {
            if let Some(flags) = &self.flags {
                breaker.set_flags(flags);
            }
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

    /// Tells the breaker how the call went, and lets the permit go; the state
    /// after, if that can be told.
    pub fn record(
        &self,
        granted: Granted,
        call: &Finished,
        notices: &mut Vec<String>,
    ) -> Option<Told> {
        let Granted { permit, held, .. } = granted;
        let (Some(store), Some(permit)) = (&self.store, permit) else { return None };
        let policy = &self.settings.policy;
        let keep = (Absent::Refuse, Keep::State);
        let done = operate(store, self.name, keep, policy, |breaker, now| {
            let step = breaker.record(policy, now, permit, call);
            Step { value: breaker.state(), transitions: step.transitions }
        });
        // Only now: until it is recorded, this trial is not lost.
        drop(held);
        match done {
            Ok(done) => {
                notices.extend(done.receipt.notices.iter().map(ToString::to_string));
                Some(Told { state: done.value })
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

impl Granted {
    /// The state that the command is told: it runs, so the breaker is not open.
    pub fn state_of_call(&self) -> State {
        match self.after {
            Some(State::HalfOpen) => State::HalfOpen,
            _ => State::Closed,
        }
    }
}

/// What the machine is told of a command that ended.
pub fn finished(exited: &ExitReport, outcome: Outcome) -> Finished {
    Finished {
        outcome,
        duration: exited.duration,
        exit_code: exited.exit_code(),
        signal: exited.signal(),
        timed_out: exited.timed_out,
    }
}
