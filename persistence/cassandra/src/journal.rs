//! Single streams: an append goes to the log; a replay joins a stream's own partitions with its
//! events that are not copied yet.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::{Error, Result};
use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{Append, Journal, Limits, WriterId};
use async_trait::async_trait;

use crate::log::copy_plan::part_of;
use crate::log::entry::{Entry, encode_entry};
use crate::log::job::Room;
use crate::log::seal::seal;
use crate::log::writer::{Reserved, Writer};
use crate::stats::count;
use crate::stores::CassandraStores;
use crate::tables::{StreamRow, WriterRow};

#[async_trait]
impl Journal for CassandraStores {
    async fn open_writer(&self, writer: &WriterId) -> Result<()> {
        self.require_owner()?;
        let row = WriterRow {
            writer: writer.as_str().into(),
            lanes: self.inner.shared.settings.lanes,
            sealed: false,
            copied: false,
            ended_at: 0,
        };
        match self.tables().insert_writer(&row).await? {
            None => self.start_writer(writer),
            Some(there) if there.sealed => {
                Err(Error::rejected(format!("writer `{writer}` is sealed: use a new name")))
            }
            Some(_) => {
                Err(Error::rejected(format!("writer `{writer}` was opened before: use a new name")))
            }
        }
    }

    fn limits(&self) -> Limits {
        let append_bytes_max = self.inner.shared.settings.append_bytes_max;
        Limits { append_bytes_max, snapshot_bytes_max: append_bytes_max, ..Limits::default() }
    }

    async fn append(&self, id: &WriterId, append: Append) -> Result<()> {
        append.check()?;
        let bytes = append.check_size(&self.limits())?;
        let Some(writer) = self.open_here(id) else { return Err(self.not_open(id).await?) };
        let outcome = self.append_with(&writer, append, bytes).await;
        if outcome.as_ref().is_err_and(|e| e.kind() == antiphon_base::ErrorKind::Fenced) {
            count(&self.inner.shared.counters.fenced, 1);
        }
        outcome
    }

    async fn seal(&self, writer: &WriterId) -> Result<()> {
        self.require_owner()?;
        if let Some(open) = self.open_here(writer) {
            open.end();
        }
        seal(&self.inner.shared.copying(), writer.as_str()).await
    }

    async fn replay(
        &self,
        persistence_id: &PersistenceId,
        first: SequenceNr,
        last: SequenceNr,
        event_count_max: usize,
    ) -> Result<Vec<StoredEvent>> {
        self.read_stream(persistence_id, first, last, event_count_max).await
    }

    async fn highest(&self, persistence_id: &PersistenceId) -> Result<SequenceNr> {
        let stream: Arc<str> = persistence_id.as_str().into();
        let (highest, _) = self.end_of(&stream).await?;
        Ok(SequenceNr::new(highest))
    }

    async fn delete_to(&self, persistence_id: &PersistenceId, last: SequenceNr) -> Result<()> {
        self.require_owner()?;
        let stream: Arc<str> = persistence_id.as_str().into();
        let (highest, row) = self.end_of(&stream).await?;
        let deleted = last.value().min(highest);
        if deleted <= row.deleted {
            return Ok(());
        }
        // the mark is written first: from here on the events are gone for every reader
        self.tables().put_stream(&stream, StreamRow { part: 0, deleted }).await?;
        self.inner.shared.read_ahead.forget(&stream);
        let max = self.inner.shared.partition_events_max;
        for part in part_of(row.deleted.max(1), max)..=part_of(deleted, max) {
            self.tables().delete_events(&stream, part, deleted).await?;
        }
        Ok(())
    }
}

impl CassandraStores {
    /// The error of an append by a writer that is not open here.
    async fn not_open(&self, writer: &WriterId) -> Result<Error> {
        self.require_owner()?;
        let row = self.tables().writer(writer.as_str()).await?;
        Ok(match row {
            Some(row) if row.sealed => Error::fenced(format!("writer `{writer}` is sealed")),
            Some(_) => Error::rejected(format!("writer `{writer}` was opened by another session")),
            None => Error::rejected(format!("writer `{writer}` was never opened")),
        })
    }

