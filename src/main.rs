//! The cb program: everything is in the library; this ends the process.

use cb::cli::{self, Stop, Words};
use cb::commands::{completions, config, man};
use cb::error::Error;
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    let mut out = io::stdout().lock();
    if let Some(shell) = completions::question(&args) {
        let _ = completions::answer(&shell, &args, &mut out);
        return ExitCode::SUCCESS;
    }
    let done = match cli::parse(args) {
        Ok(Words::Config(words)) => config::run(&words, &mut out),
        Ok(Words::Completions(shell)) => completions::run(&shell, &mut out),
        Ok(Words::Man(words)) => man::run(&words, &mut out),
        Ok(_) => Err(Error::Usage("not built yet".into())),
        Err(Stop::Text(text)) => {
            drop(out);
            let printed = text.print();
            return if text.was_asked_for() && printed.is_ok() { 0 } else { 125 }.into();
        }
        Err(Stop::Usage(message)) => Err(Error::Usage(message)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use io::Write;
            let _ = writeln!(io::stderr(), "cb: {error}");
            125.into()
        }
    }
}
