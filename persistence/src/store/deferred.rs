//! Stores that may be out of reach when a process starts.
//!
//! Until the stores are there, each call that can fail answers why they are not, so that a place
//! starts and works while another place is lost. They come on one of two ways:
//!
//! - *given*: somebody else opens them, tells the reason while that fails, and hands them in;
//! - *on demand*: each call opens them, until one succeeds; calls at the same time share one
//!   attempt.
//!
//! Opening changes nothing, so a call before it has no effect: its error is never `Timeout`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use antiphon_base::time::Timestamp;
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::{
    Append, CasOutcome, ChangesPage, ChangesQuery, Coordination, FencedOutcome, FencingToken,
    Journal, Limits, Offset, OffsetKey, OffsetStore, OpenBackend, ReadJournal, ReminderRow,
    ReminderStore, ReplayPage, Row, RowVersion, Snapshot, SnapshotStore, Stores, TableRows,
    WriterId,
};
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::PersistenceId;
use crate::{Error, ErrorKind, Result};

/// An attempt to open stores.
pub type Opening = Pin<Box<dyn Future<Output = Result<Opened>> + Send>>;

/// Stores that are open. The journal of a backend stays open as long as its stores are used here.
#[derive(Clone)]
pub struct Opened {
    stores: Stores,
    _backend: Option<Arc<dyn OpenBackend>>,
}

impl From<Stores> for Opened {
    fn from(stores: Stores) -> Self {
        Self { stores, _backend: None }
    }
}

impl From<Arc<dyn OpenBackend>> for Opened {
    fn from(backend: Arc<dyn OpenBackend>) -> Self {
        Self { stores: backend.stores(), _backend: Some(backend) }
    }
}

/// Stands for stores until they are there. Cheap to clone; clones share the stores.
///
/// ```
/// use antiphon_persistence::memory::MemoryStores;
/// use antiphon_persistence::store::DeferredStores;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let far = DeferredStores::default();
/// far.waits("nobody answers");
/// assert!(far.stores().coordination.scan("members").await.is_err());
///
/// far.arrived(MemoryStores::new().stores());
/// assert!(far.stores().coordination.scan("members").await.is_ok());
/// # });
/// ```
#[derive(Clone, Default)]
pub struct DeferredStores {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    stores: OnceCell<Opened>,
    /// The reason why the stores are not there, as far as known.
    reason: Mutex<String>,
    /// `None` when the stores are given.
    demand: Option<Demand>,
}

struct Demand {
    name: Arc<str>,
    open: Box<dyn Fn() -> Opening + Send + Sync>,
}

impl Demand {
    /// Opens the stores. The error begins with their name.
    async fn open(&self) -> Result<Opened> {
        (self.open)().await.map_err(|error| {
            // opening changes nothing, so a timeout leaves no outcome unknown
            let kind = match error.kind() {
                ErrorKind::Timeout => ErrorKind::Unavailable,
                kind @ (ErrorKind::Unavailable
                | ErrorKind::Rejected
                | ErrorKind::Fenced
                | ErrorKind::Corrupt
                | ErrorKind::Bug) => kind,
            };
            Error::new(kind, format!("{}: {error}", self.name)).with_source(error)
        })
    }
}

