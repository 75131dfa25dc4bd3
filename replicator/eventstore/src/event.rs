//! Events and positions, as a user of the store sees them.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use uuid::Uuid;

/// The name of the stream of all events.
pub const ALL: &str = "$all";

/// A position in the log of the whole store. Ordered; the numbers have no other meaning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The position of the commit.
    pub commit: u64,
    /// The position of the event's own record; equal to `commit` on servers without transactions.
    pub prepare: u64,
}

/// The state that an append or a delete expects of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedRevision {
    /// Any state. The server recognises a repeated append by its event ids for as long as it
    /// remembers them, which is not guaranteed.
    Any,
    /// The stream has no event, or was deleted but not tombstoned.
    NoStream,
    /// The stream has an event.
    StreamExists,
    /// The last event of the stream has this number. A repeated append is always recognised.
    Exact(u64),
}

/// An event to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The id, which tells a repeated append from a new one.
    pub id: Uuid,
    /// The type; must not be empty.
    pub event_type: Arc<str>,
    /// True when `data` is marked as JSON. Neither the store nor the client checks it.
    pub is_json: bool,
    /// The payload, kept byte by byte.
    pub data: Bytes,
    /// The metadata, kept byte by byte.
    pub metadata: Bytes,
}

impl NewEvent {
    /// An event with JSON in `data` and a new random id.
    pub fn json(event_type: impl Into<Arc<str>>, data: impl Into<Bytes>) -> Self {
        Self {
            id: Uuid::new_v4(),
            event_type: event_type.into(),
            is_json: true,
            data: data.into(),
            metadata: Bytes::new(),
        }
    }

    /// An event with arbitrary bytes in `data` and a new random id.
    pub fn binary(event_type: impl Into<Arc<str>>, data: impl Into<Bytes>) -> Self {
        Self { is_json: false, ..Self::json(event_type, data) }
    }

    /// The same event with this id.
    #[must_use]
    pub fn with_id(self, id: Uuid) -> Self {
        Self { id, ..self }
    }

    /// The same event with this metadata.
    #[must_use]
    pub fn with_metadata(self, metadata: impl Into<Bytes>) -> Self {
        Self { metadata: metadata.into(), ..self }
    }
}

/// The outcome of an append, if the server reported one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOutcome {
    /// The events are in the store, now or since an earlier attempt.
    Written {
        /// The number of the last event of this append.
        next_revision: u64,
        /// The position in the log; none when the server does not report it, as for a repeated
        /// append of events that are deleted or truncated since.
        position: Option<Position>,
    },
    /// Nothing was written.
    WrongExpectedRevision {
        /// The number of the last event; none when the stream has none.
        current: Option<u64>,
    },
}

/// An event of a stream as recorded by the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    /// The id given by the writer.
    pub id: Uuid,
    /// The stream to which it was appended.
    pub stream: Arc<str>,
    /// The number in the stream, from zero.
    pub revision: u64,
    /// The type.
    pub event_type: Arc<str>,
    /// True when the store marks `data` as JSON.
    pub is_json: bool,
    /// The payload.
    pub data: Bytes,
    /// The metadata.
    pub metadata: Bytes,
    /// The time at which the store wrote it, exact to 100 ns.
    pub created: SystemTime,
    /// The position in the log. Both numbers are `u64::MAX` if the server does not report it.
    pub position: Position,
}

/// An event of a read: the event itself, or the target of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedEvent {
    /// The event; none when the target of the link is gone.
    pub event: Option<RecordedEvent>,
    /// The link through which it was read.
    pub link: Option<RecordedEvent>,
    /// The reader's position in the log; none if the server does not report it.
    pub commit_position: Option<u64>,
}

impl ResolvedEvent {
    /// The entry of the stream that was read: the link if there is one, else the event.
    pub fn original(&self) -> Option<&RecordedEvent> {
        self.link.as_ref().or(self.event.as_ref())
    }
}
