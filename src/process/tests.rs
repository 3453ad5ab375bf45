//! Real children. Signals and waiting belong to a whole process and this test
//! runner has many threads, so every test plays cb in a process of its own: a
//! fork that leads a new session, without a terminal.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use super::{Notice, Request, Startup, run, signals};
use crate::model::outcome::{End, ExitReport};

mod myself;
mod pumps;
mod request;

/// No test takes longer.
const BOUND: Duration = Duration::from_secs(20);

fn clock() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Plays cb in a process of its own. Returns what this and its children wrote to
/// stdout, which is complete only when all of them are gone.
#[track_caller]
fn isolated(cb: impl FnOnce() -> String) -> String {
    let (reader, writer) = io::pipe().unwrap();
    // SAFETY: the child calls only what glibc makes fit for it (malloc), and
    // leaves by _exit.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        // SAFETY: these touch no memory; 1 is not owned by any value.
        unsafe {
            libc::setsid();
            libc::dup2(writer.as_raw_fd(), 1);
        }
        drop((reader, writer));
        // Files of other tests, and the locks on them, are not this one's.
        // SAFETY: no test plays with a descriptor that was opened before.
        unsafe { super::heir::close_from(3) };
        let said = std::panic::catch_unwind(AssertUnwindSafe(cb));
        // SAFETY: 1 is open, and is not used otherwise from here on.
        let mut stdout = unsafe { File::from_raw_fd(1) };
        let said = said.unwrap_or_else(|panic| match panic.downcast::<String>() {
            Ok(why) => format!("panicked: {why}"),
            Err(_) => "panicked".to_owned(),
        });
        let _ = stdout.write_all(said.as_bytes());
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(0) };
    }
    drop(writer);
    let said = read_all(reader, clock() + BOUND);
    // SAFETY: the child was not waited for, so the number is its own.
    unsafe {
        libc::kill(pid, libc::SIGKILL);
        libc::waitpid(pid, std::ptr::null_mut(), 0);
    }
    said.unwrap_or_else(|| panic!("not done within {BOUND:?}"))
}

fn read_all(mut reader: io::PipeReader, until: Duration) -> Option<String> {
    let mut all = Vec::new();
    loop {
        let left = until.checked_sub(clock())?;
        let left = i32::try_from(left.as_millis()).unwrap();
        let mut fds = libc::pollfd { fd: reader.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, which outlives the call.
        unsafe { libc::poll(&raw mut fds, 1, left) };
        if fds.revents == 0 {
            continue;
        }
        let mut part = [0; 4096];
        match reader.read(&mut part).unwrap() {
            0 => return Some(String::from_utf8_lossy(&all).into_owned()),
            read => all.extend_from_slice(&part[..read]),
        }
    }
}

/// Runs `sh -c SCRIPT` with these changes to the request; the report and the
/// notices in few words.
fn sh<'a>(script: &str, change: impl FnOnce(&mut Request<'a, 'static>)) -> String {
    let startup = Startup::take_over(Vec::new());
    let args: &'static [OsString] = Box::leak(Box::new(["-c", script].map(OsString::from)));
    let mut request = Request::new(OsStr::new("sh"), args, clock);
    change(&mut request);
    words(&mut request, &startup)
}

fn words(request: &mut Request<'_, '_>, startup: &Startup) -> String {
    let mut notices = String::new();
    let report = run(request, startup, &mut |notice| match notice {
        Notice::TimedOut { .. } => notices.push_str(" term"),
        Notice::Killed { .. } => notices.push_str(" kill"),
        Notice::NotStarted(error) => notices.push_str(&format!(" {:?}", error.kind())),
        Notice::NotEntered { error, .. } => {
            notices.push_str(&format!(" not entered: {:?}", error.kind()));
        }
    });
    let ExitReport { end, timed_out, killed, sent, .. } = report.unwrap();
    let sent: Vec<i32> = (1..=64).filter(|&signal| sent.contains(signal)).collect();
    assert_eq!(notices.contains("term"), timed_out);
    assert_eq!(notices.contains("kill"), killed);
    format!("{end:?}{notices} {sent:?}")
}

