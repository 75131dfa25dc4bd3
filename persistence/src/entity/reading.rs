//! Reads events and states of today's kinds and versions only.
//!
//! bincode has no names, so an event of another version is often read without an error, as another
//! value. So an event counts only if today's code would store it under the same kind and version,
//! or, with CBOR and JSON, under a higher version.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::codec::{CodecId, STATE_BYTES_MAX};
use crate::entity::EventType;
use crate::event::Payload;
use crate::{Error, Result};

/// The source of the error for an event or a snapshot whose kind or version the entity does not
/// know. A newer release may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVersion {
    /// The stored kind.
    pub manifest: String,
    /// The stored version.
    pub version: u16,
}

impl fmt::Display for UnknownVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { manifest, version } = self;
        write!(f, "manifest {manifest:?}, version {version} is not known")
    }
}

impl std::error::Error for UnknownVersion {}

impl UnknownVersion {
    fn of(payload: &Payload) -> Self {
        Self { manifest: payload.manifest.to_string(), version: payload.version }
    }
}

/// An event of today; `event_type` is the kind under which today's code stores an event.
///
/// # Errors
/// `Corrupt`, from [`UnknownVersion`] when the event is not of today.
pub(super) fn event<T: DeserializeOwned>(
    payload: &Payload,
    event_type: impl FnOnce(&T) -> EventType,
) -> Result<T> {
    let codec = CodecId::from_stored(payload.codec)?;
    let event = codec.decode(&payload.bytes)?;
    let EventType { manifest, version } = event_type(&event);
    let is_older = payload.version < version && codec != CodecId::Bincode;
    if manifest == payload.manifest && (version == payload.version || is_older) {
        return Ok(event);
    }
    Err(Error::corrupt(format!(
        "expected manifest {manifest:?}, version {version}, actual {:?}, {}: carry it forward in `from_journal`, or run the release that knows it",
        payload.manifest, payload.version
    ))
    .with_source(UnknownVersion::of(payload)))
}

/// A state of today, whose version is `expected`.
///
/// # Errors
/// `Corrupt`, from [`UnknownVersion`] when the state is not of today.
pub(super) fn state<T: DeserializeOwned>(payload: &Payload, expected: u16) -> Result<T> {
    if payload.version != expected {
        return Err(Error::corrupt(format!(
            "expected snapshot version {expected}, actual {}: carry it forward in `from_snapshot`, or run the release that knows it",
            payload.version
        ))
        .with_source(UnknownVersion::of(payload)));
    }
    CodecId::from_stored(payload.codec)?.decode_within(&payload.bytes, STATE_BYTES_MAX)
}
