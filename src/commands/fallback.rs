//! What happens instead of a call that was rejected or that failed: a chain of
//! actions, tried in order until one serves. Nothing here counts toward the
//! breaker, and one line says what stood in and why.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, access};
use rustix::io::Errno;

use super::attempt::{Call, STDIN_MAX, words_of};
use super::background::Background;
use super::call::variables;
use super::enqueue::{Order, enqueue, is_already};
use super::keeping;
use super::output::Stdout;
use crate::clock;
use crate::error::Error;
use crate::model::State;
use crate::model::backoff::millis;
use crate::model::job::JobState;
use crate::model::outcome::{End, ExitReport};
use crate::process::{self, Input, NotAgain, Notice, Request, Stdin};
use crate::render::times::rough;
use crate::settings::Action;
use crate::store::queue::Added;

/// Why something has to stand in.
pub struct Occasion {
    /// For the one who stands in: open, bulkhead, failure, timeout.
    pub reason: &'static str,
    /// The breaker's state, if it can be told.
    pub state: Option<State>,
    /// How long until a trial is due, if one is awaited.
    pub retry_after_ms: Option<u64>,
    /// The status of the command, where it ran.
    pub status: Option<i32>,
    /// What happened, as the one line begins that is said about it.
    pub what: String,
}

/// What stood in.
pub enum StandIn {
    /// Nothing did.
    Nothing,
    /// An exit status.
    Exit(u8),
    /// Another command.
    Ran(ExitReport),
    /// An earlier output, with the status that it had.
    Replayed(i32),
    /// The call was queued, as this job.
    Queued(String),
}

impl StandIn {
    /// The name that JSON sees.
    pub const fn name(&self) -> Option<&'static str> {
        match self {
            StandIn::Nothing | StandIn::Exit(_) => None,
            StandIn::Ran(_) => Some("run"),
            StandIn::Replayed(_) => Some("cache"),
            StandIn::Queued(_) => Some("queue"),
        }
    }
}

/// The stage on which something stands in.
struct Stage<'a, 'c> {
    call: &'a mut Call<'c>,
    occasion: &'a Occasion,
    /// What was tried and did not serve, in words.
    tried: Vec<String>,
}

/// Tries the actions of a chain in order until one serves.
///
/// # Errors
///
/// What could not be written to stdout.
pub fn stand_in(
    call: &mut Call<'_>,
    chain: &[Action],
    occasion: &Occasion,
) -> Result<StandIn, Error> {
    let mut stage = Stage { call, occasion, tried: Vec::new() };
    for action in chain {
        if let Some(served) = stage.act(action)? {
            return Ok(served);
        }
    }
    stage.nothing()
}

impl Stage<'_, '_> {
    fn act(&mut self, action: &Action) -> Result<Option<StandIn>, Error> {
        match action {
            Action::Fail => self.nothing().map(Some),
            Action::Exit(code) => {
                self.say(Some(&format!("exit status {code} stands in")));
                Ok(Some(StandIn::Exit(*code)))
            }
            Action::Cache { ttl } => self.replay(*ttl),
            Action::Queue => Ok(self.queue()),
            Action::Run(words) => self.run(words),
        }
    }

    /// Nothing stands in. After a failure the command has said why itself; cb
    /// speaks only where something was tried.
    fn nothing(&mut self) -> Result<StandIn, Error> {
        if self.occasion.status.is_none() || !self.tried.is_empty() {
            self.say(None);
        }
        Ok(StandIn::Nothing)
    }

    fn replay(&mut self, ttl: Option<Duration>) -> Result<Option<StandIn>, Error> {
        let mut cached = match keeping::find(&self.call.caller, self.call.words, ttl) {
            Ok(Some(cached)) => cached,
            Ok(None) => return Ok(self.no("no output of it is kept".to_owned())),
            Err(error) => return Ok(self.no(error.to_string())),
        };
        self.say(Some(&format!("its output of {} ago stands in", rough(millis(cached.age)))));
        match cached.copy_to(&mut Stdout::new(self.call.startup)) {
            Ok(()) => {}
            // A reader that goes away has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(Error::Stdout(error)),
        }
        Ok(Some(StandIn::Replayed(cached.exit_code)))
    }

    fn queue(&mut self) -> Option<StandIn> {
        match self.enqueue() {
            Ok(added) => match (is_already(&added), added.state) {
                // Nothing would ever run it.
                (Some(why), JobState::Failed | JobState::Doubt) => self.no(why),
                (known, _) => {
                    let served = known.unwrap_or_else(|| format!("queued as {}", added.id));
                    self.say(Some(&served));
                    Some(StandIn::Queued(added.id.to_string()))
                }
            },
            // This says it itself.
            Err(error @ Error::NotQueued { .. }) => self.no(error.to_string()),
            Err(error) => self.no(format!("not queued: {error}")),
        }
    }

