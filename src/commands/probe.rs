//! `cb probe`: looks at a target, says what was found, and tells the breaker.

mod feed;
mod keep;
mod many;
pub mod prober;
mod station;
mod targets;

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;

use super::output::{Output, Voice, complain, say};
use super::setup;
use crate::cli::ProbeWords;
use crate::error::Error;
use crate::exit;
use crate::model::text::printable;
use crate::probe;
use crate::process::{self, Startup};
use crate::render::probe::{self as show, Health, Probed};
use crate::settings;

use keep::Keeper;
use station::Station;
use targets::Target;

/// So many are looked at side by side.
const AT_ONCE: usize = 64;
const AT_ONCE_MAX: u64 = 1024;

/// Probes what the words name.
///
/// # Errors
///
/// What is cb's own fault, or its caller's: nothing is known of the target then.
pub fn run(words: &ProbeWords, startup: &Startup, out: &mut Output) -> Result<i32, Error> {
    match (probe(words, startup, out), words.nagios) {
        (Err(error), true) if !matches!(error, Error::Stdout(_)) => unknown(&error, out),
        (status, _) => status,
    }
}

/// Words that are not understood: an error, but of a plugin an answer.
///
/// # Errors
///
/// The error, where Nagios does not ask.
pub fn refused(args: &[OsString], error: Error, out: &mut Output) -> Result<i32, Error> {
    let own: Vec<_> = args.iter().take_while(|arg| *arg != "--").collect();
    match own.iter().any(|arg| *arg == "probe") && own.iter().any(|arg| *arg == "--nagios") {
        true => {
            let status = unknown(&error, out)?;
            out.finish().map(|()| status)
        }
        false => Err(error),
    }
}

/// Nagios shows what it reads on stdout.
fn unknown(error: &Error, out: &mut Output) -> Result<i32, Error> {
    // The bar begins the figures.
    let line = error.to_string().replace('|', "/");
    writeln!(out, "PROBE UNKNOWN: {}", printable(&line)).map_err(Error::Stdout)?;
    Ok(exit::NAGIOS_UNKNOWN)
}

fn probe(words: &ProbeWords, startup: &Startup, out: &mut Output) -> Result<i32, Error> {
    out.check_open()?;
    if words.watch && words.nagios {
        let why = "--nagios with --watch: a plugin says one line and ends; allowed: one of them";
        return Err(Error::Usage(why.into()));
    }
    // Without a store it can be looked all the same.
    let store = setup::store(&words.places);
    let targets = targets::wanted(words, store.as_ref().ok())?;
    let keeper = words.output.as_deref().map(Keeper::of).transpose()?;
    let station = Station { places: &words.places, startup, store };
    let teller = Teller { words, keeper };
    match targets.as_slice() {
        [target] if !words.watch && !words.all => once(&station, &teller, target, out),
        targets => many::run(&station, &teller, targets, out),
    }
}

/// Looks at one target, once.
fn once(
    station: &Station<'_>,
    teller: &Teller<'_>,
    target: &Target,
    out: &mut Output,
) -> Result<i32, Error> {
    let stop = process::listen_by_descriptor(station.startup)?;
    let begun = station.begin(target);
    let inherited = station.startup.inherited();
    match probe::look(&target.spec, probe::Process { stop: stop.as_fd(), inherited }) {
        Ok(Some(report)) => {
            let (probed, notices) = station.end(target, begun, report);
            // All is told: whoever has no time for the answer ends it.
            station.startup.unblock_signals();
            notices.iter().for_each(|notice| teller.notice(&probed, notice));
            forgive(teller.show(&probed, target, out))?;
            // The answer is the same, whether it can be kept or not.
            if let Err(error) = teller.keep(|out| show::json(&probed, out)) {
                complain(&error);
            }
            Ok(status([&probed], teller.words.nagios))
        }
        cut_short => {
            station.abandon(target, begun);
            cut_short?;
            Ok(end_as_asked())
        }
    }
}

/// A reader that goes away has read enough: the exit status still says how it is.
fn forgive(written: io::Result<()>) -> Result<(), Error> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(Error::Stdout),
    }
}

/// The end that a person asked for.
fn end_as_asked() -> i32 {
    match process::end_request() {
        Some(asked) => process::end_by_signal(asked.signal),
        None => exit::OWN_ERROR,
    }
}

/// Says what was found, as the words ask for it.
struct Teller<'a> {
    words: &'a ProbeWords,
    keeper: Option<Keeper>,
}

impl Teller<'_> {
    /// The line of one probe.
    fn show(&self, probed: &Probed, target: &Target, out: &mut Output) -> io::Result<()> {
        match self.words {
            ProbeWords { json: true, .. } => show::json(probed, out)?,
            ProbeWords { nagios: true, .. } => {
                let slow_call = target.settings.policy.slow_call;
                writeln!(out, "{}", show::nagios(probed, slow_call, target.spec.timeout))?;
            }
            ProbeWords { quiet: true, .. } => {}
            // Nothing is known: that is no answer, but an error.
            _ if probed.health() == Health::Unknown => say(format_args!("{}", show::line(probed))),
            _ => writeln!(out, "{}", show::line(probed))?,
        }
        out.flush()
    }

    /// How many are looked at side by side.
    fn at_once_max(&self) -> Result<usize, Error> {
        let Some(word) = &self.words.concurrency else { return Ok(AT_ONCE) };
        let number = settings::number("--concurrency", word, 1..=AT_ONCE_MAX)?;
        Ok(usize::try_from(number).unwrap_or(AT_ONCE))
    }

    /// What has to be said besides.
    fn notice(&self, probed: &Probed, notice: &str) {
        Voice { name: probed.label(), quiet: self.words.quiet }.say(notice);
    }

    /// What is kept for other tools.
    fn keep(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
        self.keeper.as_ref().map_or(Ok(()), |keeper| keeper.keep(write))
    }
}

/// The exit status of all these: that of the worst.
fn status<'p>(all: impl IntoIterator<Item = &'p Probed>, nagios: bool) -> i32 {
    let worst = all.into_iter().map(Probed::health).max().unwrap_or(Health::Healthy);
    match (worst, nagios) {
        (Health::Healthy, _) => exit::OK,
        (Health::Slow | Health::Warning, true) => exit::NAGIOS_WARNING,
        (Health::Slow | Health::Warning, false) => exit::OK,
        (Health::Unhealthy, true) => exit::NAGIOS_CRITICAL,
        (Health::Unhealthy, false) => exit::UNHEALTHY,
        (Health::Unknown, true) => exit::NAGIOS_UNKNOWN,
        (Health::Unknown, false) => exit::OWN_ERROR,
    }
}
