//! An open writer: a task for each lane around its core, and one that copies.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use antiphon_persistence::store::WriterId;
use antiphon_persistence::task::spawn;
use antiphon_persistence::{Error, ErrorKind, Result};
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::copy;
use super::lane::{Effect, Ended, Input, Lane, LaneLimits, Token};
use super::round::Entry;
use super::view::{View, decode};
use crate::settings::CassandraSettings;
use crate::stats::{Counters, count};
use crate::tables::{LaneId, LanePosition, Outcome, RoundAnswer, Tables};

/// What all tasks of a process share.
pub(crate) struct Shared {
    pub(crate) tables: Arc<dyn Tables>,
    pub(crate) settings: CassandraSettings,
    pub(crate) counters: Counters,
    pub(crate) view: View,
    pub(crate) ends: Ends,
    pub(crate) partition_events_max: u64,
}

/// An open writer of this process. Dropping it lets the rounds under way end, and stops the copy.
pub(crate) struct Writer {
    id: WriterId,
    lanes: Vec<UnboundedSender<Job>>,
    book: Arc<Book>,
    shared: Arc<Shared>,
    copier: JoinHandle<()>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.copier.abort();
    }
}

/// One append on its way.
struct Job {
    stream: Arc<str>,
    record: Vec<u8>,
    answer: oneshot::Sender<Result<()>>,
    _room: OwnedSemaphorePermit,
}

/// The bookkeeping of a writer.
struct Book {
    state: Mutex<BookState>,
    uncopied_bytes: AtomicUsize,
    /// Something was copied.
    copied: Notify,
    /// There is more to copy than may wait.
    copy_now: Notify,
}

#[derive(Default)]
struct BookState {
    /// Stored rounds that are not copied, by lane.
    uncopied: Vec<VecDeque<Uncopied>>,
    ended: Option<(ErrorKind, String)>,
}

/// The end of each stream that this process appends to, with what is under way.
#[derive(Default)]
pub(crate) struct Ends(Mutex<HashMap<Arc<str>, End>>);

impl Ends {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, End>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of the end of a stream, as the store has it.
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
    let end = ends.entry(stream.clone()).or_insert(End { highest, under_way: 0 });
    end.highest = end.highest.max(highest);
}

#[derive(Clone, Copy)]
struct End {
    highest: u64,
    under_way: usize,
}

struct Uncopied {
    at: LanePosition,
    entries: Arc<[Entry]>,
    bytes: usize,
    stored: Instant,
}

/// What an append finds.
pub(crate) enum Reserved {
    /// It is under way; this is its answer.
    UnderWay(oneshot::Receiver<Result<()>>),
    /// The end of the stream is not known, or another one: look, and try once more with what was found.
    Look(Vec<u8>, OwnedSemaphorePermit),
    /// It does not follow the end, which is this.
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
        let ids: Vec<LaneId> = (0..settings.lanes)
            .map(|lane| LaneId { writer: id.as_str().into(), lane })
            .collect();
        shared.view.own(ids.iter().cloned());
        let lanes = ids
            .iter()
            .map(|lane| {
                let (sender, jobs) = unbounded_channel();
                let task = LaneTask {
                    id: lane.clone(),
                    core: Lane::new(lane.clone(), limits.clone()),
                    jobs,
                    waiting: HashMap::new(),
                    next_token: 0,
                    began: Instant::now(),
                    book: book.clone(),
                    shared: shared.clone(),
                };
                spawn("cassandra lane", task.run());
                sender
            })
            .collect();
        let copier = Copier { lanes: ids, book: book.clone(), shared: shared.clone() };
        let copier = spawn("cassandra copier", copier.run());
        Self { id: id.clone(), lanes, book, shared: shared.clone(), copier }
    }

    /// Waits until not too much is left to copy.
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

    /// Puts an append under way if it follows the end of its stream, which is `found` if somebody has just looked.
    pub(crate) fn reserve(
        &self,
        stream: &Arc<str>,
        (expected, count): (u64, u64),
        record: Vec<u8>,
        room: OwnedSemaphorePermit,
        found: Option<u64>,
    ) -> Reserved {
        let mut ends = self.shared.ends.lock();
        if let Some(highest) = found {
            learn(&mut ends, stream, highest, self.shared.settings.stream_cache_max);
        }
        let end = match ends.get_mut(stream) {
            Some(end) if end.highest == expected => end,
            Some(end) if found.is_some() || end.under_way > 0 => {
                return Reserved::Fenced(end.highest);
            }
            Some(_) | None => return Reserved::Look(record, room),
        };
        end.highest = expected + count;
        end.under_way += 1;
        let (answer, receiver) = oneshot::channel();
        let lane = usize::try_from(xxhash_rust::xxh64::xxh64(stream.as_bytes(), 0) >> 32)
            .unwrap_or(0)
            % self.lanes.len();
        let job = Job { stream: stream.clone(), record, answer, _room: room };
        // under the lock, so that the appends of a stream reach its lane in order
        let _ = self.lanes[lane].send(job);
        Reserved::UnderWay(receiver)
    }
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, BookState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct LaneTask {
    id: LaneId,
    core: Lane,
    jobs: UnboundedReceiver<Job>,
    waiting: HashMap<Token, Job>,
    next_token: Token,
    began: Instant,
    book: Arc<Book>,
    shared: Arc<Shared>,
}

