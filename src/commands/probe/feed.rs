//! What a breaker is told of a probe: its permit before, its result after. That it
//! cannot be told takes nothing from the answer.

use crate::commands::background::Background;
use crate::commands::operate::operate;
use crate::error::Error;
use crate::model::breaker::{Holder, ProbePermit, Recorded};
use crate::model::{Finished, Outcome, State, Transition};
use crate::probe::{Report, Verdict};
use crate::render::probe::Fed;
use crate::store::{Absent, Keep, PermitFile};

/// A probe that says nothing.
const NOTHING: Finished = Finished::new(Outcome::Ignored, std::time::Duration::ZERO);

/// A breaker that hears of its probes. One that closes drains its queue.
pub struct Listener<'a>(pub Background<'a>);

/// A probe under way.
#[derive(Default)]
pub struct Ticket {
    /// None where there is no such breaker yet: a probe that finds out nothing makes
    /// none.
    permit: Option<ProbePermit>,
    /// The kernel's hold on the permit, for the life of the probe.
    held: Option<PermitFile>,
    before: Option<State>,
    transitions: Vec<Transition>,
}

impl Listener<'_> {
    /// A probe begins.
    ///
    /// # Errors
    ///
    /// What the store cannot do.
    pub fn begin(&self, notices: &mut Vec<String>) -> Result<Ticket, Error> {
        let policy = &self.0.settings.policy;
        let how = (Absent::Refuse, Keep::State);
        let begun = operate(self.0.store, self.0.name, how, policy, |breaker, now| {
            let step = breaker.begin_probe(policy, now, Holder::Process);
            step.map(|permit| (permit, breaker.state()))
        });
        let done = match begun {
            Err(Error::Unknown { .. }) => return Ok(Ticket::default()),
            begun => begun?,
        };
        notices.extend(done.receipt.notices.iter().map(ToString::to_string));
        let (permit, before) = done.value;
        Ok(Ticket {
            permit: Some(permit),
            held: done.receipt.permit,
            before: Some(before),
            transitions: done.transitions,
        })
    }

    /// A probe has ended.
    ///
    /// # Errors
    ///
    /// What the store cannot do.
    pub fn end(
        &self,
        ticket: Ticket,
        report: &Report,
        notices: &mut Vec<String>,
    ) -> Result<Fed, Error> {
        let Ticket { permit, held, before, mut transitions } = ticket;
        let policy = &self.0.settings.policy;
        let (call, retry_after) = (finished(report), report.retry_after);
        let absent = if permit.is_some() { Absent::Refuse } else { Absent::Create };
        let how = (absent, Keep::State);
        let done = operate(self.0.store, self.0.name, how, policy, |breaker, now| {
            let mut begun = Vec::new();
            let permit = permit.unwrap_or_else(|| {
                let step = breaker.begin_probe(policy, now, Holder::Process);
                begun = step.transitions;
                step.value
            });
            let mut step = breaker.end_probe(policy, now, permit, &call, retry_after);
            step.transitions.splice(..0, begun);
            let view = breaker.view(policy, now);
            step.map(|probed| (probed, view))
        });
        // Only now: until it is recorded, this trial is not lost.
        drop(held);
        let done = done?;
        notices.extend(done.receipt.notices.iter().map(ToString::to_string));
        transitions.extend(done.transitions);
        notices.extend(self.0.after(&transitions));
        let (probed, view) = done.value;
        Ok(Fed {
            before: before.unwrap_or(State::Closed),
            after: view.state,
            why: transitions.last().map(|last| last.reason),
            recorded: probed.recorded == Recorded::Counted,
            effect: probed.effect,
            retry_after_ms: view.retry_after_ms,
        })
    }

    /// A probe was cut short, or found out nothing: its permit is free again.
    ///
    /// # Errors
    ///
    /// What the store cannot do.
    pub fn abandon(&self, ticket: Ticket) -> Result<(), Error> {
        let Some(permit) = ticket.permit else { return Ok(()) };
        let policy = &self.0.settings.policy;
        let how = (Absent::Refuse, Keep::State);
        operate(self.0.store, self.0.name, how, policy, |breaker, now| {
            breaker.end_probe(policy, now, permit, &NOTHING, None)
        })?;
        Ok(())
    }
}

/// What the machine is told of a probe.
fn finished(report: &Report) -> Finished {
    Finished {
        outcome: match report.verdict {
            Verdict::Healthy | Verdict::Warning => Outcome::Success,
            Verdict::Unhealthy => Outcome::Failure,
            Verdict::Unknown => Outcome::Ignored,
        },
        duration: report.duration,
        exit_code: report.detail.exit_code,
        signal: report.detail.signal,
        timed_out: report.timed_out,
    }
}
