//! An open writer: one task for each lane, a task that copies, and a task that removes old parts.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use antiphon_base::task::spawn;
use antiphon_base::time::{Clock, SystemClock};
use antiphon_base::{Error, ErrorKind, Result};
use antiphon_persistence::store::WriterId;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::copier::Copier;
use super::lane::{Lane, LaneLimits};
use super::lane_task::LaneTask;
use super::retention::Retention;
use super::round::{EncodedAppend, Entry, Stream};
use super::view::View;
use crate::health::Health;
use crate::replay::ReadAhead;
use crate::settings::CassandraSettings;
use crate::stats::{Counters, count};
use crate::tables::{LaneId, LanePosition, Tables};

/// State that all tasks of a process share.
pub(crate) struct Shared {
    pub(crate) tables: Arc<dyn Tables>,
    pub(crate) settings: CassandraSettings,
    pub(crate) counters: Counters,
    pub(crate) health: Health,
    pub(crate) view: View,
    pub(crate) ends: Ends,
    pub(crate) read_ahead: ReadAhead,
    pub(crate) partition_events_max: u64,
}

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

/// An append on its way to a lane.
pub(super) struct Job {
    pub(super) stream: Arc<Stream>,
    pub(super) append: EncodedAppend,
    pub(super) answer: oneshot::Sender<Result<()>>,
    pub(super) _room: Room,
}

/// The room that a waiting append takes: a place in the queue, and its bytes.
pub(crate) struct Room {
    pub(crate) _place: OwnedSemaphorePermit,
    pub(crate) _bytes: OwnedSemaphorePermit,
}

/// The bookkeeping of a writer.
pub(super) struct Book {
    pub(super) state: Mutex<BookState>,
    pub(super) uncopied_bytes: AtomicUsize,
    /// Notified when a round was copied.
    pub(super) copied: Notify,
    /// Notified when more bytes wait for the copy than half of the limit.
    pub(super) copy_now: Notify,
}

#[derive(Default)]
pub(super) struct BookState {
    /// Stored rounds that are not copied, by lane.
    pub(super) uncopied: Vec<VecDeque<Uncopied>>,
    pub(super) ended: Option<(ErrorKind, String)>,
}

/// The end of each stream that this process appends to, with the appends under way.
#[derive(Default)]
pub(crate) struct Ends(Mutex<HashMap<Arc<str>, End>>);

impl Ends {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, End>> {
        self.0.lock()
    }

    /// Records the end of a stream in the store.
    pub(crate) fn learn(&self, stream: &Arc<str>, highest: u64, stream_cache_max: usize) {
        learn(&mut self.lock(), stream, highest, stream_cache_max);
    }
}

fn learn(
    ends: &mut HashMap<Arc<str>, End>,
    stream: &Arc<str>,
    highest: u64,
    stream_cache_max: usize,
) {
    if ends.len() >= stream_cache_max && !ends.contains_key(stream) {
        ends.retain(|_, end| end.under_way > 0);
    }
    let end = ends.entry(stream.clone()).or_insert(End { stream: None, highest, under_way: 0 });
    end.highest = end.highest.max(highest);
}

pub(super) struct End {
    /// The parsed name, once an append was made here.
    pub(super) stream: Option<Arc<Stream>>,
    pub(super) highest: u64,
    pub(super) under_way: usize,
}

pub(super) struct Uncopied {
    pub(super) at: LanePosition,
    pub(super) entries: Arc<[Entry]>,
    pub(super) bytes: usize,
    pub(super) stored: Instant,
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
}

