//! A simulation for people: its transitions in order, then what they came to.

use std::io::{self, Write};
use std::time::Duration;

use crate::model::text::duration;
use crate::model::{Ms, State, Transition};
use crate::simulate::{Outcomes, Summary};

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
    pub fn line(&mut self, outcomes: &Outcomes, out: &mut dyn Write) -> io::Result<()> {
        if !self.begun {
            self.begun = true;
            let first = outcomes.transitions.first();
            let state = first.map_or(outcomes.view.state, |first| first.from);
            writeln!(out, "{:>12}  {}", clock(0), state.name())?;
        }
        let is_call = outcomes.recorded.is_some() || outcomes.admitted.is_some();
        if is_call && outcomes.admitted == Some(false) {
            self.rejected += 1;
        }
        for transition in &outcomes.transitions {
            self.transition(transition, outcomes, out)?;
        }
        Ok(())
    }

    /// Writes the summary.
    ///
    /// # Errors
    ///
    /// What cannot be written.
    pub fn end(&mut self, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out)?;
        writeln!(out, "calls made         {}", summary.admitted)?;
        writeln!(out, "calls rejected     {}", summary.rejected)?;
        writeln!(out, "failures avoided   {}", summary.failures_avoided)?;
        writeln!(out, "successes missed   {}", summary.successes_missed)?;
        writeln!(out, "times opened       {}", summary.opened)?;
        let whole: Duration = summary.time_in_state.iter().map(|(_, time)| *time).sum();
        for (state, time) in &summary.time_in_state {
            let share = match whole.as_secs_f64() {
                0.0 => String::new(),
                whole => format!("  ({:.0}%)", time.as_secs_f64() * 100.0 / whole),
            };
            writeln!(out, "time {state:<13} {}{share}", duration(*time))?;
        }
        Ok(())
    }

    fn transition(
        &mut self,
        transition: &Transition,
        outcomes: &Outcomes,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let (at, to) = (clock(transition.at_ms), transition.to.name());
        let mut line = format!("{at:>12}  {to:<13}{}", transition.reason.words());
        let tally = outcomes.view.tally;
        if transition.to == State::Open && transition.from == State::Closed {
            let (failures, calls) = (tally.failures, tally.calls);
            line.push_str(&format!(" ({failures} of {calls} calls failed, {} slow)", tally.slow));
        }
        if self.rejected > 0 {
            let plural = if self.rejected == 1 { "" } else { "s" };
            line.push_str(&format!("; {} call{plural} rejected before", self.rejected));
        }
        self.rejected = 0;
        writeln!(out, "{line}")
    }
}

/// A virtual time, to the millisecond.
fn clock(at_ms: Ms) -> String {
    format!("{}.{:03}s", at_ms / 1000, at_ms % 1000)
}
