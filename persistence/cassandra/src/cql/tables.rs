//! Each statement of the seam, on a session.

use std::sync::Arc;

use antiphon_persistence::record::checksum::{Checksum, DAMAGED};
use antiphon_persistence::store::StatementCounts;
use async_trait::async_trait;
use bytes::Bytes;
use scylla::statement::batch::{Batch, BatchType};
use scylla::value::CqlValue;

use super::execute::{CqlTables, refusal};
use super::sessions::Use;
use super::statements::Statements;
use crate::damaged::damaged;
use crate::tables::{
    Cell, CellWrite, Cells, EventRow, Failed, LaneId, LanePosition, LaneState, Outcome, PartState,
    RoundAnswer, RoundPage, RoundWrite, StreamRow, Tables, WriterRow,
};

/// Rounds in one page: some 4 MiB at the default size of a round.
const ROUNDS_MAX: i32 = 16;

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn limit(count_max: usize) -> i32 {
    i32::try_from(count_max).unwrap_or(i32::MAX).max(1)
}

type WriterColumns = (String, Option<i32>, Option<bool>, Option<bool>, Option<i64>);

fn writer_row((writer, lanes, sealed, copied, ended_at): WriterColumns) -> WriterRow {
    WriterRow {
        writer: writer.into(),
        lanes: lanes.and_then(|lanes| u16::try_from(lanes).ok()).unwrap_or(0),
        sealed: sealed.unwrap_or(false),
        copied: copied.unwrap_or(false),
        ended_at: ended_at.map_or(0, unsigned),
    }
}

#[async_trait]
impl Tables for CqlTables {
    fn trouble(&self) -> Option<String> {
        self.answers.trouble()
    }

    fn statements(&self) -> Vec<StatementCounts> {
        let mut counts = self.statements.counts();
        counts.push(self.write_cells.snapshot("write_cells"));
        counts
    }

    async fn insert_writer(&self, row: &WriterRow) -> Outcome<Option<WriterRow>> {
        let values = (&self.place, &*row.writer, i32::from(row.lanes), row.sealed, row.copied);
        let refused = self.conditional(&self.statements.insert_writer, values).await?;
        Ok(refused.map(|there| WriterRow {
            writer: row.writer.clone(),
            lanes: there.number("lanes").and_then(|n| u16::try_from(n).ok()).unwrap_or(0),
            sealed: there.flag("sealed"),
            copied: there.flag("copied"),
            ended_at: there.number("ended_at").unwrap_or(0),
        }))
    }

    async fn end_writer(&self, writer: &str, copied_at: Option<u64>) -> Outcome<()> {
        let Statements { seal_writer, finish_writer, .. } = &self.statements;
        let refused = match copied_at {
            None => self.conditional(seal_writer, (&self.place, writer)).await,
            Some(at) => self.conditional(finish_writer, (signed(at), &self.place, writer)).await,
        };
        refused.map(drop)
    }

    async fn writers(&self) -> Outcome<Vec<WriterRow>> {
        let rows = self.all_rows(&self.statements.writers, (&self.place,)).await?;
        Ok(rows.into_iter().map(writer_row).collect())
    }

    async fn writer(&self, writer: &str) -> Outcome<Option<WriterRow>> {
        let rows = self.rows(&self.statements.writer, (&self.place, writer)).await?;
        Ok(rows.into_iter().next().map(writer_row))
    }

    async fn put_round(&self, write: &RoundWrite) -> Outcome<RoundAnswer> {
        let Statements { put_round, close_round, .. } = &self.statements;
        let of = if write.closes { close_round } else { put_round };
        let RoundWrite { lane, at, head, record, .. } = write;
        let nr = signed(at.nr);
        let key = (&self.place, &*lane.writer, i32::from(lane.lane), signed(at.part));
        let values = (nr, record, key.0, key.1, key.2, key.3, nr, head.map(signed));
        Ok(match self.conditional(of, values).await? {
            None => RoundAnswer::Applied,
            Some(there) => RoundAnswer::Refused(PartState {
                head: there.number("head"),
                closed: there.flag("closed"),
                sealed: there.flag("sealed"),
            }),
        })
    }

