//! A state file whose bytes are not what cb wrote.

use std::fs;

use cb::store::slots::{self, HEADER_LEN, SLOT_LEN};
use serde_json::{Value, json};

use super::*;

/// An open breaker whose two slots both hold an open state.
fn open() -> Cb {
    let cb = Cb::new();
    cb.run(["trip", "pay", "--for", "1h"]).code(0);
    cb.exec("pay", ["true"]).code(75);
    cb
}

fn state(cb: &Cb) -> std::path::PathBuf {
    cb.store().join("pay/state")
}

/// The length of the body in a slot.
fn body_len(bytes: &[u8], slot: usize) -> usize {
    let at = slot * SLOT_LEN + 12;
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize
}

/// With these bytes as the state of an open breaker a call is rejected, or, where
/// no state is left in them, runs with a warning.
#[track_caller]
fn check(cb: &Cb, bytes: &[u8], survives: bool, what: &str) {
    fs::write(state(cb), bytes).expect("a state");
    let reader = bounded(cb.command(["status", "--check", "pay"]));
    let ran = bounded(cb.command(exec_words(&[])));
    if survives {
        assert_eq!(reader.status().code(), Some(2), "{what}: {reader}");
        assert_eq!(ran.status().code(), Some(75), "{what}: {ran}");
        return;
    }
    assert_eq!(reader.status().code(), Some(125), "{what}: {reader}");
    reader.one_line("/pay/state is corrupt");
    assert_eq!(ran.status().code(), Some(3), "{what}: {ran}");
    ran.stdout("ran\n").one_line("/pay/state was corrupt: kept as ").stderr_has("state.corrupt-");
    let kept = corrupt(cb);
    assert!(!kept.is_empty() && kept.len() <= 4, "{what}: {kept:?}");
    assert!(kept.iter().any(|file| fs::read(file).expect("a file") == bytes), "{what}");
    assert_eq!(bounded(cb.command(["status", "--check", "pay"])).status().code(), Some(0));
}

fn corrupt(cb: &Cb) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(cb.store().join("pay")).expect("a breaker");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.filter(|path| path.to_string_lossy().contains("state.corrupt-")).collect()
}

/// Every how many bytes: all of them only in the whole run.
fn stride(place: usize) -> bool {
    full() || place < HEADER_LEN + 4 || place.is_multiple_of(7)
}

#[test]
fn a_state_cut_at_any_length_is_the_state_or_put_aside() {
    let model = open();
    let bytes = fs::read(state(&model)).expect("a state");
    let (first, second) = (HEADER_LEN + body_len(&bytes, 0), HEADER_LEN + body_len(&bytes, 1));
    let mut lens: Vec<usize> = (0..=first + 8).filter(|len| stride(*len)).collect();
    lens.extend([first - 1, first, first + 1, SLOT_LEN - 1, 4095, 4096, 4097, bytes.len()]);
    lens.extend((0..=second + 8).filter(|len| stride(*len)).map(|len| SLOT_LEN + len));
    each(&lens, Cb::new, |cb, len| {
        if !cb.store().exists() {
            cb.exec("pay", ["true"]).code(0);
        }
        check(cb, &bytes[..(*len).min(bytes.len())], *len >= first, &format!("length {len}"));
    });
}

#[test]
fn any_flipped_byte_leaves_the_other_state() {
    let model = open();
    let bytes = fs::read(state(&model)).expect("a state");
    let len = HEADER_LEN + body_len(&bytes, 0);
    let places: Vec<usize> = (0..len).filter(|at| stride(*at)).collect();
    let prepare = || {
        let cb = Cb::new();
        cb.exec("pay", ["true"]).code(0);
        cb
    };
    each(&places, prepare, |cb, at| {
        for mask in [0x01, 0x80, 0xff] {
            let mut one = bytes.clone();
            one[*at] ^= mask;
            check(cb, &one, true, &format!("byte {at} of one slot"));
        }
        // The same byte in both: only the four that mean nothing do no harm.
        let mut both = bytes.clone();
        both[*at] ^= 0x10;
        both[SLOT_LEN + at] ^= 0x10;
        check(cb, &both, (28..32).contains(at), &format!("byte {at} of both slots"));
    });
}

