//! The task of one journal loop. Takes inputs from a bounded queue and a timer, and runs the
//! effects on the stores and the shard.
//!
//! A loop whose core finds a broken invariant panics, is counted, and starts anew from its stored
//! position: it reads changes again, which does no harm.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use antiphon_base::guard::Guarded;
use antiphon_base::time::Clock;
use antiphon_base::{Error, Result, task};
use antiphon_persistence::entity::HeldEvent;
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::{PersistenceId, ReplicaId, SliceRange};
use antiphon_persistence::store::{
    Change, ChangesPage, ChangesQuery, Offset, OffsetKey, OffsetStore, ReadJournal,
};
use antiphon_runtime::metrics::IntCounterVec;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::progress::{LoopProgress, Report, Reports};
use super::{Effect, FeedWitness, HeldRecords, Input, JournalLoop, LoopSettings};

/// Tells an entity the events that the other replica has, and the number up to which the entity has
/// to read its stream ([`Effect::Tell`]).
pub(crate) type Tell = Box<dyn Fn(&ReplicaId, Change, SequenceNr) + Send + Sync>;

/// Parts of a running loop.
pub(crate) struct LoopParts {
    pub(crate) entity_type: Arc<str>,
    /// The replica whose feed is read.
    pub(crate) other: ReplicaId,
    pub(crate) slices: SliceRange,
    /// Name under which the position is stored.
    pub(crate) reader: Arc<str>,
    pub(crate) feed: Arc<dyn ReadJournal>,
    pub(crate) offsets: Arc<dyn OffsetStore>,
    /// Records of the entities that hold back.
    pub(crate) held: HeldRecords,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: LoopSettings,
    pub(crate) tell: Tell,
    pub(crate) reads: IntCounterVec,
    /// State of the doubt whether the own journal misses events that the other place has.
    pub(crate) witness: Arc<FeedWitness>,
}

/// A running loop. Dropping it ends the loop.
pub(crate) struct RunningLoop {
    /// The replica whose feed is read.
    pub(crate) other: ReplicaId,
    inputs: mpsc::Sender<Input>,
    shared: Arc<Shared>,
    /// The last reports of entities that hold back.
    reports: Mutex<Reports>,
    task: JoinHandle<()>,
}

/// The state that the task shares with the shard.
struct Shared {
    core: Mutex<JournalLoop>,
    /// True when a `WayOpened` found the queue full.
    is_woken: AtomicBool,
}

impl Drop for RunningLoop {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RunningLoop {
    pub(crate) fn start(parts: LoopParts) -> Self {
        let core = Mutex::new(JournalLoop::new(parts.clock.now(), parts.settings.clone()));
        let shared = Arc::new(Shared { core, is_woken: AtomicBool::new(false) });
        // a page cannot ask for more answers: the rest are duplicates
        let (inputs, received) = mpsc::channel(2 * parts.settings.loop_changes_max);
        let other = parts.other.clone();
        let task = task::spawn("journal loop", run_again(parts, shared.clone(), received));
        Self { other, inputs, shared, reports: Mutex::default(), task }
    }

    /// Notes that an entity has caught up. If the queue is full, the note is dropped: the entity is
    /// told again later.
    pub(crate) fn caught_up(&self, id: PersistenceId, highest: SequenceNr) {
        let _ = self.inputs.try_send(Input::CaughtUp(id, highest));
    }

    /// Notes that an entity cannot catch up now. A full queue drops the note, as in `caught_up`.
    pub(crate) fn held(&self, id: PersistenceId, highest: SequenceNr, held: &HeldEvent) {
        self.note(&id, Report::held(held));
        let _ = self.inputs.try_send(Input::Held(id, highest));
    }

    /// Notes that an entity cannot start, or cannot go on. A full queue drops the note, as in
    /// `caught_up`.
    pub(crate) fn cannot(&self, id: PersistenceId, why: &str) {
        self.note(&id, Report::cannot(why));
        let _ = self.inputs.try_send(Input::Cannot(id));
    }

    fn note(&self, id: &PersistenceId, report: Report) {
        let core = self.shared.core.lock();
        self.reports.lock().note(&core, id, report);
    }

    /// Number of entities that hold back events of the other replica.
    pub(crate) fn held_count(&self) -> usize {
        self.shared.core.lock().held().count()
    }

    /// Notes that the other replica may have events that direct replication lost. If the queue is
    /// full, a flag keeps the note for the loop.
    pub(crate) fn way_opened(&self) {
        if self.inputs.try_send(Input::WayOpened).is_err() {
            self.shared.is_woken.store(true, Ordering::Release);
        }
    }