#[track_caller]
fn check(script: &str, change: impl FnOnce(&mut Request<'_, 'static>), expected: &str) {
    assert_eq!(isolated(|| sh(script, change)), expected, "{script}");
}

fn within(timeout_ms: u64, kill_after_ms: u64) -> impl Fn(&mut Request<'_, 'static>) {
    move |request| {
        request.timeout = Some(ms(timeout_ms));
        request.kill_after = ms(kill_after_ms);
    }
}

fn as_is(_: &mut Request<'_, 'static>) {}

/// Like `sh` with a time limit, whose time begins only when the script wrote to
/// descriptor 9: however slow the machine, its traps are set then.
fn sh_once_ready(script: &str, timeout_ms: u64, kill_after_ms: u64) -> String {
    let (reader, writer) = io::pipe().unwrap();
    // SAFETY: nothing in this process uses 8 or 9 but the pipe itself, whose own
    // descriptors stay open.
    unsafe {
        let ends = [reader.into_raw_fd(), writer.into_raw_fd()];
        let [read, write] = ends.map(|end| libc::fcntl(end, libc::F_DUPFD_CLOEXEC, 10));
        libc::dup2(read, 8);
        libc::dup2(write, 9);
    }
    sh(script, |request| {
        within(timeout_ms, kill_after_ms)(request);
        request.clock = clock_from_ready;
    })
}

fn clock_from_ready() -> Duration {
    let mut fds = libc::pollfd { fd: 8, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which outlives the call.
    unsafe { libc::poll(&raw mut fds, 1, 0) };
    if fds.revents & libc::POLLIN == 0 { Duration::ZERO } else { clock() }
}

#[track_caller]
fn check_once_ready(script: &str, (timeout_ms, kill_after_ms): (u64, u64), expected: &str) {
    assert_eq!(isolated(|| sh_once_ready(script, timeout_ms, kill_after_ms)), expected, "{script}");
}

#[test]
fn ends_are_told() {
    check("exit 7", as_is, "Code(7) []");
    check("exit 7", within(9000, 9000), "Code(7) []");
    check("exit 7", within(u64::MAX, u64::MAX), "Code(7) []");
    check("kill -9 $$", as_is, "Signal(9) []");
    check("ulimit -c 0; kill -ABRT $$", as_is, "Signal(6) []");
}

#[test]
fn what_cannot_be_started() {
    let start = |program: &'static [u8]| {
        isolated(|| {
            let startup = Startup::take_over(Vec::new());
            words(&mut Request::new(OsStr::from_bytes(program), &[], clock), &startup)
        })
    };
    assert_eq!(start(b"no-such-command"), "NotFound NotFound []");
    assert_eq!(start(b""), "NotFound NotFound []");
    assert_eq!(start(b"/no/such"), "NotFound NotFound []");
    assert_eq!(start(b"/dev/null/x"), "NotFound NotADirectory []");
    assert_eq!(start(b"/"), "NotExecutable PermissionDenied []");
    assert_eq!(start(b"/etc/passwd"), "NotExecutable PermissionDenied []");
    assert_eq!(start(b"a\0b"), "NotExecutable InvalidInput []");
}

#[test]
fn text_without_a_shebang_is_a_script() {
    let dir = tempfile::tempdir().unwrap();
    let make = |name: &str, content: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path.into_os_string()
    };
    let start = |program: &OsStr| {
        isolated(|| {
            std::env::set_current_dir(dir.path()).unwrap();
            let startup = Startup::take_over(Vec::new());
            let args = ["a b".into(), "".into()];
            words(&mut Request::new(program, &args, clock), &startup)
        })
    };
    let script = make("script", b"echo \"$#:$1:$2\"; exit 3");
    assert_eq!(start(&script), "2:a b:\nCode(3) []");
    make("-c", b"exit 4");
    assert_eq!(start(OsStr::new("./-c")), "Code(4) []");
    assert_eq!(start(&make("empty", b"")), "Code(0) []");
    let binary = make("binary", b"exit 0\n\0\0\0");
    assert!(start(&binary).starts_with("NotExecutable"));
    assert_eq!(start(&make("lost", b"#!/no/such\n")), "NotFound NotFound []");
}

