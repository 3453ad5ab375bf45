//! The files of a store: what is put aside, what is kept, and that the stores
//! agree with each other.

use proptest::prelude::*;

use super::*;
use crate::model::Now;
use crate::model::event::Hold;
use crate::store::slots::{self, Content, SLOT_LEN};
use crate::store::{MemoryStore, Notice, permit};

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}

/// The bytes of a slot with another version and a checksum that holds.
fn of_version(version: u32) -> Vec<u8> {
    let mut bytes = slots::encode(9, b"{}").unwrap();
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    let sum = crc32fast::hash(&[&bytes[..24], b"{}"].concat());
    bytes[24..28].copy_from_slice(&sum.to_le_bytes());
    bytes
}

#[test]
fn a_state_that_cannot_be_read_is_put_aside_and_four_are_kept() {
    let mut bench = Bench::new(start());
    for round in 0..7 {
        trip(&bench.store, None);
        bench.clock.set(reading(start().wall_ms + round, 500_000, 7));
        write(&bench.path("state"), format!("broken {round}").as_bytes());
        if round % 2 == 0 {
            bench.reopen();
        }
        let (verdict, receipt) = admit(&bench.store, &Policy::default());
        assert!(matches!(verdict, Verdict::Admit(_)), "it starts closed");
        let [Notice::PutAside { path, kept }] = &receipt.notices[..] else { panic!("{receipt:?}") };
        assert_eq!(*path, bench.path("state"));
        assert_eq!(fs::read(kept).unwrap(), format!("broken {round}").as_bytes());
    }
    let kept: Vec<String> =
        (3..7).map(|round| format!("state.corrupt-{}", start().wall_ms + round)).collect();
    assert_eq!(bench.files("state.corrupt-"), kept);
    assert!(bench.store.find(&pay()).unwrap().is_some());
}

