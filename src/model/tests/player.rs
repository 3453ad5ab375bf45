//! Plays a trace of text lines on a breaker and compares what comes of each.
//!
//! A line is `TIME OP -> FACTS`. The ops: `call OUTCOME [MS]`, `start ID`,
//! `finish ID OUTCOME [MS]`, `probe OUTCOME [MS] [after MS]`, `look ID`,
//! `looked ID OUTCOME [MS] [after MS]`, `lose ID`, `trip [for MS]`, `reset`, `hold STATE
//! [for MS]`, `release`, `turn-away`, `view`, `policy KEY=VALUE...` (and keeps the rest).
//! The facts: what came of it (`admitted`, `counted`, `uncounted`, `stale`,
//! `rejected:...`; of a probe `call`, `trial` or `looks`, and `due`, `closed` or
//! `later`), every transition (`from>to:reason`, `@TIME` if it matters),
//! and any fields of the view after it (`calls=3`). What came of a line and its
//! transitions must be stated in full.

use std::collections::HashMap;
use std::time::Duration;

use crate::model::breaker::{Breaker, Holder, Manual, Permit, ProbeEffect, ProbePermit};
use crate::model::breaker::{Recorded, Rejection, Verdict};
use crate::model::policy::{Growth, Percent, WindowSize};
use crate::model::totals::Totals;
use crate::model::{Finished, Hold, Now, Outcome, Policy, Step, Transition, View};

/// A breaker that is being played.
pub struct Player {
    pub breaker: Breaker,
    pub policy: Policy,
    /// The draw of chance that each step gets.
    pub draw: u64,
    permits: HashMap<String, Permit>,
    looks: HashMap<String, ProbePermit>,
}

/// Plays a trace, a line each line.
#[track_caller]
pub fn check(policy_text: &str, trace: &str) {
    let lines: Vec<&str> = trace.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    check_each(policy_text, &lines);
}

/// Plays the lines of a trace.
#[track_caller]
pub fn check_each(policy_text: &str, lines: &[&str]) {
    let mut player = Player::new(policy(policy_text));
    for line in lines {
        player.play(line);
    }
}

fn rejected(why: Rejection) -> String {
    match why {
        Rejection::Open { retry_at_ms } => format!("rejected:open@{retry_at_ms}"),
        Rejection::NoTrialFree => "rejected:no-trial".to_owned(),
        Rejection::ForcedOpen => "rejected:forced-open".to_owned(),
        Rejection::NoRoom => "rejected:no-room".to_owned(),
    }
}

/// A policy with every rule off but those of the text.
pub fn policy(text: &str) -> Policy {
    let mut policy =
        Policy { consecutive_failures: 0, failure_rate: Percent::ZERO, ..Policy::default() };
    change(&mut policy, text);
    policy
}

fn change(policy: &mut Policy, text: &str) {
    let percent = |value: &str| Percent::from_hundredths(decimal(value, 2) as u16).expect("0..100");
    for item in text.split_whitespace() {
        let (key, value) = item.split_once('=').expect("KEY=VALUE");
        let number = || value.parse::<u64>().expect("a whole number");
        let millis = || Duration::from_millis(number());
        match key {
            "window" => {
                policy.window = match value.strip_suffix("ms") {
                    Some(ms) => WindowSize::Millis(ms.parse().expect("ms")),
                    None => WindowSize::Calls(number() as u32),
                }
            }
            "consecutive_failures" => policy.consecutive_failures = number() as u32,
            "failures" => policy.failures = number() as u32,
            "failure_rate" => policy.failure_rate = percent(value),
            "slow_call" => policy.slow_call = Some(millis()),
            "slow_rate" => policy.slow_rate = percent(value),
            "min_calls" => policy.min_calls = number() as u32,
            "open_for" => policy.open_for = millis(),
            "open_backoff" => {
                let growth = Growth::from_ten_thousandths(decimal(value, 4) as u32);
                policy.open_backoff = growth.expect("at least 1");
            }
            "open_max" => policy.open_max = millis(),
            "open_jitter" => policy.open_jitter = percent(value),
            "half_open_calls" => {
                policy.half_open_calls = number() as u32;
                policy.success_threshold = policy.half_open_calls;
            }
            "success_threshold" => policy.success_threshold = number() as u32,
            "permit_ttl" => policy.permit_ttl = millis(),
            "rise" => policy.rise = number() as u32,
            "probe_closes" => policy.probe_closes = value == "true",
            other => panic!("no such key: {other}"),
        }
    }
}

fn decimal(text: &str, places: usize) -> u64 {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{rest:0<places$}").parse().expect("a decimal")
}

impl Player {
    pub fn new(policy: Policy) -> Self {
        let (permits, looks) = (HashMap::new(), HashMap::new());
        Player { breaker: Breaker::new(Now::at(0)), policy, draw: 0, permits, looks }
    }

