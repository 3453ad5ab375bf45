//! Output and stdin that go through cb.

use std::process::{Command, Stdio};

use super::*;
use crate::process::{Capture, Input, NotAgain, Output, Stdin, Tap};

/// Keeps what it is given.
#[derive(Default)]
struct Kept(Vec<u8>);

impl Tap for Kept {
    fn take(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// What a script writes, captured: the report, and what is known of the capture.
fn captured(script: &str, capture: &mut Capture<'_>) -> String {
    let startup = Startup::take_over(Vec::new());
    run_captured(script, &startup, Input::Inherit, capture)
}

fn run_captured(
    script: &str,
    startup: &Startup,
    stdin: Input<'_>,
    capture: &mut Capture<'_>,
) -> String {
    // Rust's own start has it ignored in this test program.
    signals::set_ignored(libc::SIGPIPE, false);
    let args = ["-c", script].map(OsString::from);
    let mut request = Request::new(OsStr::new("sh"), &args, clock);
    request.stdin = stdin;
    request.stdout = Output::Capture(capture);
    let said = words(&mut request, startup);
    let complete = if capture.is_complete() { "complete" } else { "incomplete" };
    let released = if capture.was_released() { " released" } else { "" };
    let gone = if capture.reader_is_gone() { " gone" } else { "" };
    format!("{said} {complete}{released}{gone}")
}

fn run_with(script: &str, startup: &Startup, stdin: Input<'_>) -> String {
    let args = ["-c", script].map(OsString::from);
    let mut request = Request::new(OsStr::new("sh"), &args, clock);
    request.stdin = stdin;
    words(&mut request, startup)
}

/// Puts this in the place of a standard descriptor.
fn put(fd: impl AsRawFd, target: i32) {
    // SAFETY: the target belongs to no value of this process.
    assert_eq!(unsafe { libc::dup2(fd.as_raw_fd(), target) }, target);
}

/// Plays with another stdout; what `cb` says goes to the real one afterwards.
fn with_stdout(stdout: impl AsRawFd, cb: impl FnOnce() -> String) -> String {
    let kept = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 10).unwrap();
    put(stdout, 1);
    let said = std::panic::catch_unwind(AssertUnwindSafe(cb));
    put(kept, 1);
    said.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A pipe that is full, and how many bytes that is.
fn full_pipe() -> (io::PipeReader, io::PipeWriter, usize) {
    let (reader, writer) = io::pipe().unwrap();
    let filled = rustix::pipe::fcntl_setpipe_size(&writer, 1 << 20).unwrap();
    rustix::io::write(&writer, &vec![b'.'; filled]).unwrap();
    (reader, writer, filled)
}

/// What is in a pipe now.
fn take(reader: &io::PipeReader) -> Vec<u8> {
    let there = rustix::io::ioctl_fionread(reader).unwrap();
    let mut bytes = vec![0; usize::try_from(there).unwrap()];
    let mut reader = reader;
    reader.read_exact(&mut bytes).unwrap();
    bytes
}

fn numbers(to: u32) -> String {
    (1..=to).map(|number| format!("{number}\n")).collect()
}

#[test]
fn output_is_passed_on_byte_for_byte_and_seen() {
    let expected = numbers(2_800_000);
    assert!(expected.len() > 20 << 20);
    let said = isolated(|| {
        let mut kept = Kept::default();
        let mut capture = Capture::pass_on(Some(&mut kept));
        let said = captured("seq 2800000", &mut capture);
        capture.finish().unwrap();
        let same = kept.0 == expected.as_bytes();
        format!("{said} same: {same}")
    });
    let (output, report) = said.split_at(expected.len());
    assert!(output == expected, "what the caller got");
    assert_eq!(report, "Code(0) [] complete same: true");
}

#[test]
fn bytes_that_are_no_text_pass() {
    let said = isolated(|| {
        let mut kept = Kept::default();
        let mut capture = Capture::log(&mut kept);
        let said = captured(r"printf '\0\377\n\r\200'; exit 9", &mut capture);
        format!("{said} {:?}", kept.0)
    });
    assert_eq!(said, "Code(9) [] complete [0, 255, 10, 13, 128]");
}

#[test]
fn a_log_has_both_streams_in_order() {
    let said = isolated(|| {
        let mut kept = Kept::default();
        let mut capture = Capture::log(&mut kept);
        let said = captured("for n in 1 2 3; do echo o$n; echo e$n >&2; done", &mut capture);
        capture.finish().unwrap();
        format!("{said} {}", String::from_utf8_lossy(&kept.0))
    });
    assert_eq!(said, "Code(0) [] complete o1\ne1\no2\ne2\no3\ne3\n");
}

#[test]
fn a_reader_that_goes_away_is_a_broken_pipe_to_the_command() {
    let said = isolated(|| {
        let (reader, writer) = io::pipe().unwrap();
        let mut head = Command::new("head");
        head.args(["-n", "2"]).stdin(reader).stdout(Stdio::null());
        let mut started = head.spawn().unwrap();
        // It has a copy of the reader.
        drop(head);
        with_stdout(writer, || {
            let mut capture = Capture::pass_on(None);
            let said = captured("exec yes", &mut capture);
            capture.finish().unwrap();
            started.wait().unwrap();
            said
        })
    });
    assert_eq!(said, "Signal(13) [] incomplete gone");
}

#[test]
fn a_silent_command_gets_its_broken_pipe_at_its_first_write() {
    let said = isolated(|| {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        with_stdout(writer, || {
            let mut capture = Capture::pass_on(None);
            captured("sleep 0.2; echo first; exit 3", &mut capture)
        })
    });
    assert_eq!(said, "Signal(13) [] incomplete gone");
}

#[test]
fn a_full_disk_is_told_by_finish() {
    let said = isolated(|| {
        let full = File::options().write(true).open("/dev/full").unwrap();
        with_stdout(full, || {
            let mut capture = Capture::pass_on(None);
            let said = captured("exec yes", &mut capture);
            let error = capture.finish().unwrap_err();
            format!("{said} {:?}, then {}", error.kind(), capture.is_complete())
        })
    });
    assert_eq!(said, "Signal(13) [] incomplete StorageFull, then false");
}

#[test]
fn every_kind_of_stdout_takes_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let said = isolated(|| {
        std::fs::write(file.path(), "before\n").unwrap();
        let appended = File::options().append(true).open(file.path()).unwrap();
        with_stdout(appended, || {
            let mut capture = Capture::pass_on(None);
            let said = captured("seq 100000", &mut capture);
            capture.finish().unwrap();
            said
        })
    });
    assert_eq!(said, "Code(0) [] complete");
    let written = std::fs::read_to_string(file.path()).unwrap();
    assert!(written == format!("before\n{}", numbers(100_000)));

    let said = isolated(|| {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut reader = Command::new("cat");
        reader.stdin(std::os::fd::OwnedFd::from(ours)).stdout(File::create(file.path()).unwrap());
        let mut started = reader.spawn().unwrap();
        drop(reader);
        let said = with_stdout(theirs, || {
            let mut capture = Capture::pass_on(None);
            let said = captured("seq 100000", &mut capture);
            capture.finish().unwrap();
            said
        });
        started.wait().unwrap();
        said
    });
    assert_eq!(said, "Code(0) [] complete");
    assert!(std::fs::read_to_string(file.path()).unwrap() == numbers(100_000));
}

#[test]
fn a_stdout_that_was_closed_stays_closed() {
    let said = isolated(|| {
        let kept = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 10).unwrap();
        // SAFETY: nothing uses the descriptor but this test.
        unsafe { libc::close(1) };
        let mut capture = Capture::pass_on(None);
        let said = captured("test ! -e /proc/$$/fd/1", &mut capture);
        capture.finish().unwrap();
        put(kept, 1);
        said
    });
    assert_eq!(said, "Code(0) [] incomplete");
}

