//! The ways of direct replication from this node to the shards of the other replicas. Passes the
//! facts from sends, routes and links to [`Way`](crate::replication::Way), and its signals to the
//! homes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use antiphon_persistence::entity::EventSourced;
use antiphon_persistence::identity::ReplicaId;
use antiphon_runtime::NodeId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::parts::RegionParts;
use super::slot::Slots;
use crate::ShardId;
use crate::replication::{Connection, RunningLoop, WayEffect, WayInput};
use crate::wire::{SHARDING, Wire};

/// The ways of a region.
pub(super) struct Ways<E: EventSourced> {
    parts: Arc<RegionParts>,
    slots: Arc<Slots<E>>,
    /// For each slot: true when a shard of another replica with the same number has started here.
    began: Vec<AtomicBool>,
}

impl<E: EventSourced> Ways<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    pub(super) fn new(parts: Arc<RegionParts>, slots: Arc<Slots<E>>) -> Self {
        let began = slots.indexes().map(|_| AtomicBool::new(false)).collect();
        Self { parts, slots, began }
    }

    /// Notes whether events for a shard of another replica were sent or dropped.
    pub(super) fn used(&self, index: usize, input: WayInput) {
        let effect = self.slots.lock(index).way.step(self.parts.now(), input);
        assert!(effect.is_none(), "a home is told at a look at its connection only: {effect:?}");
    }

    /// Notes that this node became the home of a shard: the other replicas should read the events
    /// that its last home wrote.
    pub(super) fn shard_began(&self, shard: &ShardId) {
        for replica in self.parts.layout.others(&shard.replica) {
            // the slot of the shard is locked: the others are told at the next look
            if let Some(index) = self.parts.layout.index_of(replica, shard.number) {
                self.began[index].store(true, Ordering::Release);
            }
        }
    }

    /// Looks at the connection to the home of each shard, and tells the homes that should read now.
    pub(super) fn look(&self) {
        let gate = self.parts.node.gate();
        for index in self.slots.indexes() {
            let now = self.parts.now();
            let mut slot = self.slots.lock(index);
            if self.began[index].swap(false, Ordering::AcqRel) {
                slot.way.step(now, WayInput::Began);
            }
            let connection = slot.route.remote().and_then(|node| {
                gate.connection(node).map(|number| Connection { node: node.clone(), number })
            });
            let effect = slot.way.step(now, WayInput::Look(connection));
            drop(slot);
            let Some(WayEffect::Tell(home)) = effect else { continue };
            if !self.tell_opened(index, &home) {
                self.used(index, WayInput::NotTold);
            }
        }
    }

    /// Returns false when the home could not be told for a replica whose events come from here.
    fn tell_opened(&self, index: usize, home: &NodeId) -> bool {
        let shard = self.parts.layout.shard(index);
        let is_from_here = |from: &&ReplicaId| {
            let from = self.parts.layout.index_of(from, shard.number);
            from.is_some_and(|from| self.slots.is_hosting(from))
        };
        self.parts.layout.others(&shard.replica).filter(is_from_here).all(|from| {
            let message = Wire::WayOpened {
                entity_type: self.parts.layout.entity_type().clone(),
                shard: shard.clone(),
                from: from.clone(),
            };
            let told = self.parts.node.gate().tell(home, SHARDING, message.encode());
            let outcome = if told.is_ok() { "way_opened" } else { "way_not_told" };
            self.parts.metrics.count_direct(outcome);
            told.is_ok()
        })
    }

    /// Reads the feed of a replica now: the way from it to a shard of this node is open again.
    pub(super) fn opened(&self, shard: &ShardId, from: &ReplicaId) {
        let Some(index) = self.parts.layout.index_of(&shard.replica, shard.number) else { return };
        let slot = self.slots.lock(index);
        let running = slot.shard.as_ref().and_then(|shard| shard.loop_of(from));
        running.into_iter().for_each(RunningLoop::way_opened);
    }
}