impl DeferredStores {
    /// Stores that are there already.
    pub fn opened(stores: impl Into<Opened>) -> Self {
        let inner = Inner { stores: OnceCell::new_with(Some(stores.into())), ..Inner::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Stores that `open` opens at the first use, and again at each use until it succeeds. Error
    /// messages begin with `name`.
    pub fn on_demand(name: &str, open: impl Fn() -> Opening + Send + Sync + 'static) -> Self {
        let demand = Some(Demand { name: name.into(), open: Box::new(open) });
        Self { inner: Arc::new(Inner { demand, ..Inner::default() }) }
    }

    /// All stores, usable at once.
    pub fn stores(&self) -> Stores {
        Stores::from_backend(Arc::new(self.clone()))
    }

    /// Sets the reason that calls answer until the stores arrive.
    pub fn waits(&self, reason: impl Into<String>) {
        *self.inner.reason.lock() = reason.into();
    }

    /// The reason why the stores are missing; `None` when they are there.
    pub fn reason(&self) -> Option<String> {
        let reason = self.inner.reason.lock();
        self.inner.stores.get().is_none().then(|| reason.clone())
    }

    /// Sends all further calls to `stores`. Only the first call counts.
    ///
    /// # Panics
    /// If these stores are opened on demand: an opening under way would win.
    pub fn arrived(&self, stores: impl Into<Opened>) {
        assert!(self.inner.demand.is_none(), "stores that are opened on demand are given");
        // a second call comes too late by its contract
        let _ = self.inner.stores.set(stores.into());
    }

    /// The stores themselves, opened if they are opened on demand. A cancelled call leaves nothing
    /// behind: the next one opens them anew.
    ///
    /// # Errors
    /// - `Unavailable`, with the reason, when the stores are not there.
    /// - The errors of the opening, for example `Rejected` when a retry cannot help. `Timeout` is
    ///   `Unavailable` here.
    pub async fn get(&self) -> Result<&Stores> {
        let Inner { stores, demand, .. } = &*self.inner;
        let opened = match demand {
            Some(demand) => {
                let opened = stores.get_or_try_init(|| demand.open()).await;
                opened.inspect_err(|error| self.waits(error.to_string()))?
            }
            None => stores.get().ok_or_else(|| {
                let reason = self.reason().unwrap_or_default();
                Error::unavailable(format!("the stores are not there yet: {reason}"))
            })?,
        };
        Ok(&opened.stores)
    }

    /// The stores if they are there.
    fn there(&self) -> Option<&Stores> {
        self.inner.stores.get().map(|opened| &opened.stores)
    }
}

#[async_trait]
impl Journal for DeferredStores {
    fn limits(&self) -> Limits {
        self.there().map_or_else(Limits::default, |stores| stores.journal.limits())
    }

    async fn open_writer(&self, writer: &WriterId) -> Result<()> {
        self.get().await?.journal.open_writer(writer).await
    }

    async fn append(&self, writer: &WriterId, append: Append) -> Result<()> {
        self.get().await?.journal.append(writer, append).await
    }

    async fn seal(&self, writer: &WriterId) -> Result<()> {
        self.get().await?.journal.seal(writer).await
    }

    async fn replay(
        &self,
        persistence_id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<Vec<StoredEvent>> {
        self.get().await?.journal.replay(persistence_id, first, last, event_count_max).await
    }

    async fn replay_page(
        &self,
        persistence_id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<ReplayPage> {
        self.get().await?.journal.replay_page(persistence_id, first, last, event_count_max).await
    }

    async fn highest(&self, persistence_id: &PersistenceId) -> Result<SequenceNr> {
        self.get().await?.journal.highest(persistence_id).await
    }

    async fn delete_to(&self, persistence_id: &PersistenceId, last: SequenceNr) -> Result<()> {
        self.get().await?.journal.delete_to(persistence_id, last).await
    }
}

#[async_trait]
impl ReadJournal for DeferredStores {
    async fn changes(&self, query: &ChangesQuery) -> Result<ChangesPage> {
        self.get().await?.read_journal.changes(query).await
    }

    async fn persistence_ids(
        &self,
        entity_type: &str,
        after: Option<&PersistenceId>,
        count_max: usize,
    ) -> Result<Vec<PersistenceId>> {
        self.get().await?.read_journal.persistence_ids(entity_type, after, count_max).await
    }
}

#[async_trait]
impl SnapshotStore for DeferredStores {
    async fn save_snapshot(&self, id: &PersistenceId, snapshot: &Snapshot) -> Result<()> {
        self.get().await?.snapshots.save_snapshot(id, snapshot).await
    }

    async fn latest_snapshot(
        &self,
        id: &PersistenceId,
        last: SequenceNr,
    ) -> Result<Option<Snapshot>> {
        self.get().await?.snapshots.latest_snapshot(id, last).await
    }

    async fn delete_snapshots_to(&self, id: &PersistenceId, last: SequenceNr) -> Result<()> {
        self.get().await?.snapshots.delete_snapshots_to(id, last).await
    }
}

#[async_trait]
impl OffsetStore for DeferredStores {
    async fn load_offset(&self, key: &OffsetKey) -> Result<Offset> {
        self.get().await?.offsets.load_offset(key).await
    }

    async fn save_offset(&self, key: &OffsetKey, offset: &Offset) -> Result<()> {
        self.get().await?.offsets.save_offset(key, offset).await
    }
}

#[async_trait]
impl ReminderStore for DeferredStores {
    async fn put(&self, rows: &[ReminderRow]) -> Result<()> {
        self.get().await?.reminders.put(rows).await
    }

    async fn remove(&self, rows: &[ReminderRow]) -> Result<()> {
        self.get().await?.reminders.remove(rows).await
    }

    async fn contains(&self, row: &ReminderRow) -> Result<bool> {
        self.get().await?.reminders.contains(row).await
    }

    async fn due(
        &self,
        entity_type: &str,
        until: Timestamp,
        after: Option<&ReminderRow>,
        row_count_max: usize,
    ) -> Result<Vec<ReminderRow>> {
        self.get().await?.reminders.due(entity_type, until, after, row_count_max).await
    }
}

#[async_trait]
impl Coordination for DeferredStores {
    fn replacements(&self) -> u64 {
        self.there().map_or(0, |stores| stores.coordination.replacements())
    }

    async fn scan(&self, table: &str) -> Result<TableRows> {
        self.get().await?.coordination.scan(table).await
    }

    async fn read(&self, table: &str, key: &str) -> Result<Option<Row>> {
        self.get().await?.coordination.read(table, key).await
    }

    async fn compare_and_set(
        &self,
        table: &str,
        key: &str,
        expected: Option<RowVersion>,
        value: Option<Bytes>,
    ) -> Result<CasOutcome> {
        self.get().await?.coordination.compare_and_set(table, key, expected, value).await
    }

    async fn raise_token(&self, table: &str, token: FencingToken) -> Result<FencingToken> {
        self.get().await?.coordination.raise_token(table, token).await
    }

    async fn put_fenced(
        &self,
        table: &str,
        token: FencingToken,
        rows: &[(Arc<str>, Option<Bytes>)],
    ) -> Result<FencedOutcome> {
        self.get().await?.coordination.put_fenced(table, token, rows).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
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

    #[tokio::test]
    async fn stores_are_opened_again_until_they_are_there_and_then_never_more() {
        let tried = Arc::new(AtomicU32::new(0));
        let counts = tried.clone();
        let stores = DeferredStores::on_demand("`Settings:Journal`", move || {
            let attempt = counts.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                match attempt {
                    0 => Err(Error::timeout("nobody answers")),
                    1 => Err(Error::rejected("no tables")),
                    _ => Ok(MemoryStores::new().stores().into()),
                }
            })
        });

        let error = stores.get().await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.to_string(), "`Settings:Journal`: nobody answers");
        assert_eq!(stores.reason().as_deref(), Some("`Settings:Journal`: nobody answers"));
        let scanned = stores.stores().coordination.scan("members").await;
        assert_eq!(scanned.unwrap_err().kind(), ErrorKind::Rejected);
        assert!(stores.get().await.is_ok());
        assert!(stores.clone().stores().coordination.scan("members").await.is_ok());
        assert_eq!(tried.load(Ordering::Relaxed), 3);
        assert_eq!(stores.reason(), None);
    }
}
