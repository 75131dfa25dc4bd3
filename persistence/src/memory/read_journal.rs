//! [`ReadJournal`] in memory.

use std::ops::Bound;

use async_trait::async_trait;

use super::MemoryStores;
use crate::Result;
use crate::identity::PersistenceId;
use crate::store::{ChangesPage, ChangesQuery, FeedPage, ReadJournal, Room};
use crate::version::VersionVector;

#[async_trait]
impl ReadJournal for MemoryStores {
    async fn changes(&self, query: &ChangesQuery) -> Result<ChangesPage> {
        let state = &*self.lock_to_read();
        let after = state.feed.ordinal(&query.after)?;
        let mut page = FeedPage::new(query);
        let mut through = state.feed.last;
        for (ordinal, entry) in state.feed.after(after) {
            let stream = &state.journal.streams[entry.persistence_id.as_str()];
            if !query.wants(&stream.id) {
                continue;
            }
            let id = &entry.persistence_id;
            let mut seen = VersionVector::new();
            for event in stream.range(entry.first, entry.last) {
                seen.merge(&event.meta.version);
            }
            if page.add(id, || id.clone(), entry.last, &seen) == Room::Full {
                through = ordinal - 1;
                break;
            }
        }
        // a position of a lost history is not the position of ordinal zero
        let stays = through == after && after > 0;
        let through = if stays { query.after.clone() } else { state.feed.offset(through) };
        Ok(page.finish(through, false))
    }

    async fn persistence_ids(
        &self,
        entity_type: &str,
        after: Option<&PersistenceId>,
        count_max: usize,
    ) -> Result<Vec<PersistenceId>> {
        let state = self.lock_to_read();
        let prefix = format!("{entity_type}|");
        let after = after.map_or(&*prefix, |id| id.as_str()).max(&*prefix);
        let streams = &state.journal.streams;
        let range = streams.range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        Ok(range
            .take_while(|(text, _)| text.starts_with(&prefix))
            .map(|(_, stream)| stream.persistence_id.clone())
            .take(count_max)
            .collect())
    }
}
