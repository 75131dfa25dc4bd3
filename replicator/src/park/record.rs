//! A parked event as a line of JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::{Duration, UNIX_EPOCH};
use uuid::Uuid;

use crate::event::{Envelope, Event};
use crate::journal_event::micros;
use crate::{Error, Result};

/// A parked event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedEvent {
    /// The reason for parking.
    pub reason: String,
    /// The time of parking, in microseconds since 1970.
    pub parked_at: u64,
    /// The event's stream at the source.
    pub stream: String,
    /// The event's number in that stream.
    pub revision: u64,
    /// The event's id.
    pub event_id: Uuid,
    /// The event's type.
    pub event_type: String,
    /// True when the source marks the payload as JSON.
    pub is_json: bool,
    /// The payload in base64.
    pub data: String,
    /// The metadata in base64.
    pub metadata: String,
    /// The time at which the source stored the event, in microseconds since 1970.
    pub created: u64,
    /// The number of the link through which the event was read. None when it was read from its own
    /// stream.
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

    /// Decodes the record into the event.
    ///
    /// # Errors
    /// `Corrupt` when the payload or the metadata is not base64.
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
