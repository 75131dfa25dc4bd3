//! The ways of direct replication from this node to the shards of the other replicas. Passes the
//! facts from sends, routes and links to [`Way`](crate::replication::Way), and its signals to the
//! homes.

use std::sync::atomic::Ordering;

use antiphon_persistence::entity::EventSourced;
use antiphon_persistence::identity::ReplicaId;
use antiphon_runtime::NodeId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::shared::Region;
use crate::ShardId;
use crate::replication::{Connection, WayEffect, WayInput};
use crate::wire::{SHARDING, Wire};

impl<E: EventSourced> Region<E>
where
    E::Command: Serialize + DeserializeOwned,
{
    /// Notes whether events for a shard of another replica were sent or dropped.
    pub(super) fn way_used(&self, index: usize, is_sent: bool) {
        let input = if is_sent { WayInput::Sent } else { WayInput::Dropped };
        self.slot(index).way.step(self.parts.node.clock().now(), input);
    }

    /// Notes that this node became the home of a shard: the other replicas should read the events
    /// that its last home wrote.
    pub(super) fn shard_began(&self, shard: &ShardId) {
        for replica in self.parts.replicas.iter().filter(|replica| **replica != shard.replica) {
            // the slot of the shard is locked: the others are told at the next look
            if let Some(index) = self.index_of(replica, shard.number) {
                self.began[index].store(true, Ordering::Release);
            }
        }
    }

    /// Looks at the connection to the home of each shard, and tells the homes that should read now.
    pub(super) fn look_at_ways(&self) {
        let gate = self.parts.node.gate();
        for index in 0..self.slots.len() {
            let now = self.parts.node.clock().now();
            let mut slot = self.slot(index);
            if self.began[index].swap(false, Ordering::AcqRel) {
                slot.way.step(now, WayInput::Began);
            }
            let connection = slot.route.remote().and_then(|node| {
                gate.connection(node).map(|number| Connection { node: node.clone(), number })
            });
            let effect = slot.way.step(now, WayInput::Look(connection));
            drop(slot);
            let Some(WayEffect::Tell(home)) = effect else { continue };
            if !self.tell_way_opened(index, &home) {
                self.slot(index).way.step(now, WayInput::NotTold);
            }
        }
    }

    /// Returns false when the home could not be told for a replica whose events come from here.
    fn tell_way_opened(&self, index: usize, home: &NodeId) -> bool {
        let shard = self.shard(index);
        let is_from_here = |peer: &&ReplicaId| {
            let from = self.index_of(peer, shard.number);
            **peer != shard.replica && from.is_some_and(|from| self.slot(from).route.is_hosting())
        };
        self.parts.replicas.iter().filter(is_from_here).all(|peer| {
            let message = Wire::WayOpened {
                entity_type: self.parts.entity_type.clone(),
                shard: shard.clone(),
                peer: peer.clone(),
            };
            let told = self.parts.node.gate().tell(home, SHARDING, message.encode());
            let outcome = if told.is_ok() { "way_opened" } else { "way_not_told" };
            self.metrics.direct.with_label_values(&[&self.parts.entity_type, outcome]).inc();
            told.is_ok()
        })
    }

    /// Reads the feed of a peer replica now: the way from it to a shard of this node is open again.
    pub(crate) fn way_opened(&self, shard: &ShardId, peer: &ReplicaId) {
        let Some(index) = self.index_of(&shard.replica, shard.number) else { return };
        let slot = self.slot(index);
        let followers = slot.shard.iter().flat_map(|shard| &shard.followers);
        followers.filter(|follower| follower.peer == *peer).for_each(|f| f.way_opened());
    }
}
