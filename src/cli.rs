//! The words of the command line, without their meaning: which command, which
//! names, which flags with which texts. The settings and the commands say what
//! a word means; here is only what is a word at all.
//!
//! Building a command with clap costs microseconds that each `cb exec` would
//! pay, so only the command that the words name is built.

mod flags;
mod help;
mod instead;
mod probe;
mod quick;
mod tree;
mod usage;

use clap::{ArgMatches, Command};
use std::ffi::{OsStr, OsString};

pub use flags::{POLICY_FLAGS, PolicyFlag};
pub use instead::{CacheWhat, CacheWords, QueueAdd, QueueRun, QueueWhat, QueueWords};
pub use probe::{PROBE_FLAGS, ProbeFlag, ProbeWords, UNTIL, WaitWords};
pub use tree::{HOLDS, JOB_STATES, OUTCOMES, SHELLS};
pub use usage::{HelpText, Stop};

/// A setting from a flag: its key, and the text as it was given.
pub type Flag = (&'static str, OsString);

/// The command that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Words {
    /// `cb exec`
    Exec(ExecWords),
    /// `cb probe`
    Probe(ProbeWords),
    /// `cb wait`
    Wait(WaitWords),
    /// `cb status`
    Status(StatusWords),
    /// `cb check`
    Check(AskWords),
    /// `cb allow`
    Allow(AskWords),
    /// `cb report`
    Report(ReportWords),
    /// `cb trip`
    Trip(ManualWords),
    /// `cb reset`
    Reset(ManualWords),
    /// `cb hold`, with the name of the state
    Hold(ManualWords, String),
    /// `cb release`
    Release(ManualWords),
    /// `cb rm`
    Rm(ManualWords),
    /// `cb simulate`
    Simulate(SimulateWords),
    /// `cb queue`
    Queue(QueueWords),
    /// `cb cache`
    Cache(CacheWords),
    /// `cb config`
    Config(ConfigWords),
    /// `cb completions`, with the name of the shell
    Completions(String),
    /// `cb man`
    Man(ManWords),
}

/// Where the state and the settings are, as far as the words say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// `--store DIR`
    pub store: Option<OsString>,
    /// `--config FILE`
    pub config: Option<OsString>,
}

/// The words of `cb exec`. Debug output shows no argument of the command.
#[derive(Clone, PartialEq, Eq)]
pub struct ExecWords {
    /// Where the state and the settings are.
    pub places: Places,
    /// The breaker.
    pub name: OsString,
    /// The command and its arguments, byte for byte; never empty.
    pub command: Vec<OsString>,
    /// The policy flags.
    pub flags: Vec<Flag>,
    /// `--quiet`
    pub quiet: bool,
    /// `--result-file PATH`
    pub result_file: Option<OsString>,
    /// `--result-fd N`
    pub result_fd: Option<OsString>,
    /// `--foreground`
    pub foreground: bool,
    /// `--die-with-parent`
    pub die_with_parent: bool,
    /// `--hold-stdout`
    pub hold_stdout: bool,
    /// `--key KEY`
    pub key: Option<OsString>,
    /// `--idempotent`
    pub idempotent: bool,
}

/// The words of `cb status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusWords {
    /// Where the state and the settings are.
    pub places: Places,
    /// Names and patterns; none means all.
    pub names: Vec<OsString>,
    /// `--json`
    pub json: bool,
    /// `--check NAME`
    pub check: Option<OsString>,
}

/// The words of `cb check` and `cb allow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskWords {
    /// Where the state and the settings are.
    pub places: Places,
    /// The breaker.
    pub name: OsString,
    /// The policy flags.
    pub flags: Vec<Flag>,
    /// `--quiet`
    pub quiet: bool,
}

/// The words of `cb report`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportWords {
    /// Where the state and the settings are.
    pub places: Places,
    /// The breaker.
    pub name: OsString,
    /// What `cb allow` printed.
    pub token: OsString,
    /// One of [`OUTCOMES`].
    pub outcome: String,
    /// `--duration D`
    pub duration: Option<OsString>,
}

/// The words of a command by which a person changes a breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManualWords {
    /// Where the state and the settings are.
    pub places: Places,
    /// The breaker.
    pub name: OsString,
    /// `--for D`
    pub for_: Option<OsString>,
    /// `--reason TEXT`
    pub reason: Option<OsString>,
    /// `--quiet`
    pub quiet: bool,
}

