//! Entities without a cluster, and nodes on SQLite, for several benchmarks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use antiphon::app::commands::cert::{self, CertNode};
use antiphon::{Embedded, EmbeddedSettings, PeerSettings};
use antiphon_base::time::SystemClock;
use antiphon_counter::Counter;
use antiphon_persistence::entity::{EntityHost, EntityParts, EntityRuntime, EntitySettings};
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::store::{Journal, Stores, WriterId};
use antiphon_runtime::NodeSettings;
use antiphon_runtime::transport::tcp::{LinkTls, TcpSettings};
use antiphon_sqlite::SqliteSettings;

pub(crate) fn replica(name: &str) -> ReplicaId {
    ReplicaId::new(name).expect("a name")
}

/// Counters of one replica on these stores.
pub(crate) async fn counters(
    stores: &Stores,
    replicas: &[&str],
    peers: BTreeMap<ReplicaId, Arc<dyn Journal>>,
    settings: EntitySettings,
    host: Arc<dyn EntityHost>,
) -> EntityRuntime<Counter> {
    let writer = WriterId::new("bench@1").expect("a name");
    stores.journal.open_writer(&writer).await.expect("a new writer");
    let parts = EntityParts {
        journal: stores.journal.clone(),
        snapshots: stores.snapshots.clone(),
        reminders: stores.reminders.clone(),
        writer,
        peers,
        clock: Arc::new(SystemClock),
        host,
        coordination: None,
    };
    let replicas = replicas.iter().map(|name| replica(name));
    EntityRuntime::new(replicas, |_: &ReplicationId| Counter, settings, parts)
        .expect("good settings")
}

/// Makes certificates for the nodes of the places A and B in a folder, whose links use TLS then.
pub(crate) fn certificates(folder: &Path) {
    let nodes = ["A", "B"].map(|place| CertNode {
        place: place.to_owned(),
        name: format!("node-{place}"),
        hosts: Vec::new(),
    });
    cert::make(&folder.join("certs"), "antiphon", 1, &nodes).expect("certificates");
}

/// The settings of the links of a node in a folder.
fn links(folder: &Path, place: &str) -> TcpSettings {
    let certs = folder.join("certs");
    let tls = certs.exists().then(|| LinkTls {
        ca_file: certs.join("ca.pem"),
        cert_file: certs.join(format!("node-{place}.pem")),
        key_file: certs.join(format!("node-{place}.key")),
    });
    TcpSettings { tls, ..TcpSettings::default() }
}

/// A node of a place on SQLite in a folder, which knows the other place.
pub(crate) async fn node(folder: &Path, place: &str, other: &str) -> Embedded {
    let journal = |place: &str| {
        let path = folder.join(format!("{place}.db"));
        antiphon::Journal::sqlite(path, SqliteSettings::default())
    };
    node_with(journal, links(folder, place), place, other).await
}

/// A node of a place, which knows the other place.
pub(crate) async fn node_on(
    journal: impl Fn(&str) -> antiphon::Journal,
    place: &str,
    other: &str,
) -> Embedded {
    node_with(journal, TcpSettings::default(), place, other).await
}

async fn node_with(
    journal: impl Fn(&str) -> antiphon::Journal,
    tcp: TcpSettings,
    place: &str,
    other: &str,
) -> Embedded {
    let settings = EmbeddedSettings {
        node: NodeSettings {
            name: format!("node-{place}"),
            place: place.to_owned(),
            ..NodeSettings::default()
        },
        journal: journal(place),
        peers: vec![PeerSettings { place: other.to_owned(), journal: journal(other) }],
        bind: ([127, 0, 0, 1], 0).into(),
        advertised_host: None,
        http_address: None,
        tcp,
        start_timeout: Duration::from_secs(10),
    };
    let node = Box::pin(Embedded::start(settings)).await.expect("a node");
    #[cfg(feature = "actors")]
    if let Err(error) = antiphon::cluster::actors(&node.node) {
        // one node of a process has them
        eprintln!("{place}: without sessions: {error}");
    }
    node
}
