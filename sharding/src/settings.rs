//! The limits of sharding.

use std::time::Duration;

use antiphon_base::Result;
use antiphon_base::bounds::{self, HOUR, YEAR};
use antiphon_persistence::entity::EntitySettings;
use serde::{Deserialize, Serialize};

/// The nodes that may send commands to the entities of a type.
///
/// ```
/// use antiphon_sharding::{CommandsFrom, ShardingSettings};
///
/// let settings =
///     ShardingSettings { commands_from: CommandsFrom::Place, ..ShardingSettings::default() };
/// settings.validate()?;
/// # Ok::<(), antiphon_base::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CommandsFrom {
    /// The members of all places.
    #[default]
    All,
    /// The members of the own place. A command of another place is refused with `Rejected`, and has
    /// no effect. Events of the other places are taken as ever.
    Place,
}

/// Limits of one entity type on one node. Plain values; the defaults fit most.
///
/// ```
/// use std::time::Duration;
///
/// use antiphon_sharding::ShardingSettings;
///
/// let settings = ShardingSettings {
///     passivate_after: Duration::from_secs(600),
///     entities_max: 20_000,
///     ..ShardingSettings::default()
/// };
/// settings.validate()?;
/// # Ok::<(), antiphon_base::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShardingSettings {
    /// Limits of the entities.
    pub entity: EntitySettings,
    /// The nodes whose commands this node takes, also as a relay. The same at all nodes of a place.
    pub commands_from: CommandsFrom,
    /// Time limit of [`crate::EntityRef::ask`]. After it, `ask` returns `Expired` when the command
    /// was not handed over, else `Timeout`.
    #[serde(with = "antiphon_base::time::text")]
    pub ask_timeout: Duration,
    /// Longest time that a node waits for another node's answer, whatever the asker's limit is.
    #[serde(with = "antiphon_base::time::text")]
    pub remote_ask_timeout: Duration,
    /// Most commands that wait at a region for one shard without a reachable home. Further commands
    /// are refused with `Overloaded`.
    pub shard_buffer_max: usize,
    /// Most commands that wait for an entity that is stopping. Further commands are refused with
    /// `Overloaded`.
    pub entity_buffer_max: usize,
    /// Longest time that a command waits for a home. Then it is refused with `NotHere`, which says
    /// that nothing took effect. With `tick_interval` at most `ask_timeout`, so that the asker gets
    /// the refusal.
    #[serde(with = "antiphon_base::time::text")]
    pub home_timeout: Duration,
    /// Longest time that an entity may take to stop when its shard moves, its node leaves, or it is
    /// passivated. Then it is killed and named in the log, so that a shard always drains. At most
    /// 1h.
    #[serde(with = "antiphon_base::time::text")]
    pub stop_timeout: Duration,
    /// An entity without a command for this time is passivated; zero: never.
    #[serde(with = "antiphon_base::time::text")]
    pub passivate_after: Duration,
    /// An entity without any event and without a command for this time is passivated, since it was
    /// only asked for its state; zero: it is treated like the others.
    #[serde(with = "antiphon_base::time::text")]
    pub passivate_empty_after: Duration,
    /// Most entities at work on the node, of all types together. Above it, the least recently used
    /// entities are passivated. While an eighth more are busy, commands that would start another
    /// entity are refused with `Overloaded`; zero: no limit.
    pub entities_max: usize,
    /// Most entities at work in one shard. Above it, the least recently used entities are
    /// passivated; zero: no limit.
    pub shard_entities_max: usize,
    /// Time between two looks of a region at its shards.
    #[serde(with = "antiphon_base::time::text")]
    pub tick_interval: Duration,
    /// Time between two searches of a region for a relay to a home that it is not connected to.
    #[serde(with = "antiphon_base::time::text")]
    pub relay_interval: Duration,
    /// Most nodes that one search for a relay asks.
    pub relay_candidates_max: usize,
    /// Time between two requests of a region for changed homes, which the coordinator also sends.
    #[serde(with = "antiphon_base::time::text")]
    pub homes_interval: Duration,
    /// Time that a new coordinator waits for nodes to make themselves known before the nodes known
    /// so far get shards.
    #[serde(with = "antiphon_base::time::text")]
    pub join_wait: Duration,
    /// Longest time that a shard may be without a home before a node that was ready is not ready.
    #[serde(with = "antiphon_base::time::text")]
    pub homeless_grace: Duration,
    /// Time between two searches of the coordinator for nodes with too many shards.
    #[serde(with = "antiphon_base::time::text")]
    pub rebalance_interval: Duration,
    /// Most shards that move for balance at the same time.
    pub rebalance_moves_max: usize,
    /// Replicas that were removed, and whose entities nobody needs any more. Another replica that
    /// has homes in the journal of the place, and that the type lacks, makes the node unready. Rows
    /// of their reminders are removed when they are due.
    pub removed_replicas: Vec<String>,
    /// True: events are sent to the other replicas at once. False: the other replicas read them
    /// from this replica's journal.
    pub event_publishing: bool,
    /// True: events that other replicas send at once are taken. False: only their journals are
    /// read.
    pub direct_replication: bool,
    /// Time between two reads of another replica's change feed by one shard.
    #[serde(with = "antiphon_base::time::text")]
    pub loop_interval: Duration,
    /// Longest time between two such reads while nothing changes. The time doubles from
    /// `loop_interval`.
    #[serde(with = "antiphon_base::time::text")]
    pub loop_interval_max: Duration,
    /// Shortest time between two reads of a change feed by one shard when the second is due to a
    /// signal that the way of direct replication is open again. The first reads of shards that
    /// begin together are spread over this time.
    #[serde(with = "antiphon_base::time::text")]
    pub loop_wake_interval: Duration,
    /// Most entities in one page of a change feed.
    pub loop_changes_max: usize,
    /// Time after which the journal loop tells an entity again that has not answered.
    #[serde(with = "antiphon_base::time::text")]
    pub loop_retell: Duration,
    /// Time after which an entity that holds back events is told again. At most 1h.
    #[serde(with = "antiphon_base::time::text")]
    pub held_retell: Duration,
    /// Number of times that the journal loop tells an entity and waits for its answer. Then the
    /// loop tells the entity once more and goes on without it: the entity counts as holding back.
    pub loop_tells_max: usize,
    /// Most entities of one shard that hold back events of one other replica. At the limit, the
    /// shard's position in that replica's feed stands still. At most 16777216.
    pub held_entities_max: usize,
    /// Time between two looks of a place for reminders that are due; a reminder is late by up to
    /// this time. One read of the store for each entity type, by the node that holds the lease.
    #[serde(with = "antiphon_base::time::text")]
    pub reminder_interval: Duration,
    /// Most reminders of this type that are handed to their entities and have not fired yet, most
    /// that were handed over more than once, and most of one look.
    pub reminders_in_flight_max: usize,
    /// First wait before a reminder that has not fired is handed over again; doubles up to
    /// `reminder_retry_max`.
    #[serde(with = "antiphon_base::time::text")]
    pub reminder_retry_min: Duration,
    /// Longest such wait, also between two reads when the store fails.
    #[serde(with = "antiphon_base::time::text")]
    pub reminder_retry_max: Duration,
}

