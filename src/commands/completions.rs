//! `cb completions`: the scripts that make a shell ask cb what can come next,
//! and the answer.
//!
//! A script calls `CB_COMPLETE=SHELL cb -- WORD...`. No command of cb starts with
//! `--`, so a stray CB_COMPLETE in the environment cannot turn another call into
//! one of these. The answer costs no more than a look at two directories, and
//! where something is broken there is simply nothing to complete.

use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use clap_complete::engine::{PathCompleter, ValueCompleter};
use clap_complete::env::{EnvCompleter, Shells};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::{env, fs};

use crate::cli;
use crate::config::Config;
use crate::error::Error;
use crate::model::BreakerName;
use crate::paths;
use crate::settings::probe::RECORDS;

/// The variable that names the shell whose script is asking.
pub const VARIABLE: &str = "CB_COMPLETE";

/// The most entries of a directory that are looked at.
const ENTRIES_MAX: usize = 10_000;

/// Runs `cb completions SHELL`: prints the shell's script.
///
/// # Errors
///
/// If the output cannot be written.
pub fn run(shell: &str, out: &mut dyn Write) -> Result<(), Error> {
    let script = script(shell);
    out.write_all(script.as_bytes()).and_then(|()| out.flush()).map_err(Error::Stdout)
}

/// The script of a shell.
pub fn script(shell: &str) -> String {
    let shells = Shells::builtins();
    let shell = shells.completer(shell).expect("cli allows these shells only");
    let mut script = Vec::new();
    shell
        .write_registration(VARIABLE, "cb", "cb", "cb", &mut script)
        .expect("memory can be written");
    let script = String::from_utf8(script).expect("scripts are text");
    let mut script = format!("{}\n", script.trim());
    if shell.name() == "zsh" {
        // A file of $fpath is run as the function that completes, for the first
        // time when something shall be completed: that must not end with nothing.
        script.push_str(
            "\nif [[ \"${funcstack[1]}\" == _cb ]]; then\n    _clap_dynamic_completer_cb \"$@\"\nfi\n",
        );
    }
    script
}

/// Whether these arguments are a question of a shell's script, and which shell's.
pub fn question(args: &[OsString]) -> Option<OsString> {
    if args.get(1).is_some_and(|word| word == "--") { paths::variable(VARIABLE) } else { None }
}

/// Answers a question of a shell's script: `cb -- WORD...`. Says nothing where
/// there is nothing to say, whatever the reason.
///
/// # Errors
///
/// If the output cannot be written.
pub fn answer(shell: &OsStr, args: &[OsString], out: &mut dyn Write) -> Result<(), Error> {
    let words: Vec<OsString> = args.iter().skip(2).cloned().collect();
    let shells = Shells::builtins();
    let Some(shell) = shell.to_str().and_then(|name| shells.completer(name)) else { return Ok(()) };
    let mut answer = Vec::new();
    if complete(shell, words, &mut answer).is_some() {
        out.write_all(&answer).and_then(|()| out.flush()).map_err(Error::Stdout)?;
    }
    Ok(())
}

fn complete(shell: &dyn EnvCompleter, words: Vec<OsString>, answer: &mut Vec<u8>) -> Option<()> {
    // fish and PowerShell hand over the words up to the cursor only.
    let cursor = match env::var("_CLAP_COMPLETE_INDEX") {
        Ok(index) if matches!(shell.name(), "bash" | "zsh" | "elvish") => index.parse().ok()?,
        _ => words.len().checked_sub(1)?,
    };
    let directory = env::current_dir().ok();
    let (mut command, words) = match command_at(&words, cursor) {
        Some(at) if at < cursor => {
            (only(ArgValueCompleter::new(PathCompleter::any())), only_words(words, cursor))
        }
        // Behind "--" nothing but the command can come.
        Some(at) if words[at - 1] == "--" => {
            (only(ArgValueCompleter::new(commands)), only_words(words, cursor))
        }
        _ => (completed(&words), words),
    };
    shell.write_complete(&mut command, words, directory.as_deref(), answer).ok()
}

/// The names of the breakers in a store; none where it cannot be read.
pub fn breaker_names(store: Option<&OsStr>) -> Vec<String> {
    let Ok(dir) = paths::store_dir(store) else { return Vec::new() };
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries
        .take(ENTRIES_MAX)
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| BreakerName::parse(entry.file_name()).ok())
        .map(|name| name.as_str().to_owned())
        .collect()
}

/// All of cb's words, with what stands for their values.
fn completed(words: &[OsString]) -> clap::Command {
    let (store, config) = (option_value(words, "--store"), option_value(words, "--config"));
    let names = move || {
        let mut names: BTreeSet<String> = breaker_names(store.as_deref()).into_iter().collect();
        if let Ok(config) = Config::load(config.as_deref()) {
            names.extend(config.names().map(str::to_owned));
        }
        names.into_iter().map(CompletionCandidate::new).collect::<Vec<_>>()
    };
    dressed(cli::command(), &ArgValueCandidates::new(names))
}

