//! An open writer: one task for each lane, a task that copies, and a task that removes old parts.

use std::sync::Arc;

use antiphon_base::backoff::Backoff;
use antiphon_base::task::spawn;
use antiphon_base::{Error, ErrorKind, Result};
use antiphon_persistence::store::WriterId;
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::book::Book;
use super::broken;
use super::copier::Copier;
use super::ends::Place;
use super::entry::EncodedAppend;
use super::job::{Job, Room};
use super::lane::{Lane, LaneLimits};
use super::lane_task::LaneTask;
use super::retention_task::RetentionTask;
use crate::settings::CassandraSettings;
use crate::shared::Shared;
use crate::stats::count;
use crate::tables::LaneId;

/// An open writer of this process. Dropping it lets the rounds under way end, and stops the copy.
pub(crate) struct Writer {
    id: WriterId,
    lanes: Vec<Sender<Job>>,
    book: Arc<Book>,
    shared: Arc<Shared>,
    copier: JoinHandle<()>,
    retention: JoinHandle<()>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.copier.abort();
        self.retention.abort();
    }
}

/// Result of [`Writer::reserve`].
pub(crate) enum Reserved {
    /// The append is under way; the receiver gets its answer.
    UnderWay(oneshot::Receiver<Result<()>>),
    /// The end of the stream is not known, or does not fit: read the end from the store, and
    /// reserve once more with it.
    Look(EncodedAppend, Room),
    /// The name of the stream is not a persistence id.
    Unnamed,
    /// The append does not follow the end of the stream, which is this sequence nr.
    Fenced(u64),
    /// The lane takes no more appends: the writer has ended with this error.
    Broken(Error),
}

impl Writer {
    /// Starts the tasks of a writer that was just registered.
    ///
    /// # Errors
    /// `Corrupt` when its log has rounds already.
    pub(crate) fn start(id: &WriterId, shared: &Arc<Shared>) -> Result<Self> {
        let settings = &shared.settings;
        let book = Arc::new(Book::new(settings.lanes));
        let limits = limits(settings);
        let ids: Vec<LaneId> =
            (0..settings.lanes).map(|lane| LaneId { writer: id.as_str().into(), lane }).collect();
        shared.view.own(ids.iter().cloned())?;
        let lanes = ids
            .iter()
            .map(|lane| {
                let (sender, jobs) = channel(settings.queue_max);
                let core = Lane::new(lane.clone(), limits.clone());
                let task = LaneTask::new(lane.clone(), core, jobs, book.clone(), shared.clone());
                spawn("cassandra lane", task.run());
                sender
            })
            .collect();
        let retention = RetentionTask { lanes: ids.clone(), shared: shared.clone() };
        let retention = spawn("cassandra log retention", retention.run());
        let copier = Copier { lanes: ids, book: book.clone(), shared: shared.clone() };
        let copier = spawn("cassandra copier", copier.run());
        Ok(Self { id: id.clone(), lanes, book, shared: shared.clone(), copier, retention })
    }

    /// Waits until fewer bytes than `uncopied_bytes_max` are left to copy. A cancelled call leaves
    /// nothing behind.
    pub(crate) async fn room_to_copy(&self) {
        let limit = self.shared.settings.uncopied_bytes_max;
        loop {
            let copied = self.book.copied.notified();
            if self.book.uncopied_bytes() < limit || self.ended().is_err() {
                return;
            }
            count(&self.shared.counters.copy_waits, 1);
            self.book.copy_now.notify_one();
            copied.await;
        }
    }

    /// Fails when the writer has ended.
    pub(crate) fn ended(&self) -> Result<()> {
        self.book.ended()
    }

    /// Ends the writer in this process; the lanes are sealed by the caller.
    pub(crate) fn end(&self) {
        self.book.end(ErrorKind::Fenced, &format!("writer `{}` is sealed", self.id));
    }

