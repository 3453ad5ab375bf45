//! Many probes side by side, and probes again and again.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use super::station::{Begun, Station};
use super::targets::Target;
use super::{Teller, end_as_asked, forgive, status};
use crate::cli::ProbeWords;
use crate::clock::{Clock, SystemClock};
use crate::commands::output::{Output, complain};
use crate::error::Error;
use crate::model::State;
use crate::model::backoff::spread;
use crate::probe::{Bounds, Crowd, Ended, Process, Report, look_at_all};
use crate::process::{self, Startup};
use crate::render::probe::{self as show, Probed};

/// However short the interval: a target has so much rest.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// `--output` is written no more often; what comes in between is put off.
const KEEP_EVERY: Duration = Duration::from_secs(1);

/// Looks at all of them: once, or until a person ends it.
pub fn run(
    station: &Station<'_>,
    teller: &Teller<'_>,
    targets: &[Target],
    out: &mut Output,
) -> Result<i32, Error> {
    let stop = process::listen_by_descriptor(station.startup)?;
    let at_once_max = teller.at_once_max()?;
    let process = Process { stop: stop.as_fd(), inherited: station.startup.inherited() };
    let bounds = Bounds { at_once_max, time: None, process };
    let specs: Vec<_> = targets.iter().map(|target| Arc::clone(&target.spec)).collect();
    let mut round = Round::new(station, teller, targets, out);
    let ended = look_at_all(&specs, bounds, &mut round);
    round.give_up_rest();
    match ended? {
        Ended::Wished => {
            round.leave();
            Ok(end_as_asked())
        }
        Ended::Done | Ended::TimeUp => {
            // From here on a signal ends cb as it would any program.
            station.startup.unblock_signals();
            round.tell_end()
        }
    }
}

/// A round of probes, or one after the other.
struct Round<'a> {
    station: &'a Station<'a>,
    teller: &'a Teller<'a>,
    targets: &'a [Target],
    out: &'a mut Output,
    clock: SystemClock,
    /// The probes under way.
    begun: Vec<Option<Begun>>,
    /// The latest result of each.
    last: Vec<Option<Probed>>,
    progress: Progress,
    /// When `--output` was last written.
    kept_at: Option<Duration>,
    /// Whether it lacks what came since.
    keep_put_off: bool,
    /// That it could not be written was said.
    keep_failed: bool,
    /// Whoever read the lines has gone.
    reader_gone: bool,
    /// What ended it before its time.
    failed: Option<Error>,
}

impl<'a> Round<'a> {
    fn new(
        station: &'a Station<'a>,
        teller: &'a Teller<'a>,
        targets: &'a [Target],
        out: &'a mut Output,
    ) -> Self {
        let shows = !teller.words.watch && !teller.words.quiet;
        Round {
            station,
            teller,
            targets,
            out,
            clock: SystemClock::default(),
            begun: targets.iter().map(|_| None).collect(),
            last: vec![None; targets.len()],
            progress: Progress::new(shows),
            kept_at: None,
            keep_put_off: false,
            keep_failed: false,
            reader_gone: false,
            failed: None,
        }
    }

    /// Says what was found, where it is news, and what has to be said besides.
    fn show(&mut self, at: usize, probed: &Probed, notices: &[String]) {
        let words = self.teller.words;
        let news = self.last[at].as_ref().is_none_or(|last| is_news(last, probed));
        // A plugin says one line, at the end.
        let silent = words.nagios || words.watch && !words.json && !news || self.reader_gone;
        if silent && notices.is_empty() {
            return;
        }
        let startup = self.station.startup;
        let shown = aloud(startup, || {
            self.progress.clear();
            notices.iter().for_each(|notice| self.teller.notice(probed, notice));
            match silent {
                true => Ok(()),
                false => self.teller.show(probed, &self.targets[at], self.out),
            }
        });
        match shown {
            Ok(()) => {}
            // Nobody reads on. The others are looked at all the same, but not for ever.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.reader_gone = true,
            Err(error) => self.failed = Some(Error::Stdout(error)),
        }
    }

    /// Writes what `--output` shall have, if that is due.
    fn keep(&mut self) {
        self.keep_put_off = !self.keep_rest().is_zero();
        if self.keep_put_off {
            return;
        }
        self.kept_at = Some(self.clock.monotonic());
        match self.keep_now() {
            Ok(()) => self.keep_failed = false,
            // Where it is written at the end, it is said at the end.
            Err(error) if self.teller.words.watch && !self.keep_failed => {
                self.keep_failed = true;
                aloud(self.station.startup, || complain(&error));
            }
            Err(_) => {}
        }
    }

    /// How long it still is until `--output` may be written.
    fn keep_rest(&self) -> Duration {
        let since = |at| self.clock.monotonic().saturating_sub(at);
        self.kept_at.map_or(Duration::ZERO, |at| KEEP_EVERY.saturating_sub(since(at)))
    }

    fn keep_now(&self) -> Result<(), Error> {
        let probed: Vec<_> = self.last.iter().flatten().collect();
        match probed.as_slice() {
            [] => Ok(()),
            [one] if self.targets.len() == 1 => self.teller.keep(|out| show::json(one, out)),
            all => {
                let at = self.clock.read().wall_ms;
                self.teller.keep(|out| show::json_of_all(all, at, out))
            }
        }
    }

