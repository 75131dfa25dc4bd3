//! The task of one journal loop. Takes inputs from a bounded queue and a timer, and runs the
//! effects on the stores and the shard.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use antiphon_base::task;
use antiphon_base::time::Clock;
use antiphon_persistence::entity::HeldEvent;
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::{PersistenceId, ReplicaId, SliceRange};
use antiphon_persistence::store::{
    Change, ChangesQuery, Offset, OffsetKey, OffsetStore, ReadJournal,
};
use antiphon_runtime::metrics::IntCounterVec;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Effect, FeedWitness, HeldRecords, Input, JournalLoop, LoopSettings};

/// Tells an entity the events that the peer replica has.
type Tell = Box<dyn Fn(&ReplicaId, Change) + Send + Sync>;

/// Parts of a follower.
pub(crate) struct FollowerParts {
    pub(crate) entity_type: Arc<str>,
    pub(crate) peer: ReplicaId,
    pub(crate) slices: SliceRange,
    pub(crate) change_count_max: usize,
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
    /// True after a failure. Only the first failure is logged as a warning, until a read succeeds.
    pub(crate) failing: AtomicBool,
    /// State of the doubt whether the own journal misses events that the peer has.
    pub(crate) witness: Arc<FeedWitness>,
}

/// Progress of a shard in the feed of one peer replica.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct LoopProgress {
    pub(crate) peer: String,
    pub(crate) position: String,
    /// Number of entities that are behind.
    pub(crate) entities_behind: usize,
    /// Seconds for which the oldest of them has been behind.
    pub(crate) behind_for_seconds: f64,
    /// Seconds since the last read of the peer's feed; `None` before the first read.
    pub(crate) read_before_seconds: Option<f64>,
    /// Number of entities that hold back events because one event cannot be applied here.
    pub(crate) entities_held: usize,
    /// At most 20 of these entities, with the event.
    pub(crate) held: Vec<HeldEntity>,
}

/// An entity that holds back events.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct HeldEntity {
    pub(crate) entity: String,
    /// The replica at which the event was written, and the event's number there; `None` until the
    /// entity has named the event since the start of the loop.
    pub(crate) origin: Option<String>,
    pub(crate) number: Option<u64>,
    pub(crate) why: Option<String>,
}

/// The last report of an entity that holds back.
#[derive(Debug)]
struct Said {
    /// The origin of the event and its number there; `None` when the entity cannot start or go on.
    event: Option<(String, u64)>,
    why: String,
}

/// Most entities that are listed by name.
const HELD_LISTED_MAX: usize = 20;

