//! A command that says by its exit status whether all is well, in a process group
//! of its own, which ends with the probe: at the command's end, or whatever ends the
//! probe early.
//!
//! The group is killed before its command is reaped. Afterwards the number could be
//! another group's.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{self, Child, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, kill_process_group, pidfd_open,
    waitid, waitpid,
};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::unix::pipe::Receiver;
use tokio::runtime::Handle;

use super::{Detail, Found, Verdict};
use crate::error::plain;
use crate::model::text::excerpt;
use crate::net::{Trace, Trouble};
use crate::probe::spec::Command;
use crate::process::Inherited;

/// More of what a command writes is read and not kept.
const OUTPUT_BYTES_MAX: usize = 4096;
/// What was written before the command ended is there at once. A process that it
/// left behind may hold the pipe open for ever.
const OUTPUT_WAIT: Duration = Duration::from_millis(50);
/// How often it is asked whether a command has ended, where nothing tells.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Runs it.
pub(super) async fn look(
    command: &Command,
    inherited: Inherited,
    trace: &Trace,
) -> Result<Found, Trouble> {
    // Nothing of it is timed apart.
    trace.leave();
    let mut group = Group::start(command, inherited)?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let pipes = (group.child.stdout.take(), group.child.stderr.take());
    let (stdout, stderr) = (readable(pipes.0)?, readable(pipes.1)?);
    let mut reading = Box::pin(async {
        tokio::join!(keep(stdout, &mut out), keep(stderr, &mut err));
    });
    let mut read = false;
    let ended = tokio::select! {
        biased;
        ended = group.ended() => ended,
        () = &mut reading => {
            read = true;
            group.ended().await
        }
    };
    let status = ended.and_then(|()| group.end()).map_err(unwaited)?;
    if !read {
        let _ = tokio::time::timeout(OUTPUT_WAIT, &mut reading).await;
    }
    drop(reading);
    let line = first_line(&out).or_else(|| first_line(&err));
    Ok(judge(status, line, command.nagios))
}

/// A command and what it starts. As long as the command is not reaped, even where
/// it has ended, no other group can have its number.
struct Group {
    child: Child,
    id: Pid,
    /// Can be read once the command has ended, where the kernel has such a thing.
    end: Option<Receiver>,
    reaped: bool,
}

impl Group {
    fn start(command: &Command, inherited: Inherited) -> Result<Self, Trouble> {
        let (program, arguments) = command.argv.split_first().expect("a command has a first word");
        let mut command = process::Command::new(program);
        inherited.restore_in(&mut command);
        let child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|e| {
                let program = excerpt(&program.to_string_lossy(), 100);
                Trouble::Unknown(format!("cannot run {program}: {}", reason(&e)))
            })?;
        let id = Pid::from_child(&child);
        let mut group = Group { child, id, end: None, reaped: false };
        group.end = match pidfd_open(id, PidfdFlags::empty()) {
            Ok(end) => Some(Receiver::from_owned_fd_unchecked(end).map_err(unwaited)?),
            Err(_) => None,
        };
        Ok(group)
    }

    /// Waits for the command's end, and leaves it to be reaped.
    async fn ended(&self) -> io::Result<()> {
        if let Some(end) = &self.end {
            end.readable().await?;
        }
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while waitid(WaitId::Pid(self.id), how)?.is_none() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Ends all that is left of it, and only then reaps the command.
    fn end(&mut self) -> io::Result<ExitStatus> {
        let _ = kill_process_group(self.id, Signal::KILL);
        let status = self.child.wait()?;
        self.reaped = true;
        Ok(status)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        let _ = kill_process_group(self.id, Signal::KILL);
        // It can take a while until a killed process is gone, for which nobody
        // waits here. Where no runtime is left, cb ends too.
        let (id, end) = (self.id, self.end.take());
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(reap(id, end));
        }
    }
}