    /// Puts the call into the queue.
    fn enqueue(&mut self) -> Result<Added, Error> {
        let call = &mut *self.call;
        let caller = &call.caller;
        let store = caller.store.as_ref().ok_or(Error::NoStore)?;
        let settings = &caller.settings;
        let stdin_max = settings.queue.stdin_max;
        // Kept, whatever comes of this: the next action has all of it as well.
        let stdin = call.stdin.get_or_insert_with(|| Stdin::of(call.startup, STDIN_MAX));
        let stdin = read_stdin(stdin, stdin_max)?;
        // One that failed a moment ago waits as one that failed in the queue.
        let failed = self.occasion.status.is_some();
        let delay = if failed { settings.queue.attempt_delay } else { Duration::ZERO };
        let order = Order {
            command: &call.words.command,
            flags: &call.words.flags,
            key: call.words.key.as_deref(),
            idempotent: call.words.idempotent,
            stdin,
            delay,
        };
        let added = enqueue(store, caller.name, settings, order)?;
        // Where it is closed, no closing will start a drain.
        if let Some(queue) = Background::of(caller, &call.words.places, call.startup)
            && let Some(notice) = queue.if_flowing()
        {
            call.voice.say(notice);
        }
        Ok(added)
    }

    fn run(&mut self, words: &[OsString]) -> Result<Option<StandIn>, Error> {
        let Some((program, args)) = words.split_first() else { return Ok(None) };
        let occasion = self.occasion;
        let env = variables([
            ("CB_BREAKER", self.call.caller.name.to_string()),
            ("CB_REASON", occasion.reason.to_owned()),
            ("CB_STATE", occasion.state.map_or("unknown", State::name).to_owned()),
            // Not the one that it would inherit, where cb itself was run by cb.
            ("CB_RETRY_AFTER", occasion.retry_after_ms.map_or_else(String::new, seconds)),
            ("CB_EXIT_CODE", occasion.status.map_or_else(String::new, |code| code.to_string())),
        ]);
        if let Err(error) = can_start(program) {
            let notice = Notice::NotStarted(error);
            return Ok(self.no(words_of(program, &notice)));
        }
        let name = program_of(words);
        self.say(Some(&format!("{name} stands in")));
        let stdin = match &mut self.call.stdin {
            Some(stdin) if stdin.again().is_ok() => stdin.input(),
            _ => Input::Inherit,
        };
        let mut request = Request {
            env: &env,
            stdin,
            die_with_parent: self.call.words.die_with_parent,
            ..Request::new(program, args, clock::monotonic)
        };
        let mut notices = Vec::new();
        let mut note = |notice| notices.push(words_of(program, &notice));
        let ran = process::run(&mut request, self.call.startup, &mut note);
        self.call.startup.unblock_signals();
        match ran {
            Ok(exited) if !matches!(exited.end, End::NotFound | End::NotExecutable) => {
                Ok(Some(StandIn::Ran(exited)))
            }
            Ok(_) => Ok(self.no(notices.join("; "))),
            Err(error) => Ok(self.no(error.to_string())),
        }
    }

    /// This did not serve.
    fn no(&mut self, why: String) -> Option<StandIn> {
        self.tried.push(why);
        None
    }

    /// Says the one line: what happened, what did not help, what stands in.
    fn say(&self, served: Option<&str>) {
        let tried = self.tried.iter().map(String::as_str);
        let parts: Vec<&str> =
            std::iter::once(self.occasion.what.as_str()).chain(tried).chain(served).collect();
        self.call.voice.say(parts.join("; "));
    }
}

/// All of standard input.
///
/// # Errors
///
/// What cannot be read, or that it is more than a job may keep.
pub fn read_stdin(stdin: &mut Stdin, max: u64) -> Result<Vec<u8>, Error> {
    match stdin.read_all(max) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) if let Err(why @ NotAgain::NotKept(_)) = stdin.again() => {
            Err(Error::Usage(why.to_string()))
        }
        Ok(None) => Err(Error::Usage(format!(
            "its stdin is over {max} bytes (queue_stdin_max): give it a file by name instead"
        ))),
        Err(error) => Err(Error::io("read", "stdin")(error)),
    }
}

/// Whole seconds, rounded up: who waits for so long comes not too early.
fn seconds(millis: u64) -> String {
    millis.div_ceil(1000).to_string()
}

/// Whether a program can be started, as far as that can be told without doing
/// it: the line that names it comes before it runs.
fn can_start(program: &OsStr) -> io::Result<()> {
    let check = |path: &Path| {
        access(path, Access::EXEC_OK)?;
        if path.is_dir() { Err(Errno::ACCESS) } else { Ok(()) }
    };
    if program.as_bytes().contains(&b'/') {
        return Ok(check(Path::new(program))?);
    }
    // Without a PATH it is looked for in places of the system's.
    let Some(path) = std::env::var_os("PATH") else { return Ok(()) };
    let mut why = Errno::NOENT;
    for directory in std::env::split_paths(&path) {
        match check(&directory.join(program)) {
            Ok(()) => return Ok(()),
            Err(Errno::ACCESS) => why = Errno::ACCESS,
            Err(_) => {}
        }
    }
    Err(why.into())
}

/// What stands in, by name: a shell's text is not repeated.
fn program_of(words: &[OsString]) -> String {
    match words {
        [shell, option, _] if shell == "/bin/sh" && option == "-c" => "a command".to_owned(),
        [program, ..] => format!("'{}'", keeping::program(program)),
        [] => String::new(),
    }
}