    async fn seal_part(&self, lane: &LaneId, part: u64) -> Outcome<PartState> {
        let key = (&self.place, &*lane.writer, i32::from(lane.lane), signed(part));
        self.conditional(&self.statements.seal_part, key).await?;
        let rows = self.rows(&self.statements.part, key).await?;
        Ok(rows.into_iter().next().map(part_state).unwrap_or_default())
    }

    async fn rounds(&self, lane: &LaneId, part: u64, after: u64) -> Outcome<RoundPage> {
        let key = (&self.place, &*lane.writer, i32::from(lane.lane), signed(part));
        // most looks find nothing new, and the state alone tells so
        let rows = self.rows(&self.statements.part_state, key).await?;
        let state: PartState = rows.into_iter().next().map(part_state).unwrap_or_default();
        if state.head.is_none_or(|head| head <= after) {
            return Ok(RoundPage { state, rounds: Vec::new() });
        }
        let values = (key.0, key.1, key.2, key.3, signed(after), ROUNDS_MAX);
        let mut rows: Vec<(i64, Option<Bytes>)> =
            self.rows(&self.statements.rounds, values).await?;
        if rows.is_empty() {
            // the commit of a round is half done: a replica has its head, and no replica that
            // answered has its row; a serial read completes the commit
            rows = self.rows(&self.statements.rounds_serial, values).await?;
        }
        let rounds = rows.into_iter().filter_map(|(nr, record)| Some((unsigned(nr), record?)));
        Ok(RoundPage { state, rounds: rounds.collect() })
    }

    async fn drop_part(&self, lane: &LaneId, part: u64) -> Outcome<()> {
        let key = (&self.place, &*lane.writer, i32::from(lane.lane), signed(part));
        self.run(&self.statements.drop_part, key).await
    }

    async fn lane_state(&self, lane: &LaneId) -> Outcome<LaneState> {
        let key = (&self.place, &*lane.writer, i32::from(lane.lane));
        type Columns = (Option<i64>, Option<i64>, Option<i64>);
        let rows: Vec<Columns> = self.rows(&self.statements.lane, key).await?;
        let (part, nr, first) = rows.into_iter().next().unwrap_or_default();
        let number = |value: Option<i64>| value.map_or(0, unsigned);
        let copied = LanePosition { part: number(part), nr: number(nr) };
        Ok(LaneState { copied, first_part: number(first) })
    }

    async fn put_lane_state(&self, lane: &LaneId, state: LaneState) -> Outcome<()> {
        let key = (&self.place, &*lane.writer, i32::from(lane.lane));
        // the number is the time of the write, so the highest number wins, in any order of arrival
        let LaneState { copied, first_part } = state;
        if copied.nr > 0 {
            let values =
                (key.0, key.1, key.2, signed(copied.part), signed(copied.nr), signed(copied.nr));
            self.run(&self.statements.put_lane_copied, values).await?;
        }
        if first_part > 0 {
            let values = (key.0, key.1, key.2, signed(first_part), signed(first_part));
            self.run(&self.statements.put_lane_first, values).await?;
        }
        Ok(())
    }

    async fn put_events(&self, row: &EventRow) -> Outcome<()> {
        let EventRow { stream, part, first, last, record } = row;
        let last = signed(*last);
        let values =
            (&self.place, &**stream, signed(*part), signed(*first), last, last, record, last);
        self.run(&self.statements.put_events, values).await
    }

    async fn highest_in_part(&self, stream: &str, part: u64) -> Outcome<Option<u64>> {
        let values = (&self.place, stream, signed(part));
        let rows: Vec<(Option<i64>,)> = self.rows(&self.statements.highest_in_part, values).await?;
        Ok(rows.into_iter().next().and_then(|(highest,)| highest).map(unsigned))
    }

    async fn events(
        &self,
        stream: &str,
        part: u64,
        first: u64,
        last: u64,
        row_count_max: usize,
    ) -> Outcome<Vec<EventRow>> {
        let bounds = (signed(first), signed(last), limit(row_count_max));
        let values = (&self.place, stream, signed(part), bounds.0, bounds.1, bounds.2);
        let rows: Vec<(i64, i64, Bytes)> = self.rows(&self.statements.events, values).await?;
        let row = |(first, last, record)| EventRow {
            stream: stream.into(),
            part,
            first: unsigned(first),
            last: unsigned(last),
            record,
        };
        Ok(rows.into_iter().map(row).collect())
    }

