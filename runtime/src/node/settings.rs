//! The settings of a node: plain values with defaults and a check.

use std::time::Duration;

use antiphon_base::bounds::{self, HOUR, YEAR};
use antiphon_persistence::identity::SLICE_COUNT;

use crate::failure_detector::DetectorSettings;
use crate::gate::GateSettings;
use crate::membership::MembershipSettings;
use crate::{Error, NodeId, Result};
use serde::{Deserialize, Serialize};

/// The settings of a node.
///
/// With the defaults, a node that is killed, frozen or cut from its store stops answering after
/// `renew_timeout`, and is declared dead and sealed after `renew_timeout` and a tenth. Of two nodes
/// that are cut from each other, one gives way within 4 s.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeSettings {
    /// The name of the node, unique in its place.
    pub name: String,
    /// The place of the node: the replica that it belongs to.
    pub place: String,
    /// The roles of the node, such as its rack or availability zone, kept in its row of the members
    /// table. The shards of a replica that needs a role are only on nodes of its place with it.
    pub roles: Vec<String>,
    /// True for a node that hosts no shards: it only routes, to the nodes that do. It is a member
    /// of its place, so it needs the place's store.
    pub proxy_only: bool,
    /// The name of the cluster; a store that was used by another cluster is refused.
    pub cluster_name: String,
    /// Number of shards of each entity type; it cannot be changed on a store that was used with
    /// another number.
    pub shard_count: u32,
    /// Time between two probes of the same neighbour.
    #[serde(with = "antiphon_base::time::text")]
    pub probe_interval: Duration,
    /// Limit of the wait for an answer to a probe; then the probe counts as missed.
    #[serde(with = "antiphon_base::time::text")]
    pub probe_timeout: Duration,
    /// After this number of missed probes in a row, the node says in its row that it cannot reach
    /// the neighbour.
    pub probe_misses_max: u32,
    /// Limit of the neighbours that each node probes; while a node joins it probes all members.
    pub probe_neighbours_max: usize,
    /// Number of members that put a node out by saying for `cut_timeout` that they cannot reach it,
    /// although it renews its row and reaches them. 1 turns this rule off.
    pub votes_required: usize,
    /// Time for which two members may be cut from each other before one of them gives way: the
    /// member that does not hold the coordinator lease, hosts fewer shards, or is younger.
    #[serde(with = "antiphon_base::time::text")]
    pub cut_timeout: Duration,
    /// The same time when a third member reaches both.
    #[serde(with = "antiphon_base::time::text")]
    pub bridged_cut_timeout: Duration,
    /// Time in which a node that starts tries to reach every member of its place; then its start
    /// fails, which does no harm. It tries for twice `renew_timeout` at least, since a member may
    /// have died that has not been declared dead yet.
    #[serde(with = "antiphon_base::time::text")]
    pub join_timeout: Duration,
    /// Time between two renewals of the node's own row.
    #[serde(with = "antiphon_base::time::text")]
    pub renew_interval: Duration,
    /// A node that has not renewed its row for this time answers nothing any more, and members that
    /// can read and write declare it dead. They wait for this time and a tenth before they take
    /// over from it.
    #[serde(with = "antiphon_base::time::text")]
    pub renew_timeout: Duration,
    /// Time between two reads of the table of the own place. Half of it is the shortest time
    /// between two reads of the tables of all places because of messages that name unknown nodes or
    /// leases.
    #[serde(with = "antiphon_base::time::text")]
    pub scan_interval: Duration,
    /// Time between two reads of the table of another place, and of the sessions of all places.
    /// While no session is expected to change, the sessions are read every fifth time.
    #[serde(with = "antiphon_base::time::text")]
    pub peer_scan_interval: Duration,
    /// Limit of a call of the coordination store; then the call counts as failed with an unknown
    /// outcome.
    #[serde(with = "antiphon_base::time::text")]
    pub store_timeout: Duration,
    /// The longest wait before a failed change of a member, of the lease or of shards' homes is
    /// tried again. Waits begin with 100 ms and double; up to half of each is taken off by chance.
    #[serde(with = "antiphon_base::time::text")]
    pub retry_delay_max: Duration,
    /// Time between two looks of the node at its clocks.
    #[serde(with = "antiphon_base::time::text")]
    pub tick_interval: Duration,
    /// Time between two log lines about a store call that keeps failing, or about messages of other
    /// nodes that are refused for the same reason.
    #[serde(with = "antiphon_base::time::text")]
    pub fault_log_interval: Duration,
    /// Longest time that messages of a newcomer wait: a node that is connected, and in no
    /// membership table that this node has read. The tables are read at once; after this time the
    /// messages are refused.
    #[serde(with = "antiphon_base::time::text")]
    pub newcomer_timeout: Duration,
    /// Most messages of newcomers that wait, half of them from one newcomer; more are refused.
    pub newcomer_messages_max: usize,
    /// Most bytes of messages of newcomers that wait, half of them from one newcomer; more are
    /// refused.
    pub newcomer_bytes_max: usize,
    /// Time for which the row of a dead and sealed node is kept.
    #[serde(with = "antiphon_base::time::text")]
    pub dead_retention: Duration,
    /// Limit of the rows of dead and sealed nodes that are kept; the oldest go first.
    pub dead_rows_max: usize,
    /// Time that a link to a new member may take before missed probes count.
    #[serde(with = "antiphon_base::time::text")]
    pub probe_grace: Duration,
    /// Limits of the phases of a graceful shutdown; after its limit the next phase begins, and
    /// `leave` reports it.
    pub shutdown_timeouts: ShutdownTimeouts,
    /// Limits of the links.
    pub gate: GateSettings,
}

