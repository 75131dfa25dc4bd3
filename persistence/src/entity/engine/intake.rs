//! Takes events of other replicas, from wherever they come: drops duplicates, waits for causes,
//! and applies an event or holds it back.

use super::Now;
use super::applied::Applied;
use super::doubts::Doubts;
use super::holding::Holding;
use super::peers::Peers;
use super::shared::Shared;
use super::skipped;
use crate::delivery::Offered;
use crate::entity::{EntityCounters, EventSourced, HeldEvent};
use crate::event::StoredEvent;

/// The parts that an event of another replica changes, and the events that were applied.
pub(super) struct Intake<'a, E: EventSourced> {
    pub(super) shared: &'a Shared<E>,
    pub(super) now: Now,
    pub(super) applied: &'a mut Applied<E>,
    pub(super) peers: &'a mut Peers,
    pub(super) holding: &'a mut Holding,
    pub(super) doubts: &'a mut Doubts,
    /// The applied events, to be stored.
    pub(super) group: Vec<StoredEvent>,
    /// True when the behaviour wants a snapshot after one of the events.
    pub(super) wants_snapshot: bool,
}

impl<E: EventSourced> Intake<'_, E> {
    /// Takes one event. It is applied, with the events that become ready by it; or it waits, or it
    /// is dropped and read again later.
    pub(super) fn offer(&mut self, mut event: StoredEvent) {
        if self.applied.is_spoilt() || self.refuses(&event) {
            // after a panic the event is read again: after the restart
            return;
        }
        if skipped::is_skipped(&event) && !self.applied.delivery.is_duplicate(&event) {
            // another replica skipped it: its origin's journal has it with its content
            return;
        }
        if self.applied.delivery.passes(&mut event) {
            return self.apply_ready(event);
        }
        match self.applied.delivery.offer(event) {
            Offered::Duplicate => {
                EntityCounters::add(&self.shared.counters.events_duplicate, 1);
            }
            Offered::Full => {
                self.peers.look_again();
                EntityCounters::add(&self.shared.counters.waiting_overflows, 1);
            }
            Offered::Waiting | Offered::Held => self.peers.look_again(),
            Offered::Ready => {
                while !self.applied.is_spoilt()
                    && let Some(ready) = self.applied.delivery.take_ready()
                {
                    self.apply_ready(ready);
                }
            }
        }
    }

    /// Returns whether the event is not taken because of its origin: it is of a replica that this
    /// entity does not know, or an own event that the journal has.
    fn refuses(&mut self, event: &StoredEvent) -> bool {
        let (shared, origin) = (self.shared, &event.meta.origin);
        let is_own = shared.is_own(origin);
        if !is_own && self.peers.get(origin).is_some() {
            return false;
        }
        if self.applied.delivery.is_duplicate(event) {
            if is_own {
                self.applied.own_times.compare(shared, event);
            }
            EntityCounters::add(&shared.counters.events_duplicate, 1);
            return true;
        }
        if is_own {
            self.doubts.found_behind();
        } else {
            tracing::warn!(id = %shared.id, %origin, "an event of an unknown replica is ignored");
        }
        !is_own
    }

    /// Applies an event that delivery has noted as seen, or holds it back.
    fn apply_ready(&mut self, mut ready: StoredEvent) {
        if !self.apply_or_hold(&mut ready) {
            return self.peers.look_again();
        }
        let meta = &ready.meta;
        if self.shared.settings.delete_events
            && let Some(peer) = self.peers.get_mut(&meta.origin)
        {
            peer.has.merge(&meta.version);
        }
        if self.shared.is_own(&meta.origin) {
            EntityCounters::add(&self.shared.counters.events_reclaimed, 1);
        }
        if !self.doubts.is_proven() {
            // after a proof each row counts: in a journal that went back, own events can be in rows
            // before this one that its origin did not have then
            self.peers.reached(&meta.origin, meta.source_seq);
        }
        self.group.push(ready);
    }

    /// Applies an event of another replica that is ready. Returns whether it was applied: if not,
    /// the event is held back, and the version that the entity has seen is as before.
    fn apply_or_hold(&mut self, event: &mut StoredEvent) -> bool {
        let shared = self.shared;
        if self.holding.is_to_be_skipped(event) {
            tracing::warn!(id = %shared.id, origin = %event.meta.origin, number = event.meta.origin_nr(), "an event is skipped, as an operator wants it");
            EntityCounters::add(&shared.counters.events_skipped, 1);
            skipped::skip(event);
        }
        match self.applied.apply_other(shared, self.now, event) {
            Ok(wants_snapshot) => {
                self.wants_snapshot |= wants_snapshot;
                self.holding.applied(shared, event);
                true
            }
            Err(why) => {
                let (origin, number) = (event.meta.origin.clone(), event.meta.origin_nr());
                self.applied.delivery.put_back(event);
                self.applied.delivery.hold(&origin, number);
                let spoils = self.applied.is_spoilt();
                let held = HeldEvent { origin, number, why };
                self.holding.hold(shared, self.now, held, spoils);
                false
            }
        }
    }
}
