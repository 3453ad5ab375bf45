//! A page of a web server that the test changes while probes look at it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Duration, sleep};

use crate::servers::Server;
use crate::support::eventually;

/// The page, and the server that has it. It says what it is told to, byte for byte.
pub struct Page {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    answer: Mutex<Vec<u8>>,
    pause: Mutex<Duration>,
    held: watch::Sender<bool>,
    looks: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Page {
    /// A page that is well.
    pub fn new() -> Self {
        let shared = Arc::new(Shared {
            answer: Mutex::default(),
            pause: Mutex::default(),
            held: watch::Sender::new(false),
            looks: AtomicUsize::new(0),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let of_server = Arc::clone(&shared);
        let server = Server::start(move |stream| Arc::clone(&of_server).answer(stream));
        let page = Page { server, shared };
        page.says(200);
        page
    }

    /// The same on a server that is down.
    pub fn down() -> Self {
        let page = Page::new();
        page.says(503);
        page
    }

    /// From now on it answers with this status.
    pub fn says(&self, status: u16) {
        self.says_with(status, "", "fine\n");
    }

    /// From now on it answers with this status, these lines of headers and this body.
    pub fn says_with(&self, status: u16, headers: &str, body: &str) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status} So\r\nContent-Length: {length}\r\n{headers}\r\n");
        self.says_bytes(&[head.as_bytes(), body.as_bytes()].concat());
    }

    /// From now on it answers with just this.
    pub fn says_bytes(&self, bytes: &[u8]) {
        *self.shared.answer.lock().expect("not poisoned") = bytes.to_vec();
    }

    /// From now on it takes so long for each answer.
    pub fn takes_ms(&self, ms: u64) {
        *self.shared.pause.lock().expect("not poisoned") = Duration::from_millis(ms);
    }

    /// Keeps all answers back, until [`Page::lets_go`].
    pub fn holds(&self) {
        self.shared.held.send_replace(true);
    }

    /// Gives the answers that were kept back, and those to come.
    pub fn lets_go(&self) {
        self.shared.held.send_replace(false);
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/", self.server.address())
    }

    /// How often it was asked for.
    pub fn looks(&self) -> usize {
        self.shared.looks.load(Ordering::SeqCst)
    }

    /// How many asked for it at once, at most.
    pub fn most_at_once(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }

    /// Waits until it was asked for so many times more.
    #[track_caller]
    pub fn is_seen_more(&self, times: usize) {
        let before = self.looks();
        eventually("the page is asked for", || self.looks() >= before + times);
    }
}

impl Shared {
    async fn answer(self: Arc<Self>, mut stream: TcpStream) {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            match stream.read_buf(&mut request).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
        }
        self.looks.fetch_add(1, Ordering::SeqCst);
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let pause = *self.pause.lock().expect("not poisoned");
        if !pause.is_zero() {
            sleep(pause).await;
        }
        let mut held = self.held.subscribe();
        // Whoever was cut short meanwhile waits no more.
        let mut byte = [0];
        tokio::select! {
            _ = held.wait_for(|held| !held) => {}
            _ = stream.read(&mut byte) => {}
        }
        // Before the answer: whoever has it may come again.
        self.now.fetch_sub(1, Ordering::SeqCst);
        let answer = self.answer.lock().expect("not poisoned").clone();
        let _ = stream.write_all(&answer).await;
        let _ = stream.shutdown().await;
    }
}
