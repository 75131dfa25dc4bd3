//! The stores of a place in a simulation: memory, or the model of a server. A new store adds its
//! model to [`MODELS`].

use std::sync::Arc;
use std::time::Duration;

use antiphon::cassandra::model::{Faults, FaultyTables, ModelTables};
use antiphon::cassandra::{CassandraSettings, CassandraStores};
use antiphon_persistence::store::Stores;
pub(crate) use antiphon_testkit::harness::place::{MEMORY, Model, PlaceStores};

/// The models by the seed of a run: three seeds of four run in memory.
const MODELS: [Model; 4] = [MEMORY, MEMORY, MEMORY, || Box::new(Modelled(ModelTables::new()))];

/// The model of a seed's run.
pub(crate) fn model_of(seed: u64) -> Model {
    MODELS[usize::try_from(seed % 4).expect("a small number")]
}

/// Events in one partition of a stream: few, so that a run crosses boundaries.
const PARTITION_EVENTS_MAX: u64 = 7;

/// Statements to the model are slow, and some have unknown outcomes.
const FAULTS: Faults = Faults {
    refused: 5,
    unknown_applied: 10,
    unknown_late: 10,
    unknown_lost: 5,
    delay_max: Duration::from_millis(3),
    late_max: Duration::from_secs(2),
};

/// A place on the model of the server.
struct Modelled(ModelTables);

impl PlaceStores for Modelled {
    fn stores(&self) -> Stores {
        CassandraStores::on(Arc::new(self.0.clone()), settings(), PARTITION_EVENTS_MAX).stores()
    }

    fn session(&self, seed: u64) -> Stores {
        let tables = FaultyTables::new(Arc::new(self.0.clone()), seed, FAULTS);
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
