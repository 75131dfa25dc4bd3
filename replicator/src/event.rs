//! The event that travels through the replicator: its content at the source, and its position
//! there.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use uuid::Uuid;

use crate::position::{Position, Token};

/// The number of a tombstone: the largest one.
const TOMBSTONE: u64 = i64::MAX.unsigned_abs();

/// An event of a stream, exactly as the source holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The id given by the writer; kept at the destination.
    pub id: Uuid,
    /// The stream to which the event was appended, never the stream of a link to it.
    pub stream: Arc<str>,
    /// The number in `stream`, from zero.
    pub revision: u64,
    /// The event type.
    pub event_type: Arc<str>,
    /// True when the source calls `data` JSON. Kept at the destination; says nothing about whether
    /// `data` parses.
    pub is_json: bool,
    /// The payload; may be empty.
    pub data: Bytes,
    /// The metadata; may be empty.
    pub metadata: Bytes,
    /// Time at which the source stored the event, as exactly as the source says.
    pub created: SystemTime,
}

impl Event {
    /// Bytes of the event in a buffer: payload, metadata, type, and 64 for the rest.
    pub fn size(&self) -> usize {
        self.data.len() + self.metadata.len() + self.event_type.len() + 64
    }

    /// Returns whether the event holds the metadata of a stream.
    pub fn is_stream_metadata(&self) -> bool {
        &*self.event_type == "$metadata" && self.stream.starts_with("$$")
    }

    /// Returns whether the event ends its stream for ever. Users can write events of the same type,
    /// but not at the number that only a tombstone has.
    pub fn is_tombstone(&self) -> bool {
        &*self.event_type == "$streamDeleted" && self.revision == TOMBSTONE
    }

    /// Returns whether a subscription through links may leave the event out of its stream: a link,
    /// or a type that begins with `$`.
    pub fn has_system_type(&self) -> bool {
        self.event_type.starts_with('$')
    }
}

#[cfg(test)]
impl Event {
    /// An event for a test; its id is its number.
    pub(crate) fn example(stream: &str, revision: u64, data: &str) -> Self {
        Self {
            id: Uuid::from_u128(revision.into()),
            stream: stream.into(),
            revision,
            event_type: "Created".into(),
            is_json: true,
            data: Bytes::copy_from_slice(data.as_bytes()),
            metadata: Bytes::new(),
            created: SystemTime::UNIX_EPOCH,
        }
    }
}

/// The link event through which an event was reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// The stream of the link: `$ce-customer`, say.
    pub stream: Arc<str>,
    /// The number of the link in `stream`.
    pub revision: u64,
}

/// An event on its way from a source to a sink. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// The event itself.
    pub event: Event,
    /// The stream of the event at the source, before any rename.
    pub source_stream: Arc<str>,
    /// The link to the event, when the event was read through one.
    pub link: Option<Link>,
    /// Position from which the source goes on when everything up to this event is done; none when
    /// the source has no such position (a group keeps its own; a page of a journal has one at its
    /// end only).
    pub position: Option<Position>,
    /// Earlier deliveries of the event, as the source counts.
    pub retry_count: u32,
    /// The token that settles the event at the source; none where the source keeps no account.
    pub token: Option<Token>,
}

impl Envelope {
    /// An event that was read directly, for the first time, from a source that keeps no account.
    pub fn of(event: Event) -> Self {
        let source_stream = event.stream.clone();
        Self { event, source_stream, link: None, position: None, retry_count: 0, token: None }
    }

    /// The number in the subscribed stream: the link's, or the event's own.
    pub fn current_revision(&self) -> u64 {
        self.link.as_ref().map_or(self.event.revision, |link| link.revision)
    }
}
