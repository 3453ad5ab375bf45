//! Probes of servers that nobody here wrote: nginx, Python's, Redis, memcached.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::live::Live;
use crate::support::{Cb, eventually, skipped};

/// A port that was free a moment ago. These servers cannot say which one they chose.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

/// The program, where it is installed.
fn installed(name: &str) -> Option<PathBuf> {
    let places = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/bin"].map(PathBuf::from);
    let found = std::env::split_paths(&places).chain(more).map(|dir| dir.join(name));
    let found = found.into_iter().find(|path| path.is_file());
    if found.is_none() {
        skipped(format_args!("{name} is not installed"));
    }
    found
}

fn server(program: &Path, args: &[&str]) -> Live {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    Live::start(command)
}

/// Probes until the server has started, and checks that it is healthy then.
#[track_caller]
fn comes_up(cb: &Cb, probe: &[&str]) {
    let args = [&["probe", "--no-feed"], probe].concat();
    eventually("the server answers", || cb.run(&args).status().code() == Some(0));
}

#[test]
fn nginx() {
    let Some(program) = installed("nginx") else { return };
    let cb = Cb::new();
    let port = free_port();
    let dir = cb.path("nginx");
    fs::create_dir_all(dir.join("html")).expect("its directory");
    // A server that root starts gives its work to nobody.
    for path in [&dir, &dir.join("html")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("for all to read");
    }
    fs::write(dir.join("html/health"), "all is well\n").expect("a page");
    let config = format!(
        "daemon off; error_log stderr; pid {0}/pid;\n\
         events {{}}\n\
         http {{\n\
           access_log off; client_body_temp_path {0}/body; proxy_temp_path {0}/proxy;\n\
           fastcgi_temp_path {0}/fastcgi; uwsgi_temp_path {0}/uwsgi; scgi_temp_path {0}/scgi;\n\
           server {{\n\
             listen 127.0.0.1:{port};\n\
             location = /health {{ default_type text/plain; return 200 'all is well\\n'; }}\n\
             location = /moved {{ return 301 /health; }}\n\
             location = /busy {{ add_header Retry-After 30 always; return 503; }}\n\
           }}\n\
         }}\n",
        dir.display()
    );
    fs::write(dir.join("nginx.conf"), config).expect("its config");
    let config = dir.join("nginx.conf");
    let prefix = dir.display().to_string();
    let nginx = server(&program, &["-c", &config.display().to_string(), "-p", &prefix]);
    let url = |path: &str| format!("http://127.0.0.1:{port}/{path}");
    comes_up(&cb, &["--http", &url("health")]);

    let well = ["probe", "pay", "--http", &url("health"), "--expect-body", "all is well"];
    cb.run(well).code(0).stdout_has("pay: healthy: HTTP 200").stderr("");
    let moved = url("moved");
    cb.run(["probe", "--http", &moved]).code(1).stdout_has("HTTP 301");
    cb.run(["probe", "--http", &moved, "--redirects", "1"]).code(0).stdout_has("HTTP 200");
    cb.run(["probe", "--http", &url("none")]).code(1).stdout_has("HTTP 404");
    // Five looks in a row open it, and nginx says for how long.
    for _ in 0..5 {
        cb.run(["probe", "pay", "--http", &url("busy")]).code(1).stdout_has("HTTP 503");
    }
    cb.is("pay", "open");
    nginx.send(libc::SIGTERM);
    nginx.end().code(0);
    cb.run(["probe", "--http", &url("health")]).code(1).stdout_has("connection refused");
}

#[test]
fn the_server_of_python() {
    let Some(program) = installed("python3") else { return };
    let cb = Cb::new();
    let port = free_port().to_string();
    let dir = cb.path("pages");
    fs::create_dir(&dir).expect("its directory");
    fs::write(dir.join("status.json"), "{\"queue\": {\"depth\": 3}, \"ok\": true}")
        .expect("a page");
    let dir = dir.display().to_string();
    let args = ["-m", "http.server", "--bind", "127.0.0.1", "--directory", &dir, &port];
    let python = server(&program, &args);
    let url = format!("http://127.0.0.1:{port}/status.json");
    // It speaks HTTP/1.0, and closes the connection after each answer.
    comes_up(&cb, &["--http", &url]);
    let expected = |what: &str| cb.run(["probe", "--http", &url, "--expect-json", what]);
    expected("/ok=true").code(0);
    expected("/queue/depth=3").code(0);
    expected("/queue/depth=4").code(1).stdout_has("/queue/depth");
    expected("/queue/length=4").code(1).stdout_has("/queue/length");
    drop(python);
}

#[test]
fn redis_by_its_port() {
    let Some(program) = installed("redis-server") else { return };
    let cb = Cb::new();
    let port = free_port();
    let dir = cb.path(".").display().to_string();
    let args = ["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--dir", &dir];
    let redis = server(&program, &args);
    let at = format!("127.0.0.1:{port}");
    comes_up(&cb, &["--tcp", &at]);
    cb.run(["probe", "cache", "--tcp", &at]).code(0).stdout_has("cache: healthy: ");
    redis.send(libc::SIGTERM);
    redis.end().code(0);
    cb.run(["probe", "cache", "--tcp", &at]).code(1).stdout_has("connection refused");
}

#[test]
fn memcached_by_its_socket() {
    let Some(program) = installed("memcached") else { return };
    let cb = Cb::new();
    let socket = cb.path("memcached.sock").display().to_string();
    let mut args = vec!["-s", &socket];
    if rustix::process::geteuid().is_root() {
        args.extend(["-u", "root"]);
    }
    let memcached = server(&program, &args);
    comes_up(&cb, &["--unix", &socket]);
    cb.run(["probe", "sessions", "--unix", &socket]).code(0).stdout_has(&socket);
    memcached.send(libc::SIGKILL);
    memcached.end().signal(libc::SIGKILL);
    // The socket is still there, and nobody behind it.
    cb.run(["probe", "sessions", "--unix", &socket]).code(1).stdout_has("connection refused");
}
