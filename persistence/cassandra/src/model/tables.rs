//! Each statement on the data of the model.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::ModelTables;
use crate::tables::{
    Cell, CellTables, CellWrite, Cells, EventRow, LaneId, LaneState, LogTables, Outcome, PartState,
    RoundAnswer, RoundPage, RoundWrite, StreamRow, StreamTables, Tables, WriterRow, check_write,
};

/// Rounds in one page; small, so that pages are tested.
const PAGE_MAX: usize = 50;

impl Tables for ModelTables {}

#[async_trait]
impl LogTables for ModelTables {
    async fn insert_writer(&self, row: &WriterRow) -> Outcome<Option<WriterRow>> {
        let row = row.clone();
        self.step(|data| {
            if let Some(there) = data.writers.get(&row.writer) {
                return Some(there.clone());
            }
            data.writers.insert(row.writer.clone(), row.clone());
            None
        })
    }

    async fn end_writer(&self, writer: &str, copied_at: Option<u64>) -> Outcome<()> {
        let writer: Arc<str> = writer.into();
        self.step(|data| {
            if let Some(row) = data.writers.get_mut(&writer) {
                row.sealed = true;
                row.copied |= copied_at.is_some();
                row.ended_at = copied_at.unwrap_or(row.ended_at);
            }
        })
    }

    async fn writers(&self) -> Outcome<Vec<WriterRow>> {
        self.step(|data| data.writers.values().cloned().collect())
    }

    async fn writer(&self, writer: &str) -> Outcome<Option<WriterRow>> {
        self.step(|data| data.writers.get(writer).cloned())
    }

    async fn put_round(&self, write: &RoundWrite) -> Outcome<RoundAnswer> {
        let write = write.clone();
        self.step(|data| {
            let part = data.parts.entry((write.lane.clone(), write.at.part)).or_default();
            if part.state.head != write.head || part.state.sealed || part.state.closed {
                return RoundAnswer::Refused(part.state);
            }
            let last = part.rounds.keys().next_back().copied().or(part.state.head);
            assert!(last < Some(write.at.nr), "round {} is stored after {last:?}", write.at.nr);
            part.state.head = Some(write.at.nr);
            part.state.closed = write.closes;
            part.rounds.insert(write.at.nr, write.record.clone());
            RoundAnswer::Applied
        })
    }

    async fn seal_part(&self, lane: &LaneId, part: u64) -> Outcome<PartState> {
        let lane = lane.clone();
        self.step(|data| {
            let part = data.parts.entry((lane.clone(), part)).or_default();
            if !part.state.closed {
                part.state.sealed = true;
            }
            part.state
        })
    }

    async fn rounds(&self, lane: &LaneId, part: u64, after: u64) -> Outcome<RoundPage> {
        self.step(|data| {
            let Some(part) = data.parts.get(&(lane.clone(), part)) else {
                return RoundPage::default();
            };
            let rounds = part.rounds.range(after.saturating_add(1)..).take(PAGE_MAX);
            let rounds = rounds.map(|(nr, record)| (*nr, record.clone())).collect();
            RoundPage { state: part.state, rounds }
        })
    }

    async fn drop_part(&self, lane: &LaneId, part: u64) -> Outcome<()> {
        let lane = lane.clone();
        self.step(|data| {
            if let Some(part) = data.parts.get_mut(&(lane.clone(), part)) {
                part.rounds.clear();
            }
        })
    }

    async fn lane_state(&self, lane: &LaneId) -> Outcome<LaneState> {
        self.step(|data| data.lanes.get(lane).copied().unwrap_or_default())
    }

    async fn put_lane_state(&self, lane: &LaneId, state: LaneState) -> Outcome<()> {
        let lane = lane.clone();
        self.step(|data| {
            let there = data.lanes.entry(lane.clone()).or_default();
            if state.copied.nr > there.copied.nr {
                there.copied = state.copied;
            }
            there.first_part = there.first_part.max(state.first_part);
        })
    }
}

#[async_trait]
impl StreamTables for ModelTables {
    async fn put_events(&self, row: &EventRow) -> Outcome<()> {
        let row = row.clone();
        self.step(|data| {
            let key = (row.stream.clone(), row.part);
            let highest = data.highest.entry(key.clone()).or_default();
            *highest = (*highest).max(row.last);
            if data.hidden.get(&key).is_some_and(|hidden| row.last <= *hidden) {
                return;
            }
            data.events.entry(key).or_default().insert((row.first, row.last), row.clone());
        })
    }

    async fn highest_in_part(&self, stream: &str, part: u64) -> Outcome<Option<u64>> {
        self.step(|data| data.highest.get(&(stream.into(), part)).copied())
    }

    async fn events(
        &self,
        stream: &str,
        part: u64,
        first: u64,
        last: u64,
        row_count_max: usize,
    ) -> Outcome<Vec<EventRow>> {
        self.step(|data| {
            let Some(rows) = data.events.get(&(stream.into(), part)) else { return Vec::new() };
            let rows = rows.range((first, 0)..).take_while(|((f, _), _)| *f <= last);
            rows.take(row_count_max).map(|(_, row)| row.clone()).collect()
        })
    }

