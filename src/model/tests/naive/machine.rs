//! A second machine, written from the rules alone and as plainly as can be: it
//! keeps every outcome with its time and counts anew at each question.

use std::time::Duration;

use crate::model::backoff::open_period_ms;
use crate::model::breaker::{Permit, ProbeEffect, ProbePermit, Recorded, Rejection};
use crate::model::policy::{Percent, WindowSize};
use crate::model::{Hold, Now, Outcome, Policy, Reason, State};

/// An outcome in the window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    at_ms: u64,
    failed: bool,
    slow: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Mode {
    Closed,
    Open { retry_at_ms: u64 },
    HalfOpen { flying: Vec<(u64, u64)>, good: u32, bad: u32, lost_in_a_row: u32, begun: u64 },
    Held { hold: Hold, until_ms: Option<u64> },
}

/// The second machine.
#[derive(Clone, Debug)]
pub(super) struct Naive {
    pub(super) mode: Mode,
    pub(super) generation: u64,
    pub(super) outcomes: Vec<Counted>,
    pub(super) window: WindowSize,
    pub(super) run: u32,
    pub(super) reopens: u32,
    pub(super) admitted: u64,
    pub(super) rejected: u64,
    pub(super) stale: u64,
    pub(super) opened: u64,
    pub(super) results: [u64; 3],
    /// What each probe said since the last transition, while open.
    pub(super) looks: Vec<bool>,
    /// When the last transition was.
    pub(super) since_ms: u64,
    /// What every probe said that said something, the latest last.
    pub(super) said: Vec<(u64, Outcome)>,
    pub(super) made: Vec<(State, State, Reason, u64)>,
}

/// The two ends of what an open period may be.
pub(super) struct Period {
    least_ms: u64,
    most_ms: u64,
}

impl Naive {
    pub(super) fn new(window: WindowSize) -> Self {
        Naive {
            mode: Mode::Closed,
            generation: 0,
            outcomes: Vec::new(),
            window,
            run: 0,
            reopens: 0,
            admitted: 0,
            rejected: 0,
            stale: 0,
            opened: 0,
            results: [0; 3],
            looks: Vec::new(),
            since_ms: 0,
            said: Vec::new(),
            made: Vec::new(),
        }
    }

    pub(super) fn state(&self) -> State {
        match &self.mode {
            Mode::Closed => State::Closed,
            Mode::Open { .. } => State::Open,
            Mode::HalfOpen { .. } => State::HalfOpen,
            Mode::Held { hold, .. } => State::Held(*hold),
        }
    }

    pub(super) fn become_(&mut self, mode: Mode, reason: Reason, at_ms: u64) {
        let from = self.state();
        self.mode = mode;
        self.generation += 1;
        self.looks.clear();
        self.since_ms = at_ms;
        let to = self.state();
        self.opened += u64::from(to == State::Open);
        self.made.push((from, to, reason, at_ms));
    }

    /// 1.6: open_for x open_backoff^k, capped, spread, in whole ms.
    pub(super) fn period(&self, policy: &Policy) -> Period {
        let first = policy.open_for.as_millis();
        let cap = policy.open_max.as_millis().max(first);
        let (mut above, mut below) = (first, 1u128);
        for _ in 0..self.reopens {
            above *= u128::from(policy.open_backoff.ten_thousandths() / 100);
            below *= 100;
            if above / below >= cap {
                (above, below) = (cap, 1);
                break;
            }
        }
        let period = (above / below).min(cap);
        let reach = period * u128::from(policy.open_jitter.hundredths()) / 10_000;
        Period { least_ms: (period - reach) as u64, most_ms: (period + reach) as u64 }
    }

    /// The window's outcomes at a moment, by 1.4.
    pub(super) fn counting(&self, now_ms: u64) -> Vec<Counted> {
        match self.window {
            WindowSize::Calls(size) => {
                let skip = self.outcomes.len().saturating_sub(size as usize);
                self.outcomes[skip..].to_vec()
            }
            WindowSize::Millis(length) => {
                let bucket = |at_ms: u64| at_ms * 60 / length;
                let counts = |one: &&Counted| bucket(now_ms) - bucket(one.at_ms) < 60;
                self.outcomes.iter().filter(counts).copied().collect()
            }
        }
    }

    pub(super) fn tally(&self, now_ms: u64) -> (u32, u32, u32) {
        let counting = self.counting(now_ms);
        let count = |is: fn(&Counted) -> bool| counting.iter().filter(|one| is(one)).count() as u32;
        (counting.len() as u32, count(|one| one.failed), count(|one| one.slow))
    }

