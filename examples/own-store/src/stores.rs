//! The traits of the stores, on the log.
#![expect(
    clippy::disallowed_types,
    reason = "the poison of the mutex tells that a panic left a change that is not in the file"
)]

use std::path::Path;
use std::sync::{Arc, Mutex};

use antiphon::base::time::Timestamp;
use antiphon::persistence::event::{SequenceNr, StoredEvent};
use antiphon::persistence::identity::PersistenceId;
use antiphon::persistence::memory::MemoryStores;
use antiphon::persistence::store::{
    Append, CasOutcome, ChangesPage, ChangesQuery, Coordination, FencedOutcome, FencingToken,
    Journal, Offset, OffsetKey, OffsetStore, ReadJournal, ReminderRow, ReminderStore, Role, Row,
    RowVersion, Snapshot, SnapshotStore, Stores, TableRows, WriterId,
};
use antiphon::prelude::*;
use async_trait::async_trait;
use bytes::Bytes;

use crate::log::{Log, Watched};
use crate::operation::{Operation, now};

/// All stores of a place in one log file. Cheap to clone.
///
/// A cancelled call runs to its end: a write may take effect.
#[derive(Clone)]
pub struct LogStores {
    log: Arc<Mutex<Log>>,
    watched: Arc<Watched>,
}

impl LogStores {
    /// Opens the log at `path`. An owner makes it when it does not exist. Waits for another process
    /// that holds the file.
    ///
    /// # Errors
    /// `Unavailable` when the file cannot be opened or read; `Rejected` when it is another
    /// program's; `Corrupt` when it is damaged.
    pub fn open(path: &Path, role: Role) -> Result<Self> {
        let log = Log::open(path, role)?;
        Ok(Self { watched: log.watched(), log: Arc::new(Mutex::new(log)) })
    }

    /// All store traits, on this log.
    pub fn stores(&self) -> Stores {
        Stores::from_backend(Arc::new(self.clone()))
    }

    /// Runs `work` on the log, on a thread that may wait for the disk.
    async fn on_log<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Log) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let log = self.log.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut locked = log.lock().unwrap_or_else(|poisoned| {
                // a panic may have left a change in memory that is not in the file
                let mut locked = poisoned.into_inner();
                locked.reset();
                log.clear_poison();
                locked
            });
            work(&mut locked)
        });
        done.await.map_err(|error| Error::unavailable(format!("the log: {error}")))?
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&MemoryStores) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.on_log(|log| log.read(work)?).await
    }

    /// Makes a change, and stores the operation if it `changed` the place.
    async fn write<T: Send + 'static>(
        &self,
        operation: Operation,
        work: impl FnOnce(&MemoryStores) -> Result<T> + Send + 'static,
        changed: fn(&T) -> bool,
    ) -> Result<T> {
        self.on_log(move |log| log.write(&operation, work, changed)).await
    }

    /// Makes a change that always changes the place, or fails.
    async fn change(&self, operation: impl Fn() -> Operation + Send + 'static) -> Result<()> {
        let again = operation();
        self.write(again, move |place| operation().apply(place), |()| true).await
    }

    pub(crate) fn check_file(&self) -> Result<()> {
        self.watched.check()
    }
}

#[async_trait]
impl Journal for LogStores {
    async fn open_writer(&self, writer: &WriterId) -> Result<()> {
        let writer = writer.clone();
        self.change(move || Operation::OpenWriter(writer.clone())).await
    }

    async fn append(&self, writer: &WriterId, append: Append) -> Result<()> {
        let (writer, Append { persistence_id, expected, events }) = (writer.clone(), append);
        let operation = move || {
            Operation::Append(writer.clone(), persistence_id.clone(), expected, events.clone())
        };
        self.change(operation).await
    }

    async fn seal(&self, writer: &WriterId) -> Result<()> {
        let writer = writer.clone();
        self.change(move || Operation::Seal(writer.clone())).await
    }

    async fn replay(
        &self,
        persistence_id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<Vec<StoredEvent>> {
        let id = persistence_id.clone();
        self.read(move |place| now(place.replay(&id, first, last, event_count_max))).await
    }

    async fn highest(&self, persistence_id: &PersistenceId) -> Result<SequenceNr> {
        let id = persistence_id.clone();
        self.read(move |place| now(place.highest(&id))).await
    }

    async fn delete_to(&self, persistence_id: &PersistenceId, last: SequenceNr) -> Result<()> {
        let id = persistence_id.clone();
        self.change(move || Operation::DeleteEvents(id.clone(), last)).await
    }
}

#[async_trait]
impl ReadJournal for LogStores {
    async fn changes(&self, query: &ChangesQuery) -> Result<ChangesPage> {
        let query = query.clone();
        self.read(move |place| now(place.changes(&query))).await
    }

