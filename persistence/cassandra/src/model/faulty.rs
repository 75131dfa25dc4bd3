//! Tables that misbehave by a seed: statements are slow, refused, of unknown outcome, or late. On
//! the model, and on a real server.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::Error;
use antiphon_base::task::spawn;
use antiphon_persistence::record::reminder::{Columns, Key};
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::tables::{
    Cell, CellTables, CellWrite, Cells, EventRow, Failed, LaneId, LaneState, LogTables, MarkRow,
    Outcome, PartState, ReminderPart, ReminderTables, RoundAnswer, RoundPage, RoundWrite,
    StreamRow, StreamTables, Tables, WriterRow,
};

/// Faults of tables; none by default. Chances are out of 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Statements that fail and certainly have no effect.
    pub refused: u32,
    /// Writes that fail, although they took effect.
    pub unknown_applied: u32,
    /// Writes that fail and take effect later.
    pub unknown_late: u32,
    /// Writes that fail as unknown and never take effect.
    pub unknown_lost: u32,
    /// Longest delay that is added to a statement.
    pub delay_max: Duration,
    /// Longest time until a late effect.
    pub late_max: Duration,
}

/// Tables with [`Faults`] in front. Clones share their random numbers.
#[derive(Clone)]
pub struct FaultyTables {
    tables: Arc<dyn Tables>,
    chance: Arc<Mutex<(ChaCha8Rng, Faults)>>,
}

/// A statement that can be sent now, later, or never.
type Statement<T> = Box<dyn Fn(Arc<dyn Tables>) -> BoxFuture<'static, Outcome<T>> + Send + Sync>;

/// Sends a write that owns its arguments: now, later or never.
macro_rules! write {
    ($self:ident, ($($name:ident = $value:expr),*), |$tables:ident| $call:expr) => {{
        $(let $name = $value;)*
        let statement = move |$tables: Arc<dyn Tables>| -> BoxFuture<'static, _> {
            $(let $name = ToOwned::to_owned(&$name);)*
            Box::pin(async move { $call.await })
        };
        $self.write(Box::new(statement)).await
    }};
}

impl FaultyTables {
    /// Adds faults to `tables`.
    pub fn new(tables: Arc<dyn Tables>, seed: u64, faults: Faults) -> Self {
        Self { tables, chance: Arc::new(Mutex::new((ChaCha8Rng::seed_from_u64(seed), faults))) }
    }

    /// The same random numbers and faults in front of another session.
    #[must_use]
    pub fn on(&self, tables: Arc<dyn Tables>) -> Self {
        Self { tables, chance: self.chance.clone() }
    }

    /// Changes the faults from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.chance.lock().1 = faults;
    }

    fn roll(&self) -> (u32, Duration, Duration, Faults) {
        let mut chance = self.chance.lock();
        let (random, faults) = &mut *chance;
        let mut up_to = |max: Duration| {
            let micros = u64::try_from(max.as_micros()).unwrap_or(u64::MAX);
            Duration::from_micros(if micros == 0 { 0 } else { random.random_range(0..=micros) })
        };
        let (delay, late) = (up_to(faults.delay_max), up_to(faults.late_max));
        (random.random_range(0..1000), delay, late, *faults)
    }

    async fn read<T>(&self, read: BoxFuture<'_, Outcome<T>>) -> Outcome<T> {
        let (roll, delay, _, faults) = self.roll();
        wait(delay).await;
        if roll < faults.refused {
            return Err(failed(false));
        }
        read.await
    }

    async fn write<T: Send + 'static>(&self, write: Statement<T>) -> Outcome<T> {
        let (mut roll, delay, late, faults) = self.roll();
        wait(delay / 2).await;
        if roll < faults.refused {
            return Err(failed(false));
        }
        roll -= faults.refused;
        if roll < faults.unknown_applied {
            write(self.tables.clone()).await?;
            return Err(failed(true));
        }
        roll -= faults.unknown_applied;
        if roll < faults.unknown_late {
            let tables = self.tables.clone();
            spawn("late effect", async move {
                wait(late).await;
                // the outcome of a late write is ignored
                let _ = write(tables).await;
            });
            return Err(failed(true));
        }
        roll -= faults.unknown_late;
        if roll < faults.unknown_lost {
            return Err(failed(true));
        }
        let answer = write(self.tables.clone()).await?;
        wait(delay / 2).await;
        Ok(answer)
    }
}

