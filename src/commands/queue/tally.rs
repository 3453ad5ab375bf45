//! What a drain did, counted, and in words.

use serde::{Deserialize, Serialize};

use crate::model::job::Fate;

/// Jobs by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Succeeded.
    pub done: u64,
    /// Failed, and wait for another attempt.
    pub waiting: u64,
    /// Given up.
    pub failed: u64,
    /// Nobody knows whether they ran.
    pub doubt: u64,
}

impl Tally {
    /// Counts one.
    pub fn add(&mut self, fate: &Fate) {
        *match fate {
            Fate::Done => &mut self.done,
            Fate::Pending { .. } => &mut self.waiting,
            Fate::Failed(_) => &mut self.failed,
            Fate::Doubt => &mut self.doubt,
        } += 1;
    }

    /// Counts what another drain counted.
    pub fn merge(&mut self, other: Tally) {
        self.done += other.done;
        self.waiting += other.waiting;
        self.failed += other.failed;
        self.doubt += other.doubt;
    }

    /// In words: "3 done, 1 failed"; none where nothing was counted.
    pub fn words(&self) -> Option<String> {
        let parts = [
            (self.done, "done"),
            (self.waiting, "failed for now"),
            (self.failed, "given up"),
            (self.doubt, "in doubt"),
        ];
        let counted = parts.into_iter().filter(|(count, _)| *count > 0);
        let words: Vec<_> = counted.map(|(count, what)| format!("{count} {what}")).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::job::GivenUp;

    #[test]
    fn a_tally_is_told_in_words() {
        let mut tally = Tally::default();
        assert_eq!(tally.words(), None);
        tally.add(&Fate::Done);
        tally.add(&Fate::Done);
        tally.add(&Fate::Doubt);
        assert_eq!(tally.words().as_deref(), Some("2 done, 1 in doubt"));
        let mut other = Tally::default();
        other.add(&Fate::Failed(GivenUp::Age));
        other.add(&Fate::Pending { due_ms: 1 });
        tally.merge(other);
        let words = "2 done, 1 failed for now, 1 given up, 1 in doubt";
        assert_eq!(tally.words().as_deref(), Some(words));
    }
}
