//! A question to a name server: whether a name has records of a type, and the one
//! that is expected. The name is taken as it is: no search domain, no hosts file.

use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

use super::{Detail, Found, Spec, Verdict};
use crate::model::text::excerpt;
use crate::net::resolve::ask::{Answer, Failure, ask, code};
use crate::net::resolve::{addresses, name, name_servers};
use crate::net::{Net, Phase, Trace, Trouble};
use crate::probe::spec::Dns;

/// Every server is asked so often.
const ROUNDS: u32 = 2;
/// More answers are not kept, nor more characters of one.
const ANSWERS_MAX: usize = 32;
const ANSWER_CHARS_MAX: usize = 1024;
/// So many are named in a line.
const SHOWN_MAX: usize = 4;
const SHOWN_CHARS_MAX: usize = 80;

/// Asks.
pub(super) async fn look(
    dns: &Dns,
    spec: &Spec,
    net: &Net,
    trace: &Trace,
) -> Result<Found, Trouble> {
    trace.enter(Phase::Dns);
    let record: RecordType = dns.record.to_ascii_uppercase().parse().map_err(|_| {
        Trouble::Unknown(format!("{} is not a type of record", excerpt(&dns.record, 20)))
    })?;
    let name = asked_name(&dns.name, record)
        .ok_or_else(|| Trouble::Unknown(format!("{} is not a name", excerpt(&dns.name, 80))))?;
    let servers = match &dns.server {
        Some(at) => {
            let found = addresses(net, at, &spec.route).await?;
            found.into_iter().map(|ip| SocketAddr::new(ip, at.port)).collect()
        }
        None => name_servers(net)?,
    };
    if let [server] = servers[..] {
        trace.use_address(server);
    }
    match ask(&servers, &Query::query(name, record), ROUNDS).await {
        Ok(answer) => {
            trace.use_address(answer.from);
            Ok(judge(dns, record, &answer))
        }
        Err(Failure::Refusal(answer)) => {
            trace.use_address(answer.from);
            Ok(unhealthy(refusal(answer.message.metadata.response_code)))
        }
        Err(Failure::Silence(why)) => {
            let who = if servers.len() == 1 { "the name server" } else { "no name server" };
            let verb = if servers.len() == 1 { "did not answer" } else { "answered" };
            Err(Trouble::Unhealthy(format!("{who} {verb} ({why})")))
        }
        Err(Failure::Ours(why)) => Err(Trouble::Unknown(why)),
    }
}

/// The name to ask for; of an address, the one that has its name.
fn asked_name(text: &str, record: RecordType) -> Option<Name> {
    match text.parse::<IpAddr>() {
        Ok(address) if record == RecordType::PTR => Some(Name::from(address)),
        _ => name(text),
    }
}

fn judge(dns: &Dns, record: RecordType, answer: &Answer) -> Found {
    let message = &answer.message;
    if message.metadata.response_code == ResponseCode::NXDomain {
        return unhealthy(format!("NXDOMAIN: there is no name {}", dns.name));
    }
    let of_type = || message.answers.iter().filter(|it| it.record_type() == record);
    let answers: Vec<String> =
        of_type().take(ANSWERS_MAX).map(|answer| text(&answer.data)).collect();
    if answers.is_empty() {
        return unhealthy(format!("{} has no {record} record", dns.name));
    }
    let is_there = |expected: &str| of_type().any(|it| says(&text(&it.data), expected, record));
    let mut found = match &dns.expected {
        Some(expected) if !is_there(expected) => {
            let answers = shown(&answers);
            unhealthy(format!("{expected} is not among the answers: {answers}"))
        }
        _ => Found::healthy(shown(&answers)),
    };
    found.detail = Detail { answers: Some(answers), ..Detail::default() };
    found
}

/// What a record has, as text, without the last dot of a name.
fn text(data: &RData) -> String {
    let text = data.to_string();
    let text = match data {
        RData::TXT(_) => &text,
        _ => text.strip_suffix('.').unwrap_or(&text),
    };
    text.chars().take(ANSWER_CHARS_MAX).collect()
}

