//! Untrusted bytes: numbers, texts and lengths are read, and nothing is allocated.

use serde::de::Error as _;

use crate::codec::failed::Failed;

/// The bytes that are not read yet.
pub(super) struct Source<'de> {
    rest: &'de [u8],
}

impl<'de> Source<'de> {
    pub(super) fn new(bytes: &'de [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes that are not read yet.
    pub(super) fn rest(&self) -> &'de [u8] {
        self.rest
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Result<&'de [u8], Failed> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            return Err(Failed::new(format!(
                "expected {count} more bytes, actual {}",
                self.rest.len()
            )));
        };
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Failed> {
        Ok(self.take(N)?.try_into().expect("as many as were taken"))
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, Failed> {
        Ok(self.array::<1>()?[0])
    }

    /// A number of a type whose longest form begins with `longest`.
    #[inline]
    pub(super) fn unsigned(&mut self, longest: u8) -> Result<u64, Failed> {
        let first = self.byte()?;
        if first > 250 && first > longest {
            return Err(Failed::new("a number is too large for its type"));
        }
        Ok(match first {
            0..=250 => first.into(),
            251 => u16::from_le_bytes(self.array()?).into(),
            252 => u32::from_le_bytes(self.array()?).into(),
            253 => u64::from_le_bytes(self.array()?),
            254.. => return Err(Failed::new("a number is too large for its type")),
        })
    }

    pub(super) fn unsigned_128(&mut self) -> Result<u128, Failed> {
        if self.rest.first() == Some(&254) {
            self.byte()?;
            return Ok(u128::from_le_bytes(self.array()?));
        }
        Ok(self.unsigned(253)?.into())
    }

    #[inline]
    pub(super) fn signed(&mut self, longest: u8) -> Result<i64, Failed> {
        let value = self.unsigned(longest)?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    pub(super) fn signed_128(&mut self) -> Result<i128, Failed> {
        let value = self.unsigned_128()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    pub(super) fn length(&mut self) -> Result<usize, Failed> {
        let length = self.unsigned(253)?;
        usize::try_from(length).map_err(|_| Failed::new("a length is too large"))
    }

    pub(super) fn slice(&mut self) -> Result<&'de [u8], Failed> {
        let length = self.length()?;
        self.take(length)
    }

    pub(super) fn text(&mut self) -> Result<&'de str, Failed> {
        std::str::from_utf8(self.slice()?).map_err(Failed::custom)
    }

    pub(super) fn flag(&mut self) -> Result<bool, Failed> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Failed::new(format!("expected 0 or 1, actual {other}"))),
        }
    }

    pub(super) fn character(&mut self) -> Result<char, Failed> {
        let width = match self.rest.first() {
            Some(0xc0..=0xdf) => 2,
            Some(0xe0..=0xef) => 3,
            Some(0xf0..) => 4,
            Some(_) | None => 1,
        };
        let text = std::str::from_utf8(self.take(width)?).map_err(Failed::custom)?;
        text.chars().next().ok_or_else(|| Failed::new("expected a character"))
    }
}