    /// Plays one line.
    #[track_caller]
    pub fn play(&mut self, line: &str) {
        let (input, expected) = line.split_once("->").unwrap_or_else(|| panic!("no ->: {line}"));
        let words: Vec<&str> = input.split_whitespace().collect();
        let at_ms = words[0].parse().unwrap_or_else(|_| panic!("no time: {line}"));
        let now = Now { at_ms, draw: self.draw };
        let before = self.breaker.generation();
        let (verdict, transitions) = self.act(&words[1..], now);
        let grown = self.breaker.generation() - before;
        assert_eq!(grown, transitions.len() as u64, "generations are transitions: {line}");
        self.compare(line, expected, now, &verdict, &transitions);
    }

    /// Plays the left side of a line; how many transitions it made.
    pub fn play_any(&mut self, input: &str) -> usize {
        let words: Vec<&str> = input.split_whitespace().collect();
        let at_ms = words[0].parse().expect("a time");
        self.act(&words[1..], Now { at_ms, draw: self.draw }).1.len()
    }

    #[track_caller]
    fn compare(&self, line: &str, expected: &str, now: Now, verdict: &str, made: &[Transition]) {
        let view = self.breaker.view(&self.policy, now);
        let mut words = Vec::new();
        let mut stated = Vec::new();
        for fact in expected.split_whitespace() {
            if fact.contains('>') {
                stated.push(fact);
            } else if let Some((key, value)) = fact.split_once('=') {
                assert_eq!(self.field(&view, key), value, "{key}: {line}");
            } else {
                words.push(fact);
            }
        }
        assert_eq!(verdict, words.join(" "), "what came of it: {line}");
        let made: Vec<String> = made.iter().map(shown).collect();
        let agree = made.len() == stated.len()
            && made.iter().zip(&stated).all(|(made, stated)| {
                made == stated || made.split('@').next() == Some(stated) && !stated.contains('@')
            });
        assert!(agree, "{line}\n made {made:?}\n stated {stated:?}");
    }

    fn act(&mut self, words: &[&str], now: Now) -> (String, Vec<Transition>) {
        match words {
            ["call", rest @ ..] => {
                let (permit, said, mut transitions) = self.admit(now);
                let Some(permit) = permit else { return (said, transitions) };
                let (said, more) = self.record(permit, rest, now, 0);
                transitions.extend(more);
                (said, transitions)
            }
            ["start", id] => {
                let (permit, said, transitions) = self.admit(now);
                if let Some(permit) = permit {
                    self.permits.insert((*id).to_owned(), permit);
                }
                (said, transitions)
            }
            ["finish", id, rest @ ..] => {
                let permit = self.permits[*id];
                self.record(permit, rest, now, now.at_ms.saturating_sub(permit.started_ms))
            }
            ["probe", rest @ ..] => {
                let (permit, said, mut transitions) = self.begin_probe(now);
                let (ended, more) = self.end_probe(permit, rest, now);
                transitions.extend(more);
                (format!("{said} {ended}"), transitions)
            }
            ["look", id] => {
                let (permit, said, transitions) = self.begin_probe(now);
                self.looks.insert((*id).to_owned(), permit);
                (said, transitions)
            }
            ["looked", id, rest @ ..] => self.end_probe(self.looks[*id], rest, now),
            ["turn-away"] => {
                let step = self.breaker.turn_away(&self.policy, now);
                (rejected(step.value), step.transitions)
            }
            ["lose", id] => quiet(self.breaker.lose(&self.policy, now, self.permits[*id])),
            ["trip", rest @ ..] => {
                quiet(self.breaker.trip(&self.policy, now, &asked("ann", "test", rest)))
            }
            ["reset", rest @ ..] => {
                quiet(self.breaker.reset(&self.policy, now, &asked("bob", "", rest)))
            }
            ["hold", hold, rest @ ..] => {
                let hold = Hold::from_name(hold).expect("a hold");
                quiet(self.breaker.hold(&self.policy, now, hold, &asked("cy", "window", rest)))
            }
            ["release", rest @ ..] => {
                quiet(self.breaker.release(&self.policy, now, &asked("dan", "done", rest)))
            }
            ["view"] => (String::new(), Vec::new()),
            ["policy", rest @ ..] => {
                change(&mut self.policy, &rest.join(" "));
                (String::new(), Vec::new())
            }
            other => panic!("no such op: {other:?}"),
        }
    }

    fn admit(&mut self, now: Now) -> (Option<Permit>, String, Vec<Transition>) {
        let found = self.breaker.view(&self.policy, now).admits;
        let step = self.breaker.admit(&self.policy, now, Holder::Process);
        let (permit, said) = match step.value {
            Verdict::Admit(permit) => (Some(permit), "admitted".to_owned()),
            Verdict::Reject(why) => (None, rejected(why)),
        };
        assert_eq!(found, permit.is_some(), "a reading tells what the next call finds");
        (permit, said, step.transitions)
    }

