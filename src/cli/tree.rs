//! The commands and their arguments, as clap builds them.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command, ValueHint, value_parser};
use std::ffi::OsString;

use super::flags::{AGAIN, INSTEAD, KEPT, POLICY, POLICY_FLAGS, PROBES};
use super::{help, probe};

/// The shells that completions are made for.
pub const SHELLS: [&str; 5] = ["bash", "zsh", "fish", "powershell", "elvish"];
/// What a permit's holder can report.
pub const OUTCOMES: [&str; 3] = ["success", "failure", "ignored"];
/// The states that a person can set.
pub const HOLDS: [&str; 3] = ["forced-open", "disabled", "metrics-only"];

/// The states of a queued call.
pub const JOB_STATES: [&str; 5] = ["pending", "running", "done", "failed", "doubt"];

/// The headings of the policy flags that say something to a queued call.
const QUEUE_POLICY: [&str; 3] = [POLICY, AGAIN, KEPT];

/// What builds a command.
type Build = fn() -> Command;

/// How each command is built, by its name.
pub const COMMANDS: [(&str, Build); 18] = [
    ("exec", exec),
    ("probe", probe::probe),
    ("wait", probe::wait),
    ("status", status),
    ("check", check),
    ("allow", allow),
    ("report", report),
    ("trip", trip),
    ("reset", reset),
    ("hold", hold),
    ("release", release),
    ("rm", rm),
    ("queue", queue),
    ("cache", cache),
    ("simulate", simulate),
    ("config", config),
    ("completions", completions),
    ("man", man),
];

/// `cb` without its commands.
pub fn root() -> Command {
    Command::new("cb")
        .bin_name("cb")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A circuit breaker for commands")
        .long_about(help::ROOT_LONG)
        .after_long_help(help::ROOT)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .args_override_self(true)
        .subcommand_value_name("COMMAND")
        .arg(store())
        .arg(config_file())
}

fn exec() -> Command {
    with_policy(named("exec", "Run a command through a breaker"), &[POLICY, AGAIN, INSTEAD, KEPT])
        .long_about(help::EXEC_LONG)
        .after_long_help(help::EXEC)
        .override_usage("cb exec [OPTIONS] <NAME> [--] <COMMAND> [ARG]...")
        .arg(quiet())
        .arg(
            path("result-file", "PATH", "Write how the call went to PATH, as JSON")
                .value_hint(ValueHint::FilePath),
        )
        .arg(value("result-fd", "N", "Write it to the open file descriptor N"))
        .arg(switch("foreground", "With --timeout: leave the command in cb's process group"))
        .arg(switch("die-with-parent", "If cb is killed, send the command TERM"))
        .arg(switch("hold-stdout", "Print only the last attempt's output, once it is over"))
        .arg(key())
        .arg(idempotent())
        .arg(store())
        .arg(config_file())
        .arg(command_words())
}

fn status() -> Command {
    command("status", "Show breakers and their state")
        .after_long_help(help::STATUS)
        .arg(names())
        .arg(switch("json", "Print JSON (schema cb.status/1)"))
        .arg(
            value("check", "NAME", "Print nothing; exit 0 closed, 1 half-open, 2 open, 3 unknown")
                .conflicts_with_all(["names", "json"]),
        )
        .arg(store())
        .arg(config_file())
}

fn check() -> Command {
    with_policy(named("check", "Tell whether a call would be admitted; change nothing"), &[POLICY])
        .after_long_help(help::CHECK)
        .arg(quiet())
        .arg(store())
        .arg(config_file())
}

fn allow() -> Command {
    with_policy(named("allow", "Print a permit for one call, to be reported"), &[POLICY])
        .long_about(help::ALLOW_LONG)
        .after_long_help(help::ALLOW)
        .arg(quiet())
        .arg(store())
        .arg(config_file())
}

fn report() -> Command {
    named("report", "Tell how the call of a permit went")
        .after_long_help(help::REPORT)
        .arg(positional("token", "TOKEN", "What 'cb allow' printed").required(true))
        .arg(
            positional("outcome", "OUTCOME", "How the call went")
                .value_parser(PossibleValuesParser::new(OUTCOMES))
                .required(true),
        )
        .arg(value("duration", "DURATION", "How long it took [default: since 'cb allow']"))
        .arg(store())
        .arg(config_file())
}

fn trip() -> Command {
    manual("trip", "Open a breaker now")
        .arg(value("for", "DURATION", "Stay open for so long"))
        .after_long_help(help::TRIP)
}

fn reset() -> Command {
    manual("reset", "Close a breaker now, and forget its window").after_long_help(help::RESET)
}

fn hold() -> Command {
    manual("hold", "Set a state that no outcome changes")
        .long_about(help::HOLD_LONG)
        .after_long_help(help::HOLD)
        .arg(
            positional("hold", "STATE", "The state to hold")
                .value_parser(PossibleValuesParser::new(HOLDS))
                .required(true),
        )
        .arg(value("for", "DURATION", "Hold it for so long, and then end the hold"))
}