/// The words of `cb simulate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulateWords {
    /// Where the settings are.
    pub places: Places,
    /// `--policy NAME`
    pub policy: Option<OsString>,
    /// `--set KEY=VALUE`, in order.
    pub set: Vec<OsString>,
    /// `--seed N`
    pub seed: Option<OsString>,
    /// `--json`
    pub json: bool,
    /// The trace; none means standard input.
    pub trace: Option<OsString>,
}

/// The words of `cb config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigWords {
    /// Where the settings are.
    pub places: Places,
    /// What to do.
    pub what: ConfigWhat,
}

/// What `cb config` shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigWhat {
    /// `check`
    Check,
    /// `show NAME`
    Show {
        /// The breaker.
        name: OsString,
        /// `--json`
        json: bool,
    },
    /// `path`
    Path,
}

/// The words of `cb man`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManWords {
    /// The command; none means cb itself.
    pub command: Option<String>,
    /// `--dir DIR`
    pub dir: Option<OsString>,
}

/// Reads the arguments of the process, its own name first.
///
/// # Errors
///
/// [`Stop`] where there is nothing to do but to print a text.
pub fn parse(args: Vec<OsString>) -> Result<Words, Stop> {
    let quick = quick::exec(&args).map(Words::Exec);
    match quick.or_else(|| quick::queue_add(&args).map(Words::Queue)) {
        Some(words) => Ok(words),
        None => by_clap(args),
    }
}

fn by_clap(args: Vec<OsString>) -> Result<Words, Stop> {
    let at = command_index(&args);
    let named = at.and_then(|at| tree::COMMANDS.iter().find(|(name, _)| args[at] == *name));
    let (tree, name) = match named {
        Some((name, build)) => (tree::root().subcommand(build()), (*name).to_owned()),
        None => (command(), String::new()),
    };
    let context = match (at, name.as_str()) {
        (Some(at), "config" | "queue" | "cache") => with_subcommand(&tree, name, args.get(at + 1)),
        _ => name,
    };
    let matches = tree.try_get_matches_from(&args).map_err(|error| usage::stop(error, &context))?;
    Ok(words(matches, &args))
}

/// All of cb's words: for help, completions and manual pages.
pub fn command() -> Command {
    tree::root().subcommands(tree::COMMANDS.iter().map(|(_, build)| build()))
}

impl std::fmt::Debug for ExecWords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecWords")
            .field("name", &self.name)
            .field("words", &self.command.len())
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

/// Where the name of the command stands among the arguments of the process:
/// behind the options of cb itself.
pub fn command_index(args: &[OsString]) -> Option<usize> {
    let mut at = 1;
    loop {
        let word = args.get(at)?.as_encoded_bytes();
        match word {
            b"--store" | b"--config" => at += 2,
            _ if word.starts_with(b"--store=") || word.starts_with(b"--config=") => at += 1,
            _ if word.starts_with(b"-") => return None,
            _ => return Some(at),
        }
    }
}

fn with_subcommand(tree: &Command, name: String, word: Option<&OsString>) -> String {
    let command = tree.find_subcommand(&name);
    match command.zip(word).and_then(|(command, word)| command.find_subcommand(word)) {
        Some(below) => format!("{name} {}", below.get_name()),
        None => name,
    }
}

fn words(mut root: ArgMatches, args: &[OsString]) -> Words {
    let (name, mut m) = root.remove_subcommand().expect("clap requires a command");
    let places = places(&mut m, places(&mut root, Places::default()));
    match name.as_str() {
        "exec" => Words::Exec(exec(m, places, args)),
        "probe" => Words::Probe(probe::probe_words(m, places)),
        "wait" => Words::Wait(probe::wait_words(m, places)),
        "status" => Words::Status(StatusWords {
            places,
            names: many(&mut m, "names"),
            json: m.get_flag("json"),
            check: one(&mut m, "check"),
        }),
        "check" => Words::Check(ask(m, places)),
        "allow" => Words::Allow(ask(m, places)),
        "report" => Words::Report(ReportWords {
            places,
            name: required(&mut m, "name"),
            token: required(&mut m, "token"),
            outcome: chosen(&mut m, "outcome").expect("clap requires it"),
            duration: one(&mut m, "duration"),
        }),
        "trip" => Words::Trip(manual(m, places)),
        "reset" => Words::Reset(manual(m, places)),
        "hold" => {
            let hold = chosen(&mut m, "hold").expect("clap requires it");
            Words::Hold(manual(m, places), hold)
        }
        "release" => Words::Release(manual(m, places)),
        "rm" => Words::Rm(manual(m, places)),
        "simulate" => Words::Simulate(SimulateWords {
            places,
            policy: one(&mut m, "policy"),
            set: many(&mut m, "set"),
            seed: one(&mut m, "seed"),
            json: m.get_flag("json"),
            trace: one(&mut m, "trace"),
        }),
        "queue" => Words::Queue(instead::queue(m, places, args)),
        "cache" => Words::Cache(instead::cache(m, places)),
        "config" => Words::Config(config(m, places)),
        "completions" => Words::Completions(chosen(&mut m, "shell").expect("clap requires it")),
        "man" => {
            Words::Man(ManWords { command: chosen(&mut m, "command"), dir: one(&mut m, "dir") })
        }
        other => unreachable!("clap knows no command {other}"),
    }
}