/// What the task of a lane waits for, besides more to append.
enum Pending {
    Nothing,
    Answer(BoxFuture<'static, Outcome<RoundAnswer>>),
    Wait(BoxFuture<'static, ()>),
}

impl LaneTask {
    async fn run(mut self) {
        let mut pending = Pending::Nothing;
        let mut open = true;
        while open || !matches!(pending, Pending::Nothing) {
            let input = tokio::select! {
                input = next(&mut pending) => {
                    pending = Pending::Nothing;
                    self.seen(&input);
                    input
                }
                job = self.jobs.recv(), if open => match job {
                    Some(job) => self.accept(job),
                    None => {
                        open = false;
                        continue;
                    }
                },
            };
            self.step(input, &mut pending);
            while let Ok(job) = self.jobs.try_recv() {
                let input = self.accept(job);
                self.step(input, &mut pending);
            }
        }
    }

    fn seen(&self, input: &Input) {
        if matches!(input, Input::Failed { unknown: true }) {
            count(&self.shared.counters.rounds_unknown, 1);
        }
    }

    fn accept(&mut self, mut job: Job) -> Input {
        self.next_token += 1;
        let record = std::mem::take(&mut job.record);
        self.waiting.insert(self.next_token, job);
        Input::Append(self.next_token, record)
    }

    fn step(&mut self, input: Input, pending: &mut Pending) {
        for effect in self.core.step(self.began.elapsed(), input) {
            match effect {
                Effect::Write(write) => {
                    let tables = self.shared.tables.clone();
                    let round = async move { tables.put_round(&write).await };
                    *pending = Pending::Answer(Box::pin(round));
                }
                Effect::Wait(wait) => *pending = Pending::Wait(Box::pin(tokio::time::sleep(wait))),
                Effect::Stored { at, record, tokens } => self.stored(at, &record, &tokens),
                Effect::GaveUp(tokens) => {
                    count(&self.shared.counters.given_up, tokens.len() as u64);
                    let limit = self.shared.settings.give_up_after;
                    self.fail(&tokens, ErrorKind::Unavailable, || {
                        format!("the journal could not be reached for {limit:?}; nothing was stored")
                    });
                }
                Effect::Ended { why, tokens } => self.ended(why, &tokens),
            }
        }
    }

    fn stored(&mut self, at: LanePosition, record: &Bytes, tokens: &[Token]) {
        let entries = match decode(&self.id, at.nr, record) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::error!(%error, "a round was written that cannot be read: report it");
                return self.fail(tokens, ErrorKind::Bug, || error.to_string());
            }
        };
        let counters = &self.shared.counters;
        count(&counters.rounds, 1);
        count(&counters.appends, tokens.len() as u64);
        count(&counters.events, entries.iter().map(|entry| entry.last - entry.first + 1).sum());
        self.shared.view.push(&self.id, at, entries.clone());
        let bytes = record.len();
        // before the copier can see the round and take them off again
        let before = self.book.uncopied_bytes.fetch_add(bytes, Ordering::AcqRel);
        {
            let mut book = self.book.lock();
            let stored = Instant::now();
            let uncopied = Uncopied { at, entries, bytes, stored };
            book.uncopied[usize::from(self.id.lane)].push_back(uncopied);
        }
        {
            let mut ends = self.shared.ends.lock();
            for token in tokens {
                let Some(job) = self.waiting.get(token) else { continue };
                if let Some(end) = ends.get_mut(&job.stream) {
                    end.under_way = end.under_way.saturating_sub(1);
                }
            }
        }
        if before + bytes > self.shared.settings.uncopied_bytes_max / 2 {
            self.book.copy_now.notify_one();
        }
        for token in tokens {
            if let Some(job) = self.waiting.remove(token) {
                let _ = job.answer.send(Ok(()));
            }
        }
    }

