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
