//! A second machine, written from the rules alone and as plainly as can be: it
//! keeps every outcome with its time and counts anew at each question. Random
//! policies and random traces are played on both, and both must agree after
//! every op, in everything that can be seen.

use proptest::prelude::*;
use std::time::Duration;

use crate::model::backoff::{mix, open_period_ms};
use crate::model::breaker::{Breaker, Holder, Manual, Permit, ProbeEffect, ProbePermit};
use crate::model::breaker::{Recorded, Rejection, Verdict};
use crate::model::policy::{Growth, Percent, WindowSize};
use crate::model::{Finished, Hold, Now, Outcome, Policy, Reason, State, Transition};

const CASES: u32 = 1_200;
const OPS_MAX: usize = 60;
const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;

/// An outcome in the window.
#[derive(Clone, Copy, Debug)]
struct Counted {
    at_ms: u64,
    failed: bool,
    slow: bool,
}

#[derive(Clone, Debug)]
enum Mode {
    Closed,
    Open { retry_at_ms: u64 },
    HalfOpen { flying: Vec<(u64, u64)>, good: u32, bad: u32, lost_in_a_row: u32, begun: u64 },
    Held { hold: Hold, until_ms: Option<u64> },
}

/// The second machine.
#[derive(Clone, Debug)]
struct Naive {
    mode: Mode,
    generation: u64,
    outcomes: Vec<Counted>,
    window: WindowSize,
    run: u32,
    reopens: u32,
    admitted: u64,
    rejected: u64,
    stale: u64,
    opened: u64,
    results: [u64; 3],
    /// What each probe said since the last transition, while open.
    looks: Vec<bool>,
    /// When the last transition was.
    since_ms: u64,
    /// What every probe said that said something, the latest last.
    said: Vec<(u64, Outcome)>,
    made: Vec<(State, State, Reason, u64)>,
}

/// The two ends of what an open period may be.
struct Period {
    least_ms: u64,
    most_ms: u64,
}

