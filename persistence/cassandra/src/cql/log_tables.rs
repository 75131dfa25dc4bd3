//! Statements on the writers' logs.

use async_trait::async_trait;
use bytes::Bytes;

use super::execute::CqlTables;
use super::numbers::{signed, unsigned};
use super::statements::Statements;
use crate::tables::{
    LaneId, LanePosition, LaneState, LogTables, Outcome, PartState, RoundAnswer, RoundPage,
    RoundWrite, WriterRow,
};

/// The server's limit for one request. The settings keep rounds well below it.
const REQUEST_BYTES_MAX: usize = 16 << 20;
/// Rounds in one page: some 4 MiB at the default size of a round.
const ROUNDS_MAX: i32 = 16;

pub(super) type WriterColumns = (String, Option<i32>, Option<bool>, Option<bool>, Option<i64>);

pub(super) fn writer_row((writer, lanes, sealed, copied, ended_at): WriterColumns) -> WriterRow {
    WriterRow {
        writer: writer.into(),
        lanes: lanes.and_then(|lanes| u16::try_from(lanes).ok()).unwrap_or(0),
        sealed: sealed.unwrap_or(false),
        copied: copied.unwrap_or(false),
        ended_at: ended_at.map_or(0, unsigned),
    }
}

fn part_state((head, closed, sealed): (Option<i64>, Option<bool>, Option<bool>)) -> PartState {
    PartState {
        head: head.map(unsigned),
        closed: closed.unwrap_or(false),
        sealed: sealed.unwrap_or(false),
    }
}

#[async_trait]
impl LogTables for CqlTables {
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
        assert!(record.len() < REQUEST_BYTES_MAX, "round {} has {} bytes", at.nr, record.len());
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
}
