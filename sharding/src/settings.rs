//! The limits of sharding.

use std::time::Duration;

use antiphon_persistence::entity::EntitySettings;
use antiphon_persistence::{Error, Result};
use serde::{Deserialize, Serialize};

/// Limits of one entity type on one node. Plain values; the defaults fit most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShardingSettings {
    /// Limits of the entities.
    pub entity: EntitySettings,
    /// How long [`crate::EntityRef::ask`] waits. Then it returns `Timeout`.
    #[serde(with = "antiphon_persistence::time::text")]
    pub ask_timeout: Duration,
    /// Longest time that a node waits for another node's answer, whatever the asker does.
    #[serde(with = "antiphon_persistence::time::text")]
    pub remote_ask_timeout: Duration,
    /// Most commands that wait at a region for one shard without a reachable home. Beyond, they are refused with `Overloaded`.
    pub shard_buffer_max: usize,
    /// Most commands that wait for an entity that is stopping. Beyond, they are refused with `Overloaded`.
    pub entity_buffer_max: usize,
    /// How long a command waits for a home at most; then it is refused with `NotHere`.
    #[serde(with = "antiphon_persistence::time::text")]
    pub home_timeout: Duration,
    /// How long an entity may take to stop: because its shard moves, its node goes, or it is passivated. Then it is killed and named in the
    /// log, so that a shard always drains.
    #[serde(with = "antiphon_persistence::time::text")]
    pub stop_timeout: Duration,
    /// An entity without a command for so long is passivated; zero: never.
    #[serde(with = "antiphon_persistence::time::text")]
    pub passivate_after: Duration,
    /// An entity without any event and without a command for so long is passivated: somebody only asked for it; zero: as the
    /// others.
    #[serde(with = "antiphon_persistence::time::text")]
    pub passivate_empty_after: Duration,
    /// Most entities at work on the node, of all types together. Beyond, those that were used least recently are passivated, and
    /// while an eighth more are busy, commands for others are refused with `Overloaded`; zero: no limit.
    pub entities_max: usize,
    /// Most entities at work in one shard. Beyond, those that were used least recently are passivated; zero: no limit.
    pub shard_entities_max: usize,
    /// How often regions look after their shards.
    #[serde(with = "antiphon_persistence::time::text")]
    pub tick_interval: Duration,
    /// How often a region asks others for a way to a home that it is not connected to.
    #[serde(with = "antiphon_persistence::time::text")]
    pub relay_interval: Duration,
    /// How many nodes it asks, at most.
    pub relay_candidates_max: usize,
    /// How often a region asks for changed homes, beside being told.
    #[serde(with = "antiphon_persistence::time::text")]
    pub homes_interval: Duration,
    /// How long a new coordinator waits for nodes to make themselves known before it gives shards to those that have.
    #[serde(with = "antiphon_persistence::time::text")]
    pub join_wait: Duration,
    /// How often the coordinator looks for nodes with too many shards.
    #[serde(with = "antiphon_persistence::time::text")]
    pub rebalance_interval: Duration,
    /// How many shards move at the same time, at most.
    pub rebalance_moves_max: usize,
    /// Whether events go to the other replicas at all, other than by their reading this one's journal.
    pub event_publishing: bool,
    /// Whether events of the other replicas are taken when they come directly. Off: only the journals are read.
    pub direct_replication: bool,
    /// Time between two reads of a peer's change feed by one shard.
    #[serde(with = "antiphon_persistence::time::text")]
    pub loop_interval: Duration,
    /// Longest such time, while nothing changes: it doubles from `loop_interval`.
    #[serde(with = "antiphon_persistence::time::text")]
    pub loop_interval_max: Duration,
    /// Shortest time between two reads of a change feed by one shard that a signal asked for: the way of direct replication is open
    /// again. The first reads of shards that begin together are spread over it.
    #[serde(with = "antiphon_persistence::time::text")]
    pub loop_wake_interval: Duration,
    /// Most entities that one read of a change feed names.
    pub loop_changes_max: usize,
    /// When an entity has not answered the journal loop for so long, it is told again.
    #[serde(with = "antiphon_persistence::time::text")]
    pub loop_retell: Duration,
    /// When an entity that holds events back, because one cannot be applied here, is told again.
    #[serde(with = "antiphon_persistence::time::text")]
    pub held_retell: Duration,
    /// Most entities of one shard that hold back events of one peer. Beyond, the shard's position in that peer's feed stands still.
    pub held_entities_max: usize,
}

impl Default for ShardingSettings {
    fn default() -> Self {
        Self {
            entity: EntitySettings::default(),
            ask_timeout: Duration::from_secs(5),
            remote_ask_timeout: Duration::from_secs(30),
            shard_buffer_max: 1000,
            entity_buffer_max: 1000,
            home_timeout: Duration::from_secs(20),
            stop_timeout: Duration::from_secs(10),
            passivate_after: Duration::from_secs(120),
            passivate_empty_after: Duration::from_secs(1),
            entities_max: 100_000,
            shard_entities_max: 0,
            tick_interval: Duration::from_millis(200),
            relay_interval: Duration::from_millis(500),
            relay_candidates_max: 3,
            homes_interval: Duration::from_secs(1),
            join_wait: Duration::from_millis(500),
            rebalance_interval: Duration::from_secs(2),
            rebalance_moves_max: 8,
            event_publishing: true,
            direct_replication: true,
            loop_interval: Duration::from_secs(3),
            loop_interval_max: Duration::from_secs(15),
            loop_wake_interval: Duration::from_millis(100),
            loop_changes_max: 200,
            loop_retell: Duration::from_secs(10),
            held_retell: Duration::from_secs(60),
            held_entities_max: 10_000,
        }
    }
}

impl ShardingSettings {
    /// Checks every value and how they fit each other.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, its value and what was expected.
    pub fn validate(&self) -> Result<()> {
        self.entity.validate()?;
        for (name, actual) in [
            ("ask_timeout", self.ask_timeout),
            ("remote_ask_timeout", self.remote_ask_timeout),
            ("home_timeout", self.home_timeout),
            ("stop_timeout", self.stop_timeout),
            ("tick_interval", self.tick_interval),
            ("homes_interval", self.homes_interval),
            ("rebalance_interval", self.rebalance_interval),
            ("loop_interval", self.loop_interval),
            ("loop_retell", self.loop_retell),
            ("held_retell", self.held_retell),
            ("loop_wake_interval", self.loop_wake_interval),
            ("relay_interval", self.relay_interval),
        ] {
            if actual < Duration::from_millis(1) {
                return Err(Error::rejected(format!(
                    "`{name}`: expected at least 1ms, actual {actual:?}"
                )));
            }
        }
        for (name, actual) in [
            ("shard_buffer_max", self.shard_buffer_max),
            ("entity_buffer_max", self.entity_buffer_max),
            ("rebalance_moves_max", self.rebalance_moves_max),
            ("loop_changes_max", self.loop_changes_max),
            ("held_entities_max", self.held_entities_max),
        ] {
            if actual == 0 {
                return Err(Error::rejected(format!("`{name}`: expected at least 1, actual 0")));
            }
        }
        if self.loop_interval_max < self.loop_interval {
            return Err(Error::rejected(format!(
                "`loop_interval_max`: expected at least `loop_interval` ({:?}), actual {:?}",
                self.loop_interval, self.loop_interval_max
            )));
        }
        Ok(())
    }
}
