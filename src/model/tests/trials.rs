//! Half-open: the round, its verdict, leases, and lost trials (1.7, 1.8).

use super::player::check;

/// Opens at 0, and is due at 10.
const OPEN: &str = "0 call failure -> counted closed>open:consecutive_failures retry=10\n";

#[track_caller]
fn check_round(policy: &str, trace: &str) {
    check(&format!("consecutive_failures=1 open_for=10 {policy}"), &format!("{OPEN}{trace}"));
}

#[test]
fn a_round_caps_the_trials_in_flight_and_the_trials_of_the_round() {
    check_round(
        "half_open_calls=3",
        "
        10 start a          -> admitted open>half-open:trial_due permitted=2 in_flight=1
        10 start b          -> admitted permitted=1
        10 start c          -> admitted permitted=0 in_flight=3 admits=false
        10 start d          -> rejected:no-trial
        11 finish a success -> counted permitted=0 in_flight=2 successes=1
        11 start d          -> rejected:no-trial state=half-open
        12 finish b success -> counted permitted=0 admits=false
        12 start d          -> rejected:no-trial rejected=3
        13 finish c success -> counted half-open>closed:trials_succeeded
        13 start d          -> admitted
        ",
    );
}

#[test]
fn a_round_closes_as_soon_as_enough_trials_succeeded() {
    check_round(
        "half_open_calls=5 success_threshold=2",
        "
        10 start a          -> admitted open>half-open:trial_due
        10 start b          -> admitted
        10 start c          -> admitted
        11 finish a success -> counted state=half-open
        12 finish b failure -> counted state=half-open
        13 finish c success -> counted half-open>closed:trials_succeeded
        ",
    );
}

#[test]
fn a_round_reopens_as_soon_as_enough_successes_are_out_of_reach() {
    // N - S + 1 failures: the fourth of five where two must succeed.
    check_round(
        "half_open_calls=5 success_threshold=2",
        "
        10 call failure -> counted open>half-open:trial_due trial_failures=1
        11 call failure -> counted trial_failures=2
        12 call success -> counted successes=1
        13 call failure -> counted state=half-open trial_failures=3
        14 call failure -> counted half-open>open:trial_failed retry=24 k=1
        ",
    );
    check_round(
        "half_open_calls=3",
        "
        10 start a          -> admitted open>half-open:trial_due
        10 start b          -> admitted
        11 finish b failure -> counted half-open>open:trial_failed retry=21
        12 finish a success -> stale state=open
        ",
    );
}

#[test]
fn every_threshold_is_decided_by_exactly_so_many_results() {
    for calls in 1..=5u64 {
        for threshold in 1..=calls {
            let policy = format!("half_open_calls={calls} success_threshold={threshold}");
            let mut good = String::from("10 view -> due=true\n");
            let mut bad = good.clone();
            for count in 1..=threshold {
                let first = if count == 1 { "open>half-open:trial_due" } else { "" };
                let last =
                    if count == threshold { "half-open>closed:trials_succeeded" } else { "" };
                good.push_str(&format!("10 call success -> counted {first} {last}\n"));
            }
            for count in 1..=calls - threshold + 1 {
                let first = if count == 1 { "open>half-open:trial_due" } else { "" };
                let end = count == calls - threshold + 1;
                let last = if end { "half-open>open:trial_failed" } else { "" };
                bad.push_str(&format!("10 call failure -> counted {first} {last}\n"));
            }
            check_round(&policy, &good);
            check_round(&policy, &bad);
        }
    }
}

#[test]
fn a_slow_trial_is_a_failure_where_slow_calls_are_judged() {
    check_round(
        "slow_call=5 slow_rate=50",
        "10 call success 6 -> counted open>half-open:trial_due half-open>open:trial_failed",
    );
    check_round(
        "slow_call=5 slow_rate=50",
        "10 call success 5 -> counted open>half-open:trial_due half-open>closed:trials_succeeded",
    );
    check_round(
        "slow_call=5",
        "10 call success 6 -> counted open>half-open:trial_due half-open>closed:trials_succeeded",
    );
}