#[test]
fn arguments_arrive_byte_for_byte() {
    let all: Vec<u8> = (1..=255).collect();
    let said = isolated(|| {
        let startup = Startup::take_over(Vec::new());
        let args = [
            OsString::from("-c"),
            "test \"$2\" = '' && test \"$3\" = -- && printf %s \"$1\" | od -An -v -tu1".into(),
            "sh".into(),
            OsString::from_vec(all.clone()),
            "".into(),
            "--".into(),
        ];
        words(&mut Request::new(OsStr::new("sh"), &args, clock), &startup)
    });
    let bytes = said.split_whitespace().map_while(|word| word.parse().ok());
    assert_eq!(bytes.collect::<Vec<u8>>(), all, "{said}");
}

#[test]
fn variables_are_added() {
    let env = [("CB_STATE".into(), "closed".into()), ("HOME".into(), "/nowhere".into())];
    let said = isolated(|| {
        let startup = Startup::take_over(Vec::new());
        let args = ["-c".into(), "env | grep -e ^CB_STATE= -e ^HOME= | sort".into()];
        let mut request = Request::new(OsStr::new("sh"), &args, clock);
        request.env = &env;
        words(&mut request, &startup)
    });
    assert_eq!(said, "CB_STATE=closed\nHOME=/nowhere\nCode(0) []");
}

#[test]
fn the_environment_is_inherited_byte_for_byte() {
    unsafe extern "C" {
        static mut environ: *const *const std::ffi::c_char;
    }
    let said = isolated(|| {
        let path = format!("PATH={}\0", std::env::var("PATH").unwrap());
        let entries = ["A=1\0", "A=2\0", "BAD\0", "CB_STATE=old\0", "CB_STATES=kept\0", &path];
        let mut pointers: Vec<_> = entries.iter().map(|entry| entry.as_ptr().cast()).collect();
        pointers.push(std::ptr::null());
        // SAFETY: this process has one thread, and the entries outlive the run.
        unsafe { environ = pointers.as_ptr() };
        let startup = Startup::take_over(Vec::new());
        let args = ["/proc/self/environ".into()];
        let mut request = Request::new(OsStr::new("cat"), &args, clock);
        let ours = [("CB_STATE".into(), "new".into())];
        request.env = &ours;
        words(&mut request, &startup)
    });
    let mut entries: Vec<_> = said.split('\0').collect();
    entries.retain(|entry| !entry.starts_with("PATH="));
    let expected = ["A=1", "A=2", "BAD", "CB_STATES=kept", "CB_STATE=new", "Code(0) []"];
    assert_eq!(entries, expected);
}