async fn wait(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

fn failed(unknown: bool) -> Failed {
    let error = if unknown {
        Error::timeout("faults: the outcome is unknown")
    } else {
        Error::unavailable("faults: no server answers")
    };
    Failed { unknown, error }
}

impl Tables for FaultyTables {}

#[async_trait]
impl LogTables for FaultyTables {
    async fn insert_writer(&self, row: &WriterRow) -> Outcome<Option<WriterRow>> {
        write!(self, (row = row.clone()), |tables| tables.insert_writer(&row))
    }

    async fn end_writer(&self, writer: &str, copied_at: Option<u64>) -> Outcome<()> {
        write!(self, (writer = writer.to_owned()), |tables| tables.end_writer(&writer, copied_at))
    }

    async fn writers(&self) -> Outcome<Vec<WriterRow>> {
        self.read(self.tables.writers()).await
    }

    async fn writer(&self, writer: &str) -> Outcome<Option<WriterRow>> {
        self.read(self.tables.writer(writer)).await
    }

    async fn put_round(&self, write: &RoundWrite) -> Outcome<RoundAnswer> {
        write!(self, (write = write.clone()), |tables| tables.put_round(&write))
    }

    async fn seal_part(&self, lane: &LaneId, part: u64) -> Outcome<PartState> {
        write!(self, (lane = lane.clone()), |tables| tables.seal_part(&lane, part))
    }

    async fn rounds(&self, lane: &LaneId, part: u64, after: u64) -> Outcome<RoundPage> {
        self.read(self.tables.rounds(lane, part, after)).await
    }

    async fn drop_part(&self, lane: &LaneId, part: u64) -> Outcome<()> {
        write!(self, (lane = lane.clone()), |tables| tables.drop_part(&lane, part))
    }

    async fn lane_state(&self, lane: &LaneId) -> Outcome<LaneState> {
        self.read(self.tables.lane_state(lane)).await
    }

    async fn put_lane_state(&self, lane: &LaneId, state: LaneState) -> Outcome<()> {
        write!(self, (lane = lane.clone()), |tables| tables.put_lane_state(&lane, state))
    }
}

#[async_trait]
impl StreamTables for FaultyTables {
    async fn put_events(&self, row: &EventRow) -> Outcome<()> {
        write!(self, (row = row.clone()), |tables| tables.put_events(&row))
    }

    async fn highest_in_part(&self, stream: &str, part: u64) -> Outcome<Option<u64>> {
        self.read(self.tables.highest_in_part(stream, part)).await
    }

    async fn events(
        &self,
        stream: &str,
        part: u64,
        first: u64,
        last: u64,
        row_count_max: usize,
    ) -> Outcome<Vec<EventRow>> {
        self.read(self.tables.events(stream, part, first, last, row_count_max)).await
    }

    async fn delete_events(&self, stream: &str, part: u64, last: u64) -> Outcome<()> {
        write!(self, (stream = stream.to_owned()), |tables| tables
            .delete_events(&stream, part, last))
    }

    async fn stream(&self, stream: &str) -> Outcome<StreamRow> {
        self.read(self.tables.stream(stream)).await
    }

    async fn put_stream(&self, stream: &str, row: StreamRow) -> Outcome<()> {
        write!(self, (stream = stream.to_owned()), |tables| tables.put_stream(&stream, row))
    }

    async fn put_stream_id(&self, entity_type: &str, bucket: u16, stream: &str) -> Outcome<()> {
        write!(self, (entity_type = entity_type.to_owned(), stream = stream.to_owned()), |tables| {
            tables.put_stream_id(&entity_type, bucket, &stream)
        })
    }

    async fn stream_ids(
        &self,
        entity_type: &str,
        bucket: u16,
        after: &str,
        count_max: usize,
    ) -> Outcome<Vec<Arc<str>>> {
        self.read(self.tables.stream_ids(entity_type, bucket, after, count_max)).await
    }

    async fn entity_types(&self) -> Outcome<Vec<Arc<str>>> {
        self.read(self.tables.entity_types()).await
    }

    async fn put_snapshot(&self, stream: &str, sequence_nr: u64, record: &Bytes) -> Outcome<()> {
        write!(self, (stream = stream.to_owned(), record = record.clone()), |tables| tables
            .put_snapshot(&stream, sequence_nr, &record))
    }

    async fn snapshot(&self, stream: &str, last: u64) -> Outcome<Option<(u64, Bytes)>> {
        self.read(self.tables.snapshot(stream, last)).await
    }

    async fn delete_snapshots(&self, stream: &str, last: u64) -> Outcome<()> {
        write!(self, (stream = stream.to_owned()), |tables| tables.delete_snapshots(&stream, last))
    }
}

#[async_trait]
impl CellTables for FaultyTables {
    async fn put_offset(&self, reader: &str, part: &str, position: &str) -> Outcome<()> {
        write!(
            self,
            (reader = reader.to_owned(), part = part.to_owned(), position = position.to_owned()),
            |tables| tables.put_offset(&reader, &part, &position)
        )
    }

    async fn offsets(&self) -> Outcome<Vec<(String, String, String)>> {
        self.read(self.tables.offsets()).await
    }

    async fn offset(&self, reader: &str, part: &str) -> Outcome<Option<String>> {
        self.read(self.tables.offset(reader, part)).await
    }

    async fn cell_tables(&self) -> Outcome<Vec<Arc<str>>> {
        self.read(self.tables.cell_tables()).await
    }

    async fn cells(&self, table: &str) -> Outcome<Cells> {
        self.read(self.tables.cells(table)).await
    }

    async fn cell(&self, table: &str, key: &str) -> Outcome<Option<Cell>> {
        self.read(self.tables.cell(table, key)).await
    }

    async fn write_cells(
        &self,
        table: &str,
        token: Option<(Option<u64>, u64)>,
        writes: &[CellWrite],
    ) -> Outcome<bool> {
        write!(self, (table = table.to_owned(), writes = writes.to_vec()), |tables| tables
            .write_cells(&table, token, &writes))
    }
}

#[async_trait]
impl ReminderTables for FaultyTables {
    async fn put_reminder(&self, part: &ReminderPart, row: &Columns, at: u64) -> Outcome<()> {
        write!(self, (part = part.clone(), row = row.clone()), |tables| tables
            .put_reminder(&part, &row, at))
    }

    async fn remove_reminder(&self, part: &ReminderPart, key: &Key, at: u64) -> Outcome<()> {
        write!(self, (part = part.clone(), key = key.clone()), |tables| tables
            .remove_reminder(&part, &key, at))
    }

    async fn reminder(&self, part: &ReminderPart, key: &Key) -> Outcome<Option<i64>> {
        self.read(self.tables.reminder(part, key)).await
    }

    async fn reminders(
        &self,
        part: &ReminderPart,
        after: &Key,
        last: i64,
        row_count_max: usize,
    ) -> Outcome<Vec<Columns>> {
        self.read(self.tables.reminders(part, after, last, row_count_max)).await
    }

    async fn reminder_parts(&self) -> Outcome<Vec<ReminderPart>> {
        self.read(self.tables.reminder_parts()).await
    }

    async fn put_mark(&self, entity_type: &str, mark: &MarkRow, at: u64) -> Outcome<()> {
        write!(self, (entity_type = entity_type.to_owned(), mark = mark.clone()), |tables| tables
            .put_mark(&entity_type, &mark, at))
    }

    async fn remove_mark(
        &self,
        entity_type: &str,
        hour: u64,
        session: &str,
        at: u64,
    ) -> Outcome<()> {
        write!(
            self,
            (entity_type = entity_type.to_owned(), session = session.to_owned()),
            |tables| tables.remove_mark(&entity_type, hour, &session, at)
        )
    }

    async fn marks(&self, entity_type: &str, last_hour: u64) -> Outcome<Vec<MarkRow>> {
        self.read(self.tables.marks(entity_type, last_hour)).await
    }
}
