//! The machine in virtual time: a trace goes in, what a policy would have done
//! comes out. No store, no clock; the same [`Breaker`] as everywhere.

mod trace;

use std::collections::HashMap;
use std::time::Duration;

use crate::model::backoff::mix;
use crate::model::breaker::{Holder, Manual, ProbeEffect, ProbePermit, Recorded};
use crate::model::{Breaker, Finished, Ms, Now, Outcome, Permit, Policy};
use crate::model::{Transition, Verdict, View, text};

pub use trace::{Line, Op};

/// A breaker under a policy, at some point of a trace.
#[derive(Debug)]
pub struct Simulation {
    policy: Policy,
    breaker: Breaker,
    calls: HashMap<String, Call>,
    last_ms: Ms,
    lines: u64,
    seed: u64,
    summary: Summary,
    state_since_ms: Ms,
}

/// A call between its start and its finish.
#[derive(Clone, Copy, Debug)]
struct Call {
    permit: Option<Permit>,
    started_ms: Ms,
    lost: bool,
}

/// What came of one line.
#[derive(Clone, Debug)]
pub struct Outcomes {
    /// Whether the call was admitted, or would be; where the line asks. Of a
    /// probe: whether it was a call or a trial, and did not only look.
    pub admitted: Option<bool>,
    /// Whether a result counts; where the line has one.
    pub recorded: Option<bool>,
    /// What a probe did to an open period.
    pub effect: Option<ProbeEffect>,
    /// The transitions that the line made.
    pub transitions: Vec<Transition>,
    /// The breaker after the line.
    pub view: View,
}

/// What a whole trace came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Calls that were made.
    pub admitted: u64,
    /// Calls that were rejected.
    pub rejected: u64,
    /// Rejected calls that would have failed.
    pub failures_avoided: u64,
    /// Rejected calls that would have succeeded.
    pub successes_missed: u64,
    /// Transitions to open.
    pub opened: u64,
    /// The time in each state, by name, in the order of first entry.
    pub time_in_state: Vec<(&'static str, Duration)>,
    /// The time of the last line.
    pub ended_ms: Ms,
    /// The state then.
    pub state: &'static str,
}

impl Simulation {
    /// A closed breaker at time 0.
    pub fn new(policy: Policy, seed: u64) -> Self {
        Simulation {
            policy,
            breaker: Breaker::new(Now::at(0)),
            calls: HashMap::new(),
            last_ms: 0,
            lines: 0,
            seed,
            summary: Summary::default(),
            state_since_ms: 0,
        }
    }

    /// Plays one line.
    ///
    /// # Errors
    ///
    /// What the line contradicts: the time, or the calls under way.
    pub fn play(&mut self, line: &Line) -> Result<Outcomes, String> {
        if line.at_ms < self.last_ms {
            return Err(format!(
                "\"t\" is {}, before {}: times do not decrease",
                line.at_ms, self.last_ms
            ));
        }
        self.last_ms = line.at_ms;
        self.lines += 1;
        let now = Now { at_ms: line.at_ms, draw: mix(self.seed.wrapping_add(self.lines)) };
        let state_before = self.breaker.state().name();
        let mut out = Outcomes {
            admitted: None,
            recorded: None,
            effect: None,
            transitions: Vec::new(),
            view: self.breaker.view(&self.policy, now),
        };
        self.act(&line.op, now, &mut out)?;
        out.view = self.breaker.view(&self.policy, now);
        self.account(state_before, &out);
        Ok(out)
    }

    /// What the lines so far came to. What has run out by the last of them, such
    /// as a hold, has run out here too.
    pub fn summary(&self) -> Summary {
        let mut summary = self.summary.clone();
        let mut breaker = self.breaker.clone();
        let transitions = breaker.settle(&self.policy, Now::at(self.last_ms));
        let since_ms = summary.pass(self.breaker.state().name(), self.state_since_ms, &transitions);
        summary.state = breaker.state().name();
        summary.spend(summary.state, self.last_ms.saturating_sub(since_ms));
        summary.opened = breaker.view(&self.policy, Now::at(self.last_ms)).totals.opened;
        summary.ended_ms = self.last_ms;
        summary
    }

