//! A queued job's life, pure: what its history says shall become of it.
//!
//! A history is what is on disk for certain. An attempt that began and has no
//! result may have done anything, so it is never taken for one that did nothing.

use std::fmt;
use std::time::Duration;

use super::Ms;
use super::backoff::millis;

/// The longest wait between two attempts.
pub const ATTEMPT_DELAY_MAX: Duration = Duration::from_mins(10);
/// A job that was attempted so often in all is given up, whatever was set: its
/// history has a bound.
pub const ATTEMPTS_MAX: u32 = 1000;
/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 200;
/// A job that waits for longer than this is due: no rule makes it wait so long,
/// so the breaker's clock has begun anew.
const WAIT_MAX_MS: u64 = 11 * 60 * 1000;

/// The rules of a breaker's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobPolicy {
    /// So many attempts, then the job has failed.
    pub max_attempts: u32,
    /// A job that is older, counted from its enqueue or from the last time a
    /// person sent it back, is not attempted (again).
    pub max_age: Duration,
    /// The wait after the first failed attempt; it doubles with each further
    /// one, up to [`ATTEMPT_DELAY_MAX`].
    pub attempt_delay: Duration,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobState {
    /// It waits for an attempt.
    Pending,
    /// An attempt is under way.
    Running,
    /// It succeeded.
    Done,
    /// It was given up.
    Failed,
    /// It may have run, and nobody knows how it ended.
    Doubt,
}

impl JobState {
    /// All of them.
    pub const ALL: [JobState; 5] =
        [JobState::Pending, JobState::Running, JobState::Done, JobState::Failed, JobState::Doubt];

    /// The name, as people write it.
    pub const fn name(self) -> &'static str {
        match self {
            JobState::Pending => "pending",
            JobState::Running => "running",
            JobState::Done => "done",
            JobState::Failed => "failed",
            JobState::Doubt => "doubt",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The command did what it should.
    Success,
    /// It failed.
    Failure,
    /// It did not run: no such command, no such directory. Nothing was done.
    NotStarted,
    /// A person ended it: it may have done a part.
    Interrupted,
}

impl Ended {
    /// All of them.
    pub const ALL: [Ended; 4] =
        [Ended::Success, Ended::Failure, Ended::NotStarted, Ended::Interrupted];

    /// The name, as it is stored.
    pub const fn name(self) -> &'static str {
        match self {
            Ended::Success => "success",
            Ended::Failure => "failure",
            Ended::NotStarted => "not-started",
            Ended::Interrupted => "interrupted",
        }
    }

    /// The end of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ended| ended.name() == name)
    }
}

/// Something that happened to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobEvent {
    /// An attempt began.
    Began,
    /// It ended.
    Ended(Ended),
    /// A person sent the job back, whatever had become of it.
    Retried,
}

/// Why a job was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// It had all its attempts.
    Attempts,
    /// It is too old.
    Age,
}

impl fmt::Display for GivenUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GivenUp::Attempts => "it had all its attempts",
            GivenUp::Age => "it is too old",
        })
    }
}

/// What shall become of a job that nobody works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It waits for its next attempt, which is due then.
    Pending {
        /// On the breaker's clock.
        due_ms: Ms,
    },
    /// It succeeded.
    Done,
    /// It is given up.
    Failed(GivenUp),
    /// Only a person can tell.
    Doubt,
}

impl Fate {
    /// The state that goes with it.
    pub const fn state(self) -> JobState {
        match self {
            Fate::Pending { .. } => JobState::Pending,
            Fate::Done => JobState::Done,
            Fate::Failed(_) => JobState::Failed,
            Fate::Doubt => JobState::Doubt,
        }
    }
}

/// A job's life so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// May it be attempted again after an attempt whose result is not known?
    idempotent: bool,
    /// When it was enqueued, or sent back by a person.
    since_ms: Ms,
    /// Attempts in all: also the number of the latest.
    attempts: u32,
    /// Attempts since then that count toward `max_attempts`.
    counted: u32,
    latest: Latest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Latest {
    /// Enqueued or sent back; not to be attempted before.
    Waiting {
        due_ms: Ms,
    },
    Began {
        at_ms: Ms,
    },
    Ended {
        at_ms: Ms,
        how: Ended,
    },
}

