//! The rules of streams and writers.
//!
//! Invariants: a stream's events are numbered `deleted_to + 1 ..= highest` without holes; the
//! highest number never sinks; a sealed writer stays sealed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::event::{SequenceNr, StoredEvent};
use crate::identity::{PersistenceId, ReplicationId};
use crate::store::{Append, WriterId};
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

    /// Adds events to the end.
    fn extend(&mut self, events: Vec<StoredEvent>) {
        let first = events.first().map(|event| event.sequence_nr);
        assert_eq!(first, Some(self.highest.next()), "the events of an append follow the stream");
        self.highest = self.highest.plus(events.len() as u64);
        self.events.extend(events);
        self.check();
    }

    /// Deletes the events up to and including `last`.
    pub(super) fn delete_to(&mut self, last: SequenceNr) {
        while self.events.front().is_some_and(|event| event.sequence_nr <= last) {
            self.events.pop_front();
        }
        self.deleted_to = self.deleted_to.max(last.min(self.highest));
        self.check();
    }

    /// Asserts the invariants, from the ends of the stream alone.
    fn check(&self) {
        assert!(self.deleted_to <= self.highest, "deleted beyond the end of the stream");
        let left = self.highest.value() - self.deleted_to.value();
        assert_eq!(self.events.len() as u64, left, "events are missing between the ends");
        if let (Some(first), Some(last)) = (self.events.front(), self.events.back()) {
            assert_eq!(first.sequence_nr, self.deleted_to.next(), "the first event that is left");
            assert_eq!(last.sequence_nr, self.highest, "the last event has the highest number");
        }
    }
}

/// The entry of an append in the change feed.
pub(super) struct Appended {
    pub(super) first: SequenceNr,
    pub(super) last: SequenceNr,
    pub(super) mark: u64,
}

impl JournalState {
    /// Registers a new writer.
    ///
    /// # Errors
    /// `Rejected` when it was opened before or is sealed.
    pub(super) fn open_writer(&mut self, writer: &WriterId) -> Result<()> {
        let problem = match self.writers.get(writer) {
            None => {
                self.writers.insert(writer.clone(), WriterState::Open);
                return Ok(());
            }
            Some(WriterState::Open) => "was opened before",
            Some(WriterState::Sealed) => "is sealed",
        };
        Err(Error::rejected(format!(
            "writer `{writer}` {problem}: expected a new name for each incarnation of a node"
        )))
    }

    /// Seals a writer, known or not.
    pub(super) fn seal(&mut self, writer: &WriterId) {
        self.writers.insert(writer.clone(), WriterState::Sealed);
    }

    /// Appends to a stream, if the writer is open and the stream ends where the append expects.
    ///
    /// # Errors
    /// `Fenced` or `Rejected`; nothing was stored.
    pub(super) fn append(&mut self, writer: &WriterId, append: Append) -> Result<Appended> {
        self.check_writer(writer)?;
        let highest = self.highest(&append.persistence_id);
        if highest != append.expected {
            return Err(Error::fenced(format!(
                "append to `{}`: expected highest number {}, actual {highest}",
                append.persistence_id, append.expected
            )));
        }
        let mark = mark(&append);
        let stream = match self.streams.get_mut(append.persistence_id.as_str()) {
            Some(stream) => stream,
            None => {
                let stream = Stream::new(&append.persistence_id)?;
                let key = Arc::from(append.persistence_id.as_str());
                self.streams.entry(key).or_insert(stream)
            }
        };
        stream.extend(append.events);
        Ok(Appended { first: highest.next(), last: stream.highest, mark })
    }

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

    /// The highest number ever appended to a stream; zero for an unknown one.
    pub(super) fn highest(&self, persistence_id: &PersistenceId) -> SequenceNr {
        self.streams.get(persistence_id.as_str()).map_or(SequenceNr::ZERO, |stream| stream.highest)
    }
}

/// A byte that no text has.
const LABEL_ENDS: u8 = 0xff;

/// FNV-1a over the persistence id, the expected number, and the origins, times, payloads and labels
/// of the events: cheap, and the same in each run.
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
        let labels = &event.meta.labels;
        for text in labels.metadata().iter().flat_map(|(key, value)| [key, value]) {
            add(text.as_bytes());
            add(&[LABEL_ENDS]);
        }
        for tag in labels.tags().iter() {
            add(&[LABEL_ENDS, LABEL_ENDS]);
            add(tag.as_bytes());
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_base::time::Timestamp;

    use crate::event::{EventMeta, Labels, Metadata, Payload, Tags};
    use crate::identity::ReplicaId;
    use crate::version::VersionVector;

    fn append(entry: Option<(&str, &str)>, tags: &[&str]) -> Append {
        let with = |(key, value)| Metadata::new().with(key, value).unwrap();
        let metadata = entry.map_or_else(Metadata::new, with);
        let meta = EventMeta {
            origin: ReplicaId::new("A").unwrap(),
            version: VersionVector::new(),
            source_seq: SequenceNr::new(1),
            concurrent: false,
            timestamp: Timestamp::from_micros(1),
            labels: Labels::new(metadata, tags.iter().copied().collect::<Tags>()).unwrap(),
        };
        let payload = Payload { codec: 1, manifest: "".into(), version: 1, bytes: "x".into() };
        Append {
            persistence_id: PersistenceId::parse("t|e|A").unwrap(),
            expected: SequenceNr::ZERO,
            events: vec![StoredEvent { sequence_nr: SequenceNr::new(1), meta, payload }],
        }
    }

    #[test]
    fn appends_that_differ_in_their_labels_alone_have_different_marks() {
        let appends = [
            append(None, &[]),
            append(Some(("k", "v")), &[]),
            append(Some(("kv", "")), &[]),
            append(Some(("k", "w")), &[]),
            append(None, &["k", "v"]),
            append(None, &["kv"]),
            append(Some(("k", "v")), &["k", "v"]),
        ];
        for (index, one) in appends.iter().enumerate() {
            assert_eq!(mark(one), mark(&one.clone()));
            assert!(appends[..index].iter().all(|other| mark(other) != mark(one)), "{one:?}");
        }
    }
}
