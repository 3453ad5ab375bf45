//! Completion: in real shells, with the scripts that cb prints. A shell that is
//! not installed is skipped.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

use crate::support::{base, plain, skipped};

/// A store with two breakers, a config with a third, `cb` in PATH, and files.
struct Desk(TempDir);

impl Desk {
    fn new() -> Desk {
        let desk = Desk(tempfile::tempdir_in(base()).expect("a directory"));
        for dir in ["store/pay", "store/mail", "store/.hidden", "bin", "home", "work/folder"] {
            fs::create_dir_all(desk.path(dir)).expect("created");
        }
        fs::write(desk.path("store/no-breaker"), "").expect("written");
        fs::write(desk.path("work/file1"), "").expect("written");
        fs::write(desk.path("config.toml"), "[breaker.ext]\n[breaker.'p*']\n").expect("written");
        for name in ["cb", "only-on-this-desk"] {
            symlink(env!("CARGO_BIN_EXE_cb"), desk.path("bin").join(name)).expect("linked");
        }
        desk
    }

    fn path(&self, below: &str) -> std::path::PathBuf {
        self.0.path().join(below)
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let path =
            format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new(program);
        plain(&mut command);
        command
            .args(args)
            .current_dir(self.path("work"))
            .env("PATH", path)
            .env("HOME", self.path("home"))
            .env("CB_STORE", self.path("store"))
            .env("CB_CONFIG", self.path("config.toml"));
        command
    }

    /// What the program prints; nothing if it is not installed.
    fn output(&self, program: &str, args: &[&str]) -> Option<Output> {
        match self.command(program, args).output() {
            Ok(output) => Some(output),
            Err(_) => {
                skipped(format_args!("{program} is not installed"));
                None
            }
        }
    }
}

fn said(output: &Output) -> String {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text")
}

#[test]
fn the_committed_scripts_are_those_that_cb_prints() {
    let files = [
        ("bash", "cb.bash"),
        ("zsh", "_cb"),
        ("fish", "cb.fish"),
        ("powershell", "cb.ps1"),
        ("elvish", "cb.elv"),
    ];
    for (shell, file) in files {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions").join(file);
        let committed = fs::read_to_string(&path).unwrap_or_default();
        let printed = cb::commands::completions::script(shell);
        assert!(committed == printed, "run: cb completions {shell} >completions/{file}");
        assert!(!printed.contains(" COMPLETE=") && printed.contains("CB_COMPLETE"));
    }
}

/// What can come at the end of each line of words, a line each.
const BASH: &str = r#"
source <(cb completions bash) || exit 1
ask() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9; COMPREPLY=()
    _clap_complete_cb cb "${!#}" "${COMP_WORDS[COMP_CWORD-1]}"
    echo "${COMPREPLY[@]}"
}
ask cb stat
ask cb exec p
ask cb trip ''
ask cb exec --open-f
ask cb exec pay only-on-th
ask cb exec pay cat f
ask cb exec -q pay --open-for 5s -- cat --he
ask cb exec pay --timeo
ask cb hold pay force
ask cb --store /nonexistent status e
ask cb completions z
ask cb queue run p
ask cb queue add pay only-on-th
ask cb queue add pay cat f
ask cb queue list --state fa
ask cb exec --on-open ca
ask cb exec --drain m
ask cb prob
ask cb probe p
ask cb probe --expect-j
ask cb probe --record C
ask cb probe --ca f
ask cb probe --tcp h:1 pay -- only-on-th
ask cb probe -- cat f
ask cb probe --insecure=f
ask cb wait --until h
ask cb wait pay m
"#;

#[test]
fn bash_completes() {
    let Some(output) = Desk::new().output("bash", &["--norc", "-c", BASH]) else { return };
    let expected = [
        "status",
        "pay",
        "ext mail pay --for --reason --quiet --store --config --help",
        "--open-for",
        "only-on-this-desk",
        "folder/ file1",
        "",
        "--timeout",
        "forced-open",
        "ext",
        "zsh",
        "pay",
        "only-on-this-desk",
        "folder/ file1",
        "failed",
        "cache",
        "manual",
        "probe",
        "pay",
        "--expect-json",
        "CAA CNAME",
        "folder/ file1",
        "only-on-this-desk",
        "folder/ file1",
        "--insecure=false",
        "healthy",
        "mail",
    ];
    let said = said(&output);
    let lines: Vec<_> = said.lines().map(sorted).collect();
    assert_eq!(lines, expected.map(sorted));
}

