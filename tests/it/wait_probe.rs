//! `cb wait --probe`: it looks by itself at what it waits for.

use std::fs;
use std::os::unix::net::UnixListener;

use crate::live::Live;
use crate::servers::faults::closed_port;
use crate::servers::http::HttpServer;
use crate::support::{Cb, eventually};

/// A cb whose breakers of these names probe sockets of the same names.
fn with_sockets(names: &[&str]) -> Cb {
    let cb = Cb::new();
    let section = |name: &&str| {
        let path = cb.path(&format!("{name}.sock")).display().to_string();
        format!(
            "[breaker.{name}]\nconsecutive_failures = 0\nfailure_rate = \"0%\"\n[breaker.{name}.probe]\nunix = {path:?}\ninterval = \"50ms\"\n"
        )
    };
    let text: String = names.iter().map(section).collect();
    cb.config(&text)
}

/// The server behind a breaker of these begins.
fn begin(cb: &Cb, name: &str) -> UnixListener {
    let path = cb.path(&format!("{name}.sock"));
    let _ = fs::remove_file(&path);
    UnixListener::bind(path).expect("a socket")
}

/// The wait has looked so often and found nothing.
#[track_caller]
fn looked(cb: &Cb, name: &str, times: u64) {
    eventually("it looks", || cb.store().join(name).exists() && cb.total(name, "failed") >= times);
}

fn wait(cb: &Cb, args: &[&str]) -> Live {
    Live::start(cb.command([&["wait", "--probe"], args].concat()))
}

#[test]
fn it_waits_until_the_server_is_there() {
    let cb = with_sockets(&["db"]);
    let live = wait(&cb, &["db"]);
    looked(&cb, "db", 2);
    let _server = begin(&cb, "db");
    live.end().code(0).stdout("").stderr("");
    assert_eq!(cb.status("db")["last_probe"]["outcome"], "success");
    assert_eq!(cb.total("db", "succeeded"), 1);
}

#[test]
fn several_are_waited_for_and_each_only_as_long_as_it_takes() {
    let cb = with_sockets(&["a", "b", "c"]);
    let _c = begin(&cb, "c");
    let live = wait(&cb, &["a", "b", "c", "a"]);
    looked(&cb, "a", 1);
    let _a = begin(&cb, "a");
    eventually("a is well", || cb.total("a", "succeeded") == 1);
    // From then on nobody looks at a and c any more.
    looked(&cb, "b", cb.total("b", "failed") + 2);
    let _b = begin(&cb, "b");
    live.end().code(0).stdout("").stderr("");
    for name in ["a", "b", "c"] {
        assert_eq!(cb.total(name, "succeeded"), 1, "{name}");
    }
    assert_eq!(cb.total("c", "failed"), 0);
}

#[test]
fn when_the_time_is_up_it_says_what_it_found() {
    let web = HttpServer::new();
    let cb = Cb::new().config(&format!(
        "[breaker.pay.probe]\nhttp = \"{}\"\n[breaker.db.probe]\ntcp = \"{}\"\n[breaker.ok.probe]\nhttp = \"{}\"\n",
        web.url("/status/503"),
        closed_port(),
        web.url("/"),
    ));
    let ran =
        cb.run(["wait", "--probe", "ok", "pay", "db", "--timeout", "300ms"]).code(124).stdout("");
    assert_eq!(
        ran.stderr_text(),
        "cb: pay: closed, and not healthy after 300ms: HTTP 503 Service Unavailable, expected 200-299 \
         (waiting for: healthy)\ncb: db: closed, and not healthy after 300ms: connect: connection refused \
         (waiting for: healthy)\n"
    );
    cb.run(["wait", "--probe", "pay", "--timeout", "100ms", "-q"]).code(124).stdout("").stderr("");
}

#[test]
fn who_has_no_time_looks_once() {
    let cb = with_sockets(&["db"]);
    cb.run(["wait", "--probe", "db", "--timeout", "0"])
        .code(124)
        .one_line("there is no such socket");
    assert_eq!(cb.total("db", "failed"), 1);
    let _server = begin(&cb, "db");
    cb.run(["wait", "--probe", "db", "--timeout", "0"]).code(0).stdout("").stderr("");
    assert_eq!((cb.total("db", "failed"), cb.total("db", "succeeded")), (1, 1));
}