    /// 1.5, in the order of the rules.
    pub(super) fn tripping(&self, policy: &Policy, now_ms: u64) -> Option<Reason> {
        let (calls, failures, slow) = self.tally(now_ms);
        let gate = match policy.window {
            WindowSize::Calls(size) if size < policy.min_calls => size,
            _ => policy.min_calls,
        };
        let reaches = |share: Percent, part: u32| {
            share.hundredths() > 0
                && calls > 0
                && calls >= gate
                && u64::from(part) * 10_000 >= u64::from(share.hundredths()) * u64::from(calls)
        };
        if policy.consecutive_failures > 0 && self.run >= policy.consecutive_failures {
            return Some(Reason::ConsecutiveFailures);
        }
        if policy.failures > 0 && failures >= policy.failures {
            return Some(Reason::FailureCount);
        }
        if reaches(policy.failure_rate, failures) {
            return Some(Reason::FailureRate);
        }
        if policy.slow_call.is_some() && reaches(policy.slow_rate, slow) {
            return Some(Reason::SlowRate);
        }
        None
    }

    pub(super) fn empty(&mut self) {
        self.outcomes.clear();
        self.run = 0;
        self.reopens = 0;
    }

    pub(super) fn end_hold(&mut self, hold: Hold, reason: Reason, at_ms: u64) {
        match hold {
            Hold::ForcedOpen => self.become_(Mode::Open { retry_at_ms: at_ms }, reason, at_ms),
            Hold::Disabled => {
                self.empty();
                self.become_(Mode::Closed, reason, at_ms);
            }
            Hold::MetricsOnly => {
                self.reopens = 0;
                self.become_(Mode::Closed, reason, at_ms);
            }
        }
    }

    /// What has run out by now has run out, and a policy may have changed.
    pub(super) fn settle(&mut self, policy: &Policy, now: Now) {
        if self.window != policy.window {
            match (self.window, policy.window) {
                (WindowSize::Calls(_), WindowSize::Calls(_)) => {
                    self.outcomes = self.counting(now.at_ms);
                    self.window = policy.window;
                    self.outcomes = self.counting(now.at_ms);
                }
                _ => {
                    self.outcomes.clear();
                    self.window = policy.window;
                }
            }
        }
        if let Mode::Held { hold, until_ms: Some(until_ms) } = self.mode
            && until_ms <= now.at_ms
        {
            self.end_hold(hold, Reason::HoldEnded, until_ms);
        }
        // One lease after the other, each at its end.
        let mut over: Vec<(u64, u64)> = match &self.mode {
            Mode::HalfOpen { flying, .. } => {
                flying.iter().filter(|(_, until_ms)| now.at_ms >= *until_ms).copied().collect()
            }
            _ => Vec::new(),
        };
        over.sort_by_key(|(_, until_ms)| *until_ms);
        for (number, until_ms) in over {
            if let Mode::HalfOpen { flying, .. } = &mut self.mode {
                flying.retain(|(other, _)| *other != number);
                self.one_lost();
                self.verdict(policy, Now { at_ms: until_ms, ..now });
            }
        }
        self.verdict(policy, now);
    }

    pub(super) fn one_lost(&mut self) {
        if let Mode::HalfOpen { bad, lost_in_a_row, .. } = &mut self.mode {
            *lost_in_a_row += 1;
            if *lost_in_a_row == 3 {
                *lost_in_a_row = 0;
                *bad += 1;
            }
        }
    }

    pub(super) fn verdict(&mut self, policy: &Policy, now: Now) {
        let Mode::HalfOpen { good, bad, .. } = self.mode else { return };
        let (calls, wanted) = (policy.half_open_calls, policy.success_threshold);
        if good >= wanted {
            self.empty();
            self.become_(Mode::Closed, Reason::TrialsSucceeded, now.at_ms);
        } else if bad > calls - wanted {
            self.reopens += 1;
            let retry_at_ms = self.retry_at_ms(policy, now);
            self.become_(Mode::Open { retry_at_ms }, Reason::TrialFailed, now.at_ms);
        }
    }

    /// Chance is not the naive machine's: it takes the period that was drawn, if
    /// it is one that may be drawn. Without jitter only one may.
    pub(super) fn retry_at_ms(&self, policy: &Policy, now: Now) -> u64 {
        let Period { least_ms, most_ms } = self.period(policy);
        let drawn = open_period_ms(policy, self.reopens, now.draw);
        assert!((least_ms..=most_ms).contains(&drawn), "{drawn} is not in {least_ms}..{most_ms}");
        now.at_ms + drawn
    }

