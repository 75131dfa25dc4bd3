//! The seam to the database: each call is one statement, or one page of a query.
//!
//! [`CqlTables`](crate::cql) sends them to a server; [`ModelTables`](crate::model) is a model of one, with its
//! unknown outcomes and late effects, on which the same protocol runs in the simulation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use antiphon_persistence::Error;
use async_trait::async_trait;
use bytes::Bytes;

/// Why a statement failed.
#[derive(Debug)]
pub struct Failed {
    /// Whether it may have taken effect, or may still.
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

/// What was counted of one statement since the tables were opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatementCounts {
    /// Its name.
    pub name: &'static str,
    /// How often it was sent, repetitions and pages each by themselves.
    pub sent: u64,
    /// How often it failed.
    pub failed: u64,
    /// How long all of it took.
    pub took: Duration,
}

/// What a statement returns.
pub type Outcome<T> = Result<T, Failed>;

/// A lane of a writer's log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId {
    /// The writer.
    pub writer: Arc<str>,
    /// The lane, from zero.
    pub lane: u16,
}

/// A position in a lane: the part, and the last round of it that is meant. Zero is before the first round.
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
    /// Its name.
    pub writer: Arc<str>,
    /// How many lanes its log has; zero when it was sealed before it was opened.
    pub lanes: u16,
    /// Whether all its lanes are sealed.
    pub sealed: bool,
    /// Whether, beyond that, all it wrote is in the entities' partitions.
    pub copied: bool,
    /// When that was, in microseconds since 1970 by the clock of whoever did it; zero before.
    pub ended_at: u64,
}

/// How far a lane is copied, and from where on its parts are there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LaneState {
    /// Everything up to here is in the entities' partitions.
    pub copied: LanePosition,
    /// Rounds up to this one, in parts below `first_part`, are gone.
    pub first_part: u64,
}

/// One conditional write: the next round of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundWrite {
    /// The lane.
    pub lane: LaneId,
    /// Where the round goes.
    pub at: LanePosition,
    /// The head that the part must have: `None` when the round opens it.
    pub head: Option<u64>,
    /// Whether the round ends the part.
    pub closes: bool,
    /// The record.
    pub record: Bytes,
}

/// The answer to a [`RoundWrite`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundAnswer {
    /// It is there.
    Applied,
    /// Nothing was written, because the part is in this state.
    Refused(PartState),
}

/// The state of a part of a lane.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartState {
    /// Its last round.
    pub head: Option<u64>,
    /// Whether the next part goes on.
    pub closed: bool,
    /// Whether its writer was ended here.
    pub sealed: bool,
}

/// Rounds of one part.
#[derive(Debug, Clone, Default)]
pub struct RoundPage {
    /// The state of the part, as the same read saw it.
    pub state: PartState,
    /// Rounds after the asked one, in order.
    pub rounds: Vec<(u64, Bytes)>,
}

/// Some events of a stream in its own partitions.
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

/// What is known of a stream beyond its events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamRow {
    /// The newest part that may have events.
    pub part: u64,
    /// Events up to this one are deleted.
    pub deleted: u64,
}

/// A row of a coordination table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Its key.
    pub key: Arc<str>,
    /// Its version.
    pub version: u64,
    /// Its value.
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

/// One row in a conditional write of a coordination table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellWrite {
    /// Its key.
    pub key: Arc<str>,
    /// The version that it must have; `None`: there must be none.
    pub expected: Option<u64>,
    /// Its new version and value, or `None` to delete it.
    pub value: Option<(u64, Bytes)>,
}

/// The statements. All of one place, which the implementation knows.
///
/// "Serial" reads see every conditional write that was answered, and end those that are half done. "Plain" writes are idempotent
/// and may be repeated; `put_lane_state`, `put_stream` and the highest number of `put_events` only ever grow, whatever the order in
/// which they arrive.
#[async_trait]
pub trait Tables: Send + Sync + 'static {
    /// What the database does not do, if it has not answered for a while.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// What was counted, statement by statement.
    fn statements(&self) -> Vec<StatementCounts> {
        Vec::new()
    }

    /// Conditional: registers a writer, or returns the row that is there.
    async fn insert_writer(&self, row: &WriterRow) -> Outcome<Option<WriterRow>>;
    /// Conditional: sets `sealed` of a registered writer and, when a time is given, `copied` and `ended_at`.
    async fn end_writer(&self, writer: &str, copied_at: Option<u64>) -> Outcome<()>;
    /// All registered writers, by name.
    async fn writers(&self) -> Outcome<Vec<WriterRow>>;
    /// Serial: one registered writer.
    async fn writer(&self, writer: &str) -> Outcome<Option<WriterRow>>;

    /// Conditional: the next round of a lane.
    async fn put_round(&self, write: &RoundWrite) -> Outcome<RoundAnswer>;
    /// Conditional: seals the part unless it is closed; returns its state afterwards.
    async fn seal_part(&self, lane: &LaneId, part: u64) -> Outcome<PartState>;
    /// Rounds of a part after `after`, at most about `bytes_max` of them and at least one.
    async fn rounds(&self, lane: &LaneId, part: u64, after: u64) -> Outcome<RoundPage>;
    /// Plain: removes the rounds of a part; its state stays.
    async fn drop_part(&self, lane: &LaneId, part: u64) -> Outcome<()>;
    /// How far a lane is copied.
    async fn lane_state(&self, lane: &LaneId) -> Outcome<LaneState>;
    /// Plain, only grows: how far a lane is copied, or which parts are gone.
    async fn put_lane_state(&self, lane: &LaneId, state: LaneState) -> Outcome<()>;

    /// Plain: events of a stream.
    async fn put_events(&self, row: &EventRow) -> Outcome<()>;
    /// The highest event of a part of a stream, deleted ones too.
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
    /// Plain: removes the rows of a part whose last event is at most `last`, also those that arrive later.
    async fn delete_events(&self, stream: &str, part: u64, last: u64) -> Outcome<()>;
    /// What is known of a stream.
    async fn stream(&self, stream: &str) -> Outcome<StreamRow>;
    /// Plain, only grows, each field by itself; a zero changes nothing.
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

    /// The types of which streams are listed. Reads the whole table.
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
    /// Conditional, all or nothing: changes rows, and the token when one is given as `(expected, new)`. Says whether it was applied.
    async fn write_cells(
        &self,
        table: &str,
        token: Option<(Option<u64>, u64)>,
        writes: &[CellWrite],
    ) -> Outcome<bool>;
}
