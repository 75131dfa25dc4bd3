//! The shell of a group: reads from the store, sends to consumers, parks, stores the checkpoint.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_eventstore::ALL;
use antiphon_eventstore::wire::persistent_subscriptions::Settings;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use super::command::{Answer, Command, Consumer, GroupStatus};
use super::core::{Effect, Group, Input, Message};
use super::settings::{checkpoint_after, rules};
use crate::faults::{Fault, Faults};
use crate::refusal;
use crate::store::{EventFilter, Found, GroupRecord, Store, StreamPage};

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
                Some(Command::Drop) => return task.drop_consumers(),
                Some(command) => task.command(command),
            },
            changed = head.changed() => if changed.is_err() { return },
            () = sleep => task.tick(),
        }
    }
}

impl Task {
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
            Command::Drop => {}
        }
    }

    fn answer(&mut self, answer: Answer) {
        match answer {
            Answer::Retry(ids) => self.step(Input::Retry(ids)),
            Answer::Park(ids, reason) => self.step(Input::Park { ids, reason }),
            Answer::Done(ids) => {
                let (refused, done): (Vec<Uuid>, Vec<Uuid>) =
                    ids.into_iter().partition(|_| self.faults.happens(Fault::RefusedAck));
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
                match effect {
                    Effect::Send { consumer, message } => {
                        inputs.extend(self.send(consumer, &message));
                    }
                    Effect::Refuse { consumer } => {
                        let GroupRecord { stream, group, .. } = &self.record;
                        if let Some(to) = self.consumers.remove(&consumer) {
                            to.end(refusal::too_many_consumers(stream, group));
                        }
                    }
                    Effect::Park { message, reason } => self.park(&message, &reason),
                }
            }
        }
    }

    fn send(&mut self, consumer: u64, message: &Message) -> Option<Input> {
        let found = self.found.get(&message.id)?;
        let to = self.consumers.get(&consumer);
        if to.is_some_and(|to| to.send(found, message.retry_count)) {
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
        let parked = self.store.lock().park(&self.record, &name, original.revision, reason);
        if let Err(error) = parked {
            tracing::error!(%error, "a message could not be parked");
        }
    }

    /// Reads as many messages as there is room for.
    fn fill(&mut self) {
        while self.core.room() > 0 && !self.consumers.is_empty() {
            let (found, next) = self.read(self.core.room());
            let before = self.core.next();
            if !found.is_empty() {
                let messages = self.keep(found, false);
                self.step(Input::Read(messages));
            }
            self.core.skip_to(next);
            if self.core.next() == before {
                return;
            }
        }
    }

    /// Keeps the content of messages. Returns the parts that the core needs.
    fn keep(&mut self, found: Vec<Found>, replayed: bool) -> Vec<Message> {
        let mut messages = Vec::with_capacity(found.len());
        for found in found {
            if let Some(message) = self.message(&found, replayed) {
                self.found.insert(message.id, found);
                messages.push(message);
            }
        }
        messages
    }

    /// The next messages, and the position after them.
    fn read(&self, count: usize) -> (Vec<Found>, u64) {
        let (from, resolve) = (self.core.next(), self.settings.resolve_links);
        if self.record.stream == ALL {
            let index = usize::try_from(from).unwrap_or(usize::MAX);
            let scan = count.min(SCAN);
            let filter = self.filter.as_ref();
            let (found, next) =
                self.store.lock().log().read_all(true, index, scan, filter, resolve);
            return (found, next as u64);
        }
        match self.store.lock().log().read_stream(&self.record.stream, true, from, count, resolve) {
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
        let id = original.id.as_ref()?.id()?;
        Some(Message { id, at, pin: hasher.finish(), retry_count: 0, replayed })
    }

    fn replay(&mut self, limit: Option<u64>) {
        let count = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let resolve = self.settings.resolve_links;
        let taken = self.store.lock().take_parked(&self.record, count, resolve);
        match taken {
            Ok(found) => {
                let messages = self.keep(found, true);
                self.step(Input::Replay(messages));
            }
            Err(error) => tracing::error!(%error, "parked messages could not be replayed"),
        }
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
        if let Err(error) = self.store.lock().store_group(self.record.clone()) {
            tracing::error!(%error, "the checkpoint of a group could not be stored");
        }
    }

    fn drop_consumers(self) {
        for consumer in self.consumers.values() {
            consumer.end(refusal::dropped(&self.record.stream, &self.record.group));
        }
    }
}