/// Limits of the phases of a graceful shutdown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShutdownTimeouts {
    /// Time for which the node announces that it leaves, with `/health/ready` 503, and works on as
    /// before, so that load balancers send elsewhere before anything is refused. Default: 2 s, or
    /// zero when the HTTP interface listens on this machine only, or is missing.
    #[serde(with = "antiphon_base::time::text::option")]
    pub announce: Option<Duration>,
    /// Stop accepting work from outside.
    #[serde(with = "antiphon_base::time::text")]
    pub stop_accepting: Duration,
    /// Hand off the shards.
    #[serde(with = "antiphon_base::time::text")]
    pub drain_shards: Duration,
    /// Seal the own writer and leave the session of the place.
    #[serde(with = "antiphon_base::time::text")]
    pub leave_table: Duration,
    /// Release the coordinator lease and write dead and sealed into the members table.
    #[serde(with = "antiphon_base::time::text")]
    pub release_lease: Duration,
    /// Answer the requests of other nodes: once before the last row is written, which makes the
    /// other nodes close their links, and once before this node closes its links.
    #[serde(with = "antiphon_base::time::text")]
    pub close_links: Duration,
}

impl Default for ShutdownTimeouts {
    fn default() -> Self {
        Self {
            announce: None,
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
            proxy_only: false,
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
            fault_log_interval: Duration::from_secs(60),
            newcomer_timeout: Duration::from_secs(2),
            newcomer_messages_max: 1000,
            newcomer_bytes_max: 16 << 20,
            dead_retention: Duration::from_secs(3600),
            dead_rows_max: 64,
            probe_grace: Duration::from_secs(1),
            shutdown_timeouts: ShutdownTimeouts::default(),
            gate: GateSettings::default(),
        }
    }
}