fn release() -> Command {
    manual("release", "End a hold").after_long_help(help::RELEASE)
}

fn rm() -> Command {
    named("rm", "Remove a breaker and its state")
        .after_long_help(help::RM)
        .arg(quiet())
        .arg(store())
}

fn simulate() -> Command {
    command("simulate", "Show what a policy would have done with a trace of calls")
        .long_about(help::SIMULATE_LONG)
        .after_long_help(help::SIMULATE)
        .arg(
            positional("trace", "TRACE", "The trace; '-' is standard input [default: -]")
                .value_hint(ValueHint::FilePath),
        )
        .arg(value("policy", "NAME", "Start from the settings of this breaker"))
        .arg(value("set", "KEY=VALUE", "Change a setting (repeatable)").action(ArgAction::Append))
        .arg(value("seed", "N", "The seed of the jitter [default: 0]"))
        .arg(switch("json", "Print a JSON line for each line of the trace"))
        .arg(config_file())
}

fn queue() -> Command {
    with_commands(command("queue", "Keep calls for later, and run them"))
        .long_about(help::QUEUE_LONG)
        .after_long_help(help::QUEUE)
        .subcommand(queue_add())
        .subcommand(queue_list())
        .subcommand(queue_show())
        .subcommand(queue_run())
        .subcommand(
            jobs("retry", "Let failed and doubtful calls run again")
                .long_about(help::QUEUE_RETRY_LONG)
                .after_long_help(help::QUEUE_RETRY),
        )
        .subcommand(
            jobs("drop", "Remove calls that shall not run").after_long_help(help::QUEUE_DROP),
        )
        .subcommand(
            placed(named("purge", "Remove the calls that are over"))
                .after_long_help(help::QUEUE_PURGE)
                .arg(job_state("Those of this state (repeatable) [default: done]")),
        )
}

fn queue_add() -> Command {
    placed(with_policy(named("add", "Keep a call for later, and print its id"), &QUEUE_POLICY))
        .long_about(help::QUEUE_ADD_LONG)
        .after_long_help(help::QUEUE_ADD)
        .override_usage("cb queue add [OPTIONS] <NAME> [--] <COMMAND> [ARG]...")
        .arg(key())
        .arg(idempotent())
        .arg(command_words())
}

fn queue_list() -> Command {
    placed(command("list", "List the calls that are kept"))
        .after_long_help(help::QUEUE_LIST)
        .arg(names())
        .arg(job_state("Only those of this state (repeatable)"))
        .arg(switch("json", "Print JSON (schema cb.queue/1)"))
}

fn queue_show() -> Command {
    placed(command("show", "Show a call that is kept, and what became of it"))
        .long_about(help::QUEUE_SHOW_LONG)
        .after_long_help(help::QUEUE_SHOW)
        .arg(positional("id", "ID", "The call").required(true))
        .arg(switch("reveal", "Show its arguments and its environment, too"))
        .arg(switch("json", "Print JSON (schema cb.job/1)"))
}

fn queue_run() -> Command {
    placed(with_policy(named("run", "Run the calls that are kept, in order"), &QUEUE_POLICY))
        .long_about(help::QUEUE_RUN_LONG)
        .after_long_help(help::QUEUE_RUN)
        .arg(value("rate", "N/s", "Start at most N in a second; also N/m, N/h, N/d"))
        .arg(value("jobs", "N", "Run up to N at once, 1 to 64 [default: 1]"))
        .arg(switch("watch", "Go on and wait for more"))
        .arg(switch("background", "Say nothing, and leave if another does it").hide(true))
        .arg(switch("worker", "Run as one of several").hide(true))
        .arg(quiet())
}

fn cache() -> Command {
    let list = placed(command("list", "List the outputs that are kept"))
        .after_long_help(help::CACHE_LIST)
        .arg(names())
        .arg(switch("json", "Print JSON (schema cb.cache/1)"));
    let show = placed(named("show", "Print an output that is kept"))
        .after_long_help(help::CACHE_SHOW)
        .arg(positional("key", "KEY", "Its key, or how it begins").required(true));
    let drop = placed(named("drop", "Remove outputs that are kept"))
        .after_long_help(help::CACHE_DROP)
        .arg(positional("keys", "KEY", "Only these; how a key begins does").num_args(0..));
    with_commands(command("cache", "Look at the outputs that can stand in for a call"))
        .long_about(help::CACHE_LONG)
        .after_long_help(help::CACHE)
        .subcommand(list)
        .subcommand(show)
        .subcommand(drop)
}

/// A command for calls that are kept.
fn jobs(name: &'static str, about: &'static str) -> Command {
    let ids = positional("ids", "ID", "The calls").num_args(1..).required(true);
    placed(command(name, about)).arg(ids)
}

