//! Actions: what stands in for a call that was rejected, or that failed. They
//! are tried in order until one serves.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use super::parse::{self, Why};
use super::value::Raw;
use crate::model::text;

/// The most actions in a chain.
pub const ACTIONS_MAX: usize = 16;

/// The actions as messages list them.
pub const ACTIONS: [&str; 6] = ["fail", "cache", "cache:TTL", "queue", "run:COMMAND", "exit:CODE"];

/// The shell of a command that is one text.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// The shortest time for which an output stands in.
const TTL_MIN: Duration = Duration::from_millis(1);

/// What can stand in for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing does: the call stays rejected or failed.
    Fail,
    /// The last good output of the same command.
    Cache {
        /// How old it may be; none means any age.
        ttl: Option<Duration>,
    },
    /// The call is kept for later.
    Queue,
    /// Another command: its words, never empty. One that was written as a text
    /// is the shell with that text.
    Run(Vec<OsString>),
    /// An exit status.
    Exit(u8),
}

impl Action {
    /// Its name, without what belongs to it.
    pub const fn name(&self) -> &'static str {
        match self {
            Action::Fail => "fail",
            Action::Cache { .. } => "cache",
            Action::Queue => "queue",
            Action::Run(_) => "run",
            Action::Exit(_) => "exit",
        }
    }

    /// Whether it always serves, so that nothing after it ever could.
    const fn is_last(&self) -> bool {
        matches!(self, Action::Fail | Action::Exit(_))
    }

    /// The action as a text; none for a command that was written as words.
    fn as_text(&self) -> Option<OsString> {
        Some(match self {
            Action::Fail | Action::Queue | Action::Cache { ttl: None } => self.name().into(),
            Action::Cache { ttl: Some(ttl) } => format!("cache:{}", text::duration(*ttl)).into(),
            Action::Exit(code) => format!("exit:{code}").into(),
            Action::Run(words) => match words.as_slice() {
                [shell, option, command] if SHELL == [shell, option].map(OsString::as_os_str) => {
                    let mut text = OsString::from("run:");
                    text.push(command);
                    text
                }
                _ => return None,
            },
        })
    }

    /// The text, where it can be shown as it is.
    fn plain(&self) -> Option<String> {
        let text = self.as_text()?.into_string().ok()?;
        Some(text).filter(|text| !text.chars().any(text::steers))
    }

    /// The action as JSON has it, and a config file too: a text, or words.
    pub fn json(&self) -> serde_json::Value {
        let shown = |word: &OsString| serde_json::Value::from(word.to_string_lossy());
        match (self.as_text(), self) {
            (Some(text), _) => shown(&text),
            (None, Action::Run(words)) => words.iter().map(shown).collect(),
            (None, _) => unreachable!("only a command is written as words"),
        }
    }
}

/// A chain of actions as it was written: in a file a text or a list, on the
/// command line one word for each action.
pub(super) fn read(raw: &Raw<'_>) -> Result<Vec<Action>, Why> {
    let actions = match raw {
        Raw::Array(items) if items.len() > ACTIONS_MAX => {
            return Err(format!("more than {ACTIONS_MAX} actions"));
        }
        // Which of several: the whole list is shown before that.
        Raw::Array(items) if items.len() > 1 => items
            .iter()
            .map(|item| read_one(item).map_err(|why| format!("{}: {why}", item.shown())))
            .collect::<Result<Vec<_>, _>>()?,
        Raw::Array(items) => items.iter().map(read_one).collect::<Result<Vec<_>, _>>()?,
        raw => vec![read_one(raw)?],
    };
    if actions.is_empty() {
        return Err("without any action, nothing says what to do".into());
    }
    if let Some(at) = actions[..actions.len() - 1].iter().position(Action::is_last) {
        return Err(format!("nothing can follow '{}'", actions[at]));
    }
    Ok(actions)
}