#[test]
fn an_ignored_trial_gives_its_permit_back() {
    check_round(
        "slow_call=5 slow_rate=50",
        "
        10 start a            -> admitted open>half-open:trial_due
        10 start b            -> rejected:no-trial
        11 finish a ignored 9 -> uncounted permitted=1 in_flight=0 trial_failures=0
        11 start b            -> admitted
        12 finish a success   -> stale in_flight=1
        13 finish b success   -> counted half-open>closed:trials_succeeded
        ",
    );
}

#[test]
fn trials_touch_the_round_and_not_the_window() {
    check_round(
        "half_open_calls=3 window=5",
        "
        10 call success -> counted open>half-open:trial_due calls=1 failures=1 run=1 successes=1
        11 call success -> counted calls=1 failures=1 run=1 successes=2
        12 call failure -> counted half-open>open:trial_failed calls=1 failures=1 run=1
        ",
    );
}

#[test]
fn opening_keeps_the_window_for_display_and_closing_empties_it() {
    check(
        "failures=2 open_for=10",
        "
        0  call success -> counted
        1  call failure -> counted
        2  call failure -> counted closed>open:failure_count calls=3 failures=2 run=2
        12 start a      -> admitted open>half-open:trial_due calls=3 failures=2 run=2
        12 finish a success -> counted half-open>closed:trials_succeeded calls=0 run=0 k=0
        ",
    );
}

#[test]
fn a_trial_is_counted_once() {
    check_round(
        "half_open_calls=3",
        "
        10 start a          -> admitted open>half-open:trial_due
        11 finish a success -> counted successes=1
        12 finish a success -> stale successes=1
        13 finish a failure -> stale trial_failures=0 state=half-open stale=2
        ",
    );
}

#[test]
fn a_lease_ends_at_its_start_and_ttl_and_not_before() {
    check_round(
        "permit_ttl=100",
        "
        10  start a          -> admitted open>half-open:trial_due
        109 start b          -> rejected:no-trial in_flight=1
        110 view             -> in_flight=0 permitted=1 admits=true
        110 start b          -> admitted gen=2
        111 finish a success -> stale in_flight=1 state=half-open
        112 finish b success -> counted half-open>closed:trials_succeeded
        ",
    );
}

#[test]
fn a_result_within_its_lease_counts_and_at_its_end_is_stale() {
    check_round(
        "permit_ttl=100",
        "
        10  start a          -> admitted open>half-open:trial_due
        109 finish a success -> counted half-open>closed:trials_succeeded
        ",
    );
    check_round(
        "permit_ttl=100",
        "
        10  start a          -> admitted open>half-open:trial_due
        110 finish a success -> stale state=half-open in_flight=0
        ",
    );
}

#[test]
fn a_lost_trial_frees_its_permit_and_its_late_result_is_stale() {
    check_round(
        "",
        "
        10 start a          -> admitted open>half-open:trial_due
        11 lose a           -> permitted=1 in_flight=0 trial_failures=0
        12 finish a success -> stale state=half-open
        12 lose a           -> permitted=1
        13 call success     -> counted half-open>closed:trials_succeeded
        ",
    );
}

#[test]
fn three_lost_trials_in_a_row_are_one_failed_trial() {
    check_round(
        "",
        "
        10 start a -> admitted open>half-open:trial_due
        10 lose a  -> state=half-open
        11 start b -> admitted
        11 lose b  -> state=half-open
        12 start c -> admitted
        12 lose c  -> half-open>open:trial_failed@12 retry=22 k=1
        ",
    );
    check_round(
        "half_open_calls=2 success_threshold=1",
        "
        10 start a -> admitted open>half-open:trial_due
        10 lose a  ->
        10 start a -> admitted
        10 lose a  ->
        10 start a -> admitted
        10 lose a  -> trial_failures=1 permitted=1 state=half-open
        11 start a -> admitted
        11 lose a  ->
        11 start a -> admitted
        11 lose a  -> trial_failures=1
        11 start a -> admitted
        11 lose a  -> half-open>open:trial_failed
        ",
    );
}

#[test]
fn leases_that_run_out_together_count_as_lost_each() {
    check_round(
        "half_open_calls=3 permit_ttl=100",
        "
        10  start a -> admitted open>half-open:trial_due
        20  start b -> admitted
        30  start c -> admitted
        120 view    -> state=half-open in_flight=1 permitted=2
        130 view    -> state=open retry=140
        130 start d -> rejected:open@140 half-open>open:trial_failed@130 k=1
        ",
    );
}

