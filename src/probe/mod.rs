//! Health probes: one look at a server or a command, within one deadline, and a
//! report that says why.
//!
//! `spec` is what to look at, `report` what was found; each kind has a file. Here
//! is what they share: the runtime, the deadline, the time. `crowd` looks at many
//! side by side.
//!
//! Invariants: whatever a probe waits for, the deadline ends it. What is cut short
//! leaves nothing behind: no connection, no process.

mod command;
mod crowd;
mod dns;
mod grpc;
mod http;
pub mod report;
pub mod spec;
mod tasks;
mod tcp;
mod tls;

use std::os::fd::BorrowedFd;
use std::time::Duration;

use tokio::net::unix::pipe;
use tokio::runtime::{Builder, Runtime};

use crate::clock::monotonic;
use crate::error::Error;
use crate::net::{Net, Trace, Trouble};
use crate::process::Inherited;

pub use crowd::{Bounds, Crowd, Ended, look_at_all};
pub use report::{Detail, Found, Report, Verdict};
pub use spec::{Spec, What};

/// What probes have of the process that looks.
#[derive(Clone, Copy, Debug)]
pub struct Process<'a> {
    /// Can be read once a person wants cb to end.
    pub stop: BorrowedFd<'a>,
    /// What a command starts with.
    pub inherited: Inherited,
}

/// Looks once. `None` where a person wants cb to end first.
///
/// # Errors
///
/// Where nothing could be begun.
pub fn look(spec: &Spec, process: Process<'_>) -> Result<Option<Report>, Error> {
    runtime()?.block_on(async {
        let stop = Stop::of(process.stop)?;
        let net = Net::default();
        tokio::select! {
            report = report(spec, &net, process.inherited) => Ok(Some(report)),
            () = stop.wished() => Ok(None),
        }
    })
}

/// After so many steps the runtime looks at the time, whatever else there is to do.
/// By itself it would do 61: a server that floods makes each of them long.
const STEPS_UNTIL_TIME: u32 = 2;

/// One thread's worth of waiting for many things.
fn runtime() -> Result<Runtime, Error> {
    let mut builder = Builder::new_current_thread();
    builder.enable_io().enable_time().event_interval(STEPS_UNTIL_TIME);
    builder.build().map_err(Error::Spawn)
}

/// A person's wish that cb ends: a descriptor that can be read once there is one.
struct Stop(pipe::Receiver);

impl Stop {
    fn of(descriptor: BorrowedFd<'_>) -> Result<Self, Error> {
        // No pipe, but waited for like one.
        let own = descriptor.try_clone_to_owned();
        own.and_then(pipe::Receiver::from_owned_fd_unchecked).map(Stop).map_err(Error::Spawn)
    }

    async fn wished(&self) {
        // Where it cannot be waited for, no wish can come.
        if self.0.readable().await.is_err() {
            std::future::pending().await
        }
    }
}

/// A deadline that is noticed later than this says something about this machine, and
/// nothing about the server.
const LATE_FACTOR: f64 = 1.2;
const LATE: Duration = Duration::from_secs(2);

/// Looks within the deadline.
async fn report(spec: &Spec, net: &Net, inherited: Inherited) -> Report {
    let trace = Trace::default();
    let began = monotonic();
    let looking = by_kind(spec, net, inherited, &trace);
    let looked = tokio::time::timeout(spec.timeout, looking).await;
    let failed_in = trace.phase();
    trace.leave();
    let duration = monotonic().saturating_sub(began);
    // Judging a large answer cannot be cut short.
    let looked = looked.ok().filter(|_| duration <= spec.timeout);
    let timed_out = looked.is_none();
    let unhealthy = |words| Found { verdict: Verdict::Unhealthy, ..Found::healthy(words) };
    let found = match looked {
        Some(Ok(found)) => found,
        Some(Err(Trouble::Unhealthy(why))) => unhealthy(why),
        Some(Err(Trouble::Unknown(why))) => {
            Found { verdict: Verdict::Unknown, ..Found::healthy(why) }
        }
        None if duration > spec.timeout.mul_f64(LATE_FACTOR).saturating_add(LATE) => Found {
            verdict: Verdict::Unknown,
            ..Found::healthy("cb was stopped, or had no processor, while it looked")
        },
        None => unhealthy(format!("no answer within {}", exact(spec.timeout))),
    };
    let Found { verdict, words, retry_after, detail } = found;
    let broken = verdict == Verdict::Unhealthy;
    Report {
        verdict,
        found: words,
        phase: failed_in.filter(|_| broken),
        timed_out,
        address: trace.address(),
        phases: trace.times(),
        duration,
        retry_after,
        detail,
    }
}

async fn by_kind(
    spec: &Spec,
    net: &Net,
    inherited: Inherited,
    trace: &Trace,
) -> Result<Found, Trouble> {
    match &spec.what {
        What::Http(http) => http::look(http, spec, net, trace).await,
        What::Tcp(at) => tcp::look(at, spec, net, trace).await,
        What::Unix(path) => tcp::look_unix(path, trace).await,
        What::Tls(tls) => tls::look(tls, spec, net, trace).await,
        What::Grpc(grpc) => grpc::look(grpc, spec, net, trace).await,
        What::Dns(dns) => dns::look(dns, spec, net, trace).await,
        What::Command(command) => command::look(command, inherited, trace).await,
    }
}

/// A deadline as the settings have it.
fn exact(deadline: Duration) -> String {
    crate::model::text::duration(deadline)
}
