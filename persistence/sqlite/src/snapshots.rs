//! Snapshots: one row each, the record in bincode behind a format byte.

use antiphon_persistence::Result;
use antiphon_persistence::codec::CodecId;
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{Snapshot, SnapshotStore};
use async_trait::async_trait;
use rusqlite::{OptionalExtension, params};

use crate::record_error::Unread;
use crate::stores::SqliteStores;

/// The first byte of a record: bincode of [`Snapshot`], first form.
const FORMAT: u8 = 1;

#[async_trait]
impl SnapshotStore for SqliteStores {
    async fn save_snapshot(&self, id: &PersistenceId, snapshot: &Snapshot) -> Result<()> {
        let mut record = vec![FORMAT];
        record.extend(CodecId::Bincode.encode(snapshot)?);
        let (id, sequence_nr) = (id.as_str().to_owned(), number(snapshot.sequence_nr));
        self.writer()?
            .run(move |connection| {
                connection
                    .prepare_cached("INSERT OR REPLACE INTO snapshots VALUES (?1, ?2, ?3)")?
                    .execute(params![id, sequence_nr, record])?;
                Ok(())
            })
            .await
    }

    async fn latest_snapshot(
        &self,
        id: &PersistenceId,
        last: SequenceNr,
    ) -> Result<Option<Snapshot>> {
        let (name, last) = (id.as_str().to_owned(), number(last));
        self.read("reading a snapshot", move |transaction| {
            let record: Option<(i64, Vec<u8>)> = transaction
                .prepare_cached(
                    "SELECT sequence_nr, snapshot FROM snapshots
                     WHERE persistence_id = ?1 AND sequence_nr <= ?2 ORDER BY sequence_nr DESC LIMIT 1",
                )?
                .query_row(params![name, last], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((sequence_nr, record)) = record else { return Ok(None) };
            decode(&record).map(Some).map_err(|why| {
                Unread::Row(format!("snapshot {sequence_nr} of `{name}` is unreadable: {why}"))
            })
        })
        .await
    }

    async fn delete_snapshots_to(&self, id: &PersistenceId, last: SequenceNr) -> Result<()> {
        let (id, last) = (id.as_str().to_owned(), number(last));
        self.writer()?
            .run(move |connection| {
                connection
                    .prepare_cached(
                        "DELETE FROM snapshots WHERE persistence_id = ?1 AND sequence_nr <= ?2",
                    )?
                    .execute(params![id, last])?;
                Ok(())
            })
            .await
    }
}

fn decode(record: &[u8]) -> std::result::Result<Snapshot, String> {
    match record.split_first() {
        Some((&FORMAT, rest)) => CodecId::Bincode.decode(rest).map_err(|error| error.to_string()),
        Some((format, _)) => Err(format!("expected format {FORMAT}, actual {format}")),
        None => Err("it is empty".into()),
    }
}

fn number(sequence_nr: SequenceNr) -> i64 {
    i64::try_from(sequence_nr.value()).unwrap_or(i64::MAX)
}
