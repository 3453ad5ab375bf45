//! Judging the certificate of a server, and keeping it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::certificate::{Certificate, Seconds};
use super::trust::{self, Anchors};

/// What judges one handshake.
#[derive(Debug)]
pub(super) struct Verifier {
    /// By whose signatures; `None` believes all.
    trusted: Option<Arc<Anchors>>,
    seen: Mutex<Option<Seen>>,
}

/// The certificate that a server showed, and when.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    der: CertificateDer<'static>,
    /// In seconds since 1970.
    pub(super) now: Seconds,
}

impl Verifier {
    pub(super) fn trusting(trusted: Arc<Anchors>) -> Self {
        Verifier { trusted: Some(trusted), seen: Mutex::default() }
    }

    pub(super) fn believing_all() -> Self {
        Verifier { trusted: None, seen: Mutex::default() }
    }

    /// What the server showed, if it came to that.
    pub(super) fn seen(&self) -> Option<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Seen {
    /// The certificate, if it is one.
    pub(super) fn certificate(&self) -> Option<Certificate> {
        Certificate::parse(&self.der)
    }
}

/// Judges a certificate that is trusted itself, such as one that signed itself and
/// says that it may sign others, which is no certificate of a server elsewhere.
fn verify_itself(
    der: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, Error> {
    verify_server_name(&ParsedCertificate::try_from(der)?, name)?;
    let certificate = Certificate::parse(der).ok_or(CertificateError::BadEncoding)?;
    let at = |secs| UnixTime::since_unix_epoch(Duration::from_secs(secs));
    // What is before 1970 is long ago.
    let (begin, end) = (certificate.not_before, certificate.not_after);
    let not_before = at(u64::try_from(begin).unwrap_or(0));
    let not_after = at(u64::try_from(end).unwrap_or(0));
    if now < not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    if now > not_after {
        return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
    }
    Ok(ServerCertVerified::assertion())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let secs = Seconds::try_from(now.as_secs()).unwrap_or(Seconds::MAX);
        let seen = Seen { der: end_entity.clone().into_owned(), now: secs };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        match &self.trusted {
            None => Ok(ServerCertVerified::assertion()),
            Some(trusted) => trusted
                .judge
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .or_else(|error| match trusted.have(end_entity) {
                    true => verify_itself(end_entity, server_name, now),
                    false => Err(error),
                }),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match &self.trusted {
            None => Ok(HandshakeSignatureValid::assertion()),
            Some(trusted) => trusted.judge.verify_tls12_signature(message, cert, dss),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match &self.trusted {
            None => Ok(HandshakeSignatureValid::assertion()),
            Some(trusted) => trusted.judge.verify_tls13_signature(message, cert, dss),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        match &self.trusted {
            None => trust::provider().signature_verification_algorithms.supported_schemes(),
            Some(trusted) => trusted.judge.supported_verify_schemes(),
        }
    }
}
