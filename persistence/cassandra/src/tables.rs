//! The seam to the database: each call is one statement, or one page of a query.
//!
//! [`CqlTables`](crate::cql) sends the statements to a server. [`ModelTables`](crate::model) is a
//! model of a server, with unknown outcomes and late effects; the simulation runs the same
//! protocol on it.

use std::fmt;
use std::sync::Arc;

use antiphon_base::Error;
use antiphon_persistence::store::StatementCounts;
use async_trait::async_trait;
use bytes::Bytes;

/// Failure of a statement.
#[derive(Debug)]
pub struct Failed {
    /// True when the statement may have taken effect, or may still take effect.
    pub unknown: bool,
    /// The statement and the cause.
    pub error: Error,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

/// Result of a statement.
pub type Outcome<T> = Result<T, Failed>;

/// A lane of a writer's log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId {
    /// The writer.
    pub writer: Arc<str>,
    /// The lane, from zero.
    pub lane: u16,
}

/// A position in a lane: a part, and the last round up to which the position reaches. Round zero is
/// before the first round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LanePosition {
    /// The part.
    pub part: u64,
    /// The round; rounds are dense over all parts of a lane, from one.
    pub nr: u64,
}

/// A writer's row in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterRow {
    /// Name of the writer.
    pub writer: Arc<str>,
    /// Lanes of the writer's log. Zero when the writer was sealed before it was opened.
    pub lanes: u16,
    /// True when all lanes of the writer are sealed.
    pub sealed: bool,
    /// True when, in addition, all events of the writer are in the entities' partitions.
    pub copied: bool,
    /// Time at which `copied` was set, in microseconds since 1970 by the clock of the process that
    /// set it. Zero before.
    pub ended_at: u64,
}

/// Watermark of a lane, and the first of its parts that is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LaneState {
    /// Everything up to this position is in the entities' partitions.
    pub copied: LanePosition,
    /// Parts below this one are gone.
    pub first_part: u64,
}

/// A conditional write: the next round of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundWrite {
    /// The lane.
    pub lane: LaneId,
    /// Position of the round.
    pub at: LanePosition,
    /// Head that the part must have. `None` when the round opens the part.
    pub head: Option<u64>,
    /// True when the round ends the part.
    pub closes: bool,
    /// The record.
    pub record: Bytes,
}

/// The answer to a [`RoundWrite`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundAnswer {
    /// The round is stored.
    Applied,
    /// Nothing was written, because the part is in this state.
    Refused(PartState),
}

/// The state of a part of a lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartState {
    /// Last round of the part.
    pub head: Option<u64>,
    /// True when the lane continues in the next part.
    pub closed: bool,
    /// True when the writer was ended in this part.
    pub sealed: bool,
}

/// Rounds of one part.
#[derive(Debug, Clone, Default)]
pub struct RoundPage {
    /// State of the part, from the same read.
    pub state: PartState,
    /// Rounds after the requested one, in order.
    pub rounds: Vec<(u64, Bytes)>,
}

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

/// A row of a coordination table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Key of the row.
    pub key: Arc<str>,
    /// Version of the row.
    pub version: u64,
    /// Value of the row.
    pub value: Bytes,
}

/// A coordination table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cells {
    /// The fencing token, if one was ever set.
    pub token: Option<u64>,
    /// The rows by key.
    pub rows: Vec<Cell>,
}

/// A row in a conditional write of a coordination table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellWrite {
    /// Key of the row.
    pub key: Arc<str>,
    /// Version that the row must have. `None` when the row must not exist.
    pub expected: Option<u64>,
    /// New version and value. `None` deletes the row.
    pub value: Option<(u64, Bytes)>,
}

/// The statements of one place, whose name the implementation knows.
///
/// - "Serial" reads see every conditional write that was answered, and complete half-done ones.
/// - "Plain" writes are idempotent and may be repeated.
/// - The values of `put_lane_state` and `put_stream`, and the highest number of `put_events`, only
///   grow, in whatever order the statements arrive.
#[async_trait]
pub trait Tables: Send + Sync + 'static {
    /// Describes the database when it has not answered for a while. `None` when all is well.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// The counts of each statement.
    fn statements(&self) -> Vec<StatementCounts> {
        Vec::new()
    }

    /// Conditional: registers a writer, or returns the row that exists.
    async fn insert_writer(&self, row: &WriterRow) -> Outcome<Option<WriterRow>>;
    /// Conditional: sets `sealed` of a registered writer and, when a time is given, `copied` and
    /// `ended_at`.
    async fn end_writer(&self, writer: &str, copied_at: Option<u64>) -> Outcome<()>;
    /// All registered writers, by name.
    async fn writers(&self) -> Outcome<Vec<WriterRow>>;
    /// Serial: one registered writer.
    async fn writer(&self, writer: &str) -> Outcome<Option<WriterRow>>;

    /// Conditional: the next round of a lane.
    async fn put_round(&self, write: &RoundWrite) -> Outcome<RoundAnswer>;
    /// Conditional: seals the part unless it is closed; returns its state afterwards.
    async fn seal_part(&self, lane: &LaneId, part: u64) -> Outcome<PartState>;
    /// Rounds of a part after `after`, as many as one page takes, and at least one if there is one.
    async fn rounds(&self, lane: &LaneId, part: u64, after: u64) -> Outcome<RoundPage>;
    /// Plain: removes the rounds of a part; its state stays.
    async fn drop_part(&self, lane: &LaneId, part: u64) -> Outcome<()>;
    /// The watermark of a lane, and its first part.
    async fn lane_state(&self, lane: &LaneId) -> Outcome<LaneState>;
    /// Plain, only grows: sets the watermark of a lane, or its first part.
    async fn put_lane_state(&self, lane: &LaneId, state: LaneState) -> Outcome<()>;

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

    /// Plain: a position of a reader.
    async fn put_offset(&self, reader: &str, part: &str, position: &str) -> Outcome<()>;
    /// All positions, as `(reader, part, position)`. Reads the whole table.
    async fn offsets(&self) -> Outcome<Vec<(String, String, String)>>;
    /// The position of a reader.
    async fn offset(&self, reader: &str, part: &str) -> Outcome<Option<String>>;

    /// The names of the coordination tables. Reads the whole table.
    async fn cell_tables(&self) -> Outcome<Vec<Arc<str>>>;
    /// Serial: a whole coordination table.
    async fn cells(&self, table: &str) -> Outcome<Cells>;
    /// Serial: one row.
    async fn cell(&self, table: &str, key: &str) -> Outcome<Option<Cell>>;
    /// Conditional, all or nothing: changes rows, and the token when one is given as
    /// `(expected, new)`. Returns true when the write was applied.
    async fn write_cells(
        &self,
        table: &str,
        token: Option<(Option<u64>, u64)>,
        writes: &[CellWrite],
    ) -> Outcome<bool>;
}
