//! The settings of a probe that its layers come to.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Method;
use url::Url;

use super::keys::ProbeKey;
use super::layers::ProbeLayers;
use super::value::ProbeValue;
use super::{ProbeSettings, WatchSettings};
use crate::error::Error;
use crate::model::policy::Percent;
use crate::net::{Family, Route, TlsOptions};
use crate::probe::spec::{
    BODY_MAX, Body, Command, Dns, Grpc, Header, Http, Spec, TIMEOUT, Tls, Version, What,
};
use crate::settings::Place;

/// What says something only where there is TLS.
const OF_TLS: [ProbeKey; 6] = [
    ProbeKey::Ca,
    ProbeKey::Cert,
    ProbeKey::CertKey,
    ProbeKey::Insecure,
    ProbeKey::ServerName,
    ProbeKey::MinDays,
];

impl ProbeLayers {
    /// The settings that the layers come to.
    ///
    /// # Errors
    ///
    /// If two settings exclude each other.
    pub fn settings(&self) -> Result<ProbeSettings, Error> {
        let spec = self.what()?.map(|what| Spec {
            what,
            timeout: self.duration(ProbeKey::Timeout, TIMEOUT),
            route: self.route(),
            tls: self.tls(),
        });
        if let Some(spec) = &spec {
            self.check_tls(spec)?;
        }
        let interval = self.duration(ProbeKey::Interval, Duration::from_secs(10));
        let tenth = Percent::from_hundredths(10_00).expect("10% is allowed");
        Ok(ProbeSettings {
            spec,
            feed: !matches!(self.value(ProbeKey::Feed), Some(ProbeValue::Switch(false))),
            watch: WatchSettings {
                interval,
                jitter: match self.value(ProbeKey::Jitter) {
                    Some(ProbeValue::Percent(share)) => *share,
                    _ => tenth,
                },
                fast: self.duration(ProbeKey::FastInterval, interval),
                down: self.duration(ProbeKey::DownInterval, interval),
            },
        })
    }

    fn what(&self) -> Result<Option<What>, Error> {
        let Some(kind) = self.kind() else { return Ok(None) };
        let days_min = self.count(ProbeKey::MinDays);
        Ok(Some(match (kind, self.value(kind).expect("it is set")) {
            (_, ProbeValue::Url(url)) => What::Http(Box::new(self.http(url))),
            (ProbeKey::Tls, ProbeValue::Endpoint(at)) => {
                What::Tls(Tls { at: at.clone(), days_min })
            }
            (_, ProbeValue::Endpoint(at)) => What::Tcp(at.clone()),
            (_, ProbeValue::Path(path)) => What::Unix(path.clone()),
            (_, ProbeValue::Service(at, service)) => What::Grpc(Grpc {
                at: at.clone(),
                service: service.clone(),
                tls: self.switch(ProbeKey::GrpcTls),
            }),
            (_, ProbeValue::Question(name, server)) => {
                let record = self.text(ProbeKey::Record).unwrap_or_else(|| "A".to_owned());
                let name = self.asked_name(name, &record)?;
                let expected = self.text(ProbeKey::ExpectAnswer);
                What::Dns(Dns { name, server: server.clone(), record, expected })
            }
            (_, ProbeValue::Command(argv)) => What::Command(Command {
                argv: argv.clone(),
                nagios: self.switch(ProbeKey::NagiosIn),
            }),
            (kind, value) => unreachable!("{} has no value {value}", kind.name()),
        }))
    }

