//! What people and programs read: sentences, tables, timelines, JSON. All of it
//! is written to a `&mut dyn Write`; none of it knows a store.

pub mod cache;
mod grid;
pub mod jobs;
pub mod json;
pub mod probe;
pub mod sentence;
pub mod table;
pub mod timeline;
pub mod times;

use crate::model::{Ms, View};

/// A breaker to list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Whether it was ever used.
    pub known: bool,
    /// How it stands.
    pub view: View,
    /// The time on its clock.
    pub now_ms: Ms,
    /// What to add to a time on its clock to get the wall time.
    pub wall_offset_ms: i64,
    /// Its queue, where it has one.
    pub queue: Option<QueueCounts>,
    /// Its settings by key.
    pub policy: Vec<(&'static str, serde_json::Value)>,
}

/// The jobs of a queue, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named like the state that it counts")]
pub struct QueueCounts {
    pub pending: u64,
    pub running: u64,
    pub failed: u64,
    pub doubt: u64,
}

impl Listed {
    /// How long ago something was.
    pub fn ago_ms(&self, at_ms: Ms) -> u64 {
        self.now_ms.saturating_sub(at_ms)
    }

    /// When something was, in ms since 1970.
    pub fn wall_ms(&self, at_ms: Ms) -> i64 {
        i64::try_from(at_ms).unwrap_or(i64::MAX).saturating_add(self.wall_offset_ms)
    }
}