#[test]
fn what_is_held_comes_at_the_end_or_never() {
    let said = isolated(|| {
        let (reader, writer) = io::pipe().unwrap();
        with_stdout(writer, || {
            let mut capture = Capture::hold(1 << 20, None);
            let mut said = captured("echo one; exit 1", &mut capture);
            assert_eq!(take(&reader), b"");
            // Another attempt follows.
            drop(capture);
            capture = Capture::hold(1 << 20, None);
            said.push_str(&captured("echo two", &mut capture));
            assert_eq!(take(&reader), b"");
            capture.finish().unwrap();
            assert_eq!(take(&reader), b"two\n");
            capture.finish().unwrap();
            assert_eq!(take(&reader), b"");
            said
        })
    });
    assert_eq!(said, "Code(1) [] completeCode(0) [] complete");
}

#[test]
fn much_can_be_held() {
    let expected = numbers(1_000_000);
    let said = isolated(|| {
        let mut capture = Capture::hold(1 << 30, None);
        let said = captured("seq 1000000", &mut capture);
        write_to_stdout("held: ");
        capture.finish().unwrap();
        said
    });
    assert!(said == format!("held: {expected}Code(0) [] complete"), "{}", said.len());
}

#[test]
fn what_is_too_much_to_hold_is_let_go_in_order() {
    for max in [0, 1000, 2_000_000] {
        let said = isolated(|| {
            let mut capture = Capture::hold(max, None);
            let said = captured("seq 1000000", &mut capture);
            capture.finish().unwrap();
            said
        });
        let expected = numbers(1_000_000);
        assert!(said.starts_with(&expected), "{max}: {}", said.len());
        assert_eq!(&said[expected.len()..], "Code(0) [] complete released", "{max}");
    }
}

