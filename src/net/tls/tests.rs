//! Handshakes with certificates made on the spot, good and bad.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use super::*;
use crate::clock::{Clock, SystemClock};
use crate::net::{Endpoint, Route, connect, file};

const DAY: Duration = Duration::from_secs(86_400);

/// Certificates, and the directory that their files are in.
pub(crate) struct Certificates {
    dir: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key.
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    pem: String,
    key_pem: String,
}

/// A server on a port of 127.0.0.1 that serves each connection on a thread of its
/// own. It ends with this.
pub(crate) struct Served {
    pub(crate) port: u16,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        Certificates::of("cb test CA")
    }

    fn of(ca: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, ca);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let certificates = Certificates { dir: tempfile::tempdir().unwrap(), ca };
        std::fs::write(certificates.ca_file(), certificates.ca.pem()).unwrap();
        certificates
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// A certificate of the CA's for these names, with an end so many hours away.
    pub(crate) fn signed(&self, names: &[&str], hours: i64) -> Identity {
        let (params, key) = (params(names, hours), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &*self.ca).unwrap();
        identity(certificate.der().clone(), certificate.pem(), &key)
    }
}

pub(crate) fn self_signed(name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    let certificate = params(&[name], 48).self_signed(&key).unwrap();
    identity(certificate.der().clone(), certificate.pem(), &key)
}

fn params(names: &[&str], hours: i64) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    let now = u64::try_from(SystemClock::default().read().wall_ms).unwrap();
    let end = now.checked_add_signed(hours * 3_600_000).unwrap();
    let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
    params.not_before = (at(end.min(now)) - 10 * DAY).into();
    params.not_after = at(end).into();
    params.distinguished_name.push(DnType::CommonName, "the server");
    params
}

fn identity(der: CertificateDer<'static>, pem: String, key: &KeyPair) -> Identity {
    Identity { chain: vec![der], key: key.serialize_der(), pem, key_pem: key.serialize_pem() }
}

impl Identity {
    pub(crate) fn server(&self, alpn: &[&str]) -> ServerConfig {
        let key = PrivateKeyDer::try_from(self.key.clone()).unwrap();
        let mut config = ServerConfig::builder_with_provider(trust::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

impl Served {
    pub(crate) fn with(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (over, serve) = (Arc::new(AtomicBool::new(false)), Arc::new(serve));
        let ends = Arc::clone(&over);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let (serve, stream) = (Arc::clone(&serve), stream.unwrap());
                thread::spawn(move || serve(stream));
            }
        });
        Served { port, over, thread: Some(thread) }
    }

