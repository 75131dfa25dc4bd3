//! Sinks of encoded bytes: memory, a comparison, or a counter.

use super::Failed;

/// A receiver of encoded bytes.
pub(super) trait Sink {
    /// Takes the next bytes.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Failed>;
    /// The number of bytes taken so far.
    fn position(&self) -> usize;
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
