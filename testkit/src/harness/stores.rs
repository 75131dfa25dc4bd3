//! Stores in memory that are slow and fail, as one node sees them.
//!
//! A call that fails with `Timeout` may have been done; a call that fails with `Unavailable` was
//! not done.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::Timestamp;
use antiphon_base::{Error, Result};
use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{
    Append, CasOutcome, ChangesPage, ChangesQuery, Coordination, FencedOutcome, FencingToken,
    Journal, Limits, Offset, OffsetKey, OffsetStore, ReadJournal, ReminderRow, ReminderStore,
    ReplayPage, Row, RowVersion, Snapshot, SnapshotStore, Stores, TableRows, WriterId,
};
use antiphon_runtime::transport::memory::SplitMix64;
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The rates of failed calls, and their delays.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreFaults {
    /// Calls in a hundred that are not done.
    pub refuse_percent: u64,
    /// Calls in a hundred that are done, and answered as unknown.
    pub lose_percent: u64,
    /// Longest delay of a call, in milliseconds.
    pub delay_max_millis: u64,
}

/// The record of one place's stores, for the invariants.
#[derive(Debug, Default)]
pub struct Audit {
    /// Writers whose `seal` has returned.
    pub sealed: Vec<WriterId>,
    /// Appends of sealed writers that took effect after the seal.
    pub after_seal: Vec<String>,
}

struct State {
    random: SplitMix64,
    faults: StoreFaults,
    /// No call begins or ends before this time.
    still_until: Option<Instant>,
}

/// The stores of a place as one node sees them.
#[derive(Clone)]
pub struct FaultyStores {
    inner: Stores,
    state: Arc<Mutex<State>>,
    audit: Arc<Mutex<Audit>>,
    /// Wakes the calls that stand still.
    woken: Arc<Notify>,
}

impl FaultyStores {
    pub fn new(inner: Stores, seed: u64, audit: Arc<Mutex<Audit>>) -> Self {
        let state = State {
            random: SplitMix64::new(seed),
            faults: StoreFaults::default(),
            still_until: None,
        };
        Self { inner, state: Arc::new(Mutex::new(state)), audit, woken: Arc::default() }
    }

    pub fn set(&self, faults: StoreFaults) {
        self.state.lock().faults = faults;
    }

    /// Holds back all calls, also the calls in flight.
    pub fn stand_still(&self, until: Instant) {
        self.state.lock().still_until = Some(until);
    }

    /// Lets all calls go on at once, also those that stand still.
    pub fn go_on(&self) {
        self.state.lock().still_until = None;
        self.woken.notify_waiters();
    }

    async fn still(&self) {
        let until = self.state.lock().still_until;
        if let Some(until) = until {
            // the calls go on at the time, or when they are woken
            let _ = tokio::time::timeout_at(until, self.woken.notified()).await;
        }
    }

    pub fn stores(&self) -> Stores {
        Stores::from_backend(Arc::new(self.clone()))
    }

    async fn call<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let (before, after, fate) = {
            let mut state = self.state.lock();
            let delay = 1 + state.faults.delay_max_millis;
            let (before, after) =
                (state.random.next_u64() % delay, state.random.next_u64() % delay);
            (before, after, state.random.next_u64() % 100)
        };
        let faults = self.state.lock().faults;
        tokio::time::sleep(Duration::from_micros(200 + before * 1000)).await;
        self.still().await;
        if fate < faults.refuse_percent {
            return Err(Error::unavailable("the simulation wants it"));
        }
        let result = call.await;
        tokio::time::sleep(Duration::from_micros(200 + after * 1000)).await;
        self.still().await;
        if fate < faults.refuse_percent + faults.lose_percent {
            return Err(Error::timeout("the simulation wants it"));
        }
        result
    }

    /// Appends as any other call, and records an append that took effect after its writer's seal
    /// had returned.
    async fn append_call(&self, writer: &WriterId, append: Append) -> Result<()> {
        let what = format!("{} after {} by {writer}", append.persistence_id, append.expected);
        let was_sealed = |audit: &Audit| audit.sealed.contains(writer);
        let journal = self.inner.journal.clone();
        let audit = self.audit.clone();
        self.call(async move {
            let sealed_before = was_sealed(&audit.lock());
            let result = journal.append(writer, append).await;
            if result.is_ok() && sealed_before {
                audit.lock().after_seal.push(what);
            }
            result
        })
        .await
    }
}

#[async_trait]
impl Journal for FaultyStores {
    fn limits(&self) -> Limits {
        self.inner.journal.limits()
    }

