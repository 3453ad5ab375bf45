//! TLS: a handshake, the certificate of the server, and what is wrong with either.
//!
//! Invariants: the machine's trust store is read for the first handshake that needs
//! it, and never before. The certificate is kept whatever is said of it, so that a
//! refusal can tell whose it is.

mod certificate;
mod trust;
mod verifier;
mod words;

use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

pub use tokio_rustls::client::TlsStream;

pub(super) use trust::Store;
pub use words::words;

use super::{Net, Phase, TlsOptions, Trace, Trouble, connect};
use crate::model::text::excerpt;
use verifier::Verifier;

/// What a handshake came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// "TLSv1.3".
    pub version: &'static str,
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

/// Our side of a handshake.
pub struct Ready {
    name: String,
    asked: ServerName<'static>,
    verifier: Arc<Verifier>,
    config: ClientConfig,
}

/// Makes our side ready, before there is a connection: what is wrong with it says
/// nothing of a server, be that there or not. `name` is whom to ask for, where the
/// options do not say otherwise; `alpn` what may be spoken, the best first.
///
/// # Errors
///
/// If the files of the options, or the name, cannot be used.
pub async fn ready(
    net: &Net,
    options: &TlsOptions,
    name: &str,
    alpn: &[&[u8]],
) -> Result<Ready, Trouble> {
    let name = options.server_name.as_deref().unwrap_or(name);
    let asked = ServerName::try_from(name.to_owned()).map_err(|_| {
        Trouble::Unknown(format!("no name that TLS can ask for: '{}'", excerpt(name, 80)))
    })?;
    let verifier = Arc::new(match options.insecure {
        true => Verifier::believing_all(),
        false => Verifier::trusting(trust::anchors(net, options).await?),
    });
    let config = config(options, Arc::clone(&verifier), alpn).await?;
    Ok(Ready { name: name.to_owned(), asked, verifier, config })
}

/// Shakes hands on a connection.
///
/// # Errors
///
/// If the server cannot do it, or its certificate is not to be trusted.
pub async fn handshake<S>(
    ready: Ready,
    stream: S,
    trace: &Trace,
) -> Result<(TlsStream<S>, Facts), Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    trace.enter(Phase::Tls);
    let Ready { name, asked, verifier, config } = ready;
    let connecting = TlsConnector::from(Arc::new(config)).connect(asked, stream);
    let stream = connecting.await.map_err(|error| refusal(&error, &name, &verifier))?;
    let facts = facts(&stream, &verifier)?;
    Ok((stream, facts))
}

async fn config(
    options: &TlsOptions,
    verifier: Arc<Verifier>,
    alpn: &[&[u8]],
) -> Result<ClientConfig, Trouble> {
    let builder = ClientConfig::builder_with_provider(trust::provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has what both versions need")
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match trust::identity(options).await? {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
            Trouble::Unknown(format!("the client's certificate and key: {}", words(&error)))
        })?,
    };
    // Each probe is to see the certificate of that moment.
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

fn facts<S>(stream: &TlsStream<S>, verifier: &Verifier) -> Result<Facts, Trouble> {
    let session = stream.get_ref().1;
    let seen = verifier.seen().ok_or_else(|| unreadable("the server showed no certificate"))?;
    let certificate =
        seen.certificate().ok_or_else(|| unreadable("the certificate cannot be read"))?;
    Ok(Facts {
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        },
        alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        days_left: certificate.days_left(seen.now),
        not_after_ms: certificate.not_after.saturating_mul(1000),
        subject: certificate.subject,
        issuer: certificate.issuer,
    })
}

fn unreadable(why: &str) -> Trouble {
    Trouble::Unhealthy(why.to_owned())
}

/// Why there was no handshake.
fn refusal(error: &io::Error, name: &str, verifier: &Verifier) -> Trouble {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let why = match inner {
        Some(rustls::Error::InvalidCertificate(fault)) => {
            words::of_certificate(fault, name, verifier.seen().as_ref())
        }
        Some(error) => words(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the server closed the connection during the handshake".to_owned()
        }
        None => connect::words(error),
    };
    Trouble::Unhealthy(why)
}

#[cfg(test)]
pub(crate) mod tests;
