//! What a child of `cb exec` inherits: the same as without cb in between.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::live::{Live, alive, first, ignore, keep, send};
use crate::support::{Cb, Ran, binary};

type Prepare = fn(&mut Command);

/// Options that must not show in what a child inherits.
const OPTIONS: [&[&str]; 9] = [
    &[],
    &["--timeout", "60", "--foreground"],
    &["--result-file", "result"],
    &["--die-with-parent"],
    &["-q", "--permit-ttl", "1m"],
    &["--window", "60s", "--slow-call", "1s", "--slow-rate", "50%"],
    &["--max-concurrent", "5", "--max-wait", "1s", "--retries", "1"],
    &["--on-open", "cache"],
    &["--hold-stdout", "--retries", "1", "--on-failure", "run:false"],
];

fn nothing(_: &mut Command) {}

/// Runs a script without cb and through it, closed and half-open, with many
/// options: what it prints must be the same.
#[track_caller]
fn same(prepare: Prepare, options: &[&[&str]], script: &str) -> String {
    let cb = Cb::new();
    let run = |mut command: Command| {
        cb.environ(&mut command);
        command.current_dir(cb.path("home"));
        prepare(&mut command);
        Live::start(command).end().code(0).stderr("").stdout_text()
    };
    let mut sh = Command::new("sh");
    sh.args(["-c", script]);
    let alone = run(sh);
    for options in options {
        for half_open in [false, true] {
            if half_open {
                cb.make_due("x");
            }
            let mut command = Command::new(binary());
            command.arg("exec").args(*options).args(["x", "--", "sh", "-c", script]);
            assert_eq!(run(command), alone, "{options:?} half-open: {half_open}: {script}");
        }
    }
    alone
}

#[test]
fn the_process_is_as_without_cb() {
    same(nothing, &OPTIONS, "pwd; umask; nice; id; ulimit -a");
    same(nothing, &OPTIONS, "cat /proc/self/limits /proc/self/oom_score_adj");
    // Its group, session, terminal and that one's foreground group.
    same(nothing, &OPTIONS, "cut -d' ' -f5-8 /proc/self/stat");
    same(nothing, &OPTIONS, "grep -e ^Sig[BIC] -e ^ShdPnd -e ^Cap -e NoNew /proc/self/status");
    same(nothing, &OPTIONS, "readlink /proc/self/fd/0");
}

#[test]
fn changed_attributes_are_inherited() {
    let change: Prepare = |command| {
        first(command, || {
            // SAFETY: system calls on this process, with valid arguments.
            unsafe {
                libc::umask(0o027);
                libc::setpriority(libc::PRIO_PROCESS, 0, 7);
                let limit = libc::rlimit { rlim_cur: 77, rlim_max: 88 };
                libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            }
        });
    };
    let said = same(change, &OPTIONS, "umask; nice; ulimit -n; ulimit -Hn");
    assert_eq!(said, "0027\n7\n77\n88\n");
}

#[test]
fn group_and_session_are_inherited() {
    let ids = "test $(cut -d' ' -f5 /proc/self/stat) != $$ && echo of another; \
        cut -d' ' -f7,8 /proc/self/stat";
    let leader: Prepare = |command| {
        command.process_group(0);
    };
    let session: Prepare = |command| {
        // SAFETY: touches no memory.
        first(command, || unsafe {
            libc::setsid();
        });
    };
    let cb = Cb::new();
    for prepare in [leader, session] {
        let mut command = cb.command(["exec", "x", "--", "sh", "-c", ids]);
        command.args(["sh"]);
        prepare(&mut command);
        Live::start(command).end().code(0).stdout_has("of another\n");
        let mut command = cb.command(["exec", "x", "--", "cut", "-d ", "-f5,6", "/proc/self/stat"]);
        prepare(&mut command);
        let live = Live::start(command);
        let pid = live.pid();
        let said = live.end().code(0).stdout_text();
        assert_eq!(said.split_whitespace().next().unwrap(), pid.to_string());
    }
}

