//! Stores behind faults of a test: each call may be held back, refused, or made with its answer
//! lost.
//!
//! ```text
//!   caller --> Fault::before --Ok--> the stores --> Fault::after --Ok--> their answer
//!                    |                                    |
//!                    Err: the call is not made            Err: it was made, its answer is lost
//! ```
//!
//! The wrapper knows no randomness and no clock: both belong to the [`Fault`].

use std::sync::Arc;

use antiphon_base::time::Timestamp;
use async_trait::async_trait;
use bytes::Bytes;

use crate::Result;
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::PersistenceId;
use crate::store::{
    Append, CasOutcome, ChangesPage, ChangesQuery, Coordination, FencedOutcome, FencingToken,
    Journal, Limits, Offset, OffsetKey, OffsetStore, ReadJournal, ReminderRow, ReminderStore,
    ReplayPage, Row, RowVersion, Snapshot, SnapshotStore, Stores, TableRows, WriterId,
};

/// A call of a store, with what a fault may depend on.
#[derive(Debug, Clone, Copy)]
pub enum Call<'a> {
    /// [`Journal::open_writer`].
    OpenWriter(&'a WriterId),
    /// [`Journal::append`].
    Append(&'a WriterId, &'a Append),
    /// [`Journal::seal`].
    Seal(&'a WriterId),
    /// [`Journal::replay`] and [`Journal::replay_page`].
    Replay(&'a PersistenceId),
    /// [`Journal::highest`].
    Highest(&'a PersistenceId),
    /// [`Journal::delete_to`].
    DeleteEvents(&'a PersistenceId),
    /// [`ReadJournal::changes`].
    Changes(&'a ChangesQuery),
    /// [`ReadJournal::persistence_ids`], with the entity type.
    PersistenceIds(&'a str),
    /// [`SnapshotStore::save_snapshot`].
    SaveSnapshot(&'a PersistenceId, &'a Snapshot),
    /// [`SnapshotStore::latest_snapshot`].
    LatestSnapshot(&'a PersistenceId),
    /// [`SnapshotStore::delete_snapshots_to`].
    DeleteSnapshots(&'a PersistenceId),
    /// [`OffsetStore::load_offset`].
    LoadOffset(&'a OffsetKey),
    /// [`OffsetStore::save_offset`].
    SaveOffset(&'a OffsetKey),
    /// [`ReminderStore::put`].
    PutReminders(&'a [ReminderRow]),
    /// [`ReminderStore::remove`].
    RemoveReminders(&'a [ReminderRow]),
    /// [`ReminderStore::contains`].
    ContainsReminder(&'a ReminderRow),
    /// [`ReminderStore::due`], with the entity type.
    DueReminders(&'a str),
    /// [`Coordination::scan`], with the table.
    Scan(&'a str),
    /// [`Coordination::read`], with table and key.
    Read(&'a str, &'a str),
    /// [`Coordination::compare_and_set`], with table, key and the expected version.
    CompareAndSet(&'a str, &'a str, Option<RowVersion>),
    /// [`Coordination::raise_token`], with the table.
    RaiseToken(&'a str),
    /// [`Coordination::put_fenced`], with the table.
    PutFenced(&'a str),
}

/// The trait of the stores that a call belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreTrait {
    /// [`Journal`].
    Journal,
    /// [`ReadJournal`].
    ReadJournal,
    /// [`SnapshotStore`].
    Snapshots,
    /// [`OffsetStore`].
    Offsets,
    /// [`ReminderStore`].
    Reminders,
    /// [`Coordination`].
    Coordination,
}

impl Call<'_> {
    /// The trait that the call belongs to.
    pub fn of(&self) -> StoreTrait {
        match self {
            Self::OpenWriter(_)
            | Self::Append(..)
            | Self::Seal(_)
            | Self::Replay(_)
            | Self::Highest(_)
            | Self::DeleteEvents(_) => StoreTrait::Journal,
            Self::Changes(_) | Self::PersistenceIds(_) => StoreTrait::ReadJournal,
            Self::SaveSnapshot(..) | Self::LatestSnapshot(_) | Self::DeleteSnapshots(_) => {
                StoreTrait::Snapshots
            }
            Self::LoadOffset(_) | Self::SaveOffset(_) => StoreTrait::Offsets,
            Self::PutReminders(_)
            | Self::RemoveReminders(_)
            | Self::ContainsReminder(_)
            | Self::DueReminders(_) => StoreTrait::Reminders,
            Self::Scan(_)
            | Self::Read(..)
            | Self::CompareAndSet(..)
            | Self::RaiseToken(_)
            | Self::PutFenced(_) => StoreTrait::Coordination,
        }
    }

    /// Returns whether the call can change something.
    pub fn is_write(&self) -> bool {
        match self {
            Self::OpenWriter(_)
            | Self::Append(..)
            | Self::Seal(_)
            | Self::DeleteEvents(_)
            | Self::SaveSnapshot(..)
            | Self::DeleteSnapshots(_)
            | Self::SaveOffset(_)
            | Self::PutReminders(_)
            | Self::RemoveReminders(_)
            | Self::CompareAndSet(..)
            | Self::RaiseToken(_)
            | Self::PutFenced(_) => true,
            Self::Replay(_)
            | Self::Highest(_)
            | Self::Changes(_)
            | Self::PersistenceIds(_)
            | Self::LatestSnapshot(_)
            | Self::LoadOffset(_)
            | Self::ContainsReminder(_)
            | Self::DueReminders(_)
            | Self::Scan(_)
            | Self::Read(..) => false,
        }
    }
}

/// The faults of a test. By default there are none.
#[async_trait]
pub trait Fault: Send + Sync + 'static {
    /// Runs before a call, as long as it wants. The call is not made after an error.
    ///
    /// A caller that cancels its call cancels this too, and the call is not made.
    ///
    /// # Errors
    /// The error of the call: `Unavailable` says truly that nothing took effect.
    async fn before(&self, _call: Call<'_>) -> Result<()> {
        Ok(())
    }

    /// Runs after a call that the stores have answered. The answer is lost after an error.
    ///
    /// A caller that cancels its call cancels this too; the call was made.
    ///
    /// # Errors
    /// The error of the call: `Timeout` says truly that the outcome is unknown.
    async fn after(&self, _call: Call<'_>, _answer: Answer) -> Result<()> {
        Ok(())
    }
}

/// The answer of the stores to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A value.
    Done,
    /// An error.
    Failed,
}

/// Stores behind faults of a test.
///
/// ```
/// use std::sync::Arc;
///
/// use antiphon_persistence::memory::{Call, Fault, FaultyStores, MemoryStores};
/// use antiphon_persistence::{Error, Result};
///
/// /// A database that can be read and takes nothing.
/// struct Full;
///
/// #[async_trait::async_trait]
/// impl Fault for Full {
///     async fn before(&self, call: Call<'_>) -> Result<()> {
///         if call.is_write() { Err(Error::unavailable("the disk is full")) } else { Ok(()) }
///     }
/// }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let stores = FaultyStores::behind(Arc::new(Full), MemoryStores::new().stores());
/// assert!(stores.coordination.scan("members").await.is_ok());
/// assert!(stores.coordination.compare_and_set("members", "a", None, None).await.is_err());
/// # });
/// ```
#[derive(Clone)]
pub struct FaultyStores {
    stores: Stores,
    fault: Arc<dyn Fault>,
}

impl FaultyStores {
    /// The stores behind a fault, which the test may keep and change.
    pub fn behind(fault: Arc<impl Fault>, stores: Stores) -> Stores {
        Stores::from_backend(Arc::new(Self { stores, fault }))
    }

    async fn call<T>(&self, call: Call<'_>, made: impl Future<Output = Result<T>>) -> Result<T> {
        self.fault.before(call).await?;
        let answer = made.await;
        let is_done = if answer.is_ok() { Answer::Done } else { Answer::Failed };
        self.fault.after(call, is_done).await?;
        answer
    }
}

#[async_trait]
impl Journal for FaultyStores {
    fn limits(&self) -> Limits {
        self.stores.journal.limits()
    }

    async fn open_writer(&self, writer: &WriterId) -> Result<()> {
        self.call(Call::OpenWriter(writer), self.stores.journal.open_writer(writer)).await
    }

    async fn append(&self, writer: &WriterId, append: Append) -> Result<()> {
        let made = self.stores.journal.append(writer, append.clone());
        self.call(Call::Append(writer, &append), made).await
    }

    async fn seal(&self, writer: &WriterId) -> Result<()> {
        self.call(Call::Seal(writer), self.stores.journal.seal(writer)).await
    }

    async fn replay(
        &self,
        id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<Vec<StoredEvent>> {
        let made = self.stores.journal.replay(id, first, last, event_count_max);
        self.call(Call::Replay(id), made).await
    }

    async fn replay_page(
        &self,
        id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<ReplayPage> {
        let made = self.stores.journal.replay_page(id, first, last, event_count_max);
        self.call(Call::Replay(id), made).await
    }

    async fn highest(&self, id: &PersistenceId) -> Result<SequenceNr> {
        self.call(Call::Highest(id), self.stores.journal.highest(id)).await
    }

    async fn delete_to(&self, id: &PersistenceId, last: SequenceNr) -> Result<()> {
        self.call(Call::DeleteEvents(id), self.stores.journal.delete_to(id, last)).await
    }
}

#[async_trait]
impl ReadJournal for FaultyStores {
    async fn changes(&self, query: &ChangesQuery) -> Result<ChangesPage> {
        self.call(Call::Changes(query), self.stores.read_journal.changes(query)).await
    }

    async fn persistence_ids(
        &self,
        entity_type: &str,
        after: Option<&PersistenceId>,
        count_max: usize,
    ) -> Result<Vec<PersistenceId>> {
        let made = self.stores.read_journal.persistence_ids(entity_type, after, count_max);
        self.call(Call::PersistenceIds(entity_type), made).await
    }
}

#[async_trait]
impl SnapshotStore for FaultyStores {
    async fn save_snapshot(&self, id: &PersistenceId, snapshot: &Snapshot) -> Result<()> {
        let made = self.stores.snapshots.save_snapshot(id, snapshot);
        self.call(Call::SaveSnapshot(id, snapshot), made).await
    }

    async fn latest_snapshot(
        &self,
        id: &PersistenceId,
        last: SequenceNr,
    ) -> Result<Option<Snapshot>> {
        self.call(Call::LatestSnapshot(id), self.stores.snapshots.latest_snapshot(id, last)).await
    }

    async fn delete_snapshots_to(&self, id: &PersistenceId, last: SequenceNr) -> Result<()> {
        let made = self.stores.snapshots.delete_snapshots_to(id, last);
        self.call(Call::DeleteSnapshots(id), made).await
    }
}

#[async_trait]
impl OffsetStore for FaultyStores {
    async fn load_offset(&self, key: &OffsetKey) -> Result<Offset> {
        self.call(Call::LoadOffset(key), self.stores.offsets.load_offset(key)).await
    }

    async fn save_offset(&self, key: &OffsetKey, offset: &Offset) -> Result<()> {
        self.call(Call::SaveOffset(key), self.stores.offsets.save_offset(key, offset)).await
    }
}

#[async_trait]
impl ReminderStore for FaultyStores {
    async fn put(&self, rows: &[ReminderRow]) -> Result<()> {
        self.call(Call::PutReminders(rows), self.stores.reminders.put(rows)).await
    }

    async fn remove(&self, rows: &[ReminderRow]) -> Result<()> {
        self.call(Call::RemoveReminders(rows), self.stores.reminders.remove(rows)).await
    }

    async fn contains(&self, row: &ReminderRow) -> Result<bool> {
        self.call(Call::ContainsReminder(row), self.stores.reminders.contains(row)).await
    }

    async fn due(
        &self,
        entity_type: &str,
        until: Timestamp,
        after: Option<&ReminderRow>,
        row_count_max: usize,
    ) -> Result<Vec<ReminderRow>> {
        let made = self.stores.reminders.due(entity_type, until, after, row_count_max);
        self.call(Call::DueReminders(entity_type), made).await
    }
}

#[async_trait]
impl Coordination for FaultyStores {
    fn replacements(&self) -> u64 {
        self.stores.coordination.replacements()
    }

    async fn scan(&self, table: &str) -> Result<TableRows> {
        self.call(Call::Scan(table), self.stores.coordination.scan(table)).await
    }

    async fn read(&self, table: &str, key: &str) -> Result<Option<Row>> {
        self.call(Call::Read(table, key), self.stores.coordination.read(table, key)).await
    }

    async fn compare_and_set(
        &self,
        table: &str,
        key: &str,
        expected: Option<RowVersion>,
        value: Option<Bytes>,
    ) -> Result<CasOutcome> {
        let made = self.stores.coordination.compare_and_set(table, key, expected, value);
        self.call(Call::CompareAndSet(table, key, expected), made).await
    }

    async fn raise_token(&self, table: &str, token: FencingToken) -> Result<FencingToken> {
        let made = self.stores.coordination.raise_token(table, token);
        self.call(Call::RaiseToken(table), made).await
    }

    async fn put_fenced(
        &self,
        table: &str,
        token: FencingToken,
        rows: &[(Arc<str>, Option<Bytes>)],
    ) -> Result<FencedOutcome> {
        let made = self.stores.coordination.put_fenced(table, token, rows);
        self.call(Call::PutFenced(table), made).await
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::Error;
    use crate::memory::MemoryStores;

    /// Loses the answers of writes, and records the calls.
    #[derive(Default)]
    struct Losing {
        calls: Mutex<Vec<(StoreTrait, bool)>>,
    }

    #[async_trait]
    impl Fault for Losing {
        async fn before(&self, call: Call<'_>) -> Result<()> {
            self.calls.lock().push((call.of(), call.is_write()));
            Ok(())
        }

        async fn after(&self, call: Call<'_>, answer: Answer) -> Result<()> {
            assert_eq!(answer, Answer::Done);
            if call.is_write() { Err(Error::timeout("the test wants it")) } else { Ok(()) }
        }
    }

    #[tokio::test]
    async fn a_write_whose_answer_is_lost_has_taken_effect() {
        let real = MemoryStores::new().stores();
        let fault = Arc::new(Losing::default());
        let far = FaultyStores::behind(fault.clone(), real.clone());
        let (writer, key) = (
            WriterId::new("n@1").unwrap(),
            OffsetKey { reader: "loop".into(), part: "all".into() },
        );
        assert!(far.journal.seal(&writer).await.is_err());
        assert!(real.journal.open_writer(&writer).await.is_err(), "it is sealed");
        assert!(far.offsets.save_offset(&key, &Offset::new("7")).await.is_err());
        assert_eq!(far.offsets.load_offset(&key).await.unwrap(), Offset::new("7"));
        assert!(far.coordination.raise_token("homes", FencingToken(3)).await.is_err());
        assert_eq!(far.coordination.scan("homes").await.unwrap().token, FencingToken(3));
        assert_eq!(
            *fault.calls.lock(),
            [
                (StoreTrait::Journal, true),
                (StoreTrait::Offsets, true),
                (StoreTrait::Offsets, false),
                (StoreTrait::Coordination, true),
                (StoreTrait::Coordination, false),
            ]
        );
    }
}
