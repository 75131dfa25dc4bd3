//! The events of one stream that wait, in order, and the lane that it belongs to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;
use xxhash_rust::xxh64::xxh64;

use super::{Seq, WriteId};
use crate::event::Envelope;

/// An event that is not done.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) seq: Seq,
    pub(super) envelope: Envelope,
    pub(super) arrived: Instant,
    /// When the source delivered it last.
    pub(super) delivered: Instant,
    /// How often it failed, for whatever reason.
    pub(super) attempts: u32,
    /// How often the sink refused it for now.
    pub(super) refusals: u32,
    pub(super) failed_since: Option<Instant>,
    /// Handed back to the source, until when it must have come again.
    pub(super) awaited_until: Option<Instant>,
}

impl Item {
    pub(super) fn is_same_event(&self, envelope: &Envelope) -> bool {
        self.envelope.event.revision == envelope.event.revision
            && self.envelope.event.stream == envelope.event.stream
    }
}

/// Why a stream does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Block {
    /// Its first event failed and waits for its next try.
    Retry,
    /// Its first event was handed back and has to come again.
    Redelivery,
}

#[derive(Debug)]
pub(super) struct StreamQueue {
    pub(super) lane: usize,
    pub(super) waiting: VecDeque<Item>,
    pub(super) writing: Option<WriteId>,
    pub(super) blocked: Option<(Block, Instant)>,
    /// Under which number it stands in its lane's ready list.
    pub(super) ready: Option<Seq>,
}

impl StreamQueue {
    pub(super) fn in_lane(lane: usize) -> Self {
        Self { lane, waiting: VecDeque::new(), writing: None, blocked: None, ready: None }
    }

    /// Whether an event with this number can already be here: it cannot when it is newer than the newest.
    pub(super) fn can_hold(&self, envelope: &Envelope) -> bool {
        self.writing.is_some()
            || self.waiting.back().is_some_and(|last| {
                last.envelope.event.stream != envelope.event.stream
                    || last.envelope.event.revision >= envelope.event.revision
            })
    }

    /// Where an event belongs: before the first later event of its stream, else at the end.
    pub(super) fn place_of(&self, envelope: &Envelope) -> usize {
        let event = &envelope.event;
        let is_later = |item: &Item| {
            item.envelope.event.stream == event.stream
                && item.envelope.event.revision > event.revision
        };
        match self.waiting.back() {
            Some(last) if is_later(last) => {}
            Some(_) | None => return self.waiting.len(),
        }
        self.waiting.iter().position(is_later).unwrap_or(self.waiting.len())
    }

    /// Where an event that was written in vain belongs: before everything but what is earlier in its stream and came meanwhile.
    pub(super) fn front_place_of(&self, envelope: &Envelope) -> usize {
        let is_earlier = |other: &&Item| {
            other.envelope.event.stream == envelope.event.stream
                && other.envelope.event.revision < envelope.event.revision
        };
        self.waiting.iter().take_while(is_earlier).count()
    }
}

/// The streams of one lane that can be written now, by the arrival of their first waiting event.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) ready: BTreeMap<Seq, Arc<str>>,
    pub(super) writes: usize,
    /// Streams that wait for the next try of their first event. One that waits for the source is not counted: it may take long.
    pub(super) blocked: usize,
}

/// The stream by which an event is ordered: what belongs to a stream (its metadata stream) goes with it.
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
