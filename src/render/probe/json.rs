//! The JSON of probes.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::{Fed, Probed};
use crate::model::backoff;
use crate::model::breaker::ProbeEffect;
use crate::net::Phase;
use crate::probe::Verdict;
use crate::probe::report::{HttpDetail, TlsDetail};
use crate::render::json::write_safe;
use crate::render::times::rfc3339;

/// `cb probe --json`: the schema `cb.probe/1`, in one line.
///
/// # Errors
///
/// What cannot be written.
pub fn json(probed: &Probed, out: &mut dyn Write) -> io::Result<()> {
    write_safe(&serde_json::to_string(&ProbeBody::of(probed))?, out)
}

/// What `--output` keeps of many: the schema `cb.probes/1`.
///
/// # Errors
///
/// What cannot be written.
pub fn json_of_all(all: &[&Probed], at_wall_ms: i64, out: &mut dyn Write) -> io::Result<()> {
    let probes = all.iter().map(|probed| ProbeBody::of(probed)).collect();
    let body = ProbesBody { schema: "cb.probes/1", at: rfc3339(at_wall_ms), probes };
    write_safe(&serde_json::to_string_pretty(&body)?, out)
}

#[derive(Serialize)]
struct ProbesBody<'a> {
    schema: &'static str,
    at: String,
    probes: Vec<ProbeBody<'a>>,
}

#[derive(Serialize)]
struct ProbeBody<'a> {
    schema: &'static str,
    at: String,
    breaker: Option<&'a str>,
    kind: &'static str,
    target: &'a str,
    /// Null where nothing is known.
    healthy: Option<bool>,
    health: &'static str,
    slow: bool,
    found: &'a str,
    failed_phase: Option<&'static str>,
    timed_out: bool,
    address: Option<&'a str>,
    duration_ms: f64,
    phases: PhasesBody,
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<HttpBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<TlsBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc: Option<GrpcBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dns: Option<DnsBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<CommandBody>,
    fed: Option<FedBody>,
}

#[derive(Serialize)]
struct PhasesBody {
    dns_ms: Option<f64>,
    connect_ms: Option<f64>,
    tls_ms: Option<f64>,
    first_byte_ms: Option<f64>,
    body_ms: Option<f64>,
}

#[derive(Serialize)]
struct HttpBody<'a> {
    status: u16,
    version: &'a str,
    url: &'a str,
    redirects: u32,
    body_bytes: u64,
}

#[derive(Serialize)]
struct TlsBody<'a> {
    version: &'a str,
    alpn: Option<&'a str>,
    subject: &'a str,
    issuer: &'a str,
    not_after: String,
    days_left: i64,
}

#[derive(Serialize)]
struct GrpcBody<'a> {
    status: &'a str,
}

#[derive(Serialize)]
struct DnsBody<'a> {
    answers: &'a [String],
}

#[derive(Serialize)]
struct CommandBody {
    exit_code: Option<i32>,
    signal: Option<i32>,
}

#[derive(Serialize)]
struct FedBody {
    recorded: bool,
    state_before: &'static str,
    state_after: &'static str,
    effect: Option<&'static str>,
    retry_after_ms: Option<u64>,
}

impl<'a> ProbeBody<'a> {
    fn of(probed: &'a Probed) -> Self {
        let report = &probed.report;
        let detail = &report.detail;
        ProbeBody {
            schema: "cb.probe/1",
            at: rfc3339(probed.at_wall_ms),
            breaker: probed.name.as_deref(),
            kind: probed.kind,
            target: &probed.target,
            healthy: match report.verdict {
                Verdict::Unknown => None,
                verdict => Some(verdict.is_healthy()),
            },
            health: probed.health().name(),
            slow: probed.slow,
            found: &report.found,
            failed_phase: report.phase.map(key),
            timed_out: report.timed_out,
            address: report.address.as_deref(),
            duration_ms: millis(report.duration),
            phases: PhasesBody::of(&report.phases),
            retry_after_ms: report.retry_after.map(backoff::millis),
            http: detail.http.as_ref().map(HttpBody::of),
            tls: detail.tls.as_ref().map(TlsBody::of),
            grpc: detail.grpc_status.as_deref().map(|status| GrpcBody { status }),
            dns: detail.answers.as_deref().map(|answers| DnsBody { answers }),
            command: (probed.kind == "command")
                .then_some(CommandBody { exit_code: detail.exit_code, signal: detail.signal }),
            fed: probed.fed.as_ref().map(FedBody::of),
        }
    }
}

impl PhasesBody {
    fn of(phases: &[(Phase, Duration)]) -> Self {
        let time = |phase| {
            let found = phases.iter().find(|(of, _)| *of == phase);
            found.map(|(_, took)| millis(*took))
        };
        PhasesBody {
            dns_ms: time(Phase::Dns),
            connect_ms: time(Phase::Connect),
            tls_ms: time(Phase::Tls),
            first_byte_ms: time(Phase::FirstByte),
            body_ms: time(Phase::Body),
        }
    }
}

impl<'a> HttpBody<'a> {
    fn of(http: &'a HttpDetail) -> Self {
        let HttpDetail { status, version, url, redirects, body_bytes } = http;
        let (status, redirects, body_bytes) = (*status, *redirects, *body_bytes);
        HttpBody { status, version, url, redirects, body_bytes }
    }
}

impl<'a> TlsBody<'a> {
    fn of(tls: &'a TlsDetail) -> Self {
        TlsBody {
            version: &tls.version,
            alpn: tls.alpn.as_deref(),
            subject: &tls.subject,
            issuer: &tls.issuer,
            not_after: rfc3339(tls.not_after_ms),
            days_left: tls.days_left,
        }
    }
}

impl FedBody {
    fn of(fed: &Fed) -> Self {
        FedBody {
            recorded: fed.recorded,
            state_before: fed.before.name(),
            state_after: fed.after.name(),
            effect: fed.effect.map(effect),
            retry_after_ms: fed.retry_after_ms,
        }
    }
}

const fn effect(effect: ProbeEffect) -> &'static str {
    match effect {
        ProbeEffect::TrialDue => "trial_due",
        ProbeEffect::Closed => "closed",
        ProbeEffect::RetryLater => "retry_later",
    }
}

/// The name of a phase in JSON.
const fn key(phase: Phase) -> &'static str {
    match phase {
        Phase::FirstByte => "first_byte",
        other => other.name(),
    }
}

/// To a thousandth.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