impl NodeSettings {
    /// Checks every value, and that the values fit each other.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, its value and the expected value.
    pub fn validate(&self) -> Result<()> {
        NodeId::new(&self.name, 0)?;
        not_empty("place", &self.place)?;
        not_empty("cluster_name", &self.cluster_name)?;
        bounds::count("roles", self.roles.len(), 0..=64)?;
        for role in &self.roles {
            not_empty("roles", role)?;
        }
        bounds::count("shard_count", self.shard_count as usize, 1..=SLICE_COUNT.into())?;
        bounds::count("probe_misses_max", self.probe_misses_max as usize, 1..=1000)?;
        bounds::count("probe_neighbours_max", self.probe_neighbours_max, 1..=1000)?;
        bounds::count("votes_required", self.votes_required, 1..=1000)?;
        bounds::count("dead_rows_max", self.dead_rows_max, 1..=100_000)?;
        let tick = self.tick_interval;
        bounds::duration("tick_interval", tick, Duration::from_millis(1)..=HOUR)?;
        for (name, actual) in [
            ("probe_interval", self.probe_interval),
            ("probe_timeout", self.probe_timeout),
            ("renew_interval", self.renew_interval),
            ("renew_timeout", self.renew_timeout),
            ("scan_interval", self.scan_interval),
            ("peer_scan_interval", self.peer_scan_interval),
            ("store_timeout", self.store_timeout),
            ("cut_timeout", self.cut_timeout),
            ("bridged_cut_timeout", self.bridged_cut_timeout),
            ("join_timeout", self.join_timeout),
            ("retry_delay_max", self.retry_delay_max),
        ] {
            bounds::duration(name, actual, tick..=HOUR)?;
        }
        bounds::duration("fault_log_interval", self.fault_log_interval, Duration::ZERO..=HOUR)?;
        bounds::duration("newcomer_timeout", self.newcomer_timeout, Duration::ZERO..=HOUR)?;
        bounds::count("newcomer_messages_max", self.newcomer_messages_max, 0..=1 << 24)?;
        bounds::count("newcomer_bytes_max", self.newcomer_bytes_max, 0..=1 << 32)?;
        bounds::duration("dead_retention", self.dead_retention, Duration::ZERO..=YEAR)?;
        bounds::duration("probe_grace", self.probe_grace, Duration::ZERO..=HOUR)?;
        self.shutdown_timeouts.validate()?;
        self.fit()?;
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
            probe_interval: self.probe_interval,
            probe_misses_max: self.probe_misses_max,
            probe_neighbours_max: self.probe_neighbours_max,
            probe_grace: self.probe_grace,
        }
    }

    /// The rules between settings.
    fn fit(&self) -> Result<()> {
        let renew_timeout = ("renew_timeout", self.renew_timeout);
        bounds::at_least(renew_timeout, (self.renew_interval * 2, "`renew_interval` twice"))?;
        // a renewal that takes the whole `store_timeout` must still be in time
        let renewal = self.store_timeout + self.renew_interval;
        bounds::at_least(
            renew_timeout,
            (renewal, "`store_timeout` and `renew_interval` together"),
        )?;
        let cut_timeout = (self.cut_timeout, "`cut_timeout`");
        bounds::at_least(("bridged_cut_timeout", self.bridged_cut_timeout), cut_timeout)?;
        // a node that reads more rarely finds out too late that it was declared dead
        bounds::below(("scan_interval", self.scan_interval), renew_timeout)
    }
}

impl ShutdownTimeouts {
    /// Checks every value.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, its value and the expected value.
    pub fn validate(&self) -> Result<()> {
        for (name, actual) in [
            ("announce", self.announce.unwrap_or_default()),
            ("stop_accepting", self.stop_accepting),
            ("drain_shards", self.drain_shards),
            ("leave_table", self.leave_table),
            ("release_lease", self.release_lease),
            ("close_links", self.close_links),
        ] {
            let name = format!("shutdown_timeouts.{name}");
            bounds::duration(&name, actual, Duration::ZERO..=HOUR)?;
        }
        Ok(())
    }
}