    pub(crate) fn progress(&self, now: Instant) -> LoopProgress {
        let core = self.shared.core.lock();
        LoopProgress::of(&self.other, &core, &self.reports.lock(), now)
    }
}

/// Runs the loop, and begins anew after a panic.
async fn run_again(parts: LoopParts, shared: Arc<Shared>, mut inputs: mpsc::Receiver<Input>) {
    let io = LoopIo { parts, failing: AtomicBool::new(false) };
    loop {
        let run = Box::pin(io.run(&shared, &mut inputs));
        match Guarded::new("the journal loop", io.parts.reader.to_string(), run).await {
            Ok(()) => return,
            Err(_) => io.count("broken"),
        }
        tokio::time::sleep(io.parts.settings.loop_interval_max).await;
        *shared.core.lock() = JournalLoop::new(io.parts.clock.now(), io.parts.settings.clone());
    }
}

/// The loop's access to the stores and the shard.
struct LoopIo {
    parts: LoopParts,
    /// True after a failure. Only the first failure is logged as a warning, until a read succeeds.
    failing: AtomicBool,
}

impl LoopIo {
    async fn run(&self, shared: &Shared, inputs: &mut mpsc::Receiver<Input>) {
        let step = |input: Input| {
            let mut core = shared.core.lock();
            let effects = core.step(self.parts.clock.now(), input);
            (effects, core.due(), core.is_at_end())
        };
        let (mut effects, mut due, mut is_at_end) = step(Input::Start);
        let mut answers = VecDeque::new();
        loop {
            if is_at_end {
                self.save_end().await;
            }
            for effect in effects {
                answers.extend(self.run_effect(effect).await);
            }
            let input = match (answers.pop_front(), due) {
                (Some(answer), _) => answer,
                (None, _) if shared.is_woken.swap(false, Ordering::AcqRel) => Input::WayOpened,
                (None, Some(due)) => tokio::select! {
                    biased;
                    input = inputs.recv() => match input {
                        Some(input) => input,
                        None => return,
                    },
                    () = tokio::time::sleep_until(due) => Input::Tick,
                },
                (None, None) => match inputs.recv().await {
                    Some(input) => input,
                    None => return,
                },
            };
            (effects, due, is_at_end) = step(input);
        }
    }

    async fn run_effect(&self, effect: Effect) -> Option<Input> {
        let parts = &self.parts;
        match effect {
            Effect::Load => {
                let loaded = self.load().await;
                if let Ok((_, held)) = &loaded
                    && let Ok(stored) = parts.offsets.load_offset(&self.end_key()).await
                {
                    held.keys().for_each(|id| parts.witness.holds(id, true));
                    parts.witness.loaded(&stored);
                }
                Some(Input::Loaded(loaded.inspect_err(|error| self.warn("load", error)).ok()))
            }
            Effect::Record(id, highest) => match self.record(&id, highest).await {
                Ok(()) => Some(Input::Recorded(id, highest)),
                Err(error) => {
                    // the entity is told again, and answers again
                    self.warn("record", &error);
                    None
                }
            },
            Effect::Forget(id, highest) => {
                parts.witness.holds(&id, false);
                if let Err(error) = parts.held.forget(&id, highest).await {
                    self.warn("forget", &error);
                }
                None
            }
            Effect::Read(after) => {
                let page = self.read(parts.witness.reads(after)).await;
                if page.is_some() {
                    parts.witness.has_read();
                }
                Some(Input::Page(page))
            }
            Effect::Tell(change, read_to) => {
                (parts.tell)(&parts.other, change, read_to);
                None
            }
            Effect::Save(offset) => {
                if let Err(error) = parts.offsets.save_offset(&self.key(), &offset).await {
                    self.warn("save", &error);
                }
                None
            }
        }
    }

    async fn record(&self, id: &PersistenceId, highest: SequenceNr) -> Result<()> {
        self.parts.witness.holds(id, true);
        self.parts.held.record(id, highest).await
    }

    /// Reads the position before the records: an earlier home of the shard that still runs records
    /// an entity before it stores a position behind it.
    async fn load(&self) -> Result<(Offset, BTreeMap<PersistenceId, SequenceNr>)> {
        let position = self.parts.offsets.load_offset(&self.key()).await?;
        Ok((position, self.parts.held.load().await?))
    }

    async fn read(&self, after: Offset) -> Option<ChangesPage> {
        let parts = &self.parts;
        let query = ChangesQuery {
            entity_type: parts.entity_type.clone(),
            replica: parts.other.clone(),
            slices: parts.slices,
            after,
            change_count_max: parts.settings.loop_changes_max,
        };
        let page = parts.feed.changes(&query).await;
        self.count(if page.is_ok() { "ok" } else { "failed" });
        if page.is_ok() && self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!(reader = %parts.reader, peer = %parts.other, "journal loop: goes on");
        }
        page.inspect_err(|error| self.warn("read", error)).ok()
    }

    fn count(&self, outcome: &str) {
        let labels = [&self.parts.entity_type, self.parts.other.as_str(), outcome];
        self.parts.reads.with_label_values(&labels).inc();
    }

    /// Stores, if that ends a doubt, that all events of the other replica are here, except events
    /// that entities hold back.
    async fn save_end(&self) {
        if let Some(end) = self.parts.witness.ended()
            && let Err(error) = self.parts.offsets.save_offset(&self.end_key(), &end).await
        {
            self.warn("save", &error);
        }
    }

    /// The key of the session in which the feed was followed to its end, beside the position.
    fn end_key(&self) -> OffsetKey {
        let part = format!("{}/sure", self.parts.other).into();
        OffsetKey { reader: self.parts.reader.clone(), part }
    }

    fn key(&self) -> OffsetKey {
        let part = self.parts.other.as_str().into();
        OffsetKey { reader: self.parts.reader.clone(), part }
    }

    fn warn(&self, what: &str, error: &Error) {
        let (reader, other) = (&self.parts.reader, &self.parts.other);
        if self.failing.swap(true, Ordering::Relaxed) {
            tracing::debug!(%reader, peer = %other, %error, "journal loop: {what} failed");
        } else {
            tracing::warn!(%reader, peer = %other, %error, "journal loop: {what} failed, tried again until it succeeds");
        }
    }
}

#[cfg(test)]
mod tests;
