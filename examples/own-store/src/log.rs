//! The log file.
//!
//! ```text
//!   file:   "ANTILOG1", then records
//!   record: length (4) | check of the length (4) | checksum (8) | operation (length bytes)
//! ```
//!
//! - Numbers are little-endian. The checksum is FNV-1a over the operation.
//! - A change is made in memory, appended and synced under an exclusive lock of the file, and then
//!   acknowledged, if the path still leads to the file.
//! - A read takes the records of other processes first, under a shared lock. It syncs them: their
//!   writer may have been killed before its own sync.
//! - A record that the end of the file cuts off was never acknowledged: the next writer removes it.
//! - Any other record that does not fit its checksum is damage: nothing is read or written then. A
//!   power failure that leaves a last record of zeros counts as damage too.
//! - After a failed sync nobody knows what the disk has: an owner takes nothing any more, and its
//!   node ends.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use antiphon::persistence::memory::MemoryStores;
use antiphon::persistence::store::Role;
use antiphon::prelude::*;

use crate::operation::Operation;

const MAGIC: &[u8; 8] = b"ANTILOG1";

const HEADER_BYTES: usize = 16;

/// Longest operation: a snapshot of the default `snapshot_bytes_max` (64 MiB), with its names.
const OPERATION_BYTES_MAX: usize = 80 << 20;

/// A log that is open, with the place that its records give.
pub(crate) struct Log {
    watched: Arc<Watched>,
    role: Role,
    /// The end of the last record that was taken into `place`.
    end: u64,
    place: MemoryStores,
}

/// The open file and its path, for a check that waits for no lock.
pub(crate) struct Watched {
    file: File,
    path: PathBuf,
    /// The reason why an owner takes nothing any more.
    lost: OnceLock<String>,
}

/// The lock of the file between processes, given back at the drop.
struct Locked(Arc<Watched>);

impl Drop for Locked {
    fn drop(&mut self) {
        // the lock ends with the file at the latest
        let _ = self.0.file.unlock();
    }
}

impl Log {
    pub(crate) fn open(path: &Path, role: Role) -> Result<Self> {
        let watched = Arc::new(Watched::open(path, role)?);
        let mut log = Self { watched, role, end: 0, place: MemoryStores::new() };
        if role == Role::Owner {
            log.begin()?;
        }
        log.read(|_| ())?;
        Ok(log)
    }

    /// The part that can be checked without this log.
    pub(crate) fn watched(&self) -> Arc<Watched> {
        self.watched.clone()
    }

    /// Forgets the place in memory: it is read from the file again.
    pub(crate) fn reset(&mut self) {
        (self.end, self.place) = (0, MemoryStores::new());
    }

