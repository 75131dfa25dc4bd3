//! The settings of a node: plain values with defaults and a check.

use std::time::Duration;

use crate::failure_detector::DetectorSettings;
use crate::gate::GateSettings;
use crate::membership::MembershipSettings;
use crate::{Error, NodeId, Result};
use serde::{Deserialize, Serialize};

/// The settings of a node.
///
/// With the defaults, a node that is killed, frozen or cut from its store is declared dead and sealed after `renew_timeout` and a
/// tenth, and it stops answering after `renew_timeout`. Of two nodes that are cut from each other one gives way within 4 s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeSettings {
    /// The name of the node, unique in its place.
    pub name: String,
    /// The place of the node: the replica that it belongs to.
    pub place: String,
    /// What the node is for; sharding puts entities on the nodes of a role.
    pub roles: Vec<String>,
    /// The cluster; a store that was used by another cluster is refused.
    pub cluster_name: String,
    /// Shards of each entity type; it cannot be changed on a store that was used with another number.
    pub shard_count: u32,
    /// Time between two probes of the same neighbour.
    #[serde(with = "antiphon_persistence::time::text")]
    pub probe_interval: Duration,
    /// How long an answer to a probe is waited for; then the probe counts as missed.
    #[serde(with = "antiphon_persistence::time::text")]
    pub probe_timeout: Duration,
    /// After so many missed probes in a row the node says in its row that it cannot reach the neighbour.
    pub probe_misses_max: u32,
    /// How many neighbours each node probes, at most; while it joins it probes all members.
    pub probe_neighbours_max: usize,
    /// When so many members say that they cannot reach a node which renews its row, it is out although it reaches them itself.
    pub votes_required: usize,
    /// How long two members may be cut from each other before one of them gives way: the one that does not hold the coordinator
    /// lease, hosts fewer shards, or is younger.
    #[serde(with = "antiphon_persistence::time::text")]
    pub cut_timeout: Duration,
    /// The same when a third member reaches both.
    #[serde(with = "antiphon_persistence::time::text")]
    pub bridged_cut_timeout: Duration,
    /// How long a node that starts tries to reach every member of its place; then its start fails, and nobody was harmed. It
    /// tries for twice `renew_timeout` at least, since a member may have died that has not been declared dead yet.
    #[serde(with = "antiphon_persistence::time::text")]
    pub join_timeout: Duration,
    /// Time between two renewals of the node's own row.
    #[serde(with = "antiphon_persistence::time::text")]
    pub renew_interval: Duration,
    /// A node that has not renewed its row for so long answers nothing any more, and others who can read and write declare it dead; and
    /// so long they wait before they take over from it.
    #[serde(with = "antiphon_persistence::time::text")]
    pub renew_timeout: Duration,
    /// Time between two reads of the table of the own place.
    #[serde(with = "antiphon_persistence::time::text")]
    pub scan_interval: Duration,
    /// Time between two reads of the table of another place.
    #[serde(with = "antiphon_persistence::time::text")]
    pub peer_scan_interval: Duration,
    /// How long a call of the coordination store may take; then it counts as failed with an unknown outcome.
    #[serde(with = "antiphon_persistence::time::text")]
    pub store_timeout: Duration,
    /// The longest wait before a change of a member, of the lease or of shards' homes that failed is tried again. Waits begin with 100 ms
    /// and double; a half of each is added by chance.
    #[serde(with = "antiphon_persistence::time::text")]
    pub retry_delay_max: Duration,
    /// How often the node looks at its clocks.
    #[serde(with = "antiphon_persistence::time::text")]
    pub tick_interval: Duration,
    /// How long the row of a dead and sealed node is kept.
    #[serde(with = "antiphon_persistence::time::text")]
    pub dead_retention: Duration,
    /// Most rows of dead and sealed nodes that are kept; the oldest go first.
    pub dead_rows_max: usize,
    /// How long a link to a new member may take before missed probes count.
    #[serde(with = "antiphon_persistence::time::text")]
    pub probe_grace: Duration,
    /// How long each phase of a graceful shutdown may take; then the next begins, and `leave` reports it.
    pub shutdown_timeouts: ShutdownTimeouts,
    /// Limits of the links.
    pub gate: GateSettings,
}

/// How long each phase of a graceful shutdown may take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownTimeouts {
    /// Stop accepting work from outside.
    #[serde(with = "antiphon_persistence::time::text")]
    pub stop_accepting: Duration,
    /// Hand off the shards.
    #[serde(with = "antiphon_persistence::time::text")]
    pub drain_shards: Duration,
    /// Seal the own writer and leave the members table.
    #[serde(with = "antiphon_persistence::time::text")]
    pub leave_table: Duration,
    /// Release the coordinator lease.
    #[serde(with = "antiphon_persistence::time::text")]
    pub release_lease: Duration,
    /// Close the links.
    #[serde(with = "antiphon_persistence::time::text")]
    pub close_links: Duration,
}

