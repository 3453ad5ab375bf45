//! One file for each command: glue between the rooms, kept short.

mod allow;
mod attempt;
mod background;
mod cache;
mod call;
mod check;
pub mod completions;
pub mod config;
mod enqueue;
mod exec;
mod fallback;
mod keeping;
pub mod man;
mod manual;
mod moment;
mod operate;
mod output;
mod probe;
mod queue;
mod report;
mod result;
mod setup;
mod simulate;
mod status;
mod token;
mod wait;
mod wanted;

use crate::cli::{self, Stop, Words};
use crate::error::Error;
use crate::exit;
use crate::process::Startup;

use output::{Output, complain};

/// Runs cb, from its words to its exit status.
pub fn run(startup: &Startup) -> i32 {
    let mut out = Output::new(startup);
    if let Some(shell) = completions::question(&startup.args) {
        // Whoever completes a word has no use for a message.
        let _ = completions::answer(&shell, &startup.args, &mut out);
        return exit::OK;
    }
    let status = match cli::parse(startup.args.clone()) {
        Ok(words) => obey(words, startup, &mut out),
        Err(Stop::Text(text)) if text.was_asked_for() => {
            out.help(&text).map(|()| exit::OK).or_else(output::forgive_gone_reader)
        }
        Err(Stop::Text(text)) => {
            // Help that nobody asked for goes to stderr, where it is an error.
            let _ = text.print();
            return exit::OWN_ERROR;
        }
        Err(Stop::Usage(message)) => probe::refused(&startup.args, Error::Usage(message), &mut out),
    };
    status.unwrap_or_else(|error| {
        complain(&error);
        exit::status_of(&error)
    })
}

fn obey(words: Words, startup: &Startup, out: &mut Output) -> Result<i32, Error> {
    let status = match words {
        // The command that is run writes to stdout, cb does not.
        Words::Exec(words) => return exec::run(&words, startup),
        Words::Probe(words) => probe::run(&words, startup, out),
        Words::Wait(words) => wait::run(&words, startup),
        Words::Status(words) => status::run(&words, out),
        Words::Check(words) => check::run(&words, out),
        Words::Allow(words) => allow::run(&words, startup, out),
        Words::Report(words) => report::run(&words, startup),
        Words::Trip(words) => manual::trip(&words, startup, out),
        Words::Reset(words) => manual::reset(&words, startup, out),
        Words::Hold(words, hold) => manual::hold(&words, &hold, startup, out),
        Words::Release(words) => manual::release(&words, startup, out),
        Words::Rm(words) => manual::remove(&words, out),
        Words::Queue(words) => queue::run(&words, startup, out),
        Words::Cache(words) => cache::run(&words, startup, out),
        Words::Simulate(words) => simulate::run(&words, out),
        Words::Config(words) => config::run(&words, out).map(|()| exit::OK),
        Words::Completions(shell) => completions::run(&shell, out).map(|()| exit::OK),
        Words::Man(words) => man::run(&words, out).map(|()| exit::OK),
    };
    let status = status.and_then(|status| match out.finish() {
        Ok(()) => Ok(status),
        // An answer that nobody read is still the answer of the exit status.
        Err(error) => output::forgive_gone_reader(error).map(|_| status),
    });
    status.or_else(output::forgive_gone_reader)
}
