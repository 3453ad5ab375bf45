//! The cache: exact bytes or nothing, whatever lies in its directory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Child, Command, Stdio};
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::clock::SystemClock;
use crate::store::{CacheKey, Cached, Kept, lock};

const MAX: u64 = 1 << 20;

fn key(word: &str) -> CacheKey {
    CacheKey::of(&[OsString::from(word)], None, &[])
}

fn record(store: &FileStore, key: &CacheKey, bytes: &[u8]) -> Kept {
    let mut recording = store.cache_record(&pay(), key, MAX).unwrap();
    recording.take(bytes);
    recording.keep(0, OsStr::new("/usr/bin/curl")).unwrap()
}

fn find(store: &FileStore, key: &CacheKey) -> Option<Vec<u8>> {
    store.cache_find(&pay(), key, None).unwrap().map(bytes_of)
}

fn bytes_of(mut cached: Cached) -> Vec<u8> {
    let mut bytes = Vec::new();
    cached.copy_to(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, cached.len);
    bytes
}

impl Bench {
    fn cache(&self, name: &str) -> PathBuf {
        self.path("cache").join(name)
    }

    fn cache_files(&self, prefix: &str) -> Vec<String> {
        files(&self.path("cache"), prefix)
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A process that holds the lock of a file until it is killed.
pub struct LockHolder(Child);

impl LockHolder {
    pub fn start(path: &Path) -> Self {
        let program = Command::new("flock")
            .args(["--no-fork", path.to_str().unwrap(), "sleep", "600"])
            .stdin(Stdio::null())
            .spawn();
        let holder = LockHolder(program.unwrap());
        for _ in 0..1000 {
            if File::open(path).is_ok_and(|file| !lock::try_shared(&file).unwrap()) {
                return holder;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("{} is not locked", path.display());
    }

    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for LockHolder {
    fn drop(&mut self) {
        self.kill();
    }
}

#[test]
fn bytes_come_back_as_they_went_in_whatever_the_pieces() {
    let bench = Bench::new(start());
    let bytes: Vec<u8> = (0..200_003u32).map(|i| (i ^ (i >> 8)) as u8).collect();
    assert!(bytes.contains(&0) && bytes.contains(&0xff));
    let mut recording = bench.store.cache_record(&pay(), &key("a"), MAX).unwrap();
    let mut rest = &bytes[..];
    for len in (1..).step_by(97) {
        let (piece, after) = rest.split_at(len.min(rest.len()));
        recording.take(piece);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let kept = recording.keep(7, OsStr::new("bin/\u{fc}curl")).unwrap();
    assert_eq!(kept, Kept::Stored { len: 200_003 });
    let cached = bench.store.cache_find(&pay(), &key("a"), None).unwrap().unwrap();
    assert_eq!((cached.exit_code, &*cached.program, cached.len), (7, "\u{fc}curl", 200_003));
    assert_eq!(cached.key, key("a").hex());
    assert!(bytes_of(cached) == bytes);
    assert!(find(&bench.store, &key("b")).is_none());
}

#[test]
fn an_empty_output_is_an_output() {
    let bench = Bench::new(start());
    assert_eq!(record(&bench.store, &key("a"), b""), Kept::Stored { len: 0 });
    assert_eq!(find(&bench.store, &key("a")), Some(Vec::new()));
}

#[test]
fn nothing_is_found_and_nothing_made_where_nothing_is() {
    let bench = Bench::new(start());
    assert!(find(&bench.store, &key("a")).is_none());
    assert!(bench.store.cache_list(&pay()).unwrap().is_empty());
    assert_eq!(bench.store.cache_drop(&pay(), None).unwrap(), 0);
    assert!(bench.store.cache_open(&pay(), "abcd").is_err());
    assert!(!bench.root.exists());
}

#[test]
fn keys_tell_apart_what_makes_a_difference_and_nothing_else() {
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let of = |argv: &[&str], cwd: Option<&str>, env: &[(&str, Option<&str>)]| {
        let var =
            |(name, value): &(&str, Option<&str>)| ((*name).to_owned(), value.map(OsString::from));
        let env: Vec<_> = env.iter().map(var).collect();
        CacheKey::of(&words(argv), cwd.map(Path::new), &env).hex().to_owned()
    };
    let all = [
        of(&["ab"], None, &[]),
        of(&["a", "b"], None, &[]),
        of(&["a", "b", ""], None, &[]),
        of(&["a b"], None, &[]),
        of(&["b", "a"], None, &[]),
        of(&["a", "b"], Some("/"), &[]),
        of(&["a", "b", "/"], None, &[]),
        of(&["a", "b"], Some("/x"), &[]),
        of(&["a", "b"], None, &[("X", None)]),
        of(&["a", "b"], None, &[("X", Some(""))]),
        of(&["a", "b"], None, &[("X", Some("Y"))]),
        of(&["a", "b"], None, &[("X", None), ("Y", None)]),
        of(&["a", "b"], None, &[("XY", None)]),
    ];
    for (i, one) in all.iter().enumerate() {
        assert_eq!(one.len(), 64);
        assert!(!all[..i].contains(one), "{i}");
    }
    let not_utf8 = |byte| CacheKey::of(&[OsString::from_vec(vec![byte])], None, &[]);
    assert_ne!(not_utf8(0xfe), not_utf8(0xff));
    assert_eq!(
        of(&["a"], None, &[("X", None), ("Y", Some("1"))]),
        of(&["a"], None, &[("Y", Some("1")), ("X", None)]),
    );
}

#[test]
fn the_bound_is_exact_and_what_is_too_long_leaves_what_was_there() {
    let bench = Bench::new(start());
    let cap = |pieces: &[&[u8]]| {
        let mut recording = bench.store.cache_record(&pay(), &key("a"), 10).unwrap();
        pieces.iter().for_each(|piece| recording.take(piece));
        let left = bench.cache_files("tmp-").len();
        (recording.keep(0, OsStr::new("x")).unwrap(), left)
    };
    assert_eq!(cap(&[b"0123456789"]), (Kept::Stored { len: 10 }, 1));
    assert_eq!(cap(&[b"01234", b"", b"56789"]), (Kept::Stored { len: 10 }, 1));
    // Given up at once: the disk has its space back before the command ends.
    assert_eq!(cap(&[b"0123456789a"]), (Kept::TooLarge, 0));
    assert_eq!(cap(&[b"012345", b"6789a", b"b"]), (Kept::TooLarge, 0));
    assert_eq!(find(&bench.store, &key("a")), Some(b"0123456789".to_vec()));
    assert_eq!(bench.cache_files(""), [key("a").hex()]);
}

#[test]
fn a_recording_that_is_dropped_leaves_nothing() {
    let bench = Bench::new(start());
    record(&bench.store, &key("a"), b"good");
    let mut recording = bench.store.cache_record(&pay(), &key("a"), MAX).unwrap();
    recording.take(b"half of");
    assert_eq!(bench.cache_files("tmp-").len(), 1);
    drop(recording);
    assert_eq!(bench.cache_files("tmp-"), [] as [String; 0]);
    assert_eq!(find(&bench.store, &key("a")), Some(b"good".to_vec()));
}

#[test]
fn an_output_grows_old_by_boot_time() {
    let bench = Bench::new(start());
    record(&bench.store, &key("a"), b"good");
    let find = |ttl_ms: Option<u64>| {
        let ttl = ttl_ms.map(Duration::from_millis);
        bench.store.cache_find(&pay(), &key("a"), ttl).unwrap().map(|found| found.age.as_millis())
    };
    assert_eq!(find(Some(0)), Some(0));
    // The wall clock is set back by an hour, and a minute passes.
    bench.clock.set(reading(start().wall_ms - HOUR_MS, start().boot_ms + 60_000, 7));
    assert_eq!(find(None), Some(60_000));
    assert_eq!(find(Some(60_000)), Some(60_000));
    assert_eq!(find(Some(59_999)), None);
    // After a reboot with a wall clock that is behind: not of a negative age.
    bench.clock.set(reading(start().wall_ms - HOUR_MS, 5, 8));
    assert_eq!(find(Some(1)), Some(0));
    assert_eq!(bench.cache_files("").len(), 1, "what is too old stays for others");
}

#[test]
fn a_file_that_is_cut_anywhere_counts_as_absent_and_goes() {
    let bench = Bench::new(start());
    record(&bench.store, &key("a"), b"some output");
    let path = bench.cache(key("a").hex());
    let whole = fs::read(&path).unwrap();
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        assert!(find(&bench.store, &key("a")).is_none(), "length {len}");
        assert!(!path.exists(), "length {len}");
        // What a power cut leaves: as long as it should be, and zeros.
        let mut zeros = whole[..len].to_vec();
        zeros.resize(whole.len(), 0);
        fs::write(&path, &zeros).unwrap();
        assert!(find(&bench.store, &key("a")).is_none(), "zeros from {len}");
    }
    fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
    assert!(find(&bench.store, &key("a")).is_none());
    fs::write(&path, &whole).unwrap();
    assert_eq!(find(&bench.store, &key("a")), Some(b"some output".to_vec()));
}

#[test]
fn a_flipped_bit_anywhere_counts_as_absent_and_goes() {
    let bench = Bench::new(start());
    record(&bench.store, &key("a"), b"some output");
    let path = bench.cache(key("a").hex());
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        assert!(find(&bench.store, &key("a")).is_none(), "byte {at}");
        assert!(!path.exists(), "byte {at}");
    }
}

#[test]
fn damage_past_the_first_piece_is_found_before_a_byte_is_given() {
    let bench = Bench::new(start());
    record(&bench.store, &key("a"), &vec![b'x'; 300_000]);
    let path = bench.cache(key("a").hex());
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() = b'y';
    fs::write(&path, &bytes).unwrap();
    assert!(find(&bench.store, &key("a")).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_file_content_makes_a_panic(mut bytes: Vec<u8>, meta in ".{0,200}", sum: bool) {
        let bench = Bench::new(start());
        record(&bench.store, &key("a"), b"some output");
        let path = bench.cache(key("a").hex());
        if sum {
            // A head whose checksum holds, around any text.
            bytes = fs::read(&path).unwrap();
            bytes[12..16].copy_from_slice(&(meta.len() as u32).to_le_bytes());
            let len = meta.len().min(992);
            bytes[32..][..len].copy_from_slice(&meta.as_bytes()[..len]);
            let sum = crc32fast::hash(&[&bytes[..28], &bytes[32..1024]].concat());
            bytes[28..32].copy_from_slice(&sum.to_le_bytes());
        }
        fs::write(&path, &bytes).unwrap();
        prop_assert_eq!(bench.store.cache_list(&pay()).unwrap(), []);
        prop_assert!(find(&bench.store, &key("a")).is_none());
    }
}

#[test]
fn a_newer_version_is_left_alone_until_a_recording_takes_its_place() {
    let bench = Bench::new(start());
    record(&bench.store, &key("a"), b"good");
    let path = bench.cache(key("a").hex());
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    let sum = crc32fast::hash(&[&bytes[..28], &bytes[32..1024]].concat());
    bytes[28..32].copy_from_slice(&sum.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    assert!(find(&bench.store, &key("a")).is_none());
    assert_eq!(fs::read(&path).unwrap(), bytes);
    let opened = bench.store.cache_open(&pay(), key("a").hex());
    assert!(matches!(opened, Err(Error::Newer { version: 2, .. })));
    record(&bench.store, &key("a"), b"better");
    assert_eq!(find(&bench.store, &key("a")), Some(b"better".to_vec()));
}

#[test]
fn what_is_not_a_file_of_ours_is_neither_read_nor_followed_nor_waited_for() {
    let bench = Bench::new(start());
    record(&bench.store, &key("good"), b"good");
    let elsewhere = bench.root.join("elsewhere");
    fs::copy(bench.cache(key("good").hex()), &elsewhere).unwrap();
    let path = bench.cache(key("a").hex());
    let refused = |what: &str| {
        let error = bench.store.cache_find(&pay(), &key("a"), None).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains(key("a").hex()), "{error}");
        assert_eq!(bench.store.cache_list(&pay()).unwrap().len(), 1);
    };
    make_fifo(&path);
    refused("is not a regular file: move it away");
    assert_eq!(record(&bench.store, &key("a"), b"new"), Kept::Stored { len: 3 });
    assert_eq!(find(&bench.store, &key("a")), Some(b"new".to_vec()));

    fs::remove_file(&path).unwrap();
    symlink(&elsewhere, &path).unwrap();
    refused("is a symbolic link");
    record(&bench.store, &key("a"), b"new");
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
    assert_eq!(fs::read(&elsewhere).unwrap(), fs::read(bench.cache(key("good").hex())).unwrap());

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused("is not a regular file");
    let mut recording = bench.store.cache_record(&pay(), &key("a"), MAX).unwrap();
    recording.take(b"new");
    assert!(recording.keep(0, OsStr::new("x")).is_err());
    assert_eq!(bench.cache_files("tmp-"), [] as [String; 0]);

    fs::write(bench.cache("notes.txt"), "mine").unwrap();
    fs::write(bench.cache(&key("b").hex().to_uppercase()), "mine").unwrap();
    assert_eq!(bench.store.cache_list(&pay()).unwrap().len(), 1);
    assert!(bench.cache("notes.txt").exists());
}

#[test]
fn a_directory_that_is_none_or_cannot_be_made_is_one_quiet_error() {
    let bench = Bench::new(start());
    fs::create_dir_all(bench.root.join("pay")).unwrap();
    make_fifo(&bench.path("cache"));
    let error = bench.store.cache_record(&pay(), &key("a"), MAX).err().unwrap();
    assert!(error.is_of_store() && error.to_string().contains("is not a directory"), "{error}");
    assert!(bench.store.cache_find(&pay(), &key("a"), None).is_err());
    fs::remove_file(bench.path("cache")).unwrap();
    symlink("/", bench.path("cache")).unwrap();
    assert!(bench.store.cache_record(&pay(), &key("a"), MAX).is_err());

    // Nobody can make a directory there, not even root.
    let store = FileStore::new(PathBuf::from("/proc"), Box::new(bench.clock.clone()));
    let error = store.cache_record(&pay(), &key("a"), MAX).err().unwrap();
    assert!(error.is_of_store(), "{error}");
    assert!(store.cache_find(&pay(), &key("a"), None).unwrap().is_none());
}

#[test]
fn a_cache_that_vanishes_meanwhile_breaks_nothing() {
    let bench = Bench::new(start());
    let mut recording = bench.store.cache_record(&pay(), &key("a"), MAX).unwrap();
    recording.take(b"one");
    fs::remove_dir_all(bench.path("cache")).unwrap();
    recording.take(b"two");
    assert!(recording.keep(0, OsStr::new("x")).unwrap_err().is_of_store());
    record(&bench.store, &key("a"), b"again");
    assert_eq!(find(&bench.store, &key("a")), Some(b"again".to_vec()));
}

#[test]
fn the_oldest_outputs_give_way_and_damaged_ones_before_them() {
    let bench = Bench::new(start());
    for i in 0..103u64 {
        bench.clock.set(Reading { boot_ms: start().boot_ms + i, ..start() });
        record(&bench.store, &key(&format!("{i}")), b"x");
    }
    let there = |i: u64| bench.cache(key(&format!("{i}")).hex()).exists();
    assert_eq!(bench.store.cache_list(&pay()).unwrap().len(), 100);
    assert!((0..3).all(|i| !there(i)) && (3..103).all(there));

    fs::write(bench.cache(key("50").hex()), "broken").unwrap();
    bench.clock.set(Reading { boot_ms: start().boot_ms + 200, ..start() });
    record(&bench.store, &key("new"), b"x");
    assert!(!there(50) && there(3));
    let listed = bench.store.cache_list(&pay()).unwrap();
    assert_eq!(listed.len(), 100);
    assert_eq!(listed[0].key, key("new").hex());
    assert_eq!(listed[99].key, key("3").hex());
    assert_eq!(listed[99].age, Duration::from_millis(197));

    // One that is replaced is none more.
    record(&bench.store, &key("3"), b"y");
    assert_eq!(bench.store.cache_list(&pay()).unwrap().len(), 100);
}

#[test]
fn a_list_says_what_was_kept() {
    let bench = Bench::new(start());
    let mut recording = bench.store.cache_record(&pay(), &key("a"), MAX).unwrap();
    recording.take(b"12345");
    recording.keep(3, OsStr::new("/bin/ls")).unwrap();
    let [entry] = &bench.store.cache_list(&pay()).unwrap()[..] else { panic!() };
    assert_eq!((&*entry.program, entry.exit_code, entry.len), ("ls", 3, 5));
    assert_eq!((&*entry.key, entry.stored_wall_ms), (key("a").hex(), start().wall_ms));
}

#[test]
fn an_output_is_named_by_the_first_digits_of_its_key() {
    let bench = Bench::new(start());
    record(&bench.store, &key("a"), b"one");
    let whole = key("a");
    let hex = whole.hex();
    let twin = format!("{}{}", &hex[..8], "0".repeat(56));
    fs::copy(bench.cache(hex), bench.cache(&twin)).unwrap();
    let open = |prefix: &str| {
        bench.store.cache_open(&pay(), prefix).map(bytes_of).map_err(|error| error.to_string())
    };
    assert_eq!(open(hex), Ok(b"one".to_vec()));
    assert_eq!(open(&hex.to_uppercase()), Ok(b"one".to_vec()));
    assert_eq!(open(&hex[..12]), Ok(b"one".to_vec()));
    let unclear =
        format!("pay: 2 outputs in the cache begin with '{}': give more of the key", &hex[..4]);
    assert_eq!(open(&hex[..4]), Err(unclear));
    let unknown = "pay: no output in the cache begins with 'ffff0000'; 'cb cache list pay' lists \
                   them";
    assert_eq!(open("ffff0000"), Err(unknown.to_owned()));
    for wrong in ["", "abc", "../../state", "xyzw", "\u{1b}[31m", &"a".repeat(65)] {
        let error = open(wrong).unwrap_err();
        assert!(error.contains("give its first 4 to 64 hex digits"), "{error}");
        assert!(!error.contains(char::is_control), "{error:?}");
    }
    fs::write(bench.cache(&twin), "broken").unwrap();
    assert!(open(&twin).unwrap_err().ends_with("was damaged: now removed"));
    assert_eq!(open(&hex[..4]), Ok(b"one".to_vec()));
}

#[test]
fn outputs_are_dropped_one_by_one_or_all() {
    let bench = Bench::new(start());
    for word in ["a", "b", "c"] {
        record(&bench.store, &key(word), b"x");
    }
    assert!(bench.store.cache_drop(&pay(), Some("0000")).is_err());
    assert_eq!(bench.store.cache_drop(&pay(), Some(&key("a").hex()[..16])).unwrap(), 1);
    assert!(find(&bench.store, &key("a")).is_none());
    fs::write(bench.cache("tmp-1-left"), "half").unwrap();
    assert_eq!(bench.store.cache_drop(&pay(), None).unwrap(), 2);
    assert_eq!(bench.cache_files(""), [] as [String; 0]);
}

#[test]
fn an_output_that_is_open_outlives_its_name() {
    let bench = Bench::new(start());
    record(&bench.store, &key("a"), b"old");
    let cached = bench.store.cache_find(&pay(), &key("a"), None).unwrap().unwrap();
    record(&bench.store, &key("a"), b"newer");
    assert_eq!(bytes_of(cached), b"old");
    let cached = bench.store.cache_find(&pay(), &key("a"), None).unwrap().unwrap();
    bench.store.cache_drop(&pay(), None).unwrap();
    assert_eq!(bytes_of(cached), b"newer");
}

#[test]
fn recordings_of_one_key_at_once_leave_one_of_them_whole() {
    let bench = Bench::new(start());
    let open = || FileStore::new(bench.root.clone(), Box::new(SystemClock::default()));
    let content = |n: u8| vec![n; 100_000 + usize::from(n)];
    let root = &bench.root;
    thread::scope(|scope| {
        for n in 0..4u8 {
            scope.spawn(move || {
                let store = FileStore::new(root.clone(), Box::new(SystemClock::default()));
                for round in 0..20 {
                    let mut recording = store.cache_record(&pay(), &key("a"), MAX).unwrap();
                    content(n).chunks(9973).for_each(|piece| recording.take(piece));
                    if round % 5 == 4 {
                        continue;
                    }
                    recording.keep(0, OsStr::new("x")).unwrap();
                    let bytes = find(&store, &key("a")).unwrap();
                    assert!(bytes == content(bytes[0]));
                }
            });
        }
    });
    let bytes = find(&open(), &key("a")).unwrap();
    assert!(bytes == content(bytes[0]));
    assert_eq!(bench.cache_files("").len(), 1);
    // Whoever ends last has the last word.
    let (store, other) = (open(), open());
    let mut first = store.cache_record(&pay(), &key("a"), MAX).unwrap();
    let mut second = other.cache_record(&pay(), &key("a"), MAX).unwrap();
    second.take(b"second");
    second.keep(0, OsStr::new("x")).unwrap();
    first.take(b"first");
    first.keep(0, OsStr::new("x")).unwrap();
    assert_eq!(find(&store, &key("a")), Some(b"first".to_vec()));
}

#[test]
fn leftovers_are_swept_and_live_recordings_are_not() {
    let bench = Bench::new(start());
    let mut live = bench.store.cache_record(&pay(), &key("live"), MAX).unwrap();
    live.take(b"still ");
    let left = bench.cache("tmp-77-00");
    fs::write(&left, "half").unwrap();
    make_fifo(&bench.cache("tmp-fifo"));
    let held = bench.cache("tmp-78-00");
    fs::write(&held, "half").unwrap();
    let mut holder = LockHolder::start(&held);

    let other = bench.store.cache_record(&pay(), &key("other"), MAX).unwrap();
    assert!(!left.exists() && held.exists());
    fs::write(&left, "half").unwrap();
    other.keep(0, OsStr::new("x")).unwrap();
    assert!(!left.exists() && held.exists(), "at the end too");

    holder.kill();
    record(&bench.store, &key("a"), b"x");
    assert!(!held.exists());

    live.take(b"here");
    live.keep(0, OsStr::new("x")).unwrap();
    assert_eq!(find(&bench.store, &key("live")), Some(b"still here".to_vec()));
    assert_eq!(bench.cache_files("tmp-"), ["tmp-fifo"]);
}

#[test]
fn all_of_it_is_private_and_goes_with_the_breaker() {
    let bench = Bench::new(start());
    trip(&bench.store, None);
    let recording = bench.store.cache_record(&pay(), &key("b"), MAX).unwrap();
    let [tmp] = &bench.cache_files("tmp-")[..] else { panic!() };
    assert_eq!(mode(&bench.cache(tmp)), 0o600);
    assert!(tmp.starts_with(&format!("tmp-{}-", std::process::id())));
    record(&bench.store, &key("a"), b"x");
    assert_eq!(mode(&bench.cache(key("a").hex())), 0o600);
    assert_eq!(mode(&bench.path("cache")), 0o700);
    bench.store.remove(&pay()).unwrap();
    assert!(!bench.root.join("pay").exists());
    assert!(recording.keep(0, OsStr::new("x")).is_err());
}
