//! The ends of the streams, remembered between transactions.
//!
//! A remembered end may be out of date, because other processes write too, so it is only a guess:
//! the update of the head names the expected end. When the update changes nothing, the end is read,
//! and the append is tried once more.

use std::collections::HashMap;

use antiphon_persistence::identity::PersistenceId;

use crate::head::End;

/// The last known end of each stream of a bounded number of streams.
pub(super) struct Streams {
    ends: HashMap<PersistenceId, End>,
    count_max: usize,
}

impl Streams {
    pub(super) fn new(count_max: usize) -> Self {
        Self { ends: HashMap::new(), count_max }
    }

    /// Forgets all ends: after a rollback they may be wrong.
    pub(super) fn forget(&mut self) {
        self.ends.clear();
    }

    pub(super) fn guess(&self, persistence_id: &PersistenceId) -> Option<End> {
        self.ends.get(persistence_id).copied()
    }

    pub(super) fn remember(&mut self, persistence_id: &PersistenceId, end: End) {
        if let Some(known) = self.ends.get_mut(persistence_id) {
            *known = end;
            return;
        }
        if self.ends.len() >= self.count_max {
            self.ends.clear();
        }
        self.ends.insert(persistence_id.clone(), end);
    }
}
