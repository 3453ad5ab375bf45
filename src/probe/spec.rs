//! What a probe looks at, and what it expects to find. Only data: `settings` makes
//! it of words and keys, and has checked it.

use std::ffi::OsString;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use regex::bytes::Regex;
use url::Url;

use crate::net::{Endpoint, Route, TlsOptions};

/// The deadline where none is given.
pub const TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of a body that are read where no other bound is given.
pub const BODY_MAX: u64 = 1 << 20;

/// One probe.
#[derive(Clone, Debug)]
pub struct Spec {
    /// What is looked at.
    pub what: What,
    /// The deadline over everything.
    pub timeout: Duration,
    /// How the host is reached.
    pub route: Route,
    /// What TLS is made of, where there is TLS.
    pub tls: TlsOptions,
}

/// What is looked at.
#[derive(Clone, Debug)]
pub enum What {
    /// A page of a web server.
    Http(Box<Http>),
    /// A port that takes connections.
    Tcp(Endpoint),
    /// A socket in the file system that takes connections.
    Unix(PathBuf),
    /// A port that speaks TLS, and its certificate.
    Tls(Tls),
    /// A server with the health service of gRPC.
    Grpc(Grpc),
    /// A name that resolves.
    Dns(Dns),
    /// A command that succeeds.
    Command(Command),
}

/// A request, and the answer that is expected.
#[derive(Clone)]
pub struct Http {
    /// `http` or `https`.
    pub url: Url,
    /// The method.
    pub method: Method,
    /// The headers, beyond those that every request has.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Option<Body>,
    /// Talk to this socket in place of the URL's host.
    pub unix_socket: Option<PathBuf>,
    /// Which version of HTTP.
    pub version: Version,
    /// How many redirects are followed.
    pub redirects_max: u32,
    /// The most bytes of an answer's body that are read; what is expected of a
    /// body is looked for in these.
    pub body_bytes_max: u64,
    /// The statuses that are expected; never empty.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// What else is expected of the answer.
    pub expected: Vec<Expected>,
    /// By TLS, a certificate that is good for fewer days is unhealthy.
    pub days_min: u32,
}

/// A header, or where it comes from. Values are no secret to whoever sees the
/// command line, so they can come from elsewhere.
#[derive(Clone)]
pub enum Header {
    /// As given.
    Given(HeaderName, HeaderValue),
    /// Its value is in this variable of the environment.
    FromVariable(HeaderName, OsString),
    /// Lines of `Name: value` are in this file.
    FromFile(PathBuf),
}

/// The body of a request.
#[derive(Clone)]
pub enum Body {
    /// As given.
    Given(Vec<u8>),
    /// What is in this file.
    FromFile(PathBuf),
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// What the two sides agree on: 1.1 without TLS.
    #[default]
    Negotiated,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; without TLS too.
    Http2,
}

/// What is expected of an answer beyond its status.
#[derive(Clone, Debug)]
pub enum Expected {
    /// The body has this text.
    Contains(String),
    /// The body matches.
    Matches(Regex),
    /// The body is JSON, and the value at this pointer (RFC 6901) is this.
    Json(String, serde_json::Value),
    /// There is such a header whose value matches.
    Header(HeaderName, Regex),
}

/// A handshake, and the days that the certificate is still good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Where.
    pub at: Endpoint,
    /// Fewer days than this are unhealthy.
    pub days_min: u32,
}

/// The health service of gRPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grpc {
    /// Where.
    pub at: Endpoint,
    /// Which service; empty for the server as a whole.
    pub service: String,
    /// Whether by TLS.
    pub tls: bool,
}

/// A question to a name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// The name.
    pub name: String,
    /// Whom to ask; without, those that the machine asks.
    pub server: Option<Endpoint>,
    /// The type of record, such as `A`.
    pub record: String,
    /// An answer that must be among those that come.
    pub expected: Option<String>,
}

/// A command, and how its exit code is read.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    /// The command and its arguments; never empty.
    pub argv: Vec<OsString>,
    /// Whether it is a Nagios plugin: 0 and 1 are healthy, 2 is not, and 3 says
    /// that it does not know.
    pub nagios: bool,
}

impl Spec {
    /// The kind of probe, as flags and JSON name it.
    pub const fn kind(&self) -> &'static str {
        match self.what {
            What::Http(_) => "http",
            What::Tcp(_) => "tcp",
            What::Unix(_) => "unix",
            What::Tls(_) => "tls",
            What::Grpc(_) => "grpc",
            What::Dns(_) => "dns",
            What::Command(_) => "command",
        }
    }

    /// What is looked at, for people: without a password, and of a command only
    /// its name.
    pub fn target(&self) -> String {
        match &self.what {
            What::Http(http) => shown(&http.url),
            What::Tcp(at) => at.to_string(),
            What::Unix(path) => path.display().to_string(),
            What::Tls(tls) => tls.at.to_string(),
            What::Grpc(grpc) if grpc.service.is_empty() => grpc.at.to_string(),
            What::Grpc(grpc) => format!("{}/{}", grpc.at, grpc.service),
            What::Dns(Dns { name, server: Some(server), .. }) => format!("{name}@{server}"),
            What::Dns(dns) => dns.name.clone(),
            What::Command(command) => {
                let name = command.argv.first().map(|name| name.to_string_lossy());
                name.unwrap_or_default().into_owned()
            }
        }
    }
}

/// A URL as people may see it: without what may be a secret.
pub(super) fn shown(url: &Url) -> String {
    let mut shown = url.clone();
    // Where a URL has no place for them, there is nothing to take away.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    if shown.query().is_some() {
        shown.set_query(Some("..."));
    }
    shown.set_fragment(None);
    shown.to_string()
}

// The values of headers, bodies and arguments may be secret.

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http")
            .field("method", &self.method)
            .field("host", &self.url.host_str())
            .field("headers", &self.headers.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").field("words", &self.argv.len()).finish_non_exhaustive()
    }
}
