//! What has arrived from one peer: puts frames back into order, finds gaps, and puts parts together.
//!
//! Each frame belongs to a stream of the peer and has a dense number there. A higher stream replaces the one
//! before; lower ones are stale. A frame that comes too early waits, within a bound, for those before it.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::record::{Malformed, Message, Part, Record, read_record};
use crate::gate::GateSettings;

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It belongs to a stream that was replaced or refused, or came twice.
    Dropped(&'static str),
    /// It waits, or its records were taken.
    Taken,
    /// The stream cannot go on: something is missing or malformed.
    Broken(&'static str),
}

#[derive(Debug, Default)]
pub(super) struct Incoming {
    pub(super) stream: u64,
    pub(super) next: u64,
    /// The stream was refused: the peer must start a higher one.
    pub(super) refused: bool,
    early: BTreeMap<u64, Bytes>,
    early_since: Option<Instant>,
    reassembly: Option<(Message, BytesMut)>,
    /// Frames and bytes that arrived since the last acknowledgement.
    pub(super) unreported_frames: usize,
    pub(super) unreported_bytes: usize,
}

impl Incoming {
    /// Begins another stream of the peer.
    pub(super) fn begin(&mut self, stream: u64) {
        *self = Self { stream, ..Self::default() };
    }

    /// Gives the stream up until the peer begins another.
    pub(super) fn refuse(&mut self) {
        self.refused = true;
        self.early.clear();
        self.early_since = None;
        self.reassembly = None;
    }

    pub(super) fn frame(
        &mut self,
        now: Instant,
        number: u64,
        records: Bytes,
        settings: &GateSettings,
        messages: &mut Vec<Message>,
    ) -> Arrival {
        if number < self.next || self.early.contains_key(&number) {
            return Arrival::Dropped("duplicate_frame");
        }
        if number > self.next {
            self.early.insert(number, records);
            self.early_since.get_or_insert(now);
            if self.early.len() > settings.reorder_frames_max {
                return Arrival::Broken("reorder_frames_max");
            }
            return Arrival::Taken;
        }
        let mut ready = Some(records);
        while let Some(records) = ready {
            self.next += 1;
            self.unreported_frames += 1;
            self.unreported_bytes += records.len();
            if let Err(Malformed) = self.records(records, settings, messages) {
                return Arrival::Broken("malformed_frame");
            }
            ready = self.early.remove(&self.next);
        }
        self.early_since = if self.early.is_empty() { None } else { Some(now) };
        Arrival::Taken
    }

    /// Whether a missing frame has been waited for too long.
    pub(super) fn has_gap(&self, now: Instant, settings: &GateSettings) -> bool {
        self.early_since.is_some_and(|since| now.duration_since(since) >= settings.gap_timeout)
    }

    fn records(
        &mut self,
        mut records: Bytes,
        settings: &GateSettings,
        messages: &mut Vec<Message>,
    ) -> Result<(), Malformed> {
        while let Some(Record { part, message }) = read_record(&mut records)? {
            if part == Part::Whole {
                messages.push(message);
                continue;
            }
            let (_, payload) = self.reassembly.get_or_insert_with(|| {
                (Message { payload: Bytes::new(), ..message.clone() }, BytesMut::new())
            });
            if payload.len() + message.payload.len() > settings.message_bytes_max {
                return Err(Malformed);
            }
            payload.extend_from_slice(&message.payload);
            if part == Part::Last {
                let (whole, payload) = self.reassembly.take().expect("inserted above");
                messages.push(Message { payload: payload.freeze(), ..whole });
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
        assert!(!self.refused || self.early.is_empty(), "a refused stream keeps frames");
    }
}