#[test]
fn what_was_well_before_is_looked_at_again() {
    let cb = with_sockets(&["db"]);
    let server = begin(&cb, "db");
    cb.run(["probe", "db"]).code(0);
    drop(server);
    // Without a look of its own it believes the latest.
    cb.run(["wait", "db", "--until", "healthy", "--timeout", "0"]).code(0);
    cb.run(["wait", "--probe", "db", "--timeout", "0"]).code(124).one_line("connection refused");
}

#[test]
fn the_time_that_is_left_ends_a_look_under_way() {
    let web = HttpServer::new();
    let url = web.url("/silent");
    let cb =
        Cb::new().config(&format!("[breaker.pay.probe]\nhttp = \"{url}\"\ntimeout = \"10m\"\n"));
    let ran = cb.run(["wait", "--probe", "pay", "--timeout", "300ms"]).code(124);
    ran.one_line("cb: pay: closed, and not healthy after 300ms: ");
}

#[test]
fn a_signal_ends_it_also_while_it_looks() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let cb = with_sockets(&["db"]);
        let live = wait(&cb, &["db"]);
        looked(&cb, "db", 1);
        live.send(signal);
        live.end().signal(signal).stdout("").stderr("");

        let web = HttpServer::new();
        let url = web.url("/silent");
        let cb = Cb::new()
            .config(&format!("[breaker.pay.probe]\nhttp = \"{url}\"\ntimeout = \"10m\"\n"));
        let live = wait(&cb, &["pay"]);
        eventually("it asks", || !web.seen().is_empty());
        live.send(signal);
        live.end().signal(signal).stdout("").stderr("");
        assert_eq!(cb.total("pay", "failed"), 0);
    }
}

#[test]
fn a_breaker_without_a_probe_is_refused_before_any_look() {
    let cb = with_sockets(&["db"]);
    cb.run(["wait", "--probe", "db", "payment"])
        .code(125)
        .stdout("")
        .one_line("no probe for 'payment'");
    assert!(!cb.store().join("db").exists());
}

#[test]
fn its_own_looks_make_the_trial_of_an_open_breaker_due() {
    let cb = with_sockets(&["db"]);
    cb.run(["trip", "db", "--for", "1h"]).code(0);
    cb.run(["check", "db", "-q"]).code(75);
    let live = wait(&cb, &["db", "--until", "admitting"]);
    eventually("it looks", || cb.status("db")["last_probe"]["outcome"] == "failure");
    let _server = begin(&cb, "db");
    live.end().code(0).stdout("").stderr("");
    cb.is("db", "open").run(["check", "db", "-q"]).code(0);
    cb.exec("db", ["true"]).code(0);
    cb.is("db", "closed");
}

#[test]
fn healthy_is_enough_while_the_breaker_is_open() {
    let cb = with_sockets(&["db"]);
    let _server = begin(&cb, "db");
    cb.run(["trip", "db", "--for", "1h"]).code(0);
    wait(&cb, &["db"]).end().code(0);
    cb.is("db", "open");
}

#[test]
fn good_looks_close_it_where_they_may() {
    let path = |cb: &Cb| cb.path("db.sock").display().to_string();
    let cb = Cb::new();
    let text = format!(
        "[breaker.db]\nrise = 3\nprobe_closes = true\n[breaker.db.probe]\nunix = {:?}\ninterval = \"20ms\"\n",
        path(&cb)
    );
    let cb = cb.config(&text);
    let _server = begin(&cb, "db");
    cb.run(["trip", "db", "--for", "1h"]).code(0);
    wait(&cb, &["db", "--until", "closed"]).end().code(0).stdout("").stderr("");
    cb.is("db", "closed");
    // They only looked: none of them was a call.
    assert_eq!(cb.total("db", "succeeded"), 0);
}

#[test]
fn a_wait_that_makes_nothing_due_says_how_the_breaker_stands() {
    let cb = with_sockets(&["db"]);
    cb.run(["trip", "db", "--for", "1h"]).code(0);
    let args = ["wait", "--probe", "db", "--until", "admitting", "--timeout", "200ms"];
    cb.run(args).code(124).one_line("cb: db: still open after 200ms: next trial in ");
}
