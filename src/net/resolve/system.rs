//! What the machine says about names: the hosts file and resolv.conf, as
//! hosts(5) and resolv.conf(5) have them. Lines that make no sense are passed
//! over, as libc does.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::{Path, PathBuf};

use hickory_proto::rr::Name;

use super::name;
use crate::error::plain;
use crate::net::file::{Stamp, read_plain, stamp};

const DNS_PORT: u16 = 53;
/// As in libc: more name servers are not asked.
const SERVERS_MAX: usize = 3;
/// Each costs a question in vain.
const SEARCH_MAX: usize = 32;
/// As in libc.
const NDOTS_MAX: usize = 15;
const ROUNDS_MAX: u32 = 5;
/// Lists of names to block have some megabytes.
const HOSTS_BYTES_MAX: usize = 64 << 20;
const RESOLV_CONF_BYTES_MAX: usize = 1 << 20;

/// Where it is read from.
#[derive(Debug)]
pub(super) struct Places {
    pub hosts: PathBuf,
    pub resolv_conf: PathBuf,
    /// A file with the machine's own name, whose domain is searched where
    /// resolv.conf names none.
    pub hostname: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Places {
            hosts: PathBuf::from("/etc/hosts"),
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
            hostname: PathBuf::from("/proc/sys/kernel/hostname"),
        }
    }
}

/// How both files looked.
pub(super) type Stamps = (Option<Stamp>, Option<Stamp>);

impl Places {
    pub fn stamps(&self) -> Stamps {
        (stamp(&self.hosts), stamp(&self.resolv_conf))
    }
}

/// What the machine says about names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct System {
    /// Addresses by name, in small letters.
    hosts: HashMap<String, Vec<IpAddr>>,
    /// The name servers, in their order; never empty.
    pub servers: Vec<SocketAddr>,
    /// The domains that short names are looked for in.
    pub search: Vec<Name>,
    /// A name with as many dots is not a short one.
    pub ndots: usize,
    /// How often every name server is asked.
    pub rounds: u32,
}

impl System {
    /// Reads the files. One that is missing says nothing.
    ///
    /// # Errors
    ///
    /// If one is there and cannot be read.
    pub fn read(places: &Places) -> Result<Self, String> {
        let hosts = read(&places.hosts, HOSTS_BYTES_MAX)?;
        let resolv_conf = read(&places.resolv_conf, RESOLV_CONF_BYTES_MAX)?;
        let hostname = read(&places.hostname, 256).unwrap_or_default();
        Ok(Self::parse(&resolv_conf, &hosts, hostname.trim()))
    }

    /// What the hosts file has for a name.
    pub fn in_hosts_file(&self, host: &str) -> &[IpAddr] {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        self.hosts.get(&host).map_or(&[], Vec::as_slice)
    }

    /// What the texts of the files say.
    pub fn parse(resolv_conf: &str, hosts: &str, hostname: &str) -> Self {
        let mut system = System {
            hosts: parse_hosts(hosts),
            servers: Vec::new(),
            search: Vec::new(),
            ndots: 1,
            rounds: 2,
        };
        let mut search: Option<Vec<&str>> = None;
        for line in resolv_conf.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") if system.servers.len() < SERVERS_MAX => {
                    system.servers.extend(words.next().and_then(server));
                }
                Some("search") => search = Some(words.take(SEARCH_MAX).collect()),
                Some("domain") => search = Some(words.take(1).collect()),
                Some("options") => words.for_each(|option| system.set(option)),
                _ => {}
            }
        }
        let own = || hostname.split_once('.').map(|(_, domain)| domain).into_iter().collect();
        // `search .` says that there is none: the root is no name.
        system.search = search.unwrap_or_else(own).into_iter().filter_map(name).collect();
        if system.servers.is_empty() {
            system.servers.push(SocketAddr::from((Ipv4Addr::LOCALHOST, DNS_PORT)));
        }
        system
    }

    fn set(&mut self, option: &str) {
        let Some((key, value)) = option.split_once(':') else { return };
        match (key, value.parse::<usize>()) {
            ("ndots", Ok(dots)) => self.ndots = dots.min(NDOTS_MAX),
            ("attempts", Ok(rounds)) => {
                self.rounds =
                    u32::try_from(rounds).map_or(ROUNDS_MAX, |it| it.clamp(1, ROUNDS_MAX));
            }
            _ => {}
        }
    }
}

