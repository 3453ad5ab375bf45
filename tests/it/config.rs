//! `cb config`, as a person calls it.

use crate::support::Cb;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A home of its own, so that no config of the machine's user is read.
struct Home(TempDir);

impl Home {
    fn new() -> Home {
        Home(tempfile::tempdir().expect("a directory"))
    }

    fn file(&self, path: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("created");
        fs::write(&path, text).expect("written");
        path
    }

    fn cb(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cb"));
        command.args(args).current_dir(self.0.path()).env_clear().env("HOME", self.0.path());
        command
    }
}

#[track_caller]
fn check(command: &mut Command, code: i32, stdout: &str, stderr: &str) {
    let output = command.output().expect("cb runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    assert!(out.contains(stdout), "{out}");
    assert!(err.contains(stderr) && (!stderr.is_empty() || err.is_empty()), "{err}");
}

#[test]
fn path_tells_where_cb_looks() {
    let home = Home::new();
    let user = home.0.path().join(".config/cb/config.toml");
    let line = |found: &str, path: &std::path::Path| format!("{found}  {}\n", path.display());
    check(&mut home.cb(&["config", "path"]), 0, &line("not found", &user), "");
    check(&mut home.cb(&["config", "path"]), 0, "/etc/cb/config.toml\n", "");
    home.file(".config/cb/config.toml", "");
    check(&mut home.cb(&["config", "path"]), 0, &line("found    ", &user), "");
    let xdg = home.file("xdg/cb/config.toml", "");
    let mut command = home.cb(&["config", "path"]);
    check(
        command.env("XDG_CONFIG_HOME", home.0.path().join("xdg")),
        0,
        &line("found    ", &xdg),
        "",
    );
    check(command.env_remove("HOME"), 0, &line("found    ", &xdg), "");
    check(command.env("XDG_CONFIG_HOME", "relative").env("HOME", "."), 0, "/.config/cb/", "");
    check(command.env("CB_CONFIG", "/named"), 0, "not found  /named\n", "");
    check(command.args(["--config", "/flag"]), 0, "not found  /flag\n", "");
}

#[test]
fn show_tells_each_value_and_its_place() {
    let home = Home::new();
    let path = home.file(
        ".config/cb/config.toml",
        "[defaults]\nwindow = '60s'\n[breaker.'p*']\nfailures = 3\n\
         [breaker.rates]\non_open = ['cache:600s', ['/bin/offer', \"a\\u001b\"], 'run:./x']\n",
    );
    let place = format!("3         {}:4 [breaker.\"p*\"]\n", path.display());
    check(&mut home.cb(&["config", "show", "pay"]), 0, &place, "");
    check(
        &mut home.cb(&["config", "show", "pay"]),
        0,
        "open_for              30s       default\n",
        "",
    );
    check(
        &mut home.cb(&["config", "show", "rates"]),
        0,
        r#"on_open               ["cache:10m", ["/bin/offer", "a\u001B"], "run:./x"]  /"#,
        "",
    );
    check(
        &mut home.cb(&["config", "show", "mail"]),
        0,
        "failures              0         default\n",
        "",
    );
    let output = home.cb(&["config", "show", "pay", "--json"]).output().expect("cb runs");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["schema"], "cb.config/1");
    assert_eq!(json["settings"][0]["value"], "1m");
    assert_eq!(json["settings"][0]["source"]["line"], 2);
    assert_eq!(json["settings"].as_array().map(Vec::len), Some(43));
    let output = home.cb(&["config", "show", "rates", "--json"]).output().expect("cb runs");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let actions = serde_json::json!(["cache:10m", ["/bin/offer", "a\u{1b}"], "run:./x"]);
    assert_eq!(json["settings"][28]["value"], actions);
    check(
        &mut home.cb(&["config", "show", "../x"]),
        125,
        "",
        "cb: '../x' is no name for a breaker",
    );
}

