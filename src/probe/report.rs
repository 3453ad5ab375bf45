//! What a probe found.

use std::time::Duration;

use crate::net::Phase;

/// What a probe says about its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is as expected.
    Healthy,
    /// It answers, and says itself that all is not well (a Nagios plugin's warning).
    Warning,
    /// Something is not as expected.
    Unhealthy,
    /// Nothing is known: the fault is on our side.
    Unknown,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What it says.
    pub verdict: Verdict,
    /// What was found, in a few words: "HTTP 200", "connection refused". It may
    /// have bytes of the server's, and is escaped where it is shown.
    pub found: String,
    /// The phase in which it failed, where it failed in one.
    pub phase: Option<Phase>,
    /// Whether the deadline ended it.
    pub timed_out: bool,
    /// The address that was used: an IP address and port, or a path.
    pub address: Option<String>,
    /// Each phase that ended, with its time, and the one that failed.
    pub phases: Vec<(Phase, Duration)>,
    /// From the beginning to the end.
    pub duration: Duration,
    /// How long the server asks to be left alone (429 and 503).
    pub retry_after: Option<Duration>,
    /// What else there is to tell.
    pub detail: Detail,
}

/// What one kind of probe found, before it is timed.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What it says.
    pub verdict: Verdict,
    /// As in [`Report::found`].
    pub words: String,
    /// As in [`Report::retry_after`].
    pub retry_after: Option<Duration>,
    /// What else there is to tell.
    pub detail: Detail,
}

/// What a kind of probe has to tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detail {
    /// Of an answer by HTTP.
    pub http: Option<HttpDetail>,
    /// Of a handshake.
    pub tls: Option<TlsDetail>,
    /// What the health service said: `SERVING`.
    pub grpc_status: Option<String>,
    /// The answers of a name server.
    pub answers: Option<Vec<String>>,
    /// The exit code of a command.
    pub exit_code: Option<i32>,
    /// The signal that ended a command.
    pub signal: Option<i32>,
}

/// An answer by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpDetail {
    /// The status.
    pub status: u16,
    /// "HTTP/1.1", "HTTP/2".
    pub version: String,
    /// The page that answered, after redirects, without what may be a secret.
    pub url: String,
    /// How many redirects were followed.
    pub redirects: u32,
    /// The bytes of the body that were read.
    pub body_bytes: u64,
}

/// A handshake, and the certificate of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsDetail {
    /// "TLSv1.3".
    pub version: String,
    /// What the two sides agreed to speak: "h2".
    pub alpn: Option<String>,
    /// For whom the certificate is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Its last second, in ms since 1970.
    pub not_after_ms: i64,
    /// Whole days until then; negative once it has expired.
    pub days_left: i64,
}

impl Found {
    /// That all is as expected, in these words.
    pub fn healthy(words: impl Into<String>) -> Self {
        let (verdict, detail) = (Verdict::Healthy, Detail::default());
        Found { verdict, words: words.into(), retry_after: None, detail }
    }
}

impl Verdict {
    /// The name that people see.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Healthy => "healthy",
            Verdict::Warning => "warning",
            Verdict::Unhealthy => "unhealthy",
            Verdict::Unknown => "unknown",
        }
    }

    /// Whether it answers.
    pub const fn is_healthy(self) -> bool {
        matches!(self, Verdict::Healthy | Verdict::Warning)
    }
}
