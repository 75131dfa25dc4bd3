//! The rules that an append or a deletion must pass. They are those of EventStoreDB's index writer:
//!
//! - a stream with a tombstone takes nothing, and its metadata only if it had some before: the
//!   index writer remembers the number of a stream that it has written, and looks no further;
//! - a stream that is expected to exist must not be deleted;
//! - the expected number is the last one: accepted, for any ids;
//! - the expected number is older: a repeated append if each event from there on has the same id,
//!   else wrong, except that a deleted stream counts as no stream;
//! - any number is expected: a repeated append if all ids are remembered for this stream, accepted
//!   if the first one is not, else wrong.

use antiphon_eventstore::ExpectedRevision;
use uuid::Uuid;

use super::append::Store;
use super::entry::{Body, StreamId};

/// The verdict on a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Accepted,
    /// The events are there, the last of them with this number.
    Repeated {
        last: u64,
    },
    Wrong,
    Tombstoned,
}

impl Store {
    /// Judges a write of events with these ids; a deletion is one with a new id.
    pub(super) fn judge(
        &self,
        stream: StreamId,
        expected: ExpectedRevision,
        ids: &[Uuid],
    ) -> Verdict {
        let judged = self.log().stream(stream);
        if judged.tombstoned || (judged.last().is_none() && self.log().is_dead(&judged.name)) {
            return Verdict::Tombstoned;
        }
        match expected {
            ExpectedRevision::StreamExists if judged.limits.deleted() => Verdict::Tombstoned,
            ExpectedRevision::StreamExists if !self.exists(stream) => Verdict::Wrong,
            ExpectedRevision::Any | ExpectedRevision::StreamExists => self.at_any(stream, ids),
            ExpectedRevision::NoStream => self.at(stream, 0, ids, true),
            ExpectedRevision::Exact(revision) => {
                self.at(stream, revision.saturating_add(1), ids, false)
            }
        }
    }

    /// Judges events that are to begin at number `next`.
    fn at(&self, stream: StreamId, next: u64, ids: &[Uuid], expects_none: bool) -> Verdict {
        let length = self.log().stream(stream).last().map_or(0, |last| last + 1);
        if next >= length {
            return if next == length { Verdict::Accepted } else { Verdict::Wrong };
        }
        let is_none = expects_none && self.log().stream(stream).limits.deleted();
        let same =
            ids.iter().zip(next..).take_while(|(id, at)| self.id_at(stream, *at) == Some(**id));
        match same.count() {
            0 if is_none => Verdict::Accepted,
            0 => Verdict::Wrong,
            count if count == ids.len() => {
                Verdict::Repeated { last: (next + count as u64).saturating_sub(1) }
            }
            _ => Verdict::Wrong,
        }
    }

    /// Judges events at any number. If the first id is remembered and another is not, a part would
    /// be written twice.
    fn at_any(&self, stream: StreamId, ids: &[Uuid]) -> Verdict {
        let mut last = None;
        for id in ids {
            match (self.remembered_at(id), last) {
                (Some((at, revision)), _) if at == stream => last = Some(revision),
                (_, None) => return Verdict::Accepted,
                (_, Some(_)) => return Verdict::Wrong,
            }
        }
        last.map_or(Verdict::Accepted, |last| Verdict::Repeated { last })
    }

    /// Returns true when a stream has events or metadata.
    fn exists(&self, stream: StreamId) -> bool {
        let stream = self.log().stream(stream);
        stream.last().is_some() || self.is_described(&stream.name)
    }

    /// Returns true when a stream has metadata.
    pub(super) fn is_described(&self, name: &str) -> bool {
        let metadata = self.log().named(&format!("$${name}"));
        metadata.is_some_and(|metadata| metadata.last().is_some())
    }

    fn id_at(&self, stream: StreamId, revision: u64) -> Option<Uuid> {
        let place = self.log().stream(stream).places.get(usize::try_from(revision).ok()?)?;
        match &self.log().entries[*place].body {
            Body::Event(event) => Some(event.id),
            Body::Link(_) => None,
        }
    }
}
