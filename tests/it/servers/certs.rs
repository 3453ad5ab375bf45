//! Certificates, made on the spot: a root of our own, and what it signs.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;

/// A certificate of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For `localhost`, 127.0.0.1 and ::1, for a year.
    Good,
    /// Good, for so many days and an hour.
    Days(u64),
    /// Ended three days and an hour ago.
    Expired,
    /// Begins in three days.
    NotYet,
    /// For `other.example`.
    WrongName,
    /// Signed by itself.
    SelfSigned,
    /// Signed by another that the root has signed; the server sends both.
    Chained,
}

/// A root, and the directory with the files that a client needs.
pub struct Pki {
    dir: TempDir,
    root: CertifiedIssuer<'static, KeyPair>,
}

/// What a server shows, and its key.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    chain_pem: String,
    key: KeyPair,
}

const DAY: u64 = 86_400;
const HOUR: u64 = 3_600;

impl Pki {
    /// A new root, in the file `ca.pem`.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let root = CertifiedIssuer::self_signed(issuer("cb test root"), new_key()).expect("a root");
        fs::write(dir.path().join("ca.pem"), root.pem()).expect("written");
        Pki { dir, root }
    }

    /// The root's certificate.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A file with the certificate and the key of a client that the root has signed.
    pub fn client(&self) -> PathBuf {
        let (cert, key) = self.client_pair();
        let both = [fs::read(cert).expect("readable"), fs::read(key).expect("readable")].concat();
        self.write("client.pem", &String::from_utf8(both).expect("PEM"))
    }

    /// The same in two files.
    pub fn client_pair(&self) -> (PathBuf, PathBuf) {
        let mut params = named("a client", &[]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = new_key();
        let cert = params.signed_by(&key, &self.root).expect("a certificate");
        (
            self.write("client-cert.pem", &cert.pem()),
            self.write("client-key.pem", &key.serialize_pem()),
        )
    }

    /// The certificates and the key of a server, in two files, for a server that is
    /// not one of these.
    pub fn server_files(&self, kind: Kind) -> (PathBuf, PathBuf) {
        let shown = self.shown(kind);
        (
            self.write("server-cert.pem", &shown.chain_pem),
            self.write("server-key.pem", &shown.key.serialize_pem()),
        )
    }

    /// A server that shows a certificate, and agrees to HTTP/2 and HTTP/1.1.
    pub fn server(&self, kind: Kind) -> Arc<ServerConfig> {
        self.config(kind, None)
    }

    /// The same, that wants a certificate of the root's from its clients.
    pub fn server_for_clients(&self, kind: Kind) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.der().clone()).expect("a root");
        self.config(kind, Some(roots))
    }

    fn config(&self, kind: Kind, clients: Option<RootCertStore>) -> Arc<ServerConfig> {
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(roots) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .expect("a verifier"),
            ),
        };
        let shown = self.shown(kind);
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(shown.key.serialize_der()));
        let mut config = builder.with_single_cert(shown.chain, key).expect("a pair");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }

    fn shown(&self, kind: Kind) -> Shown {
        let names = match kind {
            Kind::WrongName => vec!["other.example"],
            _ => vec!["localhost", "127.0.0.1", "::1"],
        };
        let mut params = named("a server", &names);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let now =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        let (from, to) = match kind {
            Kind::Expired => (now - 30 * DAY, now - 3 * DAY - HOUR),
            Kind::NotYet => (now + 3 * DAY, now + 30 * DAY),
            Kind::Days(days) => (now - HOUR, now + days * DAY + HOUR),
            _ => (now - HOUR, now + 365 * DAY),
        };
        let at = |secs| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(secs);
        (params.not_before, params.not_after) = (at(from), at(to));
        let key = new_key();
        let certs = match kind {
            Kind::SelfSigned => vec![params.self_signed(&key).expect("a certificate")],
            Kind::Chained => {
                let middle =
                    CertifiedIssuer::signed_by(issuer("cb test middle"), new_key(), &self.root)
                        .expect("a certificate");
                let end = params.signed_by(&key, &middle).expect("a certificate");
                let chain = vec![end.der().clone(), middle.der().clone()];
                return Shown { chain, chain_pem: end.pem() + &middle.pem(), key };
            }
            _ => vec![params.signed_by(&key, &self.root).expect("a certificate")],
        };
        let chain_pem = certs.iter().map(rcgen::Certificate::pem).collect();
        Shown { chain: certs.iter().map(|cert| cert.der().clone()).collect(), chain_pem, key }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).expect("written");
        path
    }
}

fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).expect("names");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn issuer(name: &str) -> CertificateParams {
    let mut params = named(name, &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a key")
}
