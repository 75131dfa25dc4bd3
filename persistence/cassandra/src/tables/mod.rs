//! The seam to the database: each call is one statement, or one page of a query.
//!
//! [`CqlTables`](crate::cql) sends the statements to a server. [`ModelTables`](crate::model) is a
//! model of a server, with unknown outcomes and late effects; the simulation runs the same
//! protocol on it.

mod cells;
mod log;
mod outcome;
mod reminders;
mod streams;

use antiphon_persistence::store::StatementCounts;

pub(crate) use cells::check_write;
pub use cells::{Cell, CellTables, CellWrite, Cells};
pub use log::{
    LaneId, LanePosition, LaneState, LogTables, PartState, RoundAnswer, RoundPage, RoundWrite,
    WriterRow,
};
pub use outcome::{Failed, Outcome};
pub use reminders::{MarkRow, ReminderPart, ReminderTables};
pub use streams::{EventRow, StreamRow, StreamTables};

/// The statements of one place, whose name the implementation knows.
///
/// - "Serial" reads see every conditional write that was answered, and complete half-done ones.
/// - "Plain" writes are idempotent and may be repeated.
/// - The values of `put_lane_state` and `put_stream`, and the highest number of `put_events`, only
///   grow, in whatever order the statements arrive.
pub trait Tables: LogTables + StreamTables + CellTables + ReminderTables {
    /// Describes the database when it has not answered for a while. `None` when all is well.
    fn trouble(&self) -> Option<String> {
        None
    }

    /// The counts of each statement.
    fn statements(&self) -> Vec<StatementCounts> {
        Vec::new()
    }
}
