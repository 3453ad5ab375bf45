//! One operation on one breaker: the trials whose holder is gone are given up
//! first, then the step itself runs.

use crate::error::Error;
use crate::model::breaker::Breaker;
use crate::model::{BreakerName, Hold, Now, Policy, State, Step, Transition, View};
use crate::store::{Absent, Found, Keep, Receipt, Scene, Store};

/// What an operation came to.
#[derive(Debug)]
pub struct Done<T> {
    /// The answer of the step.
    pub value: T,
    /// The transitions that this process made, in order.
    pub transitions: Vec<Transition>,
    /// What the store has to say.
    pub receipt: Receipt,
}

/// Runs a step over a breaker in the store.
///
/// # Errors
///
/// What the store cannot do; then nothing of the step was kept.
pub fn operate<T>(
    store: &dyn Store,
    name: &BreakerName,
    (absent, keep): (Absent, Keep),
    policy: &Policy,
    mut act: impl FnMut(&mut Breaker, Now) -> Step<T>,
) -> Result<Done<T>, Error> {
    let mut done = None;
    let receipt = store.transact(name, absent, &mut |breaker, scene| {
        let mut transitions = lose_gone(breaker, policy, scene);
        let step = act(breaker, scene.now);
        transitions.extend(step.transitions);
        done = Some((step.value, transitions));
        keep
    })?;
    let (value, transitions) = done.expect("a transaction that succeeds has run its step");
    Ok(Done { value, transitions, receipt })
}

/// What a reader sees of a breaker that was found.
pub fn view(found: &Found, policy: &Policy) -> View {
    let mut breaker = found.breaker.clone();
    lose_gone(&mut breaker, policy, &found.scene);
    breaker.view(policy, found.scene.now)
}

/// Whether calls flow freely through a breaker, as far as a reader sees: it is
/// closed, or held so that all pass. One that was never used is closed.
pub fn flows(store: &dyn Store, name: &BreakerName, policy: &Policy) -> bool {
    match store.find(name) {
        Ok(Some(found)) => matches!(
            view(&found, policy).state,
            State::Closed | State::Held(Hold::Disabled | Hold::MetricsOnly)
        ),
        Ok(None) => true,
        Err(_) => false,
    }
}

fn lose_gone(breaker: &mut Breaker, policy: &Policy, scene: &Scene) -> Vec<Transition> {
    let mut transitions = Vec::new();
    for permit in &scene.gone {
        transitions.extend(breaker.lose(policy, scene.now, *permit).transitions);
    }
    transitions
}
