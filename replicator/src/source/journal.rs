//! An Antiphon journal as a source. The change feed lists the streams that changed; each is
//! replayed from the last delivered event.
//!
//! The position is the offset of the feed behind a page; it counts when every event of the page is
//! done. The last delivered number of a stream is kept in memory only. So after a restart each
//! stream that changes is read once from its first event, and the sink reports known events as
//! duplicates.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::{PersistenceId, ReplicaId, SliceRange};
use antiphon_persistence::store::{
    Change, ChangesQuery, DeferredStores, Journal, Offset, ReadJournal,
};
use async_trait::async_trait;

use super::catch_up::NoSettler;
use super::{Bookmark, Delivery, Opened, Position, Reader, Source};
use crate::event::Envelope;
use crate::journal_event;
use crate::{Error, ErrorKind, Result};

/// Settings of a journal source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSourceSettings {
    /// The type of the entities.
    pub entity_type: String,
    /// The replica whose streams are read; empty for entities without replicas.
    pub replica: ReplicaId,
    /// Pause before the feed is asked again when it has no new changes.
    pub poll_interval: Duration,
    /// Largest number of streams in one page of the feed.
    pub change_count_max: usize,
}

/// The entities of one type and replica in a journal.
pub struct JournalSource {
    stores: DeferredStores,
    settings: JournalSourceSettings,
}

impl JournalSource {
    /// Reads the journal of `stores`.
    pub fn new(stores: DeferredStores, settings: JournalSourceSettings) -> Self {
        Self { stores, settings }
    }
}

#[async_trait]
impl Source for JournalSource {
    async fn open(&self, position: Option<Bookmark>) -> Result<Opened> {
        let after = match position.map(|bookmark| bookmark.position) {
            None => Offset::start(),
            Some(Position::Journal(offset)) => Offset::new(offset),
            Some(position) => {
                return Err(Error::rejected(format!(
                    "checkpoint `{position}`: expected the offset of a journal"
                )));
            }
        };
        let stores = self.stores.get().await?;
        let reader = JournalReader {
            journal: stores.journal.clone(),
            read_journal: stores.read_journal.clone(),
            settings: self.settings.clone(),
            after,
            page: None,
            left_at: BTreeMap::new(),
            is_live: false,
        };
        Ok(Opened { reader: Box::new(reader), settler: Box::new(NoSettler), went_back: None })
    }

    async fn head(&self) -> Result<Option<Position>> {
        // a feed has no end that could be compared with a position
        Ok(None)
    }

    fn knows_head(&self) -> bool {
        false
    }

    fn settles(&self) -> bool {
        false
    }
}

struct Page {
    changes: VecDeque<Change>,
    through: Offset,
}

struct JournalReader {
    journal: Arc<dyn Journal>,
    read_journal: Arc<dyn ReadJournal>,
    settings: JournalSourceSettings,
    after: Offset,
    page: Option<Page>,
    /// The last delivered number of each stream.
    left_at: BTreeMap<PersistenceId, SequenceNr>,
    is_live: bool,
}

impl JournalReader {
    async fn next_page(&mut self) -> Result<Vec<Delivery>> {
        let query = ChangesQuery {
            entity_type: self.settings.entity_type.as_str().into(),
            replica: self.settings.replica.clone(),
            slices: SliceRange::ALL,
            after: self.after.clone(),
            change_count_max: self.settings.change_count_max,
        };
        let page = self.read_journal.changes(&query).await?;
        if !page.changes.is_empty() {
            self.page = Some(Page { changes: page.changes.into(), through: page.through });
            return Ok(Vec::new());
        }
        let has_moved = page.through != self.after;
        self.after = page.through;
        if has_moved {
            return Ok(vec![Delivery::Mark(Position::Journal(self.after.as_str().to_owned()))]);
        }
        if !page.more && !self.is_live {
            self.is_live = true;
            return Ok(vec![Delivery::CaughtUp]);
        }
        tokio::time::sleep(self.settings.poll_interval).await;
        Ok(Vec::new())
    }

    /// Events of the first changed stream of the page; the mark behind the page when the page is
    /// finished.
    async fn next_of_page(&mut self, count_max: usize) -> Result<Vec<Delivery>> {
        let Some(page) = &mut self.page else { return Ok(Vec::new()) };
        let Some(change) = page.changes.front() else {
            self.after = page.through.clone();
            self.page = None;
            return Ok(vec![Delivery::Mark(Position::Journal(self.after.as_str().to_owned()))]);
        };
        let (id, highest) = (change.persistence_id.clone(), change.highest);
        let left_at = self.left_at.get(&id).copied().unwrap_or_default();
        let events = if left_at >= highest {
            Vec::new()
        } else {
            self.journal.replay(&id, left_at.next(), highest, count_max).await?
        };
        let last = events.last().map_or(highest, |event| event.sequence_nr);
        self.left_at.insert(id.clone(), last.max(left_at));
        if last >= highest {
            page.changes.pop_front();
        }
        events
            .into_iter()
            .map(|stored| {
                let event = journal_event::to_event(&id, stored)?;
                Ok(Delivery::Event(Box::new(Envelope::of(event))))
            })
            .collect()
    }
}

/// Turns a timeout into `Unavailable`: a read changes nothing, so the source is opened again.
fn away(error: Error) -> Error {
    if error.kind() != ErrorKind::Timeout {
        return error;
    }
    Error::unavailable(error.to_string()).with_source(error)
}

#[async_trait]
impl Reader for JournalReader {
    async fn next(&mut self, count_max: usize) -> Result<Vec<Delivery>> {
        loop {
            let deliveries = match self.page {
                Some(_) => self.next_of_page(count_max).await,
                None => self.next_page().await,
            };
            let deliveries = deliveries.map_err(away)?;
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
        }
    }
}