    fn ended(&mut self, why: Ended, tokens: &[Token]) {
        let LaneId { writer, lane } = &self.id;
        let (kind, message) = match why {
            Ended::Sealed => (ErrorKind::Fenced, format!("writer `{writer}` is sealed")),
            Ended::Intruder(head) => (
                ErrorKind::Fenced,
                format!(
                    "lane {lane} of writer `{writer}` has the head {head:?}, which this process did not write: another process uses the same writer"
                ),
            ),
            Ended::Lost { expected, actual } => {
                count(&self.shared.counters.lost_data, 1);
                (
                    ErrorKind::Corrupt,
                    format!(
                        "lane {lane} of writer `{writer}`: the store lost data: expected the head {expected:?}, actual {actual:?}: check `commitlog_sync` and the replication factor"
                    ),
                )
            }
        };
        if self.book.lock().ended.is_none() {
            match why {
                Ended::Sealed => tracing::warn!("{message}"),
                Ended::Intruder(_) | Ended::Lost { .. } => tracing::error!("{message}"),
            }
        }
        self.book.lock().ended.get_or_insert((kind, message.clone()));
        self.book.copied.notify_waiters();
        if kind == ErrorKind::Fenced {
            count(&self.shared.counters.fenced, tokens.len() as u64);
        }
        self.fail(tokens, kind, || message.clone());
    }

    /// Answers appends of which nothing was stored, with all that came after them.
    fn fail(&mut self, tokens: &[Token], kind: ErrorKind, message: impl Fn() -> String) {
        let mut failed: Vec<Job> =
            tokens.iter().filter_map(|token| self.waiting.remove(token)).collect();
        {
            // under the lock, so that nothing is put under way in between
            let mut ends = self.shared.ends.lock();
            while let Ok(job) = self.jobs.try_recv() {
                failed.push(job);
            }
            for job in &failed {
                ends.remove(&job.stream);
            }
        }
        for job in failed {
            let _ = job.answer.send(Err(Error::new(kind, message())));
        }
    }
}

async fn next(pending: &mut Pending) -> Input {
    match pending {
        Pending::Nothing => std::future::pending().await,
        Pending::Answer(answer) => match answer.await {
            Ok(answer) => Input::Answer(answer),
            Err(failed) => {
                tracing::debug!(%failed, unknown = failed.unknown, "a round failed");
                Input::Failed { unknown: failed.unknown }
            }
        },
        Pending::Wait(wait) => {
            wait.await;
            Input::Retry
        }
    }
}

struct Copier {
    lanes: Vec<LaneId>,
    book: Arc<Book>,
    shared: Arc<Shared>,
}

impl Copier {
    async fn run(self) {
        let delay = self.shared.settings.copy_delay;
        loop {
            tokio::select! {
                () = tokio::time::sleep(delay.max(std::time::Duration::from_millis(1))) => {}
                () = self.book.copy_now.notified() => {}
            }
            if self.book.lock().ended.is_some() {
                // whoever sealed the writer copies the rest
                return;
            }
            let Err(error) = self.copy_due().await else { continue };
            tracing::error!(%error, "events of the log cannot be copied");
        }
    }

    async fn copy_due(&self) -> Result<()> {
        let shared = &self.shared;
        let full = self.book.uncopied_bytes.load(Ordering::Acquire)
            > shared.settings.uncopied_bytes_max / 2;
        let due: Vec<Vec<(LanePosition, Arc<[Entry]>)>> = {
            let book = self.book.lock();
            let due = |round: &&Uncopied| {
                full || round.stored.elapsed() >= shared.settings.copy_delay / 2
            };
            let of_lane = |rounds: &VecDeque<Uncopied>| {
                let due = rounds.iter().take_while(due);
                due.map(|round| (round.at, round.entries.clone())).collect()
            };
            book.uncopied.iter().map(of_lane).collect()
        };
        let entries: Vec<Entry> = due
            .iter()
            .flatten()
            .flat_map(|(_, entries)| entries.iter().cloned())
            .collect();
        if entries.is_empty() {
            return Ok(());
        }
        let Shared { tables, settings, counters, partition_events_max, .. } = &**shared;
        copy::copy(tables, settings, counters, *partition_events_max, entries.into_iter()).await?;
        for (index, (lane, rounds)) in self.lanes.iter().zip(&due).enumerate() {
            let Some((copied, _)) = rounds.last() else { continue };
            copy::mark_copied(tables, settings, counters, lane, *copied).await;
            shared.view.copied(lane, copied.nr);
            let mut bytes = 0;
            {
                let mut book = self.book.lock();
                let rounds = &mut book.uncopied[index];
                while rounds.front().is_some_and(|round| round.at.nr <= copied.nr) {
                    bytes += rounds.pop_front().map_or(0, |round| round.bytes);
                }
            }
            self.book.uncopied_bytes.fetch_sub(bytes, Ordering::AcqRel);
        }
        self.book.copied.notify_waiters();
        Ok(())
    }
}
