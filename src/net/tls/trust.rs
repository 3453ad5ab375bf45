//! Whom to trust, and who we are: the machine's certificates, or those of files.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::net::{Net, TlsOptions, Trouble, file};

/// The machine's trust store, once it was needed.
pub(in crate::net) type Store = OnceLock<Result<Arc<WebPkiServerVerifier>, String>>;

/// Where distributions keep all that they trust in one file: Debian, Fedora, SUSE,
/// older Red Hat, Alpine and others.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// A file of certificates or keys is no larger.
const PEM_BYTES_MAX: usize = 16 << 20;
/// No more files of a directory are read.
const FILES_MAX: usize = 10_000;

/// The ciphers: ring's.
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(ring::default_provider())))
}

/// What judges by the certificates that are trusted.
pub(super) async fn anchors(
    net: &Net,
    options: &TlsOptions,
) -> Result<Arc<WebPkiServerVerifier>, Trouble> {
    let Some(path) = &options.ca else {
        return net.trust.get_or_init(of_machine).clone().map_err(Trouble::Unknown);
    };
    let pem = file::read(path, PEM_BYTES_MAX).await?;
    let mut roots = RootCertStore::empty();
    for (at, certificate) in certificates(&pem, path)?.into_iter().enumerate() {
        roots.add(certificate).map_err(|_| {
            let at = at + 1;
            Trouble::Unknown(format!("{}: certificate {at} cannot be read", path.display()))
        })?;
    }
    judging_by(roots).map_err(Trouble::Unknown)
}

/// The client's certificate with its chain, and its key.
pub(super) async fn identity(
    options: &TlsOptions,
) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, Trouble> {
    let Some(path) = &options.cert else { return Ok(None) };
    let pem = file::read(path, PEM_BYTES_MAX).await?;
    let chain = certificates(&pem, path)?;
    let (of, pem) = match &options.key {
        Some(key) => (key, file::read(key, PEM_BYTES_MAX).await?),
        None => (path, pem),
    };
    let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        Trouble::Unknown(format!(
            "{}: no private key in it that can be read; PEM without a password is allowed",
            of.display()
        ))
    })?;
    Ok(Some((chain, key)))
}

/// Every certificate of a file; at least one.
fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| {
        Trouble::Unknown(format!(
            "{}: no certificate in it that can be read; PEM is allowed (BEGIN CERTIFICATE)",
            path.display()
        ))
    })
}

/// `SSL_CERT_FILE` and `SSL_CERT_DIR`, as elsewhere, or else the first bundle that
/// is there.
fn of_machine() -> Result<Arc<WebPkiServerVerifier>, String> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
    let (given, dirs) = (variable("SSL_CERT_FILE"), variable("SSL_CERT_DIR"));
    let mut files: Vec<PathBuf> = given.into_iter().map(PathBuf::from).collect();
    for dir in dirs.iter().flat_map(env::split_paths) {
        files.extend(files_in(&dir));
    }
    if files.is_empty() && dirs.is_none() {
        files.extend(BUNDLES.iter().map(PathBuf::from).find(|path| path.exists()));
    }
    let mut roots = RootCertStore::empty();
    for path in &files {
        // One that is no certificate does not take the others away.
        let Ok(pem) = file::read_plain(path, PEM_BYTES_MAX) else { continue };
        roots
            .add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
    }
    if roots.is_empty() {
        let asked = match (files.as_slice(), &dirs) {
            ([], None) => BUNDLES.join(", "),
            (files, _) => files
                .iter()
                .take(3)
                .map(|path| path.display().to_string())
                .collect::<Vec<_>>()
                .join(", "),
        };
        return Err(format!(
            "no certificates to trust (looked for: {asked}); give --ca FILE, or set SSL_CERT_FILE"
        ));
    }
    judging_by(roots)
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.is_file()).take(FILES_MAX).collect()
}

fn judging_by(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, String> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| format!("the certificates to trust: {error}"))
}
