//! [`Journal`] of the file: single streams.

use antiphon_base::{Error, Result};
use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{Append, Journal, Limits, ReplayPage, WriterId};
use async_trait::async_trait;

use crate::chain::{Range, batches, decode};
use crate::delete::delete;
use crate::head::{End, stream_end};
use crate::record_error::damaged;
use crate::stores::SqliteStores;
use crate::writer_row::{WriterState, damaged_writer, insert_writer, seal_writer, writer_state};

#[async_trait]
impl Journal for SqliteStores {
    async fn open_writer(&self, writer: &WriterId) -> Result<()> {
        let name = writer.as_str().to_owned();
        let before = self
            .writer()?
            .run(move |connection| {
                let before = writer_state(connection, &name)?;
                if before == WriterState::Unknown {
                    insert_writer(connection, &name)?;
                }
                Ok(before)
            })
            .await?;
        match before {
            WriterState::Unknown => Ok(()),
            WriterState::Open => {
                Err(Error::rejected(format!("writer `{writer}` was opened before: use a new name")))
            }
            WriterState::Sealed => {
                Err(Error::rejected(format!("writer `{writer}` is sealed: use a new name")))
            }
            WriterState::Damaged => {
                Err(damaged(&self.inner.path, "opening a writer", &damaged_writer(writer)))
            }
        }
    }

    fn limits(&self) -> Limits {
        Limits { append_bytes_max: self.inner.settings.append_bytes_max, ..Limits::default() }
    }

    async fn append(&self, writer: &WriterId, append: Append) -> Result<()> {
        append.check()?;
        let bytes = append.check_size(&self.limits())?;
        self.writer()?.append(writer, append, bytes).await
    }

    async fn seal(&self, writer: &WriterId) -> Result<()> {
        let name = writer.as_str().to_owned();
        self.writer()?.run(move |connection| seal_writer(connection, &name)).await
    }

    async fn replay(
        &self,
        persistence_id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<Vec<StoredEvent>> {
        Ok(self.replay_page(persistence_id, first, last, event_count_max).await?.events)
    }

    async fn replay_page(
        &self,
        persistence_id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<ReplayPage> {
        let id = persistence_id.clone();
        let bytes_max = self.inner.settings.replay_bytes_max;
        self.read("replaying", move |transaction| {
            let Some(end) = stream_end(transaction, &id)?.end()? else {
                return Ok(ReplayPage { events: Vec::new(), highest: Some(SequenceNr::ZERO) });
            };
            let events = match Range::new(first, last, event_count_max, end) {
                None => Vec::new(),
                Some(range) => {
                    let batches = batches(transaction, &id, end, range, bytes_max)?;
                    decode(&id, range, batches)?
                }
            };
            Ok(ReplayPage { events, highest: Some(end.highest_nr()) })
        })
        .await
    }

    async fn highest(&self, persistence_id: &PersistenceId) -> Result<SequenceNr> {
        let id = persistence_id.clone();
        let end = self.read("reading the highest", move |t| stream_end(t, &id)?.end()).await?;
        Ok(end.map_or(SequenceNr::ZERO, End::highest_nr))
    }

    async fn delete_to(&self, persistence_id: &PersistenceId, last: SequenceNr) -> Result<()> {
        let id = persistence_id.clone();
        self.writer()?
            .run_reading(move |connection| {
                let Some(end) = stream_end(connection, &id)?.end()? else { return Ok(()) };
                let last = i64::try_from(last.value()).unwrap_or(i64::MAX).min(end.highest);
                if last > end.deleted { delete(connection, &id, end, last) } else { Ok(()) }
            })
            .await
    }
}