    async fn delete_events(&self, stream: &str, part: u64, last: u64) -> Outcome<()> {
        // the time of a row is its last event, so this hides exactly the rows that end at `last` or
        // before
        let values = (signed(last), &self.place, stream, signed(part), signed(last));
        self.run(&self.statements.delete_events, values).await
    }

    async fn stream(&self, stream: &str) -> Outcome<StreamRow> {
        let values = (&self.place, stream);
        let rows: Vec<(Option<i64>, Option<i64>)> =
            self.rows(&self.statements.stream, values).await?;
        let (part, deleted) = rows.into_iter().next().unwrap_or_default();
        let number = |value: Option<i64>| value.map_or(0, unsigned);
        Ok(StreamRow { part: number(part), deleted: number(deleted) })
    }

    async fn put_stream(&self, stream: &str, row: StreamRow) -> Outcome<()> {
        for (of, number) in [
            (&self.statements.put_stream_part, row.part),
            (&self.statements.put_stream_deleted, row.deleted),
        ] {
            if number > 0 {
                self.run(of, (&self.place, stream, signed(number), signed(number))).await?;
            }
        }
        Ok(())
    }

    async fn put_stream_id(&self, entity_type: &str, bucket: u16, stream: &str) -> Outcome<()> {
        let values = (&self.place, entity_type, i32::from(bucket), stream);
        self.run(&self.statements.put_stream_id, values).await
    }

    async fn stream_ids(
        &self,
        entity_type: &str,
        bucket: u16,
        after: &str,
        count_max: usize,
    ) -> Outcome<Vec<Arc<str>>> {
        let values = (&self.place, entity_type, i32::from(bucket), after, limit(count_max));
        let rows: Vec<(String,)> = self.rows(&self.statements.stream_ids, values).await?;
        Ok(rows.into_iter().map(|(stream,)| stream.into()).collect())
    }

    async fn entity_types(&self) -> Outcome<Vec<Arc<str>>> {
        let rows: Vec<(String, String, i32)> =
            self.all_rows(&self.statements.entity_types, ()).await?;
        let own = rows.into_iter().filter(|(place, ..)| *place == self.place);
        let mut types: Vec<Arc<str>> = own.map(|(_, entity_type, _)| entity_type.into()).collect();
        types.sort_unstable();
        types.dedup();
        Ok(types)
    }

    async fn offsets(&self) -> Outcome<Vec<(String, String, String)>> {
        let rows: Vec<(String, String, String, String)> =
            self.all_rows(&self.statements.offsets, ()).await?;
        let own = rows.into_iter().filter(|(place, ..)| *place == self.place);
        Ok(own.map(|(_, reader, part, position)| (reader, part, position)).collect())
    }

    async fn cell_tables(&self) -> Outcome<Vec<Arc<str>>> {
        let rows: Vec<(String, String)> = self.all_rows(&self.statements.cell_tables, ()).await?;
        let own = rows.into_iter().filter(|(place, _)| *place == self.place);
        Ok(own.map(|(_, table)| table.into()).collect())
    }

    async fn put_snapshot(&self, stream: &str, sequence_nr: u64, record: &Bytes) -> Outcome<()> {
        let values = (&self.place, stream, signed(sequence_nr), record);
        self.run(&self.statements.put_snapshot, values).await
    }

    async fn snapshot(&self, stream: &str, last: u64) -> Outcome<Option<(u64, Bytes)>> {
        let values = (&self.place, stream, signed(last));
        let rows: Vec<(i64, Bytes)> = self.rows(&self.statements.snapshot, values).await?;
        Ok(rows.into_iter().next().map(|(number, record)| (unsigned(number), record)))
    }

    async fn delete_snapshots(&self, stream: &str, last: u64) -> Outcome<()> {
        let values = (&self.place, stream, signed(last));
        self.run(&self.statements.delete_snapshots, values).await
    }

    async fn put_offset(&self, reader: &str, part: &str, position: &str) -> Outcome<()> {
        self.run(&self.statements.put_offset, (&self.place, reader, part, position)).await
    }