#[test]
fn one_left_behind_does_not_hold_cb_up() {
    let said = isolated(|| {
        let began = clock();
        let mut capture = Capture::pass_on(None);
        let said = captured("sleep 15 & echo child; exit 2", &mut capture);
        assert!(clock() - began < ms(8000), "{:?}", clock() - began);
        capture.finish().unwrap();
        said
    });
    assert_eq!(said, "child\nCode(2) [] incomplete");
    // One that writes on and on.
    let said = isolated(|| {
        let began = clock();
        let mut kept = Kept::default();
        let mut capture = Capture::log(&mut kept);
        let said = captured("echo child; yes & exit 2", &mut capture);
        assert!(clock() - began < ms(8000), "{:?}", clock() - began);
        assert!(kept.0.starts_with(b"child\ny\n"));
        said
    });
    assert_eq!(said, "Code(2) [] incomplete");
}

#[test]
fn what_comes_soon_after_the_end_is_seen() {
    let said = isolated(|| {
        let mut capture = Capture::pass_on(None);
        let said = captured("(sleep 0.05; echo later) & echo child", &mut capture);
        capture.finish().unwrap();
        said
    });
    assert_eq!(said, "child\nlater\nCode(0) [] complete");
}

#[test]
fn a_slow_reader_delays_neither_the_end_nor_the_deadline() {
    let said = isolated(|| {
        let (reader, writer, filled) = full_pipe();
        with_stdout(writer, || {
            let began = clock();
            let startup = Startup::take_over(Vec::new());
            let mut capture = Capture::pass_on(None);
            let script = "head -c 100000 /dev/zero; exit 3";
            let mut said = run_captured(script, &startup, Input::Inherit, &mut capture);
            assert!(clock() - began < ms(8000), "{:?}", clock() - began);
            assert_eq!(take(&reader).len(), filled);
            capture.finish().unwrap();
            assert!(take(&reader) == [0; 100_000]);
            rustix::io::write(io::stdout(), &vec![b'.'; filled]).unwrap();
            let mut capture = Capture::pass_on(None);
            let mut request = Request::new(OsStr::new("yes"), &[], clock);
            within(200, 9000)(&mut request);
            request.stdout = Output::Capture(&mut capture);
            said.push_str(&words(&mut request, &startup));
            assert!(clock() - began < ms(8000), "{:?}", clock() - began);
            said
        })
    });
    assert_eq!(said, "Code(3) [] completeSignal(15) term []");
}

