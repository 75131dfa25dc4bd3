//! Entries of the log, and the streams that point to them.

use std::sync::Arc;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_eventstore::NewEvent;

use super::metadata::Limits;

/// The index of a stream.
pub(super) type StreamId = usize;

/// An entry of the log.
pub(super) struct Entry {
    pub(super) stream: StreamId,
    pub(super) revision: u64,
    pub(super) created: u64,
    pub(super) body: Body,
}

pub(super) enum Body {
    Event(Box<NewEvent>),
    /// A link of a projection to another index of the log. Its event is created when it is read.
    Link(usize),
}

pub(super) struct Stream {
    pub(super) name: Arc<str>,
    /// Indexes in the log, by revision.
    pub(super) places: Vec<usize>,
    pub(super) limits: Limits,
    pub(super) tombstoned: bool,
    /// The stream of links to this stream, so that it is looked up only once.
    pub(super) category: Option<StreamId>,
}

impl Stream {
    pub(super) fn new(name: Arc<str>) -> Self {
        let limits = Limits::default();
        Self { name, places: Vec::new(), limits, tombstoned: false, category: None }
    }

    /// The number of the last event; none for an empty stream.
    pub(super) fn last(&self) -> Option<u64> {
        (self.places.len() as u64).checked_sub(1)
    }
}

/// The number of a tombstone.
pub(crate) const TOMBSTONE: u64 = i64::MAX as u64;

/// Distance between positions, so that clients do not rely on dense ones.
const STRIDE: u64 = 100;

/// The position on the wire of an index of the log.
pub(crate) fn position(index: usize) -> u64 {
    (index as u64 + 1) * STRIDE
}

/// The first index at or after a position.
pub(crate) fn place_at(position: u64) -> u64 {
    position.div_ceil(STRIDE).saturating_sub(1)
}

/// The first index after a position.
pub(crate) fn place_after(position: u64) -> u64 {
    position / STRIDE
}

/// The current time in ticks of 100 ns since 1970, as on the wire.
pub(crate) fn now_ticks() -> u64 {
    SystemClock.wall().as_micros() * 10
}
