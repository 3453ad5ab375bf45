//! The committed vectors of the machine, through the real binary: the cases of
//! calls stand in tests/vectors/machine.json, each with the library it was learnt
//! from, those of probes in tests/vectors/probe.json.

use serde_json::Value;

use crate::support::{Cb, Ran};

/// The vectors, and how many they are: one that gets lost is noticed.
const CALLS: (&str, usize) = (include_str!("../vectors/machine.json"), 25);
const PROBES: (&str, usize) = (include_str!("../vectors/probe.json"), 35);

#[test]
fn every_vector_of_calls_comes_out_to_the_last_number() {
    check(CALLS);
}

#[test]
fn every_vector_of_probes_comes_out_to_the_last_number() {
    check(PROBES);
}

#[track_caller]
fn check((vectors, count): (&str, usize)) {
    let cases: Vec<Value> = serde_json::from_str(vectors).expect("the vectors are JSON");
    assert_eq!(cases.len(), count);
    let cb = Cb::new();
    let wrong: Vec<String> = cases.iter().flat_map(|case| differences(&cb, case)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a case expects and cb does not say.
fn differences(cb: &Cb, case: &Value) -> Vec<String> {
    let name = case["name"].as_str().expect("a name");
    let steps = case["steps"].as_array().expect("steps");
    let mut command = cb.command(["simulate", "--json"]);
    for (key, value) in case["set"].as_object().expect("settings") {
        command.arg("--set").arg(format!("{key}={}", value.as_str().expect("a text")));
    }
    let input: String = steps.iter().map(|step| format!("{}\n", step["in"])).collect();
    let ran = Ran::fed(command, input.as_bytes()).code(0).stderr("");
    let output = ran.stdout_text();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines.len(), steps.len(), "{name}: a line out for each line in");
    let mut wrong = Vec::new();
    for (number, (line, step)) in lines.into_iter().zip(steps).enumerate() {
        let found: Value = serde_json::from_str(line).expect("a line of JSON");
        let expected = expected(step);
        if found != expected {
            let number = number + 1;
            wrong.push(format!("{name}:{number}\n  found    {found}\n  expected {expected}"));
        }
    }
    wrong
}

/// What a step expects. The vectors leave out the `id` that a line out has where
/// the line in has one; all else is compared as it stands.
fn expected(step: &Value) -> Value {
    let mut expected = step["out"].clone();
    if let Some(id) = step["in"].get("id") {
        expected["id"] = id.clone();
    }
    expected
}
