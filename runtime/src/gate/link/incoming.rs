//! The messages from one node: puts frames back into order, finds gaps, and puts parts together.
//!
//! Each frame belongs to a stream of the other node and has a dense number there. A higher stream
//! replaces the stream before; lower ones are stale. A frame that comes too early waits, within a
//! bound, for the frames before it.
//!
//! Early frames and the parts of a message that has not arrived whole are in the budget of the
//! other node. There is at most one such message, and its time is limited.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::budget::{Budget, Held};
use super::record::{Malformed, Message, Part, Record, read_record};
use crate::gate::settings::GateSettings;

/// Memory that a frame or a message takes beside its bytes.
pub(super) const OVERHEAD_BYTES: usize = 128;

/// The reason of a stream that brings more bytes than may wait.
pub(super) const RECEIVED_BYTES_MAX: &str = "received_bytes_max";

/// The fate of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The frame belongs to a stream that was replaced or refused, or came twice.
    Dropped(&'static str),
    /// The frame waits, or its records were taken.
    Taken,
    /// The stream cannot go on: something is missing, malformed or over a limit.
    Broken(&'static str),
}

/// A whole message, with the number of the frame that brought its end.
pub(super) type Arrived = (u64, Message);

#[derive(Debug)]
struct Unfinished {
    message: Message,
    payload: BytesMut,
    since: Instant,
}

#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) stream: u64,
    pub(super) next: u64,
    /// The stream was refused: the other node must start a higher one.
    pub(super) refused: bool,
    early: BTreeMap<u64, Bytes>,
    early_since: Option<Instant>,
    unfinished: Option<Unfinished>,
    held: Held,
    /// Frames and bytes that arrived since the last acknowledgement.
    pub(super) unreported_frames: usize,
    pub(super) unreported_bytes: usize,
}

impl Incoming {
    pub(super) fn new(budget: Arc<Budget>, settings: &GateSettings) -> Self {
        Self {
            stream: 0,
            next: 0,
            refused: false,
            early: BTreeMap::new(),
            early_since: None,
            unfinished: None,
            held: Held::new(budget, settings.received_peer_bytes_max),
            unreported_frames: 0,
            unreported_bytes: 0,
        }
    }

    /// Moves the share of the bytes that are kept to another budget.
    pub(super) fn move_to(&mut self, budget: Arc<Budget>) {
        self.held.move_to(budget);
    }

    /// Begins another stream of the other node.
    pub(super) fn begin(&mut self, stream: u64) {
        self.refuse();
        self.refused = false;
        self.stream = stream;
        self.next = 0;
        self.unreported_frames = 0;
        self.unreported_bytes = 0;
    }

    /// Gives the stream up until the other node begins another.
    pub(super) fn refuse(&mut self) {
        self.refused = true;
        self.early.clear();
        self.early_since = None;
        self.unfinished = None;
        self.held.clear();
    }

    pub(super) fn frame(
        &mut self,
        now: Instant,
        number: u64,
        records: Bytes,
        settings: &GateSettings,
        messages: &mut Vec<Arrived>,
    ) -> Arrival {
        if number < self.next || self.early.contains_key(&number) {
            return Arrival::Dropped("duplicate_frame");
        }
        if number > self.next {
            return self.wait(now, number, records, settings);
        }
        let mut ready = Some(records);
        while let Some(records) = ready {
            let number = self.next;
            self.next += 1;
            self.unreported_frames += 1;
            self.unreported_bytes += records.len();
            if let Err(reason) = self.records(now, number, records, settings, messages) {
                return Arrival::Broken(reason);
            }
            ready = self.early.remove(&self.next);
            if let Some(records) = &ready {
                self.held.shrink(records.len() + OVERHEAD_BYTES);
            }
        }
        self.early_since = if self.early.is_empty() { None } else { Some(now) };
        Arrival::Taken
    }

    fn wait(
        &mut self,
        now: Instant,
        number: u64,
        records: Bytes,
        settings: &GateSettings,
    ) -> Arrival {
        if self.early.len() >= settings.reorder_frames_max {
            return Arrival::Broken("reorder_frames_max");
        }
        if !self.held.grow(records.len() + OVERHEAD_BYTES) {
            return Arrival::Broken(RECEIVED_BYTES_MAX);
        }
        self.early.insert(number, records);
        self.early_since.get_or_insert(now);
        Arrival::Taken
    }

    /// The reason why the stream cannot go on, if so: a missing frame, or the rest of a message, is
    /// late.
    pub(super) fn overdue(&self, now: Instant, settings: &GateSettings) -> Option<&'static str> {
        let is_late = |since: Instant, limit| now.duration_since(since) >= limit;
        if self.early_since.is_some_and(|since| is_late(since, settings.gap_timeout)) {
            return Some("gap");
        }
        let since = self.unfinished.as_ref().map(|unfinished| unfinished.since);
        let is_overdue = since.is_some_and(|since| is_late(since, settings.unfinished_timeout));
        is_overdue.then_some("unfinished_timeout")
    }

    fn records(
        &mut self,
        now: Instant,
        number: u64,
        mut records: Bytes,
        settings: &GateSettings,
        messages: &mut Vec<Arrived>,
    ) -> Result<(), &'static str> {
        let next =
            |records: &mut Bytes| read_record(records).map_err(|Malformed| "malformed_frame");
        while let Some(Record { part, message }) = next(&mut records)? {
            if part == Part::Whole {
                messages.push((number, message));
                continue;
            }
            // the parts of one message follow each other: nothing else of its lane comes between
            let unfinished = self.unfinished.get_or_insert_with(|| Unfinished {
                message: Message { payload: Bytes::new(), ..message.clone() },
                payload: BytesMut::new(),
                since: now,
            });
            if !unfinished.message.is_continued_by(&message)
                || unfinished.payload.len() + message.payload.len() > settings.message_bytes_max
            {
                return Err("malformed_frame");
            }
            if !self.held.grow(message.payload.len()) {
                return Err(RECEIVED_BYTES_MAX);
            }
            unfinished.payload.extend_from_slice(&message.payload);
            if part == Part::Last {
                let Unfinished { message, payload, .. } =
                    self.unfinished.take().expect("inserted above");
                self.held.shrink(payload.len());
                messages.push((number, Message { payload: payload.freeze(), ..message }));
            }
        }
        Ok(())
    }

    pub(super) fn check(&self, settings: &GateSettings) {
        assert!(self.early.len() <= settings.reorder_frames_max, "too many early frames");
        assert!(
            self.early.first_key_value().is_none_or(|(first, _)| *first > self.next),
            "an early frame is not early"
        );
        let keeps_nothing = self.early.is_empty() && self.unfinished.is_none();
        assert!(!self.refused || keeps_nothing, "a refused stream keeps frames or parts");
    }
}
