//! One question to name servers: by UDP, again by TCP where the answer did not
//! fit. A server that stays silent for a second is not waited for alone: the next
//! one is asked as well, and whoever answers first is believed.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::error::plain;
use crate::net::connect::words as reason;
use crate::net::has_run_out;

/// After so long without an answer the next name server is asked.
const NEXT_AFTER: Duration = Duration::from_secs(1);
/// After so long without an answer from the last one, nobody will answer.
const LAST_WAIT: Duration = Duration::from_secs(2);
/// More than any answer by UDP has that was not asked for more.
const DATAGRAM_BYTES_MAX: usize = 4096;

/// An answer, and who gave it.
#[derive(Debug)]
pub struct Answer {
    /// What was answered.
    pub message: Message,
    /// By whom.
    pub from: SocketAddr,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// One answered that it cannot or will not tell, and nobody knew more.
    Refusal(Box<Answer>),
    /// Nobody answered: who was asked, and what became of it.
    Silence(String),
    /// Nobody could be asked, for want of something on our side.
    Ours(String),
}

/// Asks the servers in their order, each so many times, until one answers
/// whether the name exists and what it has.
///
/// # Errors
///
/// If none does.
pub async fn ask(servers: &[SocketAddr], query: &Query, rounds: u32) -> Result<Answer, Failure> {
    let mut turns: VecDeque<usize> = (0..rounds).flat_map(|_| 0..servers.len()).collect();
    let mut said: Vec<Said> = servers.iter().map(|_| Said::Nothing).collect();
    // Dropping the set ends the tasks.
    let mut asked = JoinSet::new();
    let mut wait = Box::pin(sleep(Duration::ZERO));
    loop {
        tokio::select! {
            Some(done) = asked.join_next() => {
                let (index, result): (usize, io::Result<Message>) =
                    done.map_err(|e| ours(&io::Error::from(e)))?;
                let from = servers[index];
                said[index] = match result {
                    Ok(message) if tells(&message) => return Ok(Answer { message, from }),
                    Ok(message) => Said::Refusal(Box::new(Answer { message, from })),
                    Err(e) if has_run_out(&e) => return Err(ours(&e)),
                    Err(e) => Said::Broken(e),
                };
                // It would say the same again.
                turns.retain(|turn| *turn != index);
                if turns.is_empty() && !asked.is_empty() {
                    continue;
                }
            }
            () = &mut wait => {}
        }
        let Some(index) = turns.pop_front() else { return Err(failure(servers, said)) };
        let (server, query) = (servers[index], query.clone());
        asked.spawn(async move { (index, ask_one(server, query).await) });
        wait = Box::pin(sleep(if turns.is_empty() { LAST_WAIT } else { NEXT_AFTER }));
    }
}

/// What a code of an answer is called.
pub fn code(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".to_owned(),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        other => format!("code {}", u16::from(other)),
    }
}

/// What became of asking a server.
enum Said {
    Nothing,
    Refusal(Box<Answer>),
    Broken(io::Error),
}

/// Whether an answer says what there is, if only that there is nothing.
fn tells(message: &Message) -> bool {
    matches!(message.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
}

fn ours(error: &io::Error) -> Failure {
    Failure::Ours(format!("cannot ask a name server: {}", plain(error)))
}

fn failure(servers: &[SocketAddr], said: Vec<Said>) -> Failure {
    let mut words = Vec::new();
    for (server, said) in servers.iter().zip(said) {
        words.push(match said {
            Said::Refusal(answer) => return Failure::Refusal(answer),
            Said::Nothing => format!("{server}: no answer"),
            Said::Broken(e) => format!("{server}: {}", reason(&e)),
        });
    }
    Failure::Silence(words.join(", "))
}

async fn ask_one(server: SocketAddr, query: Query) -> io::Result<Message> {
    let mut request = Message::query();
    request.metadata.recursion_desired = true;
    request.add_query(query);
    let bytes = request.to_vec().map_err(io::Error::other)?;
    let answer = by_udp(server, &request, &bytes).await?;
    match answer.metadata.truncation {
        false => Ok(answer),
        true => by_tcp(server, &request, &bytes).await,
    }
}

async fn by_udp(server: SocketAddr, request: &Message, bytes: &[u8]) -> io::Result<Message> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    // Only what comes from there is seen, and a closed port is told.
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let len = socket.recv(&mut buffer).await?;
        // Anybody can send something that is no answer, to be believed instead.
        if let Some(answer) = answer(&buffer[..len], request) {
            return Ok(answer);
        }
    }
}

async fn by_tcp(server: SocketAddr, request: &Message, bytes: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let len = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&[&len.to_be_bytes(), bytes].concat()).await?;
    let mut buffer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut buffer).await?;
    answer(&buffer, request).ok_or_else(|| io::Error::other("what it sent is no answer"))
}

/// The message in these bytes, if it answers this request.
fn answer(bytes: &[u8], request: &Message) -> Option<Message> {
    let answer = Message::from_vec(bytes).ok()?;
    // Who does not understand a question may leave it out.
    let same_question =
        answer.queries == request.queries || answer.queries.is_empty() && !tells(&answer);
    let is_answer = answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == request.metadata.id
        && same_question;
    is_answer.then_some(answer)
}