fn read_one(raw: &Raw<'_>) -> Result<Action, Why> {
    let text = match raw {
        Raw::Word(word) => *word,
        Raw::Text(text) => OsStr::new(*text),
        Raw::Array(words) => return program(words),
        other => return Err(parse::wrong_type(other)),
    };
    let bytes = text.as_bytes();
    let (name, rest) = match bytes.iter().position(|byte| *byte == b':') {
        Some(at) => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]))),
        None => (bytes, None),
    };
    match (name, rest) {
        (b"run", Some(command)) => shell(command),
        _ if text.to_str().is_none() => Err(parse::NOT_UTF8.into()),
        (b"fail", None) => Ok(Action::Fail),
        (b"queue", None) => Ok(Action::Queue),
        (b"cache", None) => Ok(Action::Cache { ttl: None }),
        (b"cache", Some(ttl)) => cache(raw, ttl),
        (b"run", None) => Err("it needs a command (run:COMMAND)".into()),
        (b"exit", Some(code)) => match parse::whole_word(code, 255) {
            Ok(code) => Ok(Action::Exit(code as u8)),
            Err(why) => Err(format!("the code: {why}, 0 to 255")),
        },
        (b"exit", None) => Err("it needs a code (exit:CODE)".into()),
        (b"fail" | b"queue", Some(_)) => {
            let name = String::from_utf8_lossy(name);
            Err(format!("nothing belongs behind '{name}'"))
        }
        _ => Err("no such action".into()),
    }
}

/// A file's durations have a unit, those of the command line need none.
fn cache(raw: &Raw<'_>, ttl: &OsStr) -> Result<Action, Why> {
    let read = match (raw, ttl.to_str()) {
        (Raw::Text(_), Some(text)) => parse::duration_text_within(text, TTL_MIN),
        _ => parse::duration_word(ttl, TTL_MIN),
    };
    let ttl = read.map_err(|why| format!("the time to live: {why}"))?;
    Ok(Action::Cache { ttl: Some(ttl) })
}

fn shell(command: &OsStr) -> Result<Action, Why> {
    shell_words(command).map(Action::Run)
}

/// A command that is one text, as the words that are run.
pub(super) fn shell_words(command: &OsStr) -> Result<Vec<OsString>, Why> {
    if command.as_bytes().trim_ascii().is_empty() {
        return Err("the command is empty".into());
    }
    let words = SHELL.iter().map(OsStr::new).chain([command]);
    words.map(word_of_command).collect()
}

fn program(words: &[Raw<'_>]) -> Result<Action, Why> {
    program_words(words).map(Action::Run)
}

/// A command as words: a program and its arguments, run without a shell.
pub(super) fn program_words(words: &[Raw<'_>]) -> Result<Vec<OsString>, Why> {
    let mut command = Vec::with_capacity(words.len());
    for word in words {
        let Raw::Text(text) = word else {
            return Err(format!("{}: a command is a list of texts", word.shown()));
        };
        command.push(word_of_command(OsStr::new(*text))?);
    }
    match command.first() {
        Some(program) if !program.is_empty() => Ok(command),
        _ => Err("the command is empty".into()),
    }
}

fn word_of_command(word: &OsStr) -> Result<OsString, Why> {
    match word.as_bytes() {
        bytes if bytes.contains(&0) => Err("no command can have a NUL byte".into()),
        bytes => Ok(OsString::from_vec(bytes.to_vec())),
    }
}

/// The action as it was written; where that could steer a terminal, or is a list
/// of words, in TOML.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.plain() {
            Some(text) => f.write_str(&text),
            None => f.write_str(&toml(&self.json())),
        }
    }
}

/// A chain as it is shown: one plain text as it is, all else as a list in TOML.
pub(super) struct Chain<'a>(pub(super) &'a [Action]);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [action] = self.0
            && let Some(text) = action.plain()
        {
            return f.write_str(&text);
        }
        let items: Vec<_> = self.0.iter().map(|action| toml(&action.json())).collect();
        write!(f, "[{}]", items.join(", "))
    }
}

/// A text or a list of texts in TOML, with nothing in it that steers a terminal.
pub(super) fn toml(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Array(items) => {
            format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", "))
        }
        other => quoted(other.as_str().unwrap_or_default()),
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if text::steers(c) => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
