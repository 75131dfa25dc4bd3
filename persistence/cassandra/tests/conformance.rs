//! The stores keep every contract on a real server: at `TEST_CASSANDRA`, else at `127.0.0.1:9042`
//! (`make cassandra-up`).
//!
//! All cases share a keyspace; each has a place of its own in it.

#[path = "support/flip.rs"]
mod flip;
mod support;

use std::time::Duration;

use antiphon_cassandra::{CassandraSettings, CassandraStores};
use antiphon_persistence::store::Stores;
use antiphon_persistence_tck::{Capabilities, DamagedRows, Place};
use async_trait::async_trait;
use tokio::sync::Mutex;

use flip::Flipper;

struct Cassandra {
    settings: CassandraSettings,
    damaged: Mutex<Option<(Flipper, Stores)>>,
    is_damaged: bool,
}

impl Cassandra {
    fn new(settings: CassandraSettings) -> Self {
        let server = support::server();
        let settings = CassandraSettings { server, feed_poll_interval: Duration::ZERO, ..settings };
        // once is enough: stored rows do not depend on the settings
        let is_damaged = settings.lanes == CassandraSettings::default().lanes;
        Self { settings, damaged: Mutex::default(), is_damaged }
    }
}

#[async_trait]
impl Place for Cassandra {
    async fn session(&self) -> Stores {
        let stores = CassandraStores::open(self.settings.clone()).await;
        stores.unwrap_or_else(|error| panic!("{error}")).stores()
    }

    async fn damaged_session(&self, rows: DamagedRows, choice: u64) -> Option<(String, Stores)> {
        if !self.is_damaged {
            return None;
        }
        let mut damaged = self.damaged.lock().await;
        let (mut flipper, mut stores) = match damaged.take() {
            Some(damaged) => damaged,
            None => (Flipper::new(&self.settings.server).await, self.session().await),
        };
        let (what, is_seen) = flipper.flip(rows, choice).await;
        if !is_seen {
            stores = self.session().await;
        }
        *damaged = Some((flipper, stores.clone()));
        Some((what, stores))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { shared_streams: false, ..Capabilities::default() }
    }
}

mod default_settings {
    use super::*;

    antiphon_persistence_tck::all_tests!(Cassandra::new(CassandraSettings::default()));
}

/// Events are copied at once, and parts are short.
mod everything_moves {
    use super::*;

    fn settings() -> CassandraSettings {
        CassandraSettings {
            lanes: 3,
            part_rounds_max: 3,
            copy_delay: Duration::from_millis(1),
            feed_cache_bytes_max: 0,
            ..CassandraSettings::default()
        }
    }

    antiphon_persistence_tck::all_tests!(Cassandra::new(settings()));
}
