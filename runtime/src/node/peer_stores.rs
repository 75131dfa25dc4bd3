//! The stores of another place. Nothing is taken from a store before it is certain that it is the
//! right one.
//!
//! A path or an address may lead to the journal of another cluster, of another place, or to this
//! place's own one, and it may do so later than at the start: a disk that is mounted meanwhile, a
//! file that is replaced. So an answer is let through only when the `cluster` row of the very store
//! that gave the answer was compared.

use std::sync::Arc;

use antiphon_base::ErrorKind;
use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{
    Append, CasOutcome, ChangesPage, ChangesQuery, Coordination, FencedOutcome, FencingToken,
    Journal, Offset, OffsetKey, OffsetStore, ReadJournal, ReplayPage, Row, RowVersion, Snapshot,
    SnapshotStore, Stores, TableRows, WriterId,
};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::cluster_row::ClusterRow;
use crate::metrics::IntGaugeVec;
use crate::{Error, Result};

/// The result of the last check of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    Nothing,
    /// The right store, as long as its number of replacements is this.
    Right(u64),
    /// A wrong store, for this reason.
    Wrong(Arc<str>),
}

/// The stores of another place, checked. Cheap to clone.
#[derive(Clone)]
pub(super) struct PeerStores {
    inner: Arc<Inner>,
}

struct Inner {
    place: Arc<str>,
    expected: ClusterRow,
    stores: Stores,
    known: Mutex<Known>,
    refused: IntGaugeVec,
}

/// Limit of the checks in a row, when the store is replaced during each of them.
const ATTEMPTS: usize = 3;

impl PeerStores {
    /// The stores of a place, whose row must be `expected`.
    pub(super) fn new(
        place: Arc<str>,
        expected: ClusterRow,
        stores: Stores,
        refused: IntGaugeVec,
    ) -> Self {
        let known = Mutex::new(Known::Nothing);
        Self { inner: Arc::new(Inner { place, expected, stores, known, refused }) }
    }

    /// The checked stores, for all traits.
    pub(super) fn stores(&self) -> Stores {
        Stores::from_backend(Arc::new(self.clone()))
    }

    /// The place.
    pub(super) fn place(&self) -> Arc<str> {
        self.inner.place.clone()
    }

    /// The reason why nothing is taken from them, when they belong elsewhere.
    pub(super) fn refusal(&self) -> Option<Arc<str>> {
        match &*self.known() {
            Known::Wrong(reason) => Some(reason.clone()),
            Known::Nothing | Known::Right(_) => None,
        }
    }

    /// Makes certain that the store is not a wrong one. Returns how often it was replaced before;
    /// `None` while no node has used it.
    ///
    /// # Errors
    /// `Rejected` when it belongs elsewhere; errors of the store.
    pub(super) async fn certain(&self) -> Result<Option<u64>> {
        let store = &*self.inner.stores.coordination;
        for _ in 0..ATTEMPTS {
            let before = store.replacements();
            if *self.known() == Known::Right(before) {
                return Ok(Some(before));
            }
            let verified = self.inner.expected.verify(store).await;
            if store.replacements() != before {
                continue;
            }
            match &verified {
                Ok(true) => self.judge(Known::Right(before)),
                Err(error) if error.kind() == ErrorKind::Rejected => {
                    self.judge(Known::Wrong(error.to_string().into()));
                }
                Ok(false) | Err(_) => self.judge(Known::Nothing),
            }
            return verified.map(|is_used| is_used.then_some(before)).map_err(|error| {
                let place = &self.inner.place;
                Error::new(error.kind(), format!("journal of place {place:?}: {error}"))
            });
        }
        Err(self.replaced())
    }

    fn replaced(&self) -> Error {
        Error::unavailable(format!(
            "journal of place {:?}: it was replaced while it was read",
            self.inner.place
        ))
    }

    fn known(&self) -> parking_lot::MutexGuard<'_, Known> {
        self.inner.known.lock()
    }

    /// Takes the result of a check, and logs it when it is news.
    fn judge(&self, now: Known) {
        let before = std::mem::replace(&mut *self.known(), now.clone());
        let place = &*self.inner.place;
        let was_wrong = matches!(before, Known::Wrong(_));
        match &now {
            Known::Wrong(reason) if before != now => {
                tracing::error!(place, %reason, "the journal of a peer is not the expected one: nothing is taken from it");
            }
            Known::Right(_) if was_wrong => {
                tracing::info!(place, "the journal of a peer is the right one again");
            }
            Known::Wrong(_) | Known::Right(_) | Known::Nothing => {}
        }
        let is_wrong = matches!(now, Known::Wrong(_));
        self.inner.refused.with_label_values(&[place]).set(i64::from(is_wrong));
    }

    /// The answer of a call, unless the store that gave it was a wrong one.
    async fn ask<T>(&self, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        let before = self.certain().await?;
        let answer = call.await?;
        match before {
            Some(before) if self.inner.stores.coordination.replacements() == before => Ok(answer),
            Some(_) => Err(self.replaced()),
            // a node may have begun to use the store meanwhile
            None => self.certain().await.map(|_| answer),
        }
    }
}