    async fn delete_events(&self, stream: &str, part: u64, last: u64) -> Outcome<()> {
        let key = (Arc::from(stream), part);
        self.step(|data| {
            let hidden = data.hidden.entry(key.clone()).or_default();
            *hidden = (*hidden).max(last);
            if let Some(rows) = data.events.get_mut(&key) {
                rows.retain(|(_, end), _| *end > last);
            }
        })
    }

    async fn stream(&self, stream: &str) -> Outcome<StreamRow> {
        self.step(|data| data.streams.get(stream).copied().unwrap_or_default())
    }

    async fn put_stream(&self, stream: &str, row: StreamRow) -> Outcome<()> {
        let stream: Arc<str> = stream.into();
        self.step(|data| {
            let there = data.streams.entry(stream.clone()).or_default();
            there.part = there.part.max(row.part);
            there.deleted = there.deleted.max(row.deleted);
        })
    }

    async fn put_stream_id(&self, entity_type: &str, bucket: u16, stream: &str) -> Outcome<()> {
        let (key, stream) = ((entity_type.to_owned(), bucket), Arc::<str>::from(stream));
        self.step(|data| {
            data.ids.entry(key.clone()).or_default().insert(stream.clone());
        })
    }

    async fn stream_ids(
        &self,
        entity_type: &str,
        bucket: u16,
        after: &str,
        count_max: usize,
    ) -> Outcome<Vec<Arc<str>>> {
        self.step(|data| {
            let Some(ids) = data.ids.get(&(entity_type.to_owned(), bucket)) else {
                return Vec::new();
            };
            ids.iter().filter(|id| &***id > after).take(count_max).cloned().collect()
        })
    }

    async fn entity_types(&self) -> Outcome<Vec<Arc<str>>> {
        self.step(|data| {
            let mut types: Vec<Arc<str>> =
                data.ids.keys().map(|(entity_type, _)| entity_type.as_str().into()).collect();
            types.dedup();
            types
        })
    }

    async fn put_snapshot(&self, stream: &str, sequence_nr: u64, record: &Bytes) -> Outcome<()> {
        let (key, record) = ((stream.to_owned(), sequence_nr), record.clone());
        self.step(|data| {
            data.snapshots.insert(key.clone(), record.clone());
        })
    }

    async fn snapshot(&self, stream: &str, last: u64) -> Outcome<Option<(u64, Bytes)>> {
        self.step(|data| {
            let mut upto = data.snapshots.range((stream.to_owned(), 0)..=(stream.to_owned(), last));
            upto.next_back().map(|((_, number), record)| (*number, record.clone()))
        })
    }

    async fn delete_snapshots(&self, stream: &str, last: u64) -> Outcome<()> {
        let stream = stream.to_owned();
        self.step(|data| {
            data.snapshots.retain(|(of, number), _| *of != stream || *number > last);
        })
    }
}

#[async_trait]
impl CellTables for ModelTables {
    async fn put_offset(&self, reader: &str, part: &str, position: &str) -> Outcome<()> {
        let (key, position) = ((reader.to_owned(), part.to_owned()), position.to_owned());
        self.step(|data| {
            data.offsets.insert(key.clone(), position.clone());
        })
    }

    async fn offsets(&self) -> Outcome<Vec<(String, String, String)>> {
        self.step(|data| {
            let rows = data.offsets.iter();
            rows.map(|((reader, part), position)| (reader.clone(), part.clone(), position.clone()))
                .collect()
        })
    }

    async fn offset(&self, reader: &str, part: &str) -> Outcome<Option<String>> {
        let key = (reader.to_owned(), part.to_owned());
        self.step(|data| data.offsets.get(&key).cloned())
    }

    async fn cell_tables(&self) -> Outcome<Vec<Arc<str>>> {
        self.step(|data| data.cells.keys().map(|table| table.as_str().into()).collect())
    }

    async fn cells(&self, table: &str) -> Outcome<Cells> {
        self.step(|data| data.cells.get(table).cloned().unwrap_or_default())
    }

    async fn cell(&self, table: &str, key: &str) -> Outcome<Option<Cell>> {
        self.step(|data| {
            let cells = data.cells.get(table)?;
            cells.rows.iter().find(|cell| &*cell.key == key).cloned()
        })
    }

    async fn write_cells(
        &self,
        table: &str,
        token: Option<(Option<u64>, u64)>,
        writes: &[CellWrite],
    ) -> Outcome<bool> {
        check_write(table, token, writes);
        let (table, writes) = (table.to_owned(), writes.to_vec());
        self.step(|data| {
            let cells = data.cells.entry(table.clone()).or_default();
            let version = |cells: &Cells, key: &str| {
                cells.rows.iter().find(|cell| &*cell.key == key).map(|cell| cell.version)
            };
            let as_expected = token.is_none_or(|(expected, _)| cells.token == expected)
                && writes.iter().all(|write| version(cells, &write.key) == write.expected);
            if !as_expected {
                return false;
            }
            if let Some((_, new)) = token {
                cells.token = Some(new);
            }
            for write in &writes {
                cells.rows.retain(|cell| cell.key != write.key);
                if let Some((version, value)) = &write.value {
                    let (version, value) = (*version, value.clone());
                    cells.rows.push(Cell { key: write.key.clone(), version, value });
                }
            }
            cells.rows.sort_by(|a, b| a.key.cmp(&b.key));
            true
        })
    }
}
