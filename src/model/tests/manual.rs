//! What people do: trip, reset, hold, release, and holds that end by
//! themselves (1.10, 1.11).

use super::player::{Player, check, policy};

const POLICY: &str = "consecutive_failures=2 open_for=1000 open_backoff=2 half_open_calls=2";

/// The way of a new breaker into each state, with one failure or more in its
/// window and a re-open behind those that can have one.
const WAYS: [(&str, &str); 6] = [
    ("closed", "0 call failure -> counted"),
    (
        "open",
        "0 call failure -> counted
         0 call failure -> counted closed>open:consecutive_failures retry=1000",
    ),
    (
        "half-open",
        "0 call failure -> counted
         0 call failure -> counted closed>open:consecutive_failures
         1000 start t   -> admitted open>half-open:trial_due",
    ),
    (
        "forced-open",
        "0 call failure -> counted
         0 hold forced-open -> closed>forced-open:manual",
    ),
    (
        "disabled",
        "0 call failure -> counted
         0 hold disabled -> closed>disabled:manual",
    ),
    (
        "metrics-only",
        "0 call failure -> counted
         0 hold metrics-only -> closed>metrics-only:manual",
    ),
];

/// From a state, an op, what comes of it: the transition or `-`, then facts.
const TABLE: [(&str, &str, &str, &str); 36] = [
    ("closed", "trip", "open", "retry=3000 calls=1 run=1 k=0"),
    ("closed", "reset", "-", "calls=0 run=0 k=0"),
    ("closed", "hold forced-open", "forced-open", "calls=1 run=1"),
    ("closed", "hold disabled", "disabled", "calls=1 run=1"),
    ("closed", "hold metrics-only", "metrics-only", "calls=1 run=1"),
    ("closed", "release", "-", "calls=1 run=1"),
    ("open", "trip", "-", "retry=1000 calls=2 k=0"),
    ("open", "reset", "closed", "calls=0 run=0 k=0 retry=-"),
    ("open", "hold forced-open", "forced-open", "calls=2 retry=-"),
    ("open", "hold disabled", "disabled", "calls=2 retry=-"),
    ("open", "hold metrics-only", "metrics-only", "calls=2 retry=- would=consecutive_failures"),
    ("open", "release", "-", "retry=1000"),
    ("half-open", "trip", "open", "retry=4000 calls=2 k=1"),
    ("half-open", "reset", "closed", "calls=0 run=0 k=0 in_flight=0"),
    ("half-open", "hold forced-open", "forced-open", "calls=2 in_flight=0"),
    ("half-open", "hold disabled", "disabled", "calls=2 in_flight=0"),
    ("half-open", "hold metrics-only", "metrics-only", "calls=2 in_flight=0"),
    ("half-open", "release", "-", "in_flight=1"),
    ("forced-open", "trip", "open", "retry=3000 calls=1 k=0"),
    ("forced-open", "reset", "closed", "calls=0 run=0"),
    ("forced-open", "hold forced-open", "-", "calls=1"),
    ("forced-open", "hold disabled", "disabled", "calls=1"),
    ("forced-open", "hold metrics-only", "metrics-only", "calls=1"),
    ("forced-open", "release", "open", "retry=2000 due=true calls=1"),
    ("disabled", "trip", "open", "retry=3000 calls=1 k=0"),
    ("disabled", "reset", "closed", "calls=0 run=0"),
    ("disabled", "hold forced-open", "forced-open", "calls=1"),
    ("disabled", "hold disabled", "-", "calls=1"),
    ("disabled", "hold metrics-only", "metrics-only", "calls=1"),
    ("disabled", "release", "closed", "calls=0 run=0"),
    ("metrics-only", "trip", "open", "retry=3000 calls=1 k=0"),
    ("metrics-only", "reset", "closed", "calls=0 run=0"),
    ("metrics-only", "hold forced-open", "forced-open", "calls=1"),
    ("metrics-only", "hold disabled", "disabled", "calls=1"),
    ("metrics-only", "hold metrics-only", "-", "calls=1"),
    ("metrics-only", "release", "closed", "calls=1 run=1"),
];

fn in_state(state: &str) -> Player {
    let (_, way) = WAYS.into_iter().find(|(name, _)| *name == state).expect("a state");
    let mut player = Player::new(policy(POLICY));
    way.lines().for_each(|line| player.play(line));
    player
}

