//! What is wrong with a handshake or a certificate, in words for people.

use rustls::{AlertDescription, CertificateError, Error, InconsistentKeys, InvalidMessage};

use super::certificate::Certificate;
use super::verifier::Seen;
use crate::model::text::excerpt;

/// Words of others have a bound.
const CHARS_MAX: usize = 160;
/// So many names of a certificate are told.
const NAMES_MAX: usize = 3;

/// What an error of TLS means.
pub fn words(error: &Error) -> String {
    match error {
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "not TLS: the server answers in something else".to_owned()
        }
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_)
        | Error::PeerSentOversizedRecord
        | Error::DecryptError => format!("not TLS as it should be: {}", lower(error)),
        Error::PeerIncompatible(_) => {
            format!("no TLS that both sides speak (here: 1.2 and 1.3): {}", lower(error))
        }
        Error::NoCertificatesPresented => "the server showed no certificate".to_owned(),
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => "do not fit".to_owned(),
        Error::InvalidCertificate(fault) => of_certificate(fault, "this name", None),
        other => lower(other),
    }
}

/// What is wrong with a certificate of which this much was seen.
pub(super) fn of_certificate(fault: &CertificateError, name: &str, seen: Option<&Seen>) -> String {
    let certificate = seen.and_then(Seen::certificate);
    let certificate = certificate.as_ref();
    match fault {
        CertificateError::ExpiredContext { time, not_after } => {
            let (now, end) = (time.as_secs(), not_after.as_secs());
            let whose = match certificate {
                Some(leaf) if u64::try_from(leaf.not_after) != Ok(end) => {
                    "a certificate of the chain"
                }
                _ => "the certificate",
            };
            format!("{whose} expired {} ago", about(now.saturating_sub(end)))
        }
        CertificateError::Expired => "the certificate expired".to_owned(),
        CertificateError::NotValidYetContext { time, not_before } => {
            let until = not_before.as_secs().saturating_sub(time.as_secs());
            format!("the certificate is not valid before {} from now", about(until))
        }
        CertificateError::NotValidYet => "the certificate is not valid yet".to_owned(),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let whose = certificate.map(whose).unwrap_or_else(|| "another".to_owned());
            format!("the certificate is for {whose}, not for {}", excerpt(name, CHARS_MAX))
        }
        // A certificate that may sign others, used by a server itself, is told apart
        // by the library and not by people.
        CertificateError::UnknownIssuer | CertificateError::Other(_)
            if certificate.is_some_and(|certificate| certificate.self_signed) =>
        {
            "the certificate is self-signed, and not trusted here".to_owned()
        }
        CertificateError::UnknownIssuer => {
            let issuer = issuer(certificate);
            format!("the certificate is signed by nobody who is trusted here ({issuer})")
        }
        CertificateError::Revoked => "the certificate was revoked".to_owned(),
        CertificateError::BadEncoding => "the certificate cannot be read".to_owned(),
        // One of that name is trusted, with another key.
        CertificateError::BadSignature => {
            format!(
                "the certificate has a signature that is not its issuer's ({})",
                issuer(certificate)
            )
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the certificate is not for servers".to_owned()
        }
        other => {
            format!("the certificate is not valid: {}", excerpt(&other.to_string(), CHARS_MAX))
        }
    }
}

/// Who signed a certificate.
fn issuer(certificate: Option<&Certificate>) -> &str {
    let issuer = certificate.map(|certificate| certificate.issuer.as_str());
    issuer.filter(|issuer| !issuer.is_empty()).unwrap_or("unknown issuer")
}

/// For whom a certificate is.
fn whose(certificate: &Certificate) -> String {
    let names = &certificate.names;
    if names.is_empty() {
        return match certificate.subject.is_empty() {
            true => "nobody".to_owned(),
            false => certificate.subject.clone(),
        };
    }
    let told = names.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => told,
        more => format!("{told} and {more} more"),
    }
}

fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            "the server wants a certificate of the client's".to_owned()
        }
        AlertDescription::HandshakeFailure => "the server refused the handshake".to_owned(),
        AlertDescription::ProtocolVersion => {
            "the server speaks no version of TLS that is spoken here (1.2 and 1.3)".to_owned()
        }
        AlertDescription::UnrecognisedName => "the server knows no such name".to_owned(),
        AlertDescription::NoApplicationProtocol => {
            "the server speaks none of the protocols that it was asked for".to_owned()
        }
        AlertDescription::UnknownCA | AlertDescription::BadCertificate => {
            "the server does not trust the client's certificate".to_owned()
        }
        other => format!("the server refused: {}", apart(&format!("{other:?}"))),
    }
}

/// An error in its own words, as a fragment.
fn lower(error: &Error) -> String {
    let text = excerpt(&error.to_string(), CHARS_MAX);
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => text,
    }
}

/// `InternalError` as "internal error".
fn apart(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.extend(c.to_lowercase());
    }
    text
}

/// A time in its largest unit.
fn about(secs: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let unit = UNITS.into_iter().find(|(length, _)| secs >= *length);
    let (length, name) = unit.unwrap_or((1, "second"));
    match secs / length {
        1 => format!("1 {name}"),
        count => format!("{count} {name}s"),
    }
}
