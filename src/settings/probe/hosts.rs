//! URLs, hosts and ports, and addresses that are given for them.

use std::net::{IpAddr, Ipv6Addr};

use url::{Host, Url};

use super::value::ProbeValue;
use crate::model::text;
use crate::net::{Endpoint, Pin};
use crate::settings::parse::Why;

/// The most bytes of a URL.
const URL_BYTES_MAX: usize = 8192;
/// The most bytes of a name, without a dot at its end, and of a part of it.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;
/// The most bytes of the name of a service.
const SERVICE_BYTES_MAX: usize = 255;
/// The most addresses for one host.
const ADDRESSES_MAX: usize = 16;
/// Where name servers listen.
const DNS_PORT: u16 = 53;

/// A page.
pub fn url(text: &str) -> Result<Url, Why> {
    if text.len() > URL_BYTES_MAX {
        return Err("too long".into());
    }
    // A parser of URLs leaves such characters out.
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("it has a space or a control character".into());
    }
    let Some((scheme, _)) = text.split_once("://") else { return Err("no scheme".into()) };
    if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return Err(format!("unknown scheme '{}'", text::excerpt(scheme, 20)));
    }
    let mut url = Url::parse(text).map_err(|error| error.to_string())?;
    if let Some(Host::Domain(name)) = url.host() {
        check_name(name)?;
    }
    if url.port() == Some(0) {
        return Err("no port 0".into());
    }
    url.set_fragment(None);
    Ok(url)
}

/// A host and a port; without a default, the port must be there.
pub fn endpoint(text: &str, port_default: Option<u16>) -> Result<Endpoint, Why> {
    let (host_text, port_text) = split(text)?;
    let host = host(host_text)?;
    let port = match (port_text, port_default) {
        (Some(text), _) => port(text)?,
        (None, Some(default)) => default,
        (None, None) => return Err("no port".into()),
    };
    Ok(Endpoint { host, port })
}

/// A host, a port, and maybe a service.
pub fn service(text: &str) -> Result<ProbeValue, Why> {
    let (at, service) = text.split_once('/').unwrap_or((text, ""));
    if service.len() > SERVICE_BYTES_MAX {
        return Err("the service is too long".into());
    }
    if service.contains(char::is_control) {
        return Err("the service has a control character".into());
    }
    Ok(ProbeValue::Service(endpoint(at, None)?, service.to_owned()))
}

/// A name, and maybe whom to ask.
pub fn question(text: &str) -> Result<ProbeValue, Why> {
    let (name, server) = match text.split_once('@') {
        Some((name, server)) => (name, Some(server)),
        None => (text, None),
    };
    let name = dns_name(name)?;
    let server = server.map(name_server).transpose().map_err(|why| format!("the server: {why}"))?;
    Ok(ProbeValue::Question(name, server))
}

/// A name server: an address of IPv6 needs no brackets where no port follows.
fn name_server(text: &str) -> Result<Endpoint, Why> {
    match text.parse::<Ipv6Addr>() {
        Ok(address) => Ok(Endpoint { host: address.to_string(), port: DNS_PORT }),
        Err(_) => endpoint(text, Some(DNS_PORT)),
    }
}

/// A name to ask for; for an address, whose name is asked for, the address.
fn dns_name(text: &str) -> Result<String, Why> {
    if text == "." {
        return Ok(text.to_owned());
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_string());
    }
    if !text.is_ascii() {
        return host(text);
    }
    check_name(text)?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    match text.bytes().all(fits) {
        true => Ok(text.to_owned()),
        false => Err("not a name".into()),
    }
}

/// Addresses for a host and a port.
pub fn pin(text: &str) -> Result<Pin, Why> {
    let (host_text, rest) = match text.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']').ok_or("no ']'")? + 1;
            (&text[..=end], text[end + 1..].strip_prefix(':').unwrap_or_default())
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let Some((port_text, addresses)) = rest.split_once(':') else {
        return Err("not HOST:PORT:ADDR".into());
    };
    let of = Endpoint { host: host(host_text)?, port: port(port_text)? };
    let addresses = addresses.split(',').map(address).collect::<Result<Vec<_>, _>>()?;
    match addresses.len() > ADDRESSES_MAX {
        true => Err(format!("more than {ADDRESSES_MAX} addresses")),
        false => Ok(Pin { of, addresses }),
    }
}

fn address(text: &str) -> Result<IpAddr, Why> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| format!("'{}' is no address", text::excerpt(text, 40)))
}

/// A host as connections have it: a name in small ASCII letters, or an address
/// without brackets.
pub fn host(text: &str) -> Result<String, Why> {
    if text.is_empty() {
        return Err("no host".into());
    }
    let bare: Result<Ipv6Addr, _> = text.parse();
    if let Ok(address) = bare {
        return Ok(address.to_string());
    }
    match Host::parse(text).map_err(|error| error.to_string())? {
        Host::Domain(name) => {
            check_name(&name)?;
            Ok(name)
        }
        Host::Ipv4(address) => Ok(address.to_string()),
        Host::Ipv6(address) => Ok(address.to_string()),
    }
}

fn check_name(name: &str) -> Result<(), Why> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > NAME_BYTES_MAX || name.split('.').any(|label| label.len() > LABEL_BYTES_MAX) {
        return Err("too long a name".into());
    }
    match name.split('.').any(str::is_empty) {
        true => Err("not a name".into()),
        false => Ok(()),
    }
}

/// The host and the port, as they are written.
fn split(text: &str) -> Result<(&str, Option<&str>), Why> {
    if text.starts_with('[') {
        let end = text.find(']').ok_or("no ']'")? + 1;
        let (host, rest) = text.split_at(end);
        return match (rest, rest.strip_prefix(':')) {
            ("", _) => Ok((host, None)),
            (_, Some(port)) => Ok((host, Some(port))),
            (_, None) => Err("no port".into()),
        };
    }
    match text.matches(':').count() {
        0 => Ok((text, None)),
        1 => Ok(text.split_once(':').map(|(host, port)| (host, Some(port))).expect("one colon")),
        _ => Err("an address of IPv6 stands in brackets".into()),
    }
}

fn port(text: &str) -> Result<u16, Why> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let port = text.parse().ok().filter(|port| digits && *port > 0);
    port.ok_or_else(|| format!("'{}' is no port, 1 to 65535", text::excerpt(text, 20)))
}
