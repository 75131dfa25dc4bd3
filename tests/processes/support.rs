//! A cluster of processes for a test, and waits for conditions in place of fixed sleeps.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use antiphon::app::client::Client;
use antiphon::app::cluster::{LocalCluster, LocalClusterSettings, LocalJournals};
use antiphon_base::time::{Clock, SystemClock};
use antiphon_tests::antiphon_binary;
use antiphon_tests::journals::on_cassandra;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest time that a test waits for something. A database server that starts while other tests
/// have both cores needs more than a minute.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) struct Processes {
    pub(crate) cluster: LocalCluster,
    pub(crate) folder: TempDir,
}

impl Processes {
    /// Starts a cluster on SQLite.
    pub(crate) async fn start(replicas: &[&str], nodes_per_replica: usize, extra: &str) -> Self {
        Self::start_on(LocalJournals::default(), replicas, nodes_per_replica, extra).await
    }

    pub(crate) async fn start_on(
        journals: LocalJournals,
        replicas: &[&str],
        nodes_per_replica: usize,
        extra: &str,
    ) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let cluster = LocalCluster::start(LocalClusterSettings {
            data_dir: folder.path().to_path_buf(),
            replicas: replicas.iter().map(|name| (*name).to_owned()).collect(),
            nodes_per_replica,
            journals,
            tls: true,
            extra: extra.to_owned(),
            binary: antiphon_binary(),
            start_timeout: PATIENCE,
        });
        let processes = Self { cluster: cluster.await.expect("a cluster"), folder };
        for index in 0..processes.cluster.nodes().len() {
            processes.ready(index).await;
        }
        processes
    }

    pub(crate) fn http(&self, index: usize) -> String {
        self.cluster.nodes()[index].http.clone()
    }

    pub(crate) fn client(&self, index: usize) -> Client {
        Client::new(self.http(index)).with_timeout(Duration::from_secs(8))
    }

    pub(crate) fn name(&self, index: usize) -> String {
        self.cluster.nodes()[index].name.clone()
    }

    /// Kills a node and starts it again as one that begins again when it is out.
    pub(crate) async fn restart_rejoining(&mut self, name: &str) {
        self.cluster.kill(name).await.expect("a node to kill");
        let path = self.cluster.config(name);
        let config = std::fs::read_to_string(&path).expect("its configuration");
        let (off, on) = ("rejoin_after = \"0s\"", "rejoin_after = \"1ms\"");
        assert!(config.contains(off), "{config}");
        std::fs::write(&path, config.replace(off, on)).expect("a writable folder");
        self.cluster.restart(name).await.expect("a node that comes back");
    }

    /// Waits until the node takes commands.
    pub(crate) async fn ready(&self, index: usize) {
        let mut client = self.client(index);
        let clock = SystemClock;
        let until = clock.now() + PATIENCE;
        loop {
            let answer = client.get("/health/ready", &[]).await;
            if answer.as_ref().is_ok_and(|(status, _)| status.is_success()) {
                return;
            }
            if clock.now() > until {
                let name = self.name(index);
                let log = std::fs::read_to_string(self.cluster.log(&name)).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let end = lines[lines.len().saturating_sub(20)..].join("\n");
                panic!("{name} is not ready after {PATIENCE:?}: {answer:?}\n{end}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The address of the Cassandra server of the tests.
pub(crate) fn contact_point() -> String {
    std::env::var("TEST_CASSANDRA").unwrap_or_else(|_| "127.0.0.1:9042".into())
}

/// The Cassandra server of the tests, with places of its own for each call.
pub(crate) fn cassandra() -> LocalJournals {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let run = format!("{}-{number}", SystemClock.wall().as_micros());
    on_cassandra(&[contact_point()], "antiphon_processes", 1, &run)
}

/// Waits until the condition holds; on a timeout, panics with `what`.
pub(crate) async fn wait_for(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let clock = SystemClock;
    let until = clock.now() + PATIENCE;
    while !holds().await {
        assert!(clock.now() < until, "{what}: not after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Adds to a counter at a replica; returns the new value if the command was acknowledged.
pub(crate) async fn add(client: &mut Client, id: &str, replica: &str, delta: i64) -> Option<i64> {
    let path = format!("/entities/counter/{id}");
    let body = json!({ "add": delta });
    let answer = client.post(&path, &[("antiphon-replica", replica)], &body).await;
    let (status, body) = answer.ok()?;
    if !status.is_success() {
        return None;
    }
    serde_json::from_slice::<Value>(&body).ok()?.as_i64()
}

pub(crate) async fn get(client: &mut Client, id: &str, replica: &str) -> Option<i64> {
    let path = format!("/entities/counter/{id}");
    client.json(&path, &[("antiphon-replica", replica)]).await.ok()?.as_i64()
}