    fn begin_probe(&mut self, now: Now) -> (ProbePermit, String, Vec<Transition>) {
        let step = self.breaker.begin_probe(&self.policy, now, Holder::Process);
        let said = match step.value {
            ProbePermit::Call(permit) if permit.trial.is_some() => "trial",
            ProbePermit::Call(_) => "call",
            ProbePermit::Look { .. } => "looks",
        };
        (step.value, said.to_owned(), step.transitions)
    }

    fn end_probe(
        &mut self,
        permit: ProbePermit,
        words: &[&str],
        now: Now,
    ) -> (String, Vec<Transition>) {
        let millis = |ms: &str| Duration::from_millis(ms.parse().expect("ms"));
        let (words, wait) = match words {
            [words @ .., "after", ms] => (words, Some(millis(ms))),
            words => (words, None),
        };
        let outcome = Outcome::from_name(words[0]).expect("an outcome");
        let took = words.get(1).map_or(Duration::ZERO, |word| millis(word));
        let call = Finished::new(outcome, took);
        let step = self.breaker.end_probe(&self.policy, now, permit, &call, wait);
        let effect = match step.value.effect {
            Some(ProbeEffect::TrialDue) => " due",
            Some(ProbeEffect::Closed) => " closed",
            Some(ProbeEffect::RetryLater) => " later",
            None => "",
        };
        (format!("{}{effect}", said_of(step.value.recorded)), step.transitions)
    }

    fn record(
        &mut self,
        permit: Permit,
        words: &[&str],
        now: Now,
        took_ms: u64,
    ) -> (String, Vec<Transition>) {
        let outcome = Outcome::from_name(words[0]).expect("an outcome");
        let took_ms = words.get(1).map_or(took_ms, |word| word.parse().expect("ms"));
        let call = Finished::new(outcome, Duration::from_millis(took_ms));
        let step = self.breaker.record(&self.policy, now, permit, &call);
        (said_of(step.value).to_owned(), step.transitions)
    }

    fn field(&self, view: &View, key: &str) -> String {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let last = view.last_transition.as_ref();
        let total = |name| Totals::NAMES.into_iter().position(|total| total == name);
        match key {
            "state" => view.state.name().to_owned(),
            "due" => view.trial_due.to_string(),
            "admits" => view.admits.to_string(),
            "gen" => view.generation.to_string(),
            "since" => view.since_ms.to_string(),
            "retry" => or_dash(view.retry_at_ms.map(|at_ms| at_ms.to_string())),
            "calls" => view.tally.calls.to_string(),
            "failures" => view.tally.failures.to_string(),
            "slow" => view.tally.slow.to_string(),
            "run" => view.consecutive_failures.to_string(),
            "k" => self.breaker.reopens.to_string(),
            "permitted" => view.round.permitted.to_string(),
            "in_flight" => view.round.in_flight.to_string(),
            "successes" => view.round.successes.to_string(),
            "trial_failures" => view.round.failures.to_string(),
            "would" => or_dash(view.would_trip.map(|rule| rule.name().to_owned())),
            "until" => or_dash(
                view.held.as_ref().and_then(|held| held.until_ms).map(|at_ms| at_ms.to_string()),
            ),
            "held_by" => {
                or_dash(view.held.as_ref().map(|held| format!("{}/{}", held.by, held.comment)))
            }
            "by" => or_dash(last.map(|last| format!("{}/{}", last.by, last.comment))),
            "why" => or_dash(last.map(|last| format!("{}@{}", last.reason.name(), last.at_ms))),
            "last_failure" => or_dash(
                view.last_failure.map(|last| format!("{}/{}", last.at_ms, last.duration_ms)),
            ),
            "probe" => or_dash(view.last_probe.map(|last| {
                let slow = if last.slow { "/slow" } else { "" };
                let (said, in_a_row) = (last.outcome.name(), last.in_a_row);
                format!("{said}x{in_a_row}@{}/{}{slow}", last.at_ms, last.duration_ms)
            })),
            "slow_total" => view.totals.slow.to_string(),
            other => match total(other) {
                Some(index) => view.totals.counts()[index].to_string(),
                None => panic!("no such fact: {other}"),
            },
        }
    }
}

fn said_of(recorded: Recorded) -> &'static str {
    match recorded {
        Recorded::Counted => "counted",
        Recorded::Uncounted => "uncounted",
        Recorded::Stale => "stale",
    }
}

fn asked<'a>(by: &'a str, comment: &'a str, words: &[&str]) -> Manual<'a> {
    let lasting = match words {
        [] => None,
        ["for", ms] => Some(Duration::from_millis(ms.parse().expect("ms"))),
        other => panic!("not \"for MS\": {other:?}"),
    };
    Manual { by, comment, lasting }
}

fn quiet(step: Step<()>) -> (String, Vec<Transition>) {
    (String::new(), step.transitions)
}

fn shown(made: &Transition) -> String {
    let (from, to) = (made.from.name(), made.to.name());
    format!("{from}>{to}:{}@{}", made.reason.name(), made.at_ms)
}
