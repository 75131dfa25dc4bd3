//! Events and positions, as a user of the store sees them.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::wire;

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

    pub(crate) fn into_wire(self) -> wire::NewEvent {
        let content = if self.is_json { CONTENT_JSON } else { CONTENT_BINARY };
        wire::NewEvent {
            id: Some(uuid_to_wire(self.id)),
            system: [("type", &*self.event_type), ("content-type", content)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            metadata: self.metadata,
            data: self.data,
        }
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
        /// append.
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

    pub(crate) fn from_wire(
        event: Option<wire::RecordedEvent>,
        link: Option<wire::RecordedEvent>,
        commit_position: Option<u64>,
    ) -> Result<Self> {
        Ok(Self {
            event: event.map(recorded).transpose()?,
            link: link.map(recorded).transpose()?,
            commit_position,
        })
    }
}

const CONTENT_JSON: &str = "application/json";
const CONTENT_BINARY: &str = "application/octet-stream";
const TICKS_PER_SECOND: u64 = 10_000_000;

fn recorded(event: wire::RecordedEvent) -> Result<RecordedEvent> {
    let revision = event.revision;
    let name = event.stream.map(|stream| stream.name).unwrap_or_default();
    let stream = std::str::from_utf8(&name)
        .map_err(|error| Error::corrupt("a stream's name is no UTF-8").with_source(error))?;
    let lacks = |field: &str| {
        Error::corrupt(format!("event {revision} of stream `{stream}` has no valid `{field}`"))
    };
    let system = |field: &str| event.system.get(field).map(String::as_str);
    let id = event.id.and_then(uuid_from_wire).ok_or_else(|| lacks("id"))?;
    let ticks: u64 = system("created")
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| lacks("metadata.created"))?;
    Ok(RecordedEvent {
        id,
        stream: stream.into(),
        revision,
        event_type: system("type").ok_or_else(|| lacks("metadata.type"))?.into(),
        is_json: system("content-type") == Some(CONTENT_JSON),
        created: from_ticks(ticks).ok_or_else(|| lacks("metadata.created"))?,
        position: Position { commit: event.commit_position, prepare: event.prepare_position },
        data: event.data,
        metadata: event.metadata,
    })
}

/// The time `ticks` after 1970, in units of 100 ns.
fn from_ticks(ticks: u64) -> Option<SystemTime> {
    let nanos = (ticks % TICKS_PER_SECOND) * 100;
    let since = Duration::new(ticks / TICKS_PER_SECOND, u32::try_from(nanos).ok()?);
    UNIX_EPOCH.checked_add(since)
}

pub(crate) fn uuid_to_wire(id: Uuid) -> wire::Uuid {
    let (high, low) = id.as_u64_pair();
    let structured = wire::uuid::Structured { high: high.cast_signed(), low: low.cast_signed() };
    wire::Uuid { form: Some(wire::uuid::Form::Structured(structured)) }
}

/// The id in either form of the wire; none when it is missing or invalid.
pub(crate) fn uuid_from_wire(id: wire::Uuid) -> Option<Uuid> {
    match id.form? {
        wire::uuid::Form::Structured(structured) => Some(Uuid::from_u64_pair(
            structured.high.cast_unsigned(),
            structured.low.cast_unsigned(),
        )),
        wire::uuid::Form::Text(text) => Uuid::parse_str(&text).ok(),
    }
}

pub(crate) fn stream_name(stream: &str) -> wire::StreamName {
    wire::StreamName { name: Bytes::copy_from_slice(stream.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_created_time_keeps_its_hundred_nanoseconds() {
        let created = from_ticks(17_630_000_001_234_567).unwrap();
        let since = created.duration_since(UNIX_EPOCH).unwrap();
        assert_eq!((since.as_secs(), since.subsec_nanos()), (1_763_000_000, 123_456_700));
    }

    #[test]
    fn an_id_survives_both_forms_of_the_wire() {
        let id = Uuid::new_v4();
        assert_eq!(uuid_from_wire(uuid_to_wire(id)), Some(id));
        let text = wire::Uuid { form: Some(wire::uuid::Form::Text(id.to_string())) };
        assert_eq!(uuid_from_wire(text), Some(id));
        let broken = wire::Uuid { form: Some(wire::uuid::Form::Text("no id".to_owned())) };
        assert_eq!(uuid_from_wire(broken), None);
    }

    #[test]
    fn an_event_without_a_created_time_is_corrupt_not_a_panic() {
        let event = wire::RecordedEvent {
            id: Some(uuid_to_wire(Uuid::new_v4())),
            stream: Some(stream_name("a")),
            revision: 3,
            ..Default::default()
        };
        let error = recorded(event).unwrap_err();
        assert_eq!(error.message(), "event 3 of stream `a` has no valid `metadata.created`");
    }
}