impl Default for ShardingSettings {
    fn default() -> Self {
        Self {
            entity: EntitySettings::default(),
            commands_from: CommandsFrom::All,
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
            removed_replicas: Vec::new(),
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
            reminder_interval: Duration::from_secs(1),
            reminders_in_flight_max: 1000,
            reminder_retry_min: Duration::from_secs(5),
            reminder_retry_max: Duration::from_secs(60),
        }
    }
}

impl ShardingSettings {
    /// Checks the range of every value, and the values that depend on each other.
    ///
    /// # Errors
    /// `Rejected`, with the setting, its value and the expected range.
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
            ("reminder_interval", self.reminder_interval),
            ("reminder_retry_min", self.reminder_retry_min),
            ("reminder_retry_max", self.reminder_retry_max),
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
        bounds::count("removed_replicas", self.removed_replicas.len(), 0..=1000)?;
        bounds::count("loop_changes_max", self.loop_changes_max, 1..=1 << 20)?;
        bounds::count("loop_tells_max", self.loop_tells_max, 1..=1000)?;
        let in_flight_max = self.reminders_in_flight_max;
        bounds::count("reminders_in_flight_max", in_flight_max, 1..=1 << 16)?;
        let reminder_retry_max = ("reminder_retry_max", self.reminder_retry_max);
        bounds::at_least(reminder_retry_max, (self.reminder_retry_min, "`reminder_retry_min`"))?;
        bounds::count("held_entities_max", self.held_entities_max, 1..=1 << 24)?;
        // if a command waits for a home longer than its asker waits for the answer, the asker does
        // not learn that nothing took effect
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
