//! The stores of a place: memory, or the Cassandra journal on a model of the server.

use std::sync::Arc;
use std::time::Duration;

use antiphon::cassandra::model::{Faults, FaultyTables, ModelTables};
use antiphon::cassandra::{CassandraSettings, CassandraStores};
use antiphon_persistence::memory::MemoryStores;
use antiphon_persistence::store::Stores;

/// Events in one partition of a stream: few, so that a run crosses boundaries.
const PARTITION_EVENTS_MAX: u64 = 7;

/// The kind of stores of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    Cassandra,
}

impl Kind {
    /// The kind of a seed's run: one seed of four runs on the model of Cassandra.
    pub(crate) fn of(seed: u64) -> Self {
        if seed % 4 == 3 { Self::Cassandra } else { Self::Memory }
    }
}

/// The stores of one place.
pub(crate) enum PlaceStores {
    Memory(MemoryStores),
    Cassandra(ModelTables),
}

impl PlaceStores {
    pub(crate) fn new(kind: Kind) -> Self {
        match kind {
            Kind::Memory => Self::Memory(MemoryStores::new()),
            Kind::Cassandra => Self::Cassandra(ModelTables::new()),
        }
    }

    /// The stores without faults, for the invariants.
    pub(crate) fn stores(&self) -> Stores {
        match self {
            Self::Memory(stores) => stores.stores(),
            Self::Cassandra(model) => {
                CassandraStores::on(Arc::new(model.clone()), settings(), PARTITION_EVENTS_MAX)
                    .stores()
            }
        }
    }

    /// The stores as one process sees them. Statements to the model are slow, and some have unknown
    /// outcomes.
    pub(crate) fn session(&self, seed: u64) -> Stores {
        let Self::Cassandra(model) = self else { return self.stores() };
        let faults = Faults {
            refused: 5,
            unknown_applied: 10,
            unknown_late: 10,
            unknown_lost: 5,
            delay_max: Duration::from_millis(3),
            late_max: Duration::from_secs(2),
        };
        let tables = FaultyTables::new(Arc::new(model.clone()), seed, faults);
        CassandraStores::on(Arc::new(tables), settings(), PARTITION_EVENTS_MAX).stores()
    }
}

fn settings() -> CassandraSettings {
    CassandraSettings {
        part_rounds_max: 20,
        copy_delay: Duration::from_millis(300),
        feed_cache_bytes_max: 4000,
        feed_poll_interval: Duration::from_millis(100),
        retry_min: Duration::from_millis(10),
        retry_max: Duration::from_millis(200),
        give_up_after: Duration::from_secs(2),
        ..CassandraSettings::default()
    }
}
