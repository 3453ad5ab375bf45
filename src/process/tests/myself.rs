//! cb started again. Here that is this test program: the words of a start name
//! one of the tests below, and `--skip` carries a word for it.

use super::*;
use crate::process::{Worker, start_detached};

fn words_for(test: &str, word: &str) -> Vec<OsString> {
    let test = format!("process::tests::myself::{test}");
    ["--ignored", "--nocapture", "--exact", &test, "--skip", word].map(OsString::from).into()
}

fn word() -> Option<String> {
    std::env::args().skip_while(|arg| arg != "--skip").nth(1)
}

/// What this process is, in words.
fn describe() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let set = |field: &str| {
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        let set = u64::from_str_radix(line.split_whitespace().last().unwrap(), 16).unwrap();
        // The C library keeps two for itself and lets nobody change them.
        set & !(bit(32) | bit(33))
    };
    let [blocked, ignored] = ["SigBlk", "SigIgn"].map(set);
    let link = |fd: i32| std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
    let [stdin, stdout, inherited] = [0, 1, 30].map(link);
    format!(
        "leads {} blocked {blocked:x} ignored {ignored:x} {} {} {} {}",
        rustix::process::getsid(None) == Ok(rustix::process::getpid()),
        stdin.display(),
        stdout.display(),
        inherited.display(),
        std::env::current_dir().unwrap().display(),
    )
}

#[test]
#[ignore = "what the detached one of another test does"]
fn detached() {
    let Some(path) = word() else { return };
    let part = format!("{path}.part");
    std::fs::write(&part, describe()).unwrap();
    std::fs::rename(part, path).unwrap();
}

#[test]
#[ignore = "what the worker of another test does"]
fn worker() {
    match word().as_deref() {
        Some("waits") => std::thread::sleep(BOUND),
        Some(word) => println!("\nanswer {word} {}", describe()),
        None => {}
    }
}

#[test]
fn a_detached_one_has_nothing_of_the_caller() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("answer");
    let said = isolated(|| {
        // A background job's ignored INT, a blocked TERM, and the pipe of a
        // `$(...)`: this process's stdout, which is read to its end.
        signals::set_ignored(libc::SIGINT, true);
        signals::set_ignored(libc::SIGCHLD, true);
        signals::Set::of(&[libc::SIGTERM]).make_mask();
        // SAFETY: 30 belongs to no value of this process.
        unsafe { libc::dup2(1, 30) };
        let startup = Startup::take_over(Vec::new());
        let args = words_for("detached", path.to_str().unwrap());
        start_detached(&args, &startup).unwrap();
        let until = clock() + BOUND / 2;
        while !path.exists() && clock() < until {
            std::thread::sleep(ms(10));
        }
        "started".to_owned()
    });
    assert_eq!(said, "started");
    // Rust's own start has SIGPIPE ignored in this test program.
    let expected = "leads true blocked 0 ignored 1000 /dev/null /dev/null  /";
    assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
}

#[test]
fn a_worker_answers_and_can_be_told_to_end() {
    let said = isolated(|| {
        let startup = Startup::take_over(Vec::new());
        signals::Set::waited().block();
        let start = |word| Worker::start(&words_for("worker", word), &startup).unwrap();
        let workers = [start("waits"), start("hello")];
        let first = Worker::first_done(&workers, Some(BOUND / 2)).unwrap();
        assert_eq!(Worker::first_done(&workers[..1], Some(ms(0))).unwrap(), None);
        let [waits, hello] = workers;
        let (status, answer) = hello.wait().unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let line = answer.lines().find(|line| line.starts_with("answer hello leads false"));
        assert!(line.is_some_and(|line| line.contains("/dev/null pipe:")), "{answer}");
        waits.end(libc::SIGTERM);
        format!("{first:?} {status} {}", waits.wait().unwrap().0)
    });
    assert_eq!(said, "Some(1) 0 143");
}

#[test]
fn what_cannot_be_started_is_told() {
    let startup = Startup::take_over(Vec::new());
    let error = start_detached(&["a\0b".into()], &startup).unwrap_err();
    assert_eq!(error.to_string(), "cannot start a process: Invalid argument");
}
