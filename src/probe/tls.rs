//! Ports that speak TLS, and the days that their certificates are still good for.

use tokio::io::AsyncWriteExt;

use super::report::{Detail, TlsDetail, Verdict};
use super::{Found, Spec, spec};
use crate::net::tls::{Facts, handshake};
use crate::net::{Net, Trace, Trouble, connect};

/// Shakes hands, and says nothing.
pub(super) async fn look(
    it: &spec::Tls,
    spec: &Spec,
    net: &Net,
    trace: &Trace,
) -> Result<Found, Trouble> {
    let stream = connect::tcp(net, &it.at, &spec.route, trace).await?;
    let (mut stream, facts) = handshake(net, stream, &spec.tls, &it.at.host, &[], trace).await?;
    trace.leave();
    // Or the server's log has an error for each probe. What it says is known by now.
    let _ = stream.shutdown().await;
    let words = match facts.days_left {
        // Somebody asked to believe it nevertheless.
        gone @ ..0 => format!("{}, certificate expired {} ago", facts.version, days(-gone)),
        left => format!("{}, certificate good for {}", facts.version, days(left)),
    };
    let found = match too_old(&facts, it.days_min) {
        None => Found::healthy(words),
        Some(why) => Found { verdict: Verdict::Unhealthy, ..Found::healthy(why) },
    };
    Ok(Found { detail: Detail { tls: Some(detail(facts)), ..Detail::default() }, ..found })
}

/// What is wrong with the time that a certificate has left.
pub(super) fn too_old(facts: &Facts, days_min: u32) -> Option<String> {
    // Without a bound, the handshake has judged.
    let few = days_min > 0 && facts.days_left < i64::from(days_min);
    few.then(|| match facts.days_left {
        gone @ ..0 => format!("the certificate expired {} ago", days(-gone)),
        left => format!(
            "the certificate is good for {}, less than {}",
            days(left),
            days(i64::from(days_min))
        ),
    })
}

/// A handshake, to be told.
pub(super) fn detail(facts: Facts) -> TlsDetail {
    let Facts { version, alpn, subject, issuer, not_after_ms, days_left } = facts;
    TlsDetail { version: version.to_owned(), alpn, subject, issuer, not_after_ms, days_left }
}

fn days(count: i64) -> String {
    match count {
        1 => "1 day".to_owned(),
        count => format!("{count} days"),
    }
}
