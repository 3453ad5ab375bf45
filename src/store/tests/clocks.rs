//! Clocks that step, run from 1969, or belong to another boot: what is left of
//! an open period stays within nothing and its length.

use proptest::prelude::*;

use super::*;

const OPEN_MS: u64 = 30_000;
const SECONDS_TO_1969: i64 = -86_400;

/// What is left of the open period of `pay`; 0 where its trial is due.
fn left_ms(store: &dyn Store) -> u64 {
    let found = store.find(&pay()).unwrap().unwrap();
    let view = found.breaker.view(&Policy::default(), found.scene.now);
    assert_eq!(view.trial_due, view.retry_after_ms == Some(0));
    view.retry_after_ms.unwrap()
}

/// Opens for 30 s at [`start`], sets the clocks, and looks what is left: at
/// once, after an operation that saves, and in another process after that.
#[track_caller]
fn check(then: Reading, now: Reading, left: u64) {
    let mut bench = Bench::new(then);
    trip(&bench.store, None);
    assert_eq!(left_ms(&bench.store), OPEN_MS);
    bench.clock.set(now);
    assert_eq!(left_ms(&bench.store), left, "read");
    bench.reopen();
    let saved = bench.store.transact(&pay(), Absent::Refuse, &mut |_, _| Keep::State);
    saved.unwrap();
    assert_eq!(left_ms(&bench.store), left, "saved");
    bench.reopen();
    let (verdict, _) = admit(&bench.store, &Policy::default());
    assert_eq!(matches!(verdict, Verdict::Admit(_)), left == 0, "asked");
}

#[test]
fn a_step_of_the_wall_clock_changes_nothing() {
    let stepped = |wall_ms| Reading { wall_ms, boot_ms: start().boot_ms + 10_000, ..start() };
    check(start(), stepped(start().wall_ms + 10 * SECOND_MS), 20_000);
    check(start(), stepped(start().wall_ms - HOUR_MS), 20_000);
    check(start(), stepped(start().wall_ms + 24 * HOUR_MS), 20_000);
    check(start(), stepped(SECONDS_TO_1969 * SECOND_MS), 20_000);
    check(start(), stepped(i64::MIN), 20_000);
    check(start(), stepped(i64::MAX), 20_000);
    let later = Reading { boot_ms: start().boot_ms + OPEN_MS, ..start() };
    check(start(), later, 0);
    check(start(), Reading { boot_ms: later.boot_ms - 1, ..start() }, 1);
    // A boot clock never runs back; if it does, no time passed.
    check(start(), Reading { boot_ms: 0, ..start() }, OPEN_MS);
}

#[test]
fn after_a_reboot_what_is_left_is_clamped_to_the_period() {
    let rebooted = |wall_ms| reading(wall_ms, 20, 8);
    check(start(), rebooted(start().wall_ms + 10 * SECOND_MS), 20_000);
    check(start(), rebooted(start().wall_ms + 24 * HOUR_MS), 0);
    check(start(), rebooted(start().wall_ms - HOUR_MS), OPEN_MS);
    check(start(), rebooted(SECONDS_TO_1969 * SECOND_MS), OPEN_MS);
    check(start(), rebooted(i64::MIN), OPEN_MS);
    check(start(), rebooted(i64::MAX), 0);
}

#[test]
fn a_machine_that_does_not_tell_its_boot_goes_by_the_wall_clock() {
    let unknown = Reading { boot_id: None, ..start() };
    check(unknown, Reading { wall_ms: unknown.wall_ms + 10 * SECOND_MS, ..unknown }, 20_000);
    check(unknown, Reading { wall_ms: unknown.wall_ms - HOUR_MS, ..unknown }, OPEN_MS);
    check(unknown, Reading { wall_ms: i64::MAX, boot_ms: 0, boot_id: None }, 0);
}

#[test]
fn a_state_made_in_1969_works() {
    let then = reading(SECONDS_TO_1969 * SECOND_MS, 500, 7);
    check(then, Reading { boot_ms: 10_500, ..then }, 20_000);
    check(then, reading(then.wall_ms + 10 * SECOND_MS, 20, 8), 20_000);
    check(then, start(), OPEN_MS - 499_500_u64.min(OPEN_MS));
    check(reading(i64::MIN, u64::MAX, 7), reading(i64::MAX, 0, 8), 0);
}

fn any_reading() -> impl Strategy<Value = Reading> {
    let wall = prop_oneof![
        start().wall_ms - 2 * HOUR_MS..start().wall_ms + 2 * HOUR_MS,
        start().wall_ms - 100..start().wall_ms + 15_000,
        any::<i64>(),
    ];
    let boot = prop_oneof![400_000..560_000_u64, any::<u64>()];
    let id = prop_oneof![Just(None), Just(Some(7)), Just(Some(8))];
    (wall, boot, id).prop_map(|(wall_ms, boot_ms, boot_id)| Reading { wall_ms, boot_ms, boot_id })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    /// Whatever the clocks do, no wait ever gets longer.
    #[test]
    fn what_is_left_only_shrinks(then in any_reading(), clocks in prop::collection::vec(any_reading(), 1..12)) {
        let mut bench = Bench::new(then);
        trip(&bench.store, None);
        let mut left = left_ms(&bench.store);
        prop_assert!(left <= OPEN_MS);
        for now in clocks {
            bench.clock.set(now);
            bench.reopen();
            bench.store.transact(&pay(), Absent::Refuse, &mut |_, _| Keep::State).unwrap();
            let next = left_ms(&bench.store);
            prop_assert!(next <= left, "{next} ms left of {left} ms");
            left = next;
        }
    }
}
