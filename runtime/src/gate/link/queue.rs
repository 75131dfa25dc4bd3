//! The messages that wait to be sent to one node, in two queues: urgent messages overtake the
//! others, so that a probe does not wait behind megabytes of events.
//!
//! Order within a queue is kept. A service is in one queue, so its messages never overtake each
//! other. The exception: a message of an urgent service that does not fit into one record goes to
//! the normal queue.

use std::collections::VecDeque;

use super::record::{
    FRAME_HEADER_BYTES, Message, MessageKind, Part, RECORD_HEADER_BYTES, write_record,
};
use crate::gate::settings::GateSettings;
use crate::transport::SendError;

/// Size that a frame is filled up to. It is well below the limit of the transport, so that a
/// message behind a long one need not wait until the whole long message is copied through the
/// layers below.
const FRAME_BYTES_TARGET: usize = 64 * 1024;
/// Limit of the payload bytes in one record.
const PART_BYTES_MAX: usize = FRAME_BYTES_TARGET - FRAME_HEADER_BYTES - RECORD_HEADER_BYTES;

/// Room for urgent messages beyond the limits of the queue, in messages and bytes: a queue full of
/// an application's messages must not keep the probes of the members from being sent.
const URGENT_RESERVE: (usize, usize) = (1024, 1024 * 1024);

#[derive(Debug, Default)]
pub(super) struct Queue {
    urgent: VecDeque<Message>,
    normal: VecDeque<Message>,
    bytes: usize,
    /// Number of bytes of the first normal message that were sent as parts.
    sent_of_first: usize,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.normal.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.urgent.len() + self.normal.len()
    }

    /// The memory that the messages take, with that many bytes for each beside its own.
    pub(super) fn cost(&self, overhead_bytes: usize) -> usize {
        self.bytes + self.len() * overhead_bytes
    }

    pub(super) fn push(
        &mut self,
        message: Message,
        settings: &GateSettings,
    ) -> Result<(), SendError> {
        let size = message.payload.len();
        if size > settings.message_bytes_max {
            return Err(SendError::TooLarge {
                actual: size,
                limit: settings.message_bytes_max,
                setting: "message_bytes_max".into(),
            });
        }
        let is_urgent = message.service.is_urgent() && size <= PART_BYTES_MAX;
        let reserve = if is_urgent { URGENT_RESERVE } else { (0, 0) };
        if self.bytes + size > settings.queue_bytes_max + reserve.1 {
            return Err(SendError::Full(format!("`queue_bytes_max` {}", settings.queue_bytes_max)));
        }
        if self.len() >= settings.queue_messages_max + reserve.0 {
            let limit = settings.queue_messages_max;
            return Err(SendError::Full(format!("`queue_messages_max` {limit}")));
        }
        self.bytes += size;
        if is_urgent {
            self.urgent.push_back(message);
        } else {
            self.normal.push_back(message);
        }
        Ok(())
    }

    pub(super) fn has_urgent(&self) -> bool {
        !self.urgent.is_empty()
    }

    /// Fills a frame that has its header only. At least one message must wait.
    pub(super) fn fill(&mut self, frame: &mut Vec<u8>, urgent_only: bool) {
        loop {
            let room = FRAME_BYTES_TARGET.saturating_sub(frame.len() + RECORD_HEADER_BYTES);
            let urgent = self.has_urgent();
            if urgent_only && !urgent {
                return;
            }
            let queue = if urgent { &mut self.urgent } else { &mut self.normal };
            let Some(first) = queue.front() else { return };
            let sent = if urgent { 0 } else { self.sent_of_first };
            let left = first.payload.len() - sent;
            if left > room && (left <= PART_BYTES_MAX || room < PART_BYTES_MAX / 4) {
                return;
            }
            if left > room {
                write_record(frame, first, Part::More, &first.payload[sent..sent + room]);
                self.sent_of_first += room;
                return;
            }
            let part = if sent > 0 { Part::Last } else { Part::Whole };
            write_record(frame, first, part, &first.payload[sent..]);
            self.bytes -= first.payload.len();
            queue.pop_front();
            if !urgent {
                self.sent_of_first = 0;
            }
        }
    }

    /// Makes a partly sent message go again from its start: the other node forgets the parts that
    /// it had.
    pub(super) fn rewind(&mut self) {
        self.sent_of_first = 0;
    }

    /// The correlations of the asks that wait.
    pub(super) fn asks(&self) -> Vec<u64> {
        let is_ask = |message: &&Message| message.kind == MessageKind::Ask;
        self.urgent.iter().chain(&self.normal).filter(is_ask).map(|ask| ask.correlation).collect()
    }

    /// Forgets all messages. Returns their number.
    pub(super) fn clear(&mut self) -> usize {
        let count = self.len();
        *self = Self::default();
        count
    }

    pub(super) fn check(&self) {
        let bytes =
            |queue: &VecDeque<Message>| queue.iter().map(|m| m.payload.len()).sum::<usize>();
        if self.len() < 64 {
            assert_eq!(self.bytes, bytes(&self.urgent) + bytes(&self.normal), "queued bytes");
        }
        assert!(
            self.normal.front().map_or(0, |first| first.payload.len()) >= self.sent_of_first,
            "more sent of the first message than it has"
        );
    }
}