/// The line of /proc/self/status that a child has, as a number.
fn status_of_child(field: &str, prepare: impl FnOnce()) -> u64 {
    let said = isolated(|| {
        prepare();
        let startup = Startup::take_over(Vec::new());
        let args = [field.into(), "/proc/self/status".into()];
        words(&mut Request::new(OsStr::new("grep"), &args, clock), &startup)
    });
    let line = said.lines().next().unwrap();
    u64::from_str_radix(line.split_whitespace().last().unwrap(), 16).unwrap()
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

#[test]
fn ignored_signals_and_the_mask_are_inherited() {
    let ignored = [libc::SIGCHLD, libc::SIGHUP, libc::SIGPIPE, libc::SIGTSTP];
    for signal in ignored {
        for ignore in [true, false] {
            let set = status_of_child("SigIgn", || {
                signals::set_ignored(signal, ignore);
            });
            assert_eq!(set & bit(signal) != 0, ignore, "{signal}");
        }
    }
    let nothing = status_of_child("SigBlk", || signals::Set::of(&[]).make_mask());
    assert_eq!(nothing, 0);
    let some = [libc::SIGUSR1, libc::SIGCHLD, libc::SIGPIPE];
    let blocked = status_of_child("SigBlk", || signals::Set::of(&some).make_mask());
    assert_eq!(blocked, some.into_iter().map(bit).sum::<u64>());
}

#[test]
fn the_end_is_told_where_sigchld_is_ignored() {
    let said = isolated(|| {
        signals::set_ignored(libc::SIGCHLD, true);
        sh("exit 6", as_is)
    });
    assert_eq!(said, "Code(6) []");
}

#[test]
fn signals_reach_the_child_once() {
    check("kill -TERM $PPID; exec sleep 60", as_is, "Signal(15) [15]");
    check("kill -TERM $PPID; exec sleep 60", within(9000, 9000), "Signal(15) [15]");
    let counts = "n=0; trap 'n=$((n+1))' USR1; trap 'exit $n' USR2
        kill -USR1 $PPID; sleep 0.3; kill -USR2 $PPID; while :; do sleep 0.05; done";
    check(counts, as_is, "Code(1) [10, 12]");
    check("kill -TERM 0; exec sleep 60", as_is, "Signal(15) [15]");
    let real_time = "trap 'exit 9' RTMIN+3; kill -s RTMIN+3 $PPID; while :; do sleep 0.05; done";
    check(real_time, as_is, "Code(9) [37]");
}

/// Makes this process, which leads a session, the foreground of a new terminal;
/// returns the end that a person sits at.
fn open_terminal() -> File {
    let mut fds = [-1; 2];
    let nothing = std::ptr::null_mut();
    // SAFETY: both numbers are written; the descriptors are new and nobody else's.
    unsafe {
        let opened = libc::openpty(
            &raw mut fds[0],
            &raw mut fds[1],
            nothing,
            std::ptr::null(),
            std::ptr::null(),
        );
        assert_eq!(opened, 0, "{}", io::Error::last_os_error());
        assert_eq!(libc::ioctl(fds[1], libc::TIOCSCTTY, 0), 0);
        File::from_raw_fd(fds[0])
    }
}

/// What becomes of a command when this key was typed just before it was started.
fn typed_early(key: u8, signal: i32, startup: &Startup, command: &[&str]) -> String {
    signals::Set::waited().block();
    let mut terminal = open_terminal();
    terminal.write_all(&[key]).unwrap();
    while !signals::is_pending(signal) {
        std::thread::sleep(ms(1));
    }
    let args: Vec<OsString> = command[1..].iter().map(OsString::from).collect();
    words(&mut Request::new(OsStr::new(command[0]), &args, clock), startup)
}

#[test]
fn what_is_typed_before_the_child_exists_reaches_it() {
    for (key, signal) in [(0x03, libc::SIGINT), (0x1c, libc::SIGQUIT)] {
        let said = isolated(|| {
            let no_core = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
            rustix::process::setrlimit(rustix::process::Resource::Core, no_core).unwrap();
            let startup = Startup::take_over(Vec::new());
            typed_early(key, signal, &startup, &["sleep", "60"])
        });
        assert_eq!(said, format!("Signal({signal}) [{signal}]"));
    }
    let said = isolated(|| {
        // Nobody here could continue it: the child has it blocked, and looks.
        signals::Set::of(&[libc::SIGTSTP]).make_mask();
        let startup = Startup::take_over(Vec::new());
        let look = "until grep -q '^ShdPnd:.*80000$' /proc/$$/status; do sleep 0.02; done";
        typed_early(0x1a, libc::SIGTSTP, &startup, &["bash", "-c", look])
    });
    assert_eq!(said, "Code(0) [20]");
}

#[test]
fn what_cb_wrote_into_a_broken_pipe_was_not_sent_to_the_child() {
    let said = isolated(|| {
        signals::set_ignored(libc::SIGPIPE, false);
        let startup = Startup::take_over(Vec::new());
        signals::send(signals::To::Myself, libc::SIGPIPE);
        let args = ["-c".into(), "kill -PIPE $$".into()];
        words(&mut Request::new(OsStr::new("sh"), &args, clock), &startup)
    });
    assert_eq!(said, "Signal(13) []");
}

#[test]
fn a_signal_that_is_told_with_the_end_does_not_end_cb_afterwards() {
    // cb stands still until the child, which it got the same signal as, is dead:
    // SIGCHLD comes before a real-time signal then.
    let script = "(until grep -q '^State:.Z' /proc/$$/status; do sleep 0.02; done
        kill -CONT $PPID) >/dev/null & kill -STOP $PPID
        kill -s RTMIN+3 $PPID; kill -s RTMIN+3 $$";
    let said = isolated(|| {
        let startup = Startup::take_over(Vec::new());
        let args = ["-c".into(), script.into()];
        let said = words(&mut Request::new(OsStr::new("sh"), &args, clock), &startup);
        startup.unblock_signals();
        said
    });
    // The CONT that woke cb may be taken before the child's end or not at all.
    assert!(["Signal(37) [37]", "Signal(37) [18, 37]"].contains(&said.as_str()), "{said}");
}