/// Whether an answer is the one that is expected. Addresses have several ways to
/// be written; names are the same in capital letters.
fn says(answer: &str, expected: &str, record: RecordType) -> bool {
    match (answer.parse::<IpAddr>(), expected.parse::<IpAddr>()) {
        (Ok(answer), Ok(expected)) => answer == expected,
        _ if record == RecordType::TXT => answer == expected,
        _ => answer.eq_ignore_ascii_case(expected.strip_suffix('.').unwrap_or(expected)),
    }
}

fn shown(answers: &[String]) -> String {
    let mut words: Vec<String> = answers.iter().take(SHOWN_MAX).map(|it| cut(it)).collect();
    if answers.len() > SHOWN_MAX {
        words.push(format!("{} more", answers.len() - SHOWN_MAX));
    }
    words.join(", ")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

fn refusal(answered: ResponseCode) -> String {
    let why = match answered {
        ResponseCode::ServFail => "the name server failed",
        ResponseCode::Refused => "the name server does not answer us",
        ResponseCode::FormErr => "the name server does not understand the question",
        ResponseCode::NotImp => "the name server does not know how to answer",
        _ => "the name server cannot tell",
    };
    format!("{}: {why}", code(answered))
}

fn unhealthy(words: String) -> Found {
    Found { verdict: Verdict::Unhealthy, ..Found::healthy(words) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::servers::dns::{NameServer, Record, Reply, addresses};
    use crate::net::{Endpoint, Route, TlsOptions};
    use crate::probe::What;

    /// Asks this server.
    async fn asked(server: &NameServer, name: &str, record: &str, expected: &str) -> Found {
        let at = server.address();
        let dns = Dns {
            name: name.to_owned(),
            server: Some(Endpoint { host: at.ip().to_string(), port: at.port() }),
            record: record.to_owned(),
            expected: (!expected.is_empty()).then(|| expected.to_owned()),
        };
        let spec = Spec {
            what: What::Dns(dns.clone()),
            timeout: Duration::from_secs(5),
            route: Route::default(),
            tls: TlsOptions::default(),
        };
        let trace = Trace::default();
        match look(&dns, &spec, &Net::default(), &trace).await {
            Ok(found) => {
                assert_eq!(trace.address(), Some(at.to_string()));
                found
            }
            Err(Trouble::Unhealthy(why)) => unhealthy(format!("broken: {why}")),
            Err(Trouble::Unknown(why)) => {
                Found { verdict: Verdict::Unknown, ..Found::healthy(why) }
            }
        }
    }

    #[track_caller]
    fn check(found: &Found, verdict: Verdict, words: &str) {
        assert_eq!((found.verdict, found.words.as_str()), (verdict, words));
    }

    fn knows(name: &str, kind: &str) -> Reply {
        let records = |records: &[Record]| Reply::Records(records.to_vec());
        match (name, kind) {
            ("x.example", "A") => addresses(&["192.0.2.1", "192.0.2.2"]),
            ("x.example", "AAAA") => addresses(&["2001:db8::1"]),
            ("alias.example", "A") => {
                records(&[Record::name("CNAME", "x.example"), Record::address("192.0.2.1")])
            }
            ("many.example", "A") => addresses(&["192.0.2.1"; 40]),
            ("x.example", "MX") => records(&[Record::mx(10, "mail.example")]),
            ("x.example", "TXT") => records(&[Record::txt(b"say \x1b[31m\xff")]),
            ("_x._tcp.example", "SRV") => records(&[Record::srv(80, "x.example")]),
            ("1.2.0.192.in-addr.arpa", "PTR") => records(&[Record::name("PTR", "x.example")]),
            ("refused.example", _) => Reply::Code(5),
            ("failed.example", _) => Reply::Code(2),
            ("odd.example", _) => Reply::Code(9),
            ("x.example", _) => Reply::Records(Vec::new()),
            _ => Reply::Code(3),
        }
    }

    #[tokio::test]
    async fn answers_are_told_and_can_be_expected() {
        let server = NameServer::new(knows);
        let at = async |name, record, expected| asked(&server, name, record, expected).await;
        let found = at("x.example", "A", "").await;
        check(&found, Verdict::Healthy, "192.0.2.1, 192.0.2.2");
        let answers = ["192.0.2.1", "192.0.2.2"].map(str::to_owned).to_vec();
        assert_eq!(found.detail.answers, Some(answers));
        check(&at("x.example.", "a", "192.0.2.2").await, Verdict::Healthy, "192.0.2.1, 192.0.2.2");
        let found = at("x.example", "A", "192.0.2.3").await;
        let missing = "192.0.2.3 is not among the answers: 192.0.2.1, 192.0.2.2";
        check(&found, Verdict::Unhealthy, missing);
        assert!(found.detail.answers.is_some());
        let same = at("x.example", "AAAA", "2001:DB8:0::1").await;
        check(&same, Verdict::Healthy, "2001:db8::1");
    }

    #[tokio::test]
    async fn each_type_of_record_is_read() {
        let server = NameServer::new(knows);
        let at = async |name, record, expected| asked(&server, name, record, expected).await;
        // The alias leads there, and is no address.
        check(&at("alias.example", "A", "").await, Verdict::Healthy, "192.0.2.1");
        let mx = "10 mail.example";
        check(&at("x.example", "MX", "10 MAIL.example.").await, Verdict::Healthy, mx);
        let srv = "1 2 80 x.example";
        check(&at("_x._tcp.example", "SRV", srv).await, Verdict::Healthy, srv);
        check(&at("192.0.2.1", "PTR", "x.example.").await, Verdict::Healthy, "x.example");
        let txt = "say \u{1b}[31m\u{fffd}";
        check(&at("x.example", "TXT", txt).await, Verdict::Healthy, txt);
    }

    #[tokio::test]
    async fn there_is_a_bound_on_answers() {
        let server = NameServer::new(knows);
        let found = asked(&server, "many.example", "A", "").await;
        assert_eq!(found.detail.answers.unwrap().len(), ANSWERS_MAX);
        assert_eq!(found.words, "192.0.2.1, 192.0.2.1, 192.0.2.1, 192.0.2.1, 28 more");
    }

    #[tokio::test]
    async fn what_is_not_there_says_why() {
        let server = NameServer::new(knows);
        let why = async |name, record| {
            let found = asked(&server, name, record, "").await;
            assert_eq!(found.verdict, Verdict::Unhealthy);
            found.words
        };
        assert_eq!(why("y.example", "A").await, "NXDOMAIN: there is no name y.example");
        assert_eq!(why("x.example", "NS").await, "x.example has no NS record");
        let refused = "REFUSED: the name server does not answer us";
        assert_eq!(why("refused.example", "A").await, refused);
        assert_eq!(why("failed.example", "A").await, "SERVFAIL: the name server failed");
        assert_eq!(why("odd.example", "A").await, "code 9: the name server cannot tell");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_breaks_it_and_a_bad_question_says_nothing() {
        let server = NameServer::new(knows);
        let found = asked(&server, "x..example", "A", "").await;
        check(&found, Verdict::Unknown, "x..example is not a name");
        let found = asked(&server, "x.example", "B", "").await;
        check(&found, Verdict::Unknown, "B is not a type of record");
        let at = server.address();
        drop(server);
        let dns = Dns {
            name: "x.example".to_owned(),
            server: Some(Endpoint { host: at.ip().to_string(), port: at.port() }),
            record: "A".to_owned(),
            expected: None,
        };
        let spec = Spec {
            what: What::Dns(dns.clone()),
            timeout: Duration::from_secs(5),
            route: Route::default(),
            tls: TlsOptions::default(),
        };
        let trace = Trace::default();
        let found = look(&dns, &spec, &Net::default(), &trace).await;
        let why = format!("the name server did not answer ({at}: connection refused)");
        assert_eq!(found, Err(Trouble::Unhealthy(why)));
        assert_eq!((trace.phase(), trace.address()), (Some(Phase::Dns), Some(at.to_string())));
    }
}
