//! Clocks that step, as the whole program meets them: the stamps of a saved
//! state are moved instead of the machine's clocks.

use std::fs;

use cb::clock::Stamp;
use cb::store::{body, slots};

use super::*;
use crate::support::binary;

const HOUR_MS: i64 = 3_600_000;
const PERIOD_MS: u64 = 3_600_000;

/// Rewrites the stamps of the saved state.
pub fn restamp(cb: &Cb, change: impl FnOnce(&mut Stamp)) {
    let path = cb.store().join("pay/state");
    let file = fs::File::open(&path).expect("a state");
    let slots::Content::State(latest, _) = slots::load(&file).expect("readable") else {
        panic!("no state");
    };
    let (breaker, mut stamp) = body::decode(&latest.body).expect("a state");
    change(&mut stamp);
    let bytes = slots::new_file(&body::encode(&breaker, &stamp)).expect("short");
    fs::write(path, bytes).expect("a state");
}

fn left_ms(cb: &Cb) -> u64 {
    cb.status("pay")["retry_after_ms"].as_u64().expect("open")
}

/// Opens for an hour, moves the stamps, and looks what is left: `least..=most`
/// milliseconds, and after the next operation no more than that.
#[track_caller]
fn check(change: impl FnOnce(&mut Stamp), least: u64, most: u64) {
    let cb = Cb::new();
    cb.run(["trip", "pay", "--for", "1h"]).code(0);
    assert!(left_ms(&cb) <= PERIOD_MS);
    restamp(&cb, change);
    let left = left_ms(&cb);
    assert!((least..=most).contains(&left), "{left} ms left, not {least} to {most}");
    let ran = bounded(cb.command(exec_words(&[])));
    if most == 0 {
        ran.code(3).stdout("ran\n").stderr("");
        return;
    }
    ran.code(75).stdout("");
    let next = left_ms(&cb);
    assert!(next <= left, "{left} ms left, and then {next}");
}

/// As if so much wall time more had passed since the save.
fn wall(passed_ms: i64) -> impl Fn(&mut Stamp) {
    move |stamp| stamp.machine.wall_ms = stamp.machine.wall_ms.saturating_sub(passed_ms)
}

fn other_boot(stamp: &mut Stamp) {
    stamp.machine.boot_id = Some(1);
    stamp.machine.boot_ms = u64::MAX;
}

/// The last minute is for slow machines.
const NEARLY: u64 = PERIOD_MS - 60_000;

#[test]
fn a_step_of_the_wall_clock_changes_nothing() {
    for passed_ms in [-HOUR_MS, 24 * HOUR_MS, -100 * 365 * 24 * HOUR_MS, i64::MAX, i64::MIN] {
        check(wall(passed_ms), NEARLY, PERIOD_MS);
    }
}

#[test]
fn boot_time_counts() {
    let half_an_hour = |stamp: &mut Stamp| {
        // The machine may be up for less than that: move the state's clock.
        stamp.clock_ms += PERIOD_MS / 2;
    };
    check(half_an_hour, PERIOD_MS / 2 - 60_000, PERIOD_MS / 2);
    check(|stamp| stamp.machine.boot_ms = u64::MAX, NEARLY, PERIOD_MS);
}

#[test]
fn after_a_reboot_what_is_left_is_clamped() {
    let rebooted = |passed_ms: i64| {
        move |stamp: &mut Stamp| {
            other_boot(stamp);
            wall(passed_ms)(stamp);
        }
    };
    check(rebooted(0), NEARLY, PERIOD_MS);
    check(rebooted(HOUR_MS / 2), PERIOD_MS / 2 - 60_000, PERIOD_MS / 2);
    check(rebooted(24 * HOUR_MS), 0, 0);
    // The clock was set back, to before 1970 even: the whole period, at most.
    check(rebooted(-HOUR_MS), NEARLY, PERIOD_MS);
    check(rebooted(-100 * 365 * 24 * HOUR_MS), NEARLY, PERIOD_MS);
    check(rebooted(i64::MIN), NEARLY, PERIOD_MS);
    check(rebooted(i64::MAX), 0, 0);
}

#[test]
fn a_state_saved_in_1969_is_read() {
    let in_1969 = |stamp: &mut Stamp| stamp.machine.wall_ms = -86_400_000;
    check(in_1969, NEARLY, PERIOD_MS);
    check(
        |stamp| {
            other_boot(stamp);
            in_1969(stamp);
        },
        0,
        0,
    );
}

/// `cb WORDS` on a boot clock that is ahead by so many seconds.
fn shifted(cb: &Cb, secs: u32, words: &[&str]) -> Ran {
    let mut command = Command::new("unshare");
    command.args(["--time", "--boottime", &secs.to_string(), "--"]);
    cb.environ(&mut command);
    command.arg(binary()).args(words);
    bounded(command)
}

#[test]
fn a_boot_clock_that_moves_on_ends_the_period_and_one_that_falls_back_does_no_harm() {
    if !can(&["unshare", "--time", "--boottime", "9", "true"]) {
        return;
    }
    let cb = Cb::new();
    cb.run(["trip", "pay", "--for", "1h"]).code(0);
    // A suspend of half an hour, then one of a day.
    let status = shifted(&cb, 1800, &["status", "--json", "pay"]).code(0).stdout_text();
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let left = status["breakers"][0]["retry_after_ms"].as_u64().expect("open");
    assert!((PERIOD_MS / 2 - 60_000..=PERIOD_MS / 2).contains(&left), "{left}");
    shifted(&cb, 86_400, &["check", "-q", "pay"]).code(0);
    shifted(&cb, 86_400, &["trip", "pay", "--for", "1h"]).code(0);
    // The same state without the shift: the clock it was saved by is ahead of
    // this one, so no time has passed, and none is added.
    let left = left_ms(&cb);
    assert!(left <= PERIOD_MS, "{left}");
    cb.exec("pay", ["true"]).code(75);
    assert!(left_ms(&cb) <= left);
    cb.run(["reset", "pay"]).code(0);
    cb.exec("pay", ["true"]).code(0);
}
