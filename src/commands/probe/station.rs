//! What is done about one probe: before it, after it, and where it is cut short.

use super::feed::{Listener, Ticket};
use super::targets::Target;
use crate::cli::Places;
use crate::clock::{Clock, SystemClock};
use crate::commands::background::Background;
use crate::error::Error;
use crate::probe::{Report, Verdict};
use crate::process::Startup;
use crate::render::probe::Probed;
use crate::store::FileStore;

/// What all probes of a command share.
pub struct Station<'a> {
    pub places: &'a Places,
    pub startup: &'a Startup,
    /// Where breakers are. Without it, targets can be looked at all the same.
    pub store: Result<FileStore, Error>,
}

/// A probe under way.
#[derive(Default)]
pub struct Begun {
    ticket: Option<Ticket>,
    notices: Vec<String>,
}

impl Station<'_> {
    /// A probe begins: its breaker hears of it, if it is to hear of it.
    pub fn begin(&self, target: &Target) -> Begun {
        let mut begun = Begun::default();
        let began = match (self.listener(target), &self.store) {
            (Some(listener), _) => listener.begin(&mut begun.notices),
            (None, Err(error)) if target.feeds => {
                begun.notices.push(not_fed(error));
                return begun;
            }
            _ => return begun,
        };
        match began {
            Ok(ticket) => begun.ticket = Some(ticket),
            Err(error) => begun.notices.push(not_fed(&error)),
        }
        begun
    }

    /// A probe has ended: its breaker hears how. What came of it, and what has to
    /// be said besides.
    pub fn end(&self, target: &Target, begun: Begun, report: Report) -> (Probed, Vec<String>) {
        let Begun { ticket, mut notices } = begun;
        let (ticket, nothing) = match report.verdict {
            // Nothing is known: the breaker hears nothing.
            Verdict::Unknown => (None, ticket),
            _ => (ticket, None),
        };
        self.abandon(target, Begun { ticket: nothing, notices: Vec::new() });
        let told = ticket
            .zip(self.listener(target))
            .map(|(ticket, listener)| listener.end(ticket, &report, &mut notices));
        let fed = match told {
            // Somebody removed the breaker meanwhile: there is nothing to tell.
            None | Some(Err(Error::Unknown { .. })) => None,
            Some(Ok(fed)) => Some(fed),
            Some(Err(error)) => {
                notices.push(not_fed(&error));
                None
            }
        };
        let slow = report.verdict.is_healthy() && target.settings.policy.is_slow(report.duration);
        let probed = Probed {
            name: target.name.as_ref().map(ToString::to_string),
            kind: target.spec.kind(),
            target: target.spec.target(),
            slow,
            at_wall_ms: SystemClock::default().read().wall_ms,
            report,
            fed,
        };
        (probed, notices)
    }

    /// A probe was cut short, or found out nothing. A permit that cannot be given back
    /// is lost, and free once cb has ended.
    pub fn abandon(&self, target: &Target, begun: Begun) {
        if let Some((ticket, listener)) = begun.ticket.zip(self.listener(target)) {
            let _ = listener.abandon(ticket);
        }
    }

    fn listener<'t>(&'t self, target: &'t Target) -> Option<Listener<'t>> {
        let name = target.name.as_ref().filter(|_| target.feeds)?;
        let store = self.store.as_ref().ok()?;
        let (places, startup) = (self.places, self.startup);
        let settings = &target.settings;
        Some(Listener(Background { store, name, settings, places, startup }))
    }
}

fn not_fed(error: &Error) -> String {
    format!("{error}; the breaker does not hear of this probe")
}
