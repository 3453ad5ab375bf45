//! A name server on loopback, by UDP and TCP, that answers as it is told. It
//! speaks the protocol by itself, so that it errs in nothing together with cb.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The numbers of the types of records.
pub const TYPES: [(&str, u16); 9] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
];

/// One record of an answer.
#[derive(Clone, Debug)]
pub struct Record {
    kind: u16,
    data: Vec<u8>,
}

impl Record {
    /// An address, of type A or AAAA.
    pub fn address(address: &str) -> Self {
        match address.parse().expect("an address") {
            IpAddr::V4(v4) => Record { kind: 1, data: v4.octets().to_vec() },
            IpAddr::V6(v6) => Record { kind: 28, data: v6.octets().to_vec() },
        }
    }

    /// A name, of type CNAME, NS or PTR.
    pub fn name(kind: &str, name: &str) -> Self {
        Record { kind: number(kind), data: encoded(name) }
    }

    /// A mail server.
    pub fn mx(preference: u16, name: &str) -> Self {
        let data = [&preference.to_be_bytes()[..], &encoded(name)].concat();
        Record { kind: number("MX"), data }
    }

    /// Where a service is.
    pub fn srv(port: u16, name: &str) -> Self {
        let data = [&[0, 1, 0, 2][..], &port.to_be_bytes(), &encoded(name)].concat();
        Record { kind: number("SRV"), data }
    }

    /// A text of up to 255 bytes.
    pub fn txt(text: &[u8]) -> Self {
        let len = u8::try_from(text.len()).expect("a short text");
        Record { kind: number("TXT"), data: [&[len][..], text].concat() }
    }
}

/// What a name server does with a question.
#[derive(Clone, Debug)]
pub enum Reply {
    /// It answers with these; no record says that there is none of this type.
    Records(Vec<Record>),
    /// It answers with a code: 2 is SERVFAIL, 3 NXDOMAIN, 5 REFUSED.
    Code(u8),
    /// By UDP it says that the answer does not fit; by TCP it answers.
    ByTcpOnly(Vec<Record>),
    /// It does not answer.
    Silence,
    /// It sends these bytes behind the question's id.
    Bytes(Vec<u8>),
    /// First an answer with another id, another question and no answer at all,
    /// then one with these.
    AfterForgeries(Vec<Record>),
}

/// The addresses of a name, as a reply.
pub fn addresses(addresses: &[&str]) -> Reply {
    Reply::Records(addresses.iter().map(|it| Record::address(it)).collect())
}

/// A question that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The name, without the last dot.
    pub name: String,
    /// The type of record.
    pub kind: &'static str,
    /// "udp", "tcp".
    pub by: &'static str,
}

type Rule = dyn Fn(&str, &str) -> Reply + Send + Sync;

/// A name server; it ends when it is dropped.
pub struct NameServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    rule: Box<Rule>,
    asked: Mutex<Vec<Asked>>,
    ends: AtomicBool,
}

impl NameServer {
    /// A name server on 127.0.0.1 that answers a name (in small letters, without
    /// the last dot) and a type of record by this rule.
    pub fn new(rule: impl Fn(&str, &str) -> Reply + Send + Sync + 'static) -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), rule)
    }

