//! The log file.
//!
//! ```text
//!   record: length (4) | check of the length (4) | checksum (8) | operation (length bytes)
//! ```
//!
//! - Numbers are little-endian. The checksum is FNV-1a over the operation.
//! - A change is made in memory, appended and synced under an exclusive lock of the file, and then
//!   acknowledged. A read takes the records of other processes first, under a shared lock.
//! - A record that the end of the file cuts off was never acknowledged: the next writer removes it.
//! - Any other record that does not fit its checksum is damage: nothing is read or written then.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use antiphon::persistence::memory::MemoryStores;
use antiphon::persistence::store::Role;
use antiphon::prelude::*;

use crate::operation::Operation;

const HEADER_BYTES: usize = 16;

/// Longest operation: an append of the default `append_bytes_max`, with room for its names.
const OPERATION_BYTES_MAX: usize = 64 << 20;

/// A log that is open, with the place that its records give.
pub(crate) struct Log {
    file: File,
    path: PathBuf,
    role: Role,
    /// The end of the last record that was taken into `place`.
    end: u64,
    place: MemoryStores,
}

impl Log {
    pub(crate) fn open(path: &Path, role: Role) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true);
        if role == Role::Owner {
            options.write(true).create(true).truncate(false);
        }
        let file = options.open(path).map_err(|error| {
            Error::unavailable(format!("the log {path:?} cannot be opened")).with_source(error)
        })?;
        let mut log =
            Self { file, path: path.to_owned(), role, end: 0, place: MemoryStores::new() };
        log.read(|_| ())?;
        Ok(log)
    }

    /// Runs `work` on the place as it is now.
    pub(crate) fn read<T>(&mut self, work: impl FnOnce(&MemoryStores) -> T) -> Result<T> {
        self.file.lock_shared().map_err(|error| self.failed("locking", error))?;
        let followed = self.follow();
        self.unlock();
        followed?;
        Ok(work(&self.place))
    }

    /// Runs `work`, which makes the change of `operation` in the place, and stores the operation if
    /// `work` changed something.
    ///
    /// # Errors
    /// The errors of `work`; `Unavailable` when nothing was stored; `Timeout` when that is unknown.
    pub(crate) fn write<T>(
        &mut self,
        operation: &Operation,
        work: impl FnOnce(&MemoryStores) -> Result<T>,
        changed: impl FnOnce(&T) -> bool,
    ) -> Result<T> {
        if self.role == Role::Reader {
            return Err(Error::rejected(format!("the log {:?} was opened to read", self.path)));
        }
        let record = record(operation)?;
        self.file.lock().map_err(|error| self.failed("locking", error))?;
        let written = self.write_locked(&record, work, changed);
        self.unlock();
        written
    }

    fn write_locked<T>(
        &mut self,
        record: &[u8],
        work: impl FnOnce(&MemoryStores) -> Result<T>,
        changed: impl FnOnce(&T) -> bool,
    ) -> Result<T> {
        self.follow()?;
        let value = work(&self.place)?;
        if !changed(&value) {
            return Ok(value);
        }
        if let Err(error) = self.append(record) {
            // the place in memory has a change that the file may not have
            (self.end, self.place) = (0, MemoryStores::new());
            return Err(error);
        }
        self.end += record.len() as u64;
        Ok(value)
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        let start = self.end;
        let appended = self
            .file
            .set_len(start)
            .and_then(|()| self.file.seek(SeekFrom::Start(start)))
            .and_then(|_| self.file.write_all(record));
        if let Err(error) = appended {
            return match self.file.set_len(start) {
                Ok(()) => Err(self.failed("appending", error)),
                Err(_) => Err(self.unknown(error)),
            };
        }
        self.file.sync_data().map_err(|error| self.unknown(error))
    }

    /// Takes the records that came since the last call.
    fn follow(&mut self) -> Result<()> {
        let length = self.file.metadata().map_err(|error| self.failed("reading", error))?.len();
        if length < self.end {
            return Err(Error::corrupt(format!(
                "the log {:?} has become shorter: expected at least {} bytes, actual {length}",
                self.path, self.end
            )));
        }
        if length == self.end {
            return Ok(());
        }
        let mut bytes = Vec::new();
        self.file
            .seek(SeekFrom::Start(self.end))
            .and_then(|_| self.file.read_to_end(&mut bytes))
            .map_err(|error| self.failed("reading", error))?;
        let mut rest = &*bytes;
        while let Some((operation, after)) = self.first(rest)? {
            operation.apply(&self.place)?;
            self.end += (rest.len() - after.len()) as u64;
            rest = after;
        }
        Ok(())
    }

    /// The first record, and the bytes after it. `None` when the bytes end within the record.
    fn first<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Operation, &'a [u8])>> {
        let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) else { return Ok(None) };
        let number = |at: usize, length: usize| {
            let bytes = header[at..at + length].iter().rev();
            bytes.fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let (length, length_check, sum) = (number(0, 4), number(4, 4), number(8, 8));
        if length_check != check_of_length(length) || length > OPERATION_BYTES_MAX as u64 {
            return Err(self.damaged());
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some((operation, rest)) = rest.split_at_checked(length) else { return Ok(None) };
        if checksum(operation) != sum {
            return Err(self.damaged());
        }
        let read = bincode::serde::decode_from_slice(operation, decoding());
        let (operation, _) = read.map_err(|error| self.damaged().with_source(error))?;
        Ok(Some((operation, rest)))
    }

    /// Checks that the path still leads to the open file.
    pub(crate) fn check(&self) -> Result<()> {
        let identity = |file: io::Result<std::fs::Metadata>| {
            file.map(|file| (file.dev(), file.ino())).map_err(|error| error.to_string())
        };
        let (open, there) = (self.file.metadata(), std::fs::metadata(&self.path));
        if identity(open) == identity(there) {
            return Ok(());
        }
        Err(Error::fenced(format!("the log {:?} was moved, deleted or replaced", self.path)))
    }

    fn unlock(&self) {
        // the lock ends with the file at the latest
        let _ = self.file.unlock();
    }

    fn damaged(&self) -> Error {
        Error::corrupt(format!(
            "the log {:?} is damaged at byte {}: put a copy in its place",
            self.path, self.end
        ))
    }

    fn failed(&self, doing: &str, error: io::Error) -> Error {
        Error::unavailable(format!("{doing} the log {:?}: {error}", self.path)).with_source(error)
    }

    fn unknown(&self, error: io::Error) -> Error {
        let message = format!("the log {:?}: {error}: the change may be stored", self.path);
        Error::timeout(message).with_source(error)
    }
}

fn record(operation: &Operation) -> Result<Vec<u8>> {
    let encoded = bincode::serde::encode_to_vec(operation, bincode::config::standard());
    let operation = encoded
        .map_err(|error| Error::rejected("a change cannot be encoded").with_source(error))?;
    let length = operation.len();
    if length > OPERATION_BYTES_MAX {
        return Err(Error::rejected(format!(
            "a change of {length} bytes: expected at most {OPERATION_BYTES_MAX}"
        )));
    }
    let length = length as u64;
    let mut record = Vec::with_capacity(HEADER_BYTES + operation.len());
    record.extend_from_slice(&length.to_le_bytes()[..4]);
    record.extend_from_slice(&check_of_length(length).to_le_bytes()[..4]);
    record.extend_from_slice(&checksum(&operation).to_le_bytes());
    record.extend_from_slice(&operation);
    Ok(record)
}

fn decoding() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<OPERATION_BYTES_MAX>()
}

fn check_of_length(length: u64) -> u64 {
    checksum(&length.to_le_bytes()) & 0xffff_ffff
}

/// FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>).
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