/// The address of a name server: `192.0.2.1`, `2001:db8::1`, `fe80::1%eth0`.
fn server(text: &str) -> Option<SocketAddr> {
    let Some((address, scope)) = text.split_once('%') else {
        return Some(SocketAddr::new(text.parse().ok()?, DNS_PORT));
    };
    let address: Ipv6Addr = address.parse().ok()?;
    let index = match scope.parse() {
        Ok(index) => index,
        Err(_) if scope.contains('/') => return None,
        Err(_) => {
            let path = Path::new("/sys/class/net").join(scope).join("ifindex");
            fs::read_to_string(path).ok()?.trim().parse().ok()?
        }
    };
    Some(SocketAddr::V6(SocketAddrV6::new(address, DNS_PORT, 0, index)))
}

fn parse_hosts(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let line = line.split_once('#').map_or(line, |(line, _)| line);
        let mut words = line.split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
        for name in words {
            let name = name.strip_suffix('.').unwrap_or(name);
            hosts.entry(name.to_ascii_lowercase()).or_default().push(address);
        }
    }
    hosts
}

fn read(path: &Path, bytes_max: usize) -> Result<String, String> {
    match read_plain(path, bytes_max) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(String::new())
        }
        Err(e) => Err(format!("cannot read {}: {}", path.display(), plain(&e))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(text: &str) -> Vec<String> {
        System::parse(text, "", "").servers.iter().map(ToString::to_string).collect()
    }

    fn search(text: &str, hostname: &str) -> Vec<String> {
        System::parse(text, "", hostname).search.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn name_servers_are_those_of_the_file_or_this_machine() {
        assert_eq!(servers(""), ["127.0.0.1:53"]);
        assert_eq!(servers("nameserver nonsense\nnameserver\n"), ["127.0.0.1:53"]);
        let text = "# first\nnameserver 192.0.2.1\n;nameserver 192.0.2.2\nnameserver\t2001:db8::1 # x\n\
                    nameserver 192.0.2.3\nnameserver 192.0.2.4\n";
        assert_eq!(servers(text), ["192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.3:53"]);
        assert_eq!(servers("nameserver fe80::1%3"), ["[fe80::1%3]:53"]);
        assert_eq!(servers("nameserver fe80::1%../x"), ["127.0.0.1:53"]);
    }

    #[test]
    fn the_last_search_or_domain_counts_and_else_the_machines_own() {
        assert_eq!(
            search("search a.example b.example", "h.c.example"),
            ["a.example.", "b.example."]
        );
        assert_eq!(search("search a.example\ndomain b.example", ""), ["b.example."]);
        assert_eq!(search("domain b.example\nsearch a.example", ""), ["a.example."]);
        assert_eq!(search("nameserver 192.0.2.1", "h.c.example"), ["c.example."]);
        assert_eq!(search("search .", "h.c.example"), [] as [&str; 0]);
        assert_eq!(search("search a..b", "h"), [] as [&str; 0]);
    }

    #[test]
    fn options_have_bounds() {
        let options = |text| {
            let system = System::parse(text, "", "");
            (system.ndots, system.rounds)
        };
        assert_eq!(options(""), (1, 2));
        assert_eq!(options("options ndots:3 attempts:1 rotate"), (3, 1));
        assert_eq!(options("options ndots:99 attempts:0"), (15, 1));
        assert_eq!(options("options ndots:x attempts:99999999999999 timeout:"), (1, 5));
    }

    #[test]
    fn the_hosts_file_is_read_as_libc_reads_it() {
        let text = "127.0.0.1 localhost\n::1\tlocalhost ip6-localhost # x.example\n\n# 192.0.2.9 a\n\
                    192.0.2.1 A.Example a\n192.0.2.2 a.example.\nnonsense b\n192.0.2.3\n";
        let system = System::parse("", text, "");
        let of = |host: &str| -> Vec<String> {
            system.in_hosts_file(host).iter().map(ToString::to_string).collect()
        };
        assert_eq!(of("localhost"), ["127.0.0.1", "::1"]);
        assert_eq!(of("a.EXAMPLE"), ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(of("a.example."), ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(of("a"), ["192.0.2.1"]);
        assert_eq!(of("b"), [] as [&str; 0]);
        assert_eq!(of("x.example"), [] as [&str; 0]);
    }

    #[test]
    fn a_missing_file_says_nothing_and_an_unreadable_one_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let missing = || dir.path().join("missing");
        let places = Places { hosts: missing(), resolv_conf: missing(), hostname: missing() };
        assert_eq!(System::read(&places), Ok(System::parse("", "", "")));
        let places = Places { resolv_conf: dir.path().into(), ..places };
        let error = System::read(&places).unwrap_err();
        assert!(error.starts_with(&format!("cannot read {}: ", dir.path().display())), "{error}");
    }
}
