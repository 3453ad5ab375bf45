//! Words that clap does not understand, as one line that says what is wrong,
//! where, and what is allowed.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::fmt;
use std::io;

/// Why there are no words to act on.
#[derive(Debug)]
pub enum Stop {
    /// Help or the version was asked for (or nothing at all was).
    Text(HelpText),
    /// The words are not understood: one line, without control characters.
    Usage(String),
}

/// A text that clap made: help, or the version.
pub struct HelpText(clap::Error);

impl HelpText {
    /// Whether the text was asked for, and so goes to stdout with status 0.
    /// Otherwise `cb` was called without a word: stderr, and a usage error.
    pub fn was_asked_for(&self) -> bool {
        !self.0.use_stderr()
    }

    /// Prints it, in colour where that suits.
    ///
    /// # Errors
    ///
    /// If the stream cannot be written.
    pub fn print(&self) -> io::Result<()> {
        self.0.print()
    }
}

impl fmt::Display for HelpText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.render().fmt(f)
    }
}

impl fmt::Debug for HelpText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HelpText").field(&self.0.kind()).finish()
    }
}

/// What to do about an error of clap, met while reading the words of a command
/// (`exec`, or `config show`; empty for cb itself).
pub fn stop(error: clap::Error, command: &str) -> Stop {
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Stop::Text(HelpText(error)),
        _ => Stop::Usage(line(&error, command)),
    }
}

/// The message of an error, in one line.
fn line(error: &clap::Error, command: &str) -> String {
    let said = match error.kind() {
        ErrorKind::MissingRequiredArgument => missing(error, command),
        ErrorKind::InvalidSubcommand => {
            format!("no such command: '{}'", text(error, ContextKind::InvalidSubcommand))
        }
        ErrorKind::MissingSubcommand => {
            format!("{command} needs a command: {}", list(error, ContextKind::ValidSubcommand))
        }
        ErrorKind::UnknownArgument => {
            format!("unexpected argument '{}'", text(error, ContextKind::InvalidArg))
        }
        ErrorKind::InvalidValue | ErrorKind::TooFewValues => invalid_value(error),
        ErrorKind::TooManyValues => format!(
            "'{}' takes no value, but '{}' was given",
            text(error, ContextKind::InvalidArg),
            text(error, ContextKind::InvalidValue)
        ),
        _ => first_line(error),
    };
    let hint =
        suggestion(error).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
    let help = if command.is_empty() { "cb --help".into() } else { format!("cb {command} --help") };
    escape(&format!("{said}{hint}; see '{help}'"))
}

fn missing(error: &clap::Error, command: &str) -> String {
    let words: Vec<String> = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(words)) => {
            words.iter().map(|word| word.replace(['<', '>', '.'], "")).collect()
        }
        _ => Vec::new(),
    };
    let example = match command {
        "exec" => "cb exec api -- curl -fsS https://api.example.com",
        "report" => "cb report api \"$token\" success",
        "hold" => "cb hold api forced-open --for 1h",
        "completions" => "cb completions bash",
        "config show" => "cb config show api",
        "queue add" => "cb queue add orders -- ./charge --order 7",
        "wait" => "cb wait api --timeout 5m",
        "queue run" => "cb queue run orders",
        "cache show" => "cb cache show rates 3f2a",
        _ => "",
    };
    match example {
        "" => format!("{command} needs {}", words.join(" and ")),
        _ => format!("{command} needs {}, for example: {example}", words.join(" and ")),
    }
}

fn invalid_value(error: &clap::Error) -> String {
    let place = text(error, ContextKind::InvalidArg);
    let allowed = list(error, ContextKind::ValidValue);
    let allowed = if allowed.is_empty() { allowed } else { format!("; allowed: {allowed}") };
    match text(error, ContextKind::InvalidValue) {
        found if found.is_empty() => format!("'{place}' needs a value{allowed}"),
        found => format!("'{found}' is no value for {place}{allowed}"),
    }
}

fn suggestion(error: &clap::Error) -> Option<String> {
    [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue]
        .into_iter()
        .find_map(|kind| match error.get(kind)? {
            ContextValue::String(near) => Some(near.clone()),
            ContextValue::Strings(near) => near.first().cloned(),
            _ => None,
        })
}

fn text(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    }
}

fn list(error: &clap::Error, kind: ContextKind) -> String {
    text(error, kind)
}

/// What clap says itself, for the kinds that none of cb's arguments cause.
fn first_line(error: &clap::Error) -> String {
    let said = error.render().to_string();
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    said.lines().next().unwrap_or("bad usage").to_owned()
}

/// The text in one line, and with nothing in it that steers a terminal.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}
