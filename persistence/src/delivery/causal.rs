//! The rules of causal delivery for one entity at one replica.

use std::collections::BTreeMap;

use crate::event::StoredEvent;
use crate::identity::ReplicaId;
use crate::version::VersionVector;

/// The outcome of an offer of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// The event was applied before, or waits already.
    Duplicate,
    /// The event can be applied now; the caller gets it from [`CausalDelivery::take_ready`].
    Ready,
    /// The event waits for missing events.
    Waiting,
    /// The event would have to wait, and the buffer is full: it was dropped, and has to be read
    /// again.
    Full,
    /// The event is [held](CausalDelivery::hold), or comes after a held event: it was dropped, and
    /// has to be read again.
    Held,
}

/// An event that waits for its causes.
#[derive(Debug, Clone)]
struct Waiting {
    event: StoredEvent,
    /// True when the event was offered before the last [turn](CausalDelivery::turn).
    is_old: bool,
}

/// The events that an entity has seen, and the events that wait for their causes.
///
/// Invariants: no waiting event is included in `seen`; at most `waiting_max` events wait, not
/// counting ready ones.
#[derive(Debug, Clone, Default)]
pub struct CausalDelivery {
    seen: VersionVector,
    waiting: BTreeMap<(ReplicaId, u64), Waiting>,
    waiting_max: usize,
    /// The event that was offered last, if it is ready: most events are, and do not enter
    /// `waiting`.
    next: Option<Box<StoredEvent>>,
    /// By origin, the number of the first event that cannot be applied here: no event is taken from
    /// this number on.
    held: BTreeMap<ReplicaId, u64>,
}

impl CausalDelivery {
    /// Starts with the recovered version; at most `waiting_max` events wait for their causes.
    pub fn new(seen: VersionVector, waiting_max: usize) -> Self {
        Self { seen, waiting: BTreeMap::new(), waiting_max, next: None, held: BTreeMap::new() }
    }

    /// The events that were applied, by origin: the version of the entity.
    pub fn seen(&self) -> &VersionVector {
        &self.seen
    }

    /// Number of waiting events.
    pub fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    /// The origins of the waiting events, each once.
    pub fn waiting_origins(&self) -> Vec<ReplicaId> {
        let mut origins: Vec<_> = self.waiting.keys().map(|(origin, _)| origin.clone()).collect();
        origins.dedup();
        origins
    }

    /// Returns whether the event was applied before.
    pub fn is_duplicate(&self, event: &StoredEvent) -> bool {
        event.meta.origin_nr() <= self.seen.get(&event.meta.origin)
    }

    /// Returns whether the event is the next one of its origin and all its causes were applied.
    pub fn is_ready(&self, event: &StoredEvent) -> bool {
        let origin = &event.meta.origin;
        event.meta.origin_nr() == self.seen.get(origin) + 1
            && event
                .meta
                .version
                .iter()
                .all(|(replica, counter)| replica == origin || counter <= self.seen.get(replica))
    }

    /// Notes an event of this replica and returns its version.
    ///
    /// # Panics
    /// When an event of this replica waits or is held: the new event could have its number.
    /// Asserted in release builds too.
    pub fn record_own(&mut self, replica: &ReplicaId) -> VersionVector {
        let is_free = !self.waits_for(replica) && !self.held.contains_key(replica);
        assert!(
            is_free,
            "`{replica}`: event {} would be numbered twice",
            self.seen.get(replica) + 1
        );
        self.seen.increment(replica);
        self.seen.clone()
    }

    /// Takes an event of another replica. When the event is ready, [`Self::take_ready`] returns it
    /// and every event that waited for it; the caller calls that until it returns `None`.
    pub fn offer(&mut self, event: StoredEvent) -> Offered {
        if self.is_duplicate(&event) {
            return Offered::Duplicate;
        }
        if self.waits(&event) {
            let is_ready = self.is_ready(&event);
            let is_replaced = self.replace_older(event);
            // the older event may have waited for a cause that the newer one does not have
            return if is_replaced && is_ready { Offered::Ready } else { Offered::Duplicate };
        }
        if self.is_held(&event.meta.origin, event.meta.origin_nr()) {
            return Offered::Held;
        }
        if self.next.is_none() && self.is_ready(&event) {
            self.next = Some(Box::new(event));
            return Offered::Ready;
        }
        let ready = self.is_ready(&event);
        if !ready && self.waiting.len() >= self.waiting_max {
            return Offered::Full;
        }
        let key = (event.meta.origin.clone(), event.meta.origin_nr());
        self.waiting.insert(key, Waiting { event, is_old: false });
        if ready { Offered::Ready } else { Offered::Waiting }
    }

    /// Notes an event as seen, as [`Self::take_ready`] does, if it can be applied now and no other
    /// event waits or is held: most events pass this way, without a place in the buffer. Returns
    /// false, and changes nothing, for any other event, which must be [offered](Self::offer).
    pub fn passes(&mut self, event: &mut StoredEvent) -> bool {
        let is_alone = self.next.is_none() && self.waiting.is_empty() && self.held.is_empty();
        if !is_alone || !self.is_ready(event) {
            return false;
        }
        self.see(event);
        true
    }

    /// Notes an event as seen, and sets its concurrent flag.
    fn see(&mut self, event: &mut StoredEvent) {
        event.meta.concurrent = !self.seen.is_included_in(&event.meta.version);
        self.seen.increment(&event.meta.origin);
        self.check();
    }