    /// Writes the mark of a new file.
    fn begin(&self) -> Result<()> {
        self.watched.file.lock().map_err(|error| self.watched.failed("locking", error))?;
        let _locked = Locked(self.watched.clone());
        let mut file = &self.watched.file;
        let mut begun = || {
            if self.watched.file.metadata()?.len() >= MAGIC.len() as u64 {
                return Ok(());
            }
            let mut there = Vec::new();
            file.seek(SeekFrom::Start(0))?;
            file.read_to_end(&mut there)?;
            if !MAGIC.starts_with(&there) {
                return Err(io::Error::from(ErrorKind::InvalidData));
            }
            file.seek(SeekFrom::Start(0))?;
            file.write_all(MAGIC)?;
            file.sync_all()?;
            // the name of the file is durable when its folder is
            let path = std::path::absolute(&self.watched.path)?;
            path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        begun().map_err(|error| {
            if error.kind() == ErrorKind::InvalidData {
                return self.watched.not_ours();
            }
            self.watched.failed("making", error)
        })
    }

    /// Runs `work` on the place as it is now.
    pub(crate) fn read<T>(&mut self, work: impl FnOnce(&MemoryStores) -> T) -> Result<T> {
        self.renew()?;
        let locked = self.watched.file.lock_shared();
        locked.map_err(|error| self.watched.failed("locking", error))?;
        let locked = Locked(self.watched.clone());
        self.follow()?;
        drop(locked);
        Ok(work(&self.place))
    }

    /// Runs `work`, which makes the change of `operation` in the place, and stores the operation if
    /// `work` changed something.
    ///
    /// # Errors
    /// The errors of `work`; `Unavailable` when nothing was stored; `Timeout` when that is unknown;
    /// `Fenced` after an unknown outcome, or when the file was taken away.
    pub(crate) fn write<T>(
        &mut self,
        operation: &Operation,
        work: impl FnOnce(&MemoryStores) -> Result<T>,
        changed: impl FnOnce(&T) -> bool,
    ) -> Result<T> {
        if self.role == Role::Reader {
            let path = &self.watched.path;
            return Err(Error::rejected(format!("the log {path:?} was opened to read")));
        }
        self.watched.known()?;
        let record = record(operation)?;
        let locked = self.watched.file.lock();
        locked.map_err(|error| self.watched.failed("locking", error))?;
        let _locked = Locked(self.watched.clone());
        self.follow()?;
        let value = work(&self.place)?;
        if !changed(&value) {
            return Ok(value);
        }
        if let Err(error) = self.append(&record) {
            // the place in memory has a change that the file may not have
            self.reset();
            return Err(error);
        }
        self.end += record.len() as u64;
        // a change in a file that nobody finds again is not stored
        self.watched.check().map_err(|error| Error::timeout(error.to_string()))?;
        Ok(value)
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        let (start, mut file) = (self.end, &self.watched.file);
        let appended = file
            .set_len(start)
            .and_then(|()| file.seek(SeekFrom::Start(start)))
            .and_then(|_| file.write_all(record));
        if let Err(error) = appended {
            return match file.set_len(start) {
                Ok(()) => Err(self.watched.failed("appending", error)),
                Err(_) => Err(self.watched.unknown(&error)),
            };
        }
        file.sync_data().map_err(|error| self.watched.unknown(&error))
    }

    /// Opens the file anew when a reader's path leads to another file: its owner was restored.
    fn renew(&mut self) -> Result<()> {
        if self.role == Role::Owner {
            return self.watched.known();
        }
        if !self.watched.is_there() {
            self.watched = Arc::new(Watched::open(&self.watched.path, self.role)?);
            self.reset();
        }
        Ok(())
    }

    /// Takes the records that came since the last call.
    fn follow(&mut self) -> Result<()> {
        let (watched, mut file) = (self.watched.clone(), &self.watched.file);
        let reading = |error| watched.failed("reading", error);
        let length = file.metadata().map_err(reading)?.len();
        if length < self.end {
            return Err(Error::corrupt(format!(
                "the log {:?} has become shorter: expected at least {} bytes, actual {length}",
                watched.path, self.end
            )));
        }
        if length == self.end {
            return Ok(());
        }
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.end)).map_err(reading)?;
        file.read_to_end(&mut bytes).map_err(reading)?;
        let mut rest = &*bytes;
        if self.end == 0 {
            rest = match bytes.strip_prefix(MAGIC) {
                Some(rest) => rest,
                // its owner is making it
                None if MAGIC.starts_with(&bytes) => return Ok(()),
                None => return Err(watched.not_ours()),
            };
        }
        let mut records = Vec::new();
        let mut end = length - rest.len() as u64;
        while let Some((operation, after)) = self.first(rest, end)? {
            end += (rest.len() - after.len()) as u64;
            records.push(operation);
            rest = after;
        }
        if !records.is_empty() {
            file.sync_data().map_err(reading)?;
        }
        for operation in records {
            operation.apply(&self.place)?;
        }
        self.end = end;
        Ok(())
    }

    /// The record at the byte `at` of the file, and the bytes after it. `None` when the bytes end
    /// within the record.
    fn first<'a>(&self, bytes: &'a [u8], at: u64) -> Result<Option<(Operation, &'a [u8])>> {
        let Some((header, rest)) = bytes.split_at_checked(HEADER_BYTES) else { return Ok(None) };
        let number = |at: usize, length: usize| {
            let bytes = header[at..at + length].iter().rev();
            bytes.fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let (length, length_check, sum) = (number(0, 4), number(4, 4), number(8, 8));
        if length_check != check_of_length(length) || length > OPERATION_BYTES_MAX as u64 {
            return Err(self.watched.damaged(at));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some((operation, rest)) = rest.split_at_checked(length) else { return Ok(None) };
        if checksum(operation) != sum {
            return Err(self.watched.damaged(at));
        }
        // the bytes are those of `record`: a limit of the decoder would count otherwise
        let read = bincode::serde::decode_from_slice(operation, bincode::config::standard());
        let (operation, _) = read.map_err(|error| self.watched.damaged(at).with_source(error))?;
        Ok(Some((operation, rest)))
    }
}

impl Watched {
    fn open(path: &Path, role: Role) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true);
        if role == Role::Owner {
            options.write(true).create(true).truncate(false);
        }
        let file = options.open(path).map_err(|error| {
            Error::unavailable(format!("the log {path:?} cannot be opened")).with_source(error)
        })?;
        Ok(Self { file, path: path.to_owned(), lost: OnceLock::new() })
    }

    /// Checks that the path still leads to the open file. It waits for no lock.
    ///
    /// # Errors
    /// `Fenced` from the first time on that it did not, or that a change had an unknown outcome.
    pub(crate) fn check(&self) -> Result<()> {
        if !self.is_there() {
            let reason = format!("the log {:?} was moved, deleted or replaced", self.path);
            let _ = self.lost.set(reason);
        }
        self.known()
    }

    fn known(&self) -> Result<()> {
        self.lost.get().map_or(Ok(()), |reason| Err(Error::fenced(reason.clone())))
    }

    fn is_there(&self) -> bool {
        let identity = |file: &std::fs::Metadata| (file.dev(), file.ino());
        let (open, there) = (self.file.metadata(), std::fs::metadata(&self.path));
        matches!((&open, &there), (Ok(open), Ok(there)) if identity(open) == identity(there))
    }

    fn damaged(&self, at: u64) -> Error {
        let path = &self.path;
        Error::corrupt(format!("the log {path:?} is damaged at byte {at}: put a copy in its place"))
    }

    fn not_ours(&self) -> Error {
        Error::rejected(format!("{:?} is a file of another program: choose another", self.path))
    }

    fn failed(&self, doing: &str, error: io::Error) -> Error {
        Error::unavailable(format!("{doing} the log {:?}: {error}", self.path)).with_source(error)
    }

    /// The error of a change that may be stored or not. Nothing is taken after it.
    fn unknown(&self, error: &io::Error) -> Error {
        let message = format!("the log {:?}: {error}: the last change may be stored", self.path);
        let _ = self.lost.set(message.clone());
        Error::timeout(message)
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

fn check_of_length(length: u64) -> u64 {
    checksum(&length.to_le_bytes()) & 0xffff_ffff
}

/// FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>).
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