    async fn append_with(&self, writer: &Writer, append: Append, bytes: usize) -> Result<()> {
        writer.ended()?;
        writer.room_to_copy().await;
        let queue = &self.inner.queue;
        if queue.available_permits() == 0 {
            count(&self.inner.shared.counters.queue_full, 1);
        }
        let Ok(room) = queue.clone().acquire_owned().await else {
            return Err(Error::bug("the queue of the journal is closed"));
        };
        let bytes = self.inner.queue_bytes.take(bytes).await?;
        let room = Room { _place: room, _bytes: bytes };
        let encoded = encode_entry(&append);
        writer.ended()?;
        let expected = append.expected;
        let stream: Arc<str> = append.persistence_id.into();
        let mut reserved = writer.reserve(&stream, encoded, room, None);
        if let Reserved::Look(encoded, room) = reserved {
            let (highest, _) = self.end_of(&stream).await?;
            reserved = writer.reserve(&stream, encoded, room, Some(highest));
        }
        match reserved {
            Reserved::UnderWay(answer) => answer.await.unwrap_or_else(|_| {
                Err(Error::timeout("the process ended before the append was answered"))
            }),
            Reserved::Fenced(highest) => Err(Error::fenced(format!(
                "append to `{stream}`: expected the highest number {expected}, actual {highest}"
            ))),
            Reserved::Broken(error) => Err(error),
            Reserved::Unnamed => {
                Err(Error::bug(format!("append to `{stream}`: it is no persistence id")))
            }
            Reserved::Look(..) => {
                Err(Error::bug(format!("append to `{stream}`: its end is not known after a look")))
            }
        }
    }

    pub(crate) fn learn(&self, stream: &Arc<str>, highest: u64) {
        self.inner.shared.ends.learn(stream, highest);
    }

    pub(crate) async fn fresh_tail(&self, stream: &str) -> Result<Vec<Entry>> {
        let shared = &self.inner.shared;
        shared.view.refresh(self.tables(), &shared.counters, Duration::ZERO).await?;
        Ok(shared.view.tail(stream))
    }

    /// The highest sequence nr of a stream, deleted events included, and the stream's row.
    async fn end_of(&self, stream: &Arc<str>) -> Result<(u64, StreamRow)> {
        let mut before = None;
        loop {
            let (copied, uncopied, row) = self.ends_of(stream).await?;
            // an append that came after the look at the lanes may be copied in part, up to the end
            // of a partition: a later look shows the rest, or all of it is copied by then
            let may_be_cut =
                copied > uncopied && copied.is_multiple_of(self.inner.shared.partition_events_max);
            if !may_be_cut || before == Some(copied) {
                return Ok((copied.max(uncopied).max(row.deleted), row));
            }
            before = Some(copied);
        }
    }

    /// The last event of a stream that is copied, the last one that may not be copied, and the
    /// stream's row.
    async fn ends_of(&self, stream: &Arc<str>) -> Result<(u64, u64, StreamRow)> {
        let tail = self.fresh_tail(stream).await?;
        let tables = self.tables();
        let (row, in_first) =
            futures::try_join!(tables.stream(stream), tables.highest_in_part(stream, 0))?;
        let mut copied = if row.part == 0 { in_first } else { None };
        let mut part = row.part;
        // the copier makes a part known before it writes events into it, so a known part may be
        // empty
        while copied.is_none() && part > 0 {
            copied = tables.highest_in_part(stream, part).await?;
            part -= 1;
            if part == 0 && copied.is_none() {
                copied = in_first;
            }
        }
        let uncopied = tail.iter().map(|entry| entry.last).max().unwrap_or(0);
        Ok((copied.unwrap_or(0), uncopied, row))
    }
}
