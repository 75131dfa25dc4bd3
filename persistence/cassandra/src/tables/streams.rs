//! The streams' own partitions, their listing, and snapshots.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::outcome::Outcome;

/// Consecutive events of a stream in its own partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// The stream.
    pub stream: Arc<str>,
    /// The part of the stream.
    pub part: u64,
    /// The first event.
    pub first: u64,
    /// The last event.
    pub last: u64,
    /// The record of the events.
    pub record: Bytes,
}

/// Facts about a stream beyond its events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamRow {
    /// Newest part that may have events.
    pub part: u64,
    /// Events up to this one are deleted.
    pub deleted: u64,
}

/// Statements on streams and snapshots. A cancelled write may have taken effect, and may still take
/// effect; a cancelled read changes nothing.
#[async_trait]
pub trait StreamTables: Send + Sync + 'static {
    /// Plain: events of a stream.
    async fn put_events(&self, row: &EventRow) -> Outcome<()>;
    /// The highest event of a part of a stream, deleted events included.
    async fn highest_in_part(&self, stream: &str, part: u64) -> Outcome<Option<u64>>;
    /// Rows whose first event is in `first..=last`, in order, at most `row_count_max`.
    async fn events(
        &self,
        stream: &str,
        part: u64,
        first: u64,
        last: u64,
        row_count_max: usize,
    ) -> Outcome<Vec<EventRow>>;
    /// Plain: removes the rows of a part whose last event is at most `last`, also rows that arrive
    /// later.
    async fn delete_events(&self, stream: &str, part: u64, last: u64) -> Outcome<()>;
    /// The row of a stream. A stream without a row has the default.
    async fn stream(&self, stream: &str) -> Outcome<StreamRow>;
    /// Plain, only grows: sets each field by itself; a zero changes nothing.
    async fn put_stream(&self, stream: &str, row: StreamRow) -> Outcome<()>;
    /// Plain: lists a stream.
    async fn put_stream_id(&self, entity_type: &str, bucket: u16, stream: &str) -> Outcome<()>;
    /// Streams of a bucket after `after`, sorted.
    async fn stream_ids(
        &self,
        entity_type: &str,
        bucket: u16,
        after: &str,
        count_max: usize,
    ) -> Outcome<Vec<Arc<str>>>;

    /// The entity types that have listed streams. Reads the whole table.
    async fn entity_types(&self) -> Outcome<Vec<Arc<str>>>;

    /// Plain: a snapshot.
    async fn put_snapshot(&self, stream: &str, sequence_nr: u64, record: &Bytes) -> Outcome<()>;
    /// The newest snapshot at or before `last`.
    async fn snapshot(&self, stream: &str, last: u64) -> Outcome<Option<(u64, Bytes)>>;
    /// Plain: removes snapshots at or before `last`.
    async fn delete_snapshots(&self, stream: &str, last: u64) -> Outcome<()>;
}
