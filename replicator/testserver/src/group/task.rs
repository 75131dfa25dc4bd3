//! The shell of a group: reads from the store, sends to consumers, parks, stores the checkpoint.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_eventstore::ALL;
use antiphon_eventstore::wire::persistent_subscriptions::settings::{
    CheckpointAfter, MessageTimeout,
};
use antiphon_eventstore::wire::persistent_subscriptions::{ReadResp, Settings, read_resp};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tonic::Status;
use uuid::Uuid;

use super::core::{Effect, Group, Input, Message, Rules, Strategy};
use crate::faults::Faults;
use crate::refusal;
use crate::store::{EventFilter, Found, GroupRecord, Store, StreamPage, position};
use crate::uuids::{formed, uuid};

/// The destination of a consumer's messages.
pub(crate) struct Consumer {
    pub(crate) messages: mpsc::Sender<Result<ReadResp, Status>>,
    /// True when the consumer wants ids as text.
    pub(crate) text_ids: bool,
}

/// A consumer's answer for messages.
#[derive(Debug)]
pub(crate) enum Answer {
    Done(Vec<Uuid>),
    Retry(Vec<Uuid>),
    Park(Vec<Uuid>, String),
}

/// A request of the services to a group.
pub(crate) enum Command {
    Connect {
        id: u64,
        buffer: usize,
        consumer: Consumer,
    },
    Disconnect {
        id: u64,
    },
    Answer(Answer),
    Replay {
        limit: Option<u64>,
        done: oneshot::Sender<()>,
    },
    Status(oneshot::Sender<GroupStatus>),
    Redeliver,
    /// The group was deleted or changed: notify its consumers, and end the task.
    Drop,
}

/// The state of a group.
#[derive(Debug, Clone, Default)]
pub(crate) struct GroupStatus {
    pub(crate) consumers: usize,
    pub(crate) out: usize,
    pub(crate) retrying: usize,
    pub(crate) next: u64,
}

/// Largest number of entries of `$all` examined while the store is locked.
const SCAN: usize = 1000;

struct Task {
    store: Arc<Mutex<Store>>,
    faults: Faults,
    record: GroupRecord,
    settings: Settings,
    filter: Option<EventFilter>,
    core: Group,
    /// The content of the messages that the core has.
    found: BTreeMap<Uuid, Found>,
    consumers: BTreeMap<u64, Consumer>,
    /// The time at which the checkpoint is stored; none when it is up to date.
    store_at: Option<Instant>,
}

