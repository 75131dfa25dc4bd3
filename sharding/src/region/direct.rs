//! Sends durable events to the other replicas, and takes the events of other nodes. The rules are
//! in [`Direct`].

use std::sync::Arc;

use antiphon_persistence::entity::EventSourced;
use antiphon_persistence::event::StoredEvent;
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_runtime::{NodeId, SendError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::envelope::Message;
use super::parts::RegionParts;
use super::routing::Routing;
use crate::admission::{Refusal, Sender};
use crate::replication::{Arrival, Destination, Direct, Outcome};
use crate::wire::bounded::EVENTS_MAX;
use crate::wire::{SHARDING, Wire};

/// The direct replication of a region.
pub(super) struct DirectReplication<E: EventSourced> {
    parts: Arc<RegionParts>,
    routing: Arc<Routing<E>>,
    rules: Direct,
}

impl<E: EventSourced> DirectReplication<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    pub(super) fn new(parts: Arc<RegionParts>, routing: Arc<Routing<E>>) -> Self {
        let rules = Direct {
            event_publishing: parts.settings.event_publishing,
            direct_replication: parts.settings.direct_replication,
        };
        Self { parts, routing, rules }
    }

    /// Sends durable events to the other replicas. Events that cannot be sent are dropped and
    /// counted: the journal loop brings them.
    pub(super) fn publish(&self, id: &ReplicationId, events: &[StoredEvent]) {
        let me = self.parts.node.id();
        for replica in self.rules.receivers(self.parts.layout.replicas(), id.replica_id()) {
            let Some(index) = self.parts.layout.index(replica, id.entity_id()) else { continue };
            let home = self.routing.home_of(replica, id.entity_id());
            let outcome = match Direct::destination(me, home) {
                Destination::Nowhere => Outcome::NoHome,
                Destination::Here => {
                    let place = self.parts.layout.place_of(id.replica_id());
                    let from = Sender { id: me, place };
                    self.arrived(from, replica, id.entity_id().clone(), events.to_vec());
                    Outcome::Local
                }
                Destination::Node(node) => Direct::handed(&self.send(&node, replica, id, events)),
            };
            if let Some(fact) = outcome.way() {
                self.routing.ways().used(index, fact);
            }
            self.parts.metrics.count_direct(outcome.label());
        }
    }

    fn send(
        &self,
        to: &NodeId,
        replica: &ReplicaId,
        id: &ReplicationId,
        events: &[StoredEvent],
    ) -> Result<(), SendError> {
        events.chunks(EVENTS_MAX).try_for_each(|events| {
            let message = Wire::Replicate {
                entity_type: self.parts.layout.entity_type().clone(),
                entity_id: id.entity_id().clone(),
                replica: replica.clone(),
                events: events.to_vec(),
            };
            self.parts.node.gate().tell(to, SHARDING, message.encode())
        })
    }

    /// Takes events of another replica that arrive by direct replication.
    pub(super) fn arrived(
        &self,
        from: Sender<'_>,
        replica: &ReplicaId,
        entity: Arc<str>,
        events: Vec<StoredEvent>,
    ) {
        let arrival = Arrival {
            sender: from.place,
            entity_type: self.parts.layout.entity_type(),
            entity: &entity,
            replica,
            events: &events,
            places: self.parts.layout.replica_places(),
            wall: self.parts.node.clock().wall(),
            time_skew_max: self.parts.settings.entity.time_skew_max,
        };
        let outcome = match self.rules.refuses(&arrival) {
            Some(refused) => refused,
            None => self.take(replica, entity, events),
        };
        self.parts.metrics.count_direct(outcome.label());
        if let Some(why) = refusal(outcome) {
            self.parts.refusals.refused(from.id, why);
        }
    }

    fn take(&self, replica: &ReplicaId, entity: Arc<str>, events: Vec<StoredEvent>) -> Outcome {
        let index = self.parts.layout.index(replica, &entity);
        let index = index.expect("the rules have checked the replica");
        let mut slot = self.routing.slots().lock(index);
        if !slot.route.is_here() {
            return Outcome::NotHere;
        }
        self.routing.deliver_here(index, &mut slot, entity, Message::Replicated(events));
        Outcome::Taken
    }
}

/// The reason why a message is refused that no honest node with a good clock sends.
fn refusal(outcome: Outcome) -> Option<Refusal> {
    match outcome {
        Outcome::Malformed => Some(Refusal::Malformed),
        Outcome::OtherOrigin => Some(Refusal::OtherOrigin),
        Outcome::Impossible => Some(Refusal::ImpossibleEvent),
        Outcome::Ahead => Some(Refusal::EventAhead),
        // a node of another version may have more replicas
        Outcome::UnknownReplica
        | Outcome::Sent
        | Outcome::NotSent(_)
        | Outcome::NoHome
        | Outcome::Local
        | Outcome::Taken
        | Outcome::NotHere
        | Outcome::SwitchedOff => None,
    }
}