#[test]
fn signal_dispositions_and_the_mask_are_inherited() {
    const LINE: &str = "grep -e SigIgn -e SigBlk /proc/self/status";
    /// What /proc says about the child where the parent ignores or blocks one.
    fn check(signal: i32, blocked: bool) {
        let cb = Cb::new();
        for inherited in [true, false] {
            for options in OPTIONS {
                let mut command = cb.command(["exec"]);
                command.args(options).args(["x", "--"]).args(LINE.split(' '));
                command.current_dir(cb.path("home"));
                first(&mut command, move || {
                    if !blocked {
                        return ignore(signal, inherited);
                    }
                    // SAFETY: the set is made here and outlives the calls.
                    unsafe {
                        let mut set = std::mem::zeroed();
                        libc::sigemptyset(&raw mut set);
                        libc::sigaddset(&raw mut set, if inherited { signal } else { 0 });
                        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
                    }
                });
                let said = Live::start(command).end().code(0).stdout_text();
                let mask = |name: &str| {
                    let line = said.lines().find(|line| line.starts_with(name)).unwrap();
                    u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
                };
                let expected = if inherited { 1 << (signal - 1) } else { 0 };
                let (changed, other) =
                    if blocked { ("SigBlk", "SigIgn") } else { ("SigIgn", "SigBlk") };
                assert_eq!(mask(changed) & (1 << (signal - 1)), expected, "{options:?}\n{said}");
                assert_eq!(mask(other) & (1 << (signal - 1)), 0, "{options:?}\n{said}");
            }
        }
    }
    let (ignored, blocked) = (false, true);
    check(libc::SIGPIPE, ignored);
    check(libc::SIGHUP, ignored);
    check(libc::SIGINT, ignored);
    check(libc::SIGCHLD, ignored);
    check(libc::SIGUSR1, blocked);
    check(libc::SIGPIPE, blocked);
    check(libc::SIGCHLD, blocked);
}

#[test]
fn a_broken_pipe_ends_the_command_as_without_cb() {
    let cb = Cb::new();
    let mut command = Command::new("bash");
    cb.environ(&mut command);
    let script = "\"$CB\" exec x -- cat /dev/zero | head -c 1 > /dev/null; echo ${PIPESTATUS[0]}";
    command.env("CB", binary()).args(["-c", script]);
    Live::start(command).end().code(0).stdout("141\n").stderr("");
}

#[test]
fn nohup_holds_for_the_command() {
    let cb = Cb::new();
    for options in [&[][..], &["--timeout", "60"]] {
        let mut command = Command::new("nohup");
        cb.environ(&mut command);
        let script = "echo $$ > pid; while [ ! -e go ] && [ -e $PWD ]; do sleep 0.02; done; exit 6";
        command.arg(binary()).arg("exec").args(options).args(["x", "--", "sh", "-c", script]);
        command.current_dir(cb.path(""));
        let live = Live::start(command);
        let child = cb.pid("pid");
        live.send(libc::SIGHUP);
        send(child, libc::SIGHUP);
        cb.touch("go");
        live.end().code(6);
        let _ = fs::remove_file(cb.path("go"));
        let _ = fs::remove_file(cb.path("pid"));
    }
}

#[test]
fn a_background_job_of_a_script_ignores_int() {
    let cb = Cb::new();
    let inner = "echo $$ > pid; while [ ! -e go ] && [ -e $PWD ]; do sleep 0.02; done; exit 6";
    // A shell without job control has its background jobs ignore INT and QUIT.
    for start in ["", "trap '' INT QUIT;"] {
        let script =
            format!("{start} \"$CB\" exec x -- sh -c '{inner}' & echo $! > cb; wait $!; echo $?");
        let mut command = Command::new("sh");
        cb.environ(&mut command);
        command.env("CB", binary()).args(["-c", &script]).current_dir(cb.path(""));
        let live = Live::start(command);
        let (child, ours) = (cb.pid("pid"), cb.pid("cb"));
        for signal in [libc::SIGINT, libc::SIGQUIT] {
            send(ours, signal);
            send(child, signal);
        }
        cb.touch("go");
        live.end().code(0).stdout("6\n");
        assert!(!alive(ours));
        for name in ["go", "pid", "cb"] {
            fs::remove_file(cb.path(name)).unwrap();
        }
    }
    assert_eq!((cb.total("x", "failed"), cb.total("x", "ignored")), (2, 0));
}

