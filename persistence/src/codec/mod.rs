//! Payload codecs.
//!
//! bincode is the default: smallest and fastest, but it breaks on any change of a type, so that events
//! need an adapter. CBOR and JSON live through added fields. The stored number says which one wrote a
//! payload, so that the setting can change at any time.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// Largest encoded event, command, reply or snapshot that is accepted, in bytes, unless a setting says otherwise.
pub const PAYLOAD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Which codec a payload is encoded with; the numbers are stored and never change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CodecId {
    /// bincode 2, standard configuration.
    #[default]
    Bincode = 1,
    /// CBOR (RFC 8949).
    Cbor = 2,
    /// JSON (RFC 8259).
    Json = 3,
}

impl CodecId {
    /// The codec with the stored number.
    ///
    /// # Errors
    /// `Corrupt` when there is no such codec.
    pub fn from_stored(number: u8) -> Result<Self> {
        match number {
            1 => Ok(Self::Bincode),
            2 => Ok(Self::Cbor),
            3 => Ok(Self::Json),
            _ => Err(Error::corrupt(format!(
                "codec {number}: expected 1 (bincode), 2 (CBOR) or 3 (JSON)"
            ))),
        }
    }

    /// Encodes a value.
    ///
    /// # Errors
    /// `Rejected` when the value cannot be encoded.
    pub fn encode<T: Serialize>(self, value: &T) -> Result<Vec<u8>> {
        match self {
            Self::Bincode => bincode::serde::encode_to_vec(value, bincode::config::standard())
                .map_err(|error| not_encoded("bincode", error)),
            Self::Cbor => {
                let mut bytes = Vec::new();
                ciborium::into_writer(value, &mut bytes)
                    .map_err(|error| not_encoded("CBOR", error))?;
                Ok(bytes)
            }
            Self::Json => serde_json::to_vec(value).map_err(|error| not_encoded("JSON", error)),
        }
    }

    /// Decodes a value; allocates at most in proportion to the bytes.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not such a value, or when something is left over.
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T> {
        match self {
            Self::Bincode => decode_bincode(bytes),
            Self::Cbor => {
                ciborium::from_reader(bytes).map_err(|error| not_decoded("CBOR", bytes, error))
            }
            Self::Json => {
                serde_json::from_slice(bytes).map_err(|error| not_decoded("JSON", bytes, error))
            }
        }
    }
}

fn decode_bincode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    let config = bincode::config::standard().with_limit::<PAYLOAD_BYTES_MAX>();
    let (value, read) = bincode::serde::decode_from_slice(bytes, config)
        .map_err(|error| not_decoded("bincode", bytes, error))?;
    if read != bytes.len() {
        return Err(Error::corrupt(format!(
            "bincode: expected {read} bytes, actual {}",
            bytes.len()
        )));
    }
    Ok(value)
}

fn not_encoded(codec: &str, error: impl std::fmt::Display) -> Error {
    Error::rejected(format!("value cannot be encoded as {codec}: {error}"))
}

fn not_decoded(codec: &str, bytes: &[u8], error: impl std::fmt::Display) -> Error {
    Error::corrupt(format!("{} bytes are not the expected {codec}: {error}", bytes.len()))
}