/// A running loop. Dropping it ends the loop.
pub(crate) struct Follower {
    pub(crate) peer: ReplicaId,
    inputs: mpsc::Sender<Input>,
    core: Arc<Mutex<JournalLoop>>,
    /// The last reports of entities that hold back.
    said: Mutex<BTreeMap<PersistenceId, Said>>,
    /// True when a `WayOpened` found the queue full.
    is_woken: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Follower {
    pub(crate) fn start(parts: FollowerParts) -> Self {
        let core = JournalLoop::new(parts.clock.now(), parts.settings.clone());
        let core = Arc::new(Mutex::new(core));
        // a page cannot ask for more answers: the rest are duplicates
        let (inputs, received) = mpsc::channel(2 * parts.change_count_max);
        let peer = parts.peer.clone();
        let is_woken = Arc::new(AtomicBool::new(false));
        let following = follow(parts, core.clone(), received, is_woken.clone());
        let task = task::spawn("journal loop", following);
        Self { peer, inputs, core, said: Mutex::default(), is_woken, task }
    }

    /// Notes that an entity has caught up. If the queue is full, the note is dropped: the entity is
    /// told again later.
    pub(crate) fn caught_up(&self, id: PersistenceId, highest: SequenceNr) {
        let _ = self.inputs.try_send(Input::CaughtUp(id, highest));
    }

    /// Notes that an entity cannot catch up now. A full queue drops the note, as in `caught_up`.
    pub(crate) fn held(&self, id: PersistenceId, highest: SequenceNr, held: &HeldEvent) {
        let event = Some((held.origin.to_string(), held.number));
        self.note(&id, Said { event, why: held.why.clone() });
        let _ = self.inputs.try_send(Input::Held(id, highest));
    }

    /// Notes that an entity cannot start, or cannot go on. A full queue drops the note, as in
    /// `caught_up`.
    pub(crate) fn cannot(&self, id: PersistenceId, why: &str) {
        self.note(&id, Said { event: None, why: why.to_owned() });
        let _ = self.inputs.try_send(Input::Cannot(id));
    }

    fn note(&self, id: &PersistenceId, now_said: Said) {
        let core = self.core.lock();
        let mut said = self.said.lock();
        if said.len() >= HELD_LISTED_MAX && !said.contains_key(id) {
            let listed: Vec<_> = core.held().take(HELD_LISTED_MAX).collect();
            said.retain(|id, _| listed.contains(&id));
        }
        drop(core);
        if said.len() < HELD_LISTED_MAX {
            said.insert(id.clone(), now_said);
        }
    }

    fn listed(&self, core: &JournalLoop) -> Vec<HeldEntity> {
        let said = self.said.lock();
        let entity = |id: &PersistenceId| {
            let last = said.get(id);
            let event = last.and_then(|last| last.event.clone());
            HeldEntity {
                entity: id.to_string(),
                origin: event.as_ref().map(|(origin, _)| origin.clone()),
                number: event.map(|(_, number)| number),
                why: last.map(|last| last.why.clone()),
            }
        };
        core.held().take(HELD_LISTED_MAX).map(entity).collect()
    }

    /// Number of entities that hold back events of this peer.
    pub(crate) fn held_count(&self) -> usize {
        self.core.lock().held().count()
    }

    /// Notes that the peer may have events that direct replication lost. If the queue is full, a
    /// flag keeps the note for the loop.
    pub(crate) fn way_opened(&self) {
        if self.inputs.try_send(Input::WayOpened).is_err() {
            self.is_woken.store(true, Ordering::Release);
        }
    }

    pub(crate) fn progress(&self, now: tokio::time::Instant) -> LoopProgress {
        let core = self.core.lock();
        let behind = core.behind();
        LoopProgress {
            entities_held: core.held().count(),
            held: self.listed(&core),
            peer: self.peer.to_string(),
            position: core.position().to_string(),
            entities_behind: behind.map_or(0, |(count, _)| count),
            behind_for_seconds: behind
                .map_or(0.0, |(_, since)| now.saturating_duration_since(since).as_secs_f64()),
            read_before_seconds: core
                .last_read()
                .map(|read| now.saturating_duration_since(read).as_secs_f64()),
        }
    }
}

async fn follow(
    parts: FollowerParts,
    core: Arc<Mutex<JournalLoop>>,
    mut inputs: mpsc::Receiver<Input>,
    is_woken: Arc<AtomicBool>,
) {
    let step = |input: Input| {
        let mut core = core.lock();
        let effects = core.step(parts.clock.now(), input);
        (effects, core.due(), core.is_at_end())
    };
    let (mut effects, mut due, mut is_at_end) = step(Input::Start);
    let mut answers = VecDeque::new();
    loop {
        if is_at_end {
            save_end(&parts).await;
        }
        for effect in effects {
            answers.extend(run(&parts, effect).await);
        }
        let input = match (answers.pop_front(), due) {
            (Some(answer), _) => answer,
            (None, _) if is_woken.swap(false, Ordering::AcqRel) => Input::WayOpened,
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

async fn run(parts: &FollowerParts, effect: Effect) -> Option<Input> {
    match effect {
        Effect::Load => {
            let loaded = load(parts).await;
            if let Ok((_, held)) = &loaded
                && let Ok(stored) = parts.offsets.load_offset(&end_key(parts)).await
            {
                held.keys().for_each(|id| parts.witness.holds(id, true));
                parts.witness.loaded(&stored);
            }
            Some(Input::Loaded(loaded.inspect_err(|error| warn(parts, "load", error)).ok()))
        }
        Effect::Record(id, highest) => match record(parts, &id, highest).await {
            Ok(()) => Some(Input::Recorded(id, highest)),
            Err(error) => {
                // the entity is told again, and answers again
                warn(parts, "record", &error);
                None
            }
        },
        Effect::Forget(id, highest) => {
            parts.witness.holds(&id, false);
            if let Err(error) = parts.held.forget(&id, highest).await {
                warn(parts, "forget", &error);
            }
            None
        }
        Effect::Read(after) => {
            let page = read(parts, parts.witness.reads(after)).await;
            if page.is_some() {
                parts.witness.has_read();
            }
            Some(Input::Page(page))
        }
        Effect::Tell(change) => {
            (parts.tell)(&parts.peer, change);
            None
        }
        Effect::Save(offset) => {
            if let Err(error) = parts.offsets.save_offset(&key(parts), &offset).await {
                warn(parts, "save", &error);
            }
            None
        }
    }
}

async fn record(
    parts: &FollowerParts,
    id: &PersistenceId,
    highest: SequenceNr,
) -> antiphon_base::Result<()> {
    parts.witness.holds(id, true);
    parts.held.record(id, highest).await
}

async fn load(
    parts: &FollowerParts,
) -> antiphon_base::Result<(Offset, BTreeMap<PersistenceId, SequenceNr>)> {
    let held = parts.held.load().await?;
    Ok((parts.offsets.load_offset(&key(parts)).await?, held))
}

async fn read(
    parts: &FollowerParts,
    after: Offset,
) -> Option<antiphon_persistence::store::ChangesPage> {
    let query = ChangesQuery {
        entity_type: parts.entity_type.clone(),
        replica: parts.peer.clone(),
        slices: parts.slices,
        after,
        change_count_max: parts.change_count_max,
    };
    let page = parts.feed.changes(&query).await;
    let outcome = if page.is_ok() { "ok" } else { "failed" };
    parts.reads.with_label_values(&[&parts.entity_type, parts.peer.as_str(), outcome]).inc();
    if page.is_ok() && parts.failing.swap(false, Ordering::Relaxed) {
        tracing::info!(reader = %parts.reader, peer = %parts.peer, "journal loop: goes on");
    }
    page.inspect_err(|error| warn(parts, "read", error)).ok()
}

/// Stores, if that ends a doubt, that all events of the peer are here, except events that entities
/// hold back.
async fn save_end(parts: &FollowerParts) {
    if let Some(end) = parts.witness.ended()
        && let Err(error) = parts.offsets.save_offset(&end_key(parts), &end).await
    {
        warn(parts, "save", &error);
    }
}

/// The key of the session in which the feed was followed to its end, beside the position.
fn end_key(parts: &FollowerParts) -> OffsetKey {
    OffsetKey { reader: parts.reader.clone(), part: format!("{}/sure", parts.peer).into() }
}

fn key(parts: &FollowerParts) -> OffsetKey {
    OffsetKey { reader: parts.reader.clone(), part: parts.peer.as_str().into() }
}

fn warn(parts: &FollowerParts, what: &str, error: &antiphon_base::Error) {
    if parts.failing.swap(true, Ordering::Relaxed) {
        tracing::debug!(reader = %parts.reader, peer = %parts.peer, %error, "journal loop: {what} failed");
    } else {
        tracing::warn!(reader = %parts.reader, peer = %parts.peer, %error, "journal loop: {what} failed, tried again until it succeeds");
    }
}

#[cfg(test)]
mod tests;