#[test]
fn no_descriptor_of_cbs_reaches_the_command() {
    let options: Vec<&[&str]> =
        OPTIONS.into_iter().chain([&["--timeout", "60"][..], &["--config", "/dev/null"]]).collect();
    let list = "ls /proc/self/fd";
    same(nothing, &options, list);
    let with_more: Prepare = |command| {
        // SAFETY: the numbers are this process's own, and nothing else uses them.
        first(command, || unsafe {
            libc::dup2(0, 5);
            libc::dup2(0, 9);
        });
    };
    let said = same(with_more, &options, list);
    assert!(said.contains("5\n") && said.contains("9\n"), "{said}");
}

#[test]
fn the_result_descriptor_does_not_reach_the_command() {
    let cb = Cb::new();
    let mut alone = Command::new("sh");
    alone.args(["-c", "ls /proc/self/fd"]).stdin(Stdio::null());
    let alone = Live::start(alone).end().code(0).stdout_text();
    for half_open in [false, true] {
        if half_open {
            cb.make_due("x");
        }
        let result = File::create(cb.path("by-fd")).unwrap();
        let number = result.as_raw_fd().to_string();
        let words = ["--result-fd", &number, "--result-file", "result", "--timeout", "60"];
        let mut command = cb.sh(words, "x", "ls /proc/self/fd");
        keep(&mut command, result.as_raw_fd());
        Live::start(command).end().code(0).stdout(&alone).stderr("");
        assert_eq!(cb.lines("by-fd").len(), 1);
        assert_eq!(cb.lines("by-fd"), cb.lines("result"));
    }
}

#[test]
fn closed_descriptors_stay_closed() {
    let cb = Cb::new();
    let options: [&[&str]; 3] = [&[], &["--timeout", "60"], &["--result-file", "result"]];
    for options in options {
        for closed in [&[0][..], &[1], &[2], &[0, 1, 2]] {
            let tests: Vec<String> =
                closed.iter().map(|fd| format!("test ! -e /proc/$$/fd/{fd}")).collect();
            let mut command = cb.command(["exec"]);
            command.args(options).args(["x", "--", "sh", "-c", &tests.join(" && ")]);
            command.current_dir(cb.path("home"));
            first(&mut command, move || {
                for &fd in closed {
                    // SAFETY: nothing else in this process uses it.
                    unsafe { libc::close(fd) };
                }
            });
            Live::start(command).end().code(0).stdout("").stderr("");
        }
    }
}

#[test]
fn what_cb_says_goes_nowhere_where_stderr_is_closed() {
    let cb = Cb::new();
    cb.run(["trip", "-q", "x"]).code(0);
    let store = fs::read_dir(cb.store().join("x")).unwrap().count();
    for command in [["x", "true"], ["y", "no-such-command"]] {
        let code = if command[0] == "x" { 75 } else { 127 };
        let mut command = cb.command(["exec"].into_iter().chain(command));
        // SAFETY: nothing else in this process uses it.
        first(&mut command, || unsafe {
            libc::close(2);
        });
        Live::start(command).end().code(code).stdout("").stderr("");
    }
    assert_eq!(fs::read_dir(cb.store().join("x")).unwrap().count(), store);
    cb.is("x", "open").is("y", "closed");
}

