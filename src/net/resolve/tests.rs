use super::system::{Places, System};
use super::*;
use crate::net::Pin;
use crate::net::servers::dns::{NameServer, Record, Reply, addresses};

/// A machine that asks these servers and has this in its files.
fn machine(servers: &[&NameServer], resolv_conf: &str, hosts: &str) -> Net {
    let servers: Vec<_> = servers.iter().map(|server| server.address()).collect();
    machine_with(&servers, resolv_conf, hosts)
}

fn machine_with(servers: &[SocketAddr], resolv_conf: &str, hosts: &str) -> Net {
    let mut system = System::parse(resolv_conf, hosts, "h.own.example");
    system.servers = servers.to_vec();
    // Files that are not there do not change either: what was read holds.
    let missing = || std::path::PathBuf::from("/nonexistent/file");
    let places = Places { hosts: missing(), resolv_conf: missing(), hostname: missing() };
    let read = Mutex::new(Some((places.stamps(), Arc::new(system))));
    Net { resolver: Resolver { places, read }, ..Net::default() }
}

async fn look_up(net: &Net, host: &str, family: Family) -> Result<Vec<String>, Trouble> {
    let of = Endpoint { host: host.to_owned(), port: 80 };
    let found = super::addresses(net, &of, &Route { family, ..Route::default() }).await?;
    Ok(found.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn unhealthy(found: Result<Vec<String>, Trouble>) -> String {
    match found {
        Err(Trouble::Unhealthy(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Knows `both.example` and `short.a.example`, and no other name.
fn knows_some(name: &str, kind: &str) -> Reply {
    match (name, kind) {
        ("both.example", "A") => addresses(&["192.0.2.1", "192.0.2.2", "192.0.2.1"]),
        ("both.example", "AAAA") => addresses(&["2001:db8::1"]),
        ("four.example", "A") => addresses(&["192.0.2.4"]),
        ("six.example", "AAAA") => addresses(&["2001:db8::6"]),
        ("short.b.example" | "a.b.example" | "short.own.example", "A") => addresses(&["192.0.2.7"]),
        ("a.b", "A") => addresses(&["192.0.2.8"]),
        ("four.example" | "six.example" | "empty.example", _) => Reply::Records(Vec::new()),
        _ => Reply::Code(3),
    }
}

fn names_asked(server: &NameServer) -> Vec<String> {
    let mut names: Vec<_> =
        server.asked().into_iter().filter(|asked| asked.kind == "A").map(|it| it.name).collect();
    names.dedup();
    names
}

#[tokio::test]
async fn what_is_pinned_or_an_address_asks_nobody() {
    let server = NameServer::new(knows_some);
    let net = machine(&[&server], "", "192.0.2.9 pinned.example");
    let of = |host: &str, port| Endpoint { host: host.to_owned(), port };
    let pin = |port, to: &str| Pin {
        of: of("Pinned.example", port),
        addresses: vec!["192.0.2.3".parse().unwrap(), to.parse().unwrap()],
    };
    let route = Route { pins: vec![pin(80, "::3"), pin(81, "::4")], ..Route::default() };
    let found = super::addresses(&net, &of("pinned.example", 81), &route).await;
    assert_eq!(found, Ok(pin(81, "::4").addresses));
    let found = super::addresses(&net, &of("pinned.example", 82), &route).await;
    assert_eq!(found, Ok(vec!["192.0.2.9".parse().unwrap()]));
    assert_eq!(look_up(&net, "::1", Family::Any).await, Ok(vec!["::1".to_owned()]));
    let none = unhealthy(look_up(&net, "127.0.0.1", Family::V6).await);
    assert_eq!(none, "127.0.0.1 has no IPv6 address");
    assert_eq!(server.asked(), []);
}

#[tokio::test]
async fn the_hosts_file_comes_first_and_localhost_needs_nobody() {
    let server = NameServer::new(knows_some);
    let net = machine(&[&server], "search b.example", "192.0.2.9 BOTH.example short\n");
    let v4 = |address: &str| Ok(vec![address.to_owned()]);
    assert_eq!(look_up(&net, "both.example", Family::Any).await, v4("192.0.2.9"));
    assert_eq!(look_up(&net, "short", Family::V4).await, v4("192.0.2.9"));
    assert_eq!(look_up(&net, "Localhost", Family::V4).await, v4("127.0.0.1"));
    let both = look_up(&net, "a.localhost.", Family::Any).await;
    assert_eq!(both, Ok(vec!["::1".to_owned(), "127.0.0.1".to_owned()]));
    assert_eq!(server.asked(), []);
    // The file has no address of the family that is wanted.
    assert_eq!(look_up(&net, "both.example", Family::V6).await, v4("2001:db8::1"));
}

#[tokio::test]
async fn families_come_in_turn_and_can_be_chosen() {
    let server = NameServer::new(knows_some);
    let net = machine(&[&server], "", "");
    let of = async |host: &str, family| look_up(&net, host, family).await.map(|it| it.join(" "));
    let ok = |text: &str| Ok(text.to_owned());
    assert_eq!(of("both.example", Family::Any).await, ok("2001:db8::1 192.0.2.1 192.0.2.2"));
    assert_eq!(of("both.example", Family::V4).await, ok("192.0.2.1 192.0.2.2"));
    assert_eq!(of("both.example", Family::V6).await, ok("2001:db8::1"));
    assert_eq!(of("four.example", Family::Any).await, ok("192.0.2.4"));
    assert_eq!(of("six.example.", Family::Any).await, ok("2001:db8::6"));
    let none = unhealthy(look_up(&net, "four.example", Family::V6).await);
    assert_eq!(none, "four.example has no IPv6 address");
    let none = unhealthy(look_up(&net, "empty.example", Family::Any).await);
    assert_eq!(none, "empty.example has no address");
}

#[tokio::test]
async fn an_address_does_not_wait_for_a_family_that_is_never_answered() {
    let server = NameServer::new(|_, kind| match kind {
        "A" => addresses(&["192.0.2.1"]),
        _ => Reply::Silence,
    });
    let net = machine(&[&server], "", "");
    let found = look_up(&net, "x.example", Family::Any).await;
    assert_eq!(found, Ok(vec!["192.0.2.1".to_owned()]));
    // It was asked once, so nobody waited for a second time.
    let asked = server.asked();
    assert_eq!(asked.iter().filter(|asked| asked.kind == "AAAA").count(), 1, "{asked:?}");
}

#[tokio::test]
async fn short_names_are_looked_for_in_the_search_domains() {
    let resolv_conf = "search a.example b.example\noptions ndots:2\n";
    let asked = async |host: &str, resolv_conf: &str| {
        let server = NameServer::new(knows_some);
        let net = machine(&[&server], resolv_conf, "");
        let found = look_up(&net, host, Family::V4).await.map(|it| it.join(" "));
        (found, names_asked(&server).join(" "))
    };
    let ok = |text: &str| Ok(text.to_owned());
    let (found, names) = asked("short", resolv_conf).await;
    assert_eq!((found, names.as_str()), (ok("192.0.2.7"), "short.a.example short.b.example"));
    let (found, names) = asked("a.b", resolv_conf).await;
    assert_eq!((found, names.as_str()), (ok("192.0.2.8"), "a.b.a.example a.b.b.example a.b"));
    let (found, names) = asked("a.b", "search b.example").await;
    assert_eq!((found, names.as_str()), (ok("192.0.2.8"), "a.b"));
    let (found, names) = asked("a", "search b.example").await;
    assert_eq!((found, names.as_str()), (ok("192.0.2.7"), "a.b.example"));
    let (found, names) = asked("short", "").await;
    assert_eq!((found, names.as_str()), (ok("192.0.2.7"), "short.own.example"));
    let (found, names) = asked("short.", resolv_conf).await;
    assert_eq!(names, "short");
    let why = "no such host: short. (the name servers say it does not exist)";
    assert_eq!(found, Err(Trouble::Unhealthy(why.to_owned())));
}

#[tokio::test]
async fn a_dead_name_server_is_not_the_end() {
    let silent = NameServer::new(|_, _| Reply::Silence);
    let failing = NameServer::new(|_, _| Reply::Code(2));
    let good = NameServer::new(knows_some);
    let closed = {
        let gone = NameServer::new(knows_some);
        gone.address()
    };
    let first = |first| machine_with(&[first, good.address()], "", "");
    for dead in [silent.address(), failing.address(), closed] {
        let found = look_up(&first(dead), "six.example", Family::V6).await;
        assert_eq!(found, Ok(vec!["2001:db8::6".to_owned()]), "{dead}");
        let gone = unhealthy(look_up(&first(dead), "gone.example", Family::V6).await);
        assert_eq!(gone, "no such host: gone.example (the name servers say it does not exist)");
    }
}

#[tokio::test]
async fn what_name_servers_say_or_do_not_say_is_told() {
    let silent = NameServer::new(|_, _| Reply::Silence);
    let refusing = NameServer::new(|_, _| Reply::Code(5));
    let closed = NameServer::new(knows_some).address();
    let net = machine(&[&refusing], "options attempts:1", "");
    let why = unhealthy(look_up(&net, "x.example", Family::Any).await);
    let refused = format!("the name server {} answered REFUSED", refusing.address());
    assert_eq!(why, format!("cannot look up x.example: {refused}"));
    let servers = [silent.address(), closed];
    let net = machine_with(&servers, "options attempts:1", "");
    let why = unhealthy(look_up(&net, "x.example", Family::V4).await);
    let [silent, closed] = servers;
    assert_eq!(
        why,
        format!(
            "no name server answered for x.example ({silent}: no answer, {closed}: connection refused)"
        )
    );
    let why = look_up(&net, "x..example", Family::V4).await;
    assert_eq!(why, Err(Trouble::Unknown("x..example is not a host name".to_owned())));
}

#[tokio::test]
async fn what_does_not_fit_is_asked_for_again_by_tcp() {
    let server = NameServer::new(|_, _| Reply::ByTcpOnly(vec![Record::address("192.0.2.1")]));
    let net = machine(&[&server], "", "");
    let found = look_up(&net, "x.example", Family::V4).await;
    assert_eq!(found, Ok(vec!["192.0.2.1".to_owned()]));
    let by: Vec<_> = server.asked().iter().map(|asked| asked.by).collect();
    assert_eq!(by, ["udp", "tcp"]);
}

#[tokio::test]
async fn forged_answers_and_nonsense_are_passed_over() {
    let server = NameServer::new(|_, _| Reply::AfterForgeries(vec![Record::address("192.0.2.1")]));
    let net = machine(&[&server], "", "");
    let found = look_up(&net, "x.example", Family::V4).await;
    assert_eq!(found, Ok(vec!["192.0.2.1".to_owned()]));
    // An answer with a thousand records in front of nothing is none.
    let lies =
        NameServer::new(|_, _| Reply::Bytes(b"\x81\x80\0\x01\xff\xff\0\0\0\0\xc0\x0c".to_vec()));
    let net = machine(&[&lies, &server], "", "");
    let found = look_up(&net, "x.example", Family::V4).await;
    assert_eq!(found, Ok(vec!["192.0.2.1".to_owned()]));
}

#[tokio::test]
async fn a_file_that_changed_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let places = Places {
        hosts: dir.path().join("hosts"),
        resolv_conf: dir.path().join("resolv.conf"),
        hostname: dir.path().join("hostname"),
    };
    let hosts = places.hosts.clone();
    let net = Net { resolver: Resolver { places, read: Mutex::new(None) }, ..Net::default() };
    std::fs::write(&hosts, "192.0.2.1 x.example").unwrap();
    let of = async || look_up(&net, "x.example", Family::V4).await;
    assert_eq!(of().await, Ok(vec!["192.0.2.1".to_owned()]));
    std::fs::write(&hosts, "192.0.2.123 x.example").unwrap();
    assert_eq!(of().await, Ok(vec!["192.0.2.123".to_owned()]));
}
