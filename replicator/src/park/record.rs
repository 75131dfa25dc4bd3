//! A parked event, as a line of JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::{Duration, UNIX_EPOCH};
use uuid::Uuid;

use crate::event::{Envelope, Event};
use crate::journal_event::micros;
use crate::{Error, Result};

/// An event that was put aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedEvent {
    /// Why.
    pub reason: String,
    /// When, in microseconds since 1970.
    pub parked_at: u64,
    /// Its stream at the source.
    pub stream: String,
    /// Its number there.
    pub revision: u64,
    /// Its id.
    pub event_id: Uuid,
    /// Its type.
    pub event_type: String,
    /// Whether the source calls it JSON.
    pub is_json: bool,
    /// Its payload in base64.
    pub data: String,
    /// Its metadata in base64.
    pub metadata: String,
    /// When the source stored it, in microseconds since 1970.
    pub created: u64,
    /// The number of the link through which it was read; none when it was read from its stream.
    pub link: Option<u64>,
}

impl ParkedEvent {
    /// The record of an event.
    pub fn new(envelope: &Envelope, reason: &str, parked_at: u64) -> Self {
        let event = &envelope.event;
        Self {
            reason: reason.to_owned(),
            parked_at,
            stream: event.stream.to_string(),
            revision: event.revision,
            event_id: event.id,
            event_type: event.event_type.to_string(),
            is_json: event.is_json,
            data: STANDARD.encode(&event.data),
            metadata: STANDARD.encode(&event.metadata),
            created: micros(event.created),
            link: envelope.link.as_ref().map(|link| link.revision),
        }
    }

    /// The event.
    ///
    /// # Errors
    /// `Corrupt` when payload or metadata are no base64.
    pub fn to_event(&self) -> Result<Event> {
        let decode = |field: &str, text: &str| {
            STANDARD.decode(text).map(Bytes::from).map_err(|error| {
                let (revision, stream) = (self.revision, &self.stream);
                Error::corrupt(format!(
                    "parked event #{revision} of `{stream}`: `{field}`: expected base64: {error}"
                ))
                .with_source(error)
            })
        };
        Ok(Event {
            id: self.event_id,
            stream: self.stream.as_str().into(),
            revision: self.revision,
            event_type: self.event_type.as_str().into(),
            is_json: self.is_json,
            data: decode("data", &self.data)?,
            metadata: decode("metadata", &self.metadata)?,
            created: UNIX_EPOCH + Duration::from_micros(self.created),
        })
    }
}
