//! The attempts of one call: each is admitted, run and recorded on its own, and
//! the next one waits longer. They end with one that did not fail, with an open
//! breaker, with a person's signal, or when no more are allowed.

use std::ffi::OsStr;
use std::io;
use std::time::Duration;

use super::background::Background;
use super::call::{Admission, Caller, Granted, Refusal, finished, variables};
use super::keeping::Keeping;
use super::output::Voice;
use crate::cli::ExecWords;
use crate::clock::{self, Clock, SystemClock};
use crate::error::{Error, plain};
use crate::exit;
use crate::model::backoff::millis;
use crate::model::outcome::{End, ExitReport};
use crate::model::text::duration;
use crate::model::{Finished, Outcome, State};
use crate::process::{self, Capture, Input, Notice, Output, Request, Startup, Stdin};
use crate::render::times::rough;
use crate::settings::Action;

/// The most bytes of standard input that are kept for a further attempt.
pub const STDIN_MAX: u64 = 64 << 20;
/// The most bytes of output that are held back until the last attempt is known.
const HELD_MAX: u64 = 64 << 20;

/// A call of `cb exec`, through all of its attempts.
pub struct Call<'a> {
    pub words: &'a ExecWords,
    pub caller: Caller<'a>,
    pub startup: &'a Startup,
    pub voice: Voice<'a>,
    /// Standard input, where it may be needed more than once.
    pub stdin: Option<Stdin>,
    /// How many attempts ran.
    pub attempts: u32,
    /// Whether cb has more to do once a command has ended than to end as well:
    /// from there on it can be ended by a signal.
    goes_on: bool,
    began: Duration,
}

/// What came of it.
pub enum Came {
    /// It never ran.
    Rejected(Box<Refusal>),
    /// It ran: this is the last attempt.
    Ran(Box<Ran>),
    /// It ran, and a person's signal came before it ran again.
    BrokenOff(Box<Ran>, i32),
}

/// What came of an attempt.
enum Once {
    Rejected(Box<Refusal>),
    /// The store cannot be used, and without it the command shall not run.
    Refused(Error),
    Ran(Box<Ran>),
}

/// An attempt that ran.
pub struct Ran {
    pub exited: ExitReport,
    pub outcome: Outcome,
    /// What cb exits with, where it does not end by the command's signal.
    pub status: i32,
    pub before: Option<State>,
    pub after: Option<State>,
    /// The output that is held back.
    held: Option<Capture<'static>>,
    /// What came of passing the output on.
    written: io::Result<()>,
}

impl<'a> Call<'a> {
    /// A call that was not made yet. `reports` says whether somebody waits for a
    /// report of it.
    pub fn new(
        words: &'a ExecWords,
        caller: Caller<'a>,
        startup: &'a Startup,
        reports: bool,
    ) -> Self {
        let settings = &caller.settings;
        let again = settings.retry.retries > 0 || settings.on_failure.contains(&Action::Queue);
        let stdin = again.then(|| Stdin::of(startup, STDIN_MAX));
        let goes_on = reports || again || settings.on_failure != [Action::Fail];
        let voice = Voice { name: caller.name.as_str(), quiet: words.quiet };
        let began = clock::monotonic();
        Call { words, caller, startup, voice, stdin, attempts: 0, goes_on, began }
    }

    /// Makes the attempts.
    ///
    /// # Errors
    ///
    /// What is cb's own fault, or its caller's.
    pub fn make(&mut self) -> Result<Came, Error> {
        let mut last: Option<Box<Ran>> = None;
        loop {
            let ran = match (self.once(), last) {
                (Ok(Once::Ran(ran)), _) => ran,
                (Ok(Once::Rejected(refusal)), None) => return Ok(Came::Rejected(refusal)),
                (Ok(Once::Rejected(refusal)), Some(mut ran)) => {
                    let why = refusal.words(&self.caller.settings);
                    self.voice.say(format_args!("not tried again: {why}"));
                    ran.after = Some(refusal.after.state);
                    return Ok(Came::Ran(ran));
                }
                (Ok(Once::Refused(error)), None) => {
                    let name = self.caller.name.to_string();
                    return Err(Error::Refused { name, why: Box::new(error) });
                }
                (Err(error), None) => return Err(error),
                // It ran all the same, and that is what is told.
                (Ok(Once::Refused(error)) | Err(error), Some(ran)) => {
                    self.voice.say(format_args!("not tried again: {error}"));
                    return Ok(Came::Ran(ran));
                }
            };
            let Some(pause) = self.pause_before_next(&ran) else { return Ok(Came::Ran(ran)) };
            if let Some(request) = process::pause(pause, clock::monotonic) {
                return Ok(Came::BrokenOff(ran, request.signal));
            }
            self.startup.unblock_signals();
            last = Some(ran);
        }
    }

