//! From the child's start to its end: signals passed on, stops mirrored, the
//! deadline kept.
//!
//! The child is never signalled after it was waited for, so its number is
//! always its own; that of its group is, as long as anyone is in it.

use std::io;
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions};

use crate::error::Error;
use crate::model::outcome::{End, ExitReport, SignalSet};

use super::deadline::{Deadline, Due};
use super::group::Remains;
use super::pump::Pumps;
use super::signals::{self, Arrival, Set, To};
use super::terminal::Terminal;
use super::{Notice, Request};

/// The first and the longest pause between two looks at what is left of a group.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_MAX: Duration = Duration::from_millis(20);
/// How long a killed group may take to be gone before cb ends without it.
const GONE_WITHIN: Duration = Duration::from_millis(100);

/// The signals by which a terminal ends the command that holds it.
const TYPED_ENDS: [i32; 3] = [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP];

/// What the child did.
enum Change {
    Nothing,
    Stopped(i32),
    Ended(End),
}

/// A child that leads a group of its own, and the terminal that it may be lent.
pub(super) struct OwnGroup {
    /// cb's terminal, where it has one.
    pub(super) terminal: Option<Terminal>,
    /// Whether the child's group had its foreground at some time.
    pub(super) was_lent: bool,
}

/// A running child, and what happened to it so far.
pub(super) struct Watch<'a, 't> {
    clock: fn() -> Duration,
    notify: &'a mut dyn FnMut(Notice),
    timeout: Duration,
    kill_after: Duration,
    child: Pid,
    own_group: Option<OwnGroup>,
    waited: Set,
    /// What goes through cb meanwhile, if anything does.
    pumps: Option<Pumps<'a, 't>>,
    deadline: Deadline,
    began: Duration,
    /// How long cb and the child were stopped together.
    stopped: Duration,
    /// Whether somebody asked for a stop since the last one ended.
    stop_asked: bool,
    sent: SignalSet,
}

impl<'a, 't> Watch<'a, 't> {
    /// Takes over a child that was started at `began`.
    pub(super) fn new(
        request: &Request<'_, '_>,
        notify: &'a mut dyn FnMut(Notice),
        waited: Set,
        child: Pid,
        own_group: Option<OwnGroup>,
        began: Duration,
    ) -> Self {
        Watch {
            clock: request.clock,
            notify,
            timeout: request.timeout.unwrap_or(Duration::MAX),
            kill_after: request.kill_after,
            child,
            own_group,
            waited,
            pumps: None,
            deadline: Deadline::new(began, request.timeout, request.kill_after),
            began,
            stopped: Duration::ZERO,
            stop_asked: false,
            sent: SignalSet::EMPTY,
        }
    }

    /// Serves these as well from here on.
    pub(super) fn with(self, pumps: Option<Pumps<'a, 't>>) -> Self {
        Watch { pumps, ..self }
    }

    /// Stays with the child until it ended; after a timeout, until its group has.
    pub(super) fn finish(mut self) -> Result<ExitReport, Error> {
        let end = self.until_end()?;
        let ran = (self.clock)().saturating_sub(self.began);
        self.note_missed(end);
        if self.deadline.timed_out() && self.own_group.is_some() {
            self.until_group_is_gone();
        }
        if let Some(OwnGroup { terminal: Some(terminal), .. }) = &self.own_group {
            terminal.take_back(Some(self.child));
        }
        if let Some(pumps) = self.pumps.take() {
            pumps.end(self.clock);
        }
        Ok(ExitReport {
            end,
            duration: ran.saturating_sub(self.stopped),
            timed_out: self.deadline.timed_out(),
            killed: self.deadline.killed(),
            sent: self.sent,
        })
    }

    fn until_end(&mut self) -> Result<End, Error> {
        self.pass_on_what_came_early();
        loop {
            let due = self.deadline.due((self.clock)());
            match due {
                Due::Nothing(pause) => match self.wait(pause) {
                    Some(arrival) if arrival.signal != libc::SIGCHLD => {
                        self.on_signal(&arrival);
                        continue;
                    }
                    Some(_) => {}
                    None => continue,
                },
                // One that just ended by itself, or was stopped, is not late.
                Due::Term | Due::Kill => {}
            }
            match (self.look()?, due) {
                (Change::Ended(end), _) => return Ok(end),
                (Change::Stopped(signal), _) => self.on_stop(signal),
                (Change::Nothing, Due::Term) => self.tell_to_end(),
                (Change::Nothing, Due::Kill) => self.kill(),
                (Change::Nothing, Due::Nothing(_)) => {}
            }
        }
    }

