//! How cb finds addresses, over the real binary: in a network of its own, with a
//! hosts file, a resolv.conf and name servers on port 53 that are the test's.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;
use serde_json::Value;

use crate::servers::Server;
use crate::servers::dns::{NameServer, Record, Reply, addresses};
use crate::servers::http::HttpServer;
use crate::store::can;
use crate::support::{Ran, binary, not_here, plain};

/// Where the files are that stand in for those of /etc; set within the namespaces.
const FILES: &str = "CB_TEST_FILES";

#[test]
fn names_are_found_as_the_machine_says() {
    // Who is not root can be within.
    let user: &[&str] = if geteuid().is_root() { &[] } else { &["-r"] };
    let unshare = [&["unshare"], user, &["-n", "-m"]].concat();
    if !can(&[&unshare[..], &["ip", "link", "set", "lo", "up"]].concat()) {
        return;
    }
    let files = tempfile::tempdir().expect("a directory");
    let script = "ip link set lo up || exit 99
        for file in hosts resolv.conf; do
            : >\"$CB_TEST_FILES/$file\"
            mount --bind \"$CB_TEST_FILES/$file\" /etc/$file || exit 98
        done
        exec \"$0\" --exact probe_resolve::within --ignored --nocapture";
    let mut command = Command::new(unshare[0]);
    command.args(&unshare[1..]).args(["sh", "-c", script]);
    command.arg(std::env::current_exe().expect("this program")).env(FILES, files.path());
    let ran = Ran::of(command);
    let text = String::from_utf8_lossy(&ran.output.stdout).into_owned();
    // A name that is misspelt here would run no test, and pass.
    assert!(text.contains("test result: ok. 1 passed"), "{text}\n{ran:?}");
}

#[test]
#[ignore = "runs within the namespaces that another test makes"]
fn within() {
    let Some(files) = std::env::var_os(FILES) else { return };
    let here = Here { files: PathBuf::from(files) };
    hosts_file(&here);
    search_domains(&here);
    families(&here);
    dead_name_servers(&here);
    silence(&here);
    what_is_asked_of_the_machine(&here);
}

/// A machine.
struct Here {
    files: PathBuf,
}

impl Here {
    /// The machine has these files from here on.
    fn has(&self, hosts: &str, resolv_conf: &str) -> &Self {
        // Written in place, since it is these files that stand in for the others.
        fs::write(self.files.join("hosts"), hosts).expect("a file");
        fs::write(self.files.join("resolv.conf"), resolv_conf).expect("a file");
        assert_eq!(fs::read(Path::new("/etc/hosts")).expect("a file"), hosts.as_bytes());
        self
    }

    #[track_caller]
    fn probe(&self, code: i32, args: &[&str]) -> Value {
        // Nothing is fed, so no store is needed: to who is root here only, none is
        // safe enough.
        let mut cb = Command::new(binary());
        plain(&mut cb);
        cb.env("HOME", &self.files).args(["probe", "--json"]).args(args);
        let ran = Ran::of(cb).code(code);
        serde_json::from_slice(&ran.output.stdout).expect("JSON")
    }

    /// A probe of a port of this name uses this address.
    #[track_caller]
    fn finds(&self, name: &str, options: &[&str], at: SocketAddr) {
        let to = format!("{name}:{}", at.port());
        let report = self.probe(0, &[&["--tcp", &to], options].concat());
        assert_eq!(report["address"], at.to_string(), "{report}");
    }

    /// A probe of a port of this name ends while it looks for the name, with this.
    #[track_caller]
    fn fails(&self, name: &str, options: &[&str], why: &str) -> Value {
        let to = format!("{name}:1");
        let report = self.probe(1, &[&["--tcp", &to], options].concat());
        assert_eq!((&report["found"], &report["failed_phase"]), (&why.into(), &"dns".into()));
        report
    }
}

/// 127.0.0.LAST, where name servers listen.
fn port_53(last: u8) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 53))
}

fn knows_some(name: &str, kind: &str) -> Reply {
    match (name, kind) {
        ("web.corp.example" | "both.example", "A") => addresses(&["127.0.0.1"]),
        ("six.example" | "both.example", "AAAA") => addresses(&["::1"]),
        ("long.example", "A") => Reply::ByTcpOnly(vec![Record::address("127.0.0.1")]),
        ("web.corp.example" | "six.example", _) => Reply::Records(Vec::new()),
        _ => Reply::Code(3),
    }
}

fn hosts_file(here: &Here) {
    let web = Server::start(|_| async {});
    // There is no name server to ask.
    here.has("127.0.0.1\tlocalhost\n127.0.0.1 Web.Example web # ours\n", "");
    here.finds("web", &[], web.address());
    here.finds("web.example", &[], web.address());
    here.finds("WEB.example.", &[], web.address());
    here.finds("localhost", &[], web.address());
    here.has("", "");
    here.finds("localhost", &["-4"], web.address());
    let pin = format!("gone.example:{}:127.0.0.1", web.port());
    here.finds("gone.example", &["--resolve", &pin], web.address());
    let why = "no name server answered for web (127.0.0.1:53: connection refused)";
    here.fails("web", &[], why);
}

