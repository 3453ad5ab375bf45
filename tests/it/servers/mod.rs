//! Real servers on loopback for the tests. Each has a thread and a runtime of its
//! own, listens on a port that was free, and ends when it is dropped.

pub mod certs;
pub mod dns;
pub mod faults;
pub mod grpc;
pub mod http;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// A connection, by TLS or not.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A server.
pub struct Server {
    /// None for a socket in the file system.
    address: Option<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// A server on 127.0.0.1 that does this with each connection.
    pub fn start<Task>(serve: impl Fn(TcpStream) -> Task + Send + 'static) -> Self
    where
        Task: Future<Output = ()> + Send + 'static,
    {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), serve)
    }

    /// The same on this address.
    pub fn start_at<Task>(
        address: SocketAddr,
        serve: impl Fn(TcpStream) -> Task + Send + 'static,
    ) -> Self
    where
        Task: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).expect("the address is free");
        let address = listener.local_addr().expect("bound");
        listener.set_nonblocking(true).expect("a socket");
        let (stop, mut stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            run(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                loop {
                    tokio::select! {
                        // Dropping the sender ends it as well.
                        _ = &mut stopped => return,
                        Ok((stream, _)) = listener.accept() => {
                            let _ = stream.set_nodelay(true);
                            tokio::spawn(serve(stream));
                        }
                    }
                }
            });
        });
        Server { address: Some(address), stop: Some(stop), thread: Some(thread) }
    }

    /// The same on a socket in the file system.
    pub fn start_unix<Task>(
        path: &Path,
        serve: impl Fn(UnixStream) -> Task + Send + 'static,
    ) -> Self
    where
        Task: Future<Output = ()> + Send + 'static,
    {
        let listener = UnixListener::bind(path).expect("the path is free");
        listener.set_nonblocking(true).expect("a socket");
        let (stop, mut stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            run(async move {
                let listener = tokio::net::UnixListener::from_std(listener).expect("a listener");
                loop {
                    tokio::select! {
                        _ = &mut stopped => return,
                        Ok((stream, _)) = listener.accept() => {
                            tokio::spawn(serve(stream));
                        }
                    }
                }
            });
        });
        Server { address: None, stop: Some(stop), thread: Some(thread) }
    }

    /// The same with the connections that a handshake was made on, where there is
    /// TLS; those that it failed on are closed.
    pub fn start_tls<Task>(
        tls: Option<Arc<ServerConfig>>,
        serve: impl Fn(Box<dyn Connection>) -> Task + Clone + Send + Sync + 'static,
    ) -> Self
    where
        Task: Future<Output = ()> + Send + 'static,
    {
        let tls = tls.map(TlsAcceptor::from);
        Self::start(move |stream| {
            let (tls, serve) = (tls.clone(), serve.clone());
            async move {
                match tls {
                    None => serve(Box::new(stream)).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(Box::new(stream)).await;
                        }
                    }
                }
            }
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("it listens on an address")
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address().port()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(task: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // The tasks of connections end with the runtime.
    runtime.block_on(task);
}
