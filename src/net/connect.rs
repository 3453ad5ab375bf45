//! Connections: to the address of a host that answers first, or to a socket in the
//! file system.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{Endpoint, Net, Phase, Route, Trace, Trouble, has_run_out, resolve};
use crate::error::plain;

/// An address that does not answer holds up the next one for so long (RFC 8305).
const STAGGER: Duration = Duration::from_millis(250);
/// No more addresses of a host than this are tried.
const ADDRESSES_MAX: usize = 16;
/// So many are told one by one where none answers.
const TOLD_MAX: usize = 3;

/// How long a full socket in the file system is left alone before another try.
const FULL_PAUSE: Duration = Duration::from_millis(5);
/// That pause grows up to this.
const FULL_PAUSE_MAX: Duration = Duration::from_millis(100);
/// The longest path that fits the kernel's `sockaddr_un`, with its end.
const SOCKET_PATH_MAX: usize = 107;

/// Connects to the first address of a host that answers. Addresses of both kinds
/// take turns, each of them a quarter of a second after the one before, or as soon
/// as that failed.
///
/// # Errors
///
/// If the name has no address, or none of them answers.
pub async fn tcp(
    net: &Net,
    to: &Endpoint,
    route: &Route,
    trace: &Trace,
) -> Result<TcpStream, Trouble> {
    trace.enter(Phase::Dns);
    let addresses = resolve::addresses(net, to, route).await?;
    trace.enter(Phase::Connect);
    let turns: VecDeque<SocketAddr> = resolve::take_turns(addresses)
        .into_iter()
        .take(ADDRESSES_MAX)
        .map(|address| SocketAddr::new(address, to.port))
        .collect();
    let stream = match turns.len() {
        // The usual case needs no race.
        1 => {
            trace.use_address(turns[0]);
            one(turns[0]).await.map_err(|failed| trouble(&[failed]))?
        }
        _ => race(turns, trace).await?,
    };
    // What is sent is sent: a handshake ends with a short write, and the request
    // after it would wait for its acknowledgement.
    stream.set_nodelay(true).map_err(|error| Trouble::Unknown(plain(&error)))?;
    Ok(stream)
}

/// Connects to a socket in the file system. One whose queue is full is tried again
/// until the caller gives up.
///
/// # Errors
///
/// If there is no such socket, or nobody listens.
pub async fn unix(path: &Path, trace: &Trace) -> Result<UnixStream, Trouble> {
    trace.enter(Phase::Connect);
    trace.use_address(path.display());
    let len = path.as_os_str().as_bytes().len();
    if len > SOCKET_PATH_MAX {
        let why = format!("the path of a socket has at most {SOCKET_PATH_MAX} bytes, not {len}");
        return Err(Trouble::Unknown(why));
    }
    let mut pause = FULL_PAUSE;
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(stream),
            // Unlike a port, a full socket refuses at once.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(pause).await,
            Err(error) => return Err(unix_trouble(path, &error)),
        }
        pause = (pause * 2).min(FULL_PAUSE_MAX);
    }
}

/// What an error of a connection means, in words for people.
pub fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "connection reset by the server".to_owned(),
        io::ErrorKind::BrokenPipe => "the server closed the connection".to_owned(),
        io::ErrorKind::UnexpectedEof => "the server closed the connection too early".to_owned(),
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::TimedOut => "no answer at all".to_owned(),
        io::ErrorKind::HostUnreachable => "no route to the host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "no route to the network".to_owned(),
        _ if is_forbidden(error) => "refused by a firewall".to_owned(),
        _ => plain(error),
    }
}

