//! Servers that go wrong in the ways that networks do.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream as StdStream};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::Server;

/// What happens to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The connection is reset.
    Reset,
    /// Nothing more comes.
    Stall,
    /// The server's side is closed; the client may still write.
    HalfClose,
    /// A byte comes every so often.
    Drip(Duration),
}

/// A proxy in front of a server, that passes everything on but lets this happen
/// once so many bytes of an answer have come.
pub fn proxy(to: SocketAddr, fault: Fault, after: usize) -> Server {
    Server::start(move |client| async move {
        if let Ok(server) = TcpStream::connect(to).await {
            pass(client, server, fault, after).await;
        }
    })
}

async fn pass(client: TcpStream, server: TcpStream, fault: Fault, mut after: usize) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
        from_client
    });
    let mut buffer = vec![0; 16 << 10];
    while after > 0 {
        let len = buffer.len().min(after);
        let Ok(len @ 1..) = from_server.read(&mut buffer[..len]).await else { return };
        if to_client.write_all(&buffer[..len]).await.is_err() {
            return;
        }
        after -= len;
    }
    match fault {
        Fault::Reset => {
            asking.abort();
            let _ = to_client.as_ref().set_zero_linger();
        }
        Fault::Stall => std::future::pending().await,
        Fault::HalfClose => {
            let _ = to_client.shutdown().await;
            let _ = asking.await;
        }
        Fault::Drip(every) => {
            while let Ok(1) = from_server.read(&mut buffer[..1]).await {
                sleep(every).await;
                if to_client.write_all(&buffer[..1]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Accepts, reads what comes, and says nothing.
pub fn silent() -> Server {
    Server::start(|mut stream| async move {
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
}

/// Accepts and closes at once.
pub fn closing() -> Server {
    Server::start(|mut stream| async move {
        let _ = stream.shutdown().await;
        // Closed with something unread, it would be a reset.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    })
}

/// Accepts and resets at once.
pub fn resetting() -> Server {
    Server::start(|stream| async move {
        let _ = stream.set_zero_linger();
    })
}

/// Answers whatever comes with these bytes, and closes.
pub fn answering(bytes: &'static [u8]) -> Server {
    Server::start(move |mut stream| async move {
        let mut buffer = [0; 4096];
        if stream.read(&mut buffer).await.is_ok() {
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            // Closed with something unread, it would be a reset.
            let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
    })
}

/// A port whose queue is full, so that nobody answers to whoever connects.
pub struct BlackHole {
    address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<StdStream>,
}

impl BlackHole {
    pub fn new() -> Self {
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        listen(&listener, 0).expect("a listener");
        let address = getsockname(&listener).expect("bound").try_into().expect("an IP address");
        // Those that still fit.
        let mut queue = Vec::new();
        while let Ok(stream) = StdStream::connect_timeout(&address, Duration::from_millis(300)) {
            queue.push(stream);
            assert!(queue.len() < 100, "the queue has an end");
        }
        BlackHole { address, _listener: listener.into(), _queue: queue }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// A port on 127.0.0.1 where nobody listens: it was free a moment ago.
pub fn closed_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|it| it.local_addr()).expect("a port")
}
