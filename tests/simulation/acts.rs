//! The acts of ledgers that no command asks for, as their handlers tell them: calls for reminders
//! and reactions. Rules that a single call can break are checked at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use antiphon_persistence::identity::ReplicaId;
use parking_lot::Mutex;

/// The first line of those that handlers write.
const FIRST_LINE: u64 = 1 << 40;

/// An entity at one replica.
pub(crate) type Key = (String, ReplicaId);

/// A life of an entity in the memory of a node, after its recovery.
#[derive(Debug)]
struct Life {
    /// The number of events that it began with.
    begun_at: usize,
    reacted: BTreeSet<u64>,
    /// The place in the stream of the newest event of this life with a reaction. Those that an
    /// earlier life has left come when their rows are due.
    newest: usize,
}

/// The calls that handlers told.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// By entity and the line that set a reminder, the times for which it has fired, with those
    /// that it has missed, and the number of calls of each.
    pub(crate) fired: BTreeMap<Key, BTreeMap<u64, BTreeMap<u64, u64>>>,
    /// By entity and line, the number of reactions.
    pub(crate) reacted: BTreeMap<Key, BTreeMap<u64, u64>>,
    /// By entity, the lines whose reminders have ended without an event: they have fired once, or
    /// one has that was later.
    pub(crate) ended: BTreeMap<Key, BTreeSet<u64>>,
    /// The rules that were broken.
    pub(crate) broken: Vec<String>,
    /// The lives that go on, by entity and node.
    lives: BTreeMap<(Key, u64), Life>,
    lines: u64,
    /// Number of calls for reminders and of reactions, to see that a run has some.
    pub(crate) counts: (u64, u64),
}

/// The log of a run; the entities of all nodes write to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Acts(Arc<Mutex<Log>>);

impl Acts {
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        change(&mut self.0.lock())
    }

    /// A line that no client writes.
    pub(crate) fn line(&self) -> u64 {
        self.with(|log| {
            log.lines += 1;
            FIRST_LINE + log.lines
        })
    }

    pub(crate) fn broken(&self, key: &Key, why: &str) {
        self.with(|log| log.broken.push(format!("{} at {}: {why}", key.0, key.1)));
    }

    /// A reminder that a line has set fires, for this time and those before.
    pub(crate) fn fires(&self, key: Key, line: u64, due: u64) {
        self.with(|log| {
            log.counts.0 += 1;
            *log.fired.entry(key).or_default().entry(line).or_default().entry(due).or_default() +=
                1;
        });
    }

    /// The reminders that these lines have set end without an event.
    pub(crate) fn end_silently(&self, key: Key, lines: Vec<u64>) {
        self.with(|log| log.ended.entry(key).or_default().extend(lines));
    }

    /// A life begins on a node, with this number of events.
    pub(crate) fn begins(&self, key: Key, node: u64, begun_at: usize) {
        let life = Life { begun_at, reacted: BTreeSet::new(), newest: begun_at };
        self.with(|log| log.lives.insert((key, node), life));
    }

    /// A life ends.
    pub(crate) fn ends(&self, key: Key, node: u64) {
        self.with(|log| log.lives.remove(&(key, node)));
    }

    /// A ledger reacts to the line of another replica, at this place of its stream, from one.
    pub(crate) fn reacts(&self, key: Key, node: u64, line: u64, place: Option<usize>) {
        self.with(|log| {
            log.counts.1 += 1;
            if let Some(why) = log.lives.get_mut(&(key.clone(), node)).map_or_else(
                || Some("a reaction outside of a life, or in recovery".to_owned()),
                |life| life.reacts(line, place),
            ) {
                log.broken.push(format!("{} at {}: line {line}: {why}", key.0, key.1));
            }
            *log.reacted.entry(key).or_default().entry(line).or_default() += 1;
        });
    }
}

impl Life {
    /// The rule that a reaction breaks; `None`: none.
    fn reacts(&mut self, line: u64, place: Option<usize>) -> Option<String> {
        let Some(place) = place else {
            return Some("a reaction to an event that the state does not have".into());
        };
        if !self.reacted.insert(line) {
            return Some("a second reaction in one life".into());
        }
        if place <= self.begun_at {
            return None;
        }
        if place <= self.newest {
            let newest = self.newest;
            return Some(format!("a reaction to event {place} after that to event {newest}"));
        }
        self.newest = place;
        None
    }
}