#[async_trait]
impl Journal for PeerStores {
    async fn open_writer(&self, writer: &WriterId) -> Result<()> {
        self.ask(self.inner.stores.journal.open_writer(writer)).await
    }

    async fn append(&self, writer: &WriterId, append: Append) -> Result<()> {
        self.ask(self.inner.stores.journal.append(writer, append)).await
    }

    async fn seal(&self, writer: &WriterId) -> Result<()> {
        self.ask(self.inner.stores.journal.seal(writer)).await
    }

    async fn replay(
        &self,
        id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<Vec<StoredEvent>> {
        self.ask(self.inner.stores.journal.replay(id, first, last, event_count_max)).await
    }

    async fn replay_page(
        &self,
        id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<ReplayPage> {
        self.ask(self.inner.stores.journal.replay_page(id, first, last, event_count_max)).await
    }

    async fn highest(&self, id: &PersistenceId) -> Result<SequenceNr> {
        self.ask(self.inner.stores.journal.highest(id)).await
    }

    async fn delete_to(&self, id: &PersistenceId, last: SequenceNr) -> Result<()> {
        self.ask(self.inner.stores.journal.delete_to(id, last)).await
    }
}

#[async_trait]
impl ReadJournal for PeerStores {
    async fn changes(&self, query: &ChangesQuery) -> Result<ChangesPage> {
        self.ask(self.inner.stores.read_journal.changes(query)).await
    }

    async fn persistence_ids(
        &self,
        entity_type: &str,
        after: Option<&PersistenceId>,
        count_max: usize,
    ) -> Result<Vec<PersistenceId>> {
        let journal = &self.inner.stores.read_journal;
        self.ask(journal.persistence_ids(entity_type, after, count_max)).await
    }
}

#[async_trait]
impl SnapshotStore for PeerStores {
    async fn save_snapshot(&self, id: &PersistenceId, snapshot: &Snapshot) -> Result<()> {
        self.ask(self.inner.stores.snapshots.save_snapshot(id, snapshot)).await
    }

    async fn latest_snapshot(
        &self,
        id: &PersistenceId,
        last: SequenceNr,
    ) -> Result<Option<Snapshot>> {
        self.ask(self.inner.stores.snapshots.latest_snapshot(id, last)).await
    }

    async fn delete_snapshots_to(&self, id: &PersistenceId, last: SequenceNr) -> Result<()> {
        self.ask(self.inner.stores.snapshots.delete_snapshots_to(id, last)).await
    }
}

#[async_trait]
impl OffsetStore for PeerStores {
    async fn load_offset(&self, key: &OffsetKey) -> Result<Offset> {
        self.ask(self.inner.stores.offsets.load_offset(key)).await
    }

    async fn save_offset(&self, key: &OffsetKey, offset: &Offset) -> Result<()> {
        self.ask(self.inner.stores.offsets.save_offset(key, offset)).await
    }
}

#[async_trait]
impl Coordination for PeerStores {
    fn replacements(&self) -> u64 {
        self.inner.stores.coordination.replacements()
    }

    async fn scan(&self, table: &str) -> Result<TableRows> {
        self.ask(self.inner.stores.coordination.scan(table)).await
    }

    async fn read(&self, table: &str, key: &str) -> Result<Option<Row>> {
        self.ask(self.inner.stores.coordination.read(table, key)).await
    }

    async fn compare_and_set(
        &self,
        table: &str,
        key: &str,
        expected: Option<RowVersion>,
        value: Option<Bytes>,
    ) -> Result<CasOutcome> {
        let store = &self.inner.stores.coordination;
        self.ask(store.compare_and_set(table, key, expected, value)).await
    }

    async fn raise_token(&self, table: &str, token: FencingToken) -> Result<FencingToken> {
        self.ask(self.inner.stores.coordination.raise_token(table, token)).await
    }

    async fn put_fenced(
        &self,
        table: &str,
        token: FencingToken,
        rows: &[(Arc<str>, Option<Bytes>)],
    ) -> Result<FencedOutcome> {
        self.ask(self.inner.stores.coordination.put_fenced(table, token, rows)).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use antiphon_persistence::memory::MemoryStores;

    use super::*;
    use crate::metrics::Metrics;
    use crate::node::NodeSettings;

    /// Two stores, of which one is behind the handle; like a file that is replaced.
    struct Replaced {
        stores: [MemoryStores; 2],
        replacements: AtomicU64,
    }

    impl Replaced {
        fn now(&self) -> &MemoryStores {
            let index = usize::try_from(self.replacements.load(Ordering::SeqCst)).unwrap();
            &self.stores[index]
        }
    }

    #[async_trait]
    impl Coordination for Replaced {
        fn replacements(&self) -> u64 {
            self.replacements.load(Ordering::SeqCst)
        }

        async fn scan(&self, table: &str) -> Result<TableRows> {
            self.now().scan(table).await
        }

        async fn read(&self, table: &str, key: &str) -> Result<Option<Row>> {
            Coordination::read(self.now(), table, key).await
        }

        async fn compare_and_set(
            &self,
            table: &str,
            key: &str,
            expected: Option<RowVersion>,
            value: Option<Bytes>,
        ) -> Result<CasOutcome> {
            self.now().compare_and_set(table, key, expected, value).await
        }

        async fn raise_token(&self, table: &str, token: FencingToken) -> Result<FencingToken> {
            self.now().raise_token(table, token).await
        }

        async fn put_fenced(
            &self,
            table: &str,
            token: FencingToken,
            rows: &[(Arc<str>, Option<Bytes>)],
        ) -> Result<FencedOutcome> {
            self.now().put_fenced(table, token, rows).await
        }
    }

    fn row(cluster: &str, place: &str, shard_count: u32) -> ClusterRow {
        let settings =
            NodeSettings { cluster_name: cluster.into(), shard_count, ..NodeSettings::default() };
        ClusterRow::of(&settings, place)
    }

    fn peer(stores: Stores) -> PeerStores {
        let refused = Metrics::new().gauges("antiphon_refused", "refused", &["place"]);
        PeerStores::new("B".into(), row("c", "B", 64), stores, refused)
    }

    #[tokio::test]
    async fn nothing_is_taken_from_a_store_of_another_cluster_place_or_shard_count() {
        for (stored, setting) in [
            (row("x", "B", 64), "`cluster_name`"),
            (row("c", "A", 64), "`place`"),
            (row("c", "B", 32), "`shard_count`"),
        ] {
            let stores = MemoryStores::new().stores();
            stored.claim(&*stores.coordination).await.unwrap();
            let peer = peer(stores);

            let error = peer.stores().coordination.scan("members").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Rejected);
            assert!(error.to_string().contains(setting), "{error}");
            let id = PersistenceId::parse("cart|1|B").unwrap();
            assert!(peer.stores().journal.highest(&id).await.is_err());
            assert!(peer.refusal().unwrap().contains(setting));
        }
    }

    #[tokio::test]
    async fn an_empty_store_is_read_until_somebody_else_uses_it() {
        let stores = MemoryStores::new().stores();
        let peer = peer(stores.clone());
        peer.stores().coordination.scan("members").await.unwrap();
        assert_eq!(peer.refusal(), None);

        let call = async {
            row("c", "A", 64).claim(&*stores.coordination).await?;
            Ok(7)
        };
        assert_eq!(peer.ask(call).await.unwrap_err().kind(), ErrorKind::Rejected);
        assert!(peer.refusal().is_some());
    }

    #[tokio::test]
    async fn a_store_that_is_replaced_is_checked_again() {
        let replaced = Arc::new(Replaced {
            stores: [MemoryStores::new(), MemoryStores::new()],
            replacements: AtomicU64::new(0),
        });
        row("c", "B", 64).claim(&replaced.stores[0]).await.unwrap();
        row("c", "A", 64).claim(&replaced.stores[1]).await.unwrap();
        let stores = Stores { coordination: replaced.clone(), ..MemoryStores::new().stores() };
        let peer = peer(stores);
        peer.stores().coordination.scan("members").await.unwrap();

        replaced.replacements.store(1, Ordering::SeqCst);
        let error = peer.stores().coordination.scan("members").await.unwrap_err();
        assert!(error.to_string().contains("`place`"), "{error}");
        assert!(peer.refusal().is_some());
    }

    #[tokio::test]
    async fn an_answer_of_a_store_that_was_replaced_meanwhile_is_not_taken() {
        let replaced = Arc::new(Replaced {
            stores: [MemoryStores::new(), MemoryStores::new()],
            replacements: AtomicU64::new(0),
        });
        row("c", "B", 64).claim(&replaced.stores[0]).await.unwrap();
        let stores = Stores { coordination: replaced.clone(), ..MemoryStores::new().stores() };
        let peer = peer(stores);

        let call = async {
            replaced.replacements.store(1, Ordering::SeqCst);
            Ok(7)
        };
        assert_eq!(peer.ask(call).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}
