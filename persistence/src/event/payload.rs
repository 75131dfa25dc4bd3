//! An encoded event or snapshot.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Bytes, and what is needed to read them again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// Which codec wrote the bytes, by its stored number ([`crate::codec::CodecId`]).
    pub codec: u8,
    /// The kind of the event, chosen by the entity; empty when it has only one.
    pub manifest: Arc<str>,
    /// The version of the kind, from one; adapters carry older ones forward.
    pub version: u16,
    /// The encoded value.
    pub bytes: Bytes,
}
