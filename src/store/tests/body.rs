//! The body: whatever a breaker holds is read back the same, it fits a slot, and
//! no text that is almost a body does any harm.

use std::panic::{AssertUnwindSafe, catch_unwind};

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::*;
use crate::clock::Stamp;
use crate::model::breaker::{Held, LastFailure, LastProbe, LastTransition, Phase, Totals};
use crate::model::event::{Hold, Reason, State};
use crate::model::policy::{Growth, Percent, WindowSize};
use crate::model::round::{Round, Trial};
use crate::model::window::{Buckets, Ring, Tally, Window};
use crate::model::{Ms, Now};
use crate::store::body::{BY_LEN_MAX, COMMENT_LEN_MAX, FLAGS_LEN_MAX, cut, decode, encode};
use crate::store::slots::BODY_LEN_MAX;

fn text(len_max: usize) -> impl Strategy<Value = String> {
    let ends = vec!["", "x", "\u{1}", "\"", "\\", "\u{1b}[2J", "\u{fffd}", "\u{1f980}"];
    let piece =
        prop_oneof![select(ends).prop_map(str::to_owned), any::<char>().prop_map(String::from)];
    let count = prop_oneof![0..8_usize, Just(len_max)];
    (prop::collection::vec(piece, 1..5), count)
        .prop_map(move |(pieces, count)| cut(&pieces.concat().repeat(count), len_max).to_owned())
}

fn state() -> impl Strategy<Value = State> {
    let held = select(Hold::ALL.to_vec()).prop_map(State::Held);
    prop_oneof![Just(State::Closed), Just(State::Open), Just(State::HalfOpen), held]
}

fn phase() -> impl Strategy<Value = Phase> {
    let trial = (any::<u64>(), any::<u64>(), any::<bool>()).prop_map(|(serial, until_ms, held)| {
        Trial { serial, until_ms, holder: if held { Holder::Process } else { Holder::Token } }
    });
    let trials = prop::collection::vec(trial, 0..=64);
    let round = (any::<[u32; 3]>(), any::<u64>(), trials).prop_map(
        |([successes, failures, lost], next_serial, trials)| {
            Phase::HalfOpen(Round { successes, failures, lost, next_serial, trials })
        },
    );
    let held =
        (select(Hold::ALL.to_vec()), any::<Option<u64>>(), text(BY_LEN_MAX), text(COMMENT_LEN_MAX))
            .prop_map(|(hold, until_ms, by, comment)| {
                Phase::Held(Held { hold, until_ms, by, comment })
            });
    let open = any::<u64>().prop_map(|retry_at_ms| Phase::Open { retry_at_ms });
    prop_oneof![Just(Phase::Closed), open, round, held]
}

