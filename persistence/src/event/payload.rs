//! An encoded event or snapshot.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Most bytes of the manifest of an event. A manifest names a kind, and is part of a key; an event
/// with a longer one is rejected before it is stored.
pub const MANIFEST_BYTES_MAX: usize = 256;

/// Encoded bytes, with the codec, manifest and version that decoding needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// The stored number of the codec that wrote the bytes ([`crate::codec::CodecId`]).
    pub codec: u8,
    /// The kind of the event, chosen by the entity; empty when the entity has only one kind.
    pub manifest: Arc<str>,
    /// The version of the kind, from one; adapters turn events of older versions into current ones.
    pub version: u16,
    /// The encoded value.
    pub bytes: Bytes,
}
