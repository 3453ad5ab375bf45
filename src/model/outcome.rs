//! How a call ended, and what that says about the dependency.

use std::time::Duration;

/// What a call says about the dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered.
    Success,
    /// It did not, or not in time.
    Failure,
    /// The call says nothing about it.
    Ignored,
}

impl Outcome {
    /// The name that people and JSON see.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Ignored => "ignored",
        }
    }

    /// The outcome of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "success" => Some(Outcome::Success),
            "failure" => Some(Outcome::Failure),
            "ignored" => Some(Outcome::Ignored),
            _ => None,
        }
    }
}

/// A finished call, as the machine records it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// What it says.
    pub outcome: Outcome,
    /// How long it took.
    pub duration: Duration,
    /// The exit code, where there was one.
    pub exit_code: Option<i32>,
    /// The signal that ended it, where one did.
    pub signal: Option<i32>,
    /// Whether it was ended because its time was up.
    pub timed_out: bool,
}

impl Finished {
    /// A bare outcome of this length.
    pub const fn new(outcome: Outcome, duration: Duration) -> Self {
        Finished { outcome, duration, exit_code: None, signal: None, timed_out: false }
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It could not be started: no such command.
    NotFound,
    /// It could not be started: it is there, but cannot be executed.
    NotExecutable,
}

/// What running a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitReport {
    /// How it ended.
    pub end: End,
    /// How long it ran, without the time that it was stopped together with cb.
    pub duration: Duration,
    /// Its time was up and it was told to end.
    pub timed_out: bool,
    /// It had to be killed for it.
    pub killed: bool,
    /// The signals that a person sent to it through cb, or typed.
    pub sent: SignalSet,
}

/// A set of signal numbers, 1 to 64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(u64);

impl SignalSet {
    /// The set without any.
    pub const EMPTY: SignalSet = SignalSet(0);

    /// The same set with this signal; a number out of range changes nothing.
    pub const fn with(self, signal: i32) -> Self {
        match signal {
            1..=64 => SignalSet(self.0 | 1 << (signal - 1)),
            _ => self,
        }
    }

    /// Whether this signal is in the set.
    pub const fn contains(self, signal: i32) -> bool {
        matches!(signal, 1..=64) && self.0 & (1 << (signal - 1)) != 0
    }
}

/// Which exit codes say what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitCodes {
    /// Codes that count as nothing.
    pub ignore: Vec<u8>,
    /// Where given, the only codes that are failures; every other is ignored.
    pub failure: Option<Vec<u8>>,
}

impl Default for ExitCodes {
    fn default() -> Self {
        ExitCodes { ignore: vec![126, 127], failure: None }
    }
}

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGQUIT: i32 = 3;
const SIGPIPE: i32 = 13;
const SIGTERM: i32 = 15;

impl ExitReport {
    /// What this end of a command says about the dependency.
    pub fn classify(&self, codes: &ExitCodes) -> Outcome {
        match self.end {
            End::NotFound | End::NotExecutable => Outcome::Ignored,
            _ if self.timed_out => Outcome::Failure,
            End::Code(0) => Outcome::Success,
            _ if self.ended_on_request() => Outcome::Ignored,
            // Whoever read its output went away: that says nothing about what
            // the command calls.
            End::Signal(SIGPIPE) => Outcome::Ignored,
            End::Signal(_) => Outcome::Failure,
            End::Code(code) => codes.classify(code),
        }
    }

    /// Whether a person ended the call through cb: the command died by a signal
    /// it was sent, left with the shell's code for one (128 + number), or failed
    /// in any way after INT, QUIT or TERM, which only ask to end. (HUP also
    /// means "read your files again", so a later failure is not its doing.)
    pub fn ended_on_request(&self) -> bool {
        let asked = [SIGINT, SIGQUIT, SIGTERM].into_iter().any(|signal| self.sent.contains(signal));
        asked
            || match self.end {
                End::Signal(signal) => self.sent.contains(signal),
                End::Code(code) => self.sent.contains(code - 128),
                End::NotFound | End::NotExecutable => false,
            }
    }

