//! Streams and writers in memory.
//!
//! Invariants: a stream's events are numbered `deleted_to + 1 ..= highest` without holes; a sealed
//! writer stays sealed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;

use super::MemoryStores;
use crate::event::{SequenceNr, StoredEvent};
use crate::identity::{PersistenceId, ReplicationId};
use crate::store::{Append, Journal, ReplayPage, WriterId};
use crate::{Error, Result};

#[derive(Debug, Clone, Default)]
pub(super) struct JournalState {
    writers: BTreeMap<WriterId, WriterState>,
    /// Streams by the text of the persistence id, so that the streams of a type are one range.
    pub(super) streams: BTreeMap<Arc<str>, Stream>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriterState {
    Open,
    Sealed,
}

#[derive(Debug, Clone)]
pub(super) struct Stream {
    pub(super) id: ReplicationId,
    pub(super) persistence_id: PersistenceId,
    pub(super) highest: SequenceNr,
    pub(super) deleted_to: SequenceNr,
    events: VecDeque<StoredEvent>,
}

impl Stream {
    fn new(persistence_id: &PersistenceId) -> Result<Self> {
        Ok(Self {
            id: ReplicationId::parse(persistence_id.as_str())?,
            persistence_id: persistence_id.clone(),
            highest: SequenceNr::ZERO,
            deleted_to: SequenceNr::ZERO,
            events: VecDeque::new(),
        })
    }

    /// The events `first..=last` that are not deleted.
    pub(super) fn range(
        &self,
        first: SequenceNr,
        last: SequenceNr,
    ) -> impl Iterator<Item = &StoredEvent> {
        let skipped = first.value().saturating_sub(self.deleted_to.value() + 1);
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        self.events.iter().skip(skipped).take_while(move |event| event.sequence_nr <= last)
    }

    fn delete_to(&mut self, last: SequenceNr) {
        while self.events.front().is_some_and(|event| event.sequence_nr <= last) {
            self.events.pop_front();
        }
        self.deleted_to = self.deleted_to.max(last.min(self.highest));
        let first_left = self.events.front().map_or(self.highest.next(), |event| event.sequence_nr);
        debug_assert_eq!(first_left, self.deleted_to.next());
    }
}

impl JournalState {
    fn check_writer(&self, writer: &WriterId) -> Result<()> {
        match self.writers.get(writer) {
            Some(WriterState::Open) => Ok(()),
            Some(WriterState::Sealed) => {
                Err(Error::fenced(format!("writer `{writer}` is sealed: its node was replaced")))
            }
            None => Err(Error::rejected(format!(
                "writer `{writer}` is not open: expected `open_writer` before the first append"
            ))),
        }
    }

    fn highest(&self, persistence_id: &PersistenceId) -> SequenceNr {
        self.streams.get(persistence_id.as_str()).map_or(SequenceNr::ZERO, |stream| stream.highest)
    }
}

/// FNV-1a over the persistence id, the expected number, and the origins, times and payloads of the
/// events: cheap, and the same in each run.
fn mark(append: &Append) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    add(append.persistence_id.as_str().as_bytes());
    add(&append.expected.value().to_le_bytes());
    for event in &append.events {
        add(event.meta.origin.as_str().as_bytes());
        add(&event.meta.timestamp.as_micros().to_le_bytes());
        add(&event.payload.bytes);
    }
    hash
}

#[async_trait]
impl Journal for MemoryStores {
    async fn open_writer(&self, writer: &WriterId) -> Result<()> {
        let writers = &mut self.lock().journal.writers;
        let problem = match writers.get(writer) {
            None => {
                writers.insert(writer.clone(), WriterState::Open);
                return Ok(());
            }
            Some(WriterState::Open) => "was opened before",
            Some(WriterState::Sealed) => "is sealed",
        };
        Err(Error::rejected(format!(
            "writer `{writer}` {problem}: expected a new name for each incarnation of a node"
        )))
    }

    async fn append(&self, writer: &WriterId, append: Append) -> Result<()> {
        append.check()?;
        append.check_size(&self.limits())?;
        let state = &mut *self.lock();
        state.journal.check_writer(writer)?;
        let highest = state.journal.highest(&append.persistence_id);
        if highest != append.expected {
            return Err(Error::fenced(format!(
                "append to `{}`: expected highest number {}, actual {highest}",
                append.persistence_id, append.expected
            )));
        }
        let count = append.events.len() as u64;
        let mark = mark(&append);
        let stream = match state.journal.streams.get_mut(append.persistence_id.as_str()) {
            Some(stream) => stream,
            None => {
                let stream = Stream::new(&append.persistence_id)?;
                let key = Arc::from(append.persistence_id.as_str());
                state.journal.streams.entry(key).or_insert(stream)
            }
        };
        stream.events.extend(append.events);
        stream.highest = highest.plus(count);
        state.feed.push(append.persistence_id, highest.next(), highest.plus(count), mark);
        state.counts.appends += 1;
        state.counts.events += count;
        Ok(())
    }

    async fn seal(&self, writer: &WriterId) -> Result<()> {
        self.lock().journal.writers.insert(writer.clone(), WriterState::Sealed);
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
