//! A model of a Cassandra cluster behind the seam of the [tables](crate::tables): for the
//! simulation, and for tests without a server.
//!
//! A conditional write is atomic in its partition. With [`FaultyTables`] in front, any statement
//! may be slow, or fail before or after it took effect. A write whose outcome is unknown may take
//! effect later, after other writes. A seed decides on all of this.

mod damage;
mod faulty;
mod reminders;
mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

pub use damage::Damage;
pub use faulty::{Faults, FaultyTables};

use crate::tables::{Cells, EventRow, LaneId, LaneState, Outcome, PartState, StreamRow, WriterRow};

/// The state of a part of a log, with its rounds.
#[derive(Debug, Default, Clone)]
struct Part {
    state: PartState,
    rounds: BTreeMap<u64, bytes::Bytes>,
}

/// Rows of a part of a stream, by their first and last event.
type EventRows = BTreeMap<(u64, u64), EventRow>;

#[derive(Debug, Default, Clone)]
struct Data {
    writers: BTreeMap<Arc<str>, WriterRow>,
    parts: BTreeMap<(LaneId, u64), Part>,
    lanes: BTreeMap<LaneId, LaneState>,
    events: BTreeMap<(Arc<str>, u64), EventRows>,
    /// Rows that end here or before are deleted, whenever they arrive.
    hidden: BTreeMap<(Arc<str>, u64), u64>,
    highest: BTreeMap<(Arc<str>, u64), u64>,
    streams: BTreeMap<Arc<str>, StreamRow>,
    ids: BTreeMap<(String, u16), std::collections::BTreeSet<Arc<str>>>,
    snapshots: BTreeMap<(String, u64), bytes::Bytes>,
    offsets: BTreeMap<(String, String), String>,
    reminders: reminders::ReminderData,
    cells: BTreeMap<String, Cells>,
}

/// A model of a cluster with the tables of one place. Clones are other sessions on the same data.
#[derive(Clone, Default)]
pub struct ModelTables {
    data: Arc<Mutex<Data>>,
}

impl ModelTables {
    /// An empty model.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the last round of each open part, like a server that lost acknowledged writes.
    pub fn lose_newest_rounds(&self) {
        for part in self.data().parts.values_mut().filter(|part| !part.state.closed) {
            part.rounds.pop_last();
            part.state.head = part.rounds.keys().next_back().copied();
        }
    }

    /// Runs a statement; no other statement comes in between.
    fn step<T>(&self, statement: impl FnOnce(&mut Data) -> T) -> Outcome<T> {
        Ok(statement(&mut self.data()))
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock()
    }
}
