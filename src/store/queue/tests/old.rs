//! A job that an earlier cb has written still loads, and means the same.

use super::format::{Entry, Wanted};
use super::*;

const AT: Ms = 1_700_000_000_000;

fn id() -> JobId {
    JobId::parse("01hf7yat00abcdefghjkmnpqrs").unwrap()
}

fn new() -> NewJob {
    NewJob {
        argv: vec!["charge".into(), OsString::from_vec(vec![0xff, 0]), "\u{e9}\n\"".into()],
        cwd: "/srv/orders".into(),
        umask: 0o027,
        env: vec![("PATH".into(), "/bin".into()), ("ODD".into(), OsString::from_vec(vec![0xfe]))],
        stdin: vec![0, 1, 2, 0xff],
        key: Some("order 7".into()),
        idempotent: true,
        flags: "--timeout 5s".into(),
        delay_ms: 250,
    }
}

fn not_started() -> AttemptEnd {
    AttemptEnd {
        how: Ended::NotStarted,
        exit_code: None,
        signal: None,
        timed_out: false,
        duration_ms: 0,
        note: "no such command".into(),
    }
}

fn killed() -> AttemptEnd {
    AttemptEnd {
        how: Ended::Failure,
        signal: Some(9),
        timed_out: true,
        duration_ms: 5001,
        note: String::new(),
        ..not_started()
    }
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/job-v1.bin")
}

#[test]
fn a_job_of_version_1_still_loads_and_means_the_same() {
    let file = fs::File::open(path()).unwrap();
    let content = format::read(&file, id(), Wanted::Whole).unwrap();
    let Content::Job(job, journal) = content else { panic!("{content:?}") };
    assert_eq!(journal.end, file.metadata().unwrap().len());
    let expected = new();
    assert_eq!((&job.argv, &job.cwd, job.umask), (&expected.argv, &expected.cwd, 0o027));
    assert_eq!((&job.env, &job.stdin), (&expected.env, &expected.stdin));
    assert_eq!((&job.key, job.idempotent), (&expected.key, true));
    assert_eq!((&*job.breaker, &*job.flags), ("pay", "--timeout 5s"));
    assert_eq!((job.enqueued_ms, job.enqueued_wall_ms), (AT, AT as i64 + 7));
    let attempt = |number, began_ms, ended| Attempt { number, began_ms, ended };
    assert_eq!(
        job.attempts,
        [
            attempt(1, AT + 300, Some((AT + 301, not_started()))),
            attempt(2, AT + 2000, Some((AT + 7001, killed()))),
            attempt(3, AT + 60_000, None),
        ]
    );
    let due_ms = AT + 61_000;
    assert_eq!(job.history.fate(&policy(), AT + 60_001), Fate::Pending { due_ms });
}

/// Only ever run for a new version: a file that is committed stays.
#[test]
#[ignore = "writes the file if it is missing"]
fn write_the_missing_file() {
    if path().exists() {
        return;
    }
    let at = QueueNow { clock_ms: AT, wall_ms: AT as i64 + 7, draw: 0 };
    let mut bytes = format::encode(&meta::encode("pay", id(), &new(), &at), &new().stdin).unwrap();
    let entries = [
        (Entry::Began(1), AT + 300),
        (Entry::Ended(1, not_started()), AT + 301),
        (Entry::Began(2), AT + 2000),
        (Entry::Ended(2, killed()), AT + 7001),
        (Entry::Retried, AT + 50_000),
        (Entry::Began(3), AT + 60_000),
    ];
    for (entry, at_ms) in entries {
        bytes.extend(format::line(&entry, at_ms));
    }
    fs::write(path(), bytes).unwrap();
}