fn exec(mut m: ArgMatches, places: Places, args: &[OsString]) -> ExecWords {
    ExecWords {
        places,
        name: required(&mut m, "name"),
        command: words_of_command(&mut m, args),
        flags: flags(&mut m),
        quiet: m.get_flag("quiet"),
        result_file: one(&mut m, "result-file"),
        result_fd: one(&mut m, "result-fd"),
        foreground: m.get_flag("foreground"),
        die_with_parent: m.get_flag("die-with-parent"),
        hold_stdout: m.get_flag("hold-stdout"),
        key: one(&mut m, "key"),
        idempotent: m.get_flag("idempotent"),
    }
}

/// A command and its arguments, byte for byte.
fn words_of_command(m: &mut ArgMatches, args: &[OsString]) -> Vec<OsString> {
    let mut command = many(m, "command");
    // With "--" before NAME, clap leaves the one after NAME. One that stands
    // behind the "--" that clap took is the caller's command.
    let taken = args.len().checked_sub(command.len() + 1).is_some_and(|at| args[at] == "--");
    if command.len() > 1 && command[0] == "--" && !taken {
        command.remove(0);
    }
    command
}

fn ask(mut m: ArgMatches, places: Places) -> AskWords {
    AskWords {
        places,
        name: required(&mut m, "name"),
        flags: flags(&mut m),
        quiet: m.get_flag("quiet"),
    }
}

fn manual(mut m: ArgMatches, places: Places) -> ManualWords {
    ManualWords {
        places,
        name: required(&mut m, "name"),
        for_: one(&mut m, "for"),
        reason: one(&mut m, "reason"),
        quiet: m.get_flag("quiet"),
    }
}

fn config(mut m: ArgMatches, above: Places) -> ConfigWords {
    let (name, mut m) = m.remove_subcommand().expect("clap requires a command");
    let places = places(&mut m, above);
    let what = match name.as_str() {
        "check" => ConfigWhat::Check,
        "show" => ConfigWhat::Show { name: required(&mut m, "name"), json: m.get_flag("json") },
        _ => ConfigWhat::Path,
    };
    ConfigWords { places, what }
}

/// The places that these matches give, or else those from above.
fn places(m: &mut ArgMatches, above: Places) -> Places {
    Places { store: one(m, "store").or(above.store), config: one(m, "config").or(above.config) }
}

fn flags(m: &mut ArgMatches) -> Vec<Flag> {
    let mut flags = Vec::new();
    for flag in &POLICY_FLAGS {
        let words = m.try_remove_many(flag.long).unwrap_or(None).into_iter().flatten();
        flags.extend(words.map(|word| (flag.key, word)));
    }
    flags
}

/// The value of an option, if the command has the option and it was given.
fn one(m: &mut ArgMatches, id: &str) -> Option<OsString> {
    m.try_remove_one(id).unwrap_or(None)
}

fn many(m: &mut ArgMatches, id: &str) -> Vec<OsString> {
    m.remove_many(id).map(Iterator::collect).unwrap_or_default()
}

fn chosen(m: &mut ArgMatches, id: &str) -> Option<String> {
    m.remove_one(id)
}

fn chosen_many(m: &mut ArgMatches, id: &str) -> Vec<String> {
    m.remove_many(id).map(Iterator::collect).unwrap_or_default()
}

fn required(m: &mut ArgMatches, id: &str) -> OsString {
    m.remove_one(id).unwrap_or_else(|| OsStr::new("").to_owned())
}

#[cfg(test)]
mod tests;