/// A request whose output goes through cb.
fn through_cb(request: &mut Request<'_, 'static>) {
    request.stdout = Output::Capture(Box::leak(Box::new(Capture::pass_on(None))));
}

#[test]
fn signals_stops_and_deadlines_are_as_without_a_capture() {
    let both = |request: &mut Request<'_, 'static>| {
        within(9000, 9000)(request);
        through_cb(request);
    };
    check("kill -TERM $PPID; exec sleep 60", through_cb, "Signal(15) [15]");
    check("kill -TERM $PPID; exec sleep 60", both, "Signal(15) [15]");
    check("kill -TERM $PPID; exec yes >/dev/null", both, "Signal(15) [15]");
    let counts = "n=0; trap 'n=$((n+1))' USR1; trap 'exit $n' USR2
        kill -USR1 $PPID; sleep 0.3; kill -USR2 $PPID; while :; do sleep 0.05; done";
    check(counts, through_cb, "Code(1) [10, 12]");
    check("kill -TSTP $$; exit 5", through_cb, "Code(5) []");
    check("kill -TSTP $$; exit 5", both, "Code(5) []");
    let late = |request: &mut Request<'_, 'static>| {
        within(100, 200)(request);
        through_cb(request);
    };
    check("exec sleep 60", late, "Signal(15) term []");
    check("exec yes >/dev/null", late, "Signal(15) term []");
    check("sleep 60 & sleep 60", late, "Signal(15) term []");
    let deaf = "(trap '' TERM; while :; do echo x; done) & exec sleep 60";
    let said = isolated(|| sh(deaf, late));
    assert!(said.trim_start_matches("x\n").starts_with("Signal(15) term"), "{}", said.len());
}

