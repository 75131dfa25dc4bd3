//! The binary format: bincode 2 with its standard configuration, written and read here.
//!
//! The bytes are those of the `bincode` crate (a test compares them). Its decoder is not used: it
//! allocates a text's claimed length before it reads the text, loops as often as a sequence claims,
//! recurses as deep as the bytes say, and its limit counts the size in memory. The decoder here
//! keeps four rules. The encoder keeps the same rules, so that every written value can be read:
//!
//! - Nothing is allocated for bytes that are not there.
//! - A value is nested at most [`DEPTH_MAX`](super::DEPTH_MAX) deep.
//! - At most [`EMPTY_ELEMENTS_MAX`](super::EMPTY_ELEMENTS_MAX) elements of sequences take no bytes.
//! - Each field is written. The format has no names, so that a field that is left out shifts all
//!   that follow it.

mod decoder;
mod encoder;
mod sink;
mod source;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failed::Failed;
use encoder::{Encoder, Rules};
use sink::{Compare, Count, Limited};

/// Encodes a value in at most `bytes_max` bytes, into `bytes`, which is empty.
pub(super) fn encode<T: Serialize + ?Sized>(
    bytes: Vec<u8>,
    value: &T,
    bytes_max: usize,
) -> Result<Vec<u8>, Failed> {
    let mut encoder = Encoder::new(Limited { bytes, bytes_max }, Rules::Binary);
    value.serialize(&mut encoder)?;
    Ok(encoder.into_sink().bytes)
}

/// Returns whether the value is encoded as exactly these bytes.
pub(super) fn is_encoded_as<T: Serialize + ?Sized>(value: &T, bytes: &[u8]) -> bool {
    let mut encoder = Encoder::new(Compare::new(bytes), Rules::Binary);
    value.serialize(&mut encoder).is_ok() && encoder.into_sink().is_at_end()
}

/// Checks a value for a format with names: it is not nested too deeply, and no `Some` in it would
/// be read as `None`.
pub(super) fn check_named<T: Serialize + ?Sized>(
    value: &T,
    human_readable: bool,
) -> Result<(), Failed> {
    let mut encoder = Encoder::new(Count::default(), Rules::Named { human_readable });
    value.serialize(&mut encoder)
}

/// Decodes a value that takes all of the bytes.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failed> {
    let mut decoder = decoder::Decoder::new(bytes);
    let value = T::deserialize(&mut decoder)?;
    match decoder.rest().len() {
        0 => Ok(value),
        left => Err(Failed::new(format!("{left} bytes are left over"))),
    }
}
