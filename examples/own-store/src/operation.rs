//! One change of a place, as it stands in the log.

use std::sync::Arc;

use antiphon::persistence::event::{SequenceNr, StoredEvent};
use antiphon::persistence::identity::PersistenceId;
use antiphon::persistence::memory::MemoryStores;
use antiphon::persistence::store::{
    Append, Coordination, FencingToken, Journal, Offset, OffsetKey, OffsetStore, ReminderRow,
    ReminderStore, RowVersion, Snapshot, SnapshotStore, WriterId,
};
use antiphon::prelude::*;
use bytes::Bytes;
use futures::FutureExt;
use serde::{Deserialize, Serialize};

/// A change that took effect. The same changes in the same order give the same place.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Operation {
    OpenWriter(WriterId),
    Seal(WriterId),
    Append(WriterId, PersistenceId, SequenceNr, Vec<StoredEvent>),
    DeleteEvents(PersistenceId, SequenceNr),
    SaveSnapshot(PersistenceId, Snapshot),
    DeleteSnapshots(PersistenceId, SequenceNr),
    SaveOffset(OffsetKey, Offset),
    CompareAndSet(Arc<str>, Arc<str>, Option<RowVersion>, Option<Bytes>),
    RaiseToken(Arc<str>, FencingToken),
    PutFenced(Arc<str>, FencingToken, Vec<(Arc<str>, Option<Bytes>)>),
    PutReminders(Vec<ReminderRow>),
    RemoveReminders(Vec<ReminderRow>),
}

impl Operation {
    /// Makes the change again in memory.
    ///
    /// # Errors
    /// The errors of the stores: the log is then not the log of these stores.
    pub(crate) fn apply(self, place: &MemoryStores) -> Result<()> {
        match self {
            Self::OpenWriter(writer) => now(place.open_writer(&writer)),
            Self::Seal(writer) => now(place.seal(&writer)),
            Self::Append(writer, persistence_id, expected, events) => {
                now(place.append(&writer, Append { persistence_id, expected, events }))
            }
            Self::DeleteEvents(id, last) => now(place.delete_to(&id, last)),
            Self::SaveSnapshot(id, snapshot) => now(place.save_snapshot(&id, &snapshot)),
            Self::DeleteSnapshots(id, last) => now(place.delete_snapshots_to(&id, last)),
            Self::SaveOffset(key, offset) => now(place.save_offset(&key, &offset)),
            Self::CompareAndSet(table, key, expected, value) => {
                now(place.compare_and_set(&table, &key, expected, value)).map(drop)
            }
            Self::RaiseToken(table, token) => now(place.raise_token(&table, token)).map(drop),
            Self::PutFenced(table, token, rows) => {
                now(place.put_fenced(&table, token, &rows)).map(drop)
            }
            Self::PutReminders(rows) => now(place.put(&rows)),
            Self::RemoveReminders(rows) => now(place.remove(&rows)),
        }
    }
}

/// The value of a future of the stores in memory, which never wait.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("stores in memory answer at once")
}