impl Default for ShutdownTimeouts {
    fn default() -> Self {
        Self {
            stop_accepting: Duration::from_secs(5),
            drain_shards: Duration::from_secs(20),
            leave_table: Duration::from_secs(5),
            release_lease: Duration::from_secs(2),
            close_links: Duration::from_secs(2),
        }
    }
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self {
            name: "node".into(),
            place: "place".into(),
            roles: Vec::new(),
            cluster_name: "antiphon".into(),
            shard_count: 64,
            probe_interval: Duration::from_millis(300),
            probe_timeout: Duration::from_millis(500),
            probe_misses_max: 3,
            probe_neighbours_max: 3,
            votes_required: 2,
            cut_timeout: Duration::from_secs(1),
            bridged_cut_timeout: Duration::from_secs(5),
            join_timeout: Duration::from_secs(10),
            renew_interval: Duration::from_millis(500),
            renew_timeout: Duration::from_secs(2),
            scan_interval: Duration::from_millis(300),
            peer_scan_interval: Duration::from_secs(1),
            store_timeout: Duration::from_secs(1),
            retry_delay_max: Duration::from_secs(2),
            tick_interval: Duration::from_millis(50),
            dead_retention: Duration::from_secs(3600),
            dead_rows_max: 64,
            probe_grace: Duration::from_secs(1),
            shutdown_timeouts: ShutdownTimeouts::default(),
            gate: GateSettings::default(),
        }
    }
}

impl NodeSettings {
    /// Checks every value and how they fit each other.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, its value and what was expected.
    pub fn validate(&self) -> Result<()> {
        NodeId::new(&self.name, 0)?;
        not_empty("place", &self.place)?;
        not_empty("cluster_name", &self.cluster_name)?;
        for role in &self.roles {
            not_empty("roles", role)?;
        }
        at_least_one("shard_count", self.shard_count.into())?;
        at_least_one("probe_misses_max", self.probe_misses_max.into())?;
        at_least_one("probe_neighbours_max", self.probe_neighbours_max as u64)?;
        at_least_one("votes_required", self.votes_required as u64)?;
        at_least_one("dead_rows_max", self.dead_rows_max as u64)?;
        let tick = self.tick_interval;
        at_least("tick_interval", tick, Duration::from_millis(1))?;
        at_least("probe_interval", self.probe_interval, tick)?;
        at_least("probe_timeout", self.probe_timeout, tick)?;
        at_least("renew_interval", self.renew_interval, tick)?;
        at_least("scan_interval", self.scan_interval, tick)?;
        at_least("peer_scan_interval", self.peer_scan_interval, tick)?;
        at_least("store_timeout", self.store_timeout, tick)?;
        at_least("cut_timeout", self.cut_timeout, tick)?;
        at_least("bridged_cut_timeout", self.bridged_cut_timeout, self.cut_timeout)?;
        at_least("join_timeout", self.join_timeout, tick)?;
        at_least("retry_delay_max", self.retry_delay_max, tick)?;
        at_least("renew_timeout", self.renew_timeout, self.renew_interval * 2)?;
        self.gate.validate()
    }

    pub(super) fn membership(&self) -> MembershipSettings {
        MembershipSettings {
            renew_interval: self.renew_interval,
            renew_timeout: self.renew_timeout,
            scan_interval: self.scan_interval,
            votes_required: self.votes_required,
            cut_timeout: self.cut_timeout,
            bridged_cut_timeout: self.bridged_cut_timeout,
            join_timeout: self.join_timeout.max(self.renew_timeout * 2),
            retry_delay_max: self.retry_delay_max,
            dead_retention: self.dead_retention,
            dead_rows_max: self.dead_rows_max,
        }
    }

    pub(super) fn detector(&self) -> DetectorSettings {
        DetectorSettings {
            interval: self.probe_interval,
            misses_max: self.probe_misses_max,
            neighbours_max: self.probe_neighbours_max,
            grace: self.probe_grace,
        }
    }
}

fn not_empty(name: &str, actual: &str) -> Result<()> {
    if actual.trim().is_empty() {
        return Err(Error::rejected(format!("`{name}`: expected a name, actual {actual:?}")));
    }
    Ok(())
}

fn at_least_one(name: &str, actual: u64) -> Result<()> {
    if actual == 0 {
        return Err(Error::rejected(format!("`{name}`: expected at least 1, actual 0")));
    }
    Ok(())
}

fn at_least(name: &str, actual: Duration, limit: Duration) -> Result<()> {
    if actual < limit {
        return Err(Error::rejected(format!(
            "`{name}`: expected at least {limit:?}, actual {actual:?}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        NodeSettings::default().validate().unwrap();
    }

    #[test]
    fn a_bad_value_is_named_with_what_was_expected() {
        let settings =
            NodeSettings { renew_timeout: Duration::from_millis(600), ..NodeSettings::default() };

        let message = settings.validate().unwrap_err().to_string();
        assert_eq!(message, "`renew_timeout`: expected at least 1s, actual 600ms");

        let settings = NodeSettings { name: "a@b".into(), ..NodeSettings::default() };
        assert!(settings.validate().unwrap_err().to_string().contains("a@b"));
    }
}
