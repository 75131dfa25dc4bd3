//! The state of a session: its clock, its marks, and the floors of its polls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::lasting::LastingFault;
use antiphon_base::time::{Clock, HybridClock, SystemClock};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::floors::Floors;
use super::marks::Marks;

/// Time between two log lines about damaged rows, which each read meets again.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The state of a session.
pub(crate) struct Reminders {
    /// The times of its writes.
    clock: Mutex<HybridClock>,
    /// Its marks, from the first put on.
    pub(super) marks: OnceCell<Mutex<Marks>>,
    /// The floors of each entity type. A poll holds its floors from its first read to its end.
    floors: Mutex<BTreeMap<Arc<str>, Arc<tokio::sync::Mutex<Floors>>>>,
    pub(super) fault: Mutex<LastingFault>,
}

impl Default for Reminders {
    fn default() -> Self {
        Self {
            clock: Mutex::default(),
            marks: OnceCell::new(),
            floors: Mutex::default(),
            fault: Mutex::new(LastingFault::new(LOG_INTERVAL)),
        }
    }
}

impl Reminders {
    /// The time of the next write, later than that of every write before.
    pub(super) fn now(&self) -> u64 {
        self.clock.lock().tick(SystemClock.wall()).as_micros()
    }

    pub(super) fn floors(&self, entity_type: &str) -> Arc<tokio::sync::Mutex<Floors>> {
        let mut floors = self.floors.lock();
        if let Some(floors) = floors.get(entity_type) {
            return floors.clone();
        }
        let entity_type: Arc<str> = entity_type.into();
        let new = Arc::new(tokio::sync::Mutex::new(Floors::new(entity_type.clone())));
        floors.insert(entity_type, new.clone());
        new
    }
}