    /// Puts an append under way if it follows the end of its stream. `found` is the end that the
    /// store has, when the caller has just read it.
    pub(crate) fn reserve(
        &self,
        stream: &Arc<str>,
        append: EncodedAppend,
        room: Room,
        found: Option<u64>,
    ) -> Reserved {
        // locked until the append is in the queue of its lane, so that the appends of a stream
        // reach the lane in order
        let mut ends = self.shared.ends.lock();
        if let Some(highest) = found {
            ends.learn(stream, highest);
        }
        let of = match ends.take(stream, &append, found.is_some()) {
            Place::Taken(of) => of,
            Place::Unknown => return Reserved::Look(append, room),
            Place::Elsewhere(highest) => return Reserved::Fenced(highest),
            Place::Unnamed => return Reserved::Unnamed,
        };
        let (answer, receiver) = oneshot::channel();
        let job = Job { stream: of, append, answer, _room: room };
        let lane = lane_of(stream, self.lanes.len());
        match self.lanes[lane].try_send(job) {
            Ok(()) => Reserved::UnderWay(receiver),
            // `room` is a free place in the queue, and the task of a lane outlives the writer
            Err(refused) => {
                ends.failed(stream);
                drop(ends);
                let why = format!("lane {lane} takes no appends: {refused}");
                Reserved::Broken(broken::stop(&self.shared, &self.book, &why))
            }
        }
    }
}

/// The lane of a stream. Stored rounds do not depend on it: another number of lanes moves streams.
fn lane_of(stream: &str, lane_count: usize) -> usize {
    let hash = xxhash_rust::xxh64::xxh64(stream.as_bytes(), 0);
    usize::try_from(hash >> 32).unwrap_or(0) % lane_count
}

fn limits(settings: &CassandraSettings) -> LaneLimits {
    LaneLimits {
        round_bytes_max: settings.round_bytes_max,
        round_appends_max: settings.round_appends_max,
        part_bytes_max: settings.part_bytes_max,
        part_rounds_max: settings.part_rounds_max,
        retry: Backoff::new(settings.retry_min, settings.retry_max),
        give_up_after: settings.give_up_after,
    }
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::Timestamp;
    use antiphon_persistence::event::{EventMeta, Labels, Payload, SequenceNr, StoredEvent};
    use antiphon_persistence::identity::{PersistenceId, ReplicaId};
    use antiphon_persistence::store::Append;
    use antiphon_persistence::version::VersionVector;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::log::entry::encode_entry;
    use crate::model::ModelTables;

    fn append() -> Append {
        let sequence_nr = SequenceNr::new(1);
        let meta = EventMeta {
            origin: ReplicaId::new("A").unwrap(),
            version: VersionVector::new(),
            source_seq: sequence_nr,
            concurrent: false,
            timestamp: Timestamp::from_micros(1),
            labels: Labels::none(),
        };
        let payload =
            Payload { codec: 1, manifest: "".into(), version: 1, bytes: bytes::Bytes::new() };
        let persistence_id = PersistenceId::parse("c|1|A").unwrap();
        let events = vec![StoredEvent { sequence_nr, meta, payload }];
        Append { persistence_id, expected: SequenceNr::ZERO, events }
    }

    #[tokio::test]
    async fn a_lane_that_takes_no_appends_ends_the_writer_with_an_error_and_a_count() {
        let tables = Arc::new(ModelTables::new());
        let shared = Arc::new(Shared::new(tables, CassandraSettings::default(), 1000));
        let (sender, jobs) = channel(1);
        drop(jobs);
        let writer = Writer {
            id: WriterId::new("w").unwrap(),
            lanes: vec![sender],
            book: Arc::new(Book::new(1)),
            shared: shared.clone(),
            copier: spawn("copier", async {}),
            retention: spawn("retention", async {}),
        };
        let permits = Arc::new(Semaphore::new(2));
        let room = Room {
            _place: permits.clone().acquire_owned().await.unwrap(),
            _bytes: permits.acquire_owned().await.unwrap(),
        };
        let Reserved::Broken(error) =
            writer.reserve(&"c|1|A".into(), encode_entry(&append()), room, Some(0))
        else {
            panic!("the append is under way, to nowhere")
        };
        assert_eq!(error.kind(), ErrorKind::Bug);
        assert_eq!(writer.ended().unwrap_err().kind(), ErrorKind::Bug);
        assert_eq!(shared.counters.snapshot().writers_broken, 1);
    }
}
