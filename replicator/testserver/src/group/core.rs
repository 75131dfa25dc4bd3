//! The rules of a persistent subscription group, as in EventStoreDB.
//!
//! ```text
//!             room at a consumer          Ack, Skip
//!   waiting ---------------------> out -------------> done
//!      ^                            |  Park, or retried too often
//!      +---- Retry, timeout, -------+-------------------> parked
//!            consumer gone
//! ```
//!
//! A message whose id is out already is sent too. One answer settles all deliveries of an id that
//! are out, as clients know messages by their id only.
//!
//! Invariants:
//! - a message is with at most one consumer, and no consumer has more than its buffer size;
//! - messages to be delivered again go before new ones, lowest position first;
//! - the checkpoint never passes a message that waits or is out.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// The parts of a message that the rules need. Its content is in the log. Several messages may have
/// the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: Uuid,
    /// The index in the log of the entry that the group reads.
    pub(crate) place: usize,
    /// The position of the message: a number of the stream, or an index of the log.
    pub(crate) at: u64,
    /// The value by which the message is pinned to a consumer.
    pub(crate) pin: u64,
    pub(crate) retry_count: u32,
    /// True for a replayed parked message, whose position is not one of the group.
    pub(crate) replayed: bool,
}

/// The distribution of messages over consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    DispatchToSingle,
    RoundRobin,
    Pinned,
}

/// The settings that the rules use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) max_retry_count: u32,
    pub(crate) message_timeout: Duration,
    pub(crate) max_subscriber_count: usize,
    /// Largest number of waiting messages.
    pub(crate) buffer_max: usize,
    pub(crate) strategy: Strategy,
}

/// An input of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// Messages were read, in order.
    Read(Vec<Message>),
    /// Deliver parked messages again.
    Replay(Vec<Message>),
    Connect {
        consumer: u64,
        buffer: usize,
    },
    Disconnect {
        consumer: u64,
    },
    Ack(Vec<Uuid>),
    Retry(Vec<Uuid>),
    Park {
        ids: Vec<Uuid>,
        reason: String,
    },
    Tick,
}

/// Requests to the shell, to be executed in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Send {
        consumer: u64,
        message: Message,
    },
    Park {
        message: Message,
        reason: String,
    },
    /// The group has no room for another consumer.
    Refuse {
        consumer: u64,
    },
}

#[derive(Debug)]
struct Consumer {
    id: u64,
    buffer: usize,
    out: usize,
    total: u64,
}

#[derive(Debug)]
struct Out {
    /// The first message with this id.
    message: Message,
    /// One for each delivery.
    consumers: Vec<u64>,
    until: Instant,
}

/// The number of messages in each state, and those sent in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) out: usize,
    pub(crate) retrying: usize,
    pub(crate) waiting: usize,
    pub(crate) total: u64,
}

/// A consumer's deliveries: those without an answer, the room for more, and all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) out: usize,
    pub(crate) room: usize,
    pub(crate) total: u64,
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    rules: Rules,
    waiting: VecDeque<Message>,
    retrying: VecDeque<Message>,
    out: BTreeMap<Uuid, Out>,
    consumers: Vec<Consumer>,
    turn: usize,
    /// Number of messages sent, repeated ones included.
    total: u64,
    /// The position after the last message read.
    next: u64,
}

impl Group {
    pub(crate) fn new(rules: Rules, next: u64) -> Self {
        Self {
            rules,
            waiting: VecDeque::new(),
            retrying: VecDeque::new(),
            out: BTreeMap::new(),
            consumers: Vec::new(),
            turn: 0,
            total: 0,
            next,
        }
    }