#[test]
fn it_works_where_little_is_left() {
    let cb = Cb::new();
    let store = cb.store();
    let exec = ["exec", "--store", store.to_str().unwrap(), "x", "--"];
    // Without any variable: the command is found where the system has them.
    let mut bare = Command::new(binary());
    bare.args(exec).arg("env").env_clear().stdin(Stdio::null());
    let ours = "CB_BREAKER=x\nCB_STATE=closed\nCB_ATTEMPT=1\n";
    Live::start(bare).end().code(0).stdout(ours).stderr("");
    // In a directory that is gone.
    let gone = cb.path("gone");
    fs::create_dir(&gone).unwrap();
    let mut command = cb.command(exec);
    command.arg("true").current_dir(&gone);
    let gone = CString::new(gone.as_os_str().as_bytes()).unwrap();
    // SAFETY: the name lives as long as the command.
    first(&mut command, move || unsafe {
        libc::rmdir(gone.as_ptr());
    });
    Live::start(command).end().code(0).stderr("");
    // With no file to be written: unprotected, and not ended by a signal.
    let mut command = cb.command(["exec", "new", "--", "sh", "-c", "exit 4"]);
    limit(&mut command, libc::RLIMIT_FSIZE, 0);
    let ran = Ran::of(command).code(4).one_line("cb: new: ");
    ran.stderr_has("running the command unprotected");
    // With one descriptor more than the three.
    let mut command = cb.command(["exec", "x", "--", "sh", "-c", "exit 4"]);
    limit(&mut command, libc::RLIMIT_NOFILE, 4);
    Ran::of(command).code(4).one_line("Too many open files; running the command unprotected");
}

fn limit(command: &mut Command, which: libc::__rlimit_resource_t, to: u64) {
    first(command, move || {
        let limit = libc::rlimit { rlim_cur: to, rlim_max: to };
        // SAFETY: the limit outlives the call.
        unsafe { libc::setrlimit(which, &raw const limit) };
    });
}

#[test]
fn the_environment_is_inherited_byte_for_byte() {
    let cb = Cb::new();
    let store = format!("CB_STORE={}", cb.store().display());
    let path = format!("PATH={}", std::env::var("PATH").unwrap());
    let entries: [&[u8]; 11] = [
        b"A=1",
        b"A=2",
        b"EMPTY=",
        b"no equals sign",
        b"",
        b"=odd",
        b"BYTES=\xff\xfe\n\x1b",
        b"CB_STATES=kept",
        b"CB_STATE=replaced",
        store.as_bytes(),
        path.as_bytes(),
    ];
    let strings = |words: &[&[u8]]| -> Vec<CString> {
        words.iter().map(|word| CString::new(*word).unwrap()).collect()
    };
    let pointers = |strings: &[CString]| -> Vec<usize> {
        strings.iter().map(|word| word.as_ptr() as usize).chain([0]).collect()
    };
    let words: [&[u8]; 6] =
        [binary().as_os_str().as_bytes(), b"exec", b"x", b"--", b"cat", b"/proc/self/environ"];
    let (argv, envp) = (strings(&words), strings(&entries));
    let (argv_list, envp_list) = (pointers(&argv), pointers(&envp));
    let mut command = Command::new("false");
    // In place of the program that the standard library would start, with an
    // environment that it could not make.
    first(&mut command, move || {
        // SAFETY: the strings and both lists live until then, in this copy of
        // the test's memory; a pointer and a usize are of the same size.
        unsafe {
            libc::execve(
                argv_list[0] as *const _,
                argv_list.as_ptr().cast(),
                envp_list.as_ptr().cast(),
            )
        };
    });
    command.stdin(Stdio::null());
    let ran = Live::start(command).end().code(0).stderr("");
    let mut expected: Vec<&[u8]> = entries.to_vec();
    expected.retain(|entry| !entry.starts_with(b"CB_STATE="));
    expected.extend([&b"CB_BREAKER=x"[..], b"CB_STATE=closed", b"CB_ATTEMPT=1", b""]);
    assert!(ran.output.stdout == expected.join(&0), "{ran}");
    drop((argv, envp));
}
