//! Probes of names.

use super::told::{fails, found, told};
use crate::servers::dns::{NameServer, Record, Reply, addresses};
use crate::servers::faults::closed_port;
use crate::support::Cb;

fn knows(name: &str, kind: &str) -> Reply {
    let one = |record: Record| Reply::Records(vec![record]);
    match (name, kind) {
        ("pay.example", "A") => addresses(&["192.0.2.1", "192.0.2.2"]),
        ("pay.example", "AAAA") => addresses(&["2001:db8::1"]),
        ("pay.example", "MX") => one(Record::mx(10, "mail.example")),
        ("pay.example", "NS") => one(Record::name("NS", "ns.example")),
        ("pay.example", "TXT") => one(Record::txt(b"v=spf1 \x1b[2J\xff")),
        ("www.example", "CNAME") => one(Record::name("CNAME", "pay.example")),
        ("_pay._tcp.example", "SRV") => one(Record::srv(443, "pay.example")),
        ("1.2.0.192.in-addr.arpa", "PTR") => one(Record::name("PTR", "pay.example")),
        ("long.example", "A") => Reply::ByTcpOnly(vec![Record::address("192.0.2.3")]),
        ("forged.example", "A") => Reply::AfterForgeries(vec![Record::address("192.0.2.4")]),
        ("broken.example", _) => Reply::Code(2),
        ("refused.example", _) => Reply::Code(5),
        ("short.example", _) => Reply::Bytes(vec![0x81]),
        ("loop.example", _) => {
            // The name of the answer points at itself.
            let head = [0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
            Reply::Bytes(
                [&head[..], b"\x04loop\x07example\0\0\x01\0\x01", &[0xc0, 30, 0, 1, 0, 1]].concat(),
            )
        }
        ("pay.example", _) => Reply::Records(Vec::new()),
        _ => Reply::Code(3),
    }
}

#[test]
fn types_of_record_and_the_answer_that_is_expected() {
    let (cb, names) = (Cb::new(), NameServer::new(knows));
    let at = |name: &str| format!("{name}@{}", names.address());
    let finds = |name: &str, record: &str, expected: &str, words: &str| {
        let base = ["--dns", &at(name), "--record", record, "--expect-answer", expected];
        let report = told(&cb, 0, base);
        assert_eq!((found(&report), &report["dns"]["answers"][0]), (words, &words.into()));
    };
    let plain = told(&cb, 0, ["dns", "--dns", &at("pay.example")]);
    assert_eq!(found(&plain), "192.0.2.1, 192.0.2.2");
    assert_eq!(plain["address"], names.address().to_string());
    assert_eq!(plain["dns"]["answers"].as_array().map(Vec::len), Some(2));
    told(&cb, 0, ["--dns", &at("pay.example"), "--expect-answer", "192.0.2.2"]);
    finds("pay.example", "AAAA", "2001:DB8::0:1", "2001:db8::1");
    finds("pay.example", "MX", "10 mail.example.", "10 mail.example");
    finds("pay.example", "ns", "NS.example", "ns.example");
    finds("www.example", "CNAME", "pay.example", "pay.example");
    finds("_pay._tcp.example", "SRV", "1 2 443 pay.example", "1 2 443 pay.example");
    finds("192.0.2.1", "PTR", "pay.example", "pay.example");
    let missing = "192.0.2.9 is not among the answers: 192.0.2.1, 192.0.2.2";
    fails(&cb, &["--dns", &at("pay.example"), "--expect-answer", "192.0.2.9"], "dns", missing);
    let none = "pay.example has no SOA record";
    fails(&cb, &["--dns", &at("pay.example"), "--record", "SOA"], "dns", none);
}

#[test]
fn what_name_servers_say_instead() {
    let (cb, names) = (Cb::new(), NameServer::new(knows));
    let why = |name: &str, why: &str| {
        fails(&cb, &["--dns", &format!("{name}@{}", names.address())], "dns", why)
    };
    why("gone.example", "NXDOMAIN: there is no name gone.example");
    why("broken.example", "SERVFAIL: the name server failed");
    why("refused.example", "REFUSED");
    let escaped =
        cb.run(["probe", "--dns", &format!("pay.example@{}", names.address()), "--record", "TXT"]);
    assert!(!escaped.code(0).stdout_text().trim_end().contains(char::is_control));
}

#[test]
fn a_long_answer_comes_by_tcp_and_forged_ones_are_passed_over() {
    let (cb, names) = (Cb::new(), NameServer::new(knows));
    let at = |name: &str| format!("{name}@{}", names.address());
    assert_eq!(found(&told(&cb, 0, ["--dns", &at("long.example")])), "192.0.2.3");
    assert!(names.asked().iter().any(|asked| asked.by == "tcp"));
    assert_eq!(found(&told(&cb, 0, ["--dns", &at("forged.example")])), "192.0.2.4");
}

#[test]
fn nonsense_and_nobody_there() {
    let (cb, names) = (Cb::new(), NameServer::new(knows));
    for name in ["short.example", "loop.example"] {
        told(&cb, 1, ["--dns", &format!("{name}@{}", names.address())]);
    }
    let dead = closed_port();
    let report = fails(&cb, &["--dns", &format!("pay.example@{dead}")], "dns", "did not answer");
    assert!(found(&report).contains("connection refused"), "{report}");
    assert_eq!(report["address"], dead.to_string());
}

#[test]
fn the_config_file_names_it_too() {
    let names = NameServer::new(knows);
    let cb = Cb::new().config(&format!(
        "[breaker.dns.probe]\ndns = \"pay.example@{}\"\nrecord = \"AAAA\"\nexpect_answer = \"2001:db8::1\"\n",
        names.address()
    ));
    told(&cb, 0, ["dns"]);
    told(&cb, 1, ["dns", "--record", "A"]);
    assert_eq!((cb.total("dns", "succeeded"), cb.total("dns", "failed")), (1, 1));
}