impl History {
    /// A job that was just enqueued and is due `delay_ms` later.
    pub const fn new(enqueued_ms: Ms, delay_ms: u64, idempotent: bool) -> Self {
        let due_ms = enqueued_ms.saturating_add(delay_ms);
        let latest = Latest::Waiting { due_ms };
        History { idempotent, since_ms: enqueued_ms, attempts: 0, counted: 0, latest }
    }

    /// Takes in what happened next; `false`, and no change, where that cannot
    /// happen next.
    #[must_use]
    pub fn push(&mut self, event: JobEvent, at_ms: Ms) -> bool {
        let is_running = matches!(self.latest, Latest::Began { .. });
        match event {
            // An attempt after one without a result is one of an idempotent job.
            JobEvent::Began if self.attempts >= ATTEMPTS_MAX => return false,
            JobEvent::Began if is_running && !self.idempotent => return false,
            JobEvent::Began => {
                self.attempts += 1;
                self.counted += 1;
                self.latest = Latest::Began { at_ms };
            }
            JobEvent::Ended(_) if !is_running => return false,
            JobEvent::Ended(how) => {
                // What a person broke off is not held against the job.
                if how == Ended::Interrupted {
                    self.counted -= 1;
                }
                self.latest = Latest::Ended { at_ms, how };
            }
            JobEvent::Retried => {
                self.since_ms = at_ms;
                self.counted = 0;
                self.latest = Latest::Waiting { due_ms: at_ms };
            }
        }
        true
    }

    /// How often it was attempted in all.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether the latest attempt has no result.
    pub const fn is_open(&self) -> bool {
        matches!(self.latest, Latest::Began { .. })
    }

    /// What shall become of the job, if nobody works on it.
    pub fn fate(&self, policy: &JobPolicy, now_ms: Ms) -> Fate {
        match self.latest {
            Latest::Ended { how: Ended::Success, .. } => Fate::Done,
            Latest::Began { .. } | Latest::Ended { how: Ended::Interrupted, .. }
                if !self.idempotent =>
            {
                Fate::Doubt
            }
            Latest::Waiting { due_ms } => self.again(policy, due_ms, now_ms),
            Latest::Ended { at_ms, how: Ended::Interrupted } => self.again(policy, at_ms, now_ms),
            Latest::Began { at_ms } | Latest::Ended { at_ms, .. } => {
                let due_ms = at_ms.saturating_add(delay_ms(policy, self.counted));
                self.again(policy, due_ms, now_ms)
            }
        }
    }

    /// Another attempt, if the job may have one.
    fn again(&self, policy: &JobPolicy, due_ms: Ms, now_ms: Ms) -> Fate {
        if self.attempts >= ATTEMPTS_MAX || self.counted >= policy.max_attempts.max(1) {
            return Fate::Failed(GivenUp::Attempts);
        }
        if now_ms.saturating_sub(self.since_ms) >= millis(policy.max_age) {
            return Fate::Failed(GivenUp::Age);
        }
        let is_absurd = due_ms.saturating_sub(now_ms) > WAIT_MAX_MS;
        Fate::Pending { due_ms: if is_absurd { now_ms } else { due_ms } }
    }
}

/// The wait after so many attempts that failed.
fn delay_ms(policy: &JobPolicy, counted: u32) -> u64 {
    let doublings = counted.saturating_sub(1).min(63);
    let delay_ms = millis(policy.attempt_delay).saturating_mul(1 << doublings);
    delay_ms.min(millis(ATTEMPT_DELAY_MAX))
}

#[cfg(test)]
mod tests {
    use super::JobEvent::{Began, Ended as End, Retried};
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn policy() -> JobPolicy {
        JobPolicy {
            max_attempts: 3,
            max_age: Duration::from_hours(1),
            attempt_delay: Duration::from_secs(1),
        }
    }

