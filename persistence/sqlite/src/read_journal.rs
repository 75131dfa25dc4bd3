//! [`ReadJournal`] of the file: the change feed, and the list of streams.

use antiphon_base::Result;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{ChangesPage, ChangesQuery, ReadJournal};
use async_trait::async_trait;

use crate::record_error::Unread;
use crate::stores::SqliteStores;
use crate::stream_names::{check_names, checked_name};

#[async_trait]
impl ReadJournal for SqliteStores {
    async fn changes(&self, query: &ChangesQuery) -> Result<ChangesPage> {
        self.inner.feed.changes(query).await
    }

    async fn persistence_ids(
        &self,
        entity_type: &str,
        after: Option<&PersistenceId>,
        count_max: usize,
    ) -> Result<Vec<PersistenceId>> {
        let first = format!("{entity_type}|");
        let after = after.map_or(first.clone(), ToString::to_string);
        // the character after the separator ends the range of the type
        let end = format!("{entity_type}}}");
        let count_max = i64::try_from(count_max).unwrap_or(i64::MAX);
        self.read("listing streams", move |transaction| {
            let mut statement = transaction.prepare_cached(
                "SELECT persistence_id, hash FROM streams
                 WHERE persistence_id > ?1 AND persistence_id >= ?2 AND persistence_id < ?3
                 ORDER BY persistence_id LIMIT ?4",
            )?;
            let mut rows = statement.query((after, first, end, count_max))?;
            let mut ids = Vec::new();
            while let Some(row) = rows.next()? {
                let text = checked_name(row.get(0)?, row.get(1)?)?;
                ids.push(PersistenceId::parse(&text).map_err(Unread::Other)?);
            }
            if i64::try_from(ids.len()).is_ok_and(|count| count < count_max) {
                // the list ends here, and a stream with a damaged name would be missing in it
                check_names(transaction)?;
            }
            Ok(ids)
        })
        .await
    }
}
