//! The machine, by data: each case is a policy and a trace of lines, and each
//! line says what comes of it. The tests are in the order of the rules that
//! they hold; `naive` plays random traces against a second machine.

mod manual;
mod naive;
mod player;
mod probes;
mod trials;

use super::breaker::Breaker;
use super::window::Tally;
use super::{Now, Policy};
use player::{check, check_each, policy};

#[test]
fn disabled_admits_all_and_leaves_the_window_untouched() {
    check(
        "consecutive_failures=3 failures=3",
        "
        0 call failure        -> counted calls=1 failures=1 run=1
        1 call failure        -> counted calls=2 failures=2 run=2
        2 start a             -> admitted
        3 hold disabled       -> closed>disabled:manual admits=true
        4 call failure        -> uncounted calls=2 failures=2 run=2
        5 call success        -> uncounted calls=2 failures=2 run=2
        6 finish a failure    -> stale calls=2 failures=2 run=2
        7 call failure        -> uncounted state=disabled would=- admitted=6 failed=5 stale=1
        ",
    );
}

#[test]
fn metrics_only_records_reports_the_rule_and_never_trips() {
    check(
        "consecutive_failures=2",
        "
        0 hold metrics-only   -> closed>metrics-only:manual would=-
        1 call failure        -> counted calls=1 would=-
        2 call failure        -> counted calls=2 run=2 would=consecutive_failures
        3 call failure        -> counted calls=3 state=metrics-only would=consecutive_failures
        4 call success        -> counted calls=4 run=0 would=- opened=0
        ",
    );
    check(
        "failures=2",
        "
        0 hold metrics-only   -> closed>metrics-only:manual
        1 call failure        -> counted would=-
        2 call failure        -> counted would=failure_count
        3 call success        -> counted would=failure_count
        ",
    );
    check(
        "failure_rate=50 min_calls=2",
        "
        0 hold metrics-only   -> closed>metrics-only:manual
        1 call success        -> counted would=-
        2 call failure        -> counted would=failure_rate
        3 call success        -> counted would=-
        ",
    );
    check(
        "slow_call=10 slow_rate=50 min_calls=2",
        "
        0 hold metrics-only   -> closed>metrics-only:manual
        1 call success 11     -> counted would=-
        2 call success 10     -> counted would=slow_rate state=metrics-only
        ",
    );
}

#[test]
fn forced_open_rejects_all_for_as_long_as_it_is_held() {
    check(
        "consecutive_failures=1 open_for=10",
        "
        0     hold forced-open  -> closed>forced-open:manual admits=false
        1     start a           -> rejected:forced-open
        99999 start b           -> rejected:forced-open rejected=2 retry=-
        ",
    );
}

#[test]
fn a_result_of_another_generation_changes_totals_only_in_every_state() {
    let begin = "0 start a -> admitted
                 0 start b -> admitted
                 0 call failure -> counted calls=1 run=1
                 ";
    let ways = [
        ("open", "1 trip -> closed>open:manual retry=11"),
        (
            "half-open",
            "1 trip -> closed>open:manual\n 11 start t -> admitted open>half-open:trial_due",
        ),
        ("closed", "1 trip -> closed>open:manual\n 1 reset -> open>closed:manual"),
        ("forced-open", "1 hold forced-open -> closed>forced-open:manual"),
        ("disabled", "1 hold disabled -> closed>disabled:manual"),
        ("metrics-only", "1 hold metrics-only -> closed>metrics-only:manual"),
    ];
    for (state, way) in ways {
        let calls = if state == "closed" { 0 } else { 1 };
        let end = format!(
            "
            12 finish a failure -> stale state={state} calls={calls} run={calls} stale=1 failed=2
            12 finish b success -> stale state={state} calls={calls} run={calls} stale=2 succeeded=1
            12 view             -> state={state} successes=0 trial_failures=0
            "
        );
        check("consecutive_failures=2 open_for=10", &format!("{begin}{way}{end}"));
    }
}