    /// Advances the group by one input.
    #[expect(unreachable_pub, reason = "the tidy test knows a pure core by it")]
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Read(messages) => {
                self.next = messages.last().map_or(self.next, |last| last.at + 1);
                self.waiting.extend(messages);
            }
            Input::Replay(messages) => self.retrying.extend(messages),
            Input::Connect { consumer, buffer } => self.connect(consumer, buffer, &mut effects),
            Input::Disconnect { consumer } => self.disconnect(consumer, &mut effects),
            Input::Ack(ids) => ids.iter().for_each(|id| self.settle(*id)),
            Input::Retry(ids) => ids.iter().for_each(|id| self.retry(*id, &mut effects)),
            Input::Park { ids, reason } => self.park(&ids, &reason, &mut effects),
            Input::Tick => self.retry_where(|out| out.until <= now, &mut effects),
        }
        self.push(now, &mut effects);
        if cfg!(debug_assertions) {
            self.check();
        }
        effects
    }

    /// Number of messages that the shell may read.
    pub(crate) fn room(&self) -> usize {
        self.rules.buffer_max.saturating_sub(self.waiting.len())
    }

    /// The position after the last message read.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Skips to `next`: no message below it is for this group.
    pub(crate) fn skip_to(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// The position from which a restarted server continues to read.
    pub(crate) fn checkpoint(&self) -> u64 {
        let out = self.out.values().map(|out| &out.message);
        let open = self.waiting.iter().chain(&self.retrying).chain(out);
        open.filter(|message| !message.replayed)
            .map(|message| message.at)
            .min()
            .unwrap_or(self.next)
    }

    /// The time of the next timeout of a message.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.out.values().map(|out| out.until).min()
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            out: self.out.len(),
            retrying: self.retrying.len(),
            waiting: self.waiting.len(),
            total: self.total,
        }
    }

    /// The deliveries of a consumer.
    pub(crate) fn load(&self, consumer: u64) -> Load {
        let known = self.consumers.iter().find(|known| known.id == consumer);
        known.map_or_else(Load::default, |known| Load {
            out: known.out,
            room: known.buffer - known.out,
            total: known.total,
        })
    }

    fn connect(&mut self, consumer: u64, buffer: usize, effects: &mut Vec<Effect>) {
        let max = self.rules.max_subscriber_count;
        if max > 0 && self.consumers.len() >= max {
            return effects.push(Effect::Refuse { consumer });
        }
        self.consumers.push(Consumer { id: consumer, buffer, out: 0, total: 0 });
    }

    fn disconnect(&mut self, consumer: u64, effects: &mut Vec<Effect>) {
        self.retry_where(|out| out.consumers.contains(&consumer), effects);
        self.consumers.retain(|known| known.id != consumer);
    }

    /// Takes a message from its consumers.
    fn take(&mut self, id: Uuid) -> Option<Message> {
        let Out { message, consumers, .. } = self.out.remove(&id)?;
        for consumer in consumers {
            if let Some(known) = self.consumers.iter_mut().find(|known| known.id == consumer) {
                known.out -= 1;
            }
        }
        Some(message)
    }

    fn settle(&mut self, id: Uuid) {
        self.take(id);
        // an answer after the timeout still counts
        self.retrying.retain(|message| message.id != id);
    }

    fn retry(&mut self, id: Uuid, effects: &mut Vec<Effect>) {
        let Some(mut message) = self.take(id) else { return };
        if message.retry_count >= self.rules.max_retry_count {
            let reason = format!("Reached retry count of {}", self.rules.max_retry_count);
            return effects.push(Effect::Park { message, reason });
        }
        message.retry_count += 1;
        let place = self.retrying.partition_point(|other| other.at <= message.at);
        self.retrying.insert(place, message);
    }

    fn park(&mut self, ids: &[Uuid], reason: &str, effects: &mut Vec<Effect>) {
        for id in ids {
            if let Some(message) = self.take(*id) {
                effects.push(Effect::Park { message, reason: reason.to_owned() });
            }
        }
    }

    fn retry_where(&mut self, is_wanted: impl Fn(&Out) -> bool, effects: &mut Vec<Effect>) {
        let wanted = self.out.iter().filter(|(_, out)| is_wanted(out));
        let ids: Vec<Uuid> = wanted.map(|(id, _)| *id).collect();
        ids.iter().for_each(|id| self.retry(*id, effects));
    }

    fn push(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        loop {
            let again = !self.retrying.is_empty();
            let queue = if again { &self.retrying } else { &self.waiting };
            let Some(pin) = queue.front().map(|message| message.pin) else { return };
            let Some(consumer) = self.choose(pin) else { return };
            let queue = if again { &mut self.retrying } else { &mut self.waiting };
            let Some(message) = queue.pop_front() else { return };
            let until = now + self.rules.message_timeout;
            effects.push(Effect::Send { consumer, message: message.clone() });
            if let Some(known) = self.consumers.iter_mut().find(|known| known.id == consumer) {
                known.out += 1;
                known.total += 1;
            }
            self.total += 1;
            let first = Out { message: message.clone(), consumers: Vec::new(), until };
            self.out.entry(message.id).or_insert(first).consumers.push(consumer);
        }
    }

    fn choose(&mut self, pin: u64) -> Option<u64> {
        let count = self.consumers.len();
        if count == 0 {
            return None;
        }
        let free = |consumer: &Consumer| consumer.out < consumer.buffer;
        match self.rules.strategy {
            Strategy::DispatchToSingle => {
                self.consumers.iter().find(|consumer| free(consumer)).map(|consumer| consumer.id)
            }
            Strategy::RoundRobin => {
                let found = (0..count).map(|step| (self.turn + step) % count);
                let index = found.into_iter().find(|index| free(&self.consumers[*index]))?;
                self.turn = (index + 1) % count;
                Some(self.consumers[index].id)
            }
            Strategy::Pinned => {
                let index = usize::try_from(pin % count as u64).unwrap_or_default();
                free(&self.consumers[index]).then(|| self.consumers[index].id)
            }
        }
    }

    fn check(&self) {
        for consumer in &self.consumers {
            let deliveries = self.out.values().flat_map(|out| &out.consumers);
            let out = deliveries.filter(|one| **one == consumer.id).count();
            assert_eq!(out, consumer.out, "messages of {consumer:?}");
            assert!(out <= consumer.buffer, "{consumer:?} has more than its buffer");
        }
        assert!(self.checkpoint() <= self.next, "the checkpoint is ahead of what was read");
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
