//! Clocks that step while jobs wait: the breaker's own clock counts, and the
//! wall's is for people.

use cb::clock::Stamp;

use super::*;
use crate::store::clocks::restamp;

const HOUR_MS: i64 = 3_600_000;

/// A job that failed once and waits for ten minutes, and one that never ran.
fn waiting() -> (Cb, [String; 2]) {
    let cb = manual();
    let options = ["--attempt-delay", "10m"];
    let waits = cb.add_sh(&options, "[ $CB_JOB_ATTEMPT = 2 ]");
    cb.drain(&[]).code(0).stdout("pay: 1 failed for now; 1 left for later\n");
    let fresh = cb.add_sh(&[], "true");
    (cb, [waits, fresh])
}

/// Moves the stamps, drains, and looks what became of the two.
#[track_caller]
fn check(change: impl FnOnce(&mut Stamp), states: [&str; 2]) {
    let (cb, _) = waiting();
    restamp(&cb, change);
    cb.drain(&[]).code(0).stderr("");
    assert_eq!(cb.states(), states);
}

#[test]
fn a_step_of_the_wall_clock_moves_no_job() {
    for passed_ms in [HOUR_MS, -HOUR_MS, 30 * 24 * HOUR_MS, -30 * 24 * HOUR_MS] {
        check(
            |stamp| stamp.machine.wall_ms = stamp.machine.wall_ms.saturating_sub(passed_ms),
            ["pending", "done"],
        );
    }
}

#[test]
fn an_hour_on_the_breakers_clock_ends_the_wait() {
    check(|stamp| stamp.clock_ms += HOUR_MS as u64, ["done", "done"]);
}

#[test]
fn a_clock_that_lost_an_hour_keeps_nobody_waiting_for_it() {
    check(|stamp| stamp.clock_ms -= HOUR_MS as u64, ["done", "done"]);
}

#[test]
fn after_a_reboot_jobs_wait_on() {
    let rebooted = |stamp: &mut Stamp| {
        stamp.machine.boot_id = Some(1);
        stamp.machine.boot_ms = u64::MAX;
    };
    check(rebooted, ["pending", "done"]);
    check(
        |stamp| {
            rebooted(stamp);
            stamp.machine.wall_ms -= HOUR_MS;
        },
        ["done", "done"],
    );
}