impl Naive {
    fn new(window: WindowSize) -> Self {
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

    fn state(&self) -> State {
        match &self.mode {
            Mode::Closed => State::Closed,
            Mode::Open { .. } => State::Open,
            Mode::HalfOpen { .. } => State::HalfOpen,
            Mode::Held { hold, .. } => State::Held(*hold),
        }
    }

    fn become_(&mut self, mode: Mode, reason: Reason, at_ms: u64) {
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
    fn period(&self, policy: &Policy) -> Period {
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
    fn counting(&self, now_ms: u64) -> Vec<Counted> {
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

    fn tally(&self, now_ms: u64) -> (u32, u32, u32) {
        let counting = self.counting(now_ms);
        let count = |is: fn(&Counted) -> bool| counting.iter().filter(|one| is(one)).count() as u32;
        (counting.len() as u32, count(|one| one.failed), count(|one| one.slow))
    }

    /// 1.5, in the order of the rules.
    fn tripping(&self, policy: &Policy, now_ms: u64) -> Option<Reason> {
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

    fn empty(&mut self) {
        self.outcomes.clear();
        self.run = 0;
        self.reopens = 0;
    }

    fn end_hold(&mut self, hold: Hold, reason: Reason, at_ms: u64) {
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
    fn settle(&mut self, policy: &Policy, now: Now) {
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

    fn one_lost(&mut self) {
        if let Mode::HalfOpen { bad, lost_in_a_row, .. } = &mut self.mode {
            *lost_in_a_row += 1;
            if *lost_in_a_row == 3 {
                *lost_in_a_row = 0;
                *bad += 1;
            }
        }
    }

    fn verdict(&mut self, policy: &Policy, now: Now) {
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
    fn retry_at_ms(&self, policy: &Policy, now: Now) -> u64 {
        let Period { least_ms, most_ms } = self.period(policy);
        let drawn = open_period_ms(policy, self.reopens, now.draw);
        assert!((least_ms..=most_ms).contains(&drawn), "{drawn} is not in {least_ms}..{most_ms}");
        now.at_ms + drawn
    }

    fn admit(&mut self, policy: &Policy, now_ms: u64) -> Result<Permit, Rejection> {
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

    fn record(
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

    fn conclude(&mut self, policy: &Policy, now: Now) {
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

    fn lose(&mut self, policy: &Policy, now: Now, permit: Permit) {
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
    fn begin_probe(&mut self, policy: &Policy, now_ms: u64) -> Option<Permit> {
        let is_call = match &self.mode {
            Mode::Closed => true,
            Mode::HalfOpen { flying, good, bad, .. } => {
                good + bad + (flying.len() as u32) < policy.half_open_calls
            }
            Mode::Open { .. } | Mode::Held { .. } => false,
        };
        is_call.then(|| self.admit(policy, now_ms).expect("a call passes, or a trial is free"))
    }

    fn end_probe(
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
    fn forget_probe(&mut self, permit: ProbePermit) -> Recorded {
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

    fn trip(&mut self, policy: &Policy, now: Now, lasting: Option<u64>) {
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

    fn reset(&mut self, now_ms: u64) {
        self.empty();
        if !matches!(self.mode, Mode::Closed) {
            self.become_(Mode::Closed, Reason::Manual, now_ms);
        }
    }

    fn hold(&mut self, now_ms: u64, wanted: Hold, lasting: Option<u64>) {
        let until_ms = lasting.map(|lasting| now_ms + lasting);
        match &mut self.mode {
            Mode::Held { hold, until_ms: until } if *hold == wanted => *until = until_ms,
            _ => self.become_(Mode::Held { hold: wanted, until_ms }, Reason::Manual, now_ms),
        }
    }

    fn release(&mut self, now_ms: u64) {
        if let Mode::Held { hold, .. } = self.mode {
            self.end_hold(hold, Reason::Manual, now_ms);
        }
    }
}

/// How a probe ends.
#[derive(Clone, Copy, Debug)]
struct ProbeEnd {
    outcome: Outcome,
    took_ms: u64,
    after_ms: Option<u64>,
}

#[derive(Clone, Debug)]
enum Op {
    Admit,
    Look,
    Looked { pick: usize, end: ProbeEnd },
    Record { pick: usize, outcome: Outcome, took_ms: u64 },
    Lose { pick: usize },
    Trip(Option<u64>),
    Reset,
    Hold(Hold, Option<u64>),
    Release,
    Wait(u64),
    Policy(Box<Policy>),
}

fn lasting() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![Just(None), prop_oneof![Just(1), Just(100), 2..3_000u64].prop_map(Some)]
}

fn ops(window: WindowSize) -> impl Strategy<Value = Vec<Op>> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Failure),
        4 => Just(Outcome::Success),
        1 => Just(Outcome::Ignored)
    ];
    let hold = prop::sample::select(Hold::ALL.to_vec());
    let wait = prop_oneof![Just(0u64), Just(1), 2..120u64, 100..3_000u64, Just(500_000)];
    // A change between two time windows moves whole buckets, which has tests of
    // its own; here a time window stays, or gives way to a count window.
    let other = match window {
        WindowSize::Calls(_) => calls().boxed(),
        WindowSize::Millis(_) => prop_oneof![6 => Just(window), 1 => calls()].boxed(),
    };
    let end = (outcome.clone(), prop_oneof![0..20u64, Just(10)], prop::option::of(0..3_000u64))
        .prop_map(|(outcome, took_ms, after_ms)| ProbeEnd { outcome, took_ms, after_ms });
    let op = prop_oneof![
        30 => Just(Op::Admit),
        12 => Just(Op::Look),
        14 => (0..4usize, end).prop_map(|(pick, end)| Op::Looked { pick, end }),
        40 => (0..12usize, outcome, prop_oneof![0..20u64, Just(10)])
            .prop_map(|(pick, outcome, took_ms)| Op::Record { pick, outcome, took_ms }),
        6 => (0..12usize).prop_map(|pick| Op::Lose { pick }),
        3 => lasting().prop_map(Op::Trip),
        2 => Just(Op::Reset),
        3 => (hold, lasting()).prop_map(|(hold, lasting)| Op::Hold(hold, lasting)),
        3 => Just(Op::Release),
        25 => wait.prop_map(Op::Wait),
        2 => policy(other).prop_map(|policy| Op::Policy(Box::new(policy))),
    ];
    prop::collection::vec(op, 1..OPS_MAX)
}

fn calls() -> impl Strategy<Value = WindowSize> + Clone {
    (1..12u32).prop_map(WindowSize::Calls)
}

fn windows() -> impl Strategy<Value = WindowSize> {
    prop_oneof![calls(), prop_oneof![1..90u64, 60..6_000u64].prop_map(WindowSize::Millis)]
}

fn policy(window: impl Strategy<Value = WindowSize>) -> impl Strategy<Value = Policy> {
    let percent = || {
        let hundredths = prop_oneof![Just(0u16), Just(5_000), Just(10_000), 1..10_000u16];
        hundredths.prop_map(|share| Percent::from_hundredths(share).expect("at most 100 %"))
    };
    let limit = || prop_oneof![Just(0u32), 1..6u32];
    let rules = (window, limit(), limit(), percent(), percent(), 1..8u32, any::<bool>());
    let growth = prop_oneof![Just(100u32), Just(150), Just(200), Just(333)];
    let jitter = prop_oneof![3 => Just(0u16), 1 => 1..10_000u16];
    let opens = (1..2_000u64, growth, 1..20_000u64, jitter);
    let trials = (1..5u32, 1..5u32, 1..3_000u64);
    let probes = (1..4u32, any::<bool>());
    (rules, opens, trials, probes).prop_map(|(rules, opens, (calls, wanted, ttl_ms), probes)| {
        Policy {
            window: rules.0,
            consecutive_failures: rules.1,
            failures: rules.2,
            failure_rate: rules.3,
            slow_rate: rules.4,
            min_calls: rules.5,
            slow_call: (rules.6 || !rules.4.is_zero()).then_some(Duration::from_millis(10)),
            open_for: Duration::from_millis(opens.0),
            open_backoff: Growth::from_ten_thousandths(opens.1 * 100).expect("at least 1"),
            open_max: Duration::from_millis(opens.2),
            open_jitter: Percent::from_hundredths(opens.3).expect("at most 100 %"),
            half_open_calls: calls,
            success_threshold: wanted.min(calls),
            permit_ttl: Duration::from_millis(ttl_ms),
            rise: probes.0,
            probe_closes: probes.1,
        }
    })
}

fn cases() -> impl Strategy<Value = (Policy, Vec<Op>, u64)> {
    windows().prop_flat_map(|window| (policy(Just(window)), ops(window), any::<u64>()))
}

/// Both machines, side by side.
struct Pair {
    real: Breaker,
    naive: Naive,
    policy: Policy,
    permits: Vec<Permit>,
    probes: Vec<ProbePermit>,
    now: Now,
}

impl Pair {
    /// One of the latest permits: the first is the latest of all.
    fn permit(&self, pick: usize) -> Option<Permit> {
        let last = self.permits.len().checked_sub(1)?;
        self.permits.get(last - pick.min(last)).copied()
    }

    /// Plays one op on both; the transitions that the real one made.
    fn play(&mut self, op: &Op) -> Vec<Transition> {
        let (now, now_ms) = (self.now, self.now.at_ms);
        let (by, comment) = ("me", "why");
        let manual = |lasting: Option<u64>| Manual {
            by,
            comment,
            lasting: lasting.map(Duration::from_millis),
        };
        let policy = &self.policy.clone();
        match op {
            Op::Admit => {
                let seen = self.real.view(policy, now);
                let step = self.real.admit(policy, now, Holder::Process);
                self.naive.settle(policy, now);
                let expected = self.naive.admit(policy, now_ms);
                match (&step.value, expected) {
                    (Verdict::Admit(permit), Ok(expected)) => {
                        assert_eq!(*permit, expected);
                        self.permits.push(*permit);
                    }
                    (Verdict::Reject(why), Err(expected)) => assert_eq!(*why, expected),
                    (found, expected) => panic!("{found:?} and not {expected:?}"),
                }
                let admitted = matches!(step.value, Verdict::Admit(_));
                assert_eq!(seen.admits, admitted, "a reading tells what a call finds");
                step.transitions
            }
            Op::Record { pick, outcome, took_ms } => {
                let Some(permit) = self.permit(*pick) else { return Vec::new() };
                let took = Duration::from_millis(*took_ms);
                let step = self.real.record(policy, now, permit, &Finished::new(*outcome, took));
                self.naive.settle(policy, now);
                let expected = self.naive.record(policy, now, permit, *outcome, took);
                assert_eq!(step.value, expected);
                step.transitions
            }
            Op::Look => {
                let step = self.real.begin_probe(policy, now, Holder::Process);
                self.naive.settle(policy, now);
                let generation = self.naive.generation;
                let expected = match self.naive.begin_probe(policy, now_ms) {
                    Some(permit) => ProbePermit::Call(permit),
                    None => ProbePermit::Look { born_ms: 0, generation },
                };
                assert_eq!(step.value, expected);
                self.probes.push(expected);
                if let ProbePermit::Call(permit) = expected {
                    self.permits.push(permit);
                }
                step.transitions
            }
            Op::Looked { pick, end } => {
                let Some(last) = self.probes.len().checked_sub(1) else { return Vec::new() };
                let permit = self.probes[last - pick.min(&last)];
                let call = Finished::new(end.outcome, Duration::from_millis(end.took_ms));
                let wait = end.after_ms.map(Duration::from_millis);
                let step = self.real.end_probe(policy, now, permit, &call, wait);
                self.naive.settle(policy, now);
                let expected = self.naive.end_probe(policy, now, permit, end);
                assert_eq!((step.value.recorded, step.value.effect), expected);
                step.transitions
            }
            Op::Lose { pick } => {
                let Some(permit) = self.permit(*pick) else { return Vec::new() };
                let step = self.real.lose(policy, now, permit);
                self.naive.settle(policy, now);
                self.naive.lose(policy, now, permit);
                step.transitions
            }
            Op::Trip(lasting) => {
                let step = self.real.trip(policy, now, &manual(*lasting));
                self.naive.settle(policy, now);
                self.naive.trip(policy, now, *lasting);
                step.transitions
            }
            Op::Reset => {
                let step = self.real.reset(policy, now, &manual(None));
                self.naive.settle(policy, now);
                self.naive.reset(now_ms);
                step.transitions
            }
            Op::Hold(hold, lasting) => {
                let step = self.real.hold(policy, now, *hold, &manual(*lasting));
                self.naive.settle(policy, now);
                self.naive.hold(now_ms, *hold, *lasting);
                step.transitions
            }
            Op::Release => {
                let step = self.real.release(policy, now, &manual(None));
                self.naive.settle(policy, now);
                self.naive.release(now_ms);
                step.transitions
            }
            Op::Wait(wait_ms) => {
                self.now.at_ms += wait_ms;
                Vec::new()
            }
            Op::Policy(other) => {
                self.policy = (**other).clone();
                Vec::new()
            }
        }
    }
}

fn compare(real: &Breaker, naive: &Naive, policy: &Policy, now: Now) {
    let view = real.view(policy, now);
    assert_eq!(real.state(), naive.state());
    assert_eq!(real.generation(), naive.generation);
    assert_eq!(real.reopens, naive.reopens);
    assert_eq!(view.totals.admitted, naive.admitted);
    assert_eq!(view.totals.rejected, naive.rejected);
    assert_eq!(view.totals.stale, naive.stale);
    let results = [view.totals.succeeded, view.totals.failed, view.totals.ignored];
    assert_eq!(results, naive.results);
    assert_eq!(real.totals.opened, naive.opened);
    // And what a reader sees is what is there once all that ran out has run out.
    let mut settled = naive.clone();
    settled.settle(policy, now);
    let tally = view.tally;
    assert_eq!((tally.calls, tally.failures, tally.slow), settled.tally(now.at_ms));
    assert_eq!((view.state, view.generation), (settled.state(), settled.generation));
    assert_eq!(view.consecutive_failures, settled.run);
    match &settled.mode {
        Mode::Open { retry_at_ms } => {
            assert_eq!(view.retry_at_ms, Some(*retry_at_ms));
            assert_eq!(view.trial_due, now.at_ms >= *retry_at_ms);
        }
        Mode::HalfOpen { flying, good, bad, .. } => {
            let round = (view.round.successes, view.round.failures, view.round.in_flight);
            assert_eq!(round, (*good, *bad, flying.len() as u32));
        }
        Mode::Held { until_ms, .. } => {
            assert_eq!(view.held.as_ref().expect("a hold").until_ms, *until_ms);
        }
        Mode::Closed => assert_eq!((view.retry_at_ms, view.held.as_ref()), (None, None)),
    }
    let would = match settled.mode {
        Mode::Held { hold: Hold::MetricsOnly, .. } => settled.tripping(policy, now.at_ms),
        _ => None,
    };
    assert_eq!(view.would_trip, would);
    let last = view.last_probe.map(|last| (last.at_ms, last.outcome));
    assert_eq!(last, naive.said.last().copied());
    let same = naive.said.iter().rev().take_while(|said| Some(said.1) == last.map(|last| last.1));
    assert_eq!(view.last_probe.map_or(0, |last| last.in_a_row as usize), same.count());
}

/// However it stands: after enough time a call is admitted, unless a person
/// forced it open without an end.
fn admits_in_time(real: &Breaker, policy: &Policy, mut now: Now) -> bool {
    let mut real = real.clone();
    for _ in 0..2 {
        now.at_ms += YEAR_MS;
        if let Verdict::Admit(_) = real.admit(policy, now, Holder::Process).value {
            return true;
        }
    }
    matches!(&real.view(policy, now).held, Some(held) if held.hold == Hold::ForcedOpen)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_a_machine_that_is_obviously_right((policy, ops, seed) in cases()) {
        let mut pair = Pair {
            real: Breaker::new(Now::at(0)),
            naive: Naive::new(policy.window),
            policy,
            permits: Vec::new(),
            probes: Vec::new(),
            now: Now::at(0),
        };
        for (count, op) in ops.iter().enumerate() {
            pair.now.draw = mix(seed.wrapping_add(count as u64));
            let before = pair.real.generation();
            let seen = pair.real.view(&pair.policy, pair.now).generation;
            pair.naive.made.clear();
            let made = pair.play(op);
            let shown: Vec<_> = made.iter().map(|one| (one.from, one.to, one.reason, one.at_ms)).collect();
            assert_eq!(&shown, &pair.naive.made, "the transitions of op {} {:?}", count, op);
            prop_assert_eq!(pair.real.generation(), before + made.len() as u64);
            if !made.is_empty() {
                let numbers: Vec<_> = made.iter().map(|one| one.generation).collect();
                prop_assert_eq!(numbers, (before + 1..=pair.real.generation()).collect::<Vec<_>>());
                prop_assert!(pair.real.generation() >= seen, "a reading saw more than came");
            }
            if let Op::Admit = op {
                let view = pair.real.view(&pair.policy, pair.now);
                prop_assert!(
                    made.is_empty() || view.round.in_flight <= pair.policy.half_open_calls
                );
            }
            compare(&pair.real, &pair.naive, &pair.policy, pair.now);
            prop_assert!(admits_in_time(&pair.real, &pair.policy, pair.now), "stuck after {:?}", op);
            // A policy that changes within a round can decide it at the time of
            // each reading anew; else who only looks sees the end of the wait too.
            let same_policy = !ops[..=count].iter().any(|op| matches!(op, Op::Policy(_)));
            let seen = pair.real.view(&pair.policy, Now::at(pair.now.at_ms + YEAR_MS));
            let forced = seen.state == State::Held(Hold::ForcedOpen);
            prop_assert!(!same_policy || forced || seen.admits, "never seen due after {:?}", op);
        }
    }

    #[test]
    fn no_more_trials_fly_than_a_round_has(
        (policy, ops) in windows().prop_flat_map(|window| (policy(Just(window)), ops(window)))
    ) {
        let mut real = Breaker::new(Now::at(0));
        let mut flying: Vec<Permit> = Vec::new();
        let mut now = Now::at(0);
        let manual = Manual { by: "", comment: "", lasting: None };
        let _ = real.trip(&policy, now, &manual);
        for op in ops {
            match op {
                Op::Admit => {
                    let step = real.admit(&policy, now, Holder::Token);
                    if let Verdict::Admit(permit) = step.value {
                        flying.push(permit);
                    }
                }
                Op::Record { pick, outcome, took_ms } if !flying.is_empty() => {
                    let permit = flying.remove(pick % flying.len());
                    let call = Finished::new(outcome, Duration::from_millis(took_ms));
                    let _ = real.record(&policy, now, permit, &call);
                }
                Op::Lose { pick } if !flying.is_empty() => {
                    let permit = flying.remove(pick % flying.len());
                    let _ = real.lose(&policy, now, permit);
                }
                Op::Wait(wait_ms) => now.at_ms += wait_ms,
                _ => {}
            }
            let view = real.view(&policy, now);
            let generation = view.generation;
            let ttl_ms = policy.permit_ttl.as_millis() as u64;
            let alive = flying.iter().filter(|permit| {
                permit.generation == generation && now.at_ms < permit.started_ms + ttl_ms
            });
            if view.state == State::HalfOpen {
                let alive = alive.count() as u32;
                prop_assert_eq!(view.round.in_flight, alive);
                let round = view.round;
                prop_assert!(round.successes + round.failures + alive <= policy.half_open_calls);
            }
        }
    }
}