    fn act(&mut self, op: &Op, now: Now, out: &mut Outcomes) -> Result<(), String> {
        let manual = |lasting| Manual { by: "", comment: "", lasting };
        let (policy, breaker) = (&self.policy, &mut self.breaker);
        match op {
            Op::Call { outcome, duration } => {
                let permit = self.admit(now, out);
                if permit.is_none() {
                    self.count_rejected(*outcome);
                }
                self.record(permit, &Finished::new(*outcome, *duration), now, out);
            }
            Op::Start { id } => {
                if self.calls.get(id).is_some_and(|call| !call.lost) {
                    return Err(format!("{} has started already", call(id)));
                }
                let permit = self.admit(now, out);
                let call = Call { permit, started_ms: now.at_ms, lost: false };
                self.calls.insert(id.clone(), call);
            }
            Op::Finish { id, outcome, duration } => {
                let call = self.calls.remove(id).ok_or_else(|| never_started(id))?;
                let since_start = Duration::from_millis(now.at_ms - call.started_ms);
                if call.permit.is_none() {
                    self.count_rejected(*outcome);
                }
                let finished = Finished::new(*outcome, duration.unwrap_or(since_start));
                self.record(call.permit, &finished, now, out);
            }
            Op::Lost { id } => {
                let call = self.calls.get_mut(id).ok_or_else(|| never_started(id))?;
                call.lost = true;
                if let Some(permit) = call.permit {
                    out.transitions.extend(breaker.lose(policy, now, permit).transitions);
                }
            }
            Op::Probe { outcome, duration, retry_after } => {
                self.probe(&Finished::new(*outcome, *duration), *retry_after, now, out);
            }
            Op::Check => out.admitted = Some(out.view.admits),
            Op::Trip { lasting } => {
                out.transitions = breaker.trip(policy, now, &manual(*lasting)).transitions;
            }
            Op::Reset => out.transitions = breaker.reset(policy, now, &manual(None)).transitions,
            Op::Hold { hold, lasting } => {
                out.transitions = breaker.hold(policy, now, *hold, &manual(*lasting)).transitions;
            }
            Op::Release => {
                out.transitions = breaker.release(policy, now, &manual(None)).transitions;
            }
        }
        Ok(())
    }

    fn admit(&mut self, now: Now, out: &mut Outcomes) -> Option<Permit> {
        let step = self.breaker.admit(&self.policy, now, Holder::Process);
        out.transitions.extend(step.transitions);
        let permit = match step.value {
            Verdict::Admit(permit) => Some(permit),
            Verdict::Reject(_) => None,
        };
        out.admitted = Some(permit.is_some());
        permit
    }

    fn record(&mut self, permit: Option<Permit>, call: &Finished, now: Now, out: &mut Outcomes) {
        out.recorded = Some(false);
        if let Some(permit) = permit {
            let step = self.breaker.record(&self.policy, now, permit, call);
            out.transitions.extend(step.transitions);
            out.recorded = Some(step.value == Recorded::Counted);
        }
    }

    fn probe(&mut self, call: &Finished, wait: Option<Duration>, now: Now, out: &mut Outcomes) {
        let begun = self.breaker.begin_probe(&self.policy, now, Holder::Process);
        let ended = self.breaker.end_probe(&self.policy, now, begun.value, call, wait);
        out.admitted = Some(matches!(begun.value, ProbePermit::Call(_)));
        out.recorded = Some(ended.value.recorded == Recorded::Counted);
        out.effect = ended.value.effect;
        out.transitions.extend(begun.transitions);
        out.transitions.extend(ended.transitions);
    }

    fn count_rejected(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Failure => self.summary.failures_avoided += 1,
            Outcome::Success => self.summary.successes_missed += 1,
            Outcome::Ignored => {}
        }
    }

    fn account(&mut self, state: &'static str, out: &Outcomes) {
        let totals = out.view.totals;
        self.summary.admitted = totals.admitted;
        self.summary.rejected = totals.rejected;
        self.state_since_ms = self.summary.pass(state, self.state_since_ms, &out.transitions);
    }
}

impl Summary {
    /// Spends the time of the states that the transitions leave; when the last
    /// state began.
    fn pass(
        &mut self,
        mut state: &'static str,
        mut since_ms: Ms,
        transitions: &[Transition],
    ) -> Ms {
        for transition in transitions {
            self.spend(state, transition.at_ms.saturating_sub(since_ms));
            since_ms = transition.at_ms;
            state = transition.to.name();
        }
        since_ms
    }

    fn spend(&mut self, state: &'static str, millis: u64) {
        let spent = Duration::from_millis(millis);
        match self.time_in_state.iter_mut().find(|(name, _)| *name == state) {
            Some((_, total)) => *total += spent,
            None => self.time_in_state.push((state, spent)),
        }
    }
}

fn never_started(id: &str) -> String {
    format!("{} has not started, or has finished already", call(id))
}

/// A call in a message, its id escaped and cut.
fn call(id: &str) -> String {
    format!("call \"{}\"", text::excerpt(id, 40))
}
