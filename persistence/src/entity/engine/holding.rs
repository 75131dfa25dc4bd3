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
//! content ([`skip`]), so that every replica has the same events and the same version.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::core::Shared;
use super::running::Running;
use super::{Action, Now};
use crate::entity::{EntityCounters, EntitySettings, EventSourced, HeldEvent};
use crate::event::{Payload, StoredEvent};
use crate::identity::ReplicaId;

/// The codec number of a skipped event.
pub(super) const SKIPPED: u8 = 0;

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
    pub(super) fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

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

    fn is_to_be_skipped(&self, event: &StoredEvent) -> bool {
        self.origins
            .get(&event.meta.origin)
            .is_some_and(|held| held.is_skipped && held.event.number == event.meta.origin_nr())
    }

    fn hold(
        &mut self,
        now: Instant,
        settings: &EntitySettings,
        event: HeldEvent,
        spoils: bool,
    ) -> bool {
        let before =
            self.origins.get(&event.origin).filter(|held| held.event.number == event.number);
        let attempts = before.map_or(0, |held| held.attempts + 1);
        let retry_at = now + wait(settings, attempts);
        let is_skipped = before.is_some_and(|held| held.is_skipped);
        let is_new = !self.holds(&event.origin);
        let held = Held { event, attempts, retry_at, spoils, asked: false, is_skipped };
        self.origins.insert(held.event.origin.clone(), held);
        is_new
    }
}

fn wait(settings: &EntitySettings, attempts: u32) -> Duration {
    settings.held_retry_min.saturating_mul(1 << attempts.min(16)).min(settings.held_retry_max)
}

/// Returns whether the event was skipped: it has its place in the stream and no content.
pub(super) fn is_skipped(event: &StoredEvent) -> bool {
    event.payload.codec == SKIPPED
}

/// Takes the content out of an event.
fn skip(event: &mut StoredEvent) {
    let Payload { manifest, version, .. } = event.payload.clone();
    event.payload = Payload { codec: SKIPPED, manifest, version, bytes: Bytes::new() };
}

impl<E: EventSourced> Running<E> {
    /// Applies an event of another replica that is ready. Returns whether it was applied: if not,
    /// the event is held back, and the version that the entity has seen is as before.
    pub(super) fn apply_or_hold(
        &mut self,
        shared: &Shared<E>,
        now: Now,
        event: &mut StoredEvent,
    ) -> bool {
        if self.holding.is_to_be_skipped(event) {
            tracing::warn!(id = %shared.id, origin = %event.meta.origin, number = event.meta.origin_nr(), "an event is skipped, as an operator wants it");
            EntityCounters::add(&shared.counters.events_skipped, 1);
            skip(event);
        }
        let (origin, number) = (event.meta.origin.clone(), event.meta.origin_nr());
        match self.other_event(shared, event) {
            Ok(()) => {
                if !self.holding.is_empty() && self.holding.origins.remove(&origin).is_some() {
                    tracing::info!(id = %shared.id, %origin, number, "events of this origin are taken again");
                    EntityCounters::add(&shared.counters.origins_freed, 1);
                }
                true
            }
            Err(why) => {
                self.delivery.put_back(event);
                self.delivery.hold(&origin, number);
                let spoils = self.spoilt.is_some();
                let held = HeldEvent { origin: origin.clone(), number, why: why.clone() };
                if self.holding.hold(now.instant, &shared.settings, held, spoils) {
                    EntityCounters::add(&shared.counters.origins_held, 1);
                    tracing::error!(id = %shared.id, %origin, number, %why, "an event of another replica cannot be applied here: events of its origin wait for this entity, until a version of the application can, or `antiphon entity skip-event`");
                } else {
                    tracing::warn!(id = %shared.id, %origin, number, %why, "an event of another replica still cannot be applied here");
                }
                false
            }
        }
    }

    /// Holds the same events after a restart of the engine, until their times come.
    pub(super) fn hold_again(&mut self) {
        for (origin, held) in &self.holding.origins {
            self.delivery.hold(origin, held.event.number);
        }
    }

    /// Takes held events again whose time has come, and asks whether one of them is to be skipped.
    pub(super) fn try_held(&mut self, shared: &Shared<E>, now: Now, actions: &mut Vec<Action<E>>) {
        if self.holding.is_empty() {
            return;
        }
        let is_idle = self.is_idle();
        for (origin, held) in &mut self.holding.origins {
            if !held.asked && !held.is_skipped {
                held.asked = true;
                actions.push(Action::AskSkip(shared.generation, origin.clone(), held.event.number));
            }
            if now.instant >= held.retry_at && (is_idle || !held.spoils || held.is_skipped) {
                self.delivery.free(origin);
            }
        }
    }

    /// Takes an event again at once, because an operator wants it skipped.
    pub(super) fn skip_event(&mut self, now: Now, origin: &ReplicaId, number: u64) {
        if let Some(held) = self.holding.origins.get_mut(origin)
            && held.event.number == number
        {
            (held.is_skipped, held.retry_at) = (true, now.instant);
            self.peers.retry_now();
        }
    }
}
