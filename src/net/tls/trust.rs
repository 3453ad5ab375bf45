//! Whom to trust, and who we are: the machine's certificates, or those of files.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::net::file::{self, Stamp, stamp};
use crate::net::{Net, TlsOptions, Trouble};

/// The machine's trust store, read when it is first needed and again once it has
/// changed: a probe that runs for weeks sees certificates come and go.
#[derive(Debug, Default)]
pub(in crate::net) struct Store(Mutex<Option<(Places, Arc<Anchors>)>>);

/// Who is trusted.
#[derive(Debug)]
pub(super) struct Anchors {
    /// What judges by their signatures.
    pub(super) judge: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

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

/// The certificates that are trusted.
pub(super) async fn anchors(net: &Net, options: &TlsOptions) -> Result<Arc<Anchors>, Trouble> {
    let Some(path) = &options.ca else {
        return net.trust.anchors().map_err(Trouble::Unknown);
    };
    let pem = file::read(path, PEM_BYTES_MAX).await?;
    let mut roots = RootCertStore::empty();
    let certificates = certificates(&pem, path)?;
    for (at, certificate) in certificates.iter().enumerate() {
        roots.add(certificate.clone()).map_err(|_| {
            let at = at + 1;
            Trouble::Unknown(format!("{}: certificate {at} cannot be read", path.display()))
        })?;
    }
    Anchors::of(roots, certificates).map_err(Trouble::Unknown)
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

/// Where the certificates of the machine are, and how the places looked.
#[derive(Debug, PartialEq, Eq)]
struct Places {
    files: Vec<(PathBuf, Option<Stamp>)>,
    dirs: Vec<(PathBuf, Option<Stamp>)>,
}

impl Store {
    /// The certificates of the machine.
    fn anchors(&self) -> Result<Arc<Anchors>, String> {
        let places = Places::look();
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((then, anchors)) = read.as_ref()
            && *then == places
        {
            return Ok(Arc::clone(anchors));
        }
        let anchors = places.read()?;
        *read = Some((places, Arc::clone(&anchors)));
        Ok(anchors)
    }
}

impl Anchors {
    fn of(
        roots: RootCertStore,
        certificates: Vec<CertificateDer<'static>>,
    ) -> Result<Arc<Self>, String> {
        let judge = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| format!("the certificates to trust: {error}"))?;
        Ok(Arc::new(Anchors { judge, certificates }))
    }

    /// Whether this very certificate is one of them.
    pub(super) fn have(&self, certificate: &CertificateDer<'_>) -> bool {
        self.certificates.iter().any(|own| own.as_ref() == certificate.as_ref())
    }
}

impl Places {
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR`, as elsewhere, or else the first bundle
    /// that is there.
    fn look() -> Self {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
        let (file, dirs) = (variable("SSL_CERT_FILE"), variable("SSL_CERT_DIR"));
        Places::of(file.map(PathBuf::from), dirs.iter().flat_map(env::split_paths))
    }

    fn of(file: Option<PathBuf>, dirs: impl Iterator<Item = PathBuf>) -> Self {
        let stamped = |path: PathBuf| {
            let stamp = stamp(&path);
            (path, stamp)
        };
        let dirs: Vec<_> = dirs.map(stamped).collect();
        let mut files: Vec<_> = file.into_iter().map(stamped).collect();
        if files.is_empty() && dirs.is_empty() {
            let mut bundles = BUNDLES.iter().map(PathBuf::from).map(stamped);
            files.extend(bundles.find(|(_, stamp)| stamp.is_some()));
        }
        Places { files, dirs }
    }

    fn read(&self) -> Result<Arc<Anchors>, String> {
        let files = self.files.iter().map(|(path, _)| path.clone());
        let more = self.dirs.iter().flat_map(|(dir, _)| files_in(dir));
        let (mut roots, mut certificates) = (RootCertStore::empty(), Vec::new());
        for path in files.chain(more) {
            // One that is no certificate does not take the others away.
            let Ok(pem) = file::read_plain(&path, PEM_BYTES_MAX) else { continue };
            let found = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
            let found: Vec<_> = found.collect();
            roots.add_parsable_certificates(found.iter().cloned());
            certificates.extend(found);
        }
        if roots.is_empty() {
            let asked = self.files.iter().chain(&self.dirs);
            let asked: Vec<_> = asked.map(|(path, _)| path.display().to_string()).collect();
            let asked = if asked.is_empty() { BUNDLES.join(", ") } else { asked.join(", ") };
            return Err(format!(
                "no certificates to trust in {asked}; give --ca FILE, or set SSL_CERT_FILE"
            ));
        }
        Anchors::of(roots, certificates)
    }
}

fn files_in(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.is_file()).take(FILES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::tests::Certificates;

    fn read(file: Option<&Path>, dirs: &[&Path]) -> Result<(), String> {
        let dirs = dirs.iter().map(|dir| dir.to_path_buf());
        let places = Places::of(file.map(Path::to_owned), dirs);
        places.read().map(drop)
    }

    #[test]
    fn files_and_directories_are_read_whatever_else_is_in_them() {
        let certificates = Certificates::new();
        let ca = certificates.ca_file();
        let dir = ca.parent().unwrap();
        assert!(read(Some(&ca), &[]).is_ok());
        let none = certificates.file("none", "-----BEGIN CERTIFICATE-----\nAAAA\n");
        let words = "no certificates to trust in ";
        let why = read(Some(&none), &[]).unwrap_err();
        assert!(why.starts_with(words) && why.contains("none"), "{why}");
        assert!(read(None, &[Path::new("/nonexistent")]).unwrap_err().starts_with(words));
        assert!(read(None, &[Path::new("/nonexistent"), dir]).is_ok());
        assert!(read(Some(&none), &[dir]).is_ok());
    }

    #[test]
    fn what_was_changed_is_read_again() {
        let certificates = Certificates::new();
        let ca = certificates.ca_file();
        let look = || Places::of(Some(ca.clone()), std::iter::empty());
        let before = look();
        assert_eq!(before, look());
        let twice = fs::read_to_string(&ca).unwrap().repeat(2);
        certificates.file("ca.pem", &twice);
        assert_ne!(before, look());
    }
}
