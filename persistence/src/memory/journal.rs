//! [`Journal`] in memory: each call is one critical section.

use async_trait::async_trait;

use super::MemoryStores;
use crate::Result;
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::PersistenceId;
use crate::store::{Append, Journal, ReplayPage, WriterId};

#[async_trait]
impl Journal for MemoryStores {
    async fn open_writer(&self, writer: &WriterId) -> Result<()> {
        self.lock().journal.open_writer(writer)
    }

    async fn append(&self, writer: &WriterId, append: Append) -> Result<()> {
        append.check()?;
        append.check_size(&self.limits())?;
        let (id, count) = (append.persistence_id.clone(), append.events.len() as u64);
        let state = &mut *self.lock();
        let appended = state.journal.append(writer, append)?;
        state.feed.push(id, appended.first, appended.last, appended.mark);
        state.counts.appends += 1;
        state.counts.events += count;
        Ok(())
    }

    async fn seal(&self, writer: &WriterId) -> Result<()> {
        self.lock().journal.seal(writer);
        Ok(())
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
        let state = self.lock_to_read();
        let highest = Some(state.journal.highest(persistence_id));
        let stream = state.journal.streams.get(persistence_id.as_str());
        let events = stream.map(|stream| stream.range(first, last).take(event_count_max).cloned());
        Ok(ReplayPage { events: events.into_iter().flatten().collect(), highest })
    }

    async fn highest(&self, persistence_id: &PersistenceId) -> Result<SequenceNr> {
        Ok(self.lock_to_read().journal.highest(persistence_id))
    }

    async fn delete_to(&self, persistence_id: &PersistenceId, last: SequenceNr) -> Result<()> {
        let state = &mut *self.lock();
        if let Some(stream) = state.journal.streams.get_mut(persistence_id.as_str()) {
            stream.delete_to(last);
            state.feed.delete_to(persistence_id, stream.deleted_to);
        }
        Ok(())
    }
}
