//! The waiting events of one stream, in order.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;
use xxhash_rust::xxh64::xxh64;

use super::{Seq, WriteId};
use crate::event::Envelope;

/// An event in progress.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) seq: Seq,
    pub(super) envelope: Envelope,
    pub(super) arrived: Instant,
    /// Time of the last delivery by the source.
    pub(super) delivered: Instant,
    /// Number of failed tries, for any reason.
    pub(super) attempts: u32,
    /// Number of times the sink refused the event for now.
    pub(super) refusals: u32,
    pub(super) failed_since: Option<Instant>,
    /// Deadline for the redelivery of an event that was handed back to the source.
    pub(super) awaited_until: Option<Instant>,
}

impl Item {
    pub(super) fn is_same_event(&self, envelope: &Envelope) -> bool {
        self.envelope.event.revision == envelope.event.revision
            && self.envelope.event.stream == envelope.event.stream
    }
}

/// The reason for which a stream does not continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    /// The first event failed and waits for its next try.
    Retry,
    /// The first event was handed back and must be delivered again.
    Redelivery,
}

#[derive(Debug)]
pub(super) struct StreamQueue {
    pub(super) lane: usize,
    pub(super) waiting: VecDeque<Item>,
    pub(super) writing: Option<WriteId>,
    pub(super) blocked: Option<(Block, Instant)>,
    /// The stream's key in the ready list of its lane.
    pub(super) ready: Option<Seq>,
}

impl StreamQueue {
    pub(super) fn in_lane(lane: usize) -> Self {
        Self { lane, waiting: VecDeque::new(), writing: None, blocked: None, ready: None }
    }

    /// True when an event with this number can be held already. False when it is newer than the
    /// newest event.
    pub(super) fn can_hold(&self, envelope: &Envelope) -> bool {
        self.writing.is_some()
            || self.waiting.back().is_some_and(|last| {
                last.envelope.event.stream != envelope.event.stream
                    || last.envelope.event.revision >= envelope.event.revision
            })
    }

    /// Index at which to insert an event: before the first later event of its stream, else at the
    /// end.
    pub(super) fn place_of(&self, envelope: &Envelope) -> usize {
        let event = &envelope.event;
        let is_later = |item: &Item| {
            item.envelope.event.stream == event.stream
                && item.envelope.event.revision > event.revision
        };
        // metadata of the stream waits in the same queue, so the last item alone says nothing then
        let last = self.waiting.back();
        if last.is_some_and(|last| last.envelope.event.stream == event.stream && !is_later(last)) {
            return self.waiting.len();
        }
        self.waiting.iter().position(is_later).unwrap_or(self.waiting.len())
    }

    /// Index at which to put back an event after a failed write: at the front, but behind earlier
    /// events of its stream that arrived meanwhile.
    pub(super) fn front_place_of(&self, envelope: &Envelope) -> usize {
        let event = &envelope.event;
        let is_earlier = |item: &Item| {
            item.envelope.event.stream == event.stream
                && item.envelope.event.revision < event.revision
        };
        let first = self.waiting.front().map(|first| &first.envelope.event);
        if first
            .is_some_and(|first| first.stream == event.stream && first.revision > event.revision)
        {
            return 0;
        }
        self.waiting.iter().rposition(is_earlier).map_or(0, |last| last + 1)
    }
}

/// The stream by which an event is ordered. A metadata stream is ordered with the stream that it
/// describes.
pub(super) fn key_of(envelope: &Envelope) -> Arc<str> {
    match envelope.event.stream.strip_prefix("$$") {
        Some(stream) => stream.into(),
        None => envelope.event.stream.clone(),
    }
}

pub(super) fn lane_of(key: &str, lane_count: usize) -> usize {
    let count = u64::try_from(lane_count).unwrap_or(u64::MAX);
    usize::try_from(xxh64(key.as_bytes(), 0) % count).expect("below the lane count")
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::{Clock, SystemClock};

    use super::*;
    use crate::event::Event;

    fn envelope(stream: &str, revision: u64) -> Envelope {
        Envelope::of(Event::example(stream, revision, ""))
    }

    fn waiting(events: &[(&str, u64)]) -> StreamQueue {
        let mut queue = StreamQueue::in_lane(0);
        let now = SystemClock.now();
        queue.waiting.extend(events.iter().map(|(stream, revision)| Item {
            seq: Seq(0),
            envelope: envelope(stream, *revision),
            arrived: now,
            delivered: now,
            attempts: 0,
            refusals: 0,
            failed_since: None,
            awaited_until: None,
        }));
        queue
    }

    #[test]
    fn a_late_event_goes_before_later_ones_also_where_metadata_waits_between_them() {
        let queue = waiting(&[("a", 5), ("$$a", 1)]);
        assert_eq!(queue.place_of(&envelope("a", 3)), 0);
        assert_eq!(queue.place_of(&envelope("a", 6)), 2);
        assert_eq!(queue.place_of(&envelope("$$a", 2)), 2);
    }

    #[test]
    fn a_failed_event_goes_back_behind_earlier_ones_that_arrived_meanwhile() {
        assert_eq!(waiting(&[("a", 4)]).front_place_of(&envelope("a", 3)), 0);
        let queue = waiting(&[("$$a", 1), ("a", 1), ("a", 4)]);
        assert_eq!(queue.front_place_of(&envelope("a", 3)), 2);
        assert_eq!(queue.front_place_of(&envelope("$$a", 0)), 0);
    }
}