#[test]
fn a_late_trial_is_stale_in_the_next_round_and_wherever_a_person_moved_the_breaker() {
    let begin = "0  call failure -> counted closed>open:consecutive_failures@0 retry=10
                 10 start a      -> admitted open>half-open:trial_due
                 10 start b      -> admitted gen=2
                 ";
    let ways = [
        ("open", "11 trip -> half-open>open:manual"),
        ("closed", "11 reset -> half-open>closed:manual"),
        (
            "half-open",
            "11 trip for 1 -> half-open>open:manual\n 12 start c -> admitted open>half-open:trial_due",
        ),
        ("forced-open", "11 hold forced-open -> half-open>forced-open:manual"),
        ("disabled", "11 hold disabled -> half-open>disabled:manual"),
        ("metrics-only", "11 hold metrics-only -> half-open>metrics-only:manual"),
    ];
    for (state, way) in ways {
        let end = format!(
            "
            13 finish a success -> stale state={state} successes=0
            13 finish b failure -> stale state={state} trial_failures=0 stale=2
            "
        );
        check(
            "consecutive_failures=1 open_for=10 half_open_calls=2",
            &format!("{begin}{way}{end}"),
        );
    }
}

#[test]
fn a_result_of_a_hold_is_stale_once_it_is_released() {
    for hold in ["disabled", "metrics-only"] {
        check(
            "consecutive_failures=1",
            &format!(
                "
                0 hold {hold}      -> closed>{hold}:manual
                1 start a          -> admitted
                2 release          -> {hold}>closed:manual
                3 finish a failure -> stale state=closed run=0 calls=0
                "
            ),
        );
    }
}

#[test]
fn the_first_rule_in_their_order_is_the_reason() {
    // All four hold at the second call, then one fewer from the front.
    let cases = [
        (
            "consecutive_failures=2 failures=2 failure_rate=100 slow_rate=100",
            "consecutive_failures",
        ),
        ("failures=2 failure_rate=100 slow_rate=100", "failure_count"),
        ("failure_rate=100 slow_rate=100", "failure_rate"),
        ("slow_rate=100", "slow_rate"),
    ];
    for (rules, reason) in cases {
        check(
            &format!("{rules} min_calls=2 slow_call=10"),
            &format!(
                "
                0 call failure 11 -> counted state=closed
                1 call failure 11 -> counted closed>open:{reason}@1
                "
            ),
        );
    }
}

#[test]
fn a_success_can_trip_by_either_rate() {
    check(
        "failure_rate=50 min_calls=2",
        "
        0 call failure    -> counted state=closed
        1 call success    -> counted closed>open:failure_rate
        ",
    );
    check(
        "slow_call=10 slow_rate=100 min_calls=1",
        "0 call success 11 -> counted closed>open:slow_rate slow=1 failures=0",
    );
}

#[test]
fn a_run_of_failures_is_broken_by_a_success_and_by_nothing_else() {
    check(
        "consecutive_failures=3",
        "
        0 call failure  -> counted run=1
        1 call failure  -> counted run=2
        2 call ignored  -> uncounted run=2 calls=2
        3 call success  -> counted run=0
        4 call failure  -> counted run=1
        5 call ignored  -> uncounted run=1
        6 call failure  -> counted run=2
        7 call ignored  -> uncounted run=2 ignored=3
        8 call failure  -> counted closed>open:consecutive_failures@8
        ",
    );
}

#[test]
fn the_run_of_failures_does_not_expire_with_the_window() {
    check(
        "window=600ms consecutive_failures=3",
        "
        0       call failure -> counted calls=1 run=1
        100000  call failure -> counted calls=1 run=2
        9000000 view         -> calls=0 run=2
        9000001 call failure -> counted calls=1 closed>open:consecutive_failures
        ",
    );
    check(
        "window=1 consecutive_failures=3",
        "
        0 call failure -> counted calls=1 run=1
        1 call failure -> counted calls=1 run=2
        2 call failure -> counted calls=1 closed>open:consecutive_failures
        ",
    );
}

#[test]
fn rates_compare_exactly_to_a_hundredth_of_a_percent() {
    let tally = |failures, calls| Tally { calls, failures, slow: failures };
    let reached = |share: &str, failures, calls| {
        let by_failures = Policy { min_calls: 1, ..policy(&format!("failure_rate={share}")) };
        let tally: Tally = tally(failures, calls);
        by_failures.failure_rate.is_reached_by(tally.failures, tally.calls)
    };
    assert!(reached("0.01", 1, 10_000));
    assert!(!reached("0.01", 0, 10_000));
    assert!(!reached("0.02", 1, 10_000));
    assert!(reached("33.33", 1, 3));
    assert!(!reached("33.34", 1, 3));
    assert!(reached("66.66", 2, 3));
    assert!(!reached("66.67", 2, 3));
    assert!(reached("100", u32::MAX, u32::MAX));
    assert!(!reached("100", u32::MAX - 1, u32::MAX));
}

