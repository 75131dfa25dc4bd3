//! Events of other replicas that cannot be applied here. Such an event waits, and later events of
//! its origin wait behind it.
//!
//! ```text
//!            cannot be read, or `on_event` panics
//!   taken ---------------------------------------> held --- an operator skips it --+
//!    | ^                                             |                             |
//!    | +---------- time is over: taken again --------+                             v
//!    +--- succeeds ---> stored, applied                              stored, not applied
//! ```
//!
//! An event is read before anything is changed, so an event that cannot be read leaves no trace.
//! After a panic of `on_event` the state is *spoilt*: the entity finishes the work that it has and
//! begins again from its journal, which does not have the event. Only applied events are stored,
//! with one exception: an event that an operator skips keeps its place in the stream without its
//! content ([`super::skipped`]), so that every replica has the same events and the same version.

use antiphon_base::backoff::{Backoff, Jitter};
use std::collections::BTreeMap;
use tokio::time::Instant;

use super::shared::Shared;
use super::{Action, Now};
use crate::delivery::CausalDelivery;
use crate::entity::{EntityCounters, EntitySettings, EventSourced, HeldEvent};
use crate::event::StoredEvent;
use crate::identity::ReplicaId;

/// The first held event of each origin.
#[derive(Debug, Default)]
pub(super) struct Holding {
    origins: BTreeMap<ReplicaId, Held>,
}

#[derive(Debug)]
struct Held {
    event: HeldEvent,
    attempts: u32,
    retry_at: Instant,
    /// True when applying the event spoils the state, so it is tried only when nothing is under
    /// way.
    spoils: bool,
    /// True when the operator's orders were looked up for this attempt.
    asked: bool,
    is_skipped: bool,
}

impl Holding {
    pub(super) fn holds(&self, origin: &ReplicaId) -> bool {
        self.origins.contains_key(origin)
    }

    /// The time at which events of the origin are taken again.
    pub(super) fn retry_at(&self, origin: &ReplicaId) -> Option<Instant> {
        self.origins.get(origin).map(|held| held.retry_at)
    }

    pub(super) fn event(&self, origin: &ReplicaId) -> Option<&HeldEvent> {
        self.origins.get(origin).map(|held| &held.event)
    }

    /// Returns whether an operator wants this event skipped.
    pub(super) fn is_to_be_skipped(&self, event: &StoredEvent) -> bool {
        self.origins
            .get(&event.meta.origin)
            .is_some_and(|held| held.is_skipped && held.event.number == event.meta.origin_nr())
    }

    /// Holds an event back that could not be applied. `spoils` is true when the attempt has spoilt
    /// the state.
    pub(super) fn hold<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        event: HeldEvent,
        spoils: bool,
    ) {
        let (id, origin, number) = (&shared.id, event.origin.clone(), event.number);
        let why = event.why.clone();
        if self.insert(now.instant, &shared.settings, event, spoils) {
            EntityCounters::add(&shared.counters.origins_held, 1);
            tracing::error!(%id, %origin, number, %why, "an event of another replica cannot be applied here: events of its origin wait for this entity, until a version of the application can, or `antiphon entity skip-event`");
        } else {
            tracing::warn!(%id, %origin, number, %why, "an event of another replica still cannot be applied here");
        }
    }

    /// Returns whether the origin was not held before.
    fn insert(
        &mut self,
        now: Instant,
        settings: &EntitySettings,
        event: HeldEvent,
        spoils: bool,
    ) -> bool {
        let before =
            self.origins.get(&event.origin).filter(|held| held.event.number == event.number);
        let attempts = before.map_or(0, |held| held.attempts + 1);
        let backoff = Backoff::new(settings.held_retry_min, settings.held_retry_max);
        let retry_at = now + backoff.delay(attempts + 1, Jitter::NONE);
        let is_skipped = before.is_some_and(|held| held.is_skipped);
        let is_new = !self.holds(&event.origin);
        let held = Held { event, attempts, retry_at, spoils, asked: false, is_skipped };
        self.origins.insert(held.event.origin.clone(), held);
        is_new
    }

    /// Notes that an event was applied. If it is the event that was held back, its origin is free
    /// now. An earlier event of the origin frees nothing: after a restart, events before the held
    /// one that were not durable come once more.
    pub(super) fn applied<E: EventSourced>(&mut self, shared: &Shared<E>, event: &StoredEvent) {
        let (origin, number) = (&event.meta.origin, event.meta.origin_nr());
        let is_held = self.origins.get(origin).is_some_and(|held| number >= held.event.number);
        if is_held {
            self.origins.remove(origin);
            tracing::info!(id = %shared.id, %origin, number, "events of this origin are taken again");
            EntityCounters::add(&shared.counters.origins_freed, 1);
        }
    }

    /// Forgets the held event of an origin. Returns whether there was one.
    pub(super) fn forget(&mut self, origin: &ReplicaId) -> bool {
        self.origins.remove(origin).is_some()
    }

    /// Holds the same events after a restart of the engine, until their times come.
    pub(super) fn hold_again(&self, delivery: &mut CausalDelivery) {
        for (origin, held) in &self.origins {
            delivery.hold(origin, held.event.number);
        }
    }

    /// Takes held events again whose time has come, and asks whether one of them is to be skipped.
    /// An event that spoils the state is taken only while nothing is under way (`is_idle`).
    pub(super) fn try_again<E: EventSourced>(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        is_idle: bool,
        delivery: &mut CausalDelivery,
        actions: &mut Vec<Action<E>>,
    ) {
        for (origin, held) in &mut self.origins {
            if !held.asked && !held.is_skipped {
                held.asked = true;
                actions.push(Action::AskSkip(shared.generation, origin.clone(), held.event.number));
            }
            if now.instant >= held.retry_at && (is_idle || !held.spoils || held.is_skipped) {
                delivery.free(origin);
            }
        }
    }

    /// Notes that an operator wants an event skipped, if it is held. Returns whether it is: the
    /// event is taken again at once then.
    pub(super) fn skip(&mut self, now: Now, origin: &ReplicaId, number: u64) -> bool {
        let held = self.origins.get_mut(origin).filter(|held| held.event.number == number);
        let Some(held) = held else { return false };
        (held.is_skipped, held.retry_at) = (true, now.instant);
        true
    }

    /// Asserts that every origin that delivery holds is known here: no other part takes its events
    /// again.
    pub(super) fn check_delivery(&self, delivery: &CausalDelivery) {
        for origin in delivery.held_origins() {
            assert!(self.holds(origin), "`{origin}` is held by delivery, and nothing frees it");
        }
    }

    /// Asserts that each event is held under its origin, and that numbers begin at one.
    pub(super) fn check(&self) {
        for (origin, held) in &self.origins {
            assert_eq!(*origin, held.event.origin, "an event is held under its origin");
            assert!(held.event.number > 0, "`{origin}`: event 0 is held");
        }
    }
}
