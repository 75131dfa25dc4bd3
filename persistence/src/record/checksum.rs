//! The checksum of a stored row: xxh64 over its key and everything in it.
//!
//! Stores compute it when they write and compare it at every read, so that a flipped bit, a row
//! that was cut off and a row that lies under another key are found. The key is part of it, field
//! by field with its length, so that no two keys have the same bytes. It protects against damage,
//! not against forged rows.

use xxhash_rust::xxh64::{Xxh64, xxh64};

use super::bytes::Unreadable;

/// The error text for a row whose checksum does not match.
pub const DAMAGED: Unreadable = "its checksum is another one: the row was damaged, or moved";

/// Bytes that [`seal`] adds.
pub const SEAL_BYTES: usize = 8;

/// Bytes of a row that are collected before they are hashed at once, which is several times as fast
/// as hashing them field by field. Longer rows are hashed in parts.
const SHORT_BYTES_MAX: usize = 192;

/// A checksum that is being computed.
#[derive(Clone)]
pub struct Checksum {
    short: [u8; SHORT_BYTES_MAX],
    used: usize,
    /// The hash of all bytes so far, for a row that is not short.
    long: Option<Box<Xxh64>>,
}

impl Checksum {
    /// The checksum of a row of `table`.
    #[inline]
    pub fn of(table: &str) -> Self {
        let mut sum = Self { short: [0; SHORT_BYTES_MAX], used: 0, long: None };
        sum.text(table);
        sum
    }

    /// Adds a text of the row.
    #[inline]
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// Adds a number of the row.
    #[inline]
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.add(&number.to_le_bytes());
        self
    }

    /// Adds a signed number of the row, the type of numbers in databases.
    #[inline]
    pub fn signed(&mut self, number: i64) -> &mut Self {
        self.add(&number.to_le_bytes());
        self
    }

    /// Adds bytes of the row, after their length.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.add(&(bytes.len() as u64).to_le_bytes());
        self.add(bytes);
        self
    }

    /// The checksum.
    pub fn value(&self) -> u64 {
        self.long.as_ref().map_or_else(|| xxh64(&self.short[..self.used], 0), |long| long.digest())
    }

    /// The bits of the checksum as a signed number, the form in databases.
    pub fn stored(&self) -> i64 {
        self.value().cast_signed()
    }

    #[inline]
    fn add(&mut self, bytes: &[u8]) {
        let end = self.used + bytes.len();
        match self.short.get_mut(self.used..end) {
            Some(room) if self.long.is_none() => {
                room.copy_from_slice(bytes);
                self.used = end;
            }
            _ => self.add_long(bytes),
        }
    }

    fn add_long(&mut self, bytes: &[u8]) {
        let Self { short, used, long } = self;
        assert!(*used <= SHORT_BYTES_MAX, "{used} bytes of {SHORT_BYTES_MAX} are collected");
        let long = long.get_or_insert_with(|| {
            let mut long = Box::new(Xxh64::new(0));
            long.update(&short[..*used]);
            long
        });
        long.update(bytes);
    }
}

/// Appends to a record the checksum of its key, which `key` already contains, and of its bytes.
pub fn seal(mut key: Checksum, record: &mut Vec<u8>) {
    let sum = key.bytes(record).value();
    record.extend_from_slice(&sum.to_le_bytes());
}

/// The bytes of a record without the checksum that [`seal`] added.
///
/// # Errors
/// [`DAMAGED`] when the checksum does not match; another text when the record is too short for one.
pub fn open(mut key: Checksum, sealed: &[u8]) -> Result<&[u8], Unreadable> {
    let (record, sum) = sealed.split_last_chunk::<SEAL_BYTES>().ok_or("it ends too early")?;
    if key.bytes(record).value() == u64::from_le_bytes(*sum) { Ok(record) } else { Err(DAMAGED) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Checksum {
        let mut key = Checksum::of("rows");
        key.text(name).number(7);
        key
    }

    #[test]
    fn the_checksum_of_a_row_never_changes() {
        let sum = key("a").bytes(b"value").value();
        assert_eq!(sum, 5_697_433_594_618_522_434);
        assert_eq!(key("a").bytes(b"value").stored().cast_unsigned(), sum);
    }

    #[test]
    fn a_long_row_has_the_same_checksum_in_parts_and_at_once() {
        let whole: Vec<u8> = (0..=255).cycle().take(600).collect();
        for length in (0..600).step_by(7) {
            let mut sum = Checksum::of("rows");
            sum.bytes(&whole[..length]).number(9);
            let mut parts = [&4u64.to_le_bytes()[..], b"rows"].concat();
            parts.extend_from_slice(&(length as u64).to_le_bytes());
            parts.extend_from_slice(&whole[..length]);
            parts.extend_from_slice(&9u64.to_le_bytes());
            assert_eq!(sum.value(), xxh64(&parts, 0), "{length} bytes");
        }
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