#[test]
fn a_hundredth_of_a_percent_trips_the_breaker_at_one_in_ten_thousand() {
    let policy = policy("window=10000 min_calls=10000 failure_rate=0.01");
    let mut player = player::Player::new(policy);
    player.play("0 call failure -> counted state=closed");
    for _ in 0..9_998 {
        player.play("0 call success -> counted state=closed");
    }
    player.play("0 call success -> counted calls=10000 failures=1 closed>open:failure_rate");
}

#[test]
fn the_rates_wait_for_min_calls() {
    check(
        "failure_rate=1 min_calls=3 window=600ms",
        "
        0    call failure -> counted state=closed
        11   call failure -> counted state=closed
        600  call failure -> counted calls=2 state=closed
        605  call ignored -> uncounted calls=2 state=closed
        605  call failure -> counted calls=3 closed>open:failure_rate
        ",
    );
}

#[test]
fn min_calls_above_a_count_window_is_clamped_to_it_and_above_a_time_window_is_not() {
    check(
        "failure_rate=100 min_calls=1000 window=2",
        "
        0 call failure -> counted state=closed
        1 call failure -> counted closed>open:failure_rate
        ",
    );
    check(
        "failure_rate=100 min_calls=3 window=60000ms",
        "
        0 call failure -> counted state=closed
        1 call failure -> counted state=closed
        2 call failure -> counted closed>open:failure_rate
        ",
    );
}

#[test]
fn a_slow_failure_counts_in_both_tallies_and_at_the_limit_is_not_slow() {
    check(
        "slow_call=10",
        "
        0 call failure 11  -> counted calls=1 failures=1 slow=1
        1 call success 11  -> counted calls=2 failures=1 slow=2
        2 call failure 10  -> counted calls=3 failures=2 slow=2
        3 call ignored 11  -> uncounted calls=3 failures=2 slow=2
        4 call success     -> counted calls=4 failures=2 slow=2 slow_total=2
        ",
    );
}

#[test]
fn ignored_outcomes_and_rejected_calls_are_in_no_rate() {
    check(
        "failure_rate=50 min_calls=3 open_for=100",
        "
        0 call ignored -> uncounted calls=0
        0 call failure -> counted calls=1
        0 call ignored -> uncounted calls=1
        0 call success -> counted calls=2
        0 call ignored -> uncounted calls=2
        0 call success -> counted calls=3 state=closed
        0 call failure -> counted calls=4 closed>open:failure_rate
        1 call failure -> rejected:open@100 calls=4 failures=2 admitted=7 rejected=1
        ",
    );
}

#[test]
fn a_failure_limit_counts_only_what_the_window_still_holds() {
    check(
        "window=600ms failures=3",
        "
        0    call failure -> counted
        9    call failure -> counted failures=2
        599  view         -> failures=2
        600  view         -> failures=0
        600  call failure -> counted failures=1
        610  call failure -> counted failures=2
        620  call failure -> counted closed>open:failure_count
        ",
    );
}

#[test]
fn every_expired_bucket_is_gone_however_long_the_breaker_was_idle() {
    check(
        "window=600ms failures=5",
        "
        0           call failure -> counted failures=1
        300         call failure -> counted failures=2
        899         view         -> failures=1
        900         view         -> failures=0
        31536000000 view         -> calls=0
        31536000000 call failure -> counted failures=1
        ",
    );
}

#[test]
fn a_rule_that_is_off_never_trips() {
    let mut player = player::Player::new(policy("window=5 slow_call=1"));
    for _ in 0..200 {
        player.play("0 call failure 100 -> counted state=closed would=-");
    }
    assert!(!policy("slow_call=1").has_rule());
    assert!(!policy("slow_call=1").judges_slow_calls());
    assert!(policy("slow_call=1 slow_rate=1").has_rule());
}

#[test]
fn open_rejects_until_its_time_and_admits_exactly_then() {
    check(
        "consecutive_failures=1 open_for=1000",
        "
        500  call failure -> counted closed>open:consecutive_failures@500 retry=1500
        501  start a      -> rejected:open@1500 due=false
        1499 start b      -> rejected:open@1500 due=false admits=false
        1500 view         -> state=open due=true admits=true
        1500 start c      -> admitted open>half-open:trial_due@1500 retry=-
        ",
    );
}

