//! Payload codecs, and the one bounded decoder of everything that comes from a disk or a network.
//!
//! bincode is the default: it is the smallest and fastest codec, but any change of a type breaks
//! it, so that events need an adapter. CBOR and JSON tolerate added fields. The stored number names
//! the codec that wrote a payload, so that the setting can change at any time.
//!
//! A size limit always counts encoded bytes. Decoding allocates in proportion to the bytes that are
//! there, never to the lengths that they claim; the factor is the size of a value in memory over
//! its encoded size, for example `size_of::<T>()` for elements of one byte. The number of its steps
//! is bounded by the bytes.
//! Values nested deeper than [`DEPTH_MAX`] are an error, since a deeper recursion would overflow
//! the stack. The encoders refuse every value that the decoders would refuse.

mod binary;
mod bounds;
mod cbor;
mod digest;
mod failed;
mod limited;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

pub use bounds::{DEPTH_MAX, EMPTY_ELEMENTS_MAX, PAYLOAD_BYTES_MAX, STATE_BYTES_MAX};
pub(crate) use digest::Digest;

/// The codec of a payload; the numbers are stored and never change.
///
/// ```
/// use antiphon_persistence::codec::CodecId;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct Added { item: String, count: u32 }
///
/// let added = Added { item: "milk".to_owned(), count: 2 };
/// for codec in [CodecId::Bincode, CodecId::Cbor, CodecId::Json] {
///     let bytes = codec.encode(&added)?;
///     assert_eq!(codec.decode::<Added>(&bytes)?, added);
///     assert!(codec.decode::<Added>(&bytes[1..]).is_err());
///     assert_eq!(CodecId::from_stored(codec as u8)?, codec);
/// }
/// assert_eq!(CodecId::Json.encode(&added)?, br#"{"item":"milk","count":2}"#);
/// # Ok::<(), antiphon_persistence::Error>(())
/// ```
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

    /// The codec's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bincode => "bincode",
            Self::Cbor => "CBOR",
            Self::Json => "JSON",
        }
    }

    /// Encodes a value, without a limit of size.
    ///
    /// # Errors
    /// `Rejected` when the value cannot be encoded.
    pub fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<Vec<u8>> {
        self.encode_within(value, usize::MAX)
    }

    /// Encodes a value in at most `bytes_max` bytes; takes no more memory than that.
    ///
    /// # Errors
    /// `Rejected` when the value cannot be encoded, or is larger.
    ///
    /// ```
    /// use antiphon_persistence::codec::CodecId;
    ///
    /// assert_eq!(CodecId::Cbor.encode_within("milk", 5).unwrap().len(), 5);
    /// assert!(CodecId::Cbor.encode_within("bread", 5).is_err());
    /// ```
    pub fn encode_within<T: Serialize + ?Sized>(
        self,
        value: &T,
        bytes_max: usize,
    ) -> Result<Vec<u8>> {
        self.encode_into(Vec::new(), value, bytes_max)
    }

    /// Encodes like [`Self::encode_within`], into the memory of `bytes`, whose content is dropped.
    pub(crate) fn encode_into<T: Serialize + ?Sized>(
        self,
        mut bytes: Vec<u8>,
        value: &T,
        bytes_max: usize,
    ) -> Result<Vec<u8>> {
        bytes.clear();
        match self {
            Self::Bincode => {
                binary::encode(bytes, value, bytes_max).map_err(|error| self.not_encoded(error))
            }
            Self::Cbor => {
                binary::check_named(value, false).map_err(|error| self.not_encoded(error))?;
                let mut bytes = limited::Bytes::into(bytes, bytes_max);
                ciborium::into_writer(value, &mut bytes)
                    .map_err(|error| self.not_encoded(cbor_not_written(error)))?;
                Ok(bytes.into_inner())
            }
            Self::Json => {
                binary::check_named(value, true).map_err(|error| self.not_encoded(error))?;
                let mut bytes = limited::Bytes::into(bytes, bytes_max);
                serde_json::to_writer(&mut bytes, value)
                    .map_err(|error| self.not_encoded(error))?;
                Ok(bytes.into_inner())
            }
        }
    }

    /// Decodes a value of at most [`PAYLOAD_BYTES_MAX`] bytes; see [`Self::decode_within`].
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not such a value, when bytes are left over, or when there are
    /// too many bytes.
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T> {
        self.decode_within(bytes, PAYLOAD_BYTES_MAX)
    }

    /// Decodes a value that takes all of `bytes`, which are at most `bytes_max`. The bytes may have
    /// any content, from any source.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not such a value, when bytes are left over, or when there are
    /// too many bytes.
    pub fn decode_within<T: DeserializeOwned>(self, bytes: &[u8], bytes_max: usize) -> Result<T> {
        if bytes.len() > bytes_max {
            let why = format!("expected at most {bytes_max}");
            return Err(self.not_decoded(bytes, why));
        }
        match self {
            Self::Bincode => binary::decode(bytes).map_err(|error| self.not_decoded(bytes, error)),
            Self::Cbor => {
                cbor::check(bytes).map_err(|error| self.not_decoded(bytes, error))?;
                let mut rest = bytes;
                let value = ciborium::from_reader(&mut rest)
                    .map_err(|error| self.not_decoded(bytes, cbor_not_read(error)))?;
                match rest.len() {
                    0 => Ok(value),
                    left => Err(self.not_decoded(bytes, format!("{left} bytes are left over"))),
                }
            }
            Self::Json => {
                serde_json::from_slice(bytes).map_err(|error| self.not_decoded(bytes, error))
            }
        }
    }

    /// Returns whether the value is encoded as exactly these bytes. With bincode, cheaper than
    /// encoding.
    pub(crate) fn is_encoded_as<T: Serialize + ?Sized>(self, value: &T, bytes: &[u8]) -> bool {
        match self {
            Self::Bincode => binary::is_encoded_as(value, bytes),
            Self::Cbor | Self::Json => {
                self.encode_within(value, bytes.len()).is_ok_and(|encoded| encoded == bytes)
            }
        }
    }

    /// The digest of a value: its content, without the order of elements.
    ///
    /// # Errors
    /// `Rejected` when the value cannot be written.
    pub(crate) fn digest<T: Serialize + ?Sized>(self, value: &T) -> Result<Digest> {
        let human_readable = self == Self::Json;
        digest::digest(value, human_readable).map_err(|error| self.not_encoded(error))
    }

    fn not_encoded(self, error: impl std::fmt::Display) -> Error {
        Error::rejected(format!("value cannot be encoded as {}: {error}", self.name()))
    }

    fn not_decoded(self, bytes: &[u8], error: impl std::fmt::Display) -> Error {
        let name = self.name();
        Error::corrupt(format!("{} bytes are not the expected {name}: {error}", bytes.len()))
    }
}

fn cbor_not_written(error: ciborium::ser::Error<std::io::Error>) -> String {
    match error {
        ciborium::ser::Error::Io(error) => error.to_string(),
        ciborium::ser::Error::Value(why) => why,
    }
}

fn cbor_not_read(error: ciborium::de::Error<std::io::Error>) -> String {
    match error {
        ciborium::de::Error::Io(error) => error.to_string(),
        ciborium::de::Error::Syntax(at) => format!("no CBOR at byte {at}"),
        ciborium::de::Error::Semantic(Some(at), why) => format!("{why} at byte {at}"),
        ciborium::de::Error::Semantic(None, why) => why,
        ciborium::de::Error::RecursionLimitExceeded => "nested too deeply".to_owned(),
    }
}

#[cfg(test)]
mod tests;