    async fn open_writer(&self, writer: &WriterId) -> Result<()> {
        self.inner.journal.open_writer(writer).await
    }

    async fn append(&self, writer: &WriterId, append: Append) -> Result<()> {
        self.append_call(writer, append).await
    }

    async fn seal(&self, writer: &WriterId) -> Result<()> {
        self.call(self.inner.journal.seal(writer)).await?;
        self.audit.lock().sealed.push(writer.clone());
        Ok(())
    }

    async fn replay(
        &self,
        id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<Vec<StoredEvent>> {
        self.call(self.inner.journal.replay(id, first, last, event_count_max)).await
    }

    async fn replay_page(
        &self,
        id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<ReplayPage> {
        self.call(self.inner.journal.replay_page(id, first, last, event_count_max)).await
    }

    async fn highest(&self, id: &PersistenceId) -> Result<SequenceNr> {
        self.call(self.inner.journal.highest(id)).await
    }

    async fn delete_to(&self, id: &PersistenceId, last: SequenceNr) -> Result<()> {
        self.call(self.inner.journal.delete_to(id, last)).await
    }
}

#[async_trait]
impl ReadJournal for FaultyStores {
    async fn changes(&self, query: &ChangesQuery) -> Result<ChangesPage> {
        self.call(self.inner.read_journal.changes(query)).await
    }

    async fn persistence_ids(
        &self,
        entity_type: &str,
        after: Option<&PersistenceId>,
        count_max: usize,
    ) -> Result<Vec<PersistenceId>> {
        self.call(self.inner.read_journal.persistence_ids(entity_type, after, count_max)).await
    }
}

#[async_trait]
impl SnapshotStore for FaultyStores {
    async fn save_snapshot(&self, id: &PersistenceId, snapshot: &Snapshot) -> Result<()> {
        self.call(self.inner.snapshots.save_snapshot(id, snapshot)).await
    }

    async fn latest_snapshot(
        &self,
        id: &PersistenceId,
        last: SequenceNr,
    ) -> Result<Option<Snapshot>> {
        self.call(self.inner.snapshots.latest_snapshot(id, last)).await
    }

    async fn delete_snapshots_to(&self, id: &PersistenceId, last: SequenceNr) -> Result<()> {
        self.call(self.inner.snapshots.delete_snapshots_to(id, last)).await
    }
}

#[async_trait]
impl OffsetStore for FaultyStores {
    async fn load_offset(&self, key: &OffsetKey) -> Result<Offset> {
        self.call(self.inner.offsets.load_offset(key)).await
    }

    async fn save_offset(&self, key: &OffsetKey, offset: &Offset) -> Result<()> {
        self.call(self.inner.offsets.save_offset(key, offset)).await
    }
}

#[async_trait]
impl ReminderStore for FaultyStores {
    async fn put(&self, rows: &[ReminderRow]) -> Result<()> {
        self.call(self.inner.reminders.put(rows)).await
    }

    async fn remove(&self, rows: &[ReminderRow]) -> Result<()> {
        self.call(self.inner.reminders.remove(rows)).await
    }

    async fn contains(&self, row: &ReminderRow) -> Result<bool> {
        self.call(self.inner.reminders.contains(row)).await
    }

    async fn due(
        &self,
        entity_type: &str,
        until: Timestamp,
        after: Option<&ReminderRow>,
        row_count_max: usize,
    ) -> Result<Vec<ReminderRow>> {
        let reminders = &self.inner.reminders;
        self.call(reminders.due(entity_type, until, after, row_count_max)).await
    }
}

#[async_trait]
impl Coordination for FaultyStores {
    async fn scan(&self, table: &str) -> Result<TableRows> {
        self.call(self.inner.coordination.scan(table)).await
    }

    async fn read(&self, table: &str, key: &str) -> Result<Option<Row>> {
        self.call(self.inner.coordination.read(table, key)).await
    }

    async fn compare_and_set(
        &self,
        table: &str,
        key: &str,
        expected: Option<RowVersion>,
        value: Option<Bytes>,
    ) -> Result<CasOutcome> {
        self.call(self.inner.coordination.compare_and_set(table, key, expected, value)).await
    }

    async fn raise_token(&self, table: &str, token: FencingToken) -> Result<FencingToken> {
        self.call(self.inner.coordination.raise_token(table, token)).await
    }

    async fn put_fenced(
        &self,
        table: &str,
        token: FencingToken,
        rows: &[(Arc<str>, Option<Bytes>)],
    ) -> Result<FencedOutcome> {
        self.call(self.inner.coordination.put_fenced(table, token, rows)).await
    }
}
