//! An encoded event or snapshot.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::codec::{CodecId, STATE_BYTES_MAX};

/// Most bytes of the manifest of an event. A manifest names a kind, and is part of a key; an event
/// with a longer one is rejected before it is stored.
pub const MANIFEST_BYTES_MAX: usize = 256;

/// Most memory that a thread keeps for encoding.
const SCRATCH_BYTES_MAX: usize = 16 * 1024;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

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

impl Payload {
    /// The stored form of a value: the result of an adapter to the journal
    /// ([`EventSourced::to_journal`](crate::entity::EventSourced::to_journal)) or of a state
    /// ([`EventSourced::to_snapshot`](crate::entity::EventSourced::to_snapshot)). The type of the
    /// value may be another than that of the event or the state.
    ///
    /// ```
    /// use antiphon_persistence::codec::CodecId;
    /// use antiphon_persistence::event::Payload;
    ///
    /// let paid = Payload::encode(CodecId::Json, "paid", 2, &700_u64)?;
    /// assert_eq!((&*paid.bytes, paid.version), (&b"700"[..], 2));
    /// assert_eq!(paid.decode::<u64>()?, 700);
    /// assert!(paid.decode::<String>().is_err());
    /// # Ok::<(), antiphon_persistence::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Rejected` when the codec cannot write the value, or the value has more than
    /// [`STATE_BYTES_MAX`] bytes.
    pub fn encode<T: Serialize + ?Sized>(
        codec: CodecId,
        manifest: impl Into<Arc<str>>,
        version: u16,
        value: &T,
    ) -> Result<Self> {
        Self::encode_within(codec, manifest.into(), version, value, STATE_BYTES_MAX)
    }

    /// Encodes in memory that the thread keeps, so that a small value costs one allocation of its
    /// size.
    pub(crate) fn encode_within<T: Serialize + ?Sized>(
        codec: CodecId,
        manifest: Arc<str>,
        version: u16,
        value: &T,
        bytes_max: usize,
    ) -> Result<Self> {
        let encoded = codec.encode_into(SCRATCH.take(), value, bytes_max)?;
        let bytes = if encoded.capacity() > SCRATCH_BYTES_MAX {
            Bytes::from(encoded)
        } else {
            let bytes = Bytes::copy_from_slice(&encoded);
            SCRATCH.set(encoded);
            bytes
        };
        Ok(Self { codec: codec as u8, manifest, version, bytes })
    }

    /// Reads the value, with the codec that has written it.
    ///
    /// # Errors
    /// `Corrupt` when there is no such codec, or the bytes are not such a value.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        CodecId::from_stored(self.codec)?.decode_within(&self.bytes, STATE_BYTES_MAX)
    }
}