#[test]
fn a_body_that_makes_no_sense_gives_way_to_the_state_before() {
    let mut bench = Bench::new(start());
    trip(&bench.store, None);
    let nonsense = slots::encode(7, br#"{"clock":"late"}"#).unwrap();
    let mut bytes = fs::read(bench.path("state")).unwrap();
    bytes[SLOT_LEN..SLOT_LEN + nonsense.len()].copy_from_slice(&nonsense);
    write(&bench.path("state"), &bytes);
    bench.reopen();
    let found = bench.store.find(&pay()).unwrap().unwrap();
    assert_eq!(found.breaker.state().name(), "open");
    let (verdict, receipt) = admit(&bench.store, &Policy::default());
    assert!(matches!(verdict, Verdict::Reject(_)));
    assert!(receipt.notices.is_empty());
    let found = bench.another().find(&pay()).unwrap().unwrap();
    assert_eq!(found.breaker.totals.rejected, 1, "the nonsense was written over");
}

#[test]
fn a_newer_version_is_left_alone_in_either_slot() {
    for (slot, version) in [(0, 2), (1, 2), (0, u32::MAX), (1, u32::MAX)] {
        let mut bench = Bench::new(start());
        trip(&bench.store, None);
        let mut bytes = fs::read(bench.path("state")).unwrap();
        let newer = of_version(version);
        bytes[slot * SLOT_LEN..][..newer.len()].copy_from_slice(&newer);
        write(&bench.path("state"), &bytes);
        bench.reopen();
        let is_newer = |error: Option<Error>| match error {
            Some(Error::Newer { version: found, .. }) => assert_eq!(found, version),
            other => panic!("{other:?}"),
        };
        is_newer(bench.store.find(&pay()).err());
        let step = |_: &mut Breaker, _: &Scene| Keep::Durably;
        is_newer(bench.store.transact(&pay(), Absent::Create, &mut { step }).err());
        assert_eq!(fs::read(bench.path("state")).unwrap(), bytes);
    }
}

#[test]
fn a_reader_of_a_broken_state_says_so_and_changes_nothing() {
    let bench = Bench::new(start());
    trip(&bench.store, None);
    write(&bench.path("state"), b"broken");
    assert!(matches!(bench.store.find(&pay()), Err(Error::Corrupt { .. })));
    assert_eq!(fs::read(bench.path("state")).unwrap(), b"broken");
    assert_eq!(bench.files(""), ["lock", "state"]);
}

#[test]
fn a_new_state_left_half_made_is_written_over() {
    let bench = Bench::new(start());
    trip(&bench.store, None);
    fs::remove_file(bench.path("state")).unwrap();
    write(&bench.path("state.new"), b"half");
    trip(&bench.store, None);
    assert_eq!(bench.files(""), ["lock", "state"]);
    assert!(bench.another().find(&pay()).unwrap().is_some());
}

#[test]
fn a_save_is_one_write_into_the_other_slot() {
    let bench = Bench::new(start());
    trip(&bench.store, None);
    for sequence in 1..8_u64 {
        let file = fs::File::open(bench.path("state")).unwrap();
        let Content::State(latest, _) = slots::load(&file).unwrap() else { panic!() };
        assert_eq!(latest.sequence, sequence);
        let before = fs::read(bench.path("state")).unwrap();
        bench.store.transact(&pay(), Absent::Create, &mut |_, _| Keep::State).unwrap();
        let after = fs::read(bench.path("state")).unwrap();
        let half = |bytes: &[u8], slot: usize| bytes[slot * SLOT_LEN..][..4096].to_vec();
        let latest_slot = (sequence as usize + 1) % 2;
        assert_eq!(half(&before, latest_slot), half(&after, latest_slot));
        assert_ne!(half(&before, 1 - latest_slot), half(&after, 1 - latest_slot));
    }
}

#[test]
fn a_step_that_keeps_nothing_writes_nothing() {
    let bench = Bench::new(start());
    trip(&bench.store, None);
    let before = fs::read(bench.path("state")).unwrap();
    let policy = Policy::default();
    bench
        .store
        .transact(&pay(), Absent::Create, &mut |breaker, scene| {
            let _ = breaker.admit(&policy, scene.now, Holder::Process);
            Keep::Nothing
        })
        .unwrap();
    assert_eq!(fs::read(bench.path("state")).unwrap(), before);
}

#[test]
fn a_breaker_that_was_removed_meanwhile_begins_anew() {
    let bench = Bench::new(start());
    trip(&bench.store, None);
    bench.another().remove(&pay()).unwrap();
    assert!(bench.store.find(&pay()).unwrap().is_none());
    // This store still holds the lock file that has no name any more.
    let (verdict, _) = admit(&bench.store, &Policy::default());
    assert!(matches!(verdict, Verdict::Admit(_)));
    assert_eq!(bench.files(""), ["lock", "state"]);
    bench.another().remove(&pay()).unwrap();
    let gone = bench.store.transact(&pay(), Absent::Refuse, &mut |_, _| Keep::State);
    assert!(matches!(gone, Err(Error::Unknown { .. })));
}

/// A breaker in half-open with one trial in flight.
fn half_open(bench: &Bench) -> (Permit, Receipt) {
    trip(&bench.store, Some(Duration::ZERO));
    let (verdict, receipt) = admit(&bench.store, &Policy::default());
    let permit = permit_of(verdict);
    assert_eq!(permit.trial, Some(0));
    assert!(receipt.permit.is_some());
    (permit, receipt)
}

#[test]
fn a_permit_is_held_by_its_file_and_free_once_that_is_dropped() {
    let bench = Bench::new(start());
    let (_, receipt) = half_open(&bench);
    assert_eq!(bench.files("permit-"), ["permit-2-0"]);
    let other = bench.another();
    assert!(matches!(admit(&other, &Policy::default()).0, Verdict::Reject(_)));
    assert!(other.find(&pay()).unwrap().unwrap().scene.gone.is_empty());
    drop(receipt);
    assert_eq!(other.find(&pay()).unwrap().unwrap().scene.gone.len(), 1);
    let (verdict, receipt) = admit(&other, &Policy::default());
    assert_eq!(permit_of(verdict).trial, Some(1));
    assert_eq!(bench.files("permit-"), ["permit-2-1"], "the lost trial's file is gone");
    drop(receipt);
}

#[test]
fn a_permit_whose_file_vanished_is_free() {
    let bench = Bench::new(start());
    let (permit, receipt) = half_open(&bench);
    fs::remove_file(bench.path("permit-2-0")).unwrap();
    let (verdict, _kept) = admit(&bench.store, &Policy::default());
    assert_eq!(permit_of(verdict).trial, Some(1));
    record(&bench.store, &Policy::default(), permit, Outcome::Success);
    let found = bench.store.find(&pay()).unwrap().unwrap();
    assert_eq!((found.breaker.state().name(), found.breaker.totals.stale), ("half-open", 1));
    drop(receipt);
}

#[test]
fn a_permit_that_cannot_be_looked_at_is_held_until_its_lease_ends() {
    let bench = Bench::new(start());
    let (_, receipt) = half_open(&bench);
    drop(receipt);
    fs::remove_file(bench.path("permit-2-0")).unwrap();
    fs::create_dir(bench.path("permit-2-0")).unwrap();
    assert!(matches!(admit(&bench.store, &Policy::default()).0, Verdict::Reject(_)));
    let lease = Policy::default().permit_ttl.as_millis() as u64;
    bench.clock.set(reading(start().wall_ms, start().boot_ms + lease, 7));
    let (verdict, _kept) = admit(&bench.store, &Policy::default());
    assert_eq!(permit_of(verdict).trial, Some(1));
}

#[test]
fn a_permit_file_in_the_way_fails_the_operation_and_changes_nothing() {
    let bench = Bench::new(start());
    trip(&bench.store, Some(Duration::ZERO));
    let before = fs::read(bench.path("state")).unwrap();
    fs::create_dir(bench.path("permit-2-0")).unwrap();
    let policy = Policy::default();
    let asked = operate(&bench.store, &policy, |breaker, scene| {
        breaker.admit(&policy, scene.now, Holder::Process)
    });
    assert!(asked.is_err());
    assert_eq!(fs::read(bench.path("state")).unwrap(), before);
}

#[test]
fn a_transition_sweeps_the_permits_of_the_round() {
    let bench = Bench::new(start());
    let (permit, receipt) = half_open(&bench);
    write(&bench.path("permit-1-7"), b"");
    record(&bench.store, &Policy::default(), permit, Outcome::Success);
    drop(receipt);
    assert_eq!(bench.files(""), ["lock", "state"]);
    assert!(permit::is_permit("permit-1-7") && !permit::is_permit("state"));
}

/// One thing to do to a breaker; `which` picks among the permits given so far.
#[derive(Clone, Debug)]
enum Op {
    Admit(bool),
    Record { which: prop::sample::Index, outcome: Outcome },
    Die(prop::sample::Index),
    Trip(Option<u64>),
    Reset,
    Hold(Hold, Option<u64>),
    Release,
}

fn op() -> impl Strategy<Value = Op> {
    let outcome = prop::sample::select(vec![Outcome::Success, Outcome::Failure, Outcome::Ignored]);
    let which = any::<prop::sample::Index>();
    let lasting = prop::option::of(0..200_u64);
    prop_oneof![
        6 => any::<bool>().prop_map(Op::Admit),
        6 => (which, outcome).prop_map(|(which, outcome)| Op::Record { which, outcome }),
        2 => any::<prop::sample::Index>().prop_map(Op::Die),
        2 => prop::option::of(0..200_u64).prop_map(Op::Trip),
        1 => Just(Op::Reset),
        1 => (prop::sample::select(Hold::ALL.to_vec()), lasting).prop_map(|(hold, ms)| Op::Hold(hold, ms)),
        1 => Just(Op::Release),
    ]
}

/// Both stores side by side, and the permits that were given.
struct Pair {
    bench: Bench,
    memory: MemoryStore,
    policy: Policy,
    given: Vec<(Permit, Option<Receipt>)>,
    gone: Vec<Permit>,
}

impl Pair {
    fn act<T: PartialEq + std::fmt::Debug>(
        &mut self,
        mut act: impl FnMut(&mut Breaker, &Policy, Now) -> Step<T>,
    ) -> (T, Receipt) {
        let policy = self.policy.clone();
        let mut step = |breaker: &mut Breaker, scene: &Scene| act(breaker, &policy, scene.now);
        let (in_memory, _) = operate(&self.memory, &self.policy, &mut step).unwrap();
        let (in_file, receipt) = operate(&self.bench.store, &self.policy, &mut step).unwrap();
        assert_eq!(in_file, in_memory);
        (in_file, receipt)
    }

    fn run(&mut self, op: &Op) {
        let lasting = |ms: &Option<u64>| ms.map(Duration::from_millis);
        match op {
            Op::Admit(by_process) => {
                let holder = if *by_process { Holder::Process } else { Holder::Token };
                let (verdict, receipt) =
                    self.act(|breaker, policy, now| breaker.admit(policy, now, holder));
                if let Verdict::Admit(permit) = verdict {
                    let is_held = *by_process && permit.trial.is_some();
                    assert_eq!(receipt.permit.is_some(), is_held);
                    self.given.push((permit, receipt.permit.is_some().then_some(receipt)));
                }
            }
            Op::Record { which, outcome } if !self.given.is_empty() => {
                let (permit, receipt) = self.given.swap_remove(which.index(self.given.len()));
                let call = Finished::new(*outcome, Duration::from_millis(3));
                self.act(|breaker, policy, now| breaker.record(policy, now, permit, &call));
                drop(receipt);
            }
            Op::Die(which) if !self.given.is_empty() => {
                let (permit, receipt) = self.given.swap_remove(which.index(self.given.len()));
                if receipt.is_some() {
                    self.gone.push(permit);
                    self.memory.set_gone(self.gone.clone());
                }
            }
            Op::Record { .. } | Op::Die(_) => {}
            Op::Trip(ms) => {
                self.act(|breaker, policy, now| breaker.trip(policy, now, &asked(lasting(ms))));
            }
            Op::Reset => {
                self.act(|breaker, policy, now| breaker.reset(policy, now, &asked(None)));
            }
            Op::Hold(hold, ms) => {
                let asked = asked(lasting(ms));
                self.act(|breaker, policy, now| breaker.hold(policy, now, *hold, &asked));
            }
            Op::Release => {
                self.act(|breaker, policy, now| breaker.release(policy, now, &asked(None)));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_file_store_does_what_the_memory_store_does(
        steps in prop::collection::vec((op(), 0..80_u64, any::<bool>()), 1..60),
        trials in 1..4_u32,
    ) {
        let policy = Policy {
            consecutive_failures: 2,
            open_for: Duration::from_millis(100),
            half_open_calls: trials,
            success_threshold: trials.min(2),
            permit_ttl: Duration::from_millis(300),
            ..Policy::default()
        };
        let begin = reading(0, 0, 7);
        let (bench, memory) = (Bench::new(begin), MemoryStore::default());
        let mut pair = Pair { bench, memory, policy, given: Vec::new(), gone: Vec::new() };
        // Both are made at 0; from there on only the boot clock counts.
        pair.run(&Op::Release);
        let mut at_ms = 0;
        for (op, wait_ms, reopens) in &steps {
            at_ms += wait_ms;
            pair.memory.set_now_ms(at_ms);
            pair.bench.clock.set(reading(-5, at_ms, 7));
            if *reopens {
                pair.bench.reopen();
            }
            pair.run(op);
            let in_file = pair.bench.store.find(&pay()).unwrap();
            let in_memory = pair.memory.find(&pay()).unwrap();
            prop_assert_eq!(
                in_file.map(|found| (found.breaker, found.scene.now.at_ms)),
                in_memory.map(|found| (found.breaker, found.scene.now.at_ms))
            );
        }
    }
}
