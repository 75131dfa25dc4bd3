//! Two places of node processes for the tests of an application's promises, shared with
//! `examples/blog`: their journals, their addresses, and clients that go on at another node.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use antiphon::app::client::Client;
use antiphon::app::cluster::{LocalCluster, LocalClusterSettings, LocalJournals};
use antiphon::base::time::{Clock, SystemClock};
use antiphon::persistence::event::{SequenceNr, StoredEvent};
use antiphon::persistence::store::Stores;
use serde_json::{Value, json};
use tokio::sync::RwLock;

/// The time after which a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// The places.
pub(crate) const PLACES: [&str; 2] = ["DC-A", "DC-B"];

/// The addresses of the nodes, which change when a node comes back.
pub(crate) type Addresses = Arc<RwLock<Vec<String>>>;

/// The journals on the Cassandra server of `TEST_CASSANDRA`, if there is one.
#[cfg(feature = "cassandra")]
pub(crate) fn cassandra(keyspace: &str) -> Option<LocalJournals> {
    let Ok(server) = std::env::var("TEST_CASSANDRA") else {
        eprintln!("left out: `TEST_CASSANDRA` names no server");
        return None;
    };
    let options = [
        ("contact_points", json!([server])),
        ("keyspace", json!(keyspace)),
        ("replication", json!(1)),
    ];
    Some(LocalJournals {
        kind: "cassandra".to_owned(),
        options: options.map(|(key, value)| (key.to_owned(), value)).into_iter().collect(),
        run: SystemClock.wall().as_micros().to_string(),
        ..LocalJournals::default()
    })
}

/// Two places with one node each.
pub(crate) async fn two_places(
    journals: LocalJournals,
    folder: &Path,
    binary: &Path,
    extra: &str,
) -> LocalCluster {
    let cluster = LocalCluster::start(LocalClusterSettings {
        data_dir: folder.to_path_buf(),
        replicas: PLACES.map(str::to_owned).to_vec(),
        nodes_per_replica: 1,
        journals,
        tls: false,
        extra: extra.to_owned(),
        binary: binary.to_path_buf(),
        start_timeout: PATIENCE,
    });
    cluster.await.expect("two places")
}

/// The addresses of all nodes.
pub(crate) fn nodes(cluster: &LocalCluster) -> Vec<String> {
    cluster.nodes().iter().map(|node| node.http.clone()).collect()
}

/// Kills a node with SIGKILL, and starts it again.
pub(crate) async fn kill_and_restart(
    cluster: &mut LocalCluster,
    index: usize,
    addresses: &Addresses,
) {
    let name = cluster.nodes()[index].name.clone();
    cluster.kill(&name).await.expect("a node to kill");
    cluster.restart(&name).await.expect("the node comes back");
    *addresses.write().await = nodes(cluster);
}

/// Posts until a node takes the command: one that does not yet says so before, without effect.
pub(crate) async fn post_once(address: String, path: &str, body: &Value) -> Value {
    let mut client = Client::new(address).with_timeout(PATIENCE);
    let until = SystemClock.now() + PATIENCE;
    loop {
        let (status, answer) = client.post(path, &[], body).await.expect("an answer");
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        if status.is_success() {
            return answer;
        }
        assert_eq!(answer["without_effect"], true, "{answer}");
        assert!(SystemClock.now() < until, "{answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// By entity, the events of a type in the journal of a place.
pub(crate) async fn events(
    cluster: &LocalCluster,
    place: &str,
    kind: &str,
) -> BTreeMap<String, Vec<StoredEvent>> {
    let stores = cluster.journal(place).expect("a journal").open(true).await;
    let stores: Stores = stores.expect("a journal").stores();
    let ids = stores.read_journal.persistence_ids(kind, None, 10_000).await.expect("ids");
    let mut all = BTreeMap::new();
    for id in ids {
        let entity = id.as_str().split('|').nth(1).unwrap_or_default().to_owned();
        let of_entity: &mut Vec<StoredEvent> = all.entry(entity).or_default();
        let mut first = SequenceNr::new(1);
        loop {
            let page = stores.journal.replay(&id, first, SequenceNr::MAX, 1000).await;
            let page = page.expect("events");
            let Some(last) = page.last() else { break };
            first = last.sequence_nr.next();
            of_entity.extend(page);
        }
    }
    all
}

/// A client that goes on at another node when it gets no certain answer.
pub(crate) struct Caller {
    addresses: Addresses,
    turn: usize,
    client: Option<Client>,
}

impl Caller {
    /// A client that begins at the node with this number.
    pub(crate) fn new(addresses: Addresses, turn: usize) -> Self {
        Self { addresses, turn, client: None }
    }

    /// Posts a body once, or gets without one. `None`: the outcome is not known, and the next
    /// request goes to another node.
    pub(crate) async fn call(&mut self, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
        if self.client.is_none() {
            let addresses = self.addresses.read().await;
            let address = addresses[self.turn % addresses.len()].clone();
            self.client = Some(Client::new(address).with_timeout(Duration::from_secs(4)));
        }
        let client = self.client.as_mut().expect("just made");
        let answer = match body {
            Some(body) => client.post(path, &[], body).await,
            None => client.get(path, &[]).await,
        };
        if let Ok((status, answer)) = answer
            && matches!(status.as_u16(), 200 | 409)
        {
            return Some((status.as_u16(), serde_json::from_slice(&answer).expect("JSON")));
        }
        self.client = None;
        self.turn += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
        None
    }
}