#[test]
fn what_was_never_a_state_is_put_aside() {
    let mut seed = 7_u64;
    let mut random = |len: usize| -> Vec<u8> {
        let mut byte = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        };
        (0..len).map(|_| byte()).collect()
    };
    let slot = |body: &[u8]| slots::encode(1, body).expect("a slot");
    let mut endless = slot(b"{}");
    endless[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    let deep = [vec![b'['; 8000], vec![b']'; 8000]].concat();
    let cases = [
        vec![],
        vec![0],
        vec![0; 20_480],
        vec![0; 1 << 20],
        vec![0xff; 20_480],
        random(20_480),
        random(3 << 20),
        b"cbstate\n".to_vec(),
        b"cbstate\n".repeat(4000),
        endless,
        slot(b""),
        slot(b"null"),
        slot(b"{}"),
        slot(&random(300)),
        slot(&deep),
        slot(br#"{"clock":{"at":-1}}"#),
    ];
    let cb = open();
    for (number, bytes) in cases.iter().enumerate() {
        check(&cb, bytes, false, &format!("case {number}"));
    }
}

#[test]
fn a_huge_state_file_costs_no_memory() {
    let cb = open();
    let file = fs::OpenOptions::new().write(true).open(state(&cb)).expect("a state");
    file.set_len(1 << 40).expect("a sparse file");
    cb.exec("pay", ["true"]).code(75);
    fs::write(state(&cb), b"x").expect("a state");
    let file = fs::OpenOptions::new().write(true).open(state(&cb)).expect("a state");
    file.set_len(1 << 40).expect("a sparse file");
    bounded(cb.command(exec_words(&[]))).code(3).stdout("ran\n").one_line("was corrupt");
}

/// The bytes of a slot of another version whose checksum holds.
fn of_version(version: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = slots::encode(9, body).expect("a slot");
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    let sum = crc32fast::hash(&[&bytes[..24], body].concat());
    bytes[24..28].copy_from_slice(&sum.to_le_bytes());
    bytes
}

#[test]
fn a_newer_version_is_never_written_over() {
    for (slot, version) in [(0, 2), (1, 2), (0, u32::MAX), (1, u32::MAX)] {
        let cb = open();
        let mut bytes = fs::read(state(&cb)).expect("a state");
        let newer = of_version(version, b"not even JSON");
        bytes[slot * SLOT_LEN..][..newer.len()].copy_from_slice(&newer);
        fs::write(state(&cb), &bytes).expect("a state");
        let says = format!("/pay/state has format version {version}, written by a newer cb");
        Unusable::new(&cb, &says).check();
        for words in [["reset", "pay"], ["release", "pay"]] {
            bounded(cb.command(words)).code(125).stdout("").one_line(&says);
        }
        assert_eq!(fs::read(state(&cb)).expect("a state"), bytes);
        assert_eq!(corrupt(&cb).len(), 0);
    }
}

/// Puts a value at a JSON pointer.
fn with(mut body: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, value) in changes {
        match body.pointer_mut(pointer) {
            Some(place) => *place = value.clone(),
            None => panic!("no {pointer} in {body}"),
        }
    }
    body
}

#[test]
fn values_that_no_cb_would_write_panic_nowhere_and_steer_no_terminal() {
    let cb = Cb::new();
    cb.run(["hold", "pay", "forced-open", "--reason", "why", "--for", "1h"]).code(0);
    let held: Value = body_of(&cb);
    cb.run(["reset", "pay"]).code(0);
    cb.run(["trip", "pay"]).code(0);
    let open: Value = body_of(&cb);
    let esc = json!("\u{1b}]0;x\u{7}\u{1b}[2J\n\u{202e}\u{85}");
    let (max, min) = (json!(u64::MAX), json!(i64::MIN));
    let totals = Value::from(vec![u64::MAX; 12]);
    let cases = [
        with(
            held.clone(),
            &[("/phase/held/comment", esc.clone()), ("/phase/held/by", esc.clone())],
        ),
        with(
            held.clone(),
            &[("/last_transition/comment", esc.clone()), ("/last_transition/by", esc)],
        ),
        with(held.clone(), &[("/phase/held/until", max.clone()), ("/since", max.clone())]),
        with(held, &[("/clock/at", max.clone()), ("/phase/held/until", json!(0))]),
        with(open.clone(), &[("/phase/open/retry_at", max.clone()), ("/totals", totals)]),
        with(open.clone(), &[("/clock/at", max.clone()), ("/clock/wall", min)]),
        with(open.clone(), &[("/clock/wall", json!(i64::MAX)), ("/clock/boot", max.clone())]),
        with(open.clone(), &[("/generation", max.clone()), ("/phase/open/retry_at", json!(0))]),
        with(open.clone(), &[("/last_transition/at", max.clone()), ("/reopens", json!(u32::MAX))]),
        with(open, &[("/consecutive_failures", json!(u32::MAX)), ("/clock/at", json!(0))]),
    ];
    for body in cases {
        let text = body.to_string();
        for words in [
            &["status"][..],
            &["status", "--json"],
            &["check", "pay"],
            &["exec", "pay", "true"],
            &["exec", "--open-backoff", "1.0001", "--open-for", "1ms", "pay", "false"],
            &["allow", "pay"],
            &["trip", "pay", "--for", "365d"],
            &["hold", "pay", "disabled"],
            &["release", "pay"],
            &["reset", "pay"],
        ] {
            let bytes = slots::new_file(text.as_bytes()).expect("a file");
            fs::write(state(&cb), bytes).expect("a state");
            let ran = bounded(cb.command(words));
            assert!(ran.status().code().is_some(), "{words:?} on {text}: {ran}");
            assert!(!ran.stderr_text().contains("panicked"), "{words:?} on {text}: {ran}");
            for shown in [ran.stdout_text(), ran.stderr_text()] {
                let raw = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
                assert!(!shown.contains(raw), "{words:?} on {text}: {shown:?}");
            }
            assert_eq!(corrupt(&cb).len(), 0, "{text} is a state");
        }
    }
}

/// The body of the latest state.
fn body_of(cb: &Cb) -> Value {
    let file = fs::File::open(state(cb)).expect("a state");
    match slots::load(&file).expect("it is readable") {
        slots::Content::State(latest, _) => serde_json::from_slice(&latest.body).expect("JSON"),
        other => panic!("{other:?}"),
    }
}
