//! Probes: what one is given in each state, and what it may change there.

use std::time::Duration;

use super::player::{check, policy};
use crate::model::breaker::{Breaker, Holder, Manual, Recorded};
use crate::model::{Finished, Now, Outcome};

#[test]
fn a_probe_of_a_closed_breaker_is_a_call() {
    check(
        "consecutive_failures=2 slow_call=10",
        "
        0 probe failure 7   -> call counted calls=1 run=1 admitted=1 failed=1 last_failure=0/7
        1 probe success 11  -> call counted calls=2 run=0 slow=1 succeeded=1 slow_total=1
        2 probe ignored     -> call uncounted calls=2 ignored=0 admitted=2
        3 probe failure     -> call counted run=1
        4 call failure      -> counted closed>open:consecutive_failures retry=30004 rejected=0
        ",
    );
}

#[test]
fn a_probe_of_a_half_open_breaker_is_a_trial_where_one_is_free() {
    check(
        "consecutive_failures=1 open_for=10 half_open_calls=2 permit_ttl=100",
        "
        0  call failure        -> counted closed>open:consecutive_failures
        10 start a             -> admitted open>half-open:trial_due permitted=1
        11 look p              -> trial permitted=0 in_flight=2 admitted=3
        12 look q              -> looks in_flight=2 admitted=3 rejected=0
        13 looked q failure    -> uncounted in_flight=2 trial_failures=0 failed=1
        14 looked p ignored    -> uncounted permitted=1 in_flight=1 admitted=2
        15 look p              -> trial
        16 looked p success    -> counted successes=1 permitted=0
        17 probe success       -> looks uncounted successes=1
        18 finish a success    -> counted half-open>closed:trials_succeeded
        ",
    );
}

#[test]
fn a_probe_that_is_a_trial_has_a_lease_and_can_be_lost_like_any() {
    check(
        "consecutive_failures=1 open_for=10 half_open_calls=2 permit_ttl=100",
        "
        0   call failure       -> counted closed>open:consecutive_failures
        10  start a            -> admitted open>half-open:trial_due
        10  look p             -> trial in_flight=2
        110 view               -> in_flight=0 permitted=2
        110 looked p failure   -> stale trial_failures=0 stale=1 probe=failurex1@110/0
        ",
    );
}

#[test]
fn a_look_counts_in_no_total_and_starts_no_trial() {
    check(
        "consecutive_failures=1 open_for=1000",
        "
        0    call failure      -> counted closed>open:consecutive_failures
        500  probe failure     -> looks uncounted admitted=1 rejected=0 failed=1
        1000 probe success     -> looks uncounted state=open due=true succeeded=0 gen=1
        1001 probe ignored     -> looks uncounted ignored=0 stale=0
        ",
    );
}

#[test]
fn good_looks_in_a_row_make_the_trial_due_and_nothing_else_does() {
    check(
        "consecutive_failures=1 open_for=1000 rise=3",
        "
        0   call failure       -> counted closed>open:consecutive_failures
        1   probe success      -> looks uncounted retry=1000
        2   probe success      -> looks uncounted retry=1000
        3   probe failure      -> looks uncounted retry=1000
        4   probe success      -> looks uncounted retry=1000
        5   probe ignored      -> looks uncounted retry=1000
        6   probe success      -> looks uncounted retry=1000
        7   probe success      -> looks uncounted due retry=7 due=true admits=true since=0
        8   probe success      -> looks uncounted retry=7
        9   start a            -> admitted open>half-open:trial_due
        ",
    );
}

#[test]
fn a_trial_that_is_due_anyway_is_no_effect_of_a_look() {
    check(
        "open_for=1000 rise=1",
        "
        0    trip           -> closed>open:manual
        1000 probe success  -> looks uncounted retry=1000
        2000 probe success  -> looks uncounted retry=1000
        ",
    );
}

#[test]
fn good_looks_close_where_the_policy_says_so() {
    check(
        "consecutive_failures=1 open_for=10 open_backoff=2 rise=2 probe_closes=true",
        "
        0  call failure        -> counted closed>open:consecutive_failures
        10 call failure        -> counted open>half-open:trial_due half-open>open:trial_failed k=1
        11 probe success       -> looks uncounted
        12 probe success       -> looks uncounted closed open>closed:probe calls=0 run=0 k=0 by=/
        13 view                -> why=probe@12 succeeded=0
        ",
    );
}

#[test]
fn a_run_of_good_looks_ends_with_its_open_period() {
    let begin = "0 trip -> closed>open:manual
                 1 probe success -> looks uncounted
                 ";
    let ways = [
        "2 reset -> open>closed:manual
         3 trip -> closed>open:manual",
        "2 hold forced-open -> open>forced-open:manual
         3 release -> forced-open>open:manual",
        "1000 start a -> admitted open>half-open:trial_due
         1001 finish a failure -> counted half-open>open:trial_failed",
    ];
    for way in ways {
        let end = "
            1002 trip for 1000  -> retry=2002
            1003 probe success  -> looks uncounted due=false
            1004 probe success  -> looks uncounted due due=true
            ";
        check("open_for=1000 rise=2", &format!("{begin}{way}{end}"));
    }
}

