//! A store in memory, with a clock that is set by hand: for tests.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::{Absent, Found, Keep, Receipt, Scene, Step, Store};
use crate::clock::{Reading, Stamp};
use crate::error::Error;
use crate::model::breaker::Breaker;
use crate::model::name::BreakerName;
use crate::model::{Ms, Now, Permit};

/// Breakers that live as long as this value.
#[derive(Debug, Default)]
pub struct MemoryStore {
    breakers: RefCell<BTreeMap<BreakerName, Breaker>>,
    now_ms: Cell<Ms>,
    gone: RefCell<Vec<Permit>>,
}

impl MemoryStore {
    /// Sets the clock.
    pub fn set_now_ms(&self, now_ms: Ms) {
        self.now_ms.set(now_ms);
    }

    /// Says which trials have lost their holder.
    pub fn set_gone(&self, gone: Vec<Permit>) {
        self.gone.replace(gone);
    }

    fn scene(&self) -> Scene {
        Scene { now: Now::at(self.now_ms.get()), gone: self.gone.borrow().clone() }
    }
}

impl Store for MemoryStore {
    fn transact(
        &self,
        name: &BreakerName,
        absent: Absent,
        step: &mut Step<'_>,
    ) -> Result<Receipt, Error> {
        let scene = self.scene();
        let present = self.breakers.borrow().get(name).cloned();
        let mut breaker = match (present, absent) {
            (Some(breaker), _) => breaker,
            (None, Absent::Create) => Breaker::new(scene.now),
            (None, Absent::Refuse) => return Err(Error::Unknown { name: name.to_string() }),
        };
        let generation = breaker.generation();
        if step(&mut breaker, &scene) != Keep::Nothing || breaker.generation() != generation {
            self.breakers.borrow_mut().insert(name.clone(), breaker);
        }
        Ok(Receipt::default())
    }

    fn find(&self, name: &BreakerName) -> Result<Option<Found>, Error> {
        let scene = self.scene();
        let machine = Reading { wall_ms: 0, boot_ms: 0, boot_id: None };
        let stamp = Stamp { clock_ms: scene.now.at_ms, machine };
        let breakers = self.breakers.borrow();
        Ok(breakers.get(name).map(|breaker| Found { breaker: breaker.clone(), scene, stamp }))
    }

    fn names(&self) -> Result<Vec<BreakerName>, Error> {
        Ok(self.breakers.borrow().keys().cloned().collect())
    }

    fn remove(&self, name: &BreakerName) -> Result<(), Error> {
        match self.breakers.borrow_mut().remove(name) {
            Some(_) => Ok(()),
            None => Err(Error::Unknown { name: name.to_string() }),
        }
    }
}