    /// An address stands for the name that holds its own name.
    fn asked_name(&self, name: &str, record: &str) -> Result<String, Error> {
        let Ok(address) = name.parse::<IpAddr>() else { return Ok(name.to_owned()) };
        if record != "PTR" {
            let with = format!("record {record}, since it is an address; allowed: record PTR");
            return Err(self.nothing_with(ProbeKey::Dns, &with));
        }
        Ok(match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            IpAddr::V6(address) => {
                let octets = address.octets().into_iter().rev();
                let nibbles = octets.map(|byte| format!("{:x}.{:x}.", byte & 15, byte >> 4));
                format!("{}ip6.arpa", nibbles.collect::<String>())
            }
        })
    }

    fn http(&self, url: &Url) -> Http {
        let body = match (self.value(ProbeKey::Body), self.path(ProbeKey::BodyFile)) {
            (Some(ProbeValue::Body(body)), _) => Some(Body::Given(body.clone())),
            (_, Some(path)) => Some(Body::FromFile(path)),
            _ => None,
        };
        let mut headers = self.headers(ProbeKey::Header);
        headers.extend(self.headers(ProbeKey::HeaderEnv));
        headers.extend(self.path(ProbeKey::HeaderFile).map(Header::FromFile));
        let expected = [
            ProbeKey::ExpectBody,
            ProbeKey::ExpectRegex,
            ProbeKey::ExpectJson,
            ProbeKey::ExpectHeader,
        ];
        let expected = expected.into_iter().filter_map(|key| match self.value(key) {
            Some(ProbeValue::Expected(expected)) => Some(expected.clone()),
            _ => None,
        });
        Http {
            url: url.clone(),
            method: match self.value(ProbeKey::Method) {
                Some(ProbeValue::Method(method)) => method.clone(),
                _ if body.is_some() => Method::POST,
                _ => Method::GET,
            },
            headers,
            body,
            unix_socket: self.path(ProbeKey::UnixSocket),
            version: match self.value(ProbeKey::HttpVersion) {
                Some(ProbeValue::Version(version)) => *version,
                _ => Version::default(),
            },
            redirects_max: self.count(ProbeKey::Redirects),
            body_bytes_max: match self.value(ProbeKey::BodyMax) {
                Some(ProbeValue::Size(size)) => *size,
                _ => BODY_MAX,
            },
            statuses: match self.value(ProbeKey::ExpectStatus) {
                Some(ProbeValue::Statuses(statuses)) => statuses.clone(),
                _ => vec![200..=299],
            },
            expected: expected.flatten().collect(),
            days_min: self.count(ProbeKey::MinDays),
        }
    }

    fn route(&self) -> Route {
        Route {
            family: match self.value(ProbeKey::IpVersion) {
                Some(ProbeValue::Family(family)) => *family,
                _ => Family::default(),
            },
            pins: match self.value(ProbeKey::Resolve) {
                Some(ProbeValue::Pins(pins)) => pins.clone(),
                _ => Vec::new(),
            },
        }
    }

    fn tls(&self) -> TlsOptions {
        TlsOptions {
            ca: self.path(ProbeKey::Ca),
            cert: self.path(ProbeKey::Cert),
            key: self.path(ProbeKey::CertKey),
            server_name: self.text(ProbeKey::ServerName),
            insecure: self.switch(ProbeKey::Insecure),
        }
    }

    /// Who asks for a certificate to be checked must not get a probe that sees
    /// none. What a less specific section says is for other probes, too.
    fn check_tls(&self, spec: &Spec) -> Result<(), Error> {
        let (speaks, plain) = match &spec.what {
            What::Http(http) => (
                http.url.scheme() == "https" || http.redirects_max > 0,
                "http://; allowed: https://",
            ),
            What::Grpc(grpc) => {
                (grpc.tls, "gRPC without TLS; allowed: with --grpc-tls (grpc_tls = true)")
            }
            _ => (true, ""),
        };
        let own =
            |key: &ProbeKey| key.fits(self.kind().expect("it was built")) && self.is_own(*key);
        if !speaks && let Some(key) = OF_TLS.into_iter().find(own) {
            return Err(self.nothing_with(key, plain));
        }
        if own(&ProbeKey::CertKey) && spec.tls.cert.is_none() {
            return Err(self.nothing_with(
                ProbeKey::CertKey,
                "no certificate of the client; allowed: with --cert (cert)",
            ));
        }
        Ok(())
    }

    /// Whether a key was set for this very probe: by a flag, or in the section
    /// that says what is looked at.
    fn is_own(&self, key: ProbeKey) -> bool {
        let of_kind = self.kind().and_then(|kind| self.place(kind));
        match (self.place(key), of_kind) {
            (
                Some(Place::File { path, section, .. }),
                Some(Place::File { path: p, section: s, .. }),
            ) => path == p && section == s,
            (Some(Place::File { .. }) | None, _) => false,
            _ => true,
        }
    }

    fn duration(&self, key: ProbeKey, default: Duration) -> Duration {
        match self.value(key) {
            Some(ProbeValue::Duration(duration)) => *duration,
            _ => default,
        }
    }

    fn count(&self, key: ProbeKey) -> u32 {
        match self.value(key) {
            Some(ProbeValue::Count(count)) => *count,
            _ => 0,
        }
    }

    fn switch(&self, key: ProbeKey) -> bool {
        matches!(self.value(key), Some(ProbeValue::Switch(true)))
    }

    fn text(&self, key: ProbeKey) -> Option<String> {
        match self.value(key) {
            Some(ProbeValue::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    fn path(&self, key: ProbeKey) -> Option<PathBuf> {
        match self.value(key) {
            Some(ProbeValue::Path(path)) => Some(path.clone()),
            _ => None,
        }
    }

    fn headers(&self, key: ProbeKey) -> Vec<Header> {
        match self.value(key) {
            Some(ProbeValue::Headers(headers)) => headers.clone(),
            _ => Vec::new(),
        }
    }
}