    /// Makes one attempt, if it is admitted.
    fn once(&mut self) -> Result<Once, Error> {
        let granted = match self.caller.admit(&self.voice)? {
            Admission::Granted(granted) => granted,
            Admission::Rejected(refusal) => return Ok(Once::Rejected(refusal)),
            Admission::Refused(error) => return Ok(Once::Refused(error)),
        };
        self.attempts = self.attempts.saturating_add(1);
        let ran = self.attempt(granted);
        if ran.is_err() {
            self.attempts -= 1;
        }
        Ok(Once::Ran(Box::new(ran?)))
    }

    fn attempt(&mut self, granted: Granted) -> Result<Ran, Error> {
        let mut notices = Vec::new();
        let (before, admitted) = (granted.before, granted.after);
        let mut keeping = Keeping::begin(&self.caller, self.words, &mut notices);
        let tap = keeping.as_mut().map(Keeping::tap);
        let mut capture = match (self.words.hold_stdout, tap) {
            (true, tap) => Some(Capture::hold(HELD_MAX, tap)),
            (false, Some(tap)) => Some(Capture::pass_on(Some(tap))),
            (false, None) => None,
        };
        let running = Running {
            words: self.words,
            caller: &self.caller,
            startup: self.startup,
            state: granted.state_of_call(),
            attempt: self.attempts,
        };
        let stdin = self.stdin.as_mut().map_or(Input::Inherit, Stdin::input);
        let stdout = capture.as_mut().map_or(Output::Inherit, Output::Capture);
        let ran = running.run(stdin, stdout, &mut notices);
        let mut capture = capture.map(Capture::untapped);
        let call = match &ran {
            Ok(exited) => finished(exited, exited.classify(&self.caller.settings.codes)),
            // The call never came to be: its permit goes back.
            Err(_) => Finished::new(Outcome::Ignored, Duration::ZERO),
        };
        let told = self.caller.record(granted, &call, &mut notices);
        if let Some(told) = &told
            && let Some(queue) = Background::of(&self.caller, &self.words.places, self.startup)
        {
            notices.extend(queue.after(&told.transitions));
            // A drain that died left its jobs behind, and no closing comes.
            if call.outcome == Outcome::Success && self.queues() && told.state == State::Closed {
                notices.extend(queue.start());
            }
        }
        // All is told: from here on cb may be ended while it waits for those who
        // read its words, and between two attempts.
        if self.goes_on || capture.is_some() || !notices.is_empty() {
            self.startup.unblock_signals();
        }
        notices.iter().for_each(|notice| self.voice.say(notice));
        let exited = ran?;
        let mut written = Ok(());
        if let Some(capture) = capture.as_mut().filter(|_| !self.words.hold_stdout) {
            written = capture.finish();
        }
        // An output that could not be written is told of where that is.
        if let (Some(keeping), Some(capture), Ok(())) = (keeping, &capture, &written)
            && call.outcome == Outcome::Success
        {
            keeping.keep(capture, exited.exit_code().unwrap_or(0), &self.voice);
        }
        Ok(Ran {
            outcome: call.outcome,
            status: status_of(&exited),
            before,
            after: told.map(|told| told.state).or(admitted),
            held: capture.filter(|_| self.words.hold_stdout),
            written,
            exited,
        })
    }

    /// Whether calls like this one are queued.
    fn queues(&self) -> bool {
        let settings = &self.caller.settings;
        let mut chains = settings.on_open.iter().chain(&settings.on_failure);
        chains.any(|action| *action == Action::Queue)
    }

    /// Whether the breaker will still be open after this pause.
    fn stays_open(&self, ran: &Ran, pause: Duration) -> bool {
        ran.after == Some(State::Open)
            && self
                .caller
                .view()
                .is_some_and(|breaker| breaker.retry_after_ms > Some(millis(pause)))
    }

