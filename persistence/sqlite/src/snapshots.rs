//! Snapshots, one row each. A read passes over damaged snapshots for the newest intact one.

use antiphon_base::{Error, Result};
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::record::snapshot;
use antiphon_persistence::store::{Journal, Snapshot, SnapshotStore};
use async_trait::async_trait;
use rusqlite::params;

use crate::stats::count;
use crate::stores::SqliteStores;

#[async_trait]
impl SnapshotStore for SqliteStores {
    async fn save_snapshot(&self, id: &PersistenceId, snapshot: &Snapshot) -> Result<()> {
        snapshot.check_size(id, &self.limits())?;
        let record = snapshot::encode(id, snapshot);
        // a number without a form in the file would be read back as another one
        let sequence_nr = i64::try_from(snapshot.sequence_nr.value()).map_err(|_| {
            Error::rejected(format!(
                "snapshot {} of `{id}`: expected a number of at most {}",
                snapshot.sequence_nr,
                i64::MAX
            ))
        })?;
        let id = id.as_str().to_owned();
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
        let counters = self.inner.counters.clone();
        self.read("reading a snapshot", move |transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT sequence_nr, snapshot FROM snapshots
                 WHERE persistence_id = ?1 AND sequence_nr <= ?2 ORDER BY sequence_nr DESC",
            )?;
            let mut rows = statement.query(params![name, last])?;
            while let Some(row) = rows.next()? {
                let (number, record): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
                let sequence_nr = SequenceNr::new(u64::try_from(number).unwrap_or(0));
                match snapshot::decode(&name, sequence_nr, &record.into()) {
                    Ok(snapshot) => {
                        assert_eq!(snapshot.sequence_nr, sequence_nr, "a snapshot of its row");
                        return Ok(Some(snapshot));
                    }
                    Err(why) => {
                        count(&counters.snapshots_damaged, 1);
                        tracing::error!(
                            "table `snapshots`, snapshot {number} of `{name}` is passed over for an older one, or the events: {why}"
                        );
                    }
                }
            }
            Ok(None)
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

/// The bound of a range of numbers: no stored number is above the largest one of the file.
fn number(sequence_nr: SequenceNr) -> i64 {
    i64::try_from(sequence_nr.value()).unwrap_or(i64::MAX)
}