/// Whether an error says nothing of the server: no descriptor or memory left here,
/// or no local port.
pub fn is_ours(error: &io::Error) -> bool {
    let no_way = [Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT];
    has_run_out(error)
        || no_way.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Whether somebody forbids it: on the way to a host a firewall, here or there, and
/// for a socket in the file system its mode.
fn is_forbidden(error: &io::Error) -> bool {
    let forbidden = [Errno::ACCESS, Errno::PERM];
    forbidden.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// An address that did not answer, and why.
type Failed = (SocketAddr, io::Error);

async fn one(address: SocketAddr) -> Result<TcpStream, Failed> {
    let stream = TcpStream::connect(address).await.map_err(|error| (address, error))?;
    // A port that is free here and is picked for this side too is a connection to
    // oneself: nobody listens.
    match stream.local_addr() {
        Ok(own) if own == address => Err((address, io::ErrorKind::ConnectionRefused.into())),
        _ => Ok(stream),
    }
}

/// Dropping it ends every connection that is still under way.
async fn race(mut turns: VecDeque<SocketAddr>, trace: &Trace) -> Result<TcpStream, Trouble> {
    let mut under_way = JoinSet::new();
    let mut failed = Vec::new();
    loop {
        if let Some(address) = turns.pop_front() {
            trace.use_address(address);
            under_way.spawn(one(address));
        }
        let next = match turns.is_empty() {
            true => Ok(under_way.join_next().await),
            false => timeout(STAGGER, under_way.join_next()).await,
        };
        match next {
            Ok(Some(Ok(Ok(stream)))) => {
                if let Ok(address) = stream.peer_addr() {
                    trace.use_address(address);
                }
                return Ok(stream);
            }
            Ok(Some(Ok(Err(failure)))) => failed.push(failure),
            // A task that was cancelled; none is.
            Ok(Some(Err(_))) => {}
            Ok(None) if turns.is_empty() => return Err(trouble(&failed)),
            // The next one's turn.
            Ok(None) | Err(_) => {}
        }
    }
}

/// What it comes to that no address answered.
fn trouble(failed: &[Failed]) -> Trouble {
    let why = |(_, error): &Failed| words(error);
    let all_alike = failed.windows(2).all(|pair| why(&pair[0]) == why(&pair[1]));
    let told = failed.iter().take(TOLD_MAX);
    let more = match failed.len().saturating_sub(TOLD_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let text = match failed {
        [] => "no address to connect to".to_owned(),
        [only] => why(only),
        [first, ..] if all_alike => {
            format!("{} ({}{more})", why(first), joined(told.map(|(address, _)| address)))
        }
        _ => joined(told.map(|failure| format!("{}: {}", failure.0, why(failure)))) + &more,
    };
    match failed.iter().all(|(_, error)| is_ours(error)) {
        true => Trouble::Unknown(text),
        false => Trouble::Unhealthy(text),
    }
}

fn joined<T: fmt::Display>(parts: impl Iterator<Item = T>) -> String {
    parts.map(|part| part.to_string()).collect::<Vec<_>>().join(", ")
}

fn unix_trouble(path: &Path, error: &io::Error) -> Trouble {
    if is_ours(error) || is_forbidden(error) {
        return Trouble::Unknown(plain(error));
    }
    let why = match error.kind() {
        io::ErrorKind::NotFound => "there is no such socket".to_owned(),
        // The kernel says the same of a plain file.
        io::ErrorKind::ConnectionRefused if !is_socket(path) => "not a socket".to_owned(),
        io::ErrorKind::ConnectionRefused => "connection refused: nobody listens".to_owned(),
        _ if error.raw_os_error() == Some(Errno::PROTOTYPE.raw_os_error()) => {
            "a socket of another type: it takes no connections".to_owned()
        }
        _ => words(error),
    };
    Trouble::Unhealthy(why)
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::net::{Family, Pin};

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    fn run<T>(it: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(it)
    }

    fn at(host: &str, port: u16) -> Endpoint {
        Endpoint { host: host.to_owned(), port }
    }

    /// Connects to a name with these addresses: the error, and the address in use.
    fn connect(addresses: &[IpAddr], port: u16) -> (Result<(), Trouble>, Option<String>) {
        let to = at("it.test", port);
        let pins = vec![Pin { of: to.clone(), addresses: addresses.to_vec() }];
        let route = Route { family: Family::Any, pins };
        let trace = Trace::default();
        let done = run(tcp(&Net::default(), &to, &route, &trace));
        (done.map(drop), trace.address())
    }

    /// A port on which nobody listens.
    fn dead_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn connects_and_tells_each_phase() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let trace = Trace::default();
        let to = at("127.0.0.1", address.port());
        let stream = run(tcp(&Net::default(), &to, &Route::default(), &trace)).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        assert_eq!(trace.phase(), Some(Phase::Connect));
        assert_eq!(trace.address(), Some(address.to_string()));
        assert_eq!(trace.times().len(), 1);
    }

    #[test]
    fn a_refusal_says_so() {
        let port = dead_port();
        let refused = "connection refused".to_owned();
        assert_eq!(connect(&[V4], port).0, Err(Trouble::Unhealthy(refused)));
    }

    #[test]
    fn an_address_that_fails_gives_way_to_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (done, address) = connect(&[V6, V4], port);
        assert_eq!((done, address), (Ok(()), Some(format!("127.0.0.1:{port}"))));
    }

    #[test]
    fn an_address_that_is_silent_does_not_hold_up_the_next() {
        // A queue that is full answers nothing: as silent as a black hole.
        let full = TcpListener::bind("127.0.0.2:0").unwrap();
        let port = full.local_addr().unwrap().port();
        rustix::net::listen(&full, 0).unwrap();
        let _held: Vec<_> = std::iter::repeat_with(|| {
            std::net::TcpStream::connect_timeout(
                &full.local_addr().unwrap(),
                Duration::from_millis(50),
            )
        })
        .take_while(Result::is_ok)
        .take(100)
        .collect();
        let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let (done, address) = connect(&["127.0.0.2".parse().unwrap(), V4], port);
        assert_eq!((done, address), (Ok(()), Some(format!("127.0.0.1:{port}"))));
    }

    #[test]
    fn where_none_answers_all_are_told_and_many_counted() {
        let port = dead_port();
        let refused =
            |text: String| Err(Trouble::Unhealthy(format!("connection refused ({text})")));
        let two = format!("127.0.0.1:{port}, 127.0.0.2:{port}");
        assert_eq!(connect(&[V4, "127.0.0.2".parse().unwrap()], port).0, refused(two.clone()));
        let five: Vec<IpAddr> = (1..=5).map(|last| Ipv4Addr::new(127, 0, 0, last).into()).collect();
        let expected = format!("{two}, 127.0.0.3:{port} and 2 more");
        assert_eq!(connect(&five, port).0, refused(expected));
    }

    #[test]
    fn both_kinds_take_turns() {
        let a: Vec<IpAddr> = (1..=3).map(|last| Ipv4Addr::new(10, 0, 0, last).into()).collect();
        assert_eq!(resolve::take_turns(vec![V6, a[0], a[1], a[2]]), [V6, a[0], a[1], a[2]]);
        assert_eq!(resolve::take_turns(vec![a[0], a[1], V6]), [a[0], V6, a[1]]);
        assert_eq!(resolve::take_turns(vec![]), [] as [IpAddr; 0]);
    }

    #[track_caller]
    fn check_trouble(errors: &[i32], expected: Trouble) {
        let address = SocketAddr::new(V4, 80);
        let failed: Vec<Failed> =
            errors.iter().map(|errno| (address, io::Error::from_raw_os_error(*errno))).collect();
        assert_eq!(trouble(&failed), expected);
    }

    #[test]
    fn what_lacks_here_says_nothing_of_the_server() {
        let unknown = |text: &str| Trouble::Unknown(text.to_owned());
        let unhealthy = |text: &str| Trouble::Unhealthy(text.to_owned());
        check_trouble(&[libc::EMFILE], unknown("Too many open files"));
        check_trouble(&[libc::ENOBUFS], unknown("No buffer space available"));
        check_trouble(&[libc::ENETUNREACH], unhealthy("no route to the network"));
        // A firewall that rejects, with the words of an administrator.
        check_trouble(&[libc::EACCES], unhealthy("refused by a firewall"));
        check_trouble(
            &[libc::EPERM, libc::EMFILE],
            unhealthy("127.0.0.1:80: refused by a firewall, 127.0.0.1:80: Too many open files"),
        );
        let forbidden = io::Error::from_raw_os_error(libc::EACCES);
        let words = unknown("Permission denied");
        assert_eq!(unix_trouble(Path::new("/socket"), &forbidden), words);
        check_trouble(
            &[libc::EAFNOSUPPORT, libc::ECONNREFUSED],
            unhealthy(
                "127.0.0.1:80: Address family not supported by protocol, \
                 127.0.0.1:80: connection refused",
            ),
        );
    }

    #[track_caller]
    fn check_unix(path: &Path, expected: Result<(), Trouble>) {
        let trace = Trace::default();
        assert_eq!(run(unix(path, &trace)).map(drop), expected);
        assert_eq!(trace.address(), Some(path.display().to_string()));
    }

    #[test]
    fn sockets_in_the_file_system() {
        let dir = tempfile::tempdir().unwrap();
        let unhealthy = |why: &str| Err(Trouble::Unhealthy(why.to_owned()));
        let path = dir.path().join("socket");
        check_unix(&path, unhealthy("there is no such socket"));
        let listener = UnixListener::bind(&path).unwrap();
        check_unix(&path, Ok(()));
        drop(listener);
        check_unix(&path, unhealthy("connection refused: nobody listens"));
        let plain = dir.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        check_unix(&plain, unhealthy("not a socket"));
        let datagrams = dir.path().join("datagrams");
        let _bound = std::os::unix::net::UnixDatagram::bind(&datagrams).unwrap();
        check_unix(&datagrams, unhealthy("a socket of another type: it takes no connections"));
        let long = dir.path().join("a".repeat(108));
        let len = long.as_os_str().len();
        let why = format!("the path of a socket has at most 107 bytes, not {len}");
        check_unix(&long, Err(Trouble::Unknown(why)));
    }

    #[test]
    fn a_full_socket_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("full");
        let listener = UnixListener::bind(&path).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let held = std::os::unix::net::UnixStream::connect(&path).unwrap();
        run(async {
            let trace = Trace::default();
            let mut waiting = Box::pin(unix(&path, &trace));
            let early = timeout(Duration::from_millis(20), &mut waiting).await;
            assert!(early.is_err(), "there is no room yet");
            drop(listener.accept().unwrap());
            waiting.await.unwrap();
        });
        drop(held);
    }
}
