//! The traits of a store, for the stores of another place: each call goes through
//! [`PeerStores::ask`].

use std::sync::Arc;

use antiphon_base::time::Timestamp;
use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{
    Append, CasOutcome, ChangesPage, ChangesQuery, Coordination, FencedOutcome, FencingToken,
    Journal, Offset, OffsetKey, OffsetStore, ReadJournal, ReminderRow, ReminderStore, ReplayPage,
    Row, RowVersion, Snapshot, SnapshotStore, TableRows, WriterId,
};
use async_trait::async_trait;
use bytes::Bytes;

use super::PeerStores;
use crate::Result;

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
impl ReminderStore for PeerStores {
    async fn put(&self, rows: &[ReminderRow]) -> Result<()> {
        self.ask(self.inner.stores.reminders.put(rows)).await
    }

    async fn remove(&self, rows: &[ReminderRow]) -> Result<()> {
        self.ask(self.inner.stores.reminders.remove(rows)).await
    }

    async fn contains(&self, row: &ReminderRow) -> Result<bool> {
        self.ask(self.inner.stores.reminders.contains(row)).await
    }

    async fn due(
        &self,
        entity_type: &str,
        until: Timestamp,
        after: Option<&ReminderRow>,
        row_count_max: usize,
    ) -> Result<Vec<ReminderRow>> {
        let store = &self.inner.stores.reminders;
        self.ask(store.due(entity_type, until, after, row_count_max)).await
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