#[test]
fn reading_never_changes_a_state() {
    check(
        "consecutive_failures=1 open_for=10",
        "
        0   call failure -> counted closed>open:consecutive_failures gen=1
        10  view         -> state=open due=true gen=1
        999 view         -> state=open due=true gen=1 since=0
        999 call success -> counted open>half-open:trial_due half-open>closed:trials_succeeded gen=3
        ",
    );
}

#[test]
fn results_that_arrive_while_open_change_totals_only() {
    check(
        "consecutive_failures=1 open_for=1000",
        "
        0  start a          -> admitted
        0  start b          -> admitted
        1  call failure     -> counted closed>open:consecutive_failures retry=1001
        2  finish a failure -> stale retry=1001 calls=1 gen=1
        3  finish b success -> stale retry=1001 calls=1 gen=1 stale=2
        ",
    );
}

#[test]
fn the_period_grows_with_each_reopen_and_starts_over_after_a_close() {
    check(
        "consecutive_failures=1 open_for=1000 open_backoff=1.5 open_max=3000",
        "
        0      call failure -> counted closed>open:consecutive_failures retry=1000
        1000   call failure -> counted open>half-open:trial_due half-open>open:trial_failed retry=2500
        2500   call failure -> counted open>half-open:trial_due half-open>open:trial_failed retry=4750
        4750   call failure -> counted open>half-open:trial_due half-open>open:trial_failed retry=7750
        7750   call failure -> counted open>half-open:trial_due half-open>open:trial_failed retry=10750
        10750  call success -> counted open>half-open:trial_due half-open>closed:trials_succeeded k=0
        10750  call failure -> counted closed>open:consecutive_failures retry=11750
        ",
    );
}

#[test]
fn periods_are_rounded_down_to_whole_milliseconds() {
    // 3 x 1.5 = 4.5, 3 x 1.5 x 1.5 = 6.75, and 10.125: the fraction is not lost on the way.
    check(
        "consecutive_failures=1 open_for=3 open_backoff=1.5",
        "
        0  call failure -> counted closed>open:consecutive_failures retry=3
        3  call failure -> counted open>half-open:trial_due half-open>open:trial_failed retry=7
        7  call failure -> counted open>half-open:trial_due half-open>open:trial_failed retry=13
        13 call failure -> counted open>half-open:trial_due half-open>open:trial_failed retry=23
        ",
    );
}

#[test]
fn a_cap_below_the_first_period_does_not_shorten_it() {
    check(
        "consecutive_failures=1 open_for=1000 open_backoff=2 open_max=10",
        "
        0    call failure -> counted closed>open:consecutive_failures retry=1000
        1000 call failure -> counted open>half-open:trial_due half-open>open:trial_failed retry=2000
        ",
    );
}

#[test]
fn jitter_spreads_the_capped_period_to_both_sides_and_no_further() {
    let policy = policy("consecutive_failures=1 open_for=1000 open_jitter=12.5");
    let cases = [(0, 875), (u64::MAX / 2, 1000), (u64::MAX, 1125)];
    for (draw, retry) in cases {
        let mut player = player::Player::new(policy.clone());
        player.draw = draw;
        player.play(&format!(
            "0 call failure -> counted closed>open:consecutive_failures retry={retry}"
        ));
    }
    let all: Vec<u64> = (0..=250)
        .map(|step| super::backoff::open_period_ms(&policy, 0, step * (u64::MAX / 250)))
        .collect();
    assert!(all.iter().all(|period| (875..=1125).contains(period)), "{all:?}");
    assert!(all.is_sorted(), "the draw picks a place from one end to the other");
    assert!(all.iter().any(|period| *period < 900) && all.iter().any(|period| *period > 1100));
}

#[test]
fn an_own_period_of_a_trip_has_no_jitter() {
    let mut player = player::Player::new(policy("open_for=1000 open_jitter=50"));
    player.draw = u64::MAX;
    player.play("0 trip for 300 -> closed>open:manual retry=300");
}

