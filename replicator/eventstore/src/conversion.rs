//! Conversions between the messages of the wire and the types of this crate, for a client and for
//! a server.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::event::{self, ExpectedRevision, Position, ResolvedEvent};
use crate::wire::expected_stream::Expected;
use crate::wire::uuid::{Form, Structured};
use crate::wire::{self, Empty, ExpectedStream, NewEvent, RecordedEvent, StreamName, Uuid};

const CONTENT_JSON: &str = "application/json";
const CONTENT_BINARY: &str = "application/octet-stream";
const TICKS_PER_SECOND: u64 = 10_000_000;

/// The content type of a payload on the wire.
pub fn content_type(is_json: bool) -> &'static str {
    if is_json { CONTENT_JSON } else { CONTENT_BINARY }
}

impl From<uuid::Uuid> for Uuid {
    fn from(id: uuid::Uuid) -> Self {
        let (high, low) = id.as_u64_pair();
        let structured = Structured { high: high.cast_signed(), low: low.cast_signed() };
        Self { form: Some(Form::Structured(structured)) }
    }
}

impl Uuid {
    /// The id in either form of the wire; none when it is missing or invalid.
    pub fn id(&self) -> Option<uuid::Uuid> {
        match self.form.as_ref()? {
            Form::Structured(Structured { high, low }) => {
                Some(uuid::Uuid::from_u64_pair(high.cast_unsigned(), low.cast_unsigned()))
            }
            Form::Text(text) => uuid::Uuid::parse_str(text).ok(),
        }
    }
}

impl From<&str> for StreamName {
    fn from(name: &str) -> Self {
        Self { name: Bytes::copy_from_slice(name.as_bytes()) }
    }
}

impl From<Position> for wire::Position {
    fn from(Position { commit, prepare }: Position) -> Self {
        Self { commit, prepare }
    }
}

impl From<wire::Position> for Position {
    fn from(wire::Position { commit, prepare }: wire::Position) -> Self {
        Self { commit, prepare }
    }
}

impl From<ExpectedRevision> for Expected {
    fn from(expected: ExpectedRevision) -> Self {
        match expected {
            ExpectedRevision::Any => Self::Any(Empty {}),
            ExpectedRevision::NoStream => Self::NoStream(Empty {}),
            ExpectedRevision::StreamExists => Self::StreamExists(Empty {}),
            ExpectedRevision::Exact(revision) => Self::Revision(revision),
        }
    }
}

impl From<Expected> for ExpectedRevision {
    fn from(expected: Expected) -> Self {
        match expected {
            Expected::Any(_) => Self::Any,
            Expected::NoStream(_) => Self::NoStream,
            Expected::StreamExists(_) => Self::StreamExists,
            Expected::Revision(revision) => Self::Exact(revision),
        }
    }
}

impl ExpectedStream {
    /// A stream and the state that a write expects of it.
    pub fn new(stream: &str, expected: ExpectedRevision) -> Self {
        Self { stream: Some(stream.into()), expected: Some(expected.into()), deadline: None }
    }
}

impl From<event::NewEvent> for NewEvent {
    fn from(event: event::NewEvent) -> Self {
        Self {
            id: Some(event.id.into()),
            system: [("type", &*event.event_type), ("content-type", content_type(event.is_json))]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            metadata: event.metadata,
            data: event.data,
        }
    }
}

impl RecordedEvent {
    fn read(self) -> Result<event::RecordedEvent> {
        let revision = self.revision;
        let name = self.stream.map(|stream| stream.name).unwrap_or_default();
        let stream = std::str::from_utf8(&name)
            .map_err(|error| Error::corrupt("a stream's name is no UTF-8").with_source(error))?;
        let lacks = |field: &str| {
            Error::corrupt(format!("event {revision} of stream `{stream}` has no valid `{field}`"))
        };
        let system = |field: &str| self.system.get(field).map(String::as_str);
        let id = self.id.and_then(|id| id.id()).ok_or_else(|| lacks("id"))?;
        let created = system("created").and_then(|text| text.parse().ok()).and_then(from_ticks);
        Ok(event::RecordedEvent {
            id,
            stream: stream.into(),
            revision,
            created: created.ok_or_else(|| lacks("metadata.created"))?,
            event_type: system("type").ok_or_else(|| lacks("metadata.type"))?.into(),
            is_json: system("content-type") == Some(CONTENT_JSON),
            position: Position { commit: self.commit_position, prepare: self.prepare_position },
            data: self.data,
            metadata: self.metadata,
        })
    }
}

/// The event of an answer, with its link.
pub(crate) fn resolved(
    event: Option<RecordedEvent>,
    link: Option<RecordedEvent>,
    commit_position: Option<u64>,
) -> Result<ResolvedEvent> {
    let event = event.map(RecordedEvent::read).transpose()?;
    let link = link.map(RecordedEvent::read).transpose()?;
    Ok(ResolvedEvent { event, link, commit_position })
}

/// The time `ticks` after 1970, in units of 100 ns.
fn from_ticks(ticks: u64) -> Option<SystemTime> {
    let nanos = (ticks % TICKS_PER_SECOND) * 100;
    let since = Duration::new(ticks / TICKS_PER_SECOND, u32::try_from(nanos).ok()?);
    UNIX_EPOCH.checked_add(since)
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
        let id = uuid::Uuid::new_v4();
        assert_eq!(Uuid::from(id).id(), Some(id));
        let text = |text: String| Uuid { form: Some(Form::Text(text)) };
        assert_eq!(text(id.to_string()).id(), Some(id));
        assert_eq!(text("no id".to_owned()).id(), None);
    }

    #[test]
    fn an_event_without_a_created_time_is_corrupt_not_a_panic() {
        let event = RecordedEvent {
            id: Some(uuid::Uuid::new_v4().into()),
            stream: Some("a".into()),
            revision: 3,
            ..Default::default()
        };
        let error = event.read().unwrap_err();
        assert_eq!(error.message(), "event 3 of stream `a` has no valid `metadata.created`");
    }
}
