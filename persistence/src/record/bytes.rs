//! Numbers and texts of the binary records.
//!
//! A number is LEB128: seven bits a byte, lowest first, the high bit set on all but the last. A
//! text or blob is its length in bytes as a number, then its bytes.

/// The reason why bytes cannot be read.
pub type Unreadable = &'static str;

/// Adds a number.
pub fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).expect("seven bits"));
}

/// Adds a text or blob.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Number of bytes that [`put_number`] adds.
#[inline]
pub fn number_bytes(number: u64) -> usize {
    if number < 0x80 {
        return 1;
    }
    // seven bits a byte, and one byte for zero
    (64 - (number | 1).leading_zeros() as usize).div_ceil(7)
}

/// Number of bytes that [`put_bytes`] adds for `length` bytes.
pub fn text_bytes(length: usize) -> usize {
    number_bytes(length as u64) + length
}

/// Reads a record from front to back.
#[derive(Debug)]
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    /// The next byte.
    ///
    /// # Errors
    /// At the end.
    pub fn byte(&mut self) -> Result<u8, Unreadable> {
        let (first, rest) = self.0.split_first().ok_or("it ends too early")?;
        self.0 = rest;
        Ok(*first)
    }

    /// The next number.
    ///
    /// # Errors
    /// At the end, or when the number is longer than 64 bits.
    #[inline]
    pub fn number(&mut self) -> Result<u64, Unreadable> {
        match self.0.split_first() {
            // most numbers are this short
            Some((first, rest)) if *first < 0x80 => {
                self.0 = rest;
                Ok(u64::from(*first))
            }
            _ => self.long_number(),
        }
    }

    fn long_number(&mut self) -> Result<u64, Unreadable> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number is longer than 64 bits")
    }

    /// The next blob.
    ///
    /// # Errors
    /// When the record ends too early.
    pub fn bytes(&mut self) -> Result<&'a [u8], Unreadable> {
        let length = usize::try_from(self.number()?).map_err(|_| "a length is out of range")?;
        if length > self.0.len() {
            return Err("it ends too early");
        }
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        Ok(bytes)
    }

    /// The next text.
    ///
    /// # Errors
    /// When the record ends too early or the text is not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Unreadable> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "a text is not UTF-8")
    }

    /// Checks that no bytes are left.
    ///
    /// # Errors
    /// When bytes are left.
    pub fn end(&self) -> Result<(), Unreadable> {
        if self.0.is_empty() { Ok(()) } else { Err("bytes are left over") }
    }
}
