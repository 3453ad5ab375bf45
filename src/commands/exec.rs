//! `cb exec`: ask the breaker, run the command, tell the breaker, end alike.

use super::call::{Admission, Caller, Granted, Refusal, finished};
use super::output::Voice;
use super::result::{Report, Sink};
use super::setup::Setup;
use crate::cli::ExecWords;
use crate::clock;
use crate::error::{Error, plain};
use crate::exit;
use crate::model::outcome::{End, ExitReport};
use crate::model::text::duration;
use crate::model::{BreakerName, Finished, Outcome};
use crate::process::{self, Notice, Request, Startup};
use crate::render::sentence;
use crate::settings;

/// A call of one command.
struct Call<'a> {
    words: &'a ExecWords,
    caller: Caller<'a>,
}

/// Runs the command, or does not; the exit status of cb.
///
/// # Errors
///
/// What is cb's own fault, or its caller's.
pub fn run(words: &ExecWords, startup: &Startup) -> Result<i32, Error> {
    let name = settings::breaker_name(&words.name)?;
    let voice = Voice { name: name.as_str(), quiet: words.quiet };
    let mut sink = Sink::open(words, startup)?;
    sink.warnings(&voice);
    let status = attempt(words, &name, startup, &mut sink);
    if let Err(error) = &status {
        let why = match error {
            Error::Refused { .. } => "store",
            Error::Spawn(_) => "spawn",
            _ => "error",
        };
        sink.write(&Report::of_rejection(voice.name, why, exit::OWN_ERROR, None), &voice);
    }
    status
}

fn attempt(
    words: &ExecWords,
    name: &BreakerName,
    startup: &Startup,
    sink: &mut Sink,
) -> Result<i32, Error> {
    let setup = Setup::load(&words.places)?;
    let settings = setup.settings(name, "", &words.flags)?;
    let store = match setup.store() {
        Ok(store) => Some(store),
        Err(error) if error.is_of_store() => None,
        Err(error) => return Err(error),
    };
    let flags = Some(settings::flags_text(&words.flags));
    let call = Call { words, caller: Caller { name, settings, store, flags } };
    let voice = Voice { name: name.as_str(), quiet: words.quiet };
    match call.caller.admit(&voice)? {
        Admission::Refused(error) => {
            Err(Error::Refused { name: name.to_string(), why: Box::new(error) })
        }
        Admission::Rejected(refusal) => {
            voice.say(format_args!("not run: {}", sentence::of(&refusal.after)));
            let status = i32::from(call.caller.settings.open_exit_code);
            sink.write(&refusal.report(voice.name, status), &voice);
            Ok(status)
        }
        Admission::Granted(granted) => call.run(granted, startup, sink, &voice),
    }
}

impl Call<'_> {
    fn run(
        &self,
        granted: Granted,
        startup: &Startup,
        sink: &mut Sink,
        voice: &Voice<'_>,
    ) -> Result<i32, Error> {
        let mut notices = Vec::new();
        let ran = self.spawn(&granted, startup, &mut notices);
        let finished = match &ran {
            Ok(exited) => finished(exited, exited.classify(&self.caller.settings.codes)),
            // The call never came to be: its permit goes back.
            Err(_) => Finished::new(Outcome::Ignored, std::time::Duration::ZERO),
        };
        let (before, admitted) = (granted.before, granted.after);
        let told = self.caller.record(granted, &finished, &mut notices);
        // All is told: from here on cb may be ended while it waits for those who
        // read its words.
        if !notices.is_empty() || sink.is_wanted() {
            startup.unblock_signals();
        }
        notices.iter().for_each(|notice| voice.say(notice));
        let exited = ran?;
        let status = status_of(&exited);
        let report = Report::of_run(voice.name, &exited, finished.outcome, status);
        let after = told.map(|told| told.state).or(admitted);
        sink.write(&report.between(before, after), voice);
        match exited.end {
            End::Signal(signal) if !exited.timed_out => Ok(process::end_by_signal(signal)),
            _ => Ok(status),
        }
    }

    /// Runs the command. What happens meanwhile is noted and not said: nobody
    /// may be reading, and a deadline waits for no reader.
    fn spawn(
        &self,
        granted: &Granted,
        startup: &Startup,
        notices: &mut Vec<String>,
    ) -> Result<ExitReport, Error> {
        let env = [
            ("CB_BREAKER", self.caller.name.to_string()),
            ("CB_STATE", granted.state_of_call().name().to_owned()),
            ("CB_ATTEMPT", "1".to_owned()),
        ];
        let (program, args) = self.words.command.split_first().expect("clap requires a command");
        let request = Request {
            env: &env,
            timeout: self.caller.settings.timeout,
            kill_after: self.caller.settings.kill_after,
            foreground: self.words.foreground,
            die_with_parent: self.words.die_with_parent,
            ..Request::new(program, args, clock::monotonic)
        };
        process::run(&request, startup, &mut |notice| {
            notices.push(match notice {
                Notice::TimedOut { after } => format!("timed out after {}", duration(after)),
                Notice::Killed { after } => {
                    format!("still running {} later: killed", duration(after))
                }
                Notice::NotStarted(error) => {
                    format!("cannot run '{}': {}", program.to_string_lossy(), plain(&error))
                }
            });
        })
    }
}

impl Refusal {
    fn report<'a>(&self, name: &'a str, status: i32) -> Report<'a> {
        Report::of_rejection(name, self.why.name(), status, self.after.retry_after_ms)
            .between(Some(self.before), Some(self.after.state))
    }
}

/// The exit status, where cb does not end by the command's signal.
fn status_of(exited: &ExitReport) -> i32 {
    match exited.end {
        _ if exited.timed_out && exited.killed => exit::KILLED,
        _ if exited.timed_out => exit::TIMED_OUT,
        End::Code(code) => code,
        End::Signal(signal) => 128 + signal,
        End::NotFound => exit::NOT_FOUND,
        End::NotExecutable => exit::NOT_EXECUTABLE,
    }
}
