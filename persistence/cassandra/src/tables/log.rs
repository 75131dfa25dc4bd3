//! The writers' logs: the registry, the lanes with their parts and rounds, the watermarks.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::outcome::Outcome;

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

/// Statements on the writers' logs. A cancelled write may have taken effect, and may still take
/// effect; a cancelled read changes nothing.
#[async_trait]
pub trait LogTables: Send + Sync + 'static {
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
}
