//! The handle of the store, and the state that its traits share.

use std::collections::HashMap;
use std::sync::Arc;

use antiphon_base::{Error, Result};
use antiphon_persistence::store::{FeedRelay, QueueRoom, Role, StatementCounts, Stores, WriterId};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Semaphore;

use crate::cql::CqlTables;
use crate::log::relay;
use crate::log::writer::Writer;
use crate::settings::CassandraSettings;
use crate::shared::Shared;
use crate::stats::CassandraStats;
use crate::tables::Tables;

/// All stores of a place in Cassandra or ScyllaDB. Cheap to clone. Dropping the last clone lets the
/// writes under way end.
#[derive(Clone)]
pub struct CassandraStores {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    writers: Mutex<HashMap<WriterId, Arc<Writer>>>,
    pub(crate) queue: Arc<Semaphore>,
    pub(crate) queue_bytes: QueueRoom,
}

impl CassandraStores {
    /// Connects to the server. The tables must exist. A cancelled call leaves nothing open.
    ///
    /// # Errors
    /// - `Rejected` when a setting is wrong, or when the tables are missing or of another version;
    ///   the message names the command to run.
    /// - `Unavailable` when no server answers.
    pub async fn open(settings: CassandraSettings) -> Result<Self> {
        settings.validate()?;
        let (tables, schema) = CqlTables::open(&settings.server).await?;
        Ok(Self::on(Arc::new(tables), settings, schema.partition_events_max))
    }

    /// Opens the stores on other tables, such as a model of a server.
    ///
    /// # Panics
    /// When `partition_events_max` is zero.
    pub fn on(
        tables: Arc<dyn Tables>,
        settings: CassandraSettings,
        partition_events_max: u64,
    ) -> Self {
        let queue = Arc::new(Semaphore::new(settings.queue_max));
        let queue_bytes = QueueRoom::new(settings.queue_bytes_max);
        let shared = Arc::new(Shared::new(tables, settings, partition_events_max));
        Self { inner: Arc::new(Inner { shared, writers: Mutex::default(), queue, queue_bytes }) }
    }

    /// All store traits, on this handle.
    pub fn stores(&self) -> Stores {
        Stores::from_backend(Arc::new(self.clone()))
    }

    /// Follows the lanes of the place through another node from now on, as long as that node
    /// answers. For stores that only read.
    pub fn relay_through(&self, relay: Arc<dyn FeedRelay>) {
        self.inner.shared.view.relay_through(relay);
    }

    /// Answers the question of a node that uses this node in [`Self::relay_through`]. A cancelled
    /// call keeps the rounds that it has read for later calls, and changes nothing in the store.
    ///
    /// # Errors
    /// - `Rejected` when the question cannot be read.
    /// - `Unavailable` or `Timeout` when the lanes cannot be looked at.
    pub async fn lane_news(&self, question: &[u8]) -> Result<Bytes> {
        let question = relay::decode_question(question)?;
        let shared = &self.inner.shared;
        let age = shared.settings.feed_poll_interval;
        let news = shared.view.answer(&*shared.tables, &shared.counters, age, &question).await?;
        relay::encode(&news)
    }

    /// Describes lost data, a writer that has stopped because of a fault, or why the store waits.
    /// `None` when all is well.
    pub fn trouble(&self) -> Option<String> {
        let shared = &self.inner.shared;
        shared.health.trouble().or_else(|| shared.tables.trouble())
    }

    /// The counts of each statement since the store was opened.
    pub fn statements(&self) -> Vec<StatementCounts> {
        self.inner.shared.tables.statements()
    }

    /// The counts of the store since it was opened.
    pub fn stats(&self) -> CassandraStats {
        let shared = &self.inner.shared;
        let statements = shared.tables.statements().iter().map(|of| of.sent).sum();
        CassandraStats { statements, ..shared.counters.snapshot() }
    }

    pub(crate) fn tables(&self) -> &dyn Tables {
        &*self.inner.shared.tables
    }

    fn writers(&self) -> MutexGuard<'_, HashMap<WriterId, Arc<Writer>>> {
        self.inner.writers.lock()
    }

    /// The writer, if this process opened it.
    pub(crate) fn open_here(&self, writer: &WriterId) -> Option<Arc<Writer>> {
        self.writers().get(writer).cloned()
    }

    pub(crate) fn start_writer(&self, id: &WriterId) -> Result<()> {
        let writer = Arc::new(Writer::start(id, &self.inner.shared)?);
        self.writers().insert(id.clone(), writer);
        Ok(())
    }

    pub(crate) fn require_owner(&self) -> Result<()> {
        match self.inner.shared.settings.role {
            Role::Owner => Ok(()),
            Role::Reader => Err(Error::rejected(
                "the journal was opened for reading only: open it with `Role::Owner` to write",
            )),
        }
    }
}