    pub(super) fn admit(&mut self, policy: &Policy, now_ms: u64) -> Result<Permit, Rejection> {
        if let Mode::Open { retry_at_ms } = self.mode
            && now_ms >= retry_at_ms
        {
            let (flying, begun) = (Vec::new(), 0);
            let mode = Mode::HalfOpen { flying, good: 0, bad: 0, lost_in_a_row: 0, begun };
            self.become_(mode, Reason::TrialDue, now_ms);
        }
        let verdict = match &mut self.mode {
            Mode::Closed | Mode::Held { hold: Hold::Disabled | Hold::MetricsOnly, .. } => Ok(None),
            Mode::Held { hold: Hold::ForcedOpen, .. } => Err(Rejection::ForcedOpen),
            Mode::Open { retry_at_ms } => Err(Rejection::Open { retry_at_ms: *retry_at_ms }),
            Mode::HalfOpen { flying, good, bad, begun, .. } => {
                if *good + *bad + flying.len() as u32 >= policy.half_open_calls {
                    Err(Rejection::NoTrialFree)
                } else {
                    let number = *begun;
                    *begun += 1;
                    flying.push((number, now_ms + policy.permit_ttl.as_millis() as u64));
                    Ok(Some(number))
                }
            }
        };
        match verdict {
            Ok(trial) => {
                self.admitted += 1;
                Ok(Permit { born_ms: 0, generation: self.generation, trial, started_ms: now_ms })
            }
            Err(why) => {
                self.rejected += 1;
                Err(why)
            }
        }
    }

    pub(super) fn record(
        &mut self,
        policy: &Policy,
        now: Now,
        permit: Permit,
        outcome: Outcome,
        took: Duration,
    ) -> Recorded {
        self.results[outcome as usize] += 1;
        let slow = policy.slow_call.is_some_and(|limit| took > limit);
        let failed = outcome == Outcome::Failure;
        let value = if permit.generation != self.generation {
            Recorded::Stale
        } else {
            match &mut self.mode {
                Mode::Open { .. } | Mode::Held { hold: Hold::ForcedOpen, .. } => Recorded::Stale,
                Mode::Held { hold: Hold::Disabled, .. } => Recorded::Uncounted,
                Mode::HalfOpen { flying, good, bad, lost_in_a_row, .. } => {
                    let at = flying.iter().position(|(number, _)| Some(*number) == permit.trial);
                    match at {
                        None => Recorded::Stale,
                        Some(at) => {
                            flying.remove(at);
                            let slow_counts = !policy.slow_rate.is_zero();
                            if outcome == Outcome::Ignored {
                                Recorded::Uncounted
                            } else {
                                *lost_in_a_row = 0;
                                if failed || slow && slow_counts {
                                    *bad += 1
                                } else {
                                    *good += 1
                                }
                                Recorded::Counted
                            }
                        }
                    }
                }
                Mode::Closed | Mode::Held { hold: Hold::MetricsOnly, .. } => match outcome {
                    Outcome::Ignored => Recorded::Uncounted,
                    _ => {
                        self.run = if failed { self.run + 1 } else { 0 };
                        self.outcomes.push(Counted { at_ms: now.at_ms, failed, slow });
                        Recorded::Counted
                    }
                },
            }
        };
        self.stale += u64::from(value == Recorded::Stale);
        if value == Recorded::Counted {
            self.conclude(policy, now);
        }
        value
    }

    pub(super) fn conclude(&mut self, policy: &Policy, now: Now) {
        match self.mode {
            Mode::Closed => {
                if let Some(reason) = self.tripping(policy, now.at_ms) {
                    let retry_at_ms = self.retry_at_ms(policy, now);
                    self.become_(Mode::Open { retry_at_ms }, reason, now.at_ms);
                }
            }
            _ => self.verdict(policy, now),
        }
    }

    pub(super) fn lose(&mut self, policy: &Policy, now: Now, permit: Permit) {
        if permit.generation != self.generation {
            return;
        }
        if let Mode::HalfOpen { flying, .. } = &mut self.mode
            && let Some(at) = flying.iter().position(|(number, _)| Some(*number) == permit.trial)
        {
            flying.remove(at);
            self.one_lost();
            self.verdict(policy, now);
        }
    }

    /// What a probe gets: `None` where it only looks.
    pub(super) fn begin_probe(&mut self, policy: &Policy, now_ms: u64) -> Option<Permit> {
        let is_call = match &self.mode {
            Mode::Closed => true,
            Mode::HalfOpen { flying, good, bad, .. } => {
                good + bad + (flying.len() as u32) < policy.half_open_calls
            }
            Mode::Open { .. } | Mode::Held { .. } => false,
        };
        is_call.then(|| self.admit(policy, now_ms).expect("a call passes, or a trial is free"))
    }

