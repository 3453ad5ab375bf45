//! `cb wait`: until a dependency can be used again, or the time is up.
//!
//! Nothing wakes a waiter: it reads the states, without a lock, with growing
//! pauses. Every pause is spread by chance, and the one that ends with an open
//! period more than the others, so that many waiters do not call at once.

use std::time::Duration;

use super::operate;
use super::output::say;
use super::probe::prober::{Prober, Seen};
use super::setup::Setup;
use crate::cli::WaitWords;
use crate::clock::{self, Clock, SystemClock};
use crate::error::Error;
use crate::exit;
use crate::model::breaker::LastProbe;
use crate::model::{Breaker, BreakerName, Hold, Ms, Now, Outcome, State, View};
use crate::process::{self, Startup};
use crate::render::sentence;
use crate::render::times::rough;
use crate::settings::{self, Given};
use crate::store::{FileStore, Store};

/// The first pause, and the longest, before they are spread. What a person does
/// to a breaker is seen after the longest, however long it would stay open.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// What somebody else's probe found counts for so long.
const FRESH_MS: Ms = 5 * 60 * 1000;
/// The end of an open period is spread over at most so much.
const SPREAD_MAX: Duration = Duration::from_secs(1);

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Calls flow.
    Closed,
    /// A call would be admitted, be it as a trial.
    Admitting,
    /// The latest probe succeeded.
    Healthy,
}

/// One breaker that is waited for.
struct Awaited {
    name: BreakerName,
    stands: Stands,
    /// What the latest probe of this wait found.
    seen: Option<Seen>,
}

/// How a breaker stands.
struct Stands {
    /// Whether it was ever used.
    known: bool,
    view: View,
    /// The time on its clock.
    now_ms: Ms,
}

/// Waits.
///
/// # Errors
///
/// Words that are not understood, or a state that cannot be read.
pub fn run(words: &WaitWords, startup: &Startup) -> Result<i32, Error> {
    let setup = match words.probe {
        true => Setup::load_with_probes(&words.places)?,
        false => Setup::load(&words.places)?,
    };
    let timeout = words.timeout.as_deref().map(|word| settings::length("--timeout", word));
    let mut names = Vec::new();
    for word in &words.names {
        let name = settings::breaker_name(word)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let store = setup.store()?;
    let prober = match words.probe {
        true => Some(Prober::of(&names, &setup, startup, words.quiet)?),
        false => None,
    };
    let wait = Wait {
        store: &store,
        setup: &setup,
        until: until(words),
        timeout: timeout.transpose()?,
        begun: clock::monotonic(),
        clock: SystemClock::default(),
        prober,
    };
    process::listen(startup);
    wait.until_met(names, words.quiet)
}

fn until(words: &WaitWords) -> Until {
    match words.until.as_deref() {
        Some("closed") => Until::Closed,
        Some("healthy") => Until::Healthy,
        Some(_) => Until::Admitting,
        None if words.probe => Until::Healthy,
        None => Until::Admitting,
    }
}

/// A wait under way.
struct Wait<'a> {
    setup: &'a Setup<'a>,
    store: &'a FileStore,
    until: Until,
    timeout: Option<Duration>,
    begun: Duration,
    clock: SystemClock,
    /// What looks at the dependencies meanwhile; else somebody else does.
    prober: Option<Prober<'a>>,
}

