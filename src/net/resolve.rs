//! The addresses of a host: what is pinned, what the hosts file says, or what
//! name servers answer.
//!
//! It asks them itself: libc's getaddrinfo loads modules when it runs, which a
//! static binary cannot rely on. What it does is what libc does where
//! nsswitch.conf says `hosts: files dns`: the hosts file first, then the name
//! servers, search domains and `ndots` of resolv.conf (see `system`). Every probe
//! asks anew: an answer that is kept would hide a name server that died.

pub mod ask;
mod system;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::time::timeout;

use self::ask::{Failure, ask, code};
use self::system::{Places, Stamps, System};
use super::{Endpoint, Family, Net, Route, Trouble};

/// A host with more addresses than this has them cut.
const ADDRESSES_MAX: usize = 64;
const LOCALHOST: [IpAddr; 2] = [IpAddr::V6(Ipv6Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::LOCALHOST)];
/// How long the addresses of one family wait for the other's. Some name servers
/// never answer for IPv6.
const OTHER_FAMILY_WAIT: Duration = Duration::from_millis(200);

/// What the machine says about names, read when it is first needed and again
/// once it has changed: a probe that runs for weeks sees other networks.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    places: Places,
    read: Mutex<Option<(Stamps, Arc<System>)>>,
}

impl Resolver {
    fn system(&self) -> Result<Arc<System>, Trouble> {
        let stamps = self.places.stamps();
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((then, system)) = read.as_ref()
            && *then == stamps
        {
            return Ok(Arc::clone(system));
        }
        let system = Arc::new(System::read(&self.places).map_err(Trouble::Unknown)?);
        *read = Some((stamps, Arc::clone(&system)));
        Ok(system)
    }
}

/// The addresses of a host, those to try first in front: what is pinned, or the
/// address that the host is, or what its name resolves to.
///
/// # Errors
///
/// If there is none of the kind that the route allows.
pub async fn addresses(net: &Net, of: &Endpoint, route: &Route) -> Result<Vec<IpAddr>, Trouble> {
    let given = match route.pins.iter().find(|pin| pins(&pin.of, of)) {
        Some(pin) => pin.addresses.clone(),
        None => of.host.parse().into_iter().collect(),
    };
    if !given.is_empty() {
        let fitting: Vec<_> =
            given.into_iter().filter(|address| allows(route.family, address)).collect();
        return match fitting.is_empty() {
            true => Err(Trouble::Unhealthy(no_address(&of.host, route.family))),
            false => Ok(fitting),
        };
    }
    net.resolver.system()?.addresses(&of.host, route.family).await
}

/// The name servers that the machine asks, in their order.
///
/// # Errors
///
/// If resolv.conf cannot be read.
pub fn name_servers(net: &Net) -> Result<Vec<SocketAddr>, Trouble> {
    Ok(net.resolver.system()?.servers.clone())
}

/// A name as name servers are asked for it. A name that is not ASCII is written
/// as they know it.
pub fn name(text: &str) -> Option<Name> {
    let mut name = match text.is_ascii() {
        true => Name::from_ascii(text).ok()?,
        false => Name::from_utf8(text).ok()?,
    };
    name.set_fqdn(true);
    (!name.is_root() && name.len() <= 254).then_some(name)
}

fn pins(pinned: &Endpoint, of: &Endpoint) -> bool {
    pinned.port == of.port && pinned.host.eq_ignore_ascii_case(&of.host)
}

impl System {
    async fn addresses(&self, host: &str, family: Family) -> Result<Vec<IpAddr>, Trouble> {
        let in_file = in_turn(self.in_hosts_file(host), family);
        if !in_file.is_empty() {
            return Ok(in_file);
        }
        if is_localhost(host) {
            return Ok(in_turn(&LOCALHOST, family));
        }
        let candidates = self.candidates(host);
        if candidates.is_empty() {
            return Err(Trouble::Unknown(format!("{host} is not a host name")));
        }
        let mut found = Sought::NoName;
        for candidate in candidates {
            match self.seek(&candidate, family).await? {
                Sought::Addresses(addresses) => return Ok(in_turn(&addresses, family)),
                // Another name may exist, but it may not be the one that is meant.
                silence @ Sought::Silence(_) => {
                    found = silence;
                    break;
                }
                other => found = found.or(other),
            }
        }
        Err(Trouble::Unhealthy(match found {
            Sought::NoName => {
                format!("no such host: {host} (the name servers say it does not exist)")
            }
            Sought::Silence(why) => format!("no name server answered for {host} ({why})"),
            Sought::Failed(why) => format!("cannot look up {host}: {why}"),
            Sought::NoAddress | Sought::Addresses(_) => no_address(host, family),
        }))
    }

    /// The names that a host may stand for, those to ask for first in front. A
    /// name with as many dots as `ndots` is first taken as it is.
    fn candidates(&self, host: &str) -> Vec<Name> {
        let Some(as_it_is) = name(host) else { return Vec::new() };
        if host.ends_with('.') {
            return vec![as_it_is];
        }
        let dots = host.bytes().filter(|byte| *byte == b'.').count();
        let mut names: Vec<Name> = self.search.iter().filter_map(|d| within(host, d)).collect();
        let place = if dots >= self.ndots { 0 } else { names.len() };
        names.insert(place, as_it_is);
        names
    }