    /// What was cut short gives its permits back.
    fn give_up_rest(&mut self) {
        for (target, begun) in self.targets.iter().zip(&mut self.begun) {
            if let Some(begun) = begun.take() {
                self.station.abandon(target, begun);
            }
        }
    }

    /// What is left behind where a person wants cb to end.
    fn leave(&mut self) {
        if let Err(error) = self.keep_now()
            && !self.keep_failed
        {
            aloud(self.station.startup, || complain(&error));
        }
    }

    /// What is said once all have been looked at, and the exit status.
    fn tell_end(mut self) -> Result<i32, Error> {
        self.progress.clear();
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let words = self.teller.words;
        let all: Vec<_> = self.last.iter().flatten().collect();
        if !self.reader_gone {
            forgive(write_end(&all, words, self.out))?;
        }
        if let Err(error) = self.keep_now() {
            complain(&error);
        }
        Ok(status(all, words.nagios))
    }
}

impl Crowd for Round<'_> {
    fn begin(&mut self, at: usize) {
        self.begun[at] = Some(self.station.begin(&self.targets[at]));
    }

    fn end(&mut self, at: usize, report: Report) -> Option<Duration> {
        let target = &self.targets[at];
        let begun = self.begun[at].take().unwrap_or_default();
        let (probed, notices) = self.station.end(target, begun, report);
        self.show(at, &probed, &notices);
        let pause = self.teller.words.watch.then(|| {
            let every = interval(target, self.last[at].as_ref(), &probed);
            let every = spread_by(target, every, self.clock.draw());
            every.saturating_sub(probed.report.duration).max(PAUSE_MIN)
        });
        self.last[at] = Some(probed);
        self.keep();
        let startup = self.station.startup;
        if self.progress.shows {
            aloud(startup, || self.progress.draw(&self.last));
        }
        pause
    }

    fn is_over(&self) -> bool {
        self.failed.is_some() || self.reader_gone && self.teller.words.watch
    }

    fn put_off(&self) -> Option<Duration> {
        self.keep_put_off.then(|| self.keep_rest())
    }

    fn catch_up(&mut self) {
        self.keep();
    }
}

/// What follows the lines of all.
fn write_end(all: &[&Probed], words: &ProbeWords, out: &mut Output) -> io::Result<()> {
    if words.nagios {
        show::nagios_of_all(all, out)?;
    } else if !words.watch && !words.json && !words.quiet {
        let colour = out.takes_colour();
        writeln!(out)?;
        show::table(all, colour, out)?;
        writeln!(out, "\n{}", show::summary(all))?;
    }
    out.flush()
}

/// Says something to somebody who may be slow to read it: meanwhile a signal ends cb
/// as it would any program.
fn aloud<T>(startup: &Startup, speak: impl FnOnce() -> T) -> T {
    startup.unblock_signals();
    let spoken = speak();
    process::listen(startup);
    spoken
}

/// Whether this differs from what was found before.
fn is_news(last: &Probed, probed: &Probed) -> bool {
    let state = |probed: &Probed| probed.fed.as_ref().map(|fed| fed.after);
    last.health() != probed.health() || state(last) != state(probed)
}

/// From one look to the next: shorter while something changes, and another where
/// the target is down.
fn interval(target: &Target, last: Option<&Probed>, probed: &Probed) -> Duration {
    let healthy = probed.report.verdict.is_healthy();
    // Up and closed, or down and open: there all is settled.
    let settled = match probed.fed.as_ref().map(|fed| fed.after) {
        Some(State::Closed) => healthy,
        Some(State::Open) => !healthy,
        Some(State::HalfOpen) => false,
        Some(State::Held(_)) | None => true,
    };
    let turned = last.is_some_and(|last| last.report.verdict.is_healthy() != healthy);
    match (settled && !turned, healthy) {
        (false, _) => target.watch.fast,
        (true, true) => target.watch.interval,
        (true, false) => target.watch.down,
    }
}

fn spread_by(target: &Target, every: Duration, draw: u64) -> Duration {
    let every_ms = crate::model::backoff::millis(every);
    Duration::from_millis(spread(every_ms, target.watch.jitter.hundredths(), draw))
}

/// How far it is, on a terminal.
struct Progress {
    shows: bool,
    drawn: bool,
}

impl Progress {
    fn new(shows: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        Progress { shows: shows && !dumb && io::stderr().is_terminal(), drawn: false }
    }

    fn draw(&mut self, last: &[Option<Probed>]) {
        if self.shows {
            let done: Vec<_> = last.iter().flatten().collect();
            let bad = done.iter().filter(|probed| !probed.report.verdict.is_healthy()).count();
            let (done, all) = (done.len(), last.len());
            self.write(&format!("\r\u{1b}[2Kprobed {done} of {all}, {bad} not healthy"));
            self.drawn = true;
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            self.write("\r\u{1b}[2K");
        }
    }

    /// That it cannot be drawn stops nothing.
    fn write(&self, text: &str) {
        let _ = io::stderr().write_all(text.as_bytes());
    }
}