impl Wait<'_> {
    fn until_met(mut self, names: Vec<BreakerName>, quiet: bool) -> Result<i32, Error> {
        let mut left = Vec::new();
        for name in names {
            let stands = self.look(&name)?;
            // It may be misspelt.
            if !stands.known && self.prober.is_none() && !quiet {
                say(format_args!("{name}: this breaker was never used: its calls flow"));
            }
            left.push(Awaited { name, stands, seen: None });
        }
        let mut base = PAUSE_MIN;
        loop {
            self.probe(&mut left)?;
            for one in &mut left {
                one.stands = self.look(&one.name)?;
            }
            left.retain(|one| !self.is_met(one));
            if left.is_empty() {
                return Ok(exit::OK);
            }
            let time_left = self.time_left();
            if time_left.is_some_and(|left| left.is_zero()) {
                if !quiet {
                    left.iter().for_each(|one| self.give_up(one));
                }
                return Ok(exit::TIMED_OUT);
            }
            let pauses =
                left.iter().map(|one| pause(self.until, &one.stands.view, base, self.clock.draw()));
            let pause = pauses.min().unwrap_or(base).min(time_left.unwrap_or(Duration::MAX));
            if let Some(asked) = process::pause(pause, clock::monotonic) {
                return Ok(process::end_by_signal(asked.signal));
            }
            base = (base * 2).min(PAUSE_MAX);
        }
    }

    fn time_left(&self) -> Option<Duration> {
        let spent = clock::monotonic().saturating_sub(self.begun);
        self.timeout.map(|timeout| timeout.saturating_sub(spent))
    }

    fn probe(&mut self, left: &mut [Awaited]) -> Result<(), Error> {
        // Who has no time to wait still looks once.
        let time_left = self.time_left().filter(|left| !left.is_zero());
        let Some(prober) = &mut self.prober else { return Ok(()) };
        let names: Vec<&BreakerName> = left.iter().map(|one| &one.name).collect();
        for (name, seen) in prober.look(&names, time_left)? {
            if let Some(one) = left.iter_mut().find(|one| one.name == name) {
                one.seen = Some(seen);
            }
        }
        Ok(())
    }

    /// The breaker as it stands, by the settings that its callers use.
    fn look(&self, name: &BreakerName) -> Result<Stands, Error> {
        let found = self.store.find(name)?;
        let last_flags = found.as_ref().map_or("", |found| found.breaker.flags());
        let settings = self.setup.settings(name, &Given { last_flags, ..Given::default() })?;
        Ok(match &found {
            Some(found) => Stands {
                known: true,
                view: operate::view(found, &settings.policy),
                now_ms: found.scene.now.at_ms,
            },
            None => {
                let view = Breaker::new(Now::at(0)).view(&settings.policy, Now::at(0));
                Stands { known: false, view, now_ms: 0 }
            }
        })
    }

    fn is_met(&self, one: &Awaited) -> bool {
        let view = &one.stands.view;
        match (self.until, &self.prober) {
            (Until::Closed, _) => {
                matches!(
                    view.state,
                    State::Closed | State::Held(Hold::Disabled | Hold::MetricsOnly)
                )
            }
            (Until::Admitting, _) => view.admits,
            // What was well before this wait may not be so any more.
            (Until::Healthy, Some(_)) => one.seen.as_ref().is_some_and(|seen| seen.healthy),
            (Until::Healthy, None) => {
                let is_good = |last: LastProbe| last.outcome == Outcome::Success;
                view.last_probe.is_some_and(is_good) && one.stands.probe_age_ms() <= FRESH_MS
            }
        }
    }

    /// Says what is still waited for, and how it stands.
    fn give_up(&self, one: &Awaited) {
        let waited = self.timeout.unwrap_or_default();
        let view = &one.stands.view;
        let (until, stands) = match self.until {
            Until::Closed => ("closed", sentence::still(view, waited)),
            Until::Admitting => ("admitting", sentence::still(view, waited)),
            Until::Healthy => {
                let age_ms = one.stands.probe_age_ms();
                let why = match &one.seen {
                    Some(seen) => seen.found.clone(),
                    None if view.last_probe.is_some() && age_ms > FRESH_MS => {
                        format!("the last probe was {} ago", rough(age_ms))
                    }
                    None => sentence::last_probe(view),
                };
                ("healthy", format!("{}: {why}", sentence::not_healthy(view, waited)))
            }
        };
        say(format_args!("{}: {stands} (waiting for: {until})", one.name));
    }
}

impl Stands {
    /// How long ago the latest probe was.
    fn probe_age_ms(&self) -> u64 {
        self.view.last_probe.map_or(u64::MAX, |last| self.now_ms.saturating_sub(last.at_ms))
    }
}

/// How long to wait before the next look at a breaker: `base`, spread by a quarter
/// to both sides, but no longer than an open period and some spread after it.
fn pause(until: Until, view: &View, base: Duration, draw: u64) -> Duration {
    let share = draw as f64 / u64::MAX as f64;
    let spread = base.mul_f64(0.75 + share / 2.0);
    let (Until::Admitting, Some(retry_at_ms), Some(left_ms)) =
        (until, view.retry_at_ms, view.retry_after_ms)
    else {
        return spread;
    };
    // Nothing but a person or a probe ends it earlier: no need to look often.
    let left = Duration::from_millis(left_ms);
    if left > PAUSE_MAX {
        return PAUSE_MAX.mul_f64(0.75 + share / 2.0).min(left);
    }
    let period = Duration::from_millis(retry_at_ms.saturating_sub(view.since_ms));
    left + (period / 10).min(SPREAD_MAX).mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::model::breaker::Manual;
    use crate::model::{Ms, Policy};

    /// An open breaker, so long before its trial is due, of this period.
    fn open(period_ms: Ms, left_ms: Ms) -> View {
        let (policy, mut breaker) = (Policy::default(), Breaker::new(Now::at(0)));
        let lasting = Some(Duration::from_millis(period_ms));
        let asked = Manual { by: "", comment: "", lasting };
        let _ = breaker.trip(&policy, Now::at(0), &asked);
        breaker.view(&policy, Now::at(period_ms - left_ms))
    }

    #[track_caller]
    fn check(until: Until, view: &View, base_ms: u64, from_ms: u64, to_ms: u64) {
        let at = |draw| pause(until, view, Duration::from_millis(base_ms), draw).as_millis();
        assert_eq!((at(0), at(u64::MAX)), (u128::from(from_ms), u128::from(to_ms)));
        assert!((u128::from(from_ms)..=u128::from(to_ms)).contains(&at(u64::MAX / 3)));
    }

    #[test]
    fn a_pause_is_spread_by_a_quarter_to_both_sides() {
        let closed = Breaker::new(Now::at(0)).view(&Policy::default(), Now::at(0));
        check(Until::Healthy, &closed, 50, 37, 62);
        check(Until::Healthy, &closed, 1000, 750, 1250);
        check(Until::Closed, &open(60_000, 50_000), 100, 75, 125);
    }

    #[test]
    fn a_long_open_period_is_looked_at_every_second() {
        check(Until::Admitting, &open(60_000, 50_000), 50, 750, 1250);
        check(Until::Admitting, &open(60_000, 1100), 50, 750, 1100);
    }

    #[test]
    fn the_end_of_an_open_period_is_spread_by_a_tenth_of_it() {
        check(Until::Admitting, &open(2_000, 300), 50, 300, 500);
        check(Until::Admitting, &open(600_000, 300), 50, 300, 1300);
        check(Until::Admitting, &open(20, 1), 1000, 1, 3);
    }
}
