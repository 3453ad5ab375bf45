//! Files that are not what cb wrote.

use std::os::unix::fs::{FileExt, PermissionsExt, symlink};

use super::format::Entry;
use super::*;

/// A job that was attempted once and waits.
fn attempted(bench: &Bench) -> (JobId, Vec<u8>) {
    let queue = bench.queue();
    let new = NewJob { stdin: b"in".to_vec(), ..job(&["echo"]) };
    let id = queue.add(&new, now(T0), MANY).unwrap().id;
    attempt(&queue, id, Ended::Failure, T0);
    (id, fs::read(bench.path("pending", id)).unwrap())
}

#[test]
fn a_flipped_bit_is_seen_wherever_it_is() {
    let bench = Bench::new();
    let (id, whole) = attempted(&bench);
    let queue = bench.queue();
    for at in 0..whole.len() {
        for bit in [0x01, 0x20, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= bit;
            let file = fs::OpenOptions::new().write(true).open(bench.path("pending", id)).unwrap();
            file.write_all_at(&bytes, 0).unwrap();
            let claimed = queue.claim(id, &|_| policy(), T0 + 5000).unwrap();
            assert!(matches!(claimed, Claimed::PutAside(_)), "byte {at}: {claimed:?}");
            fs::rename(bench.path("doubt", id), bench.path("pending", id)).unwrap();
        }
    }
}

#[test]
fn garbage_and_lengths_that_lie_never_panic() {
    let bench = Bench::new();
    let (id, whole) = attempted(&bench);
    let queue = bench.queue();
    let mut cases: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"cbjob\n".to_vec(),
        vec![0; 5000],
        vec![0xff; 5000],
        [&whole[..], b"\n"].concat(),
        [&whole[..], &[0; 100], b"\n"].concat(),
        [&whole[..], b"{\"began\":1,\"at\":1} 00000000\n"].concat(),
        [&whole[..], b"\xff\xfe \n"].concat(),
        [&whole[..], &format::line(&Entry::Began(7), 1)].concat(),
        [&whole[..], &format::line(&Entry::Ended(1, ended(Ended::Success)), 1)].concat(),
    ];
    for lengths in [8..12, 12..16] {
        let mut bytes = whole.clone();
        bytes[lengths].fill(0xff);
        cases.push(bytes);
    }
    for bytes in cases {
        fs::write(bench.path("pending", id), &bytes).unwrap();
        fs::set_permissions(bench.path("pending", id), fs::Permissions::from_mode(0o600)).unwrap();
        assert!(queue.list().unwrap()[0].job.is_err());
        assert!(queue.open(id).is_err());
        let claimed = queue.claim(id, &|_| policy(), T0 + 5000).unwrap();
        assert!(matches!(claimed, Claimed::PutAside(_)), "{claimed:?}");
        let error = queue.retry(id, T0).unwrap_err();
        assert!(error.to_string().ends_with("it can only be dropped"), "{error}");
        fs::rename(bench.path("doubt", id), bench.path("pending", id)).unwrap();
    }
    // A tail that was never finished is another thing.
    fs::write(bench.path("pending", id), [&whole[..], &[0; 100]].concat()).unwrap();
    claim(&queue, id, T0 + 5000).release();
}

#[test]
fn what_is_put_aside_leaves_pending_though_its_name_is_taken() {
    let bench = Bench::new();
    let queue = bench.queue();
    let (id, _) = attempted(&bench);
    fs::write(bench.path("doubt", id), "the first").unwrap();
    fs::write(bench.path("pending", id), "the second").unwrap();
    let claimed = queue.claim(id, &|_| policy(), T0 + 5000).unwrap();
    assert!(matches!(claimed, Claimed::PutAside(_)), "{claimed:?}");
    assert_eq!(bench.counts(), Counts { doubt: 2, ..Counts::default() });
    assert_eq!(fs::read(bench.path("doubt", id)).unwrap(), b"the first");
    assert_eq!(fs::read(bench.path("doubt", id.next())).unwrap(), b"the second");
}

#[test]
fn a_job_goes_through_the_breaker_whose_queue_it_is_in() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = add(&queue, &["true"]);
    let meta = super::meta::encode("\u{1b}[2J", id, &job(&["true"]), &now(T0));
    fs::write(bench.path("pending", id), format::encode(&meta, b"in").unwrap()).unwrap();
    assert_eq!(queue.open(id).unwrap().unwrap().1.breaker, "pay");
    assert_eq!(queue.list().unwrap()[0].job.as_ref().unwrap().breaker, "pay");
    let held = claim(&queue, id, T0);
    assert_eq!((&*held.job().breaker, &*held.job().stdin), ("pay", &b"in"[..]));
    held.release();
}

