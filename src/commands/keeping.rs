//! The output of a call on its way into the cache, and out of it again.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use super::call::Caller;
use super::output::Voice;
use crate::cli::ExecWords;
use crate::error::Error;
use crate::process::{Capture, Tap};
use crate::settings::{Action, Settings};
use crate::store::cache::{CacheKey, Cached, Kept, Recording};

/// An output that is being kept.
pub struct Keeping<'s> {
    recording: Recording<'s>,
    program: OsString,
}

impl<'s> Keeping<'s> {
    /// Begins to keep the output of a call, where its settings say that it may
    /// stand in later. That it cannot be kept stops nothing.
    pub fn begin(
        caller: &'s Caller<'_>,
        words: &ExecWords,
        notices: &mut Vec<String>,
    ) -> Option<Self> {
        let settings = &caller.settings;
        let store = caller.store.as_ref().filter(|_| wants_cache(settings))?;
        let key = key(words, settings);
        match store.cache_record(caller.name, &key, settings.cache.max) {
            Ok(recording) => {
                let program = words.command.first().cloned().unwrap_or_default();
                Some(Keeping { recording, program })
            }
            Err(error) => {
                notices.push(format!("{error}; its output is not kept"));
                None
            }
        }
    }

    /// What listens to the command's output.
    pub fn tap(&mut self) -> &mut dyn Tap {
        self
    }

    /// Keeps what the command wrote, if all of it was seen.
    pub fn keep(self, output: &Capture<'_>, exit_code: i32, voice: &Voice<'_>) {
        if !output.is_complete() {
            voice.say("its output is not kept: its end was not seen");
            return;
        }
        match self.recording.keep(exit_code, &self.program) {
            Ok(Kept::Stored { .. }) => {}
            Ok(Kept::TooLarge) => voice.say("its output is not kept: it is over cache_max"),
            Err(error) => voice.say(format_args!("{error}; its output is not kept")),
        }
    }
}

impl Tap for Keeping<'_> {
    fn take(&mut self, bytes: &[u8]) {
        self.recording.take(bytes);
    }
}

/// Whether an earlier output may stand in for this call.
pub fn wants_cache(settings: &Settings) -> bool {
    let chains = settings.on_open.iter().chain(&settings.on_failure);
    chains.into_iter().any(|action| matches!(action, Action::Cache { .. }))
}

/// The output that may stand in for this call.
///
/// # Errors
///
/// What cannot be read.
pub fn find(
    caller: &Caller<'_>,
    words: &ExecWords,
    ttl: Option<Duration>,
) -> Result<Option<Cached>, Error> {
    let Some(store) = &caller.store else { return Err(Error::NoStore) };
    store.cache_find(caller.name, &key(words, &caller.settings), ttl)
}

/// What tells the call's output from others of this breaker.
fn key(words: &ExecWords, settings: &Settings) -> CacheKey {
    let cwd = if settings.cache.cwd { std::env::current_dir().ok() } else { None };
    let value = |name: &String| (name.clone(), std::env::var_os(name));
    let env: Vec<_> = settings.cache.env.iter().map(value).collect();
    CacheKey::of(&words.command, cwd.as_deref(), &env)
}

/// The name of a program, without where it lies.
pub fn program(word: &OsStr) -> String {
    let name = std::path::Path::new(word).file_name().unwrap_or(word);
    name.to_string_lossy().into_owned()
}
