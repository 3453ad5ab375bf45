//! What a probe tells as JSON.

use std::ffi::OsStr;

use serde_json::Value;

use crate::support::{Cb, Ran};

/// `cb probe --json ARGS...`, which ends with this exit code.
#[track_caller]
pub fn told<S: AsRef<OsStr>>(cb: &Cb, code: i32, args: impl IntoIterator<Item = S>) -> Value {
    let mut command = cb.command(["probe", "--json"]);
    command.args(args);
    let ran = Ran::of(command).code(code);
    let text = ran.stdout_text();
    assert_eq!(text.matches('\n').count(), 1, "not one line: {ran}");
    let told: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(told["schema"], "cb.probe/1");
    let healthy = match code {
        0 => true.into(),
        1 => false.into(),
        _ => Value::Null,
    };
    assert_eq!(told["healthy"], healthy, "{told}");
    told
}

/// Asserts that a probe is unhealthy in this phase (null: in none), for this
/// reason, and was not ended by its deadline.
#[track_caller]
pub fn fails(cb: &Cb, args: &[&str], phase: &str, why: &str) -> Value {
    let told = told(cb, 1, args);
    assert_eq!(told["failed_phase"].as_str().unwrap_or("null"), phase, "{told}");
    assert!(found(&told).contains(why), "no {why:?}: {told}");
    assert_eq!(told["timed_out"], false, "{told}");
    told
}

/// What was found.
#[track_caller]
pub fn found(told: &Value) -> &str {
    told["found"].as_str().expect("words")
}