    async fn persistence_ids(
        &self,
        entity_type: &str,
        after: Option<&PersistenceId>,
        count_max: usize,
    ) -> Result<Vec<PersistenceId>> {
        let (entity_type, after) = (entity_type.to_owned(), after.cloned());
        self.read(move |place| now(place.persistence_ids(&entity_type, after.as_ref(), count_max)))
            .await
    }
}

#[async_trait]
impl SnapshotStore for LogStores {
    async fn save_snapshot(&self, id: &PersistenceId, snapshot: &Snapshot) -> Result<()> {
        let (id, snapshot) = (id.clone(), snapshot.clone());
        self.change(move || Operation::SaveSnapshot(id.clone(), snapshot.clone())).await
    }

    async fn latest_snapshot(
        &self,
        persistence_id: &PersistenceId,
        last: SequenceNr,
    ) -> Result<Option<Snapshot>> {
        let id = persistence_id.clone();
        self.read(move |place| now(place.latest_snapshot(&id, last))).await
    }

    async fn delete_snapshots_to(&self, id: &PersistenceId, last: SequenceNr) -> Result<()> {
        let id = id.clone();
        self.change(move || Operation::DeleteSnapshots(id.clone(), last)).await
    }
}

#[async_trait]
impl OffsetStore for LogStores {
    async fn load_offset(&self, key: &OffsetKey) -> Result<Offset> {
        let key = key.clone();
        self.read(move |place| now(place.load_offset(&key))).await
    }

    async fn save_offset(&self, key: &OffsetKey, offset: &Offset) -> Result<()> {
        let (key, offset) = (key.clone(), offset.clone());
        self.change(move || Operation::SaveOffset(key.clone(), offset.clone())).await
    }
}

#[async_trait]
impl ReminderStore for LogStores {
    async fn put(&self, rows: &[ReminderRow]) -> Result<()> {
        let rows = rows.to_vec();
        self.change(move || Operation::PutReminders(rows.clone())).await
    }

    async fn remove(&self, rows: &[ReminderRow]) -> Result<()> {
        let rows = rows.to_vec();
        self.change(move || Operation::RemoveReminders(rows.clone())).await
    }

    async fn contains(&self, row: &ReminderRow) -> Result<bool> {
        let row = row.clone();
        self.read(move |place| now(place.contains(&row))).await
    }

    async fn due(
        &self,
        entity_type: &str,
        until: Timestamp,
        after: Option<&ReminderRow>,
        row_count_max: usize,
    ) -> Result<Vec<ReminderRow>> {
        let (entity_type, after) = (entity_type.to_owned(), after.cloned());
        let work = move |place: &MemoryStores| {
            now(place.due(&entity_type, until, after.as_ref(), row_count_max))
        };
        self.read(work).await
    }
}

#[async_trait]
impl Coordination for LogStores {
    async fn scan(&self, table: &str) -> Result<TableRows> {
        let table = table.to_owned();
        self.read(move |place| now(place.scan(&table))).await
    }

    async fn read(&self, table: &str, key: &str) -> Result<Option<Row>> {
        let (table, key) = (table.to_owned(), key.to_owned());
        Self::read(self, move |place| now(Coordination::read(place, &table, &key))).await
    }

    async fn compare_and_set(
        &self,
        table: &str,
        key: &str,
        expected: Option<RowVersion>,
        value: Option<Bytes>,
    ) -> Result<CasOutcome> {
        let (table, key): (Arc<str>, Arc<str>) = (table.into(), key.into());
        let operation =
            Operation::CompareAndSet(table.clone(), key.clone(), expected, value.clone());
        let work =
            move |place: &MemoryStores| now(place.compare_and_set(&table, &key, expected, value));
        self.write(operation, work, |outcome| matches!(outcome, CasOutcome::Applied(_))).await
    }

    async fn raise_token(&self, table: &str, token: FencingToken) -> Result<FencingToken> {
        let table: Arc<str> = table.into();
        let operation = Operation::RaiseToken(table.clone(), token);
        self.write(operation, move |place| now(place.raise_token(&table, token)), |_| true).await
    }

    async fn put_fenced(
        &self,
        table: &str,
        token: FencingToken,
        rows: &[(Arc<str>, Option<Bytes>)],
    ) -> Result<FencedOutcome> {
        let (table, rows): (Arc<str>, _) = (table.into(), rows.to_vec());
        let operation = Operation::PutFenced(table.clone(), token, rows.clone());
        let work = move |place: &MemoryStores| now(place.put_fenced(&table, token, &rows));
        self.write(operation, work, |outcome| *outcome == FencedOutcome::Applied).await
    }
}