    /// The same on this address.
    pub fn at(
        address: SocketAddr,
        rule: impl Fn(&str, &str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        // The same port has to be free for both.
        let sockets = (0..100).find_map(|_| {
            let udp = UdpSocket::bind(address).ok()?;
            let tcp = TcpListener::bind(udp.local_addr().ok()?).ok()?;
            Some((udp, tcp))
        });
        let (udp, tcp) = sockets.expect("the address is free");
        let address = udp.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            rule: Box::new(rule),
            asked: Mutex::new(Vec::new()),
            ends: AtomicBool::new(false),
        });
        let (by_udp, by_tcp) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![
            thread::spawn(move || by_udp.serve_udp(&udp)),
            thread::spawn(move || by_tcp.serve_tcp(&tcp)),
        ];
        NameServer { address, shared, threads }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().expect("not poisoned").clone()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        // Each wakes from its waiting and looks.
        if let Ok(socket) = UdpSocket::bind((self.address.ip(), 0)) {
            let _ = socket.send_to(&[], self.address);
        }
        let _ = TcpStream::connect(self.address);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn serve_udp(&self, socket: &UdpSocket) {
        let mut buffer = [0; 4096];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            if self.ends.load(Ordering::SeqCst) {
                return;
            }
            for answer in self.answers(&buffer[..len], "udp") {
                let _ = socket.send_to(&answer, from);
            }
        }
    }

    fn serve_tcp(&self, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.ends.load(Ordering::SeqCst) {
                return;
            }
            let Ok(mut stream) = stream else { continue };
            let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
            let mut len = [0; 2];
            if stream.read_exact(&mut len).is_err() {
                continue;
            }
            let mut question = vec![0; usize::from(u16::from_be_bytes(len))];
            if stream.read_exact(&mut question).is_err() {
                continue;
            }
            for answer in self.answers(&question, "tcp") {
                let len = u16::try_from(answer.len()).expect("it fits");
                let _ = stream.write_all(&[&len.to_be_bytes()[..], &answer].concat());
            }
        }
    }

    fn answers(&self, message: &[u8], by: &'static str) -> Vec<Vec<u8>> {
        let Some((name, kind, question)) = question(message) else { return Vec::new() };
        self.asked.lock().expect("not poisoned").push(Asked { name: name.clone(), kind, by });
        let id = [message[0], message[1]];
        let whole = |code: u8, records: &[Record]| answer(id, 0, code, question, records);
        match (self.rule)(&name, kind) {
            Reply::Records(records) => vec![whole(0, &records)],
            Reply::Code(code) => vec![whole(code, &[])],
            Reply::ByTcpOnly(records) if by == "tcp" => vec![whole(0, &records)],
            Reply::ByTcpOnly(_) => vec![answer(id, 2, 0, question, &[])],
            Reply::Silence => Vec::new(),
            Reply::Bytes(bytes) => vec![[&id[..], &bytes].concat()],
            Reply::AfterForgeries(records) => {
                let forged = [Record::address("192.0.2.66")];
                let other = [&encoded("other.example")[..], &[0, 1, 0, 1]].concat();
                vec![
                    answer([!id[0], id[1]], 0, 0, question, &forged),
                    answer(id, 0, 0, &other, &forged),
                    b"nonsense".to_vec(),
                    whole(0, &records),
                ]
            }
        }
    }
}

/// The name and the type of the first question, and its bytes.
fn question(message: &[u8]) -> Option<(String, &'static str, &[u8])> {
    let mut labels: Vec<String> = Vec::new();
    let mut at = 12;
    loop {
        let len = usize::from(*message.get(at)?);
        at += 1;
        if len == 0 {
            break;
        }
        let label = message.get(at..at + len)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += len;
    }
    let kind = u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]);
    let name = TYPES.iter().find(|(_, number)| *number == kind).map_or("?", |(name, _)| name);
    Some((labels.join("."), name, message.get(12..at + 4)?))
}

fn answer(id: [u8; 2], flags: u8, code: u8, question: &[u8], records: &[Record]) -> Vec<u8> {
    let mut bytes = id.to_vec();
    // A response to a question that wanted recursion, and recursion is there.
    bytes.extend([0x81 | flags, 0x80 | code, 0, 1]);
    bytes.extend(u16::try_from(records.len()).expect("few").to_be_bytes());
    bytes.extend([0, 0, 0, 0]);
    bytes.extend(question);
    for record in records {
        // The name is that of the question, at byte 12.
        bytes.extend([0xc0, 12]);
        bytes.extend(record.kind.to_be_bytes());
        bytes.extend([0, 1, 0, 0, 0, 60]);
        bytes.extend(u16::try_from(record.data.len()).expect("short").to_be_bytes());
        bytes.extend(&record.data);
    }
    bytes
}

fn number(kind: &str) -> u16 {
    TYPES.iter().find(|(name, _)| *name == kind).expect("a known type").1
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).expect("a short label"));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