/// Makes the output of this the stdin of this process.
fn stdin_from(script: &str) -> std::process::Child {
    let mut source = Command::new("sh")
        .args(["-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    put(source.stdout.take().unwrap(), 0);
    source
}

#[test]
fn each_attempt_reads_the_same_stdin() {
    let said = isolated(|| {
        let mut source = stdin_from("seq 400000; sleep 0.1; echo end");
        let startup = Startup::take_over(Vec::new());
        let mut stdin = Stdin::of(&startup, 64 << 20);
        let mut said = run_with("head -c 4; exit 1", &startup, stdin.input());
        stdin.again().unwrap();
        said.push_str(&run_with("tail -n 2; exit 2", &startup, stdin.input()));
        stdin.again().unwrap();
        said.push_str(&run_with("wc -l; exit 3", &startup, stdin.input()));
        source.wait().unwrap();
        let all = stdin.read_all(64 << 20).unwrap().unwrap();
        assert!(all == (numbers(400_000) + "end\n").into_bytes());
        assert_eq!(stdin.read_all(1000).unwrap(), None);
        said
    });
    let expected =
        ["1\n2\n", "400000\nend\n", "400001\n", "Code(1) []", "Code(2) []", "Code(3) []"];
    // What the children wrote comes before what this process says at its end.
    assert_eq!(said, expected.concat());
}

#[test]
fn a_stream_over_the_bound_is_read_once_and_whole() {
    let said = isolated(|| {
        let mut source = stdin_from("seq 400000");
        let startup = Startup::take_over(Vec::new());
        let mut stdin = Stdin::of(&startup, 100_000);
        let mut kept = Kept::default();
        let mut capture = Capture::log(&mut kept);
        let said = run_captured("cat", &startup, stdin.input(), &mut capture);
        source.wait().unwrap();
        assert!(kept.0 == numbers(400_000).as_bytes());
        assert_eq!(stdin.again(), Err(NotAgain::TooLong { max: 100_000 }));
        assert_eq!(stdin.read_all(64 << 20).unwrap(), None);
        assert!(!format!("{stdin:?}").contains("4000"));
        said
    });
    assert_eq!(said, "Code(0) [] complete");
}

#[test]
fn a_stdin_that_nobody_reads_or_writes_holds_nothing_up() {
    let said = isolated(|| {
        let (reader, _writer) = io::pipe().unwrap();
        put(reader, 0);
        let startup = Startup::take_over(Vec::new());
        let mut stdin = Stdin::of(&startup, 1000);
        run_with("exit 4", &startup, stdin.input())
    });
    assert_eq!(said, "Code(4) []");
    for script in ["sleep 0.2; exit 4", "exec <&-; sleep 0.2; exit 4"] {
        let said = isolated(|| {
            let mut source = stdin_from("seq 400000");
            let startup = Startup::take_over(Vec::new());
            let mut stdin = Stdin::of(&startup, 64 << 20);
            let said = run_with(script, &startup, stdin.input());
            let all = stdin.read_all(64 << 20).unwrap();
            source.wait().unwrap();
            format!("{said} {}", all.unwrap() == numbers(400_000).as_bytes())
        });
        assert_eq!(said, "Code(4) [] true", "{script}");
    }
}

#[test]
fn the_end_of_stdin_is_passed_on() {
    let said = isolated(|| {
        let (reader, writer) = io::pipe().unwrap();
        rustix::io::write(&writer, b"all there is").unwrap();
        drop(writer);
        put(reader, 0);
        let startup = Startup::take_over(Vec::new());
        let mut stdin = Stdin::of(&startup, 1000);
        let first = run_with("cat", &startup, stdin.input());
        first + &run_with("cat", &startup, stdin.input())
    });
    assert_eq!(said, "all there isall there isCode(0) []Code(0) []");
}

#[test]
fn a_named_pipe_whose_writers_are_gone_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    let said = isolated(|| {
        let both = File::options().read(true).write(true).open(&path).unwrap();
        let reader = File::open(&path).unwrap();
        rustix::io::write(&both, b"late").unwrap();
        drop(both);
        put(reader, 0);
        let startup = Startup::take_over(Vec::new());
        let mut stdin = Stdin::of(&startup, 1000);
        run_with("cat", &startup, stdin.input())
    });
    assert_eq!(said, "lateCode(0) []");
}

#[test]
fn a_socket_is_replayed_too() {
    let said = isolated(|| {
        let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.write_all(b"sent").unwrap();
        drop(ours);
        put(theirs, 0);
        let startup = Startup::take_over(Vec::new());
        let mut stdin = Stdin::of(&startup, 1000);
        let first = run_with("cat", &startup, stdin.input());
        first + &run_with("cat", &startup, stdin.input())
    });
    assert_eq!(said, "sentsentCode(0) []Code(0) []");
}

#[test]
fn a_file_is_read_again_from_where_it_stood() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "skipped rest").unwrap();
    let said = isolated(|| {
        let mut opened = File::open(file.path()).unwrap();
        opened.read_exact(&mut [0; 8]).unwrap();
        put(opened, 0);
        let startup = Startup::take_over(Vec::new());
        let mut stdin = Stdin::of(&startup, 1);
        let mut said = run_with("cat", &startup, stdin.input());
        stdin.again().unwrap();
        said.push_str(&run_with("cat", &startup, stdin.input()));
        assert_eq!(stdin.read_all(3).unwrap(), None);
        assert_eq!(stdin.read_all(4).unwrap().unwrap(), b"rest");
        said
    });
    assert_eq!(said, "restrestCode(0) []Code(0) []");
}

