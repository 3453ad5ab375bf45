//! What a certificate says: for whom, by whom, for how long.

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use crate::model::text::excerpt;

/// Seconds since 1970.
pub(super) type Seconds = i64;

const DAY: Seconds = 86_400;
/// Names in a certificate have a bound here.
const NAME_CHARS_MAX: usize = 200;
/// So many names of a certificate are kept.
const NAMES_MAX: usize = 100;

/// A certificate, as far as people ask for it.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) subject: String,
    pub(super) issuer: String,
    /// The hosts it is for.
    pub(super) names: Vec<String>,
    pub(super) not_before: Seconds,
    pub(super) not_after: Seconds,
    pub(super) self_signed: bool,
}

impl Certificate {
    /// `None` where it cannot be read.
    pub(super) fn parse(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let names = names(&parsed);
        let subject = match shown(parsed.subject()) {
            // As is usual where the names say it.
            subject if subject.is_empty() => names.first().cloned().unwrap_or_default(),
            subject => subject,
        };
        Some(Certificate {
            subject,
            issuer: shown(parsed.issuer()),
            names,
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            self_signed: parsed.subject().as_raw() == parsed.issuer().as_raw(),
        })
    }

    /// Whole days until its end; negative after it.
    pub(super) fn days_left(&self, now: Seconds) -> i64 {
        self.not_after.saturating_sub(now).div_euclid(DAY)
    }
}

fn shown(name: &X509Name<'_>) -> String {
    excerpt(&name.to_string(), NAME_CHARS_MAX)
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return Vec::new() };
    let shown = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(excerpt(name, NAME_CHARS_MAX)),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    alternative.value.general_names.iter().filter_map(shown).take(NAMES_MAX).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}