/// The command, and those below it, with candidates for their values.
fn dressed(mut command: clap::Command, names: &ArgValueCandidates) -> clap::Command {
    let arguments: Vec<String> =
        command.get_arguments().map(|argument| argument.get_id().to_string()).collect();
    for id in arguments {
        let dress = |argument: clap::Arg| match id.as_str() {
            "name" | "names" | "check" | "policy" => argument.add(names.clone()),
            "on-store-error" => argument.add(choices(&["run", "refuse"])),
            "on-open" | "on-failure" => {
                argument.add(choices(&["fail", "cache", "queue", "run:", "exit:"]))
            }
            "drain" => argument.add(choices(&["on-close", "manual"])),
            "cache-cwd" | "insecure" | "grpc-tls" | "nagios-in" | "probe-closes" => {
                argument.add(choices(&["true", "false"]))
            }
            "ip-version" => argument.add(choices(&["4", "6"])),
            "http-version" => argument.add(choices(&["1.1", "2"])),
            "method" => argument.add(choices(&["GET", "HEAD", "POST", "PUT"])),
            "record" => argument.add(choices(&RECORDS)),
            "command" if argument.is_trailing_var_arg_set() || argument.is_last_set() => {
                argument.add(ArgValueCompleter::new(commands))
            }
            _ => argument,
        };
        command = command.mut_arg(&id, dress);
    }
    command.mut_subcommands(|below| dressed(below, names))
}

fn choices(words: &'static [&'static str]) -> ArgValueCandidates {
    ArgValueCandidates::new(|| words.iter().map(CompletionCandidate::new).collect())
}

/// The commands of PATH that start like this, or the paths where it has a slash.
fn commands(start: &OsStr) -> Vec<CompletionCandidate> {
    let paths = PathCompleter::any().complete(start);
    let Some(start) = start.to_str().filter(|start| !start.is_empty()) else { return paths };
    if start.contains('/') {
        return paths;
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found: BTreeSet<String> =
        env::split_paths(&path).flat_map(|dir| commands_in(&dir, start)).collect();
    found.into_iter().map(CompletionCandidate::new).chain(paths).collect()
}

fn commands_in(dir: &Path, start: &str) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt;
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries
        .take(ENTRIES_MAX)
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| name.starts_with(start) && !name.contains(char::is_control))
        .filter(|(_, path)| {
            fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        })
        .map(|(name, _)| name)
        .collect()
}

/// Where COMMAND stands in the words of `cb exec`, `cb queue add` or `cb probe`, up
/// to the cursor. What comes behind it belongs to that command: its options are none of
/// cb's.
fn command_at(words: &[OsString], cursor: usize) -> Option<usize> {
    let first = cli::command_index(words)?;
    let tree = cli::command();
    let command = tree.find_subcommand(&words[first])?;
    let below = words.get(first + 1).and_then(|word| command.find_subcommand(word));
    let options = below.unwrap_or(command);
    if options.get_arguments().any(clap::Arg::is_last_set) {
        let dashes = words.iter().take(cursor + 1).skip(first + 1).position(|word| word == "--")?;
        return Some(first + 1 + dashes + 1);
    }
    if !options.get_arguments().any(clap::Arg::is_trailing_var_arg_set) {
        return None;
    }
    let (mut at, mut named) = (first + 1 + usize::from(below.is_some()), false);
    while at <= cursor {
        let word = words.get(at)?.to_string_lossy();
        if word == "--" && named {
            return Some(at + 1);
        } else if word.starts_with('-') && word.len() > 1 {
            at += if takes_value(options, &word) { 2 } else { 1 };
        } else if named {
            return Some(at);
        } else {
            named = true;
            at += 1;
        }
    }
    None
}

/// Whether the next word is the value of this option.
fn takes_value(command: &clap::Command, word: &str) -> bool {
    command.get_arguments().any(|argument| {
        let long = argument.get_long().is_some_and(|long| word.strip_prefix("--") == Some(long));
        let short = argument
            .get_short()
            .is_some_and(|short| word.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4])));
        (long || short) && argument.get_action().takes_values()
    })
}

/// A command that takes nothing but such words: for COMMAND and its arguments.
fn only(completer: ArgValueCompleter) -> clap::Command {
    let words = clap::Arg::new("words").num_args(0..).add(completer);
    clap::Command::new("cb").disable_help_flag(true).disable_version_flag(true).arg(words)
}

fn only_words(words: Vec<OsString>, cursor: usize) -> Vec<OsString> {
    let keep = |(at, word)| if at == cursor { word } else { OsString::from("x") };
    words.into_iter().enumerate().map(keep).collect()
}

/// The value that the words give to an option, as far as they are complete.
fn option_value(words: &[OsString], option: &str) -> Option<OsString> {
    let at = words.iter().position(|word| word == option)?;
    words.get(at + 1).filter(|word| !word.is_empty()).cloned()
}
