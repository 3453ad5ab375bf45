//! What each attempt of a call reads: the same stdin, from its beginning, where
//! that can be had.

use std::fs::{self, File};
use std::process::Stdio;

use crate::live::Live;
use crate::pty::Pty;
use crate::retries::{COUNT, sh, soon};
use crate::support::{Cb, Ran, eventually};

/// What every attempt of two reads, with a stdin that the test gives.
#[track_caller]
fn read_by_both(cb: &Cb, stdin: Stdio) -> [String; 2] {
    let mut command = sh(cb, &soon("1"), "cat > read-$CB_ATTEMPT; exit 1");
    command.stdin(stdin);
    Live::start(command).end().code(1);
    ["read-1", "read-2"].map(|name| fs::read_to_string(cb.path(name)).expect("what was read"))
}

#[test]
fn a_file_is_read_anew_by_each_attempt() {
    let cb = Cb::new();
    fs::write(cb.path("input"), "skipped\nfirst\nsecond\n").unwrap();
    let mut file = File::open(cb.path("input")).unwrap();
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(8)).unwrap();
    assert_eq!(read_by_both(&cb, file.into()), ["first\nsecond\n"; 2]);
    assert_eq!(read_by_both(&cb, Stdio::null()), ["", ""]);
}

#[test]
fn a_pipe_is_replayed_to_each_attempt() {
    let input: Vec<u8> = (0..=255).cycle().take(5 << 20).collect();
    // None of it, a part, all, and in an attempt that others follow.
    for first in
        ["true", "head -c 10 > /dev/null", "head -c 3000000 > /dev/null", "cat > /dev/null"]
    {
        let cb = Cb::new();
        let script = format!("test $CB_ATTEMPT = 3 || {{ {first}; exit 1; }}; cat");
        let ran = Ran::fed(sh(&cb, &soon("2"), &script), &input).code(0);
        assert!(ran.output.stdout == input, "{first}: {} bytes", ran.output.stdout.len());
    }
}

#[test]
fn a_socket_is_replayed_to_each_attempt() {
    let cb = Cb::new();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let writer = std::thread::spawn(move || {
        std::io::Write::write_all(&mut &ours, b"said\n").expect("it is read");
    });
    assert_eq!(read_by_both(&cb, std::os::fd::OwnedFd::from(theirs).into()), ["said\n"; 2]);
    writer.join().expect("it wrote");
}

#[test]
fn a_pipe_over_the_bound_is_for_one_attempt() {
    const BOUND: usize = 64 << 20;
    let mut input = vec![b'x'; BOUND];
    let script = "echo $CB_ATTEMPT >> attempts; cat | wc -c >> read; exit 1";
    let cb = Cb::new();
    Ran::fed(sh(&cb, &soon("1"), script), &input).code(1).one_line("attempt 1 of 2");
    assert_eq!(cb.lines("read"), [BOUND.to_string(), BOUND.to_string()]);
    input.push(b'x');
    let cb = Cb::new();
    let ran = Ran::fed(sh(&cb, &soon("3"), script), &input).code(1);
    ran.one_line("cb: pay: not tried again: its stdin is over 64 MiB\n");
    assert_eq!(cb.lines("read"), [(BOUND + 1).to_string()]);
    // What it did not read to the end is no loss to one that succeeds.
    Ran::fed(sh(&cb, &soon("3"), "cat > /dev/null"), &input).code(0).stderr("");
}

#[test]
fn what_cannot_be_kept_is_for_one_attempt() {
    // What is more than memory is for goes to a file, and there is no place for it.
    let cb = Cb::new().env("TMPDIR", "/dev/null");
    let input = vec![b'x'; 3 << 20];
    let script = "echo $CB_ATTEMPT >> attempts; cat | wc -c >> read; exit 1";
    let ran = Ran::fed(sh(&cb, &soon("3"), script), &input).code(1);
    ran.one_line("cb: pay: not tried again: its stdin could not be kept");
    assert_eq!(cb.lines("read"), [input.len().to_string()]);
    let queue = ["--on-failure=queue", "--drain=manual"];
    let ran = Ran::fed(sh(&cb, &queue, script), &input).code(1);
    ran.one_line("; not queued: its stdin could not be kept");
    // Held output that cannot be kept is passed on, all of it.
    let script = "head -c 3000000 /dev/zero; exit 1";
    let ran = Ran::of(sh(&cb, &[&soon("3")[..], &["--hold-stdout"]].concat(), script)).code(1);
    assert_eq!(ran.output.stdout.len(), 3_000_000);
    ran.one_line("not tried again: its output was too much to hold back");
    // Little stays in memory.
    let ran = Ran::fed(sh(&cb, &[&soon("1")[..], &["-q"]].concat(), "cat; exit 1"), b"few ");
    ran.code(1).stdout("few few ").stderr("");
}

#[test]
fn a_pipe_that_nobody_closes_is_not_waited_for() {
    let cb = Cb::new();
    let mut command = sh(&cb, &soon("2"), COUNT);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("cb starts");
    let kept_open = child.stdin.take();
    assert_eq!(crate::live::ended(&mut child).code(), Some(7));
    assert_eq!(cb.lines("attempts").len(), 3);
    drop(kept_open);
}

#[test]
fn a_line_reaches_an_attempt_while_the_pipe_is_open() {
    let cb = Cb::new();
    let script = "read line; echo \"$line\" > read-$CB_ATTEMPT; read more; test $CB_ATTEMPT = 2";
    let mut command = sh(&cb, &soon("1"), script);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("cb starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, b"one\n").expect("it is read");
    eventually("it reads a line", || cb.lines("read-1") == ["one"]);
    std::io::Write::write_all(&mut stdin, b"two\n").expect("it is read");
    drop(stdin);
    assert_eq!(crate::live::ended(&mut child).code(), Some(0));
    assert_eq!(cb.lines("read-2"), ["one"]);
}

#[test]
fn a_terminal_is_read_on() {
    let cb = Cb::new();
    let script = "echo ready $CB_ATTEMPT; read line; echo got $line in $CB_ATTEMPT; exit 1";
    let mut pty = Pty::start(sh(&cb, &soon("1"), script));
    pty.sees("ready 1");
    pty.line("alpha");
    pty.sees("got alpha in 1");
    pty.sees("ready 2");
    pty.line("beta");
    pty.sees("got beta in 2");
    assert_eq!(pty.end().code(), Some(1));
}
