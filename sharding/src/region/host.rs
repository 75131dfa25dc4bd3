//! Reports of entities to their region.

use std::sync::Weak;

use antiphon_base::Error;
use antiphon_base::time::Timestamp;
use antiphon_persistence::entity::{EntityHost, EventSourced, ForkedEntity, HeldEvent, StopReason};
use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_runtime::{Node, NodeId, SendError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::shared::Region;
use crate::forks::Forks;
use crate::shard::Input;
use crate::wire::bounded::EVENTS_MAX;
use crate::wire::{SHARDING, Wire};

/// The region as its entities see it.
pub(crate) struct Host<E: EventSourced> {
    pub(crate) region: Weak<Region<E>>,
    pub(crate) node: Node,
}

impl<E: EventSourced> EntityHost for Host<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    fn may_release(&self) -> bool {
        self.node.is_live()
    }

    fn published(&self, id: &ReplicationId, events: &[StoredEvent]) {
        if let Some(region) = self.region.upgrade() {
            region.publish(id, events);
        }
    }

    fn received(&self, _: &ReplicationId, times: &[Timestamp]) {
        let Some(region) = self.region.upgrade() else { return };
        let now = self.node.clock().wall().as_micros();
        for time in times {
            let micros = now.saturating_sub(time.as_micros());
            region.metrics.latency.observe(micros as f64 / 1e6);
        }
    }

    fn doubts(&self, id: &ReplicationId) -> Vec<ReplicaId> {
        self.region.upgrade().map_or_else(Vec::new, |region| region.doubts(id))
    }

    fn reclaimed(&self, id: &ReplicationId) {
        if let Some(region) = self.region.upgrade() {
            region.reclaimed(id);
        }
    }

    fn went_back(&self, id: &ReplicationId) {
        if let Some(region) = self.region.upgrade() {
            region.went_back(id);
        }
    }

    fn forked(&self, id: &ReplicationId, number: u64) {
        Forks::of(&self.node).found(ForkedEntity { id: id.clone(), number });
    }

    fn caught_up(&self, id: &ReplicationId, replica: &ReplicaId, highest: SequenceNr) {
        if let Some(region) = self.region.upgrade() {
            region.entity_caught_up(id, replica, highest);
        }
    }

    fn held(&self, id: &ReplicationId, replica: &ReplicaId, highest: SequenceNr, held: &HeldEvent) {
        if let Some(region) = self.region.upgrade() {
            region.entity_held(id, replica, highest, held);
        }
    }

    fn passivate(&self, id: &ReplicationId) -> bool {
        let Some(region) = self.region.upgrade() else { return false };
        region.entity_input(id, Input::Passivate(id.entity_id().clone()));
        true
    }

    fn stopped(&self, id: &ReplicationId, reason: StopReason) {
        let Some(region) = self.region.upgrade() else { return };
        let failed = match reason {
            StopReason::Failed(why) => {
                tracing::error!(%id, %why, "entity failed");
                Some(why)
            }
            StopReason::NotStarted(why) => {
                region.entity_cannot(id, &why);
                None
            }
            StopReason::Drained | StopReason::Killed | StopReason::Fenced(_) => None,
        };
        if let Some(why) = &failed {
            region.entity_cannot(id, why);
        }
        region.entity_stopped(id, failed);
    }

    fn fenced(&self, id: &ReplicationId, error: &Error) {
        tracing::warn!(%id, %error, "entity was fenced");
    }
}

impl<E: EventSourced> Region<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    /// Sends durable events to the other replicas. Events that cannot be sent are dropped and
    /// counted: the journal loop brings them.
    fn publish(&self, id: &ReplicationId, events: &[StoredEvent]) {
        if !self.parts.settings.event_publishing {
            return;
        }
        for replica in self.parts.replicas.iter().filter(|replica| *replica != id.replica_id()) {
            let Some(index) = self.index(replica, id.entity_id()) else { continue };
            let outcome = match self.home_of(replica, id.entity_id()) {
                None => {
                    self.way_used(index, false);
                    "no_home"
                }
                Some(node) if node == *self.parts.node.id() => {
                    self.replicated(replica, id.entity_id().clone(), events.to_vec());
                    "local"
                }
                Some(node) => {
                    let sent = self.replicate(&node, replica, id, events);
                    self.way_used(index, sent.is_ok());
                    sent.map_or_else(|error| error.reason(), |()| "sent")
                }
            };
            self.metrics.direct.with_label_values(&[&self.parts.entity_type, outcome]).inc();
        }
    }

    fn replicate(
        &self,
        to: &NodeId,
        replica: &ReplicaId,
        id: &ReplicationId,
        events: &[StoredEvent],
    ) -> Result<(), SendError> {
        events.chunks(EVENTS_MAX).try_for_each(|events| {
            let message = Wire::Replicate {
                entity_type: self.parts.entity_type.clone(),
                entity_id: id.entity_id().clone(),
                replica: replica.clone(),
                events: events.to_vec(),
            };
            self.parts.node.gate().tell(to, SHARDING, message.encode())
        })
    }
}
