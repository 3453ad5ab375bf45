//! A simulation for people: its transitions in order, then what they came to.

use std::io::{self, Write};
use std::time::Duration;

use crate::model::breaker::ProbeEffect;
use crate::model::text::duration;
use crate::model::{Ms, Reason, State, Transition, View};
use crate::simulate::{Line, Op, Outcomes, Summary};

/// What was written so far.
#[derive(Debug, Default)]
pub struct Timeline {
    begun: bool,
    /// Calls rejected since the last transition.
    rejected: u64,
}

impl Timeline {
    /// Takes one line of the trace.
    ///
    /// # Errors
    ///
    /// What cannot be written.
    pub fn line(
        &mut self,
        line: &Line,
        outcomes: &Outcomes,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        self.begin(out)?;
        for (index, transition) in outcomes.transitions.iter().enumerate() {
            // The view tells of the state after the last of them.
            let is_last = index + 1 == outcomes.transitions.len();
            self.transition(transition, is_last.then_some(&outcomes.view), out)?;
        }
        // A check asks and makes no call, and a probe is never turned away.
        let is_call = !matches!(line.op, Op::Check | Op::Probe { .. });
        if is_call && outcomes.admitted == Some(false) {
            self.rejected += 1;
        }
        if let Some(effect) = outcomes.effect
            && outcomes.transitions.is_empty()
        {
            self.effect(line.at_ms, effect, &outcomes.view, out)?;
        }
        Ok(())
    }

    /// Writes the summary.
    ///
    /// # Errors
    ///
    /// What cannot be written.
    pub fn end(&mut self, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
        self.begin(out)?;
        let after = self.after_rejected();
        event(out, summary.ended_ms, summary.state, &format!("end of the trace{after}"))?;
        writeln!(out)?;
        let counts = [
            ("calls made", summary.admitted, ""),
            ("calls rejected", summary.rejected, ""),
            ("failures avoided", summary.failures_avoided, "rejected calls that would have failed"),
            (
                "successes missed",
                summary.successes_missed,
                "rejected calls that would have succeeded",
            ),
            ("times opened", summary.opened, ""),
        ];
        let width = counts.iter().map(|(_, count, _)| count.to_string().len()).max().unwrap_or(0);
        for (what, count, meaning) in counts {
            let line = format!("{what:<18}{count:>width$}   {meaning}");
            writeln!(out, "{}", line.trim_end())?;
        }
        times(&summary.time_in_state, out)
    }

    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.begun {
            return Ok(());
        }
        self.begun = true;
        event(out, 0, State::Closed.name(), "start of the trace")
    }

    fn transition(
        &mut self,
        transition: &Transition,
        view: Option<&View>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let mut what = transition.reason.words().to_owned();
        what.push_str(&self.after_rejected());
        self.rejected = 0;
        if let Some(view) = view {
            what.push_str(&tallied(transition, view));
            what.push_str(&until(view));
        }
        event(out, transition.at_ms, transition.to.name(), &what)
    }

    /// What a probe changed without a transition.
    fn effect(
        &mut self,
        at_ms: Ms,
        effect: ProbeEffect,
        view: &View,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let what = match effect {
            ProbeEffect::TrialDue => "a trial is due, by probes that succeeded",
            ProbeEffect::RetryLater => "the server asked to be left alone",
            // A transition, which is told as one.
            ProbeEffect::Closed => return Ok(()),
        };
        let what = format!("{what}{}{}", self.after_rejected(), until(view));
        self.rejected = 0;
        event(out, at_ms, view.state.name(), &what)
    }

    fn after_rejected(&self) -> String {
        match self.rejected {
            0 => String::new(),
            1 => ", after 1 rejected call".to_owned(),
            count => format!(", after {count} rejected calls"),
        }
    }
}

/// The calls on which a rule opened a closed breaker.
fn tallied(transition: &Transition, view: &View) -> String {
    let by_rule = transition.reason != Reason::Manual;
    if (transition.from, transition.to, by_rule) != (State::Closed, State::Open, true) {
        return String::new();
    }
    let tally = view.tally;
    let slow = match tally.slow {
        0 => String::new(),
        slow => format!(", {slow} slow"),
    };
    format!(" ({} of {} calls failed{slow})", tally.failures, tally.calls)
}

/// When the state ends by itself, if it does.
fn until(view: &View) -> String {
    let held_until_ms = view.held.as_ref().and_then(|held| held.until_ms);
    match (view.retry_at_ms, held_until_ms) {
        (Some(_), _) if view.trial_due => String::new(),
        (Some(at_ms), _) => format!("; next trial at {}", clock(at_ms)),
        (None, Some(at_ms)) => format!("; until {}", clock(at_ms)),
        (None, None) => String::new(),
    }
}

fn event(out: &mut dyn Write, at_ms: Ms, state: &str, what: &str) -> io::Result<()> {
    let at = clock(at_ms);
    writeln!(out, "{at:>13}  {state:<12}  {what}")
}

/// The time in each state, with its share of the whole.
fn times(time_in_state: &[(&str, Duration)], out: &mut dyn Write) -> io::Result<()> {
    let whole: Duration = time_in_state.iter().map(|(_, time)| *time).sum();
    if whole.is_zero() {
        return Ok(());
    }
    writeln!(out)?;
    let texts: Vec<String> = time_in_state.iter().map(|(_, time)| duration(*time)).collect();
    let width = texts.iter().map(String::len).max().unwrap_or(0);
    for ((state, time), text) in time_in_state.iter().zip(&texts) {
        let share = time.as_secs_f64() * 100.0 / whole.as_secs_f64();
        writeln!(out, "time {state:<13}{text:>width$}  {share:>5.1}%")?;
    }
    Ok(())
}

/// A virtual time in hours, minutes and seconds, to the millisecond.
fn clock(at_ms: Ms) -> String {
    let (secs, millis) = (at_ms / 1000, at_ms % 1000);
    let (hours, minutes) = (secs / 3600, secs / 60 % 60);
    format!("{hours}:{minutes:02}:{:02}.{millis:03}", secs % 60)
}
