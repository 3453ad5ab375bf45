//! One call through one breaker: asked for, and told about. `cb exec` makes one
//! for each attempt, a drain one for each job.

use std::ffi::OsString;

use super::operate::{Done, flows, operate, view};
use super::output::Voice;
use crate::error::Error;
use crate::model::breaker::{Holder, Rejection};
use crate::model::outcome::ExitReport;
use crate::model::{
    BreakerName, Finished, Outcome, Permit, State, Step, Transition, Verdict, View,
};
use crate::process;
use crate::render::sentence;
use crate::settings::{OnStoreError, Settings};
use crate::store::{Absent, FileStore, Keep, PermitFile, SlotFile, Store};

/// The answer to "may this command run?".
pub enum Admission {
    Granted(Granted),
    Rejected(Box<Refusal>),
    /// The store cannot be used, and without it the command shall not run.
    Refused(Error),
}

/// Whether there is room for one more call in flight.
enum Room {
    /// There is: the slot, where there is a limit.
    Free(Option<SlotFile>),
    Full,
}

/// A command that may run.
#[derive(Default)]
pub struct Granted {
    /// Its place among the calls in flight, for the life of the call.
    slot: Option<SlotFile>,
    /// Its permit; none where the store cannot be used and it runs all the same.
    permit: Option<Permit>,
    /// The kernel's hold on the permit, for the life of the call.
    held: Option<PermitFile>,
    pub before: Option<State>,
    pub after: Option<State>,
    /// The transitions that came with the permit.
    transitions: Vec<Transition>,
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
    /// The transitions that the call made, from its permit to its result.
    pub transitions: Vec<Transition>,
}

impl Caller<'_> {
    /// Asks for a permit.
    ///
    /// # Errors
    ///
    /// What is not the store's fault.
    pub fn admit(&self, voice: &Voice<'_>) -> Result<Admission, Error> {
        let asked = match &self.store {
            Some(store) => self.room(store).and_then(|room| match room {
                // Kept until the answer is known: a call that is rejected needs it no more.
                Room::Free(slot) => self.ask(store).map(|done| (done, slot)),
                Room::Full => self.turn_away(store).map(|done| (done, None)),
            }),
            None => Err(Error::NoStore),
        };
        match asked {
            Ok((done, slot)) => {
                done.receipt.notices.iter().for_each(|notice| voice.say(notice));
                Ok(match done.value {
                    Admission::Granted(granted) => {
                        let (held, transitions) = (done.receipt.permit, done.transitions);
                        Admission::Granted(Granted { slot, held, transitions, ..granted })
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

    /// Looks for room among the calls in flight, and waits for it where that is
    /// asked for; not while the breaker would reject the call anyway, nor once a
    /// person has asked for an end.
    fn room(&self, store: &FileStore) -> Result<Room, Error> {
        let Some(max) = self.settings.max_concurrent else { return Ok(Room::Free(None)) };
        let mut slot = store.take_slot(self.name, max)?;
        let mut goes_on =
            || !process::is_asked_to_end() && self.view().is_none_or(|breaker| breaker.admits);
        if let (None, Some(wait)) = (&slot, self.settings.max_wait)
            && goes_on()
        {
            slot = store.wait_for_slot(self.name, max, wait, &mut goes_on)?;
        }
        Ok(slot.map_or(Room::Full, |slot| Room::Free(Some(slot))))
    }

    /// Whether calls flow freely now, as far as a reader sees.
    pub fn flows(&self) -> bool {
        let store = self.store.as_ref();
        store.is_some_and(|store| flows(store, self.name, &self.settings.policy))
    }

    /// The breaker as a reader sees it; none where there is none to be seen.
    pub fn view(&self) -> Option<View> {
        let found = self.store.as_ref()?.find(self.name).ok()??;
        Some(view(&found, &self.settings.policy))
    }

    fn turn_away(&self, store: &dyn Store) -> Result<Done<Admission>, Error> {
        let policy = &self.settings.policy;
        operate(store, self.name, (Absent::Create, Keep::State), policy, |breaker, now| {
            let before = breaker.state();
            let step = breaker.turn_away(policy, now);
            let after = breaker.view(policy, now);
            step.map(|why| Admission::Rejected(Box::new(Refusal { why, before, after })))
        })
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
                    before: Some(before),
                    after: Some(breaker.state()),
                    ..Granted::default()
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
        let Granted { permit, held, slot, mut transitions, .. } = granted;
        // The command is over: whoever waits for its place need not wait for this.
        drop(slot);
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
                transitions.extend(done.transitions);
                Some(Told { state: done.value, transitions })
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
    /// Why, in words that follow "not run".
    pub fn words(&self, settings: &Settings) -> String {
        match (self.why, settings.max_concurrent) {
            (Rejection::NoRoom, Some(1)) => "a call is in flight already".to_owned(),
            (Rejection::NoRoom, Some(max)) => format!("{max} calls are in flight already"),
            _ => sentence::of(&self.after),
        }
    }

    /// The same for those who stand in.
    pub fn reason(&self) -> &'static str {
        match self.why {
            Rejection::NoRoom => "bulkhead",
            Rejection::Open { .. } | Rejection::NoTrialFree | Rejection::ForcedOpen => "open",
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

/// Variables for a command, as they are passed to it.
pub fn variables<const N: usize>(of: [(&str, String); N]) -> [(OsString, OsString); N] {
    of.map(|(name, value)| (name.into(), value.into()))
}