#[test]
fn no_clock_value_panics() {
    let max = u64::MAX;
    check(
        "consecutive_failures=1 window=1ms open_for=1000 permit_ttl=1000",
        &format!(
            "
            {max} call failure    -> counted closed>open:consecutive_failures retry={max}
            {max} start a         -> admitted open>half-open:trial_due
            {max} trip for 5      -> half-open>open:manual retry={max}
            {max} hold disabled for 5 -> open>disabled:manual state=closed
            0     view            -> state=disabled until={max}
            0     release         -> disabled>closed:manual
            0     call failure    -> counted closed>open:consecutive_failures retry=1000
            "
        ),
    );
}

#[test]
fn a_clock_that_went_back_makes_no_age_negative() {
    check(
        "window=600ms failures=3 open_for=1000",
        "
        1000 call failure -> counted failures=1
        400  call failure -> counted failures=2
        1000 view         -> failures=2
        1600 view         -> failures=0
        5000 trip         -> closed>open:manual retry=6000
        100  view         -> state=open due=false retry=6000
        ",
    );
}

#[test]
fn the_same_inputs_give_the_same_outputs() {
    let trace = "
        0    call failure -> counted closed>open:consecutive_failures retry=950
        950  start a      -> admitted open>half-open:trial_due
        960  lose a       ->
        970  call failure -> counted half-open>open:trial_failed retry=1920
        ";
    let play = || {
        let mut player =
            player::Player::new(policy("consecutive_failures=1 open_for=1000 open_jitter=5"));
        trace.trim().lines().for_each(|line| player.play(line));
        player.breaker
    };
    assert_eq!(play(), play());
}

#[test]
fn a_new_breaker_is_closed_and_empty() {
    let view = Breaker::new(Now::at(7)).view(&Policy::default(), Now::at(9));
    assert_eq!((view.state.name(), view.generation, view.since_ms), ("closed", 0, 7));
    assert_eq!((view.tally, view.consecutive_failures), (Tally::default(), 0));
    assert!(view.admits && !view.trial_due && view.last_transition.is_none());
}

#[test]
fn a_changed_count_window_keeps_the_latest_outcomes() {
    check(
        "window=5",
        "
        0 call failure -> counted
        0 call failure -> counted
        0 call success -> counted
        0 call failure -> counted calls=4 failures=3
        0 policy window=2 -> calls=2 failures=1
        0 view         -> calls=2 failures=1
        0 call success -> counted calls=2 failures=1
        0 call success -> counted calls=2 failures=0
        0 policy window=9 -> calls=2 failures=0
        0 call failure -> counted calls=3 failures=1
        ",
    );
}

#[test]
fn a_changed_time_window_keeps_what_is_young_enough_and_a_change_of_kind_keeps_nothing() {
    check(
        "window=6000ms",
        "
        0    call failure -> counted
        5000 call failure -> counted failures=2
        5500 policy window=1200ms -> calls=1 failures=1
        5500 call success -> counted calls=2 failures=1
        5500 policy window=60000ms -> calls=2 failures=1
        5600 call success -> counted calls=3
        5600 policy window=10 -> calls=0 run=0
        5600 call failure -> counted calls=1 run=1
        5600 policy window=600ms -> calls=0 run=1
        ",
    );
}

#[test]
fn a_stricter_policy_trips_at_the_next_recorded_outcome_and_not_before() {
    check(
        "consecutive_failures=10",
        "
        0 call failure -> counted
        0 call failure -> counted run=2
        0 policy consecutive_failures=2 -> state=closed
        1 view         -> state=closed admits=true
        1 call ignored -> uncounted state=closed
        1 call failure -> counted closed>open:consecutive_failures
        ",
    );
}

#[test]
fn an_open_period_is_not_changed_by_a_changed_policy() {
    check(
        "consecutive_failures=1 open_for=1000",
        "
        0   call failure -> counted closed>open:consecutive_failures retry=1000
        1   policy open_for=10 -> retry=1000
        500 start a      -> rejected:open@1000
        ",
    );
}

#[test]
fn the_latest_failure_that_counted_is_remembered_and_an_ignored_or_late_one_is_not() {
    check_each(
        "consecutive_failures=2 open_for=10",
        &[
            "0  start a          -> admitted last_failure=-",
            "5  call failure 7   -> counted last_failure=5/7",
            "6  call ignored 9   -> uncounted last_failure=5/7",
            "7  call success     -> counted last_failure=5/7",
            "8  trip             -> closed>open:manual",
            "9  finish a failure -> stale last_failure=5/7",
        ],
    );
}
