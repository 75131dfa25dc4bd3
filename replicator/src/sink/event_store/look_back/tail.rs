//! The known ends of the destination's streams.

use std::sync::Arc;

use lru::LruCache;
use uuid::Uuid;

use crate::event::Envelope;

/// The known ends of the destination's streams. The stream that was written least recently is
/// forgotten first, and read again at its next write.
pub(super) struct Tails {
    by_stream: LruCache<Arc<str>, Tail>,
    /// The weights of all tails; at most `weight_max`.
    weight: usize,
    weight_max: usize,
}

/// The end of one stream.
pub(super) struct Tail {
    /// The number of the last event, visible or hidden.
    pub(super) last: Option<u64>,
    /// The last ids, oldest first.
    pub(super) ids: LruCache<Uuid, ()>,
    /// True while an event that is not among these ids may be there all the same: before the oldest
    /// one of them, hidden or too far back.
    pub(super) hides: bool,
    /// The stream of the source that was asked, and its number up to which the destination has its
    /// events; none when this is not known.
    pub(super) through: Option<(Arc<str>, Option<u64>)>,
    /// Whether the newest event has its number of the source; none when this run has not written
    /// it.
    pub(super) keeps_numbers: Option<bool>,
}

impl Tail {
    /// A tail with the newest events of a stream, newest first.
    pub(super) fn new(last: Option<u64>, found: Vec<(u64, Uuid)>, count_max: u64) -> Self {
        let hides = found.last().map_or(last.is_some(), |(first, _)| *first > 0);
        let mut tail =
            Self { last, ids: LruCache::unbounded(), hides, through: None, keeps_numbers: None };
        found.into_iter().rev().for_each(|(_, id)| tail.push(id, count_max));
        tail
    }

    /// Returns whether the destination is known to have the event, visible or hidden.
    pub(super) fn has(&self, envelope: &Envelope) -> bool {
        let last = self.through.as_ref().filter(|(of, _)| *of == envelope.source_stream);
        let is_through = last
            .and_then(|(_, last)| *last)
            .is_some_and(|last| may_be_hidden(envelope) && envelope.event.revision <= last);
        self.ids.contains(&envelope.event.id) || is_through
    }

    /// The size of the tail: its ids, and one for itself, since a stream may show none.
    fn weight(&self) -> usize {
        1 + self.ids.len()
    }

    /// The id of the newest event that is visible.
    pub(super) fn newest(&self) -> Option<Uuid> {
        self.ids.iter().next().map(|(id, ())| *id)
    }

    pub(super) fn push(&mut self, id: Uuid, count_max: u64) {
        self.ids.put(id, ());
        if u64::try_from(self.ids.len()).is_ok_and(|count| count > count_max) {
            self.ids.pop_lru();
        }
    }
}

/// Returns false for an event that comes out of its order, because it was parked, or because its
/// group delivers it again: it may be missing before later ones of its stream.
pub(super) fn may_be_hidden(envelope: &Envelope) -> bool {
    envelope.token.is_none() && envelope.retry_count == 0
}

impl Tails {
    /// No tails yet, and room for as many ids and streams together.
    pub(super) fn new(weight_max: usize) -> Self {
        // bounded by the weight
        Self { by_stream: LruCache::unbounded(), weight: 0, weight_max }
    }

    pub(super) fn take(&mut self, stream: &str) -> Option<Tail> {
        let tail = self.by_stream.pop(stream)?;
        self.weight -= tail.weight();
        Some(tail)
    }

    pub(super) fn get(&self, stream: &str) -> Option<&Tail> {
        self.by_stream.peek(stream)
    }

    pub(super) fn put(&mut self, stream: Arc<str>, tail: Tail) {
        self.take(&stream);
        self.weight += tail.weight();
        self.by_stream.put(stream, tail);
        while self.weight > self.weight_max
            && let Some((_, forgotten)) = self.by_stream.pop_lru()
        {
            self.weight -= forgotten.weight();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_that_show_no_event_are_forgotten_too() {
        let mut tails = Tails::new(10);
        for number in 0..100 {
            tails.put(format!("hidden-{number}").into(), Tail::new(Some(7), Vec::new(), 10));
        }
        assert_eq!(tails.by_stream.len(), 10);
        assert!(tails.get("hidden-99").is_some() && tails.get("hidden-0").is_none());
    }
}
