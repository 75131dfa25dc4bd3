//! The stores keep every contract on a model of Cassandra, without a server.

use std::time::Duration;

use antiphon_cassandra::model::{Damage, ModelTables};
use antiphon_cassandra::{CassandraSettings, CassandraStores};
use antiphon_persistence::store::Stores;
use antiphon_persistence_tck::{Capabilities, DamagedRows, Place};
use async_trait::async_trait;

struct Model {
    tables: ModelTables,
    settings: CassandraSettings,
}

impl Model {
    fn new(settings: CassandraSettings) -> Self {
        let settings = CassandraSettings { feed_poll_interval: Duration::ZERO, ..settings };
        Self { tables: ModelTables::new(), settings }
    }
}

#[async_trait]
impl Place for Model {
    async fn session(&self) -> Stores {
        let tables = std::sync::Arc::new(self.tables.clone());
        CassandraStores::on(tables, self.settings.clone(), 7).stores()
    }

    async fn damaged_session(&self, rows: DamagedRows, choice: u64) -> Option<(String, Stores)> {
        let damage = match rows {
            DamagedRows::Journal => Damage::Journal,
            DamagedRows::Snapshots => Damage::Snapshots,
            DamagedRows::Coordination => Damage::Cells,
            DamagedRows::Offsets => Damage::Offsets,
            DamagedRows::Reminders => Damage::Reminders,
        };
        let (what, tables) = self.tables.damaged(damage, choice)?;
        let stores = CassandraStores::on(std::sync::Arc::new(tables), self.settings.clone(), 7);
        Some((what, stores.stores()))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { shared_streams: false, ..Capabilities::default() }
    }
}

mod default_settings {
    use super::*;

    antiphon_persistence_tck::all_tests!(Model::new(CassandraSettings::default()));
}

/// Every append is copied at once, parts are short, and caches are tiny: the events move all the
/// time.
mod everything_moves {
    use super::*;

    fn settings() -> CassandraSettings {
        CassandraSettings {
            lanes: 3,
            part_rounds_max: 2,
            copy_delay: Duration::from_millis(1),
            feed_cache_bytes_max: 0,
            round_appends_max: 2,
            stream_cache_max: 2,
            ..CassandraSettings::default()
        }
    }

    antiphon_persistence_tck::all_tests!(Model::new(settings()));
}

/// Only a seal copies: everything is read from the logs.
mod nothing_is_copied {
    use super::*;

    fn settings() -> CassandraSettings {
        CassandraSettings { copy_delay: Duration::from_secs(3600), ..CassandraSettings::default() }
    }

    antiphon_persistence_tck::all_tests!(Model::new(settings()));
}
