//! What a probe costs: whole processes, side by side with curl, alternating in one
//! run, against servers of the benchmark's own on loopback.
//!
//! ```text
//! cargo bench --bench probe                   all of it
//! cargo bench --bench probe -- --rounds 100   fewer rounds (at least 100)
//! ```

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark asks for the time itself")]

#[expect(dead_code, reason = "other benchmarks use the rest")]
mod side_by_side;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use side_by_side::{Place, at_most, median, medians, plain, rounds, time};

const ROUNDS_DEFAULT: usize = 500;
const ROUNDS_MIN: usize = 100;

/// The targets of the crowd, how long each takes, and how many are asked at once.
const TARGETS: usize = 500;
const DELAY: Duration = Duration::from_millis(100);
const AT_ONCE: usize = 64;
const CROWD_ROUNDS: usize = 5;

/// What the system trusts: the trust store that an HTTPS probe has to read.
const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n";

fn main() {
    let rounds = rounds(ROUNDS_DEFAULT, ROUNDS_MIN);
    let place = Place::new("probe");
    let servers = Servers::start(&place.dir);
    println!("{rounds} rounds, alternating; medians of whole processes\n");
    one(&place, &servers, rounds);
    crowd(&place, &servers);
}

/// One probe, against one call of curl.
fn one(place: &Place, servers: &Servers, rounds: usize) {
    let http = format!("http://127.0.0.1:{}/", servers.http);
    let https = format!("https://localhost:{}/", servers.https);
    let bundle = place.dir.join("bundle.pem");
    let trusting = |mut command: Command| {
        command.env("SSL_CERT_FILE", &bundle).env_remove("SSL_CERT_DIR");
        command.env_remove("CURL_CA_BUNDLE");
        command
    };
    let cases = || {
        vec![
            ("true", plain(&["true"])),
            ("curl http", silent(curl(&[&http]))),
            ("cb probe http", silent(probe(place, &["--http", &http]))),
            ("cb probe http, fed to a breaker", silent(probe(place, &["fed", "--http", &http]))),
            ("curl https", silent(trusting(curl(&[&https])))),
            ("cb probe https", silent(trusting(probe(place, &["--http", &https])))),
        ]
    };
    for (name, mut command) in cases() {
        let status = command.status().expect("the program runs");
        assert!(status.success(), "{name}: {status}");
    }
    let median = medians(cases(), rounds);
    let of = |what: &str, to: &str| median[what] / median[to];
    at_most("cb probe http / curl http", of("cb probe http", "curl http"), 0.35);
    let fed = of("cb probe http, fed to a breaker", "curl http");
    at_most("cb probe http, fed / curl http", fed, 0.35);
    at_most("cb probe https / curl https", of("cb probe https", "curl https"), 0.6);
    println!();
}

/// Many, each slow to answer, against `curl --parallel`, as many at once.
fn crowd(place: &Place, servers: &Servers) {
    let url = |at: usize| format!("http://127.0.0.1:{}/{at}", servers.slow);
    let mut config = String::new();
    let mut list = String::new();
    for at in 0..TARGETS {
        let _ = writeln!(config, "[breaker.target-{at:03}.probe]\nhttp = \"{}\"", url(at));
        let _ = writeln!(list, "url = \"{}\"\noutput = \"/dev/null\"", url(at));
    }
    let [config_path, list_path] = ["config.toml", "list"].map(|name| place.dir.join(name));
    fs::write(&config_path, config).expect("a config file");
    fs::write(&list_path, list).expect("a list");
    let all = |name: &str, command: &mut dyn FnMut() -> Command| {
        let times = (0..CROWD_ROUNDS).map(|_| time(&mut silent(command()))).collect();
        let took = median(times);
        println!("{name:<44} {took:>8.0} us");
        took
    };
    let at_once = AT_ONCE.to_string();
    let path = |path: &Path| path.to_str().expect("a plain path").to_owned();
    let (config, list) = (path(&config_path), path(&list_path));
    let cb = all("cb probe --all, 500 targets", &mut || {
        probe(place, &["--all", "--config", &config, "--concurrency", &at_once])
    });
    let curl = all("curl --parallel, the same", &mut || {
        let immediate = "--parallel-immediate";
        curl(&["--parallel", immediate, "--parallel-max", &at_once, "--config", &list])
    });
    let best = TARGETS.div_ceil(AT_ONCE) as f64 * DELAY.as_secs_f64() * 1e6;
    println!("{:<44} {best:>8.0} us", "the best that 64 at once allow");
    println!();
    at_most("cb probe --all / the best", cb / best, 1.5);
    at_most("cb probe --all / curl --parallel", cb / curl, 1.0);
}

fn probe(place: &Place, args: &[&str]) -> Command {
    let mut cb = place.cb("store");
    cb.arg("probe").args(args);
    cb
}

fn curl(args: &[&str]) -> Command {
    let mut words = vec!["curl", "-fsS", "-o", "/dev/null"];
    words.extend(args);
    plain(&words)
}

fn silent(mut command: Command) -> Command {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The ports of the servers, which end with the process.
struct Servers {
    http: u16,
    https: u16,
    slow: u16,
}

impl Servers {
    fn start(dir: &Path) -> Self {
        let tls = TlsAcceptor::from(Arc::new(tls(dir)));
        let (tell, told) = channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let [http, https, slow] = [listen().await, listen().await, listen().await];
                let port = |of: &TcpListener| of.local_addr().expect("an address").port();
                let ports = Servers { http: port(&http), https: port(&https), slow: port(&slow) };
                tell.send(ports).expect("somebody waits");
                tokio::join!(
                    serve(http, None, Duration::ZERO),
                    serve(https, Some(tls), Duration::ZERO),
                    serve(slow, None, DELAY)
                );
            });
        });
        told.recv().expect("the servers start")
    }
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

async fn serve(on: TcpListener, tls: Option<TlsAcceptor>, delay: Duration) {
    loop {
        let (stream, _) = on.accept().await.expect("a connection");
        let tls = tls.clone();
        tokio::spawn(async move {
            match tls {
                None => answer(stream, delay).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        answer(stream, delay).await;
                    }
                }
            }
        });
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, delay: Duration) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let _ = stream.write_all(ANSWER).await;
    let _ = stream.shutdown().await;
}

/// A certificate for localhost, and a bundle in which its signer stands beside all
/// whom the system trusts.
fn tls(dir: &Path) -> ServerConfig {
    let key = || KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // The names differ, or one would pass for the other's signer.
    params.distinguished_name.push(DnType::CommonName, "a signer for the benchmark");
    let (ca_key, own_key) = (key(), key());
    let ca = params.self_signed(&ca_key).expect("a certificate");
    let issuer = Issuer::new(params, ca_key);
    let own = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let own = own.signed_by(&own_key, &issuer).expect("a certificate");
    let mut bundle = fs::read_to_string(BUNDLE).unwrap_or_default();
    bundle.push_str(&ca.pem());
    fs::write(dir.join("bundle.pem"), bundle).expect("a bundle");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own_key.serialize_der()));
    config.with_single_cert(vec![own.der().clone()], key).expect("a certificate and its key")
}