    /// A job enqueued at 1000, to which this happened: one thing each 10 ms.
    fn history(idempotent: bool, events: &[JobEvent]) -> History {
        let mut history = History::new(1000, 0, idempotent);
        for (at, event) in events.iter().enumerate() {
            assert!(history.push(*event, 1010 + 10 * at as u64), "{events:?}");
        }
        history
    }

    #[track_caller]
    fn check(idempotent: bool, events: &[JobEvent], expected: Fate) {
        let found = history(idempotent, events).fate(&policy(), 2000);
        assert_eq!(found, expected, "{events:?}, idempotent: {idempotent}");
    }

    const fn pending(due_ms: Ms) -> Fate {
        Fate::Pending { due_ms }
    }

    const FAILURE: JobEvent = End(Ended::Failure);
    const NOT_STARTED: JobEvent = End(Ended::NotStarted);
    const INTERRUPTED: JobEvent = End(Ended::Interrupted);

    #[test]
    fn what_was_never_attempted_waits() {
        for idempotent in [false, true] {
            check(idempotent, &[], pending(1000));
        }
        assert_eq!(History::new(1000, 500, false).fate(&policy(), 1001), pending(1500));
    }

    #[test]
    fn an_attempt_without_a_result_is_in_doubt_unless_it_may_run_twice() {
        check(false, &[Began], Fate::Doubt);
        check(false, &[Began, FAILURE, Began], Fate::Doubt);
        check(false, &[Began, FAILURE, Began, FAILURE, Began], Fate::Doubt);
        check(true, &[Began], pending(1010 + 1000));
        check(true, &[Began, Began], pending(1020 + 2000));
        check(true, &[Began, Began, Began], Fate::Failed(GivenUp::Attempts));
        assert!(history(true, &[Began]).is_open());
        assert!(!history(true, &[Began, FAILURE]).is_open());
    }

    #[test]
    fn a_success_is_the_end_whatever_came_before() {
        for idempotent in [false, true] {
            check(idempotent, &[Began, End(Ended::Success)], Fate::Done);
            let events = [Began, FAILURE, Began, FAILURE, Began, End(Ended::Success)];
            check(idempotent, &events, Fate::Done);
            let old = history(idempotent, &[Began, End(Ended::Success)]);
            assert_eq!(old.fate(&policy(), 9 * HOUR_MS), Fate::Done);
        }
    }

    #[test]
    fn failures_wait_doubling_and_end_in_failed() {
        for idempotent in [false, true] {
            for bad in [FAILURE, NOT_STARTED] {
                check(idempotent, &[Began, bad], pending(1020 + 1000));
                check(idempotent, &[Began, bad, Began, bad], pending(1040 + 2000));
                let all = [Began, bad, Began, bad, Began, bad];
                check(idempotent, &all, Fate::Failed(GivenUp::Attempts));
            }
        }
    }

    #[test]
    fn what_a_person_broke_off_is_in_doubt_or_tried_again_without_being_counted() {
        check(false, &[Began, INTERRUPTED], Fate::Doubt);
        check(true, &[Began, INTERRUPTED], pending(1020));
        let often = [Began, INTERRUPTED].repeat(5);
        check(true, &often, pending(1010 + 90));
        check(true, &[&often[..], &[Began, FAILURE]].concat(), pending(1120 + 1000));
    }

    #[test]
    fn a_retry_begins_anew_from_any_end() {
        let ends: [&[JobEvent]; 4] = [
            &[Began],
            &[Began, INTERRUPTED],
            &[Began, FAILURE, Began, FAILURE, Began, FAILURE],
            &[Began, End(Ended::Success)],
        ];
        for events in ends {
            let events = [events, &[Retried]].concat();
            check(false, &events, pending(1000 + 10 * events.len() as u64));
            assert!(history(false, &events).attempts() > 0, "attempts keep their numbers");
            let again = [&events[..], &[Began, FAILURE]].concat();
            check(false, &again, pending(2000 + 10 * again.len() as u64));
        }
    }