    pub(super) fn end_probe(
        &mut self,
        policy: &Policy,
        now: Now,
        permit: ProbePermit,
        end: &ProbeEnd,
    ) -> (Recorded, Option<ProbeEffect>) {
        let (outcome, took) = (end.outcome, Duration::from_millis(end.took_ms));
        if outcome == Outcome::Ignored {
            return (self.forget_probe(permit), None);
        }
        self.said.push((now.at_ms, outcome));
        let (is_current, recorded) = match permit {
            ProbePermit::Call(call) => {
                let is_current = call.generation == self.generation;
                (is_current, self.record(policy, now, call, outcome, took))
            }
            ProbePermit::Look { generation, .. } if generation == self.generation => {
                (true, Recorded::Uncounted)
            }
            ProbePermit::Look { .. } => (false, Recorded::Stale),
        };
        let Mode::Open { retry_at_ms } = self.mode else { return (recorded, None) };
        if outcome == Outcome::Failure {
            let latest = self.since_ms + policy.open_for.max(policy.open_max).as_millis() as u64;
            let asked = end.after_ms.map_or(0, |wait_ms| (now.at_ms + wait_ms).min(latest));
            if is_current {
                self.looks.push(false);
            }
            self.mode = Mode::Open { retry_at_ms: retry_at_ms.max(asked) };
            return (recorded, (asked > retry_at_ms).then_some(ProbeEffect::RetryLater));
        }
        if !is_current {
            return (recorded, None);
        }
        // A slow success can open the breaker too, and is no look at what it opened.
        let ProbePermit::Look { .. } = permit else { return (recorded, None) };
        let slow = policy.slow_call.is_some_and(|limit| took > limit);
        self.looks.push(policy.slow_rate.is_zero() || !slow);
        let good = self.looks.iter().rev().take_while(|good| **good).count();
        if good == 0 || good < policy.rise as usize {
            return (recorded, None);
        }
        if policy.probe_closes {
            self.empty();
            self.become_(Mode::Closed, Reason::Probe, now.at_ms);
            return (recorded, Some(ProbeEffect::Closed));
        }
        self.mode = Mode::Open { retry_at_ms: retry_at_ms.min(now.at_ms) };
        (recorded, (retry_at_ms > now.at_ms).then_some(ProbeEffect::TrialDue))
    }

    /// As if the probe had not begun.
    pub(super) fn forget_probe(&mut self, permit: ProbePermit) -> Recorded {
        let generation = match permit {
            ProbePermit::Look { generation, .. } => generation,
            ProbePermit::Call(call) => {
                self.admitted = self.admitted.saturating_sub(1);
                if let Mode::HalfOpen { flying, .. } = &mut self.mode
                    && call.generation == self.generation
                {
                    flying.retain(|(number, _)| Some(*number) != call.trial);
                }
                call.generation
            }
        };
        match generation == self.generation {
            true => Recorded::Uncounted,
            false => Recorded::Stale,
        }
    }

    pub(super) fn trip(&mut self, policy: &Policy, now: Now, lasting: Option<u64>) {
        if let Mode::Open { retry_at_ms } = &mut self.mode {
            if let Some(lasting) = lasting {
                *retry_at_ms = now.at_ms + lasting;
                self.looks.clear();
            }
            return;
        }
        if let Mode::HalfOpen { .. } = self.mode {
            self.reopens += 1;
        }
        let retry_at_ms = match lasting {
            Some(lasting) => now.at_ms + lasting,
            None => self.retry_at_ms(policy, now),
        };
        self.become_(Mode::Open { retry_at_ms }, Reason::Manual, now.at_ms);
    }

    pub(super) fn reset(&mut self, now_ms: u64) {
        self.empty();
        if !matches!(self.mode, Mode::Closed) {
            self.become_(Mode::Closed, Reason::Manual, now_ms);
        }
    }

    pub(super) fn hold(&mut self, now_ms: u64, wanted: Hold, lasting: Option<u64>) {
        let until_ms = lasting.map(|lasting| now_ms + lasting);
        match &mut self.mode {
            Mode::Held { hold, until_ms: until } if *hold == wanted => *until = until_ms,
            _ => self.become_(Mode::Held { hold: wanted, until_ms }, Reason::Manual, now_ms),
        }
    }

    pub(super) fn release(&mut self, now_ms: u64) {
        if let Mode::Held { hold, .. } = self.mode {
            self.end_hold(hold, Reason::Manual, now_ms);
        }
    }
}

/// How a probe ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProbeEnd {
    pub(super) outcome: Outcome,
    pub(super) took_ms: u64,
    pub(super) after_ms: Option<u64>,
}
