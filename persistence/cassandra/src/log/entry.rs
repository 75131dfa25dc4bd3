//! An append within a round: its stream, its numbers and its encoded events.

use std::sync::Arc;

use antiphon_base::{Error, Result};
use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::ReplicationId;
use antiphon_persistence::record::bytes::{put_bytes, put_number};
use antiphon_persistence::record::{batch, version};
use antiphon_persistence::store::Append;
use antiphon_persistence::version::VersionVector;
use bytes::Bytes;

/// A stream, with its replication id and its name.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) id: ReplicationId,
    pub(crate) name: Arc<str>,
}

impl Stream {
    /// Parses the name of a stream.
    pub(crate) fn parse(name: impl Into<Arc<str>>) -> Result<Arc<Self>> {
        let name = name.into();
        Ok(Arc::new(Self { id: ReplicationId::parse(&name)?, name }))
    }
}

/// An append within a round, with its events still encoded.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) stream: Arc<Stream>,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The merged versions of the events.
    pub(crate) seen: VersionVector,
    pub(crate) events: Bytes,
}

impl Entry {
    /// Decodes the events.
    pub(crate) fn decode(&self) -> Result<Vec<StoredEvent>> {
        decode_events(&self.stream.name, self.first, self.last, &self.events)
    }
}

/// An append, encoded as a part of a round.
#[derive(Debug)]
pub(crate) struct EncodedAppend {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) seen: VersionVector,
    /// Bytes of the events, at the end of the record.
    pub(super) events_bytes: usize,
    /// Bytes of the record, also after it was taken.
    pub(super) record_bytes: usize,
    record: Vec<u8>,
}

impl EncodedAppend {
    /// Takes the record; a second call returns an empty one.
    pub(crate) fn take_record(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.record)
    }
}

/// Encodes one append; a round has one or more.
pub(crate) fn encode_entry(append: &Append) -> EncodedAppend {
    let mut seen = VersionVector::new();
    for event in &append.events {
        seen.merge(&event.meta.version);
    }
    let room = batch::room(&append.events) + append.persistence_id.as_str().len() + 64;
    let mut out = Vec::with_capacity(room);
    put_bytes(&mut out, append.persistence_id.as_str().as_bytes());
    put_number(&mut out, append.expected.value() + 1);
    put_number(&mut out, append.events.len() as u64);
    version::put(&mut out, &seen);
    let begin = out.len();
    batch::put(&mut out, &append.events);
    // the length is known only now, and stands before the events
    let end = out.len();
    put_number(&mut out, (end - begin) as u64);
    let length_bytes = out.len() - end;
    out[begin..].rotate_right(length_bytes);
    EncodedAppend {
        first: append.expected.value() + 1,
        last: append.expected.value() + append.events.len() as u64,
        seen,
        events_bytes: end - begin,
        record_bytes: out.len(),
        record: out,
    }
}

/// Decodes the events `first..=last` of a stream.
pub(crate) fn decode_events(
    stream: &str,
    first: u64,
    last: u64,
    bytes: &Bytes,
) -> Result<Vec<StoredEvent>> {
    let mut events = Vec::new();
    decode_events_into(&mut events, stream, first, last, bytes)?;
    Ok(events)
}

/// Decodes the events `first..=last` of a stream, and adds them to `events`.
pub(crate) fn decode_events_into(
    events: &mut Vec<StoredEvent>,
    stream: &str,
    first: u64,
    last: u64,
    bytes: &Bytes,
) -> Result<()> {
    let unreadable = |why: &str| {
        Error::corrupt(format!("the events {first} to {last} of `{stream}` are unreadable: {why}"))
    };
    let count = batch::decode_into(events, SequenceNr::new(first), bytes).map_err(unreadable)?;
    let next = first.checked_add(count);
    if next.is_none() || next != last.checked_add(1) || count == 0 {
        return Err(unreadable("their number is another one than that of the row"));
    }
    Ok(())
}