    #[test]
    fn the_wait_doubles_up_to_ten_minutes() {
        let wait =
            |attempt_delay, counted| delay_ms(&JobPolicy { attempt_delay, ..policy() }, counted);
        let seconds: Vec<u64> =
            (1..=12).map(|counted| wait(Duration::from_secs(1), counted) / 1000).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(wait(Duration::from_secs(1), u32::MAX), 600_000);
        assert_eq!(wait(Duration::MAX, 1), 600_000);
        assert_eq!(wait(Duration::ZERO, 5), 0);
    }

    #[test]
    fn an_old_job_is_given_up_unless_it_is_in_doubt() {
        let old = 1000 + HOUR_MS;
        let fate = |idempotent, events: &[JobEvent], now_ms| {
            history(idempotent, events).fate(&policy(), now_ms)
        };
        assert_eq!(fate(false, &[], old - 1), pending(1000));
        assert_eq!(fate(false, &[], old), Fate::Failed(GivenUp::Age));
        assert_eq!(fate(false, &[Began, FAILURE], old), Fate::Failed(GivenUp::Age));
        assert_eq!(fate(true, &[Began], old), Fate::Failed(GivenUp::Age));
        assert_eq!(fate(false, &[Began], old), Fate::Doubt);
        let mut retried = history(false, &[Began]);
        assert!(retried.push(Retried, old));
        assert_eq!(retried.fate(&policy(), old + 5), pending(old));
    }

    #[test]
    fn a_wait_that_no_rule_makes_is_over() {
        let at = |due_ms| History::new(due_ms, 0, false).fate(&policy(), 1000);
        assert_eq!(at(1000 + 11 * 60_000), pending(1000 + 11 * 60_000));
        assert_eq!(at(1001 + 11 * 60_000), pending(1000));
        assert_eq!(at(u64::MAX), pending(1000));
    }

    #[test]
    fn what_cannot_happen_is_refused_and_changes_nothing() {
        let refused = |idempotent, events: &[JobEvent], event| {
            let mut job = history(idempotent, events);
            let before = job;
            assert!(!job.push(event, 5000), "{events:?} then {event:?}");
            assert_eq!(job, before);
        };
        refused(false, &[], FAILURE);
        refused(false, &[Began], Began);
        refused(false, &[Began, FAILURE], FAILURE);
        refused(true, &[Began, FAILURE, Retried], INTERRUPTED);
        let all = [Began, INTERRUPTED].repeat(ATTEMPTS_MAX as usize);
        refused(true, &all, Began);
        check(true, &all, Fate::Failed(GivenUp::Attempts));
    }

    /// All histories of up to six events, against the rules in other words.
    #[test]
    fn every_history_has_the_fate_that_the_rules_say() {
        let kinds = [Began, End(Ended::Success), FAILURE, NOT_STARTED, INTERRUPTED, Retried];
        let mut seen = 0;
        for idempotent in [false, true] {
            for code in 0..6_usize.pow(6) {
                let events: Vec<JobEvent> =
                    (0..6).map(|place| kinds[code / 6_usize.pow(place) % 6]).collect();
                let mut job = History::new(1000, 0, idempotent);
                if !events.iter().all(|event| job.push(*event, 1500)) {
                    continue;
                }
                seen += 1;
                let fresh = events.rsplit(|event| *event == Retried).next().unwrap();
                let begun = fresh.iter().filter(|event| **event == Began).count();
                let broken_off = fresh.iter().filter(|event| **event == INTERRUPTED).count();
                let expected = match fresh.last() {
                    Some(End(Ended::Success)) => JobState::Done,
                    Some(Began | End(Ended::Interrupted)) if !idempotent => JobState::Doubt,
                    _ if begun - broken_off >= 3 => JobState::Failed,
                    _ => JobState::Pending,
                };
                assert_eq!(job.fate(&policy(), 2000).state(), expected, "{events:?}");
            }
        }
        assert!(seen > 500, "{seen}");
    }

    #[test]
    fn names_are_read_back() {
        for state in JobState::ALL {
            assert_eq!(JobState::parse(state.name()), Some(state));
        }
        for ended in Ended::ALL {
            assert_eq!(Ended::parse(ended.name()), Some(ended));
        }
        assert_eq!(JobState::parse("tmp"), None);
    }
}