#[test]
fn one_corrupt_job_among_ten_hinders_none() {
    let bench = Bench::new();
    let queue = bench.queue();
    let ids: Vec<JobId> = (0..10).map(|_| add(&queue, &["true"])).collect();
    fs::write(bench.path("pending", ids[4]), "rubbish").unwrap();
    for id in queue.ids_pending().unwrap() {
        match queue.claim(id, &|_| policy(), T0).unwrap() {
            Claimed::Got(mut claim) => {
                claim.begin(T0).unwrap();
                claim.end(&ended(Ended::Success), &policy(), T0).unwrap();
            }
            Claimed::PutAside(why) => {
                assert_eq!((id, &*why), (ids[4], "does not begin like a job"))
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bench.counts(), Counts { done: 9, doubt: 1, ..Counts::default() });
    assert_eq!(fs::read(bench.path("doubt", ids[4])).unwrap(), b"rubbish");
    assert_eq!(queue.drop(ids[4]).unwrap(), Some(JobState::Doubt));
}

#[test]
fn a_job_under_another_name_is_not_that_job() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = add(&queue, &["true"]);
    let other = JobId::after(Some(id), T0, 0);
    fs::rename(bench.path("pending", id), bench.path("pending", other)).unwrap();
    assert!(matches!(queue.claim(other, &|_| policy(), T0).unwrap(), Claimed::PutAside(_)));
}

#[test]
fn a_newer_job_is_left_alone() {
    let bench = Bench::new();
    let (id, whole) = attempted(&bench);
    let queue = bench.queue();
    let mut bytes = whole;
    bytes[6..8].copy_from_slice(&2u16.to_le_bytes());
    let meta_len = u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize;
    let crc = crc32fast::hash(&[&bytes[..28], &bytes[32..32 + meta_len]].concat());
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    fs::write(bench.path("pending", id), &bytes).unwrap();
    assert!(matches!(queue.claim(id, &|_| policy(), T0).unwrap(), Claimed::Newer(2)));
    assert!(matches!(queue.open(id), Err(Error::Newer { version: 2, .. })));
    let why = queue.list().unwrap()[0].job.clone().unwrap_err();
    assert_eq!(why, "has format version 2, written by a newer cb");
    fs::rename(bench.path("pending", id), bench.path("running", id)).unwrap();
    assert_eq!(queue.recover(&|_| policy(), policy().max_age, T0).unwrap().newer, 1);
    assert_eq!(fs::read(bench.path("running", id)).unwrap(), bytes);
}

#[test]
fn what_is_no_file_of_ours_is_put_aside_or_left() {
    let bench = Bench::new();
    let queue = bench.queue();
    let outside = bench.root.join("outside");
    fs::write(&outside, "not a job").unwrap();
    let made: [&dyn Fn(&Path); 5] = [
        &|path| symlink(&outside, path).unwrap(),
        &|path| symlink("/dev/zero", path).unwrap(),
        &|path| fs::create_dir(path).unwrap(),
        &|path| {
            let mode = rustix::fs::Mode::RWXU;
            rustix::fs::mkfifoat(rustix::fs::CWD, path, mode).unwrap();
        },
        &|path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
    ];
    let mut last = None;
    for (place, make) in made.iter().enumerate() {
        let state = [JobState::Pending, JobState::Running][place % 2];
        for state in [state, JobState::Pending] {
            let id = JobId::after(last, T0, 3);
            last = Some(id);
            let short = bench._dir.path().join("x");
            make(&short);
            fs::rename(&short, bench.path(state.name(), id)).unwrap();
        }
    }
    for name in ["x", "..x", "0000000000000000000000000U"] {
        fs::write(bench.home().join("pending").join(name), "x").unwrap();
        fs::write(bench.home().join("tmp").join(name), "x").unwrap();
    }
    let good = add(&queue, &["true"]);
    let recovered = queue.recover(&|_| policy(), policy().max_age, T0).unwrap();
    assert_eq!((recovered.put_aside.len(), recovered.errors.len()), (2, 0), "{recovered:?}");
    for id in queue.ids_pending().unwrap() {
        match queue.claim(id, &|_| policy(), T0).unwrap() {
            Claimed::Got(claim) => assert_eq!(claim.job().id, good),
            Claimed::PutAside(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(queue.ids_pending().unwrap(), [good]);
    assert_eq!(bench.counts().doubt, 10);
    assert_eq!(queue.list().unwrap().len(), 11);
    assert_eq!(fs::read(&outside).unwrap(), b"not a job");
    assert!(bench.home().join("tmp/x").exists());
}

#[test]
fn a_queue_that_is_no_directory_or_open_to_all_is_not_used() {
    let bench = Bench::new();
    let queue = bench.queue();
    let id = add(&queue, &["true"]);
    let pending = bench.home().join("pending");
    fs::set_permissions(&pending, fs::Permissions::from_mode(0o777)).unwrap();
    let error = bench.queue().add(&job(&["true"]), now(T0), MANY).unwrap_err();
    assert!(error.to_string().contains("writable by others"), "{error}");
    fs::set_permissions(&pending, fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(bench.path("pending", id), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(queue.claim(id, &|_| policy(), T0).unwrap(), Claimed::PutAside(_)));
    fs::rename(bench.home(), bench.root.join("elsewhere")).unwrap();
    symlink(bench.root.join("elsewhere"), bench.home()).unwrap();
    assert!(matches!(bench.store.queue(&pay(), Absent::Create), Err(Error::Unsafe { .. })));
}