fn search_domains(here: &Here) {
    let web = HttpServer::new();
    let names = NameServer::at(port_53(1), knows_some);
    here.has("", "search lab.example corp.example\nnameserver 127.0.0.1\n");
    here.finds("web", &[], web.address());
    here.finds("web.corp.example", &[], web.address());
    here.has("", "search example\noptions ndots:2\n");
    here.finds("web.corp", &[], web.address());
    here.finds("long.example", &["-4"], web.address());
    assert!(names.asked().iter().any(|asked| asked.by == "tcp"));
    let url = format!("http://web.corp.example:{}/", web.address().port());
    let report = here.probe(0, &["--http", &url]);
    assert_eq!(report["address"], web.address().to_string());
    assert_eq!(
        web.last().host.as_deref(),
        url.strip_prefix("http://").map(|it| &it[..it.len() - 1])
    );
    let gone = "no such host: gone.example (the name servers say it does not exist)";
    here.fails("gone.example", &[], gone);
}

fn families(here: &Here) {
    let _names = NameServer::at(port_53(1), knows_some);
    here.has("", "");
    let both = here.probe(1, &["--tcp", "both.example:1", "-4"]);
    assert_eq!(both["address"], "127.0.0.1:1");
    here.fails("six.example", &["-4"], "six.example has no IPv4 address");
    here.fails("web.corp.example", &["-6"], "web.corp.example has no IPv6 address");
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        not_here("there is no IPv6 here");
        return;
    }
    let six = Server::start_at("[::1]:0".parse().expect("an address"), |_| async {});
    here.finds("six.example", &[], six.address());
    here.finds("both.example", &["-6"], six.address());
    // Nobody listens on its other address.
    here.finds("both.example", &[], six.address());
    here.has("::1 web.corp.example\n", "");
    here.finds("web.corp.example", &["-6"], six.address());
}

fn dead_name_servers(here: &Here) {
    let web = Server::start(|_| async {});
    let good = NameServer::at(port_53(1), knows_some);
    let silent = NameServer::at(port_53(2), |_, _| Reply::Silence);
    let failing = NameServer::at(port_53(3), |_, _| Reply::Code(2));
    // Nobody is at 127.0.0.4.
    for first in [silent.address().ip(), failing.address().ip(), port_53(4).ip()] {
        let resolv_conf = format!("nameserver {first}\nnameserver {}\n", good.address().ip());
        here.has("", &resolv_conf).finds("web.corp.example", &[], web.address());
        let gone = "no such host: gone.example (the name servers say it does not exist)";
        here.fails("gone.example", &[], gone);
    }
    assert!(!silent.asked().is_empty() && !failing.asked().is_empty());
    // The first that answers is believed: nobody else is asked.
    let asked = failing.asked().len();
    here.has("", "nameserver 127.0.0.1\nnameserver 127.0.0.3\n");
    here.finds("web.corp.example", &[], web.address());
    assert_eq!(failing.asked().len(), asked);
}

fn silence(here: &Here) {
    let _silent = NameServer::at(port_53(2), |_, _| Reply::Silence);
    let _failing = NameServer::at(port_53(3), |_, _| Reply::Code(2));
    here.has("", "nameserver 127.0.0.2\noptions attempts:1\n");
    let why = "no name server answered for x.example (127.0.0.2:53: no answer)";
    here.fails("x.example", &[], why);
    let report = here.fails("x.example", &["--timeout", "200ms"], "no answer within 200ms");
    assert_eq!(report["timed_out"], true);
    here.has("", "nameserver 127.0.0.3\nnameserver 127.0.0.4\n");
    let why = "cannot look up x.example: the name server 127.0.0.3:53 answered SERVFAIL";
    here.fails("x.example", &[], why);
}

fn what_is_asked_of_the_machine(here: &Here) {
    let names = NameServer::at(port_53(1), knows_some);
    here.has("127.0.0.9 web.corp.example names\n127.0.0.1 names\n", "");
    let report = here.probe(0, &["--dns", "web.corp.example"]);
    // Not what the hosts file says: a name server is asked.
    assert_eq!(report["found"], "127.0.0.1");
    assert_eq!(report["address"], "127.0.0.1:53");
    let by_name = here.probe(0, &["--dns", "six.example@names", "--record", "AAAA"]);
    assert_eq!(by_name["found"], "::1");
    let gone = here.probe(1, &["--dns", "gone.example"]);
    assert_eq!(gone["found"], "NXDOMAIN: there is no name gone.example");
    assert!(names.asked().iter().all(|asked| asked.name != "names"));
}