#[test]
fn nobody_is_waited_for_at_a_terminal() {
    let said = isolated(|| {
        // Its end would hang this process up.
        std::mem::forget(open_terminal());
        let terminal = File::open("/dev/tty").unwrap();
        put(terminal, 0);
        let startup = Startup::take_over(Vec::new());
        let mut stdin = Stdin::of(&startup, 1000);
        assert_eq!(stdin.read_all(0).unwrap().unwrap(), b"");
        put(File::open("/dev/null").unwrap(), 0);
        assert_eq!(Stdin::of(&startup, 1000).read_all(0).unwrap().unwrap(), b"");
        put(File::open("/dev/zero").unwrap(), 0);
        assert_eq!(Stdin::of(&startup, 1000).read_all(5000).unwrap(), None);
        // SAFETY: nothing uses the descriptor but this test.
        unsafe { libc::close(0) };
        let startup = Startup::take_over(Vec::new());
        assert_eq!(Stdin::of(&startup, 1000).read_all(0).unwrap().unwrap(), b"");
        "done".to_owned()
    });
    assert_eq!(said, "done");
}

#[test]
fn output_is_not_shown_by_debug() {
    let mut kept = Kept::default();
    let capture = Capture::log(&mut kept);
    let expected = "Capture { seen: 0, is_complete: false, was_released: false, .. }";
    assert_eq!(format!("{capture:?}"), expected);
}

/// Plays cb in one more process, and kills that while its command sleeps.
fn killed(script: &str, run: fn(&str, &Startup)) {
    let startup = Startup::take_over(Vec::new());
    let (mut ready, writer) = io::pipe().unwrap();
    // SAFETY: as in `isolated`.
    let cb = unsafe { libc::fork() };
    if cb == 0 {
        // What the command has as its stdin.
        put(writer, 0);
        run(script, &startup);
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(0) };
    }
    drop(writer);
    // The command says that it runs.
    ready.read_exact(&mut [0]).unwrap();
    // SAFETY: the child was not waited for, so the number is its own.
    unsafe {
        libc::kill(cb, libc::SIGKILL);
        libc::waitpid(cb, std::ptr::null_mut(), 0);
    }
}

#[test]
fn a_command_whose_cb_is_killed_writes_on_and_finishes() {
    let logged: fn(&str, &Startup) = |script, startup| {
        let mut kept = Kept::default();
        let mut capture = Capture::log(&mut kept);
        run_captured(script, startup, Input::Inherit, &mut capture);
    };
    let passed: fn(&str, &Startup) = |script, startup| {
        run_captured(script, startup, Input::Inherit, &mut Capture::pass_on(None));
    };
    let dir = tempfile::tempdir().unwrap();
    for (name, run) in [("logged", logged), ("passed", passed)] {
        let path = dir.path().join(name);
        let script = format!(
            "echo >&0; exec <&-; sleep 0.3; head -c 1048576 /dev/zero; echo $? > {0}.new; \
             mv {0}.new {0}",
            path.display()
        );
        let said = isolated(|| {
            killed(&script, run);
            "killed".to_owned()
        });
        assert!(said == "killed", "{name}: {}", said.len());
        let until = clock() + BOUND;
        while !path.exists() {
            assert!(clock() < until, "{name}: the command did not finish");
            std::thread::sleep(ms(10));
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"0\n", "{name}");
    }
}

#[test]
fn nothing_is_left_of_what_would_have_read_on() {
    let said = isolated(|| {
        let mut kept = Kept::default();
        let mut capture = Capture::log(&mut kept);
        let said = captured("echo child; sleep 15 &", &mut capture);
        // SAFETY: the status is not asked for.
        let left = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::__WALL | libc::WNOHANG) };
        format!("{said} {left} {}", io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD))
    });
    assert_eq!(said, "Code(0) [] incomplete -1 true");
}
