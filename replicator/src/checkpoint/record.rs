//! The form of positions and events in a stored checkpoint.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::source::{Anchor, Position};

/// A position; `{"stream":{"revision":7}}`, say.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) enum Place {
    Stream { revision: u64 },
    All { commit: u64, prepare: u64 },
    Journal { offset: String },
}

impl From<&Position> for Place {
    fn from(position: &Position) -> Self {
        match position {
            Position::Stream(revision) => Self::Stream { revision: *revision },
            Position::All { commit, prepare } => Self::All { commit: *commit, prepare: *prepare },
            Position::Journal(offset) => Self::Journal { offset: offset.clone() },
        }
    }
}

impl From<Place> for Position {
    fn from(place: Place) -> Self {
        match place {
            Place::Stream { revision } => Self::Stream(revision),
            Place::All { commit, prepare } => Self::All { commit, prepare },
            Place::Journal { offset } => Self::Journal(offset),
        }
    }
}

/// The last event before a position.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct EventRecord {
    stream: String,
    revision: u64,
    id: Uuid,
    at: Place,
}

impl From<&Anchor> for EventRecord {
    fn from(anchor: &Anchor) -> Self {
        let (stream, at) = (anchor.stream.to_string(), Place::from(&anchor.position));
        Self { stream, revision: anchor.revision, id: anchor.id, at }
    }
}

impl From<EventRecord> for Anchor {
    fn from(record: EventRecord) -> Self {
        let (stream, position) = (record.stream.into(), record.at.into());
        Self { stream, revision: record.revision, id: record.id, position }
    }
}
