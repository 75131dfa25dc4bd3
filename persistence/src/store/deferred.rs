//! Stores of another place that may be out of reach when a node starts.
//!
//! Until the stores arrive, each call that can fail answers `Unavailable` with the reason, so that
//! a place starts and works while another place is lost.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    Append, CasOutcome, ChangesPage, ChangesQuery, Coordination, FencedOutcome, FencingToken,
    Journal, Limits, Offset, OffsetKey, OffsetStore, ReadJournal, ReplayPage, Row, RowVersion,
    Snapshot, SnapshotStore, Stores, TableRows, WriterId,
};
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::PersistenceId;
use crate::{Error, Result};

/// Stands for stores until they arrive. Cheap to clone.
#[derive(Clone, Default)]
pub struct DeferredStores {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    stores: OnceLock<Stores>,
    reason: Mutex<String>,
}

impl DeferredStores {
    /// All stores, usable at once.
    pub fn stores(&self) -> Stores {
        Stores::from_backend(Arc::new(self.clone()))
    }

    /// Sets the reason that calls answer until the stores arrive.
    pub fn waits(&self, reason: impl Into<String>) {
        *self.inner.reason.lock() = reason.into();
    }

    /// The reason why the stores are missing; `None` when they have arrived.
    pub fn reason(&self) -> Option<String> {
        let reason = self.inner.reason.lock();
        self.inner.stores.get().is_none().then(|| reason.clone())
    }

    /// Sends all further calls to `stores`. Only the first call counts.
    pub fn arrived(&self, stores: Stores) {
        let _ = self.inner.stores.set(stores);
    }

    fn get(&self) -> Result<&Stores> {
        self.inner.stores.get().ok_or_else(|| {
            let reason = self.reason().unwrap_or_default();
            Error::unavailable(format!("the stores are not there yet: {reason}"))
        })
    }
}

#[async_trait]
impl Journal for DeferredStores {
    fn limits(&self) -> Limits {
        self.get().map_or_else(|_| Limits::default(), |stores| stores.journal.limits())
    }

    async fn open_writer(&self, writer: &WriterId) -> Result<()> {
        self.get()?.journal.open_writer(writer).await
    }

    async fn append(&self, writer: &WriterId, append: Append) -> Result<()> {
        self.get()?.journal.append(writer, append).await
    }

    async fn seal(&self, writer: &WriterId) -> Result<()> {
        self.get()?.journal.seal(writer).await
    }

    async fn replay(
        &self,
        persistence_id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<Vec<StoredEvent>> {
        self.get()?.journal.replay(persistence_id, first, last, event_count_max).await
    }

    async fn replay_page(
        &self,
        persistence_id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<ReplayPage> {
        self.get()?.journal.replay_page(persistence_id, first, last, event_count_max).await
    }

    async fn highest(&self, persistence_id: &PersistenceId) -> Result<SequenceNr> {
        self.get()?.journal.highest(persistence_id).await
    }

    async fn delete_to(&self, persistence_id: &PersistenceId, last: SequenceNr) -> Result<()> {
        self.get()?.journal.delete_to(persistence_id, last).await
    }
}

#[async_trait]
impl ReadJournal for DeferredStores {
    async fn changes(&self, query: &ChangesQuery) -> Result<ChangesPage> {
        self.get()?.read_journal.changes(query).await
    }

    async fn persistence_ids(
        &self,
        entity_type: &str,
        after: Option<&PersistenceId>,
        count_max: usize,
    ) -> Result<Vec<PersistenceId>> {
        self.get()?.read_journal.persistence_ids(entity_type, after, count_max).await
    }
}

#[async_trait]
impl SnapshotStore for DeferredStores {
    async fn save_snapshot(&self, id: &PersistenceId, snapshot: &Snapshot) -> Result<()> {
        self.get()?.snapshots.save_snapshot(id, snapshot).await
    }

    async fn latest_snapshot(
        &self,
        id: &PersistenceId,
        last: SequenceNr,
    ) -> Result<Option<Snapshot>> {
        self.get()?.snapshots.latest_snapshot(id, last).await
    }

    async fn delete_snapshots_to(&self, id: &PersistenceId, last: SequenceNr) -> Result<()> {
        self.get()?.snapshots.delete_snapshots_to(id, last).await
    }
}

#[async_trait]
impl OffsetStore for DeferredStores {
    async fn load_offset(&self, key: &OffsetKey) -> Result<Offset> {
        self.get()?.offsets.load_offset(key).await
    }

    async fn save_offset(&self, key: &OffsetKey, offset: &Offset) -> Result<()> {
        self.get()?.offsets.save_offset(key, offset).await
    }
}

#[async_trait]
impl Coordination for DeferredStores {
    fn replacements(&self) -> u64 {
        self.inner.stores.get().map_or(0, |stores| stores.coordination.replacements())
    }

    async fn scan(&self, table: &str) -> Result<TableRows> {
        self.get()?.coordination.scan(table).await
    }

    async fn read(&self, table: &str, key: &str) -> Result<Option<Row>> {
        self.get()?.coordination.read(table, key).await
    }

    async fn compare_and_set(
        &self,
        table: &str,
        key: &str,
        expected: Option<RowVersion>,
        value: Option<Bytes>,
    ) -> Result<CasOutcome> {
        self.get()?.coordination.compare_and_set(table, key, expected, value).await
    }

    async fn raise_token(&self, table: &str, token: FencingToken) -> Result<FencingToken> {
        self.get()?.coordination.raise_token(table, token).await
    }

    async fn put_fenced(
        &self,
        table: &str,
        token: FencingToken,
        rows: &[(Arc<str>, Option<Bytes>)],
    ) -> Result<FencedOutcome> {
        self.get()?.coordination.put_fenced(table, token, rows).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::memory::MemoryStores;

    #[tokio::test]
    async fn a_place_that_is_out_of_reach_answers_why_and_later_its_rows() {
        let deferred = DeferredStores::default();
        let stores = deferred.stores();
        deferred.waits("nobody answers");

        let error = stores.coordination.scan("members").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("nobody answers"), "{error}");

        let real = MemoryStores::new().stores();
        let put = real.coordination.compare_and_set("members", "a", None, Some(Bytes::new()));
        put.await.unwrap();
        deferred.arrived(real);
        assert_eq!(stores.coordination.scan("members").await.unwrap().rows.len(), 1);
    }
}