#[test]
fn signals_wait_after_the_end_until_they_are_let_through() {
    let said = isolated(|| {
        let startup = Startup::take_over(Vec::new());
        let mut request = Request::new(OsStr::new("true"), &[], clock);
        let mut said = words(&mut request, &startup);
        for signal in [libc::SIGTERM, libc::SIGPIPE] {
            signals::send(signals::To::Myself, signal);
        }
        said.push_str(" lives");
        write_to_stdout(&said);
        startup.unblock_signals();
        " and goes on".to_owned()
    });
    assert_eq!(said, "Code(0) [] lives");
}

fn write_to_stdout(text: &str) {
    let stdout = io::stdout();
    rustix::io::write(&stdout, text.as_bytes()).unwrap();
}

#[test]
fn an_ignored_signal_stays_ignored() {
    let said = isolated(|| {
        signals::set_ignored(libc::SIGHUP, true);
        sh("kill -HUP $PPID; sleep 0.1; exit 4", as_is)
    });
    assert_eq!(said, "Code(4) []");
    check("kill -HUP $PPID; exec sleep 60", as_is, "Signal(1) [1]");
}

#[test]
fn an_alarm_that_cb_inherited_ends_the_child() {
    let said = isolated(|| {
        // SAFETY: touches no memory.
        unsafe { libc::alarm(1) };
        sh("exec sleep 60", as_is)
    });
    assert_eq!(said, "Signal(14) [14]");
}

#[test]
fn time_that_is_up_ends_the_group() {
    check("exec sleep 60", within(100, 9000), "Signal(15) term []");
    check("exec sleep 60", within(0, 9000), "Signal(15) term []");
    check("sleep 60 & sleep 60", within(100, 9000), "Signal(15) term []");
    check("kill -STOP $$", within(100, 9000), "Signal(15) term []");
    let deaf = "trap '' TERM; echo >&9; sleep 60; sleep 60";
    check_once_ready(deaf, (100, 100), "Signal(9) term kill []");
    let deaf = "(trap '' TERM; echo >&9; sleep 60; sleep 60) & exec sleep 60";
    check_once_ready(deaf, (100, 200), "Signal(15) term kill []");
    let polite = "trap 'exit 3' TERM; echo >&9; while :; do sleep 0.01; done";
    check_once_ready(polite, (100, 9000), "Code(3) term []");
}

#[test]
fn those_left_behind_have_the_rest_of_the_time() {
    let script = "(trap 'sleep 0.2; echo tidy; exit' TERM; echo >&9;
        while :; do sleep 0.01; done) & exec sleep 60";
    check_once_ready(script, (100, 9000), "tidy\nSignal(15) term []");
}