#[test]
fn a_slow_look_is_no_good_one_where_slow_calls_count() {
    let trace = |slow: &str| {
        format!(
            "
            0 trip              -> closed>open:manual
            1 probe success 11  -> looks uncounted
            2 probe success 10  -> looks uncounted {slow}
            "
        )
    };
    check("rise=2 slow_call=10 slow_rate=50", &trace("due=false"));
    check("rise=2 slow_call=10", &trace("due due=true"));
}

#[test]
fn a_hold_is_only_looked_at() {
    for hold in ["forced-open", "disabled", "metrics-only"] {
        check(
            "consecutive_failures=1 rise=1 probe_closes=true",
            &format!(
                "
                0 hold {hold}                -> closed>{hold}:manual
                1 probe failure after 9000   -> looks uncounted calls=0 failed=0 admitted=0
                2 probe success 5            -> looks uncounted calls=0 rejected=0 gen=1
                3 view                       -> state={hold} probe=successx1@2/5 would=-
                "
            ),
        );
    }
}

#[test]
fn a_server_that_asks_to_be_left_alone_puts_the_trial_off_and_never_earlier() {
    check(
        "consecutive_failures=1 open_for=1000 open_max=5000",
        "
        0    call failure                 -> counted closed>open:consecutive_failures retry=1000
        100  probe failure after 900      -> looks uncounted retry=1000
        100  probe failure after 901      -> looks uncounted later retry=1001
        200  probe failure after 0        -> looks uncounted retry=1001
        300  probe success after 3000     -> looks uncounted retry=1001
        300  probe ignored after 3000     -> looks uncounted retry=1001
        2000 probe failure after 500      -> looks uncounted later retry=2500 due=false
        3000 probe failure after 99999999 -> looks uncounted later retry=5000
        4000 probe failure after 99999999 -> looks uncounted retry=5000
        5001 probe failure after 99999999 -> looks uncounted retry=5000 due=true
        5002 trip for 9000                -> retry=14002
        5003 probe failure after 1        -> looks uncounted retry=14002
        ",
    );
}

#[test]
fn the_longest_period_is_never_below_open_for() {
    check(
        "open_for=1000 open_max=10",
        "
        0   trip for 1                  -> closed>open:manual
        100 probe failure after 5000    -> looks uncounted later retry=1000
        ",
    );
}

#[test]
fn a_wish_to_be_left_alone_counts_where_its_own_result_opens() {
    check(
        "consecutive_failures=1 open_for=1000 half_open_calls=2",
        "
        0    probe failure after 2000  -> call counted later closed>open:consecutive_failures retry=2000
        2000 start a                   -> admitted open>half-open:trial_due
        2001 probe failure after 5000  -> trial counted later half-open>open:trial_failed retry=7001
        ",
    );
    check(
        "consecutive_failures=2",
        "
        0 probe failure after 90000    -> call counted state=closed
        1 call failure                 -> counted closed>open:consecutive_failures retry=30001
        ",
    );
}

#[test]
fn what_began_before_a_transition_changes_nothing_after_it() {
    // A call, begun while closed, of an open breaker.
    check(
        "consecutive_failures=2 open_for=1000 rise=1",
        "
        0 look p                       -> call
        0 look q                       -> call
        1 trip                         -> closed>open:manual retry=1001
        2 looked p success             -> stale stale=1 retry=1001 probe=successx1@2/0
        3 looked q failure             -> stale stale=2 retry=1001
        ",
    );
    // A look, begun in another open period, and one begun while half-open.
    check(
        "consecutive_failures=1 open_for=1000 rise=1 probe_closes=true",
        "
        0    trip                         -> closed>open:manual
        1    look p                       -> looks
        1    look q                       -> looks
        1000 start a                      -> admitted open>half-open:trial_due
        1001 look r                       -> looks
        1002 finish a failure             -> counted half-open>open:trial_failed retry=2002
        1003 looked p success             -> stale stale=0 retry=2002
        1004 looked q failure             -> stale retry=2002
        1005 looked r success             -> stale state=open gen=3
        ",
    );
}

#[test]
fn what_began_before_the_breaker_was_made_anew_changes_nothing_in_it() {
    let policy = policy("rise=1 probe_closes=true");
    let tripped = |at_ms| {
        let mut breaker = Breaker::new(Now::at(at_ms));
        let asked = Manual { by: "", comment: "", lasting: None };
        let _ = breaker.trip(&policy, Now::at(at_ms), &asked);
        breaker
    };
    let permit = tripped(0).begin_probe(&policy, Now::at(1), Holder::Process).value;
    let call = Finished::new(Outcome::Success, Duration::ZERO);
    for (born_ms, recorded) in [(0, Recorded::Uncounted), (1, Recorded::Stale)] {
        let mut breaker = tripped(born_ms);
        let step = breaker.end_probe(&policy, Now::at(2), permit, &call, None);
        assert_eq!(step.value.recorded, recorded);
        assert_eq!(step.transitions.len(), usize::from(born_ms == 0));
    }
}

