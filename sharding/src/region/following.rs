//! Starts the journal loops of a shard that lives here.

use std::sync::Arc;
use std::time::Duration;

use antiphon_persistence::identity::ReplicaId;

use super::doubts::Doubts;
use super::parts::RegionParts;
use crate::ShardingSettings;
use crate::replication::{HeldRecords, LoopParts, LoopSettings, RunningLoop, Tell};

/// Starts journal loops.
pub(super) struct Following {
    parts: Arc<RegionParts>,
    doubts: Arc<Doubts>,
}

impl Following {
    pub(super) fn new(parts: Arc<RegionParts>, doubts: Arc<Doubts>) -> Self {
        Self { parts, doubts }
    }

    /// Starts the loop that reads the feed of the replica `other` for the shard of a slot. The loop
    /// tells the news to the entities with `tell`.
    pub(super) fn start(&self, index: usize, other: &ReplicaId, tell: Tell) -> RunningLoop {
        let (layout, node) = (&self.parts.layout, &self.parts.node);
        let (shard, settings) = (layout.shard(index), &self.parts.settings);
        let entity_type = layout.entity_type();
        let share = f64::from(shard.number) / f64::from(layout.shard_count());
        RunningLoop::start(LoopParts {
            entity_type: entity_type.clone(),
            other: other.clone(),
            slices: shard.slices(layout.shard_count()),
            reader: format!("{entity_type}/{shard}").into(),
            feed: self.parts.stores_of(other).read_journal,
            offsets: node.stores().offsets.clone(),
            held: HeldRecords::new(node.stores().coordination.clone(), entity_type, &shard, other),
            clock: node.clock().clone(),
            settings: LoopSettings {
                loop_interval: settings.loop_interval,
                loop_interval_max: settings.loop_interval_max,
                loop_retell: settings.loop_retell,
                loop_tells_max: settings.loop_tells_max,
                held_retell: settings.held_retell,
                held_entities_max: settings.held_entities_max,
                loop_changes_max: settings.loop_changes_max,
                loop_wake_interval: settings.loop_wake_interval,
                // at once, since events may have found no home until now; shards that begin
                // together are spread
                first_wait: first_wait(settings).mul_f64(share),
            },
            tell,
            reads: self.parts.metrics.loop_reads.clone(),
            witness: self.doubts.witness(index, other),
        })
    }
}

fn first_wait(settings: &ShardingSettings) -> Duration {
    settings.loop_wake_interval.min(settings.loop_interval)
}
