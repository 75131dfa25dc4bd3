//! The scan: a reader of the change feed whose parts of the log are gone reads the streams
//! themselves, then the lanes from their positions at the start of the scan.

use antiphon_base::Result;
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::{PersistenceId, ReplicationId};
use antiphon_persistence::store::{Change, ChangesPage, ChangesQuery, Journal, ReadJournal};
use antiphon_persistence::version::VersionVector;

use super::position::Position;
use crate::stats::count;
use crate::stores::CassandraStores;

/// Streams in one page of a scan.
const SCAN_MAX: usize = 32;

impl CassandraStores {
    /// Starts a scan of the streams themselves. The reader misses nothing, and receives again the
    /// changes that it knew already.
    pub(super) async fn begin_scan(&self, query: &ChangesQuery) -> Result<ChangesPage> {
        let shared = &self.inner.shared;
        count(&shared.counters.feed_restarts, 1);
        tracing::warn!(
            entity_type = %query.entity_type,
            replica = %query.replica,
            "a reader of the change feed needs parts of the log that are gone: it reads the streams instead"
        );
        let mut position = Position::scanning();
        for (lane, end) in shared.view.ends() {
            position.set(&lane, end, 0);
        }
        self.scan(query, position).await
    }

    pub(super) async fn scan(
        &self,
        query: &ChangesQuery,
        mut position: Position,
    ) -> Result<ChangesPage> {
        let after = position.scan.clone().unwrap_or_default();
        let after = if after.is_empty() { None } else { Some(PersistenceId::parse(&after)?) };
        let limit = SCAN_MAX.min(query.count_max());
        let ids = self.persistence_ids(&query.entity_type, after.as_ref(), limit).await?;
        let mut changes = Vec::new();
        for id in &ids {
            if query.wants(&ReplicationId::parse(id.as_str())?) {
                changes.extend(self.whole_stream(id).await?);
            }
        }
        position.scan = match ids.last() {
            Some(last) if ids.len() == limit => Some(last.as_str().to_owned()),
            Some(_) | None => None,
        };
        Ok(ChangesPage { changes, through: position.offset()?, more: true })
    }

    async fn whole_stream(&self, id: &PersistenceId) -> Result<Option<Change>> {
        let (mut highest, mut seen) = (SequenceNr::ZERO, VersionVector::new());
        loop {
            let events = self.replay(id, highest.next(), SequenceNr::MAX, 1000).await?;
            let Some(last) = events.last() else { break };
            // deleted events are skipped, so the first event may have a later sequence nr
            highest = last.sequence_nr;
            for event in &events {
                seen.merge(&event.meta.version);
            }
        }
        let change = Change { persistence_id: id.clone(), highest, seen };
        Ok((highest > SequenceNr::ZERO).then_some(change))
    }
}