    /// Returns whether this event of the origin, or one before it, is held.
    fn is_held(&self, origin: &ReplicaId, number: u64) -> bool {
        !self.held.is_empty() && self.held.get(origin).is_some_and(|held| number >= *held)
    }

    /// Takes no event of `origin` from this number on. Waiting events from this number on are
    /// dropped; all have to be read again. Events that depend on them wait by themselves.
    pub fn hold(&mut self, origin: &ReplicaId, number: u64) {
        self.held.insert(origin.clone(), number);
        self.waiting.retain(|(other, counter), _| other != origin || *counter < number);
        if self.next.as_deref().is_some_and(|event| event.meta.origin == *origin) {
            self.next = None;
        }
    }

    /// The origins of which an event is held.
    pub fn held_origins(&self) -> impl Iterator<Item = &ReplicaId> {
        self.held.keys()
    }

    /// Returns whether an event of `origin` waits for its causes.
    pub fn waits_for(&self, origin: &ReplicaId) -> bool {
        if self.next.as_deref().is_some_and(|event| event.meta.origin == *origin) {
            return true;
        }
        let first = || self.waiting.range((origin.clone(), 0)..).next();
        !self.waiting.is_empty() && first().is_some_and(|((other, _), _)| other == origin)
    }

    /// Drops the waiting events of `origin`: they have to be read again.
    pub fn forget_waiting(&mut self, origin: &ReplicaId) {
        self.waiting.retain(|(other, _), _| other != origin);
        self.next.take_if(|event| event.meta.origin == *origin);
    }

    /// Takes events of `origin` again.
    pub fn free(&mut self, origin: &ReplicaId) {
        self.held.remove(origin);
    }

    /// Takes back the last event from [`Self::take_ready`], which was not applied after all.
    pub fn put_back(&mut self, event: &StoredEvent) {
        let origin = &event.meta.origin;
        assert_eq!(
            self.seen.get(origin),
            event.meta.origin_nr(),
            "`{origin}`: the last one comes back"
        );
        self.seen.set(origin, event.meta.origin_nr() - 1);
    }

    /// Takes back the newest `count` events of this replica, which were not applied after all.
    pub fn forget_own(&mut self, replica: &ReplicaId, count: u64) {
        let seen = self.seen.get(replica);
        assert!(count <= seen, "`{replica}`: {count} own events are taken back, of {seen}");
        self.seen.set(replica, seen - count);
    }

    fn waits(&self, event: &StoredEvent) -> bool {
        let (origin, number) = (&event.meta.origin, event.meta.origin_nr());
        let is_it =
            |other: &StoredEvent| other.meta.origin == *origin && other.meta.origin_nr() == number;
        self.next.as_deref().is_some_and(is_it)
            || (!self.waiting.is_empty() && self.waiting.contains_key(&(origin.clone(), number)))
    }

    /// Replaces a waiting event by a newer one of the same number. An origin whose journal went
    /// back, and which an operator let continue, writes its numbers anew: the older event is lost
    /// there. The same event that comes again is not old any more. Returns whether it was replaced.
    fn replace_older(&mut self, event: StoredEvent) -> bool {
        let key = (event.meta.origin.clone(), event.meta.origin_nr());
        let Some(waiting) = self.waiting.get_mut(&key) else { return false };
        let time = waiting.event.meta.timestamp;
        waiting.is_old &= time > event.meta.timestamp;
        if time < event.meta.timestamp {
            waiting.event = event;
            return true;
        }
        false
    }

    /// Drops the waiting events of other replicas than `own` that were last offered before the turn
    /// before this one, and returns their origins. They have to be read again: a journal that has
    /// gone back meanwhile may have given their numbers to other events. Own events stay, since
    /// only this replica gives their numbers, and not while they wait.
    pub fn turn(&mut self, own: &ReplicaId) -> Vec<ReplicaId> {
        let mut dropped = Vec::new();
        self.waiting.retain(|(origin, _), waiting| {
            let stays = origin == own || !waiting.is_old;
            if !stays {
                dropped.push(origin.clone());
            }
            stays
        });
        dropped.dedup();
        self.waiting.values_mut().for_each(|waiting| waiting.is_old = true);
        dropped
    }

    /// The next event that can be applied now, noted as seen. Its concurrent flag is true when this
    /// replica had, until now, events that the event does not know.
    pub fn take_ready(&mut self) -> Option<StoredEvent> {
        let mut event = match self.next.take() {
            Some(event) => *event,
            None => {
                // only the first event of each origin can be the next one
                let mut waiting = self.waiting.iter();
                let (key, _) = waiting.find(|(_, waiting)| self.is_ready(&waiting.event))?;
                let key = key.clone();
                self.waiting.remove(&key).expect("found above").event
            }
        };
        self.see(&mut event);
        Some(event)
    }

    /// Notes an event that is replayed from this replica's own stream.
    pub fn replayed(&mut self, event: &StoredEvent) {
        self.seen.merge(&event.meta.version);
    }

    /// Asserts the invariants.
    pub fn check(&self) {
        if cfg!(debug_assertions) {
            assert!(self.waiting.len() <= self.waiting_max + 1, "too many events wait");
            for (origin, number) in self.waiting.keys() {
                assert!(*number > self.seen.get(origin), "{origin}:{number} waits and was applied");
                assert!(!self.is_held(origin, *number), "{origin}:{number} waits and is held");
            }
        }
    }
}
