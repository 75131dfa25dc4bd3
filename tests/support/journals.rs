//! The journals of a run's places on a server.

use antiphon::app::cluster::LocalJournals;
use serde_json::json;

/// Journals in a keyspace of Cassandra with this number of copies, apart from other runs.
pub fn on_cassandra(
    contact_points: &[String],
    keyspace: &str,
    copies: usize,
    run: &str,
) -> LocalJournals {
    let options = [
        ("contact_points", json!(contact_points)),
        ("keyspace", json!(keyspace)),
        ("replication", json!(copies)),
    ];
    LocalJournals {
        kind: "cassandra".to_owned(),
        options: options.map(|(key, value)| (key.to_owned(), value)).into_iter().collect(),
        run: run.to_owned(),
        ..LocalJournals::default()
    }
}