    /// Waits for a signal; `None` after `timeout`, or when something was pumped.
    fn wait(&mut self, timeout: Option<Duration>) -> Option<Arrival> {
        let timeout = match &mut self.pumps {
            None => timeout,
            Some(pumps) => {
                if !pumps.turn(timeout) {
                    return None;
                }
                Some(Duration::ZERO)
            }
        };
        signals::wait(&self.waited, timeout)
    }

    /// What the child did since the last look. After `Ended` it is waited for.
    fn look(&self) -> Result<Change, Error> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        let status = loop {
            match rustix::process::waitid(WaitId::Pid(self.child), options) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other.map_err(|errno| Error::Spawn(io::Error::from(errno)))?,
            }
        };
        let Some(status) = status else { return Ok(Change::Nothing) };
        Ok(match (status.exit_status(), status.terminating_signal(), status.stopping_signal()) {
            (Some(code), ..) => Change::Ended(End::Code(code)),
            (_, Some(signal), _) => Change::Ended(End::Signal(signal)),
            (.., Some(signal)) => Change::Stopped(signal),
            _ => Change::Nothing,
        })
    }

    /// Whom signals go to.
    fn to(&self) -> To {
        let child = self.child.as_raw_nonzero().get();
        if self.own_group.is_some() { To::Group(child) } else { To::Child(child) }
    }

    fn on_signal(&mut self, arrival: &Arrival) {
        let signal = arrival.signal;
        if matches!(signal, libc::SIGTTIN | libc::SIGTTOU | libc::SIGCHLD)
            || signals::is_ignored(signal)
        {
            return;
        }
        self.sent = self.sent.with(signal);
        self.stop_asked |= signal == libc::SIGTSTP;
        if signal == libc::SIGCONT {
            self.stop_asked = false;
            self.lend_again();
        }
        if !(arrival.from_kernel && self.has_it_too(signal)) {
            signals::pass_on(self.to(), arrival);
        }
    }

    /// Passes on what was typed before the child was the command, and so did not
    /// reach it: all that is pending now. What came within the few instructions
    /// since then reaches it twice, or there would be a moment in which it is
    /// lost.
    fn pass_on_what_came_early(&mut self) {
        let pending = Set::pending();
        let waited = self.waited;
        let early = signals::OF_TERMINALS
            .into_iter()
            .filter(|&signal| pending.contains(signal) && waited.contains(signal));
        for arrival in early.filter_map(signals::take) {
            self.on_signal(&Arrival { from_kernel: false, ..arrival });
        }
    }

    /// Whether the kernel, which sent this to cb, sent it to the child as well:
    /// what is typed goes to the whole foreground group. A hang-up does too,
    /// except that the leader of a session gets it alone; an alarm is cb's own.
    fn has_it_too(&self, signal: i32) -> bool {
        let to_the_group = match signal {
            libc::SIGHUP | libc::SIGCONT => {
                rustix::process::getsid(None) != Ok(rustix::process::getpid())
            }
            _ => signals::OF_TERMINALS.contains(&signal),
        };
        to_the_group && self.own_group.is_none()
    }

    /// Two ways in which a person ends the child, but not through cb. What is
    /// typed while the child's group holds the terminal goes to that alone: a
    /// child that ends by it, or with the shell's code for it, was meant; so is
    /// one that had the terminal when that was hung up. And what is sent to cb
    /// and the child one after the other, as at a system's shutdown, may end the
    /// child before it was taken here. It is now: cb ends as the child did.
    fn note_missed(&mut self, end: End) {
        let signal = match end {
            End::Signal(signal) => signal,
            End::Code(code) => code - 128,
            End::NotFound | End::NotExecutable => return,
        };
        let holds_terminal = |own: &OwnGroup| {
            own.terminal.as_ref().is_some_and(|terminal| {
                terminal.is_of(self.child) || (own.was_lent && terminal.is_gone())
            })
        };
        let typed =
            TYPED_ENDS.contains(&signal) && self.own_group.as_ref().is_some_and(holds_terminal);
        let may_be_sent = self.waited.contains(signal) && signal != libc::SIGCHLD;
        if typed || (may_be_sent && signals::take(signal).is_some()) {
            self.sent = self.sent.with(signal);
        }
    }

    /// The child was stopped: so is cb, if that came from the terminal or from
    /// somebody who means both. One that is told to end is not waited for so.
    fn on_stop(&mut self, signal: i32) {
        let signal = match signal {
            libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => signal,
            // Programs that tidy up on TSTP stop themselves like this.
            libc::SIGSTOP if self.stop_asked => libc::SIGTSTP,
            _ => return,
        };
        if self.deadline.timed_out() || signals::is_ignored(signal) {
            return;
        }
        if signal != libc::SIGTSTP && self.lend_if_mine() {
            signals::send(self.to(), libc::SIGCONT);
            return;
        }
        self.stop_too(signal);
    }

    /// Lends the terminal to the child's group, if cb's group has it.
    fn lend_if_mine(&mut self) -> bool {
        match &mut self.own_group {
            Some(OwnGroup { terminal: Some(terminal), was_lent }) if terminal.is_mine() => {
                terminal.lend(self.child);
                *was_lent = true;
                true
            }
            _ => false,
        }
    }

    /// After a stop: a child that had the terminal gets it back, if cb has it.
    fn lend_again(&mut self) {
        if self.own_group.as_ref().is_some_and(|own| own.was_lent) {
            self.lend_if_mine();
        }
    }

    /// Stops cb by this signal, until somebody continues it.
    fn stop_too(&mut self, signal: i32) {
        // Continued already: then that is passed on instead.
        if signals::is_pending(libc::SIGCONT) {
            return;
        }
        if let Some(OwnGroup { terminal: Some(terminal), .. }) = &self.own_group {
            terminal.take_back(Some(self.child));
        }
        // A stop that came by way of cb reached all whom its sender meant. One
        // that only the child's group got is passed on to cb's, since a shell
        // sees a job as stopped when all of its group is.
        let all = self.own_group.is_some() && !self.stop_asked;
        let to = if all { To::MyGroup } else { To::Myself };
        let asleep = (self.clock)();
        signals::send(to, signal);
        let only = Set::of(&[signal]);
        only.unblock();
        // Here cb stands still, unless its group is orphaned: then the kernel
        // lets nobody in it stop by these signals.
        only.block();
        let slept = (self.clock)().saturating_sub(asleep);
        self.stop_asked = false;
        if signals::is_pending(libc::SIGCONT) {
            signals::take(libc::SIGCONT);
            self.stopped += slept;
            self.deadline.put_off(slept);
            self.lend_again();
            if !self.was_continued() {
                signals::send(self.to(), libc::SIGCONT);
            }
        } else if signal == libc::SIGTSTP {
            // Nobody could ever continue it. A child that reads from a terminal
            // in the background must stay as it is: it would only try again.
            self.lend_again();
            signals::send(self.to(), libc::SIGCONT);
        }
    }

    /// Whether the child was continued together with cb, as its group.
    fn was_continued(&self) -> bool {
        let options = WaitIdOptions::CONTINUED | WaitIdOptions::NOHANG;
        matches!(rustix::process::waitid(WaitId::Pid(self.child), options), Ok(Some(_)))
    }

    fn tell_to_end(&mut self) {
        signals::send(self.to(), libc::SIGTERM);
        // A stopped process takes TERM only when it goes on.
        signals::send(self.to(), libc::SIGCONT);
        self.deadline.advance((self.clock)());
        (self.notify)(Notice::TimedOut { after: self.timeout });
    }

    fn kill(&mut self) {
        signals::send(self.to(), libc::SIGKILL);
        self.deadline.advance((self.clock)());
        (self.notify)(Notice::Killed { after: self.kill_after });
    }

    /// Gives those whom the child left behind in its group the rest of the time
    /// that it had, then kills them. What a person sends still reaches them.
    fn until_group_is_gone(&mut self) {
        let mut look_after = LOOK_FIRST;
        let mut killed_at = self.deadline.killed().then(self.clock);
        let mut remains = Remains::new(self.child);
        while remains.any((self.clock)()) {
            let now = (self.clock)();
            let left = match (killed_at, self.deadline.due(now)) {
                (Some(at), _) if now.saturating_sub(at) >= GONE_WITHIN => return,
                (None, Due::Kill) => {
                    self.kill();
                    killed_at = Some(now);
                    look_after = LOOK_FIRST;
                    continue;
                }
                (None, Due::Nothing(Some(left))) => left,
                _ => LOOK_MAX,
            };
            if let Some(arrival) = self.wait(Some(look_after.min(left))) {
                self.on_signal(&arrival);
            }
            look_after = (look_after * 2).min(LOOK_MAX);
        }
    }
}
