//! The shell of a group: reads from the store, sends to consumers, parks, stores the checkpoint.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_eventstore::ALL;
use antiphon_eventstore::wire::persistent_subscriptions::Settings;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use super::command::{Answer, Command, Consumer, ConsumerStatus, GroupStatus};
use super::core::{Effect, Group, Input, Message};
use super::settings::{checkpoint_after, rules};
use crate::faults::{Fault, Faults};
use crate::refusal;
use crate::store::{EventFilter, Found, GroupRecord, Store, StreamPage};

/// Interval at which a real server looks for messages without an answer, and at the time of the
/// last checkpoint.
const TICK: Duration = Duration::from_secs(1);

/// Largest number of entries of `$all` examined while the store is locked.
const SCAN: usize = 1000;

struct Task {
    store: Arc<Mutex<Store>>,
    faults: Faults,
    record: GroupRecord,
    settings: Settings,
    filter: Option<EventFilter>,
    core: Group,
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
    let started = SystemClock.now();
    let mut task = Task {
        store,
        faults,
        record,
        settings,
        filter,
        core,
        consumers: BTreeMap::new(),
        store_at: None,
    };
    loop {
        task.fill();
        let wake = [task.core.deadline(), task.note_checkpoint()].into_iter().flatten().min();
        let sleep = async {
            match wake {
                Some(until) => tokio::time::sleep_until(at_tick(started, until)).await,
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
            Command::Connect { id, buffer, consumer, admitted } => {
                self.consumers.insert(id, consumer);
                self.step(Input::Connect { consumer: id, buffer });
                // a caller that is gone disconnects
                let _ = admitted.send(self.consumers.contains_key(&id));
            }
            Command::Disconnect { id } => {
                self.consumers.remove(&id);
                self.step(Input::Disconnect { consumer: id });
            }
            Command::Answer(answer) => self.answer(answer),
            Command::Replay { before, done } => {
                self.replay(before);
                // the caller may be gone
                let _ = done.send(());
            }
            Command::Status(to) => {
                let consumers = self.consumers.iter().map(|(id, one)| ConsumerStatus {
                    user: one.user.clone(),
                    connection_name: one.connection_name.clone(),
                    load: self.core.load(*id),
                });
                let (counts, next) = (self.core.counts(), self.core.next());
                // the caller may be gone
                let _ = to.send(GroupStatus { consumers: consumers.collect(), counts, next });
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
                        self.consumers.remove(&consumer);
                    }
                    Effect::Park { message, reason } => self.park(&message, &reason),
                }
            }
        }
    }

    fn send(&mut self, consumer: u64, message: &Message) -> Option<Input> {
        let found = self.content(message)?;
        let to = self.consumers.get(&consumer);
        if to.is_some_and(|to| to.send(&found, message.retry_count)) {
            return None;
        }
        // the consumer is gone, or does not receive its messages
        self.consumers.remove(&consumer);
        Some(Input::Disconnect { consumer })
    }

    /// The content of a message. A replayed one is a link in the parking lot, always resolved.
    fn content(&self, message: &Message) -> Option<Found> {
        let resolve = self.settings.resolve_links || message.replayed;
        self.store.lock().log().entry(message.place, resolve)
    }

    fn park(&mut self, message: &Message, reason: &str) {
        let Some(found) = self.content(message) else { return };
        let parked = self.store.lock().park(&self.record, &found, reason);
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
                let messages = messages(&found, &self.record.stream, false);
                self.step(Input::Read(messages));
            }
            self.core.skip_to(next);
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

    fn replay(&mut self, before: Option<u64>) {
        let taken = self.store.lock().take_parked(&self.record, before);
        match taken {
            Ok(found) => {
                let messages = messages(&found, &self.record.stream, true);
                self.step(Input::Replay(messages));
            }
            Err(error) => tracing::error!(%error, "parked messages could not be replayed"),
        }
    }

    /// The time at which to store the checkpoint. Stores it at once when enough has changed.
    fn note_checkpoint(&mut self) -> Option<Instant> {
        let changed = self.core.checkpoint().saturating_sub(self.record.next);
        let count = |number: i32| u64::try_from(number).unwrap_or_default().max(1);
        if changed >= count(self.settings.max_checkpoint_count) {
            self.store_checkpoint();
        } else if changed < count(self.settings.min_checkpoint_count) {
            // fewer are not stored, however long ago they were done
            self.store_at = None;
        } else if self.store_at.is_none() {
            let after = checkpoint_after(&self.settings);
            self.store_at = after.map(|after| SystemClock.now() + after);
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

/// The first tick at or after a time.
fn at_tick(started: Instant, until: Instant) -> Instant {
    let passed = until.saturating_duration_since(started).as_nanos();
    let ticks = u32::try_from(passed.div_ceil(TICK.as_nanos())).unwrap_or(u32::MAX);
    started + TICK * ticks
}

/// The messages of entries that a group reads in `stream`, or in its parking lot.
fn messages(found: &[Found], stream: &str, replayed: bool) -> Vec<Message> {
    let message = |found: &Found| {
        let original = found.original()?;
        let at = if stream == ALL { found.index as u64 } else { found.revision };
        let of = found.event.as_ref().unwrap_or(original).stream.as_ref();
        let mut hasher = DefaultHasher::new();
        of.map(|stream| &stream.name).hash(&mut hasher);
        let (id, place) = (original.id.as_ref()?.id()?, found.index);
        Some(Message { id, place, at, pin: hasher.finish(), retry_count: 0, replayed })
    };
    found.iter().filter_map(message).collect()
}
