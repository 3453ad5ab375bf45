//! Ports that speak TLS, and the days that their certificates are still good for.

use tokio::io::AsyncWriteExt;

use super::report::{Detail, TlsDetail, Verdict};
use super::{Found, Spec, spec};
use crate::net::tls::{Facts, handshake, ready};
use crate::net::{Net, Trace, Trouble, connect};

/// Shakes hands, and says nothing.
pub(super) async fn look(
    it: &spec::Tls,
    spec: &Spec,
    net: &Net,
    trace: &Trace,
) -> Result<Found, Trouble> {
    let ready = ready(net, &spec.tls, &it.at.host, &[]).await?;
    let stream = connect::tcp(net, &it.at, &spec.route, trace).await?;
    let (mut stream, facts) = handshake(ready, stream, trace).await?;
    trace.leave();
    // Or the server's log has an error for each probe. What it says is known by now.
    let _ = stream.shutdown().await;
    let words = match facts.days_left {
        // Somebody asked to believe it nevertheless.
        gone @ ..0 => format!("{}, certificate expired {} ago", facts.version, ago(gone)),
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
        gone @ ..0 => format!("the certificate expired {} ago", ago(gone)),
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

/// How long something is over that has so many days left: -1 within the first day.
fn ago(days_left: i64) -> String {
    match -1 - days_left {
        0 => "less than 1 day".to_owned(),
        gone => days(gone),
    }
}

fn days(count: i64) -> String {
    match count {
        1 => "1 day".to_owned(),
        count => format!("{count} days"),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::net::tls::tests::{Certificates, Served, run};
    use crate::net::{Endpoint, Phase, Route, TlsOptions};
    use crate::probe::{Report, What, report};
    use crate::process::Inherited;

    fn look(certificates: &Certificates, hours: i64, days_min: u32, insecure: bool) -> Report {
        let config = certificates.signed(&["127.0.0.1"], hours).server(&[]);
        let (told, farewell) = mpsc::channel();
        let served = Served::with_tls(config, move |mut stream| {
            let _ = told.send(stream.read_to_end(&mut Vec::new()).is_ok());
        });
        let at = Endpoint { host: "127.0.0.1".to_owned(), port: served.port };
        let ca = Some(certificates.ca_file());
        let spec = Spec {
            what: What::Tls(spec::Tls { at, days_min }),
            timeout: Duration::from_secs(30),
            route: Route::default(),
            tls: TlsOptions { ca, insecure, ..TlsOptions::default() },
        };
        let report = run(async { report(&spec, &Net::default(), Inherited::of_the_test()).await });
        let in_order = farewell.recv().unwrap();
        assert_eq!(in_order, report.detail.tls.is_some(), "the server is told of the end");
        report
    }

    #[track_caller]
    fn check(hours: i64, days_min: u32, insecure: bool, verdict: Verdict, words: &str) -> Report {
        let report = look(&Certificates::new(), hours, days_min, insecure);
        assert_eq!((report.verdict, &*report.found), (verdict, words));
        report
    }

    #[test]
    fn the_days_of_a_certificate_are_told_and_judged() {
        use Verdict::{Healthy, Unhealthy};
        let report = check(50, 0, false, Healthy, "TLSv1.3, certificate good for 2 days");
        assert_eq!(report.phase, None);
        check(30, 1, false, Healthy, "TLSv1.3, certificate good for 1 day");
        let few = "the certificate is good for 2 days, less than 3 days";
        assert_eq!(check(50, 3, false, Unhealthy, few).detail.tls.unwrap().days_left, 2);
        let gone = check(-75, 0, false, Unhealthy, "the certificate expired 3 days ago");
        assert_eq!(gone.phase, Some(Phase::Tls));
        check(-75, 0, true, Healthy, "TLSv1.3, certificate expired 3 days ago");
        check(-75, 1, true, Unhealthy, "the certificate expired 3 days ago");
        check(-5, 1, true, Unhealthy, "the certificate expired less than 1 day ago");
    }
}
