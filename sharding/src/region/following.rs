//! The replication of a shard that lives here: its journal loops, the answers of its entities to
//! them, and events of direct replication.

use std::sync::Arc;
use std::time::Duration;

use antiphon_persistence::entity::{EventSourced, HeldEvent, PeerHas};
use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::identity::{PersistenceId, ReplicaId, ReplicationId};
use antiphon_persistence::store::Change;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::shared::{Message, Region};
use super::slot::Slot;
use crate::ShardingSettings;
use crate::replication::{Follower, FollowerParts, HeldRecords, LoopSettings};

fn first_wait(settings: &ShardingSettings) -> Duration {
    settings.loop_wake_interval.min(settings.loop_interval)
}

impl<E: EventSourced> Region<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    pub(super) fn follow(&self, index: usize, peer: &ReplicaId) -> Follower {
        let (shard, settings, node) = (self.shard(index), &self.parts.settings, &self.parts.node);
        let region = self.this.clone();
        let share = f64::from(shard.number) / f64::from(self.shard_count);
        let stores = self.stores_of(peer);
        Follower::start(FollowerParts {
            entity_type: self.parts.entity_type.clone(),
            peer: peer.clone(),
            slices: shard.slices(self.shard_count),
            change_count_max: settings.loop_changes_max,
            reader: format!("{}/{shard}", self.parts.entity_type).into(),
            feed: stores.read_journal,
            offsets: node.stores().offsets.clone(),
            held: HeldRecords {
                coordination: node.stores().coordination.clone(),
                table: format!("held {}/{shard} {peer}", self.parts.entity_type),
            },
            clock: node.clock().clone(),
            settings: LoopSettings {
                interval: settings.loop_interval,
                interval_max: settings.loop_interval_max,
                retell: settings.loop_retell,
                tells_max: settings.loop_tells_max,
                held_retell: settings.held_retell,
                held_max: settings.held_entities_max,
                held_tells_max: settings.loop_changes_max,
                wake_interval: settings.loop_wake_interval,
                // at once, since events may have found no home until now; shards that begin
                // together are spread
                first_wait: first_wait(settings).mul_f64(share),
            },
            failing: std::sync::atomic::AtomicBool::new(false),
            tell: Box::new(move |peer, change| {
                if let Some(region) = region.upgrade() {
                    region.tell_news(index, peer, change);
                }
            }),
            reads: self.metrics.loop_reads.clone(),
            witness: self.feed_witness(index, peer),
        })
    }

    fn tell_news(&self, index: usize, peer: &ReplicaId, change: Change) {
        let Ok(id) = ReplicationId::parse(change.persistence_id.as_str()) else { return };
        let news = PeerHas { replica: peer.clone(), highest: change.highest, seen: change.seen };
        let mut slot = self.slot(index);
        self.deliver_here(index, &mut slot, id.entity_id().clone(), Message::News(news));
    }

    /// Takes events of another replica that arrive by direct replication.
    pub(crate) fn replicated(
        &self,
        replica: &ReplicaId,
        entity: Arc<str>,
        events: Vec<StoredEvent>,
    ) {
        let outcome = match self.index(replica, &entity) {
            _ if !self.parts.settings.direct_replication => "switched_off",
            _ if !self.may_be_replicated(replica, &entity, &events) => "malformed",
            None => "unknown_replica",
            Some(index) => {
                let mut slot = self.slot(index);
                if slot.route.is_here() {
                    self.deliver_here(index, &mut slot, entity, Message::Replicated(events));
                    "taken"
                } else {
                    "not_here"
                }
            }
        };
        self.metrics.direct.with_label_values(&[&self.parts.entity_type, outcome]).inc();
    }

    /// Returns whether another node may send these events: the entity id is valid, and the origins
    /// are other replicas of the type.
    fn may_be_replicated(&self, replica: &ReplicaId, entity: &str, events: &[StoredEvent]) -> bool {
        let is_known = |event: &StoredEvent| {
            let origin = &event.meta.origin;
            origin != replica && self.replica_index(origin).is_some() && event.meta.origin_nr() > 0
        };
        ReplicationId::new(&self.parts.entity_type, entity, replica.clone()).is_ok()
            && !events.is_empty()
            && events.iter().all(is_known)
    }

    pub(super) fn entity_caught_up(
        &self,
        id: &ReplicationId,
        peer: &ReplicaId,
        highest: SequenceNr,
    ) {
        self.with_follower(id, peer, |follower, of_peer| follower.caught_up(of_peer, highest));
    }

    pub(super) fn entity_held(
        &self,
        id: &ReplicationId,
        peer: &ReplicaId,
        highest: SequenceNr,
        held: &HeldEvent,
    ) {
        self.with_follower(id, peer, |follower, of_peer| follower.held(of_peer, highest, held));
    }

    /// Notes that the entity is gone because it cannot start or go on: no journal loop waits for
    /// it.
    pub(super) fn entity_cannot(&self, id: &ReplicationId, why: &str) {
        let Some(index) = self.index(id.replica_id(), id.entity_id()) else { return };
        let slot = self.slot(index);
        for follower in slot.shard.iter().flat_map(|shard| &shard.followers) {
            follower.cannot(id.with_replica(follower.peer.clone()).persistence_id(), why);
        }
    }

    fn with_follower(
        &self,
        id: &ReplicationId,
        peer: &ReplicaId,
        tell: impl FnOnce(&Follower, PersistenceId),
    ) {
        let Some(index) = self.index(id.replica_id(), id.entity_id()) else { return };
        let slot = self.slot(index);
        let Some(shard) = &slot.shard else { return };
        let of_peer: PersistenceId = id.with_replica(peer.clone()).persistence_id();
        if let Some(follower) = shard.followers.iter().find(|follower| follower.peer == *peer) {
            tell(follower, of_peer);
        }
    }
}

/// Reads the journals now, since events of direct replication were dropped.
pub(super) fn read_journals<E: EventSourced>(slot: &Slot<E>) {
    let followers = slot.shard.iter().flat_map(|shard| &shard.followers);
    followers.for_each(Follower::way_opened);
}