    /// Asks for the addresses of both families at once.
    async fn seek(&self, name: &Name, family: Family) -> Result<Sought, Trouble> {
        let mut v4 = pin!(self.seek_one(name, RecordType::A));
        let mut v6 = pin!(self.seek_one(name, RecordType::AAAA));
        match family {
            Family::V4 => v4.await,
            Family::V6 => v6.await,
            Family::Any => tokio::select! {
                first = &mut v4 => first?.with(v6).await,
                first = &mut v6 => first?.with(v4).await,
            },
        }
    }

    async fn seek_one(&self, name: &Name, record: RecordType) -> Result<Sought, Trouble> {
        let query = Query::query(name.clone(), record);
        match ask(&self.servers, &query, self.rounds).await {
            Ok(answer) => Ok(sought(&answer.message, record)),
            Err(Failure::Refusal(answer)) => {
                let code = code(answer.message.metadata.response_code);
                Ok(Sought::Failed(format!("the name server {} answered {code}", answer.from)))
            }
            Err(Failure::Silence(why)) => Ok(Sought::Silence(why)),
            Err(Failure::Ours(why)) => Err(Trouble::Unknown(why)),
        }
    }
}

/// What there is for a name.
enum Sought {
    /// Its addresses; never empty.
    Addresses(Vec<IpAddr>),
    /// The name exists, and has no address of this kind.
    NoAddress,
    /// There is no such name.
    NoName,
    /// A name server answered that it cannot tell.
    Failed(String),
    /// None answered.
    Silence(String),
}

impl Sought {
    /// Together with what there is of the other family. Addresses do not wait
    /// long for others.
    async fn with(
        self,
        other: impl Future<Output = Result<Sought, Trouble>>,
    ) -> Result<Sought, Trouble> {
        let Sought::Addresses(mut addresses) = self else { return Ok(self.or(other.await?)) };
        if let Ok(Ok(Sought::Addresses(more))) = timeout(OTHER_FAMILY_WAIT, other).await {
            addresses.extend(more);
        }
        Ok(Sought::Addresses(addresses))
    }

    /// The one of the two that says more.
    fn or(self, other: Sought) -> Sought {
        let says = |it: &Sought| match it {
            Sought::Addresses(_) => 4,
            Sought::Silence(_) => 3,
            Sought::Failed(_) => 2,
            Sought::NoAddress => 1,
            Sought::NoName => 0,
        };
        if says(&other) > says(&self) { other } else { self }
    }
}

fn sought(message: &Message, record: RecordType) -> Sought {
    let address = |data: &RData| match data {
        RData::A(v4) if record == RecordType::A => Some(IpAddr::V4(v4.0)),
        RData::AAAA(v6) if record == RecordType::AAAA => Some(IpAddr::V6(v6.0)),
        _ => None,
    };
    // Whatever aliases lead to them: that was the name server's work.
    let addresses: Vec<_> =
        message.answers.iter().filter_map(|answer| address(&answer.data)).collect();
    match (addresses.is_empty(), message.metadata.response_code) {
        (false, _) => Sought::Addresses(addresses),
        (true, ResponseCode::NXDomain) => Sought::NoName,
        (true, _) => Sought::NoAddress,
    }
}

/// `localhost` and the names under it are this machine, and no name server is
/// asked for them (RFC 6761).
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

fn within(host: &str, domain: &Name) -> Option<Name> {
    let mut whole = name(host)?;
    whole.set_fqdn(false);
    whole.append_domain(domain).ok().filter(|name| name.len() <= 254)
}

fn allows(family: Family, address: &IpAddr) -> bool {
    match family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    }
}

/// The addresses that may be used, each once, IPv6 and IPv4 in turn, so that a
/// family that leads nowhere costs little (RFC 8305).
fn in_turn(addresses: &[IpAddr], family: Family) -> Vec<IpAddr> {
    let mut seen = Vec::new();
    for address in addresses.iter().filter(|address| allows(family, address)) {
        if seen.len() < ADDRESSES_MAX && !seen.contains(address) {
            seen.push(*address);
        }
    }
    // In front is what is tried first.
    seen.sort_by_key(IpAddr::is_ipv4);
    take_turns(seen)
}

/// The same addresses, both kinds in turns, beginning with that of the first.
pub(super) fn take_turns(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let Some(first) = addresses.first() else { return addresses };
    let is_first_kind = first.is_ipv4();
    let (one, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == is_first_kind);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut turns = Vec::new();
    loop {
        match (one.next(), other.next()) {
            (None, None) => return turns,
            (a, b) => turns.extend(a.into_iter().chain(b)),
        }
    }
}

fn no_address(host: &str, family: Family) -> String {
    match family {
        Family::Any => format!("{host} has no address"),
        Family::V4 => format!("{host} has no IPv4 address"),
        Family::V6 => format!("{host} has no IPv6 address"),
    }
}