    /// A server with TLS.
    pub(crate) fn with_tls(
        config: ServerConfig,
        serve: impl Fn(StreamOwned<ServerConnection, TcpStream>) + Send + Sync + 'static,
    ) -> Self {
        let config = Arc::new(config);
        Served::with(move |stream| {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            serve(StreamOwned::new(session, stream));
        })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

pub(crate) fn run<T>(it: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(it)
}

/// A server that shakes hands, reads a byte and hangs up.
fn shaking(config: ServerConfig) -> Served {
    Served::with_tls(config, |mut stream| {
        let _ = std::io::Read::read(&mut stream, &mut [0]);
    })
}

fn shake(port: u16, options: &TlsOptions, name: &str, alpn: &[&[u8]]) -> Result<Facts, Trouble> {
    run(async {
        let (net, trace) = (Net::default(), Trace::default());
        let to = Endpoint { host: "127.0.0.1".to_owned(), port };
        let ready = ready(&net, options, name, alpn).await?;
        let stream = connect::tcp(&net, &to, &Route::default(), &trace).await.unwrap();
        let (_, facts) = handshake(ready, stream, &trace).await?;
        assert_eq!(trace.phase(), Some(Phase::Tls));
        Ok(facts)
    })
}

fn trusting(certificates: &Certificates) -> TlsOptions {
    TlsOptions { ca: Some(certificates.ca_file()), ..TlsOptions::default() }
}

#[track_caller]
fn check_refused(certificates: &Certificates, identity: &Identity, expected: &str) {
    let served = shaking(identity.server(&[]));
    let options = trusting(certificates);
    let refused = Trouble::Unhealthy(expected.to_owned());
    assert_eq!(shake(served.port, &options, "localhost", &[]), Err(refused));
}

#[test]
fn a_handshake_tells_what_it_came_to() {
    let certificates = Certificates::new();
    let identity = certificates.signed(&["localhost", "127.0.0.1"], 50);
    let served = shaking(identity.server(&["h2", "http/1.1"]));
    let options = trusting(&certificates);
    let facts = shake(served.port, &options, "localhost", &[b"h2"]).unwrap();
    assert_eq!((facts.version, facts.alpn.as_deref()), ("TLSv1.3", Some("h2")));
    assert_eq!((&*facts.subject, &*facts.issuer), ("CN=the server", "CN=cb test CA"));
    assert_eq!(facts.days_left, 2);
    let facts = shake(served.port, &options, "127.0.0.1", &[]).unwrap();
    assert_eq!(facts.alpn, None);
}

#[test]
fn a_certificate_that_is_no_good_says_why() {
    let certificates = Certificates::new();
    let bad =
        |identity: Identity, expected: &str| check_refused(&certificates, &identity, expected);
    bad(certificates.signed(&["localhost"], -75), "the certificate expired 3 days ago");
    bad(certificates.signed(&["localhost"], -1), "the certificate expired 1 hour ago");
    bad(
        certificates.signed(&["a.example"], 48),
        "the certificate is for a.example, not for localhost",
    );
    let many = certificates.signed(&["a.example", "b.example", "10.0.0.1", "c.example", "d"], 48);
    bad(
        many,
        "the certificate is for a.example, b.example, 10.0.0.1 and 2 more, not for localhost",
    );
    bad(self_signed("localhost"), "the certificate is self-signed, and not trusted here");
    bad(
        Certificates::of("another CA").signed(&["localhost"], 48),
        "the certificate is signed by nobody who is trusted here (CN=another CA)",
    );
    bad(
        Certificates::new().signed(&["localhost"], 48),
        "the certificate has a signature that is not its issuer's (CN=cb test CA)",
    );
}

#[test]
fn who_asks_to_believe_anything_still_sees_the_certificate() {
    let certificates = Certificates::new();
    let options = TlsOptions { insecure: true, ..TlsOptions::default() };
    for identity in [self_signed("a.example"), certificates.signed(&["b"], -75)] {
        let served = shaking(identity.server(&[]));
        let facts = shake(served.port, &options, "localhost", &[]).unwrap();
        assert_eq!(facts.subject, "CN=the server");
        assert!([1, 2, -4].contains(&facts.days_left), "{}", facts.days_left);
    }
}

#[test]
fn a_certificate_that_is_given_itself_is_trusted_itself() {
    let certificates = Certificates::new();
    let of = |hours: i64| {
        let (mut params, key) = (params(&["localhost"], hours), KeyPair::generate().unwrap());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        identity(certificate.der().clone(), certificate.pem(), &key)
    };
    let told = |identity: &Identity, ca: &Identity, name: &str| {
        let served = shaking(identity.server(&[]));
        let ca = Some(certificates.file("itself", &ca.pem));
        let options = TlsOptions { ca, ..TlsOptions::default() };
        shake(served.port, &options, name, &[]).map(|facts| facts.days_left)
    };
    let refused = |why: &str| Err(Trouble::Unhealthy(why.to_owned()));
    let (good, gone) = (of(50), of(-75));
    assert_eq!(told(&good, &good, "localhost"), Ok(2));
    let words = "the certificate is for localhost, not for other.test";
    assert_eq!(told(&good, &good, "other.test"), refused(words));
    assert_eq!(told(&gone, &gone, "localhost"), refused("the certificate expired 3 days ago"));
    let words = "the certificate is self-signed, and not trusted here";
    assert_eq!(told(&good, &gone, "localhost"), refused(words));
}

#[test]
fn another_name_can_be_asked_for() {
    let certificates = Certificates::new();
    let served = shaking(certificates.signed(&["a.example"], 48).server(&[]));
    let server_name = Some("a.example".to_owned());
    let options = TlsOptions { server_name, ..trusting(&certificates) };
    assert!(shake(served.port, &options, "127.0.0.1", &[]).is_ok());
    let options = TlsOptions { server_name: Some("no name".to_owned()), ..options };
    let unknown = "no name that TLS can ask for: 'no name'".to_owned();
    assert_eq!(shake(served.port, &options, "x", &[]), Err(Trouble::Unknown(unknown)));
}

#[test]
fn a_server_that_speaks_something_else_is_told_from_one_that_hangs_up() {
    let options = TlsOptions { insecure: true, ..TlsOptions::default() };
    let told = |answer: &'static [u8]| {
        let served = Served::with(move |mut stream| {
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let _ = std::io::Write::write_all(&mut stream, answer);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        });
        match shake(served.port, &options, "localhost", &[]) {
            Err(Trouble::Unhealthy(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(told(b""), "the server closed the connection during the handshake");
    assert_eq!(told(b"HTTP/1.1 400 B\r\n\r\n"), "not TLS: the server answers in something else");
    // A fatal alert: handshake failure.
    assert_eq!(told(b"\x15\x03\x03\x00\x02\x02\x28"), "the server refused the handshake");
    let nonsense = told(b"\x16\x03\x03\x00\x04\x63\x00\x00\x00");
    assert!(nonsense.starts_with("not TLS as it should be"), "{nonsense}");
}

#[track_caller]
fn check_files(options: &TlsOptions, expected: &str) {
    let served = shaking(self_signed("localhost").server(&[]));
    match shake(served.port, options, "localhost", &[]) {
        Err(Trouble::Unknown(why)) => assert!(why.contains(expected), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_that_are_not_what_they_should_be_say_nothing_of_the_server() {
    let certificates = Certificates::new();
    let none = TlsOptions::default();
    let with_ca = |ca: PathBuf| TlsOptions { ca: Some(ca), ..none.clone() };
    let text = certificates.file("text", "hello\n");
    let torn = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    check_files(&with_ca(text.clone()), "no certificate in it that can be read; PEM is allowed");
    check_files(&with_ca(certificates.file("torn", torn)), "certificate 1 cannot be read");
    check_files(&with_ca(PathBuf::from("/nonexistent")), "cannot read /nonexistent: No such");
    check_files(&with_ca(certificates.dir.path().to_owned()), "Is a directory");
    let mine = certificates.signed(&["me"], 48);
    let cert = certificates.file("cert", &mine.pem);
    let insecure = TlsOptions { insecure: true, cert: Some(cert), ..none };
    check_files(&insecure, "no private key in it that can be read");
    let other = certificates.file("other", &KeyPair::generate().unwrap().serialize_pem());
    let unfitting = TlsOptions { key: Some(other), ..insecure.clone() };
    check_files(&unfitting, "the client's certificate and key: do not fit");
    let both = certificates.file("both", &(mine.key_pem + &mine.pem));
    let served = shaking(self_signed("localhost").server(&[]));
    let options = TlsOptions { cert: Some(both), ..insecure };
    assert!(shake(served.port, &options, "localhost", &[]).is_ok());
}

#[test]
fn a_client_shows_its_certificate_to_a_server_that_asks() {
    let certificates = Certificates::new();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificates.ca.der().clone()).unwrap();
    let wanted = rustls::server::WebPkiClientVerifier::builder_with_provider(
        roots.into(),
        trust::provider(),
    )
    .build()
    .unwrap();
    let identity = certificates.signed(&["localhost"], 48);
    let config = ServerConfig::builder_with_provider(trust::provider())
        // With 1.2, the client waits for the server's word on its certificate.
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_client_cert_verifier(wanted)
        .with_single_cert(identity.chain, PrivateKeyDer::try_from(identity.key).unwrap())
        .unwrap();
    let served = shaking(config);
    let without = trusting(&certificates);
    let refused = shake(served.port, &without, "localhost", &[]);
    assert!(matches!(&refused, Err(Trouble::Unhealthy(_))), "{refused:?}");
    let mine = certificates.signed(&["me"], 48);
    let (cert, key) =
        (certificates.file("cert", &mine.pem), certificates.file("key", &mine.key_pem));
    let with = TlsOptions { cert: Some(cert), key: Some(key), ..without };
    assert_eq!(shake(served.port, &with, "localhost", &[]).unwrap().version, "TLSv1.2");
}

#[test]
fn a_file_has_a_bound_and_may_be_a_pipe() {
    let certificates = Certificates::new();
    let path = certificates.file("small", "four");
    assert_eq!(run(file::read(&path, 4)), Ok(b"four".to_vec()));
    let why = format!("{} has more than 3 bytes", path.display());
    assert_eq!(run(file::read(&path, 3)), Err(Trouble::Unknown(why)));
    let (reader, mut writer) = std::io::pipe().unwrap();
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(&reader);
    let path = PathBuf::from(format!("/dev/fd/{descriptor}"));
    let slow = thread::spawn(move || {
        for part in ["a", "bc", "d"] {
            std::io::Write::write_all(&mut writer, part.as_bytes()).unwrap();
            thread::yield_now();
        }
    });
    assert_eq!(run(file::read(&path, 4)), Ok(b"abcd".to_vec()));
    slow.join().unwrap();
}

#[test]
fn nonsense_is_no_certificate_and_does_not_panic() {
    let identity = self_signed("localhost");
    let der: &[u8] = &identity.chain[0];
    assert!(certificate::Certificate::parse(der).is_some());
    for end in 0..der.len() {
        assert!(certificate::Certificate::parse(&der[..end]).is_none());
    }
    for at in 0..der.len() {
        let mut bent = der.to_vec();
        bent[at] ^= 0xff;
        let _ = certificate::Certificate::parse(&bent);
    }
}