#[test]
fn every_op_from_every_state() {
    for (from, op, to, facts) in TABLE {
        let mut player = in_state(from);
        match to {
            "-" => player.play(&format!("2000 {op} -> state={from} {facts}")),
            _ => {
                let made = format!("{from}>{to}:manual@2000");
                player.play(&format!("2000 {op} -> {made} state={to} since=2000 {facts}"));
            }
        }
    }
}

#[test]
fn asking_twice_makes_one_transition() {
    for (from, op, _, _) in TABLE {
        let mut player = in_state(from);
        player.play_any(&format!("2000 {op}"));
        assert_eq!(player.play_any(&format!("2001 {op}")), 0, "{from}, {op}");
    }
}

#[test]
fn who_when_and_why_are_recorded_with_each_transition() {
    for (from, op, to, _) in TABLE {
        let mut player = in_state(from);
        player.play_any(&format!("2000 {op}"));
        let words = match op.split(' ').next() {
            Some("trip") => "ann/test",
            Some("reset") => "bob/",
            Some("hold") => "cy/window",
            _ => "dan/done",
        };
        if to != "-" {
            player.play(&format!("2001 view -> by={words} why=manual@2000"));
        }
    }
}

#[test]
fn a_transition_of_the_machine_itself_names_nobody() {
    check(
        "consecutive_failures=1 open_for=10",
        "
        0  trip         -> closed>open:manual by=ann/test
        10 start a      -> admitted open>half-open:trial_due by=/ why=trial_due@10
        11 reset        -> half-open>closed:manual by=bob/
        12 call failure -> counted closed>open:consecutive_failures by=/
        ",
    );
}

#[test]
fn a_trip_with_a_length_has_an_open_period_of_its_own_from_every_state() {
    for (from, _) in WAYS {
        let mut player = in_state(from);
        let made = if from == "open" { String::new() } else { format!("{from}>open:manual") };
        player.play(&format!("2000 trip for 70 -> {made} state=open retry=2070"));
        player.play("2069 start x -> rejected:open@2070");
        player.play("2070 start x -> admitted open>half-open:trial_due");
    }
}

#[test]
fn a_trip_of_an_open_breaker_moves_only_its_end_both_ways() {
    check(
        "open_for=1000",
        "
        0   trip           -> closed>open:manual retry=1000 gen=1
        10  trip           -> retry=1000
        20  trip for 5000  -> retry=5020 gen=1 since=0
        30  trip for 1     -> retry=31 gen=1 opened=1
        ",
    );
}

#[test]
fn a_trip_in_half_open_is_a_reopen() {
    check(
        "consecutive_failures=1 open_for=1000 open_backoff=2",
        "
        0    call failure  -> counted closed>open:consecutive_failures k=0
        1000 start a       -> admitted open>half-open:trial_due
        1001 trip          -> half-open>open:manual k=1 retry=3001
        3001 start b       -> admitted open>half-open:trial_due
        3002 trip for 10   -> half-open>open:manual k=2 retry=3012
        3012 call failure  -> counted open>half-open:trial_due half-open>open:trial_failed k=3 retry=11012
        ",
    );
}

#[test]
fn a_forced_open_that_ends_is_open_with_the_trial_due_at_once() {
    check(
        "open_for=1000",
        "
        0    hold forced-open for 100 -> closed>forced-open:manual until=100
        99   start a -> rejected:forced-open
        100  view    -> state=open due=true retry=100 since=100 until=-
        5000 start a -> admitted forced-open>open:hold_ended@100 open>half-open:trial_due@5000
        ",
    );
}

#[test]
fn a_disabled_that_ends_is_closed_with_an_empty_window() {
    check(
        "consecutive_failures=3",
        "
        0    call failure          -> counted
        1    hold disabled for 100 -> closed>disabled:manual until=101
        100  view                  -> state=disabled calls=1 run=1
        101  view                  -> state=closed calls=0 run=0 since=101
        5000 call failure          -> counted disabled>closed:hold_ended@101 calls=1 run=1
        ",
    );
}

#[test]
fn a_metrics_only_that_ends_is_closed_with_its_window_and_trips_at_the_next_outcome() {
    check(
        "failures=2",
        "
        0    hold metrics-only for 100 -> closed>metrics-only:manual
        1    call failure              -> counted
        2    call failure              -> counted would=failure_count
        100  view                      -> state=closed calls=2 failures=2 would=- admits=true
        101  call ignored              -> uncounted metrics-only>closed:hold_ended@100 state=closed
        102  call success              -> counted closed>open:failure_count calls=3
        ",
    );
}

