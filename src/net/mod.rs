//! The way to a server: a name's addresses, a connection, TLS. Whoever goes it
//! keeps a [`Trace`], so that a deadline that cuts it short can still say how far
//! it came, and how long each phase took.

pub mod connect;
pub mod file;
pub mod resolve;
#[cfg(test)]
#[path = "../../tests/it/servers/mod.rs"]
#[expect(dead_code, reason = "the integration tests use the rest")]
#[expect(clippy::disallowed_methods, reason = "tests ask for the time themselves")]
pub(crate) mod servers;
pub mod tls;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

use crate::clock::monotonic;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Which kind of addresses may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// Either.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// Addresses that a person gives for a host and a port (`--resolve`), in place of
/// what names resolve to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// For which host and port.
    pub of: Endpoint,
    /// The addresses; never empty.
    pub addresses: Vec<IpAddr>,
}

/// How a host is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// By which kind of addresses.
    pub family: Family,
    /// Addresses that are given.
    pub pins: Vec<Pin>,
}

/// What TLS is made of. Files are read when they are needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// Certificates to trust in place of the machine's, as PEM.
    pub ca: Option<PathBuf>,
    /// The client's certificate with its chain, as PEM.
    pub cert: Option<PathBuf>,
    /// Its key, as PEM; without, it is looked for in the file of the certificate.
    pub key: Option<PathBuf>,
    /// The name to ask for and to check, in place of the host's.
    pub server_name: Option<String>,
    /// Believe any certificate.
    pub insecure: bool,
}

/// A part of a probe that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Looking up the name.
    Dns,
    /// Connecting.
    Connect,
    /// The handshake of TLS.
    Tls,
    /// From the request to the first byte of the answer.
    FirstByte,
    /// The rest of the answer.
    Body,
}

impl Phase {
    /// Every phase, in the order in which they come.
    pub const ALL: [Phase; 5] =
        [Phase::Dns, Phase::Connect, Phase::Tls, Phase::FirstByte, Phase::Body];

    /// The name that people see.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Dns => "dns",
            Phase::Connect => "connect",
            Phase::Tls => "tls",
            Phase::FirstByte => "first byte",
            Phase::Body => "body",
        }
    }
}

/// What the probes of one process share: what is loaded once, when it is needed.
#[derive(Debug, Default)]
pub struct Net {
    /// How names are resolved.
    resolver: resolve::Resolver,
    /// The certificates that this machine trusts.
    trust: tls::Store,
}

/// Why there is no answer to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The server's side: it is not healthy.
    Unhealthy(String),
    /// Our side, so that nothing is known of the server: a file that is missing,
    /// no descriptor left.
    Unknown(String),
}

/// Whether something is wanting on our side: descriptors, memory. Unlike other errors
/// of this machine, it is the same for every server.
fn has_run_out(error: &io::Error) -> bool {
    let out_of = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS];
    out_of.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// How far a probe came. Clones are of the same trace.
#[derive(Clone, Debug, Default)]
pub struct Trace(Arc<Mutex<Steps>>);

#[derive(Debug, Default)]
struct Steps {
    under_way: Option<(Phase, Duration)>,
    /// In the order in which they began. A phase that comes again (a redirect)
    /// adds to its time.
    done: Vec<(Phase, Duration)>,
    address: Option<String>,
}

impl Trace {
    /// A phase begins, and the one before it ends.
    pub fn enter(&self, phase: Phase) {
        let now = monotonic();
        let mut steps = self.steps();
        steps.end(now);
        steps.under_way = Some((phase, now));
    }

    /// The phase under way ends, and none begins.
    pub fn leave(&self) {
        let now = monotonic();
        self.steps().end(now);
    }

    /// The address that is used from here on.
    pub fn use_address(&self, address: impl fmt::Display) {
        self.steps().address = Some(address.to_string());
    }

    /// The phase under way.
    pub fn phase(&self) -> Option<Phase> {
        self.steps().under_way.map(|(phase, _)| phase)
    }

    /// The address in use.
    pub fn address(&self) -> Option<String> {
        self.steps().address.clone()
    }

    /// Each phase that ended, with its time.
    pub fn times(&self) -> Vec<(Phase, Duration)> {
        self.steps().done.clone()
    }

    fn steps(&self) -> MutexGuard<'_, Steps> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Steps {
    fn end(&mut self, now: Duration) {
        let Some((phase, since)) = self.under_way.take() else { return };
        let took = now.saturating_sub(since);
        match self.done.iter_mut().find(|(done, _)| *done == phase) {
            Some((_, time)) => *time += took,
            None => self.done.push((phase, took)),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