fn window() -> impl Strategy<Value = Window> {
    let ring = (1..=10_000_u32).prop_flat_map(|capacity| {
        let cells = prop::collection::vec(any::<u8>(), capacity.div_ceil(4) as usize);
        (Just(capacity), 0..capacity, 0..=capacity, cells)
    });
    let ring = ring.prop_map(|(capacity, next, calls, cells)| {
        Window::Calls(Ring::from_parts(capacity, next, calls, cells).unwrap())
    });
    let tally = (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(|(calls, failures, slow)| {
        Tally { calls, failures: failures.min(calls), slow: slow.min(calls) }
    });
    // In so short a window each millisecond is a bucket of its own.
    let counts = prop::collection::btree_map(0..u64::MAX / 60, tally, 0..=60);
    let buckets = (1..=60u64, counts).prop_map(|(window_ms, counts)| {
        Window::Time(Buckets::from_parts(window_ms, counts.into_iter().collect()).unwrap())
    });
    prop_oneof![ring, buckets]
}

fn last_transition() -> impl Strategy<Value = LastTransition> {
    let reason = select(Reason::ALL.to_vec());
    (any::<u64>(), state(), state(), reason, text(BY_LEN_MAX), text(COMMENT_LEN_MAX)).prop_map(
        |(at_ms, from, to, reason, by, comment)| LastTransition {
            at_ms,
            from,
            to,
            reason,
            by,
            comment,
        },
    )
}

fn last_failure() -> impl Strategy<Value = LastFailure> {
    any::<(u64, Option<i32>, Option<i32>, bool, u64)>().prop_map(
        |(at_ms, exit_code, signal, timed_out, duration_ms)| LastFailure {
            at_ms,
            exit_code,
            signal,
            timed_out,
            duration_ms,
        },
    )
}

fn last_probe() -> impl Strategy<Value = LastProbe> {
    let said = select(vec![Outcome::Success, Outcome::Failure]);
    (any::<(u64, bool, u64, u32)>(), said).prop_map(
        |((at_ms, slow, duration_ms, in_a_row), outcome)| LastProbe {
            at_ms,
            outcome,
            slow,
            duration_ms,
            in_a_row,
        },
    )
}

fn breaker() -> impl Strategy<Value = Breaker> {
    let lasts = (
        prop::option::of(last_transition()),
        prop::option::of(last_failure()),
        prop::option::of(last_probe()),
    );
    let flags = "[a-z0-9%=, -]{0,512}";
    (any::<(u64, u64, u32, u32, u32)>(), phase(), window(), any::<[u64; 9]>(), lasts, flags)
        .prop_map(
            |(
                (generation, since_ms, run, reopens, good_looks),
                phase,
                window,
                totals,
                lasts,
                flags,
            )| Breaker {
                born_ms: since_ms / 2,
                generation,
                phase,
                since_ms,
                window,
                consecutive_failures: run,
                reopens,
                good_looks,
                totals: Totals::from_counts(&totals),
                last_transition: lasts.0,
                last_failure: lasts.1,
                last_probe: lasts.2,
                flags,
            },
        )
}

fn stamp() -> impl Strategy<Value = Stamp> {
    any::<(u64, i64, u64, Option<u128>)>().prop_map(|(clock_ms, wall_ms, boot_ms, boot_id)| Stamp {
        clock_ms,
        machine: Reading { wall_ms, boot_ms, boot_id },
    })
}

fn policies() -> Vec<Policy> {
    let rates = Policy {
        window: WindowSize::Millis(60_000),
        slow_call: Some(Duration::ZERO),
        slow_rate: Percent::from_hundredths(1).unwrap(),
        failures: u32::MAX,
        open_backoff: Growth::from_ten_thousandths(10_001).unwrap(),
        open_jitter: Percent::from_hundredths(10_000).unwrap(),
        half_open_calls: 64,
        success_threshold: 64,
        ..Policy::default()
    };
    let large = Policy { window: WindowSize::Calls(10_000), ..Policy::default() };
    vec![Policy::default(), rates, large]
}

/// Everything that can be done to a breaker, at any time: none of it panics.
fn exercise(breaker: &Breaker, at_ms: Ms) {
    for policy in policies() {
        let now = Now { at_ms, draw: u64::MAX };
        let view = breaker.view(&policy, now);
        assert!(view.tally.is_sound());
        let mut moved = breaker.clone();
        if let Verdict::Admit(permit) = moved.admit(&policy, now, Holder::Process).value {
            for outcome in [Outcome::Failure, Outcome::Success] {
                let call = Finished::new(outcome, Duration::MAX);
                let _ = moved.clone().record(&policy, now, permit, &call);
            }
            let _ = moved.lose(&policy, now, permit);
        }
        let mut probed = breaker.clone();
        for outcome in [Outcome::Success, Outcome::Failure, Outcome::Success] {
            let permit = probed.begin_probe(&policy, now, Holder::Process).value;
            let call = Finished::new(outcome, Duration::MAX);
            let _ = probed.end_probe(&policy, now, permit, &call, Some(Duration::MAX));
        }
        let _ = moved.release(&policy, now, &asked(None));
        let _ = moved.trip(&policy, now, &asked(Some(Duration::MAX)));
        let _ = moved.reset(&policy, now, &asked(None));
    }
}

/// Puts a value in place of one of the leaves of another, counted from `at`.
fn swap(body: &mut Value, at: prop::sample::Index, value: &Value) {
    fn leaves(value: &Value) -> usize {
        match value {
            Value::Array(items) if !items.is_empty() => items.iter().map(leaves).sum(),
            Value::Object(items) if !items.is_empty() => items.values().map(leaves).sum(),
            _ => 1,
        }
    }
    fn walk(body: &mut Value, left: &mut usize, value: &Value) {
        let mut each = |item: &mut Value| walk(item, left, value);
        match body {
            Value::Array(items) if !items.is_empty() => items.iter_mut().for_each(each),
            Value::Object(items) if !items.is_empty() => items.values_mut().for_each(&mut each),
            leaf => {
                if *left == 0 {
                    leaf.clone_from(value);
                }
                *left = left.wrapping_sub(1);
            }
        }
    }
    let mut left = at.index(leaves(body));
    walk(body, &mut left, value);
}

fn strange() -> Vec<Value> {
    vec![
        json!(u64::MAX),
        json!(i64::MIN),
        json!(u32::MAX),
        json!(0),
        json!(1e300),
        json!(null),
        json!(true),
        json!(""),
        json!("closed"),
        json!("\u{1b}[2J"),
        json!([]),
        json!({}),
        json!([[0, 0, 0, 0], [1, u32::MAX, u32::MAX, u32::MAX], [2, u32::MAX, 0, 0]]),
        json!({ "closed": null }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_state_is_read_back_the_same(breaker in breaker(), stamp in stamp()) {
        let body = encode(&breaker, &stamp);
        prop_assert!(body.len() <= BODY_LEN_MAX, "{} bytes", body.len());
        prop_assert_eq!(decode(&body), Some((breaker, stamp)));
    }

    #[test]
    fn any_state_that_is_read_can_be_worked_with(breaker in breaker(), at in any::<u64>()) {
        for at_ms in [0, at, breaker.since_ms, u64::MAX] {
            exercise(&breaker, at_ms);
        }
    }

    #[test]
    fn a_body_with_other_values_in_it_does_no_harm(
        breaker in breaker(),
        stamp in stamp(),
        swaps in prop::collection::vec((any::<prop::sample::Index>(), select(strange())), 1..4),
    ) {
        let mut body: Value = serde_json::from_slice(&encode(&breaker, &stamp)).unwrap();
        for (place, value) in swaps {
            swap(&mut body, place, &value);
        }
        let body = serde_json::to_vec(&body).unwrap();
        let worked = catch_unwind(AssertUnwindSafe(|| {
            if let Some((breaker, stamp)) = decode(&body) {
                exercise(&breaker, stamp.clock_ms);
                assert_eq!(decode(&encode(&breaker, &stamp)), Some((breaker, stamp)));
            }
        }));
        prop_assert!(worked.is_ok(), "{}", String::from_utf8_lossy(&body));
    }

    #[test]
    fn a_body_with_other_bytes_in_it_does_no_harm(
        breaker in breaker(),
        stamp in stamp(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..9_usize, any::<Vec<u8>>()), 1..4),
    ) {
        let mut body = encode(&breaker, &stamp);
        for (place, len, bytes) in cuts {
            let from = place.index(body.len() + 1);
            let to = (from + len).min(body.len());
            body.splice(from..to, bytes.into_iter().take(8));
        }
        if let Some((breaker, stamp)) = decode(&body) {
            exercise(&breaker, stamp.clock_ms);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
        prop_assert_eq!(decode(&bytes), None);
    }
}

#[test]
fn the_longest_state_fits_a_slot() {
    let worst = "\u{1}".repeat(COMMENT_LEN_MAX);
    let by = "\u{1}".repeat(BY_LEN_MAX);
    let held = Held {
        hold: Hold::MetricsOnly,
        until_ms: Some(u64::MAX),
        by: by.clone(),
        comment: worst.clone(),
    };
    let trial = Trial { serial: u64::MAX, until_ms: u64::MAX, holder: Holder::Token };
    let round = Round {
        successes: u32::MAX,
        failures: u32::MAX,
        lost: u32::MAX,
        next_serial: u64::MAX,
        trials: vec![trial; 64],
    };
    let sound = Tally { calls: u32::MAX, failures: u32::MAX, slow: u32::MAX };
    let buckets = (0..60).map(|i| (u64::MAX - 60 + i, sound)).collect();
    let windows = [
        Window::Time(Buckets::from_parts(60, buckets).unwrap()),
        Window::Calls(Ring::from_parts(10_000, 9999, 10_000, vec![255; 2500]).unwrap()),
    ];
    let machine = Reading { wall_ms: i64::MIN, boot_ms: u64::MAX, boot_id: Some(u128::MAX) };
    let stamp = Stamp { clock_ms: u64::MAX, machine };
    for window in windows {
        for phase in [Phase::Held(held.clone()), Phase::HalfOpen(round.clone())] {
            let breaker = Breaker {
                born_ms: u64::MAX,
                generation: u64::MAX,
                phase,
                since_ms: u64::MAX,
                window: window.clone(),
                consecutive_failures: u32::MAX,
                reopens: u32::MAX,
                good_looks: u32::MAX,
                totals: Totals::from_counts(&[u64::MAX; 9]),
                last_transition: Some(LastTransition {
                    at_ms: u64::MAX,
                    from: State::Held(Hold::MetricsOnly),
                    to: State::Held(Hold::MetricsOnly),
                    reason: Reason::ConsecutiveFailures,
                    by: by.clone(),
                    comment: worst.clone(),
                }),
                last_failure: Some(LastFailure {
                    at_ms: u64::MAX,
                    exit_code: Some(i32::MIN),
                    signal: Some(i32::MIN),
                    timed_out: false,
                    duration_ms: u64::MAX,
                }),
                last_probe: Some(LastProbe {
                    at_ms: u64::MAX,
                    outcome: Outcome::Failure,
                    slow: false,
                    duration_ms: u64::MAX,
                    in_a_row: u32::MAX,
                }),
                flags: "x".repeat(FLAGS_LEN_MAX),
            };
            let body = encode(&breaker, &stamp);
            assert!(body.len() <= BODY_LEN_MAX, "{} bytes", body.len());
            assert_eq!(decode(&body), Some((breaker.clone(), stamp)));
            exercise(&breaker, u64::MAX);
        }
    }
}

#[test]
fn more_than_the_bounds_allow_is_refused() {
    let breaker = Breaker { flags: "f".into(), ..Breaker::new(Now::at(5)) };
    let stamp = Stamp::first(start());
    let body = String::from_utf8(encode(&breaker, &stamp)).unwrap();
    assert_eq!(decode(body.as_bytes()), Some((breaker, stamp)));
    let long = body.replace("\"flags\":\"f\"", &format!("\"flags\":\"{}\"", "f".repeat(513)));
    assert_ne!(long, body);
    assert_eq!(decode(long.as_bytes()), None);
    let trials = vec!["[0,0,true]"; 65].join(",");
    let crowd = format!(
        r#"{{"half-open":{{"successes":0,"failures":0,"lost":0,"next":0,"trials":[{trials}]}}}}"#
    );
    let crowded = body.replace("\"phase\":\"closed\"", &format!("\"phase\":{crowd}"));
    assert_ne!(crowded, body);
    assert_eq!(decode(crowded.as_bytes()), None);
    let probed = |outcome| {
        let last = format!(
            r#""last_probe":{{"at":1,"outcome":"{outcome}","slow":true,"duration_ms":2,"in_a_row":3}}"#
        );
        decode(body.replace("\"flags\":\"f\"", &last).as_bytes())
    };
    assert!(probed("success").is_some_and(|(breaker, _)| breaker.last_probe.is_some()));
    assert_eq!((probed("ignored"), probed("well")), (None, None));
    let deep = format!("{}{}", "[".repeat(8000), "]".repeat(8000));
    assert_eq!(decode(deep.as_bytes()), None);
}
