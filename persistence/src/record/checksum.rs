//! The checksum of a stored row: xxh64 over its key and everything in it.
//!
//! Stores compute it when they write and compare it at every read, so that a flipped bit, a row
//! that was cut off and a row that lies under another key are found. The key is part of it, field
//! by field with its length, so that no two keys have the same bytes. It protects against damage,
//! not against forged rows.

use xxhash_rust::xxh64::Xxh64;

use super::bytes::Unreadable;

/// The error text for a row whose checksum does not match.
pub const DAMAGED: Unreadable = "its checksum is another one: the row was damaged, or moved";

/// Bytes that [`seal`] adds.
pub const SEAL_BYTES: usize = 8;

/// A checksum that is being computed.
#[derive(Clone)]
pub struct Checksum(Xxh64);

impl Checksum {
    /// The checksum of a row of `table`.
    pub fn of(table: &str) -> Self {
        Self(Xxh64::new(0)).text(table)
    }

    /// Adds a text of the row.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// Adds a number of the row.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    /// Adds a signed number of the row, the type of numbers in databases.
    #[must_use]
    pub fn signed(mut self, number: i64) -> Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    /// Adds bytes of the row, after their length.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// The checksum.
    pub fn value(&self) -> u64 {
        self.0.digest()
    }

    /// The bits of the checksum as a signed number, the form in databases.
    pub fn stored(&self) -> i64 {
        i64::from_le_bytes(self.value().to_le_bytes())
    }
}

/// Appends to a record the checksum of its key, which `key` already contains, and of its bytes.
pub fn seal(key: Checksum, record: &mut Vec<u8>) {
    let sum = key.bytes(record).value();
    record.extend_from_slice(&sum.to_le_bytes());
}

/// The bytes of a record without the checksum that [`seal`] added.
///
/// # Errors
/// [`DAMAGED`] when the checksum does not match; another text when the record is too short for one.
pub fn open(key: Checksum, sealed: &[u8]) -> Result<&[u8], Unreadable> {
    let (record, sum) = sealed.split_last_chunk::<SEAL_BYTES>().ok_or("it ends too early")?;
    if key.bytes(record).value() == u64::from_le_bytes(*sum) { Ok(record) } else { Err(DAMAGED) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Checksum {
        Checksum::of("rows").text(name).number(7)
    }

    #[test]
    fn the_checksum_of_a_row_never_changes() {
        let sum = key("a").bytes(b"value").value();
        assert_eq!(sum, 5_697_433_594_618_522_434);
        assert_eq!(key("a").bytes(b"value").stored().cast_unsigned(), sum);
    }

    #[test]
    fn any_flipped_bit_and_any_other_key_is_found() {
        let mut sealed = b"value".to_vec();
        seal(key("a"), &mut sealed);
        assert_eq!(open(key("a"), &sealed), Ok(&b"value"[..]));
        assert_eq!(open(key("b"), &sealed), Err(DAMAGED), "a row under another key");
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(key("a"), &damaged), Err(DAMAGED), "bit {bit}");
        }
        for end in 0..sealed.len() {
            assert!(open(key("a"), &sealed[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let sum = |a: &str, b: &str| Checksum::of("rows").text(a).text(b).value();
        assert_ne!(sum("ab", "c"), sum("a", "bc"));
    }
}