#[test]
fn what_has_run_out_by_the_end_of_a_probe_has_run_out_for_it() {
    check(
        "consecutive_failures=1 rise=1 probe_closes=true",
        "
        0    hold forced-open for 1000    -> closed>forced-open:manual
        999  look p                       -> looks
        1000 looked p success             -> stale forced-open>open:hold_ended state=open
        1001 probe success                -> looks uncounted closed open>closed:probe
        ",
    );
    check(
        "consecutive_failures=1",
        "
        0    hold disabled for 1000       -> closed>disabled:manual
        1000 probe failure                -> call counted disabled>closed:hold_ended closed>open:consecutive_failures
        ",
    );
}

#[test]
fn the_latest_probe_is_kept_with_how_many_said_the_same() {
    check(
        "slow_call=10",
        "
        0 view               -> probe=-
        1 probe ignored 3    -> call uncounted probe=-
        2 probe success 11   -> call counted probe=successx1@2/11/slow
        3 probe success 10   -> call counted probe=successx2@3/10
        4 probe ignored      -> call uncounted probe=successx2@3/10
        5 trip               -> closed>open:manual probe=successx2@3/10
        6 probe success      -> looks uncounted probe=successx3@6/0
        7 probe failure 5    -> looks uncounted probe=failurex1@7/5
        8 reset              -> open>closed:manual probe=failurex1@7/5
        9 probe failure 5    -> call counted probe=failurex2@9/5
        ",
    );
}

#[test]
fn a_probe_that_says_nothing_leaves_no_trace() {
    check(
        "consecutive_failures=1 open_for=10 half_open_calls=2 permit_ttl=100",
        "
        0  probe ignored 5 after 9    -> call uncounted admitted=0 ignored=0 stale=0 probe=-
        1  look p                     -> call admitted=1
        2  call failure               -> counted closed>open:consecutive_failures retry=12
        3  looked p ignored after 90  -> stale admitted=1 stale=0 ignored=0 retry=12 probe=-
        12 probe success              -> looks uncounted probe=successx1@12/0
        12 start a                    -> admitted open>half-open:trial_due
        13 probe ignored              -> trial uncounted in_flight=1 permitted=1 admitted=2
        14 look p                     -> trial in_flight=2
        15 finish a failure           -> counted half-open>open:trial_failed
        16 looked p ignored           -> stale admitted=2 stale=0 ignored=0 probe=successx1@12/0
        ",
    );
}

#[test]
fn a_probe_that_says_nothing_is_taken_back_only_from_its_own_breaker() {
    let policy = policy("");
    let permit = Breaker::new(Now::at(0)).begin_probe(&policy, Now::at(1), Holder::Process).value;
    let call = Finished::new(Outcome::Ignored, Duration::ZERO);
    let mut anew = Breaker::new(Now::at(2));
    let _ = anew.begin_probe(&policy, Now::at(3), Holder::Process);
    let step = anew.end_probe(&policy, Now::at(4), permit, &call, None);
    assert_eq!(step.value.recorded, Recorded::Stale);
    assert_eq!(anew.view(&policy, Now::at(4)).totals.admitted, 1);
}

#[test]
fn a_wish_to_be_left_alone_counts_whoever_opened_the_breaker_meanwhile() {
    check(
        "consecutive_failures=1 open_for=1000 open_max=5000 rise=2",
        "
        0 look p                          -> call
        0 look q                          -> call
        0 look r                          -> call
        1 call failure                    -> counted closed>open:consecutive_failures retry=1001
        2 probe success                   -> looks uncounted
        3 looked p failure after 3000     -> stale later retry=3003 failed=2 k=0 gen=1
        4 looked q failure after 9        -> stale retry=3003
        5 looked r failure after 99999    -> stale later retry=5001
        6 probe success                   -> looks uncounted due retry=6
        7 look s                          -> looks
        8 reset                           -> open>closed:manual
        9 looked s failure after 3000     -> stale state=closed calls=0
        ",
    );
}

#[test]
fn a_wish_to_be_left_alone_is_heard_by_its_own_breaker_only() {
    let policy = policy("open_for=1000 open_max=9000");
    let permit = Breaker::new(Now::at(0)).begin_probe(&policy, Now::at(1), Holder::Process).value;
    let call = Finished::new(Outcome::Failure, Duration::ZERO);
    for (born_ms, retry_at_ms) in [(0, 5003), (1, 1002)] {
        let mut breaker = Breaker::new(Now::at(born_ms));
        let asked = Manual { by: "", comment: "", lasting: None };
        let _ = breaker.trip(&policy, Now::at(2), &asked);
        let wait = Some(Duration::from_secs(5));
        let _ = breaker.end_probe(&policy, Now::at(3), permit, &call, wait);
        assert_eq!(breaker.view(&policy, Now::at(3)).retry_at_ms, Some(retry_at_ms));
    }
}
