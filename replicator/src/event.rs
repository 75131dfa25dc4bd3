//! What travels through the replicator: an event as its source holds it, and where it stands there.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use uuid::Uuid;

use crate::source::{Position, Token};

/// An event of a stream, exactly as the source holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The id that the writer gave it; kept at the destination.
    pub id: Uuid,
    /// The stream that it was appended to, never the one that a link to it stands in.
    pub stream: Arc<str>,
    /// Its number in `stream`, from zero.
    pub revision: u64,
    /// Its type.
    pub event_type: Arc<str>,
    /// Whether the source calls `data` JSON. Kept at the destination; says nothing about whether it parses.
    pub is_json: bool,
    /// The payload; may be empty.
    pub data: Bytes,
    /// The metadata; may be empty.
    pub metadata: Bytes,
    /// When the source stored it, as exactly as the source says.
    pub created: SystemTime,
}

impl Event {
    /// Bytes that it takes in a buffer: payload, metadata and a bit for the rest.
    pub fn size(&self) -> usize {
        self.data.len() + self.metadata.len() + self.event_type.len() + 64
    }
}

/// The link event through which an event was reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// The stream that the link stands in: `$ce-customer`, say.
    pub stream: Arc<str>,
    /// The link's number in it.
    pub revision: u64,
}

/// An event on its way from a source to a sink. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// The event itself.
    pub event: Event,
    /// The link to it, when it was read through one.
    pub link: Option<Link>,
    /// Where the source goes on when everything up to this event is done; none when the source has no such position
    /// (a group keeps its own; a page of a journal has one at its end only).
    pub position: Option<Position>,
    /// How often the source has delivered it before, as the source counts.
    pub retry_count: u32,
    /// What settles it at the source; none where the source keeps no account.
    pub token: Option<Token>,
}

impl Envelope {
    /// The number in the subscribed stream: the link's, or the event's own.
    pub fn current_revision(&self) -> u64 {
        self.link.as_ref().map_or(self.event.revision, |link| link.revision)
    }
}
