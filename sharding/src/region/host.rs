//! Reports of entities to their region.

use std::sync::Weak;

use antiphon_base::Error;
use antiphon_base::time::Timestamp;
use antiphon_persistence::entity::{EntityHost, EventSourced, ForkedEntity, HeldEvent, StopReason};
use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::{PersistenceId, ReplicaId, ReplicationId};
use antiphon_runtime::Node;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::assembly::Region;
use crate::forks::Forks;
use crate::replication::RunningLoop;
use crate::shard::Input;

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
            region.direct.publish(id, events);
        }
    }

    fn received(&self, _: &ReplicationId, times: &[Timestamp]) {
        let Some(region) = self.region.upgrade() else { return };
        let now = self.node.clock().wall().as_micros();
        for time in times {
            let micros = now.saturating_sub(time.as_micros());
            region.parts.metrics.latency.observe(micros as f64 / 1e6);
        }
    }

    fn doubts(&self, id: &ReplicationId) -> Vec<ReplicaId> {
        self.region.upgrade().map_or_else(Vec::new, |region| region.doubts.of(id))
    }

    fn reclaimed(&self, id: &ReplicationId) {
        if let Some(region) = self.region.upgrade() {
            region.doubts.reclaimed(id);
        }
    }

    fn went_back(&self, id: &ReplicationId) {
        if let Some(region) = self.region.upgrade() {
            region.doubts.went_back(id);
        }
    }

    fn forked(&self, id: &ReplicationId, number: u64) {
        Forks::of(&self.node).found(ForkedEntity { id: id.clone(), number });
    }

    fn caught_up(&self, id: &ReplicationId, replica: &ReplicaId, highest: SequenceNr) {
        self.with_loop(id, replica, |running, of_other| running.caught_up(of_other, highest));
    }

    fn held(&self, id: &ReplicationId, replica: &ReplicaId, highest: SequenceNr, held: &HeldEvent) {
        self.with_loop(id, replica, |running, of_other| running.held(of_other, highest, held));
    }

    fn passivate(&self, id: &ReplicationId) -> bool {
        let Some(region) = self.region.upgrade() else { return false };
        if let Some(index) = region.parts.layout.index(id.replica_id(), id.entity_id()) {
            let mut slot = region.routing.slots().lock(index);
            let input = Input::Passivate(id.entity_id().clone());
            region.routing.step_shard(index, &mut slot, input);
        }
        true
    }

    fn stopped(&self, id: &ReplicationId, reason: StopReason) {
        let failed = match reason {
            StopReason::Failed(why) => {
                tracing::error!(%id, %why, "entity failed");
                self.cannot(id, &why);
                Some(why)
            }
            StopReason::NotStarted(why) => {
                self.cannot(id, &why);
                None
            }
            StopReason::Drained | StopReason::Killed | StopReason::Fenced(_) => None,
        };
        let Some(region) = self.region.upgrade() else { return };
        region.routing.entity_stopped(id, failed);
    }

    fn fenced(&self, id: &ReplicationId, error: &Error) {
        tracing::warn!(%id, %error, "entity was fenced");
    }
}

impl<E: EventSourced> Host<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    /// Tells the journal loop that reads the feed of the replica `other` for the entity's shard.
    /// The id that is told is the entity's stream there.
    fn with_loop(
        &self,
        id: &ReplicationId,
        other: &ReplicaId,
        tell: impl FnOnce(&RunningLoop, PersistenceId),
    ) {
        let Some(region) = self.region.upgrade() else { return };
        let index = region.parts.layout.index(id.replica_id(), id.entity_id());
        let Some(index) = index else { return };
        let slot = region.routing.slots().lock(index);
        if let Some(running) = slot.shard.as_ref().and_then(|shard| shard.loop_of(other)) {
            tell(running, id.with_replica(other.clone()).persistence_id());
        }
    }

    /// Notes that the entity is gone because it cannot start or go on: no journal loop waits for
    /// it.
    fn cannot(&self, id: &ReplicationId, why: &str) {
        let Some(region) = self.region.upgrade() else { return };
        for other in region.parts.layout.others(id.replica_id()) {
            self.with_loop(id, other, |running, of_other| running.cannot(of_other, why));
        }
    }
}
