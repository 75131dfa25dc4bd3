//! The file of a store: all accepted data, in order, so that a killed server continues with it.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of the record, little endian |
//! | 4 | low half of xxh64 of the record |
//! | n | the record, a [`Record`] as protobuf |
//!
//! A record is written before the answer is sent, but not synced: it survives the death of the
//! process, not of the machine. A kill may leave an incomplete record at the end, which is cut off.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use antiphon_eventstore::{Error, ErrorKind, NewEvent, Result};
use bytes::Bytes;
use prost::Message;
use uuid::Uuid;
use xxhash_rust::xxh64::xxh64;

use super::group_record::GroupRecord;

const HEAD: usize = 8;

/// The open file.
pub(super) struct LogFile {
    file: File,
    path: String,
    /// The length of the complete records.
    length: u64,
}

/// A record of the file: events, or a group.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Record {
    #[prost(message, optional, tag = "1")]
    pub(super) written: Option<Written>,
    #[prost(message, optional, tag = "2")]
    pub(super) group: Option<GroupRecord>,
}

/// The events of one append.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Written {
    #[prost(string, tag = "1")]
    pub(super) stream: String,
    #[prost(uint64, tag = "2")]
    pub(super) created: u64,
    #[prost(message, repeated, tag = "3")]
    events: Vec<WrittenEvent>,
    /// True when the event is the tombstone of the stream.
    #[prost(bool, tag = "4")]
    pub(super) tombstone: bool,
}

#[derive(Clone, PartialEq, Message)]
struct WrittenEvent {
    #[prost(bytes = "bytes", tag = "1")]
    id: Bytes,
    #[prost(string, tag = "2")]
    event_type: String,
    #[prost(bool, tag = "3")]
    is_json: bool,
    #[prost(bytes = "bytes", tag = "4")]
    data: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    metadata: Bytes,
}

impl Written {
    pub(super) fn new(stream: &str, created: u64, events: &[NewEvent]) -> Self {
        let events = events.iter().map(|event| WrittenEvent {
            id: Bytes::copy_from_slice(event.id.as_bytes()),
            event_type: event.event_type.to_string(),
            is_json: event.is_json,
            data: event.data.clone(),
            metadata: event.metadata.clone(),
        });
        Self { stream: stream.to_owned(), created, events: events.collect(), tombstone: false }
    }

    pub(super) fn events(self) -> Result<Vec<NewEvent>> {
        self.events.into_iter().map(event).collect()
    }
}

impl LogFile {
    /// Opens a file to append to it. Passes each of its records to `replay`, in order.
    pub(super) fn open(path: &Path, mut replay: impl FnMut(Record) -> Result<()>) -> Result<Self> {
        let failed = |error| unusable(&path.display().to_string(), error);
        let mut file =
            OpenOptions::new().create(true).read(true).append(true).open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let bytes = Bytes::from(bytes);
        let mut at = 0;
        while let Some((record, end)) = record_at(&bytes, at) {
            replay(record)?;
            at = end;
        }
        if at < bytes.len() {
            tracing::warn!(path = %path.display(), bytes = bytes.len() - at, "torn end cut off");
            file.set_len(at as u64).map_err(failed)?;
        }
        Ok(Self { file, path: path.display().to_string(), length: at as u64 })
    }

    pub(super) fn append(&mut self, record: &Record) -> Result<()> {
        let body = record.encode_to_vec();
        let length = u32::try_from(body.len()).map_err(|_| {
            Error::new(ErrorKind::Rejected, "an append of 4 GiB does not fit the file")
        })?;
        let mut bytes = Vec::with_capacity(HEAD + body.len());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&check(&body));
        bytes.extend_from_slice(&body);
        if let Err(error) = self.file.write_all(&bytes) {
            // a record behind a half one would be lost with it
            self.file.set_len(self.length).map_err(|error| unusable(&self.path, error))?;
            return Err(unusable(&self.path, error));
        }
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// The record that begins at `at`, and its end; none at the end or where the file is damaged.
fn record_at(bytes: &Bytes, at: usize) -> Option<(Record, usize)> {
    let head = bytes.get(at..at + HEAD)?;
    let length = u32::from_le_bytes(head[..4].try_into().ok()?);
    let start = at + HEAD;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    let body = (end <= bytes.len()).then(|| bytes.slice(start..end))?;
    if check(&body) != head[4..] {
        return None;
    }
    Some((Record::decode(body).ok()?, end))
}

fn check(body: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = xxh64(body, 0).to_le_bytes();
    [a, b, c, d]
}

fn event(written: WrittenEvent) -> Result<NewEvent> {
    let id = Uuid::from_slice(&written.id).map_err(|error| {
        Error::new(ErrorKind::Corrupt, "an event of the file has no id").with_source(error)
    })?;
    // copied, because a slice would keep the whole file in memory
    let own = |bytes: Bytes| Bytes::copy_from_slice(&bytes);
    Ok(NewEvent {
        id,
        event_type: written.event_type.into(),
        is_json: written.is_json,
        data: own(written.data),
        metadata: own(written.metadata),
    })
}

fn unusable(path: &str, error: std::io::Error) -> Error {
    let message = format!("the file `{path}` of the store cannot be used: {error}");
    Error::new(ErrorKind::Unavailable, message).with_source(error)
}
