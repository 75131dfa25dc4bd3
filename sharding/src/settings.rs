//! The limits of sharding.

use std::time::Duration;

use antiphon_persistence::Result;
use antiphon_persistence::bounds::{self, HOUR, YEAR};
use antiphon_persistence::entity::EntitySettings;
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
    /// How long a command waits for a home at most; then it is refused with `NotHere`, which says that nothing took effect. Shorter than
    /// `ask_timeout`, so that the asker hears it.
    #[serde(with = "antiphon_persistence::time::text")]
    pub home_timeout: Duration,
    /// How long an entity may take to stop: because its shard moves, its node goes, or it is passivated. Then it is killed and named in the
    /// log, so that a shard always drains. At most 1h.
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
    /// How long a shard may be without a home before a node that was ready says that it is not.
    #[serde(with = "antiphon_persistence::time::text")]
    pub homeless_grace: Duration,
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
    /// When an entity that holds events back, because one cannot be applied here, is told again. At most 1h.
    #[serde(with = "antiphon_persistence::time::text")]
    pub held_retell: Duration,
    /// Most times that the journal loop tells an entity before it goes on without that entity, which counts as one that holds
    /// back then.
    pub loop_tells_max: usize,
    /// Most entities of one shard that hold back events of one peer. Beyond, the shard's position in that peer's feed stands still.
    /// At most 16777216.
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
            home_timeout: Duration::from_secs(4),
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
            homeless_grace: Duration::from_secs(5),
            rebalance_interval: Duration::from_secs(2),
            rebalance_moves_max: 8,
            event_publishing: true,
            direct_replication: true,
            loop_interval: Duration::from_secs(3),
            loop_interval_max: Duration::from_secs(15),
            loop_wake_interval: Duration::from_millis(100),
            loop_changes_max: 200,
            loop_retell: Duration::from_secs(10),
            held_retell: Duration::from_secs(10),
            loop_tells_max: 2,
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
        let millisecond = Duration::from_millis(1);
        for (name, actual) in [
            ("ask_timeout", self.ask_timeout),
            ("remote_ask_timeout", self.remote_ask_timeout),
            ("home_timeout", self.home_timeout),
            ("stop_timeout", self.stop_timeout),
            ("tick_interval", self.tick_interval),
            ("homes_interval", self.homes_interval),
            ("rebalance_interval", self.rebalance_interval),
            ("loop_interval", self.loop_interval),
            ("loop_interval_max", self.loop_interval_max),
            ("loop_retell", self.loop_retell),
            ("held_retell", self.held_retell),
            ("loop_wake_interval", self.loop_wake_interval),
            ("relay_interval", self.relay_interval),
        ] {
            bounds::duration(name, actual, millisecond..=HOUR)?;
        }
        bounds::duration("join_wait", self.join_wait, Duration::ZERO..=HOUR)?;
        bounds::duration("homeless_grace", self.homeless_grace, Duration::ZERO..=HOUR)?;
        bounds::duration("passivate_after", self.passivate_after, Duration::ZERO..=YEAR)?;
        let empty_after = self.passivate_empty_after;
        bounds::duration("passivate_empty_after", empty_after, Duration::ZERO..=YEAR)?;
        bounds::count("entities_max", self.entities_max, 0..=1 << 32)?;
        bounds::count("relay_candidates_max", self.relay_candidates_max, 0..=1000)?;
        bounds::count("shard_buffer_max", self.shard_buffer_max, 1..=1 << 24)?;
        bounds::count("entity_buffer_max", self.entity_buffer_max, 1..=1 << 24)?;
        bounds::count("shard_entities_max", self.shard_entities_max, 0..=1 << 32)?;
        bounds::count("rebalance_moves_max", self.rebalance_moves_max, 1..=1 << 16)?;
        bounds::count("loop_changes_max", self.loop_changes_max, 1..=1 << 20)?;
        bounds::count("loop_tells_max", self.loop_tells_max, 1..=1000)?;
        bounds::count("held_entities_max", self.held_entities_max, 1..=1 << 24)?;
        // who waits longer for a home than its asker waits for an answer cannot say any more that nothing took effect
        let ask_timeout = ("ask_timeout", self.ask_timeout);
        let waiting = self.home_timeout + self.tick_interval;
        bounds::at_least(ask_timeout, (waiting, "`home_timeout` and `tick_interval` together"))?;
        let loop_interval_max = ("loop_interval_max", self.loop_interval_max);
        bounds::at_least(loop_interval_max, (self.loop_interval, "`loop_interval`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        ShardingSettings::default().validate().unwrap();
    }

    #[test]
    fn a_command_does_not_wait_for_a_home_longer_than_its_asker() {
        let home_timeout = Duration::from_secs(20);
        let settings = ShardingSettings { home_timeout, ..ShardingSettings::default() };
        let message = settings.validate().unwrap_err().to_string();
        for part in ["`ask_timeout`", "`home_timeout`", "20.2s", "5s"] {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    }

    #[test]
    fn numbers_beyond_their_bounds_are_refused_by_name() {
        type Change = fn(&mut ShardingSettings, usize);
        let numbers: [(&str, Change); 5] = [
            ("shard_buffer_max", |s, n| s.shard_buffer_max = n),
            ("entity_buffer_max", |s, n| s.entity_buffer_max = n),
            ("rebalance_moves_max", |s, n| s.rebalance_moves_max = n),
            ("loop_changes_max", |s, n| s.loop_changes_max = n),
            ("recoveries_max", |s, n| s.entity.recoveries_max = n),
        ];
        for (name, change) in numbers {
            for n in [0, usize::MAX / 2, usize::MAX] {
                let mut settings = ShardingSettings::default();
                change(&mut settings, n);
                let message = settings.validate().unwrap_err().to_string();
                assert!(message.contains(&format!("`{name}`")), "{name} = {n}: {message}");
            }
        }
    }
}