impl Writer {
    /// Starts the tasks of a writer that was just registered.
    pub(crate) fn start(id: &WriterId, shared: &Arc<Shared>) -> Self {
        let settings = &shared.settings;
        let book = Arc::new(Book {
            state: Mutex::new(BookState {
                uncopied: (0..settings.lanes).map(|_| VecDeque::new()).collect(),
                ..BookState::default()
            }),
            uncopied_bytes: AtomicUsize::new(0),
            copied: Notify::new(),
            copy_now: Notify::new(),
        });
        let limits = LaneLimits {
            round_bytes_max: settings.round_bytes_max,
            round_appends_max: settings.round_appends_max,
            part_bytes_max: settings.part_bytes_max,
            part_rounds_max: settings.part_rounds_max,
            retry_min: settings.retry_min,
            retry_max: settings.retry_max,
            give_up_after: settings.give_up_after,
        };
        let ids: Vec<LaneId> =
            (0..settings.lanes).map(|lane| LaneId { writer: id.as_str().into(), lane }).collect();
        shared.view.own(ids.iter().cloned());
        let lanes = ids
            .iter()
            .map(|lane| {
                let (sender, jobs) = channel(settings.queue_max);
                let task = LaneTask {
                    id: lane.clone(),
                    core: Lane::new(lane.clone(), limits.clone()),
                    jobs,
                    waiting: VecDeque::new(),
                    next_token: 0,
                    began: SystemClock.now(),
                    book: book.clone(),
                    shared: shared.clone(),
                };
                spawn("cassandra lane", task.run());
                sender
            })
            .collect();
        let retention = Retention { lanes: ids.clone(), shared: shared.clone() };
        let retention = spawn("cassandra log retention", retention.run());
        let copier = Copier { lanes: ids, book: book.clone(), shared: shared.clone() };
        let copier = spawn("cassandra copier", copier.run());
        Self { id: id.clone(), lanes, book, shared: shared.clone(), copier, retention }
    }

    /// Waits until fewer bytes than `uncopied_bytes_max` are left to copy.
    pub(crate) async fn room_to_copy(&self) {
        let limit = self.shared.settings.uncopied_bytes_max;
        loop {
            let copied = self.book.copied.notified();
            if self.book.uncopied_bytes.load(Ordering::Acquire) < limit || self.ended().is_err() {
                return;
            }
            count(&self.shared.counters.copy_waits, 1);
            self.book.copy_now.notify_one();
            copied.await;
        }
    }

    /// Fails when the writer has ended.
    pub(crate) fn ended(&self) -> Result<()> {
        match &self.book.lock().ended {
            Some((kind, message)) => Err(Error::new(*kind, message.clone())),
            None => Ok(()),
        }
    }

    /// Ends the writer in this process; the lanes are sealed by the caller.
    pub(crate) fn end(&self) {
        let why = (ErrorKind::Fenced, format!("writer `{}` is sealed", self.id));
        self.book.lock().ended.get_or_insert(why);
        self.book.copied.notify_waiters();
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
        let mut ends = self.shared.ends.lock();
        if let Some(highest) = found {
            learn(&mut ends, stream, highest, self.shared.settings.stream_cache_max);
        }
        let end = match ends.get_mut(stream) {
            Some(end) if end.highest + 1 == append.first => end,
            Some(end) if found.is_some() || end.under_way > 0 => {
                return Reserved::Fenced(end.highest);
            }
            Some(_) | None => return Reserved::Look(append, room),
        };
        let of = match &end.stream {
            Some(of) => of.clone(),
            None => match Stream::parse(stream.clone()) {
                Ok(of) => end.stream.insert(of).clone(),
                Err(_) => return Reserved::Unnamed,
            },
        };
        end.highest = append.last;
        end.under_way += 1;
        let (answer, receiver) = oneshot::channel();
        let lane = usize::try_from(xxhash_rust::xxh64::xxh64(stream.as_bytes(), 0) >> 32)
            .unwrap_or(0)
            % self.lanes.len();
        let job = Job { stream: of, append, answer, _room: room };
        // under the lock, so that the appends of a stream reach its lane in order; `room`
        // guarantees a free place in the channel
        let _ = self.lanes[lane].try_send(job);
        Reserved::UnderWay(receiver)
    }
}

impl Book {
    pub(super) fn lock(&self) -> MutexGuard<'_, BookState> {
        self.state.lock()
    }
}