    async fn offset(&self, reader: &str, part: &str) -> Outcome<Option<String>> {
        let rows: Vec<(String,)> =
            self.rows(&self.statements.offset, (&self.place, reader, part)).await?;
        Ok(rows.into_iter().next().map(|(position,)| position))
    }

    async fn cells(&self, table: &str) -> Outcome<Cells> {
        type Columns = (Option<String>, Option<i64>, Option<i64>, Option<i64>, Option<Bytes>);
        let rows: Vec<Columns> =
            self.all_rows(&self.statements.cells, (&self.place, table)).await?;
        let mut cells = Cells::default();
        for (key, token, sum, version, value) in rows {
            if sum != token.map(|token| token_sum(table, token)) {
                let error = damaged("cells", &format!("`fencing_token` of `{table}`"), DAMAGED);
                return Err(Failed { unknown: false, error });
            }
            cells.token = token.map(unsigned);
            // a partition with a token and no rows returns one row without a key
            if let (Some(key), Some(version)) = (key, version) {
                let (version, value) = (unsigned(version), value.unwrap_or_default());
                cells.rows.push(Cell { key: key.into(), version, value });
            }
        }
        Ok(cells)
    }

    async fn cell(&self, table: &str, key: &str) -> Outcome<Option<Cell>> {
        type Columns = (String, Option<i64>, Option<Bytes>);
        let rows: Vec<Columns> =
            self.rows(&self.statements.cell, (&self.place, table, key)).await?;
        Ok(rows.into_iter().next().and_then(|(key, version, value)| {
            let (version, value) = (unsigned(version?), value.unwrap_or_default());
            Some(Cell { key: key.into(), version, value })
        }))
    }

    async fn write_cells(
        &self,
        table: &str,
        token: Option<(Option<u64>, u64)>,
        writes: &[CellWrite],
    ) -> Outcome<bool> {
        let mut batch = Batch::new(BatchType::Unlogged);
        batch.set_is_idempotent(false);
        let mut values: Vec<Vec<Option<CqlValue>>> = Vec::new();
        let text = |text: &str| Some(CqlValue::Text(text.to_owned()));
        let number = |number: u64| Some(CqlValue::BigInt(signed(number)));
        let (name, place, table) = (table, text(&self.place), text(table));
        if let Some((expected, new)) = token {
            batch.append_statement(self.statements.set_token.prepared.clone());
            let sum = Some(CqlValue::BigInt(token_sum(name, signed(new))));
            let expected = expected.and_then(number);
            values.push(vec![number(new), sum, place.clone(), table.clone(), expected]);
        }
        for CellWrite { key, expected, value } in writes {
            let key = text(key);
            let blob = |value: &Bytes| Some(CqlValue::Blob(value.to_vec()));
            let (of, bound) = match (expected, value) {
                (None, Some((version, value))) => (
                    &self.statements.insert_cell,
                    vec![place.clone(), table.clone(), key, number(*version), blob(value)],
                ),
                (Some(expected), Some((version, value))) => (
                    &self.statements.update_cell,
                    vec![
                        number(*version),
                        blob(value),
                        place.clone(),
                        table.clone(),
                        key,
                        number(*expected),
                    ],
                ),
                (Some(expected), None) => (
                    &self.statements.delete_cell,
                    vec![place.clone(), table.clone(), key, number(*expected)],
                ),
                (None, None) => continue,
            };
            batch.append_statement(of.prepared.clone());
            values.push(bound);
        }
        let session = self.sessions.get(Use::Coordination);
        let batch = session.batch(&batch, values);
        let outcome =
            self.noted("write_cells", &self.write_cells, Use::Coordination, batch).await?;
        Ok(refusal("write_cells", outcome)?.is_none())
    }
}

/// The checksum of a table's fencing token.
fn token_sum(table: &str, token: i64) -> i64 {
    Checksum::of("tokens").text(table).signed(token).stored()
}

fn part_state((head, closed, sealed): (Option<i64>, Option<bool>, Option<bool>)) -> PartState {
    PartState {
        head: head.map(unsigned),
        closed: closed.unwrap_or(false),
        sealed: sealed.unwrap_or(false),
    }
}
