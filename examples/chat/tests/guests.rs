//! The singleton of the chat over processes: its node is killed, says goodbye, and is frozen.

use std::collections::BTreeSet;
use std::time::Duration;

use antiphon::app::client::Client;
use antiphon::app::cluster::{LocalCluster, LocalClusterSettings, LocalJournals};
use antiphon::base::time::{Clock, SystemClock};
use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);

struct Desk {
    cluster: LocalCluster,
    names: BTreeSet<String>,
    newest: u64,
}

impl Desk {
    fn client(&self, node: usize) -> Client {
        Client::new(self.cluster.nodes()[node].http.clone()).with_timeout(Duration::from_secs(5))
    }

    /// Asks a node for a name until it has one. No name comes twice, and none of an older holder.
    async fn name(&mut self, node: usize) -> Duration {
        let began = SystemClock.now();
        let mut client = self.client(node);
        loop {
            let answer = client.post("/guests", &[], &Value::Null).await;
            if let Ok((status, body)) = &answer
                && status.as_u16() == 200
            {
                let name: String = serde_json::from_slice(body).expect("a name");
                let token = name.split('-').nth(1).and_then(|token| token.parse().ok());
                let token: u64 = token.expect("a token");
                assert!(token >= self.newest, "{name} after {}", self.newest);
                self.newest = token;
                assert!(self.names.insert(name.clone()), "{name} came twice");
                return SystemClock.now() - began;
            }
            assert!(SystemClock.now() < began + PATIENCE, "{answer:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The node with the singleton, among these.
    async fn holder(&mut self, nodes: &[usize]) -> usize {
        let until = SystemClock.now() + PATIENCE;
        loop {
            for node in nodes {
                let (_, body) = self.client(*node).get("/guests", &[]).await.expect("an answer");
                if serde_json::from_slice::<Value>(&body).expect("JSON")["here"] == true {
                    return *node;
                }
            }
            assert!(SystemClock.now() < until, "no node has the singleton");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_comes_twice_whatever_happens_to_the_node_of_the_singleton() {
    let folder = TempDir::new().expect("a folder");
    let cluster = LocalCluster::start(LocalClusterSettings {
        data_dir: folder.path().to_path_buf(),
        replicas: vec!["DC-A".to_owned(), "DC-B".to_owned()],
        nodes_per_replica: 2,
        journals: LocalJournals::default(),
        tls: false,
        extra: String::new(),
        binary: env!("CARGO_BIN_EXE_chat").into(),
        start_timeout: PATIENCE,
    });
    let cluster = cluster.await.expect("two places");
    let mut desk = Desk { cluster, names: BTreeSet::new(), newest: 0 };
    for node in [0, 1, 2, 3] {
        desk.name(node).await;
    }

    let holder = desk.holder(&[0, 1]).await;
    let other = 1 - holder;
    let name = desk.cluster.nodes()[holder].name.clone();
    desk.cluster.kill(&name).await.expect("a node to kill");
    let took = desk.name(2).await;
    println!("a singleton answers again {took:?} after kill -9 of its node");
    assert!(took < Duration::from_secs(8), "{took:?}");
    desk.cluster.restart(&name).await.expect("the node comes back");
    for node in [0, 1, 2, 3] {
        desk.name(node).await;
    }

    // frozen: the other node takes over; the one that wakes gives out nothing
    let holder = desk.holder(&[0, 1]).await;
    let frozen = desk.cluster.nodes()[holder].name.clone();
    assert!(holder == other || holder == 1 - other);
    desk.cluster.signal(&frozen, "STOP").await.expect("a node to freeze");
    let took = desk.name(1 - holder).await;
    println!("a singleton answers again {took:?} after its node froze");
    desk.cluster.signal(&frozen, "CONT").await.expect("a node to wake");
    let mut woken = desk.client(holder);
    for _ in 0..20 {
        // an old holder that answered would fail here by its token
        if let Ok((status, body)) = woken.post("/guests", &[], &Value::Null).await
            && status.as_u16() == 200
        {
            let name: String = serde_json::from_slice(&body).expect("a name");
            let newest = format!("guest-{}-", desk.newest);
            assert!(name.starts_with(&newest), "{name} of a holder that was frozen, not {newest}");
            assert!(desk.names.insert(name.clone()), "{name} came twice");
        }
        desk.name(1 - holder).await;
        desk.name(3).await;
    }
}
