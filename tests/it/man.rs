//! Manual pages: complete, and without errors of the tools that render them.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{binary, plain, skipped};

fn man(args: &[&str]) -> String {
    let mut command = Command::new(binary());
    plain(&mut command);
    let output = command.arg("man").args(args).output().expect("cb runs");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// What a tool says to a page; nothing if it is not installed.
fn through(program: &str, args: &[&str], page: &str) -> Option<String> {
    let child = Command::new(program)
        .args(args)
        .env("MANWIDTH", "80")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        skipped(format_args!("{program} is not installed"));
        return None;
    };
    child.stdin.take().expect("a pipe").write_all(page.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("ended");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn pages_have_their_sections() {
    let root = man(&[]);
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "OPTIONS", "EXAMPLES", "FILES"] {
        assert!(root.lines().any(|line| line == format!(".SH {section}")), "{section}");
    }
    let exec = man(&["exec"]);
    for section in ["\"EXIT STATUS\"", "ENVIRONMENT", "\"SEE ALSO\"", "POLICY"] {
        assert!(exec.lines().any(|line| line == format!(".SH {section}")), "{section}");
    }
    assert!(
        exec.contains("CB_BREAKER") && exec.contains("CB_ATTEMPT") && exec.contains("CB_STORE")
    );
    let queue = man(&["queue"]);
    assert!(queue.contains("run [OPTIONS]") && queue.contains("\\-\\-rate <N/s>"), "{queue}");
    assert!(queue.contains("policy options of cb\\-exec(1)") && !queue.contains("worker"));
}

#[test]
fn all_pages_are_sound_and_render() {
    let dir = tempfile::tempdir().expect("a directory");
    let target = dir.path().join("man1");
    man(&["--dir", target.to_str().expect("text")]);
    let pages: Vec<_> =
        fs::read_dir(&target).expect("read").map(|e| e.expect("read").path()).collect();
    assert_eq!(pages.len(), 19);
    for path in pages {
        let page = fs::read_to_string(&path).expect("read");
        if let Some(lint) = through("mandoc", &["-Tlint"], &page) {
            assert!(
                !lint.contains("ERROR") && !lint.contains("UNSUPP"),
                "{}: {lint}",
                path.display()
            );
        }
        if let Some(text) = through("groff", &["-man", "-Tascii", "-P-c"], &page) {
            let name = path.file_stem().expect("a name").to_string_lossy().to_uppercase();
            assert!(text.contains(&format!("{name}(1)")), "{text}");
        }
    }
}
