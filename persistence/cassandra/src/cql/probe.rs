//! Finds the kind of a server, and whether the server keeps acknowledged writes. Runs once, when a
//! session begins.

use scylla::client::session::Session;
use scylla::cluster::metadata::Strategy;

use super::ServerSettings;

/// Facts about a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    /// True for ScyllaDB, which tells its shards to drivers.
    is_scylla: bool,
    /// `commitlog_sync` of the node that answered. `None` when the server does not tell it, as
    /// ScyllaDB.
    commitlog_sync: Option<String>,
    /// The fewest copies of the keyspace in a data centre. `None` when the keyspace is missing or
    /// has an unknown strategy.
    copies: Option<usize>,
}

impl Probe {
    /// Asks a server.
    pub(super) async fn of(session: &Session, settings: &ServerSettings) -> Self {
        let state = session.get_cluster_state();
        let is_scylla = state.get_nodes_info().iter().any(|node| node.sharder().is_some());
        let keyspace = state.get_keyspace(settings.keyspace.to_lowercase());
        let copies = keyspace.and_then(|keyspace| {
            if let Strategy::SimpleStrategy { replication_factor } = &keyspace.strategy {
                return Some(*replication_factor);
            }
            let Strategy::NetworkTopologyStrategy { datacenter_repfactors } = &keyspace.strategy
            else {
                return None;
            };
            datacenter_repfactors.values().copied().min()
        });
        // a server without this table does not tell the setting
        let sql = "SELECT value FROM system_views.settings WHERE name = 'commitlog_sync'";
        let answer = session.query_unpaged(sql, ()).await.ok();
        let rows = answer.and_then(|answer| answer.into_rows_result().ok());
        let row = rows.and_then(|rows| rows.maybe_first_row::<(Option<String>,)>().ok().flatten());
        Self { is_scylla, commitlog_sync: row.and_then(|(value,)| value), copies }
    }

    /// Describes how an acknowledged write may be lost. `None` when no weakness is known.
    pub(super) fn weakness(&self) -> Option<String> {
        let sync = self.commitlog_sync.as_deref()?;
        let copies = self.copies?;
        (sync == "periodic" && copies < 3).then(|| {
            format!(
                "the server has `commitlog_sync: periodic` and the keyspace {copies} copies: the last seconds of acknowledged events are lost when a server is killed: set `commitlog_sync: batch`, or keep 3 copies in different racks"
            )
        })
    }

    /// Options of a new keyspace besides its replication. Conditional writes do not work on tablets
    /// in all versions of ScyllaDB that have tablets.
    pub(super) fn keyspace_options(&self) -> &'static str {
        if self.is_scylla { " AND tablets = {'enabled': false}" } else { "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(sync: &str, copies: usize) -> Probe {
        Probe { is_scylla: false, commitlog_sync: Some(sync.into()), copies: Some(copies) }
    }

    #[test]
    fn a_server_that_forgets_acknowledged_writes_is_named() {
        assert!(
            probe("periodic", 1)
                .weakness()
                .is_some_and(|text| text.contains("`commitlog_sync: batch`"))
        );
        assert_eq!(probe("batch", 1).weakness(), None);
        assert_eq!(probe("periodic", 3).weakness(), None);
        let silent = Probe { commitlog_sync: None, ..probe("", 1) };
        assert_eq!(silent.weakness(), None, "nothing is claimed of a server that does not say");
    }
}