#[test]
fn one_left_behind_whose_name_is_not_text_counts() {
    let stays = r#"trap "" TERM HUP; printf "\377) Z" >/proc/$$/comm; echo >&9
        while :; do kill -STOP $$; done"#;
    let script = format!("sh -c '{stays}' & exec sleep 60");
    check_once_ready(&script, (100, 600), "Signal(15) term kill []");
}

#[test]
fn a_child_that_ends_in_time_may_leave_others_behind() {
    check("(sleep 1; echo later) & exit 0", within(9000, 9000), "Code(0) []later\n");
}

#[test]
fn in_the_foreground_only_the_child_is_ended() {
    let alone = |request: &mut Request<'_, 'static>| {
        within(1000, 9000)(request);
        request.foreground = true;
    };
    check("(sleep 2; echo later) & exec sleep 60", alone, "Signal(15) term []later\n");
}

#[test]
fn where_nobody_can_continue_it_a_stop_ends_at_once() {
    check("kill -TSTP $$; exit 5", within(9000, 9000), "Code(5) []");
    check("kill -TSTP $$; exit 5", as_is, "Code(5) []");
}

#[test]
fn a_stopped_child_is_waited_for() {
    let script = "(until grep -q '^State:.T' /proc/$$/status; do sleep 0.02; done
        kill -CONT $$) & kill -STOP $$; exit 5";
    check(script, as_is, "Code(5) []");
}

#[test]
fn closed_descriptors_stay_closed() {
    for fd in 0..3 {
        let said = isolated(|| {
            // What the report is written to.
            let report = io::stdout();
            let kept = rustix::io::fcntl_dupfd_cloexec(&report, 10).unwrap();
            // SAFETY: nothing uses the descriptor but this test.
            unsafe { libc::close(fd) };
            let startup = Startup::take_over(Vec::new());
            let args = ["-c".into(), format!("test ! -e /proc/$$/fd/{fd}").into()];
            let said = words(&mut Request::new(OsStr::new("sh"), &args, clock), &startup);
            // SAFETY: as above; `kept` is not used after.
            unsafe { libc::dup2(kept.into_raw_fd(), 1) };
            format!("{:?} {said}", startup.closed)
        });
        let closed = [fd == 0, fd == 1, fd == 2];
        assert_eq!(said, format!("{closed:?} Code(0) []"));
    }
}

#[test]
fn the_child_outlives_a_killed_cb_unless_told_not_to() {
    let script = "kill -9 $PPID; sleep 0.2; echo alive";
    check(script, as_is, "alive\n");
    check("kill -9 $PPID; exec sleep 60", |request| request.die_with_parent = true, "");
}

#[test]
fn cb_can_end_by_the_same_signal() {
    let signals = [libc::SIGTERM, libc::SIGSEGV, libc::SIGKILL, libc::SIGHUP, libc::SIGPIPE];
    let both = |signal| [(signal, false), (signal, true)];
    for (signal, let_through) in signals.into_iter().flat_map(both) {
        // SAFETY: as in `isolated`.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            signals::set_ignored(signal, true);
            let startup = Startup::take_over(Vec::new());
            signals::Set::waited().block();
            if let_through {
                startup.unblock_signals();
            }
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(signals::end_by_signal(signal)) };
        }
        let mut status = 0;
        // SAFETY: the status outlives the call.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
        assert!(libc::WIFSIGNALED(status) && !libc::WCOREDUMP(status), "{signal}: {status:#x}");
        assert_eq!(libc::WTERMSIG(status), signal);
    }
}

#[test]
fn durations_are_measured() {
    let said = isolated(|| {
        let startup = Startup::take_over(Vec::new());
        let args = ["0.2".into()];
        let mut request = Request::new(OsStr::new("sleep"), &args, clock);
        let report = run(&mut request, &startup, &mut |_| {}).unwrap();
        assert_eq!(report.end, End::Code(0));
        format!("{}", report.duration >= ms(200) && report.duration < ms(5000))
    });
    assert_eq!(said, "true");
}