fn not_empty(name: &str, actual: &str) -> Result<()> {
    if actual.trim().is_empty() || actual.chars().any(char::is_control) {
        return Err(Error::rejected(format!(
            "`{name}`: expected a name without control characters, actual {actual:?}"
        )));
    }
    // a connection to another node carries it
    bounds::count(&format!("{name}: length"), actual.len(), 1..=1024)
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
        assert_eq!(
            message,
            "`renew_timeout`: expected at least `renew_interval` twice (1s), actual 600ms"
        );

        let settings = NodeSettings { name: "a@b".into(), ..NodeSettings::default() };
        assert!(settings.validate().unwrap_err().to_string().contains("a@b"));
    }

    #[test]
    fn rules_between_settings_name_both() {
        let second = Duration::from_secs;
        let base = NodeSettings::default;
        for (settings, parts) in [
            (
                NodeSettings { store_timeout: second(5), ..base() },
                ["`renew_timeout`", "`store_timeout`", "5.5s", "2s"],
            ),
            (
                NodeSettings { scan_interval: second(3), ..base() },
                ["`scan_interval`", "`renew_timeout`", "3s", "2s"],
            ),
        ] {
            let message = settings.validate().unwrap_err().to_string();
            for part in parts {
                assert!(message.contains(part), "{part:?} is not in {message:?}");
            }
        }
    }

    type Change<T> = fn(&mut NodeSettings, T);

    #[test]
    fn numbers_and_durations_beyond_their_bounds_are_refused_by_name() {
        let numbers: [(&str, Change<u64>); 5] = [
            ("shard_count", |s, n| s.shard_count = u32::try_from(n).unwrap_or(u32::MAX)),
            ("probe_misses_max", |s, n| s.probe_misses_max = u32::try_from(n).unwrap_or(u32::MAX)),
            ("probe_neighbours_max", |s, n| s.probe_neighbours_max = n as usize),
            ("votes_required", |s, n| s.votes_required = n as usize),
            ("dead_rows_max", |s, n| s.dead_rows_max = n as usize),
        ];
        for (name, change) in numbers {
            for n in [0, u64::from(u32::MAX), u64::MAX] {
                let mut settings = NodeSettings::default();
                change(&mut settings, n);
                let message = settings.validate().unwrap_err().to_string();
                assert!(message.contains(&format!("`{name}`")), "{name} = {n}: {message}");
            }
        }
        let durations: [(&str, Change<Duration>); 12] = [
            ("tick_interval", |s, d| s.tick_interval = d),
            ("probe_interval", |s, d| s.probe_interval = d),
            ("probe_timeout", |s, d| s.probe_timeout = d),
            ("renew_interval", |s, d| s.renew_interval = d),
            ("renew_timeout", |s, d| s.renew_timeout = d),
            ("scan_interval", |s, d| s.scan_interval = d),
            ("peer_scan_interval", |s, d| s.peer_scan_interval = d),
            ("store_timeout", |s, d| s.store_timeout = d),
            ("dead_retention", |s, d| s.dead_retention = d),
            ("probe_grace", |s, d| s.probe_grace = d),
            ("announce", |s, d| s.shutdown_timeouts.announce = Some(d)),
            ("drain_shards", |s, d| s.shutdown_timeouts.drain_shards = d),
        ];
        for (name, change) in durations {
            for duration in [YEAR * 2, Duration::from_millis(u64::MAX), Duration::MAX] {
                let mut settings = NodeSettings::default();
                change(&mut settings, duration);
                let message = settings.validate().unwrap_err().to_string();
                assert!(message.contains(name), "{name} = {duration:?}: {message}");
            }
        }
    }

    #[test]
    fn a_number_of_shards_that_no_store_can_have_is_refused() {
        let settings = NodeSettings { shard_count: 2000, ..NodeSettings::default() };
        let message = settings.validate().unwrap_err().to_string();
        assert_eq!(message, "`shard_count`: expected at most 1024, actual 2000");
    }
}
