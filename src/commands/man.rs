//! `cb man`: manual pages, made of the same words as help.

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::cli::{self, ManWords};
use crate::error::Error;

/// The exit status of a command whose help does not tell another.
const EXIT_STATUS: &str = "\
Exit status:
  0    it worked
  125  it did not; a line on standard error says why";

/// Runs `cb man`: prints a page, for a person through `man`; or writes them all.
///
/// # Errors
///
/// If the pages cannot be written.
pub fn run(words: &ManWords, out: &mut dyn Write) -> Result<(), Error> {
    if let Some(dir) = &words.dir {
        return write_all(Path::new(dir));
    }
    let command = command(words.command.as_deref());
    let page = page(&command);
    if io::stdout().is_terminal() {
        if show(&page).is_ok() {
            return Ok(());
        }
        // No man here, or one that takes no page from a pipe: help says the same.
        let help = command.clone().render_long_help();
        return writeln!(out, "{help}").map_err(Error::Stdout);
    }
    out.write_all(&page).and_then(|()| out.flush()).map_err(Error::Stdout)
}

/// The file names of all pages, with the pages.
pub fn pages() -> Vec<(String, Vec<u8>)> {
    let root = command(None);
    let below = root
        .get_subcommands()
        .map(|command| (format!("cb-{}.1", command.get_name()), page(command)));
    std::iter::once(("cb.1".to_owned(), page(&root))).chain(below).collect()
}

/// cb itself or one of its commands, as clap has built it.
fn command(name: Option<&str>) -> clap::Command {
    let mut root = cli::command().disable_help_subcommand(true);
    root.build();
    match name.and_then(|name| root.find_subcommand(name)) {
        Some(command) => command.clone(),
        None => root,
    }
}

fn write_all(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    for (name, page) in pages() {
        let path = dir.join(name);
        fs::write(&path, page).map_err(Error::io("write", &path))?;
    }
    Ok(())
}

/// Shows a page with the man of this system.
fn show(page: &[u8]) -> io::Result<()> {
    let mut man = Command::new("man").args(["-l", "-"]).stdin(Stdio::piped()).spawn()?;
    let mut pipe = man.stdin.take().expect("stdin is piped");
    // A reader that goes away before the end of the page is no error.
    let _ = pipe.write_all(page);
    drop(pipe);
    if man.wait()?.success() { Ok(()) } else { Err(io::Error::other("man failed")) }
}

/// The page of a command.
fn page(command: &clap::Command) -> Vec<u8> {
    let root = command.get_name() == "cb";
    let title =
        if root { "CB".into() } else { format!("CB-{}", command.get_name().to_uppercase()) };
    let man = Man::new(command.clone());
    // The date stays empty: the same source makes the same page on any day.
    let head =
        format!(".TH {title} 1 \"\" \"cb {}\" \"User Commands\"\n", env!("CARGO_PKG_VERSION"));
    let mut page = head.into_bytes();
    let written = man
        .render_name_section(&mut page)
        .and_then(|()| man.render_synopsis_section(&mut page))
        .and_then(|()| man.render_description_section(&mut page))
        .and_then(|()| rest(command, root).to_writer(&mut page))
        .and_then(|()| man.render_options_section(&mut page))
        .and_then(|()| closing(command, root).to_writer(&mut page));
    written.expect("memory can be written");
    page
}

/// The commands below a command.
fn rest(command: &clap::Command, root: bool) -> Roff {
    let mut roff = Roff::new();
    if command.get_subcommands().next().is_none() {
        return roff;
    }
    roff.control("SH", ["COMMANDS"]);
    for below in command.get_subcommands() {
        let name = if root { format!("cb-{}(1)", below.get_name()) } else { usage(command, below) };
        let about = below.get_about().map(ToString::to_string).unwrap_or_default();
        roff.control("TP", []).text([bold(name)]).text([roman(about)]);
        if !root {
            own_options(below, &mut roff);
        }
    }
    roff
}

/// The options of a command that has no page of its own, but for those that all
/// commands have.
fn own_options(command: &clap::Command, roff: &mut Roff) {
    let shared = |id: &str| matches!(id, "store" | "config" | "help");
    let (policy, own): (Vec<_>, Vec<_>) = command
        .get_arguments()
        .filter(|option| !option.is_positional() && !option.is_hide_set())
        .filter(|option| !shared(option.get_id().as_str()))
        .partition(|option| option.get_help_heading().is_some());
    roff.control("RS", []);
    for option in own {
        let help = option.get_help().map(ToString::to_string).unwrap_or_default();
        roff.control("TP", []).text([bold(option.to_string())]).text([roman(help)]);
    }
    if !policy.is_empty() {
        roff.control("PP", []).text([roman("It takes the policy options of cb-exec(1), too.")]);
    }
    roff.control("RE", []);
}

/// `show [OPTIONS] <NAME>`
fn usage(above: &clap::Command, command: &clap::Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let above = format!("cb {} ", above.get_name());
    usage.rsplit_once(&above).map_or(usage.clone(), |(_, words)| words.trim().to_owned())
}

/// What stands behind the options: the sections of help, what all pages share,
/// and where to read on.
fn closing(command: &clap::Command, root: bool) -> Roff {
    let mut roff = Roff::new();
    let own = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let shared = cli::command().get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let mut sections = sections(&own);
    let plain = self::sections(EXIT_STATUS).into_iter();
    let places = self::sections(&shared).into_iter();
    for (title, lines) in plain.chain(places.filter(|(title, _)| *title != "Examples")) {
        if sections.iter().all(|(known, _)| *known != title) {
            sections.push((title, lines));
        }
    }
    for (title, lines) in sections {
        roff.control("SH", [title.to_uppercase().as_str()]);
        if title == "Examples" {
            roff.control("nf", []).text([]);
            for line in lines {
                roff.text([roman(line)]);
            }
            roff.control("fi", []);
        } else {
            for line in lines {
                let (term, text) = line.split_once("  ").unwrap_or((line, ""));
                roff.control("TP", []).text([bold(term)]).text([roman(text.trim())]);
            }
        }
    }
    roff.control("SH", ["SEE ALSO"]);
    let all = cli::command();
    let others = all.get_subcommands().map(|other| format!("cb-{}(1)", other.get_name()));
    let see: Vec<String> = if root { others.collect() } else { vec!["cb(1)".into()] };
    roff.text([roman(see.join(", "))]);
    roff
}

/// The blocks of a help text: a title, and its lines without their indent.
fn sections(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("  ") {
            Some(line) => {
                if let Some((_, lines)) = sections.last_mut() {
                    lines.push(line);
                }
            }
            None => sections.push((line.trim_end_matches(':'), Vec::new())),
        }
    }
    sections
}