/// Else a reader that only looks would see the open period begin anew each time,
/// and one that waits for it to end would wait for ever.
#[test]
fn a_round_that_leases_decide_is_decided_when_the_last_of_them_ran_out() {
    let begin = "
        10  start a -> admitted open>half-open:trial_due
        20  start b -> admitted
        30  start c -> admitted
        ";
    let ways = [
        "139 view    -> state=open since=130 retry=140 due=false admits=false
         140 view    -> state=open due=true admits=true
         999 view    -> state=open since=130 retry=140 due=true admits=true",
        "139 start d -> rejected:open@140 half-open>open:trial_failed@130 k=1",
        "999 start d -> admitted half-open>open:trial_failed@130 open>half-open:trial_due@999",
        "999 lose b  -> half-open>open:trial_failed@130 retry=140",
        "999 finish c failure -> stale half-open>open:trial_failed@130 retry=140",
    ];
    for way in ways {
        check_round("half_open_calls=3 permit_ttl=100", &format!("{begin}{way}"));
    }
}

#[test]
fn a_result_starts_the_count_of_lost_trials_over_and_an_ignored_one_does_not() {
    let begin = "
        10 start a -> admitted open>half-open:trial_due
        10 lose a  ->
        10 start a -> admitted
        10 lose a  ->
        ";
    check_round(
        "half_open_calls=4 success_threshold=3",
        &format!(
            "{begin}
            11 call success -> counted successes=1
            12 start a      -> admitted
            12 lose a       -> trial_failures=0
            12 start a      -> admitted
            12 lose a       -> trial_failures=0
            12 start a      -> admitted
            12 lose a       -> trial_failures=1
            "
        ),
    );
    check_round(
        "half_open_calls=4 success_threshold=3",
        &format!(
            "{begin}
            11 call ignored -> uncounted
            12 start a      -> admitted
            12 lose a       -> trial_failures=1
            "
        ),
    );
}

#[test]
fn losing_what_is_no_trial_changes_nothing() {
    check(
        "consecutive_failures=2 open_for=10",
        "
        0  start a      -> admitted
        1  lose a       -> state=closed run=0
        2  trip         -> closed>open:manual
        3  lose a       -> state=open
        12 start b      -> admitted open>half-open:trial_due
        12 lose a       -> in_flight=1
        13 reset        -> half-open>closed:manual
        13 lose b       -> state=closed
        ",
    );
}

#[test]
fn a_round_is_decided_at_once_by_a_policy_that_changed_under_it() {
    check_round(
        "half_open_calls=5 success_threshold=4",
        "
        10 call success             -> counted open>half-open:trial_due
        10 call success             -> counted state=half-open
        10 policy success_threshold=2 -> state=closed
        11 start a                  -> admitted half-open>closed:trials_succeeded@11
        ",
    );
    check_round(
        "half_open_calls=5 success_threshold=2",
        "
        10 call failure             -> counted open>half-open:trial_due
        10 call failure             -> counted state=half-open
        10 policy half_open_calls=2 -> state=open
        11 start a                  -> rejected:open@21 half-open>open:trial_failed@11
        ",
    );
}

#[test]
fn a_smaller_round_waits_for_its_trials_in_flight_and_is_never_stuck() {
    check_round(
        "half_open_calls=3 permit_ttl=100",
        "
        10  start a                  -> admitted open>half-open:trial_due
        10  start b                  -> admitted
        10  start c                  -> admitted
        11  policy half_open_calls=1 -> permitted=0 in_flight=3
        11  start d                  -> rejected:no-trial
        12  finish a ignored         -> uncounted permitted=0 in_flight=2
        13  finish b ignored         -> uncounted permitted=0 in_flight=1
        110 view                     -> permitted=1 in_flight=0 admits=true
        110 call success             -> counted half-open>closed:trials_succeeded
        ",
    );
}

#[test]
fn a_larger_round_goes_on_where_the_smaller_one_was() {
    check_round(
        "half_open_calls=2",
        "
        10 call success              -> counted open>half-open:trial_due successes=1
        10 start a                   -> admitted permitted=0
        11 policy half_open_calls=3  -> permitted=1
        11 call success              -> counted successes=2
        12 finish a success          -> counted half-open>closed:trials_succeeded
        ",
    );
}