/// Runs a group until its command channel closes.
pub(crate) async fn run(
    store: Arc<Mutex<Store>>,
    faults: Faults,
    record: GroupRecord,
    filter: Option<EventFilter>,
    mut commands: mpsc::Receiver<Command>,
) {
    let settings = record.settings.clone().unwrap_or_default();
    let core = Group::new(rules(&settings), record.next);
    let mut head = store.lock().head();
    let mut task = Task {
        store,
        faults,
        record,
        settings,
        filter,
        core,
        found: BTreeMap::new(),
        consumers: BTreeMap::new(),
        store_at: None,
    };
    loop {
        task.fill();
        let wake = [task.core.deadline(), task.note_checkpoint()].into_iter().flatten().min();
        let sleep = async {
            match wake {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            command = commands.recv() => match command {
                None => return,
                Some(Command::Drop) => return task.drop_consumers().await,
                Some(command) => task.command(command),
            },
            changed = head.changed() => if changed.is_err() { return },
            () = sleep => task.tick(),
        }
    }
}

impl Task {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock()
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Connect { id, buffer, consumer } => {
                self.consumers.insert(id, consumer);
                self.step(Input::Connect { consumer: id, buffer });
            }
            Command::Disconnect { id } => {
                self.consumers.remove(&id);
                self.step(Input::Disconnect { consumer: id });
            }
            Command::Answer(answer) => self.answer(answer),
            Command::Replay { limit, done } => {
                self.replay(limit);
                // the caller may be gone
                let _ = done.send(());
            }
            Command::Status(to) => {
                let (out, retrying) = self.core.counts();
                let (consumers, next) = (self.consumers.len(), self.core.next());
                let _ = to.send(GroupStatus { consumers, out, retrying, next });
            }
            Command::Redeliver => self.step(Input::Redeliver),
            Command::Drop => {}
        }
    }

    fn answer(&mut self, answer: Answer) {
        match answer {
            Answer::Retry(ids) => self.step(Input::Retry(ids)),
            Answer::Park(ids, reason) => self.step(Input::Park { ids, reason }),
            Answer::Done(ids) => {
                let (refused, done): (Vec<Uuid>, Vec<Uuid>) =
                    ids.into_iter().partition(|_| self.faults.refuses_ack());
                done.iter().for_each(|id| drop(self.found.remove(id)));
                self.step(Input::Ack(done));
                if !refused.is_empty() {
                    self.step(Input::Retry(refused));
                }
            }
        }
    }

    fn tick(&mut self) {
        let now = SystemClock.now();
        if self.store_at.is_some_and(|at| at <= now) {
            self.store_checkpoint();
        }
        self.step(Input::Tick);
    }

    /// Advances the core and carries out its effects, until there are none left.
    fn step(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for effect in self.core.step(SystemClock.now(), input) {
                if let Some(next) = self.run_effect(effect) {
                    inputs.push_back(next);
                }
            }
        }
    }

    fn run_effect(&mut self, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Send { consumer, message } => self.send(consumer, &message),
            Effect::Refuse { consumer } => {
                let to = self.consumers.remove(&consumer)?;
                let refusal = refusal::too_many_consumers(&self.record.stream, &self.record.group);
                // a consumer that cannot receive the refusal is gone
                let _ = to.messages.try_send(Err(refusal));
                None
            }
            Effect::Park { message, reason } => {
                self.park(&message, &reason);
                None
            }
        }
    }

    fn send(&mut self, consumer: u64, message: &Message) -> Option<Input> {
        let found = self.found.get(&message.id)?;
        let sent = self.consumers.get(&consumer).is_some_and(|to| {
            let response = response(found, message.retry_count, to.text_ids);
            to.messages.try_send(Ok(response)).is_ok()
        });
        if sent {
            return None;
        }
        // the consumer is gone, or does not receive its messages
        self.consumers.remove(&consumer);
        Some(Input::Disconnect { consumer })
    }

    fn park(&mut self, message: &Message, reason: &str) {
        let Some(found) = self.found.remove(&message.id) else { return };
        let Some(original) = found.original() else { return };
        let name = original.stream.as_ref().map(|stream| stream.name.clone()).unwrap_or_default();
        let name = String::from_utf8_lossy(&name).into_owned();
        let parked = self.store().park(&self.record, &name, original.revision, reason);
        if let Err(error) = parked {
            tracing::error!(%error, "a message could not be parked");
        }
    }

    /// Reads as many messages as there is room for.
    fn fill(&mut self) {
        while self.core.room() > 0 && !self.consumers.is_empty() {
            let (found, next) = self.read(self.core.room());
            let before = self.core.next();
            if found.is_empty() {
                self.core.skip_to(next);
            } else {
                let messages =
                    found.iter().filter_map(|found| self.message(found, false)).collect();
                for found in found {
                    if let Some(id) = found.original().and_then(|event| event.id.as_ref()) {
                        self.found.insert(uuid(id), found);
                    }
                }
                self.step(Input::Read(messages));
                self.core.skip_to(next);
            }
            if self.core.next() == before {
                return;
            }
        }
    }

    /// The next messages, and the position after them.
    fn read(&self, count: usize) -> (Vec<Found>, u64) {
        let (from, resolve) = (self.core.next(), self.settings.resolve_links);
        if self.record.stream == ALL {
            let index = usize::try_from(from).unwrap_or(usize::MAX);
            let scan = count.min(SCAN);
            let (found, next) =
                self.store().read_all(true, index, scan, self.filter.as_ref(), resolve);
            return (found, next as u64);
        }
        match self.store().read_stream(&self.record.stream, true, from, count, resolve) {
            StreamPage::Missing | StreamPage::Tombstoned => (Vec::new(), from),
            StreamPage::Page { found, .. } => {
                let next = found.last().map_or(from, |last| last.revision + 1);
                (found, next)
            }
        }
    }

    fn message(&self, found: &Found, replayed: bool) -> Option<Message> {
        let original = found.original()?;
        let at = if self.record.stream == ALL { found.index as u64 } else { found.revision };
        let of = found.event.as_ref().unwrap_or(original).stream.as_ref();
        let mut hasher = DefaultHasher::new();
        of.map(|stream| &stream.name).hash(&mut hasher);
        let id = uuid(original.id.as_ref()?);
        Some(Message { id, at, pin: hasher.finish(), retry_count: 0, replayed })
    }

    fn replay(&mut self, limit: Option<u64>) {
        let name = self.record.parked_stream();
        let resolve = self.settings.resolve_links;
        let count = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let (found, below) = {
            let store = self.store();
            let StreamPage::Page { found, .. } = store.read_stream(&name, true, 0, count, false)
            else {
                return;
            };
            let below = found.last().map(|last| last.revision + 1);
            let parked = found.iter().filter_map(|parked| parked.event.as_ref());
            (parked.filter_map(|event| store.parked(event, resolve)).collect::<Vec<_>>(), below)
        };
        let Some(below) = below else { return };
        if let Err(error) = self.store().forget_parked(&self.record, below) {
            tracing::error!(%error, "parked messages could not be forgotten");
        }
        let messages = found.iter().filter_map(|found| self.message(found, true)).collect();
        for found in found {
            if let Some(id) = found.original().and_then(|event| event.id.as_ref()) {
                self.found.insert(uuid(id), found);
            }
        }
        self.step(Input::Replay(messages));
    }

    /// The time at which to store the checkpoint. Stores it at once when enough has changed.
    fn note_checkpoint(&mut self) -> Option<Instant> {
        let changed = self.core.checkpoint().saturating_sub(self.record.next);
        let most = u64::try_from(self.settings.max_checkpoint_count).unwrap_or(u64::MAX);
        if changed == 0 {
            self.store_at = None;
        } else if changed >= most.max(1) {
            self.store_checkpoint();
        } else if self.store_at.is_none() {
            self.store_at = Some(SystemClock.now() + checkpoint_after(&self.settings));
        }
        self.store_at
    }

    fn store_checkpoint(&mut self) {
        self.record.next = self.core.checkpoint();
        self.record.checkpointed = true;
        self.store_at = None;
        if let Err(error) = self.store().store_group(self.record.clone()) {
            tracing::error!(%error, "the checkpoint of a group could not be stored");
        }
    }

    async fn drop_consumers(self) {
        for consumer in self.consumers.values() {
            let status = refusal::dropped(&self.record.stream, &self.record.group);
            // a consumer that does not receive is dropped without a message
            let _ = consumer.messages.try_send(Err(status));
        }
    }
}