#[test]
fn a_hold_that_ends_records_that_it_ended_by_itself() {
    check(
        "",
        "
        0   hold disabled for 10 -> closed>disabled:manual by=cy/window held_by=cy/window
        500 call success         -> counted disabled>closed:hold_ended by=/ why=hold_ended@10
        ",
    );
}

#[test]
fn the_backoff_is_forgotten_by_each_way_to_closed_and_kept_by_forced_open() {
    let reopened = "
        0    call failure -> counted closed>open:consecutive_failures
        1000 call failure -> counted open>half-open:trial_due half-open>open:trial_failed k=1
        ";
    let ends = [
        "1001 hold metrics-only -> open>metrics-only:manual
         1002 release           -> metrics-only>closed:manual k=0",
        "1001 hold disabled     -> open>disabled:manual
         1002 release           -> disabled>closed:manual k=0",
        "1001 reset             -> open>closed:manual k=0",
        "1001 hold forced-open  -> open>forced-open:manual
         1002 release           -> forced-open>open:manual k=1
         1002 call success      -> counted open>half-open:trial_due half-open>closed:trials_succeeded k=0",
    ];
    for end in ends {
        check("consecutive_failures=1 open_for=1000 open_backoff=2", &format!("{reopened}{end}"));
    }
}

#[test]
fn holding_again_changes_the_end_and_the_words_and_makes_no_transition() {
    check(
        "",
        "
        0   hold forced-open for 10 -> closed>forced-open:manual until=10 gen=1
        5   hold forced-open        -> until=- gen=1 since=0
        99  hold forced-open for 1  -> until=100 gen=1 held_by=cy/window
        100 start a                 -> admitted forced-open>open:hold_ended@100 open>half-open:trial_due
        ",
    );
}

#[test]
fn a_hold_replaces_a_hold_without_a_stop_between() {
    check(
        "",
        "
        0 hold disabled for 5    -> closed>disabled:manual
        1 hold metrics-only      -> disabled>metrics-only:manual until=- gen=2
        9 hold forced-open for 1 -> metrics-only>forced-open:manual until=10
        9 trip                   -> forced-open>open:manual until=-
        99 view                  -> state=open gen=4
        ",
    );
}

#[test]
fn an_op_after_the_end_of_a_hold_acts_on_the_state_after_it() {
    check(
        "",
        "
        0  hold disabled for 10 -> closed>disabled:manual
        20 release              -> disabled>closed:hold_ended@10 state=closed
        21 hold forced-open for 10 -> closed>forced-open:manual
        40 trip                 -> forced-open>open:hold_ended@31 state=open retry=31 due=true
        ",
    );
}

#[test]
fn a_reset_of_a_closed_breaker_forgets_without_a_transition_and_calls_under_way_still_count() {
    check(
        "consecutive_failures=3",
        "
        0 start a          -> admitted
        1 call failure     -> counted calls=1 run=1
        2 reset            -> calls=0 run=0 gen=0 by=-
        3 finish a failure -> counted calls=1 run=1
        ",
    );
}

#[test]
fn metrics_only_over_an_open_breaker_admits_and_counts_onto_the_old_window() {
    check(
        "consecutive_failures=2 open_for=1000",
        "
        0 call failure     -> counted
        0 call failure     -> counted closed>open:consecutive_failures
        1 hold metrics-only -> open>metrics-only:manual
        2 call success     -> counted calls=3 failures=2 run=0 would=-
        3 release          -> metrics-only>closed:manual calls=3 failures=2
        ",
    );
}

#[test]
fn a_call_without_room_counts_as_rejected_and_moves_nothing() {
    check(
        "failures=1 open_for=100",
        "0 turn-away -> rejected:no-room state=closed rejected=1
         0 call failure -> counted closed>open:failure_count
         10 turn-away -> rejected:open@100 state=open rejected=2
         100 turn-away -> rejected:no-room state=open due=true rejected=3
         100 start a -> admitted open>half-open:trial_due
         100 turn-away -> rejected:no-trial state=half-open rejected=4
         100 lose a -> state=half-open
         100 turn-away -> rejected:no-room state=half-open
         100 hold forced-open -> half-open>forced-open:manual
         100 turn-away -> rejected:forced-open
         100 hold disabled -> forced-open>disabled:manual
         100 turn-away -> rejected:no-room rejected=7 admitted=2",
    );
}
