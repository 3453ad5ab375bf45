//! Random policies and random traces are played on the real machine and on a second
//! one, and both must agree after every op, in everything that can be seen.

mod machine;

use proptest::prelude::*;
use std::time::Duration;

use crate::model::backoff::mix;
use crate::model::breaker::{Breaker, Holder, Manual, Permit, ProbePermit, Verdict};
use crate::model::policy::{Growth, Percent, WindowSize};
use crate::model::{Finished, Hold, Now, Outcome, Policy, State, Step, Transition};
use machine::{Mode, Naive, ProbeEnd};

const CASES: u32 = 1_200;
const OPS_MAX: usize = 60;
const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;

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
        match op {
            Op::Admit => self.admit(),
            Op::Record { pick, outcome, took_ms } => self.record(*pick, *outcome, *took_ms),
            Op::Look => self.look(),
            Op::Looked { pick, end } => self.looked(*pick, end),
            Op::Lose { pick } => self.lose(*pick),
            Op::Trip(_) | Op::Reset | Op::Hold(..) | Op::Release => self.by_hand(op),
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

    fn admit(&mut self) -> Vec<Transition> {
        let (policy, now) = (&self.policy, self.now);
        let seen = self.real.view(policy, now);
        let step = self.real.admit(policy, now, Holder::Process);
        self.naive.settle(policy, now);
        let expected = self.naive.admit(policy, now.at_ms);
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

    fn record(&mut self, pick: usize, outcome: Outcome, took_ms: u64) -> Vec<Transition> {
        let Some(permit) = self.permit(pick) else { return Vec::new() };
        let (policy, now, took) = (&self.policy, self.now, Duration::from_millis(took_ms));
        let step = self.real.record(policy, now, permit, &Finished::new(outcome, took));
        self.naive.settle(policy, now);
        let expected = self.naive.record(policy, now, permit, outcome, took);
        assert_eq!(step.value, expected);
        step.transitions
    }

    fn look(&mut self) -> Vec<Transition> {
        let (policy, now) = (&self.policy, self.now);
        let step = self.real.begin_probe(policy, now, Holder::Process);
        self.naive.settle(policy, now);
        let generation = self.naive.generation;
        let expected = match self.naive.begin_probe(policy, now.at_ms) {
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

    fn looked(&mut self, pick: usize, end: &ProbeEnd) -> Vec<Transition> {
        let Some(last) = self.probes.len().checked_sub(1) else { return Vec::new() };
        let (policy, now, permit) = (&self.policy, self.now, self.probes[last - pick.min(last)]);
        let call = Finished::new(end.outcome, Duration::from_millis(end.took_ms));
        let wait = end.after_ms.map(Duration::from_millis);
        let step = self.real.end_probe(policy, now, permit, &call, wait);
        self.naive.settle(policy, now);
        let expected = self.naive.end_probe(policy, now, permit, end);
        assert_eq!((step.value.recorded, step.value.effect), expected);
        step.transitions
    }

    fn lose(&mut self, pick: usize) -> Vec<Transition> {
        let Some(permit) = self.permit(pick) else { return Vec::new() };
        let (policy, now) = (&self.policy, self.now);
        let step = self.real.lose(policy, now, permit);
        self.naive.settle(policy, now);
        self.naive.lose(policy, now, permit);
        step.transitions
    }

    /// What a person does.
    fn by_hand(&mut self, op: &Op) -> Vec<Transition> {
        let (policy, now) = (&self.policy, self.now);
        let asked = |lasting: Option<u64>| Manual {
            by: "me",
            comment: "why",
            lasting: lasting.map(Duration::from_millis),
        };
        self.naive.settle(policy, now);
        let step: Step<()> = match op {
            Op::Trip(lasting) => {
                self.naive.trip(policy, now, *lasting);
                self.real.trip(policy, now, &asked(*lasting))
            }
            Op::Hold(hold, lasting) => {
                self.naive.hold(now.at_ms, *hold, *lasting);
                self.real.hold(policy, now, *hold, &asked(*lasting))
            }
            Op::Release => {
                self.naive.release(now.at_ms);
                self.real.release(policy, now, &asked(None))
            }
            _ => {
                self.naive.reset(now.at_ms);
                self.real.reset(policy, now, &asked(None))
            }
        };
        step.transitions
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