    /// The signal by which a person asked for an end while the call ran, if one
    /// did: nothing more shall be begun.
    pub fn asked_to_end(&self) -> Option<i32> {
        [SIGHUP, SIGINT, SIGQUIT, SIGTERM].into_iter().find(|signal| self.sent.contains(*signal))
    }

    /// The exit code of the command itself, if it had one.
    pub fn exit_code(&self) -> Option<i32> {
        match self.end {
            End::Code(code) => Some(code),
            _ => None,
        }
    }

    /// The signal that ended the command, if one did.
    pub fn signal(&self) -> Option<i32> {
        match self.end {
            End::Signal(signal) => Some(signal),
            _ => None,
        }
    }
}

impl ExitCodes {
    fn classify(&self, code: i32) -> Outcome {
        let listed = |list: &[u8]| u8::try_from(code).is_ok_and(|code| list.contains(&code));
        match &self.failure {
            Some(failure) if listed(failure) => Outcome::Failure,
            Some(_) => Outcome::Ignored,
            None if listed(&self.ignore) => Outcome::Ignored,
            None => Outcome::Failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGUSR1: i32 = 10;

    fn report(end: End) -> ExitReport {
        ExitReport {
            end,
            duration: Duration::ZERO,
            timed_out: false,
            killed: false,
            sent: SignalSet::EMPTY,
        }
    }

    #[track_caller]
    fn check(report: ExitReport, expected: Outcome) {
        assert_eq!(report.classify(&ExitCodes::default()), expected, "{report:?}");
    }

    #[test]
    fn codes_signals_and_timeouts() {
        check(report(End::Code(0)), Outcome::Success);
        check(report(End::Code(1)), Outcome::Failure);
        check(report(End::Code(126)), Outcome::Ignored);
        check(report(End::Code(127)), Outcome::Ignored);
        check(report(End::Signal(9)), Outcome::Failure);
        check(report(End::Signal(SIGPIPE)), Outcome::Ignored);
        check(report(End::NotFound), Outcome::Ignored);
        check(report(End::NotExecutable), Outcome::Ignored);
        check(ExitReport { timed_out: true, ..report(End::Signal(15)) }, Outcome::Failure);
        check(ExitReport { timed_out: true, ..report(End::Code(0)) }, Outcome::Failure);
    }

    #[test]
    fn who_is_asked_to_end_begins_nothing_more() {
        let sent =
            |signal| ExitReport { sent: SignalSet::EMPTY.with(signal), ..report(End::Code(0)) };
        assert_eq!(sent(SIGTERM).asked_to_end(), Some(SIGTERM));
        assert_eq!(sent(SIGHUP).asked_to_end(), Some(SIGHUP));
        assert_eq!(sent(SIGUSR1).asked_to_end(), None);
        assert_eq!(report(End::Code(1)).asked_to_end(), None);
    }

    #[test]
    fn a_call_ended_by_a_person_is_ignored() {
        let asked = |signal, end| ExitReport { sent: SignalSet::EMPTY.with(signal), ..report(end) };
        check(asked(SIGTERM, End::Signal(SIGTERM)), Outcome::Ignored);
        check(asked(SIGINT, End::Code(130)), Outcome::Ignored);
        check(asked(SIGTERM, End::Code(1)), Outcome::Ignored);
        check(asked(SIGTERM, End::Code(0)), Outcome::Success);
        check(asked(SIGHUP, End::Signal(SIGHUP)), Outcome::Ignored);
        check(asked(SIGHUP, End::Code(1)), Outcome::Failure);
        check(asked(SIGHUP, End::Code(129)), Outcome::Ignored);
        check(asked(SIGUSR1, End::Signal(SIGUSR1)), Outcome::Ignored);
        check(asked(SIGUSR1, End::Code(1)), Outcome::Failure);
    }

    #[test]
    fn failure_codes_leave_other_codes_ignored() {
        let codes = ExitCodes { failure: Some(vec![7, 28]), ..ExitCodes::default() };
        assert_eq!(report(End::Code(7)).classify(&codes), Outcome::Failure);
        assert_eq!(report(End::Code(1)).classify(&codes), Outcome::Ignored);
        assert_eq!(report(End::Signal(11)).classify(&codes), Outcome::Failure);
        assert_eq!(report(End::Code(0)).classify(&codes), Outcome::Success);
    }
}
