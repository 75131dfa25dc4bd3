//! The value of a coordination row, and the position of a reader, as they are stored: with the
//! checksum of their row.
//!
//! - cell: the value, then 8 bytes, lowest first: the checksum of table, key, version and value
//! - position: 16 hexadecimal digits, the checksum of reader, part and position; `:`; the position

use bytes::Bytes;

use super::bytes::Unreadable;
use super::checksum::{Checksum, DAMAGED, SEAL_BYTES, open, seal};
use crate::store::{OffsetKey, RowVersion};

fn key(table: &str, key: &str, version: RowVersion) -> Checksum {
    let mut sum = Checksum::of("cells");
    sum.text(table).text(key).number(version);
    sum
}

/// The record of a row's value.
pub fn encode(table: &str, row: &str, version: RowVersion, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() + SEAL_BYTES);
    out.extend_from_slice(value);
    seal(key(table, row, version), &mut out);
    assert_eq!(out.len(), value.len() + SEAL_BYTES, "a value and its checksum");
    out
}

/// The value of a row's record; a part of `record`, not a copy.
///
/// # Errors
/// The reason why the record cannot be used.
pub fn decode(
    table: &str,
    row: &str,
    version: RowVersion,
    record: &Bytes,
) -> Result<Bytes, Unreadable> {
    open(key(table, row, version), record).map(|value| record.slice_ref(value))
}

/// The checksum that a record ends with; zero when it is too short to have one.
pub fn checksum(record: &[u8]) -> u64 {
    record.last_chunk::<SEAL_BYTES>().map_or(0, |sum| u64::from_le_bytes(*sum))
}

fn of_position(key: &OffsetKey, position: &str) -> u64 {
    Checksum::of("offsets").text(&key.reader).text(&key.part).text(position).value()
}

/// The record of a reader's position.
pub fn encode_position(key: &OffsetKey, position: &str) -> String {
    format!("{:016x}:{position}", of_position(key, position))
}

/// The position of a record.
///
/// # Errors
/// The reason why the record cannot be used.
pub fn decode_position<'a>(key: &OffsetKey, record: &'a str) -> Result<&'a str, Unreadable> {
    let (sum, position) = record.split_once(':').ok_or("it has no checksum")?;
    // the digits are compared as text, so that a checksum has only one valid form
    if sum == format!("{:016x}", of_position(key, position)) { Ok(position) } else { Err(DAMAGED) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_back_and_any_flipped_bit_or_other_key_is_found() {
        let record = Bytes::from(encode("members", "n-1", 3, b"value"));
        assert_eq!(decode("members", "n-1", 3, &record).as_deref(), Ok(&b"value"[..]));
        for (table, row, version) in
            [("member", "n-1", 3), ("members", "n-2", 3), ("members", "n-1", 2)]
        {
            assert!(decode(table, row, version, &record).is_err());
        }
        for bit in 0..record.len() * 8 {
            let mut damaged = record.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode("members", "n-1", 3, &damaged.into()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn the_bytes_of_a_cell_and_of_a_position_never_change() {
        assert_eq!(encode("t", "k", 1, b"v"), [b'v', 56, 50, 65, 19, 67, 38, 124, 229]);
        let key = OffsetKey { reader: "r".into(), part: "p".into() };
        assert_eq!(encode_position(&key, "7"), "af239610bd026f1d:7");
    }

    #[test]
    fn any_changed_character_of_a_position_is_found() {
        let key = OffsetKey { reader: "r".into(), part: "p".into() };
        let record = encode_position(&key, "12:34");
        assert_eq!(decode_position(&key, &record), Ok("12:34"));
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone().into_bytes();
            damaged[bit / 8] ^= 1 << (bit % 8);
            if let Ok(damaged) = String::from_utf8(damaged) {
                assert!(decode_position(&key, &damaged).is_err(), "{damaged}");
            }
        }
    }
}
