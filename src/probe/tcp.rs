//! Ports and sockets that take connections.

use std::path::Path;

use super::{Found, Spec};
use crate::net::{Endpoint, Net, Trace, Trouble, connect};

/// Connects to a port, and says nothing.
pub(super) async fn look(
    at: &Endpoint,
    spec: &Spec,
    net: &Net,
    trace: &Trace,
) -> Result<Found, Trouble> {
    connect::tcp(net, at, &spec.route, trace).await?;
    trace.leave();
    Ok(Found::healthy("connected"))
}

/// Connects to a socket in the file system, and says nothing.
pub(super) async fn look_unix(path: &Path, trace: &Trace) -> Result<Found, Trouble> {
    connect::unix(path, trace).await?;
    trace.leave();
    Ok(Found::healthy("connected"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use crate::net::tls::tests::run;
    use crate::net::{Endpoint, Net, Phase, Route, TlsOptions};
    use crate::probe::{Report, Spec, Verdict, What, report};
    use crate::process::Inherited;

    fn look(what: What) -> Report {
        let (route, tls) = (Route::default(), TlsOptions::default());
        let spec = Spec { what, timeout: Duration::from_secs(30), route, tls };
        run(async { report(&spec, &Net::default(), Inherited::of_the_test()).await })
    }

    #[track_caller]
    fn check(what: What, verdict: Verdict, words: &str, phase: Option<Phase>) {
        let report = look(what);
        assert_eq!((report.verdict, &*report.found, report.phase), (verdict, words, phase));
    }

    #[test]
    fn a_port_takes_connections_or_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let what = || What::Tcp(Endpoint { host: "127.0.0.1".to_owned(), port });
        check(what(), Verdict::Healthy, "connected", None);
        drop(listener);
        check(what(), Verdict::Unhealthy, "connection refused", Some(Phase::Connect));
    }

    #[test]
    fn a_socket_takes_connections_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let what = || What::Unix(path.clone());
        let none = "there is no such socket";
        check(what(), Verdict::Unhealthy, none, Some(Phase::Connect));
        let _listener = UnixListener::bind(&path).unwrap();
        check(what(), Verdict::Healthy, "connected", None);
    }
}
