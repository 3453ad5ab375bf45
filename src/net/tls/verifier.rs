//! Judging the certificate of a server, and keeping it.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

use super::certificate::{Certificate, Seconds};
use super::trust;

/// What judges one handshake.
#[derive(Debug)]
pub(super) struct Verifier {
    /// By whose signatures; `None` believes all.
    trusted: Option<Arc<WebPkiServerVerifier>>,
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
    pub(super) fn trusting(trusted: Arc<WebPkiServerVerifier>) -> Self {
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
            Some(trusted) => trusted.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            ),
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
            Some(trusted) => trusted.verify_tls12_signature(message, cert, dss),
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
            Some(trusted) => trusted.verify_tls13_signature(message, cert, dss),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        match &self.trusted {
            None => trust::provider().signature_verification_algorithms.supported_schemes(),
            Some(trusted) => trusted.supported_verify_schemes(),
        }
    }
}
