//! Statements on streams and snapshots.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::execute::CqlTables;
use super::numbers::{limit, signed, unsigned};
use crate::tables::{EventRow, Outcome, StreamRow, StreamTables};

#[async_trait]
impl StreamTables for CqlTables {
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
}