/// Reaps a command that was killed.
async fn reap(id: Pid, end: Option<Receiver>) {
    if let Some(end) = end {
        let _ = end.readable().await;
    }
    while let Ok(None) = waitpid(Some(id), WaitOptions::NOHANG) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn unwaited(error: io::Error) -> Trouble {
    Trouble::Unknown(format!("cannot wait for a command: {}", plain(&error)))
}

/// A pipe from a command, for the runtime to wait for.
fn readable(pipe: Option<impl Into<OwnedFd>>) -> Result<Option<Receiver>, Trouble> {
    pipe.map(|pipe| Receiver::from_owned_fd(pipe.into())).transpose().map_err(unwaited)
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "command not found".to_owned(),
        io::ErrorKind::PermissionDenied => "not executable".to_owned(),
        _ => plain(error),
    }
}

/// Reads to the end, and keeps the beginning.
async fn keep(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut buffer = [0; OUTPUT_BYTES_MAX];
    // What cannot be read is the same as the end.
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        kept.extend(&buffer[..len.min(OUTPUT_BYTES_MAX - kept.len())]);
    }
}

fn first_line(output: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(output);
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

fn judge(status: ExitStatus, line: Option<String>, nagios: bool) -> Found {
    let (code, signal) = (status.code(), status.signal());
    let verdict = match (code, nagios) {
        (Some(0), _) => Verdict::Healthy,
        (Some(1), true) => Verdict::Warning,
        // What a shell says of a command that it cannot start.
        (Some(126 | 127), false) => Verdict::Unknown,
        (Some(2), true) | (_, false) => Verdict::Unhealthy,
        // 3, and what no plugin says: that it could not be run, a crash.
        (_, true) => Verdict::Unknown,
    };
    // What is behind the bar is for machines.
    let line = line.map(|line| match line.split_once('|') {
        Some((words, _)) if nagios => words.trim_end().to_owned(),
        _ => line,
    });
    let ended = match (code, signal) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "ended".to_owned(),
    };
    let words = match line.filter(|line| !line.is_empty()) {
        // A plugin's line says itself how it is.
        Some(line) if nagios || code == Some(0) => line,
        Some(line) => format!("{ended}: {line}"),
        None => ended,
    };
    let detail = Detail { exit_code: code, signal, ..Detail::default() };
    Found { verdict, detail, ..Found::healthy(words) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn command(argv: &[&str], nagios: bool) -> Command {
        Command { argv: argv.iter().map(Into::into).collect(), nagios }
    }

    async fn run(argv: &[&str]) -> Result<Found, Trouble> {
        look(&command(argv, false), Inherited::of_the_test(), &Trace::default()).await
    }

    async fn sh(script: &str) -> Found {
        run(&["sh", "-c", script]).await.unwrap()
    }

    async fn plugin(script: &str) -> Found {
        let command = command(&["sh", "-c", script], true);
        look(&command, Inherited::of_the_test(), &Trace::default()).await.unwrap()
    }

    #[track_caller]
    fn check(found: &Found, verdict: Verdict, words: &str, code: Option<i32>) {
        let seen = (found.verdict, found.words.as_str(), found.detail.exit_code);
        assert_eq!(seen, (verdict, words, code));
    }

    #[tokio::test]
    async fn the_exit_status_says_it() {
        check(&sh("exit 0").await, Verdict::Healthy, "exit status 0", Some(0));
        check(&sh("exit 1").await, Verdict::Unhealthy, "exit status 1", Some(1));
        check(&sh("exit 3").await, Verdict::Unhealthy, "exit status 3", Some(3));
        let killed = sh("kill -9 $$").await;
        check(&killed, Verdict::Unhealthy, "killed by signal 9", None);
        assert_eq!(killed.detail.signal, Some(9));
    }

    #[tokio::test]
    async fn a_plugin_of_nagios_has_four_statuses() {
        check(&plugin("echo 'OK - fine | a=1'").await, Verdict::Healthy, "OK - fine", Some(0));
        check(&plugin("exit 1").await, Verdict::Warning, "exit status 1", Some(1));
        check(&plugin("exit 2").await, Verdict::Unhealthy, "exit status 2", Some(2));
        check(&plugin("exit 3").await, Verdict::Unknown, "exit status 3", Some(3));
        check(&plugin("exit 127").await, Verdict::Unknown, "exit status 127", Some(127));
        check(&plugin("kill -9 $$").await, Verdict::Unknown, "killed by signal 9", None);
        check(&plugin("echo '|a=1'").await, Verdict::Healthy, "exit status 0", Some(0));
    }

    #[tokio::test]
    async fn the_first_line_is_what_was_found() {
        let found = sh("echo; echo '  first | x '; echo second; echo err >&2; exit 4").await;
        check(&found, Verdict::Unhealthy, "exit status 4: first | x", Some(4));
        let found = sh("echo; echo err >&2").await;
        check(&found, Verdict::Healthy, "err", Some(0));
        let found = sh(r"printf 'a\377\033[1m\n'").await;
        check(&found, Verdict::Healthy, "a\u{fffd}\u{1b}[1m", Some(0));
        check(&sh("cat").await, Verdict::Healthy, "exit status 0", Some(0));
    }

    #[tokio::test]
    async fn a_lot_of_output_is_read_and_little_kept() {
        let found =
            sh("head -c 3000000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero >&2").await;
        check(&found, Verdict::Healthy, &"x".repeat(OUTPUT_BYTES_MAX), Some(0));
    }

    #[tokio::test]
    async fn what_cannot_be_run_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        let unknown = async |program: &str| match run(&[program]).await {
            Err(Trouble::Unknown(why)) => why,
            other => panic!("{other:?}"),
        };
        let gone = unknown("/no/such").await;
        assert_eq!(gone, "cannot run /no/such: command not found");
        let file = file.to_str().unwrap();
        assert_eq!(unknown(file).await, format!("cannot run {file}: not executable"));
    }

    /// Whether this process runs.
    fn runs(id: &str) -> bool {
        let stat = fs::read_to_string(Path::new("/proc").join(id).join("stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    async fn lines(file: &Path, count: usize) -> Vec<String> {
        loop {
            let text = fs::read_to_string(file).unwrap_or_default();
            if text.lines().count() >= count && text.ends_with('\n') {
                return text.lines().map(str::to_owned).collect();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn what_is_cut_short_is_killed_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let ids = dir.path().join("ids");
        // None of them ends by a polite signal.
        let script = "trap '' TERM; (trap '' TERM; while :; do sleep 1; done) & echo $$ >>\"$0\"; \
                      echo $! >>\"$0\"; while :; do sleep 1; done";
        let argv = ["sh", "-c", script, ids.to_str().unwrap()];
        let command = command(&argv, false);
        let trace = Trace::default();
        let started = tokio::select! {
            found = look(&command, Inherited::of_the_test(), &trace) => panic!("{found:?}"),
            ids = lines(&ids, 2) => ids,
        };
        // By now it is dropped: both end, and the one that was ours to reap is gone.
        let child_is_there = || Path::new("/proc").join(&started[0]).exists();
        while child_is_there() || runs(&started[1]) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn what_leaves_the_group_lives_on_and_does_not_hold_it_up() {
        let dir = tempfile::tempdir().unwrap();
        let ids = dir.path().join("ids");
        let script = "setsid sh -c 'echo $$ >\"$0\"; exec sleep 100' \"$0\" & \
                      while [ ! -s \"$0\" ]; do sleep 0.01; done; echo fine";
        let found = run(&["sh", "-c", script, ids.to_str().unwrap()]).await.unwrap();
        check(&found, Verdict::Healthy, "fine", Some(0));
        let left = lines(&ids, 1).await.remove(0);
        // It was not ours to end: it is, now.
        assert!(runs(&left));
        let left = Pid::from_raw(left.parse().unwrap()).unwrap();
        rustix::process::kill_process(left, Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn what_stays_in_the_group_ends_with_the_command() {
        let dir = tempfile::tempdir().unwrap();
        let ids = dir.path().join("ids");
        let script = "sleep 1000 & echo $! >\"$0\"; echo fine";
        let found = run(&["sh", "-c", script, ids.to_str().unwrap()]).await.unwrap();
        check(&found, Verdict::Healthy, "fine", Some(0));
        let left = lines(&ids, 1).await.remove(0);
        while runs(&left) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn an_end_is_seen_where_the_kernel_tells_it_to_nobody() {
        let command = command(&["sh", "-c", "exec sleep 0.05"], false);
        let mut group = Group::start(&command, Inherited::of_the_test()).unwrap();
        group.end = None;
        group.ended().await.unwrap();
        assert_eq!(group.end().unwrap().code(), Some(0));
    }
}
