//! Sinks of encoded bytes: memory, a comparison, or a counter.

use crate::codec::failed::Failed;

/// A receiver of encoded bytes.
pub(super) trait Sink {
    /// Takes the next bytes.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Failed>;
    /// The number of bytes taken so far.
    fn position(&self) -> usize;

    /// Takes an unsigned number: a small one in one byte, a larger one behind a mark of its width.
    #[inline]
    fn put_unsigned(&mut self, value: u64) -> Result<(), Failed> {
        let small = value.to_le_bytes();
        match value {
            0..=250 => self.put(&small[..1]),
            251..=0xffff => self.put(&[251, small[0], small[1]]),
            0x1_0000..=0xffff_ffff => self.put(&[252, small[0], small[1], small[2], small[3]]),
            _ => {
                self.put(&[253])?;
                self.put(&small)
            }
        }
    }

    /// Takes an unsigned number of 128 bits.
    fn put_unsigned_128(&mut self, value: u128) -> Result<(), Failed> {
        match u64::try_from(value) {
            Ok(value) => self.put_unsigned(value),
            Err(_) => {
                self.put(&[254])?;
                self.put(&value.to_le_bytes())
            }
        }
    }

    /// Takes a signed number as zigzag: small numbers of both signs are short.
    #[inline]
    fn put_signed(&mut self, value: i64) -> Result<(), Failed> {
        self.put_unsigned(((value << 1) ^ (value >> 63)).cast_unsigned())
    }

    /// Takes a signed number of 128 bits, as zigzag.
    fn put_signed_128(&mut self, value: i128) -> Result<(), Failed> {
        self.put_unsigned_128(((value << 1) ^ (value >> 127)).cast_unsigned())
    }
}

/// Keeps the bytes, up to a limit.
pub(super) struct Limited {
    pub(super) bytes: Vec<u8>,
    pub(super) bytes_max: usize,
}

impl Sink for Limited {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        if bytes.len() > self.bytes_max - self.bytes.len() {
            return Err(Failed::new(format!("expected at most {} bytes", self.bytes_max)));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn position(&self) -> usize {
        self.bytes.len()
    }
}

/// Compares the bytes with the expected bytes.
pub(super) struct Compare<'a> {
    expected: &'a [u8],
    at: usize,
}

impl<'a> Compare<'a> {
    pub(super) fn new(expected: &'a [u8]) -> Self {
        Self { expected, at: 0 }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.expected.len()
    }
}

impl Sink for Compare<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        if !self.expected[self.at..].starts_with(bytes) {
            return Err(Failed::new("other bytes"));
        }
        self.at += bytes.len();
        Ok(())
    }

    #[inline]
    fn position(&self) -> usize {
        self.at
    }
}

/// Counts the bytes only.
#[derive(Default)]
pub(super) struct Count(usize);

impl Sink for Count {
    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        self.0 += bytes.len();
        Ok(())
    }

    #[inline]
    fn position(&self) -> usize {
        self.0
    }
}
