//! `cb probe` over the real binary.

mod command;
mod crowd;
mod deadline;
mod dns;
mod feed;
mod foreign;
mod grpc;
mod http;
mod http_expected;
mod output;
mod page;
mod tls;
mod told;
mod watch;
mod words;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::live::ended;
use crate::support::{Cb, Ran};

/// A cb whose lines are read as they come. Ended where the test fails.
struct Reading {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Reading {
    fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("cb starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Reading { child, lines }
    }

    /// The next line, without its end; empty at the end of all.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line.trim_end_matches('\n').to_owned()
    }

    fn asks_to_end(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it is there");
    }

    /// Its end, with what was not yet read.
    fn end(mut self) -> Ran {
        let mut stdout = Vec::new();
        self.lines.read_to_end(&mut stdout).expect("its output");
        let mut stderr = Vec::new();
        let mut pipe = self.child.stderr.take().expect("a pipe");
        pipe.read_to_end(&mut stderr).expect("its messages");
        Ran { output: Output { status: ended(&mut self.child), stdout, stderr } }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The config of a breaker with a probe of this page.
fn probed(name: &str, url: &str, more: &str) -> String {
    format!("[breaker.{name}.probe]\nhttp = \"{url}\"\n{more}\n")
}

/// The JSON of a probe that was told as such.
#[track_caller]
fn json(ran: &Ran) -> Value {
    let text = ran.stdout_text();
    assert_eq!(text.matches('\n').count(), 1, "not one line: {ran}");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("no JSON: {e}: {ran}"))
}

/// The JSON in a file, if it is whole.
fn json_in(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// The flock of a breaker, as long as the answer lives.
#[track_caller]
fn locked(cb: &Cb, name: &str) -> std::fs::File {
    let lock = std::fs::File::open(cb.store().join(name).join("lock")).expect("a breaker");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("the lock");
    lock
}
