//! `cb config`, as a person calls it.

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