    /// How long to wait before the next attempt; none where there is none, which
    /// is said where one was left.
    fn pause_before_next(&self, ran: &Ran) -> Option<Duration> {
        let retry = &self.caller.settings.retry;
        let none_left = self.attempts > retry.retries;
        if ran.outcome != Outcome::Failure || none_left || ran.exited.asked_to_end().is_some() {
            return None;
        }
        let delay = retry.wait();
        let pause = delay.after(self.attempts, SystemClock::default().draw());
        let passed = clock::monotonic().saturating_sub(self.began);
        let why_not = if let Some(Err(why)) = self.stdin.as_ref().map(Stdin::again) {
            Some(why.to_string())
        } else if ran.held.as_ref().is_some_and(Capture::was_released) {
            Some("its output was too much to hold back, and was passed on".to_owned())
        } else {
            let over = |max: &Duration| passed.saturating_add(pause) > *max;
            let max = retry.max_time.filter(over).map(duration);
            max.map(|max| format!("that would be later than {max} (retry_max_time)"))
        };
        if let Some(why) = why_not {
            self.voice.say(format_args!("not tried again: {why}"));
            return None;
        }
        if self.stays_open(ran, pause) {
            // The next attempt hears it at once.
            return Some(Duration::ZERO);
        }
        let (attempt, all) = (self.attempts, retry.retries.saturating_add(1));
        let (how, next) = (how(&ran.exited), rough(millis(pause)));
        self.voice.say(format_args!("attempt {attempt} of {all} failed ({how}), next in {next}"));
        Some(pause)
    }
}

/// A command about to run.
struct Running<'a> {
    words: &'a ExecWords,
    caller: &'a Caller<'a>,
    startup: &'a Startup,
    state: State,
    attempt: u32,
}

impl Running<'_> {
    /// Runs it. What happens meanwhile is noted and not said: nobody may be
    /// reading, and a deadline waits for no reader.
    fn run(
        &self,
        stdin: Input<'_>,
        stdout: Output<'_, '_>,
        notices: &mut Vec<String>,
    ) -> Result<ExitReport, Error> {
        let env = variables([
            ("CB_BREAKER", self.caller.name.to_string()),
            ("CB_STATE", self.state.name().to_owned()),
            ("CB_ATTEMPT", self.attempt.to_string()),
        ]);
        let (program, args) = self.words.command.split_first().expect("clap requires a command");
        let settings = &self.caller.settings;
        let mut request = Request {
            env: &env,
            timeout: settings.timeout,
            kill_after: settings.kill_after,
            foreground: self.words.foreground,
            die_with_parent: self.words.die_with_parent,
            stdin,
            stdout,
            ..Request::new(program, args, clock::monotonic)
        };
        let mut note = |notice| notices.push(words_of(program, &notice));
        process::run(&mut request, self.startup, &mut note)
    }
}

impl Ran {
    /// Passes on the output that was held back.
    ///
    /// # Errors
    ///
    /// What stdout did not take, now or before; not that its reader went away.
    pub fn pass_on(&mut self) -> Result<(), Error> {
        let written = std::mem::replace(&mut self.written, Ok(()));
        let held = self.held.as_mut().map_or(Ok(()), Capture::finish);
        written.and(held).map_err(Error::Stdout)
    }
}

/// What happened to a command while it ran, in words.
pub fn words_of(program: &OsStr, notice: &Notice) -> String {
    match notice {
        Notice::TimedOut { after } => format!("timed out after {}", duration(*after)),
        Notice::Killed { after } => format!("still running {} later: killed", duration(*after)),
        Notice::NotStarted(error) => {
            format!("cannot run '{}': {}", program.to_string_lossy(), plain(error))
        }
        Notice::NotEntered { directory, error } => {
            format!("cannot enter {}: {}", directory.display(), plain(error))
        }
    }
}

/// How a command ended, in words.
pub fn how(exited: &ExitReport) -> String {
    match exited.end {
        _ if exited.timed_out => "timed out".to_owned(),
        End::Code(code) => format!("exit status {code}"),
        End::Signal(signal) => format!("killed by signal {signal}"),
        End::NotFound => "not found".to_owned(),
        End::NotExecutable => "not executable".to_owned(),
    }
}

/// The exit status, where cb does not end by the command's signal.
pub fn status_of(exited: &ExitReport) -> i32 {
    match exited.end {
        _ if exited.timed_out && exited.killed => exit::KILLED,
        _ if exited.timed_out => exit::TIMED_OUT,
        End::Code(code) => code,
        End::Signal(signal) => 128 + signal,
        End::NotFound => exit::NOT_FOUND,
        End::NotExecutable => exit::NOT_EXECUTABLE,
    }
}