fn job_state(help: &'static str) -> Arg {
    Arg::new("state")
        .long("state")
        .value_name("STATE")
        .help(help)
        .value_parser(PossibleValuesParser::new(JOB_STATES))
        .action(ArgAction::Append)
}

/// A command that is nothing without one below it.
fn with_commands(command: Command) -> Command {
    placed(command)
        .subcommand_required(true)
        .subcommand_value_name("COMMAND")
        .disable_help_subcommand(true)
}

/// A command that looks into the store and the config files.
fn placed(command: Command) -> Command {
    command.arg(store()).arg(config_file())
}

fn config() -> Command {
    let check = command("check", "Check the config files, and tell every problem");
    let show = named("show", "Show the settings of a breaker, and where each comes from")
        .arg(switch("json", "Print JSON (schema cb.config/1)"));
    let path = command("path", "Print the config files that cb looks at, the later wins");
    command("config", "Check and show the settings")
        .long_about(help::CONFIG_LONG)
        .after_long_help(help::CONFIG)
        .subcommand_required(true)
        .subcommand_value_name("COMMAND")
        .disable_help_subcommand(true)
        .subcommand(check.arg(config_file()))
        .subcommand(show.arg(config_file()))
        .subcommand(path.arg(config_file()))
        .arg(config_file())
}

fn completions() -> Command {
    command("completions", "Print the completion script of a shell")
        .after_long_help(help::COMPLETIONS)
        .arg(
            positional("shell", "SHELL", "The shell")
                .value_parser(PossibleValuesParser::new(SHELLS))
                .required(true),
        )
}

fn man() -> Command {
    let names = COMMANDS.map(|(name, _)| name);
    command("man", "Show a manual page")
        .after_long_help(help::MAN)
        .arg(
            positional("command", "COMMAND", "The command [default: cb itself]")
                .value_parser(PossibleValuesParser::new(names))
                .hide_possible_values(true),
        )
        .arg(
            path("dir", "DIR", "Write all the pages into DIR")
                .value_hint(ValueHint::DirPath)
                .conflicts_with("command"),
        )
}

pub(super) fn command(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about).args_override_self(true)
}

/// A command whose first word is a breaker.
fn named(name: &'static str, about: &'static str) -> Command {
    command(name, about).arg(positional("name", "NAME", "The breaker").required(true))
}

/// A command by which a person changes a breaker.
fn manual(name: &'static str, about: &'static str) -> Command {
    named(name, about)
        .arg(value("reason", "TEXT", "Why; kept with the state"))
        .arg(quiet())
        .arg(store())
        .arg(config_file())
}

/// A command with all policy flags but those of probes. Help shows those under these headings: a
/// setting that says nothing to a command is taken, so that a caller can give
/// the same words to several, but takes no space.
fn with_policy(command: Command, shown: &[&str]) -> Command {
    let flags = POLICY_FLAGS.iter().filter(|flag| flag.heading != PROBES);
    flags.fold(command, |command, flag| {
        let arg = value(flag.long, flag.value, flag.help).help_heading(flag.heading);
        let arg = if flag.repeatable { arg.action(ArgAction::Append) } else { arg };
        let arg = arg.hide(!shown.contains(&flag.heading));
        command.arg(if flag.key == "kill_after" { arg.short('k') } else { arg })
    })
}

fn key() -> Arg {
    value("key", "KEY", "Queue the same KEY and command once only")
}

fn idempotent() -> Arg {
    switch("idempotent", "Run a queued call again where nobody knows whether it ran")
}

pub(super) fn store() -> Arg {
    path("store", "DIR", "The directory of the state [default: CB_STORE, or your state directory]")
        .value_hint(ValueHint::DirPath)
}

pub(super) fn config_file() -> Arg {
    path("config", "FILE", "The config file [default: CB_CONFIG, or config.toml of yours]")
        .value_hint(ValueHint::FilePath)
}

pub(super) fn quiet() -> Arg {
    switch("quiet", "Print no messages of cb's own").short('q')
}

pub(super) fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
}

/// An option with a value: the next word, whatever it is, as getopt has it. So
/// "--open-for -5s" is told to be a bad duration, not an unknown flag "-5".
pub(super) fn value(name: &'static str, value_name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(value_name)
        .help(help)
        .value_parser(value_parser!(OsString))
        .allow_hyphen_values(true)
}

pub(super) fn path(name: &'static str, value_name: &'static str, help: &'static str) -> Arg {
    value(name, value_name, help)
}

fn names() -> Arg {
    positional("names", "NAME|GLOB", "Only these; '*' is any text, '?' any character").num_args(0..)
}

/// All words from the command on.
fn command_words() -> Arg {
    positional("command", "COMMAND", "The command and its arguments")
        .num_args(1..)
        .trailing_var_arg(true)
        .required(true)
}

pub(super) fn positional(name: &'static str, value_name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(value_name).help(help).value_parser(value_parser!(OsString))
}