#[test]
fn show_tells_of_the_probe_and_of_no_secret() {
    let home = Home::new();
    let path = home.file(
        ".config/cb/config.toml",
        "[defaults.probe]\ntimeout = '2s'\n[breaker.pay.probe]\nhttp = 'https://u:secret@h/up'\n\
         header = ['Authorization: secret', 'X-A: b']\nbody = 'secret'\nrise = 3\n\
         expect_status = ['200-204', 304]\n",
    );
    let output = home.cb(&["config", "show", "pay"]).output().expect("cb runs");
    let said = String::from_utf8(output.stdout).expect("text");
    let has = |key: &str, value: &str, place: &str| {
        let line = said.lines().find(|line| line.starts_with(&format!("{key} ")));
        let line = line.unwrap_or_else(|| panic!("no {key}: {said}"));
        let rest = line[key.len()..].trim_start().strip_prefix(value).expect(line);
        assert_eq!(rest.trim_start(), place, "{line}");
    };
    let at = |line: u32, section: &str| format!("{}:{line} {section}", path.display());
    has("rise", "3", &at(7, "[breaker.pay.probe]"));
    has("probe.http", "https://...@h/up", &at(4, "[breaker.pay.probe]"));
    has("probe.timeout", "2s", &at(2, "[defaults.probe]"));
    has("probe.header", "authorization, x-a", &at(5, "[breaker.pay.probe]"));
    has("probe.body", "(6 bytes)", &at(6, "[breaker.pay.probe]"));
    has("probe.method", "POST", "default");
    has("probe.expect_status", "200-204, 304", &at(8, "[breaker.pay.probe]"));
    assert!(!said.contains("secret") && !said.contains("probe.record"), "{said}");

    let json = |name: &str| -> serde_json::Value {
        let output = home.cb(&["config", "show", name, "--json"]).output().expect("cb runs");
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let pay = json("pay");
    assert!(!pay.to_string().contains("secret"), "{pay}");
    let probe = |key: &str| {
        let all = pay["probe"].as_array().expect("a list");
        all.iter().find(|one| one["key"] == key).unwrap_or_else(|| panic!("no {key}")).clone()
    };
    assert_eq!(probe("header")["value"], serde_json::json!(["authorization", "x-a"]));
    assert_eq!(probe("expect_status")["value"], serde_json::json!(["200-204", "304"]));
    assert_eq!(probe("timeout")["source"]["section"], "[defaults.probe]");
    assert_eq!(probe("insecure")["value"], false);
    assert_eq!(probe("body_max")["value"], 1 << 20);
    assert!(probe("ca")["value"].is_null());
    assert!(json("mail")["probe"].is_null());
}

#[test]
fn check_tells_what_is_wrong_with_probes() {
    let home = Home::new();
    let path = home.file(
        ".config/cb/config.toml",
        "[breaker.pay.probe]\nhttp = 'localhost/up'\ntcp = 'h:1'\nexpct_status = 200\n",
    );
    let at = |line: u32, rest: &str| format!("error: {}:{line}: {rest}", path.display());
    let summary = format!("cb: {}: cb cannot use this file", path.display());
    let all = [
        at(2, "http = \"localhost/up\" in [breaker.pay.probe]: no scheme; allowed: a URL"),
        at(4, "unknown key 'expct_status'; did you mean 'expect_status'? in [breaker.pay.probe]"),
    ];
    for expected in &all {
        check(&mut home.cb(&["config", "check"]), 125, expected, &summary);
    }
    home.file(".config/cb/config.toml", "[breaker.pay.probe]\ntcp = 'h:1'\n");
    check(&mut home.cb(&["config", "check"]), 0, "ok: ", "");
}

#[test]
fn check_lists_every_problem_and_fails() {
    let home = Home::new();
    check(&mut home.cb(&["config", "check"]), 0, "ok: no config file; the defaults hold\n", "");
    let path = home.file(".config/cb/config.toml", "[defaults]\nfailures = 3\n");
    check(&mut home.cb(&["config", "check"]), 0, &format!("ok: {}\n", path.display()), "");
    home.file(".config/cb/config.toml", "[defaults]\nopen_fro = 1\nfailures = -3\n");
    let at = |line: u32| format!("error: {}:{line}: ", path.display());
    let summary = format!("cb: {}: cb cannot use this file", path.display());
    check(&mut home.cb(&["config", "check"]), 125, &at(2), &summary);
    check(&mut home.cb(&["config", "check"]), 125, &at(3), &summary);
    let first =
        format!("cb: {}:2: unknown key 'open_fro'; did you mean 'open_for'?", path.display());
    check(&mut home.cb(&["config", "show", "x"]), 125, "", &first);
    let dead = "[breaker.a]\nfailures = 0\nconsecutive_failures = 0\nfailure_rate = 0\n";
    home.file(".config/cb/config.toml", dead);
    check(&mut home.cb(&["config", "check"]), 0, "warning: ", "");
    check(
        &mut home.cb(&["config", "check", "--config", "/nonexistent"]),
        125,
        "no such file",
        "cb: ",
    );
}

#[test]
fn nothing_is_read_from_the_current_directory() {
    let home = Home::new();
    home.file("config.toml", "broken");
    home.file("cb/config.toml", "broken");
    home.file(".config/cb.toml", "broken");
    check(&mut home.cb(&["config", "check"]), 0, "ok: no config file", "");
    check(home.cb(&["config", "check"]).env("XDG_CONFIG_HOME", "."), 0, "ok: no config file", "");
}

#[test]
fn what_is_wrong_with_a_probe_stops_no_call() {
    let text = "[breaker.pay]\nfailures = 3\n[breaker.pay.probe]\nhttp = 'no-scheme'\n\
                expect_regex = ['(']\nrise = 4\n";
    let cb = Cb::new().config(text);
    cb.exec("pay", ["true"]).code(0).stderr("");
    assert_eq!(cb.status("pay")["policy"]["rise"], 4);
    cb.run(["wait", "pay"]).code(0).stderr("");
    for words in [&["probe", "pay"][..], &["probe", "--all"], &["wait", "--probe", "pay"]] {
        cb.run(words).code(125).one_line("http = \"no-scheme\" in [breaker.pay.probe]: no scheme");
    }
    let check = cb.run(["config", "check"]).code(125).stdout_has("expect_regex");
    assert!(!check.stdout_text().contains("nothing says what to look at"), "{check}");
    // What a probe may do to the breaker is for calls too.
    let text = "[breaker.pay.probe]\nhttp = 'http://h/'\nrise = 0\n";
    Cb::new().config(text).exec("pay", ["true"]).code(125).one_line("rise = 0");
}