fn sorted(line: &str) -> Vec<&str> {
    let mut words: Vec<_> = line.split(' ').collect();
    words.sort_unstable();
    words
}

#[test]
fn fish_completes() {
    let script = "cb completions fish | source
        complete -C 'cb exec p'
        echo -; complete -C 'cb exec pay cat f'
        echo -; complete -C 'cb config show '
        echo -; complete -C 'cb exec --on-store-error '
        echo -; complete -C 'cb exec --consec'";
    let Some(output) = Desk::new().output("fish", &["--no-config", "-c", script]) else { return };
    let said = said(&output);
    let answers: Vec<_> = said.split("-\n").collect();
    assert_eq!(answers[0], "pay\n");
    assert_eq!(sorted(&answers[1].trim().replace('\n', " ")), ["file1", "folder/"]);
    assert!(answers[2].starts_with("ext\nmail\npay\n"), "{said}");
    assert_eq!(answers[3], "run\nrefuse\n");
    assert!(answers[4].starts_with("--consecutive-failures\tOpen after N failures"), "{said}");
}

/// A terminal with a zsh in it that finds `_cb` as installed; the first TAB
/// must complete already.
const ZSH: &str = r#"
zmodload zsh/zpty || exit 1
mkdir -p "$HOME/functions" && cb completions zsh >"$HOME/functions/_cb"
zpty z 'TERM=dumb zsh -f -i'
zpty -w z 'fpath=("$HOME/functions" $fpath); autoload -Uz compinit; compinit -u -D; print S''ET'
zpty -r -m z out '*SET*' || exit 2
zpty -w -n z $'cb exec pa\t'
zpty -r -m z out '*cb exec pay *' || exit 3
zpty -w -n z $'cat fil\t'
zpty -r -m z out '*cat file1 *' || exit 4
zpty -d z
print complete
"#;

#[test]
fn zsh_completes_at_the_first_tab() {
    if Command::new("zsh").arg("--version").output().is_err() {
        return skipped("zsh is not installed");
    }
    let Some(output) = Desk::new().output("timeout", &["60", "zsh", "-f", "-c", ZSH]) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), "complete", "{output:?}");
}

#[test]
fn elvish_is_answered_one_candidate_a_line() {
    let desk = Desk::new();
    let output = desk
        .command("cb", &["--", "cb", "exec", "p"])
        .env("CB_COMPLETE", "elvish")
        .env("_CLAP_COMPLETE_INDEX", "2")
        .env("_CLAP_IFS", "\n")
        .output()
        .expect("cb runs");
    assert_eq!(said(&output), "pay");
    let Some(output) = desk.output("elvish", &["-norc", "-c", "cb completions elvish | slurp"])
    else {
        return;
    };
    assert!(said(&output).contains("arg-completer[cb]"));
}

#[track_caller]
fn check_silent(desk: &Desk, shell: &str, args: &[&str], store: &Path) {
    let output = desk
        .command("cb", args)
        .env("CB_COMPLETE", shell)
        .env("CB_STORE", store)
        .env("CB_CONFIG", "/nonexistent")
        .output()
        .expect("cb runs");
    assert!(output.stderr.is_empty() && output.status.success(), "{shell} {args:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{shell} {args:?}: {output:?}");
}

#[test]
fn what_is_broken_has_no_completions_and_no_messages() {
    let desk = Desk::new();
    let file = desk.path("store/no-breaker");
    check_silent(&desk, "fish", &["--", "cb", "trip", "p"], &file);
    check_silent(&desk, "fish", &["--", "cb", "trip", "p"], Path::new("/nonexistent"));
    check_silent(&desk, "fish", &["--"], &file);
    check_silent(&desk, "tcsh", &["--", "cb", "trip", "p"], &file);
    check_silent(&desk, "bash", &["--", "cb", "trip", "p"], &file);
}

#[test]
fn a_stray_variable_changes_no_other_call() {
    let output = Desk::new()
        .command("cb", &["config", "path"])
        .env("CB_COMPLETE", "bash")
        .env("COMPLETE", "bash")
        .output()
        .expect("cb runs");
    assert!(said(&output).contains("/etc/cb/config.toml"));
}
