//! Probes for whoever waits: each breaker's own, again and again, less often the
//! longer it takes.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use super::AT_ONCE;
use super::station::{Begun, Station};
use super::targets::Target;
use crate::cli::Places;
use crate::clock::{Clock, SystemClock};
use crate::commands::output::Voice;
use crate::commands::setup::Setup;
use crate::error::Error;
use crate::model::BreakerName;
use crate::model::backoff::RetryDelay;
use crate::model::policy::{Growth, Percent};
use crate::probe::{Bounds, Crowd, Process, Report, Spec, look_at_all};
use crate::process::{self, Startup};
use crate::render::probe::{Health, Probed};

/// The pause after the first look; it grows up to the interval of the probe.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// By half each time.
const GROWTH: u32 = Growth::SCALE / 2 * 3;
/// So that those who began to wait together do not look together.
const JITTER_HUNDREDTHS: u16 = 2_500;

/// What a look at a dependency found.
pub struct Seen {
    /// Whether it is well.
    pub healthy: bool,
    /// What was found, in a few words.
    pub found: String,
}

/// Probes of breakers that are waited for.
pub struct Prober<'a> {
    station: Station<'a>,
    looks: Vec<Look>,
    stop: OwnedFd,
    clock: SystemClock,
    quiet: bool,
}

/// A target, and when it is looked at.
struct Look {
    target: Target,
    looks: u32,
    due: Duration,
}

impl<'a> Prober<'a> {
    /// Of these breakers. From here on a person's wish to end is for
    /// [`process::pause`] to take.
    ///
    /// # Errors
    ///
    /// That one of them has no probe.
    pub fn of(
        names: &[BreakerName],
        setup: &Setup<'a>,
        startup: &'a Startup,
        quiet: bool,
    ) -> Result<Self, Error> {
        let store = setup.store();
        let mut looks = Vec::with_capacity(names.len());
        for name in names {
            let target = Target::configured(name.clone(), setup, store.as_ref().ok())?;
            looks.push(Look { target, looks: 0, due: Duration::ZERO });
        }
        let places: &'a Places = setup.places();
        let stop = process::listen_by_descriptor(startup)?;
        let station = Station { places, startup, store };
        Ok(Prober { station, looks, stop, clock: SystemClock::default(), quiet })
    }

    /// Looks at those of these breakers whose turn it is, for no longer than this;
    /// what was found at those whose look ended.
    ///
    /// # Errors
    ///
    /// Where nothing could be begun.
    pub fn look(
        &mut self,
        names: &[&BreakerName],
        time: Option<Duration>,
    ) -> Result<Vec<(BreakerName, Seen)>, Error> {
        let now = self.clock.monotonic();
        let due: Vec<&mut Look> = self
            .looks
            .iter_mut()
            .filter(|look| look.due <= now)
            .filter(|look| names.iter().any(|name| Some(*name) == look.target.name.as_ref()))
            .collect();
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let specs: Vec<Arc<Spec>> = due.iter().map(|look| Arc::clone(&look.target.spec)).collect();
        let inherited = self.station.startup.inherited();
        let process = Process { stop: self.stop.as_fd(), inherited };
        let bounds = Bounds { at_once_max: AT_ONCE, time, process };
        let begun = due.iter().map(|_| None).collect();
        let (station, clock, quiet) = (&self.station, &self.clock, self.quiet);
        let mut round = Round { station, clock, quiet, due, begun, seen: Vec::new() };
        let ended = look_at_all(&specs, bounds, &mut round);
        round.give_up_rest();
        ended.map(|_| round.seen)
    }
}

/// One look at each.
struct Round<'r> {
    station: &'r Station<'r>,
    clock: &'r SystemClock,
    quiet: bool,
    due: Vec<&'r mut Look>,
    begun: Vec<Option<Begun>>,
    seen: Vec<(BreakerName, Seen)>,
}

impl Round<'_> {
    /// What was cut short gives its permits back.
    fn give_up_rest(&mut self) {
        for (look, begun) in self.due.iter().zip(&mut self.begun) {
            if let Some(begun) = begun.take() {
                self.station.abandon(&look.target, begun);
            }
        }
    }
}

impl Crowd for Round<'_> {
    fn begin(&mut self, at: usize) {
        self.begun[at] = Some(self.station.begin(&self.due[at].target));
    }

    fn end(&mut self, at: usize, report: Report) -> Option<Duration> {
        let look = &mut *self.due[at];
        let begun = self.begun[at].take().unwrap_or_default();
        let (probed, notices) = self.station.end(&look.target, begun, report);
        let voice = Voice { name: probed.label(), quiet: self.quiet };
        notices.iter().for_each(|notice| voice.say(notice));
        look.looks = look.looks.saturating_add(1);
        let pause = delay(&look.target).after(look.looks, self.clock.draw());
        look.due = self.clock.monotonic().saturating_add(pause);
        let healthy = probed.report.verdict.is_healthy();
        // What is wrong on this side does not mend itself while it is waited for.
        if probed.health() == Health::Unknown && look.looks == 1 {
            voice.say(format_args!("unknown: {}", probed.found()));
        }
        let found = Probed::found(&probed);
        self.seen.extend(look.target.name.clone().map(|name| (name, Seen { healthy, found })));
        None
    }
}

/// How long the pauses get.
fn delay(target: &Target) -> RetryDelay {
    RetryDelay {
        first: FIRST_PAUSE.min(target.watch.interval),
        growth: Growth::from_ten_thousandths(GROWTH).unwrap_or(Growth::ONE),
        max: target.watch.interval,
        jitter: Percent::from_hundredths(JITTER_HUNDREDTHS).unwrap_or(Percent::ZERO),
    }
}
