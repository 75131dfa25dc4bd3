//! Bytes up to a limit, for encoders that write into a stream.

use std::io;

/// The written bytes; a write beyond the limit is an error.
pub(super) struct Bytes {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Bytes {
    /// Writes into `bytes`, which is empty.
    pub(super) fn into(bytes: Vec<u8>, bytes_max: usize) -> Self {
        Self { bytes, bytes_max }
    }

    pub(super) fn into_inner(self) -> Vec<u8> {
        self.bytes
    }
}

impl io::Write for Bytes {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if more.len() > self.bytes_max - self.bytes.len() {
            return Err(io::Error::other(format!("expected at most {} bytes", self.bytes_max)));
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