fn response(found: &Found, retry_count: u32, text: bool) -> ReadResp {
    use read_resp::event::{Count, Position};
    let at = Position::CommitPosition(position(found.index));
    let event = read_resp::Event {
        event: formed(found.event.clone(), text),
        link: formed(found.link.clone(), text),
        position: Some(at),
        count: Some(Count::RetryCount(i32::try_from(retry_count).unwrap_or(i32::MAX))),
    };
    ReadResp { content: Some(read_resp::Content::Event(event)) }
}

fn rules(settings: &Settings) -> Rules {
    let number = |value: i32| usize::try_from(value).unwrap_or_default();
    let message_timeout = match settings.message_timeout {
        Some(MessageTimeout::MessageTimeoutMs(millis)) => {
            Duration::from_millis(u64::try_from(millis).unwrap_or_default())
        }
        Some(MessageTimeout::MessageTimeoutTicks(ticks)) => ticks_span(ticks),
        None => Duration::ZERO,
    };
    // on the wire zero means no timeout
    let never = Duration::from_secs(365 * 24 * 3600);
    Rules {
        max_retry_count: u32::try_from(settings.max_retry_count).unwrap_or_default(),
        message_timeout: if message_timeout.is_zero() { never } else { message_timeout },
        max_subscriber_count: number(settings.max_subscriber_count),
        buffer_max: number(settings.history_buffer_size).max(1),
        strategy: match (settings.consumer_strategy.as_str(), settings.strategy_old) {
            ("DispatchToSingle", _) | ("", 0) => Strategy::DispatchToSingle,
            ("Pinned" | "PinnedByCorrelation", _) | ("", 2) => Strategy::Pinned,
            _ => Strategy::RoundRobin,
        },
    }
}

fn checkpoint_after(settings: &Settings) -> Duration {
    match settings.checkpoint_after {
        Some(CheckpointAfter::CheckpointAfterMs(millis)) => {
            Duration::from_millis(u64::try_from(millis).unwrap_or_default())
        }
        Some(CheckpointAfter::CheckpointAfterTicks(ticks)) => ticks_span(ticks),
        None => Duration::ZERO,
    }
}

fn ticks_span(ticks: i64) -> Duration {
    Duration::from_micros(u64::try_from(ticks).unwrap_or_default() / 10)
}
