//! When a command's time is up, and what is due then: TERM, and KILL a while
//! later. Pure: time comes in as an argument, and what to do comes back.

use std::time::Duration;

/// Where a command is on its way through its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It may run for ever.
    Unlimited,
    /// It may run until then.
    Running { term_at: Duration },
    /// It was told to end, and has until then.
    Ending { kill_at: Duration },
    /// It was killed.
    Killed,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing for this long; `None`: nothing ever.
    Nothing(Option<Duration>),
    /// TERM, now.
    Term,
    /// KILL, now.
    Kill,
}

/// The time that a command has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    phase: Phase,
    kill_after: Duration,
}

impl Deadline {
    /// A command that started `now`.
    pub(super) fn new(now: Duration, timeout: Option<Duration>, kill_after: Duration) -> Self {
        let phase = match timeout {
            Some(timeout) => Phase::Running { term_at: now.saturating_add(timeout) },
            None => Phase::Unlimited,
        };
        Deadline { phase, kill_after }
    }

    /// What is due `now`.
    pub(super) fn due(&self, now: Duration) -> Due {
        match self.phase {
            Phase::Running { term_at } if now >= term_at => Due::Term,
            Phase::Ending { kill_at } if now >= kill_at => Due::Kill,
            Phase::Running { term_at: at } | Phase::Ending { kill_at: at } => {
                Due::Nothing(Some(at - now))
            }
            Phase::Unlimited | Phase::Killed => Due::Nothing(None),
        }
    }

    /// What was due was sent `now`: the next phase begins.
    pub(super) fn advance(&mut self, now: Duration) {
        self.phase = match self.phase {
            Phase::Unlimited => Phase::Unlimited,
            Phase::Running { .. } => Phase::Ending { kill_at: now.saturating_add(self.kill_after) },
            Phase::Ending { .. } | Phase::Killed => Phase::Killed,
        };
    }

    /// Moves what is to come by the time that cb and the command were stopped.
    pub(super) fn put_off(&mut self, by: Duration) {
        match &mut self.phase {
            Phase::Running { term_at: at } | Phase::Ending { kill_at: at } => {
                *at = at.saturating_add(by);
            }
            Phase::Unlimited | Phase::Killed => {}
        }
    }

    /// Whether the command was told to end.
    pub(super) fn timed_out(&self) -> bool {
        matches!(self.phase, Phase::Ending { .. } | Phase::Killed)
    }

    /// Whether it had to be killed.
    pub(super) fn killed(&self) -> bool {
        self.phase == Phase::Killed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn in_s(seconds: u64) -> Due {
        Due::Nothing(Some(s(seconds)))
    }

    #[test]
    fn term_and_kill_come_once_each() {
        let mut deadline = Deadline::new(s(100), Some(s(5)), s(2));
        assert_eq!(deadline.due(s(100)), in_s(5));
        assert_eq!(deadline.due(s(104)), in_s(1));
        assert_eq!(deadline.due(s(105)), Due::Term);
        assert!(!deadline.timed_out(), "not before TERM was sent");
        deadline.advance(s(105));
        assert!(deadline.timed_out() && !deadline.killed());
        assert_eq!(deadline.due(s(106)), in_s(1));
        assert_eq!(deadline.due(s(108)), Due::Kill);
        deadline.advance(s(108));
        assert!(deadline.timed_out() && deadline.killed());
        assert_eq!(deadline.due(s(109)), Due::Nothing(None));
    }

    #[test]
    fn a_late_term_leaves_all_of_kill_after() {
        let mut deadline = Deadline::new(s(0), Some(s(5)), s(2));
        assert_eq!(deadline.due(s(50)), Due::Term);
        deadline.advance(s(50));
        assert_eq!(deadline.due(s(50)), in_s(2));
    }

    #[test]
    fn a_stop_puts_off_what_is_to_come() {
        let mut deadline = Deadline::new(s(0), Some(s(5)), s(2));
        deadline.put_off(s(60));
        assert_eq!(deadline.due(s(64)), in_s(1));
        assert_eq!(deadline.due(s(65)), Due::Term);
        deadline.advance(s(65));
        deadline.put_off(s(60));
        assert_eq!(deadline.due(s(126)), in_s(1));
    }

    #[test]
    fn without_a_timeout_nothing_is_due() {
        let mut deadline = Deadline::new(s(0), None, s(0));
        deadline.put_off(s(60));
        deadline.advance(s(60));
        assert_eq!(deadline.due(Duration::MAX), Due::Nothing(None));
        assert!(!deadline.timed_out());
    }

    #[test]
    fn no_length_of_time_overflows() {
        let mut deadline = Deadline::new(s(9), Some(Duration::MAX), Duration::MAX);
        deadline.put_off(Duration::MAX);
        assert!(matches!(deadline.due(s(10)), Due::Nothing(Some(_))));
        deadline.advance(s(10));
        assert!(matches!(deadline.due(s(10)), Due::Nothing(Some(_))));
        assert_eq!(Deadline::new(s(9), Some(s(0)), s(0)).due(s(9)), Due::Term);
    }
}
