//! A Cassandra that is killed, frozen and restarted while nodes write to it. It is started here, beside that of the other tests.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use antiphon_node::cluster::LocalJournals;
use antiphon_persistence::time::{Clock, SystemClock};
use tempfile::TempDir;
use tokio::process::Command;

use crate::history::Writers;
use crate::kill::{addresses, check};
use crate::support::{Processes, wait_for};

/// In the table `[node]`: a server that has just started takes both cores for seconds, so that nodes miss each other's probes.
const PATIENT: &str = r#"
renew_timeout = "10s"
store_timeout = "4s"
probe_interval = "1s"
probe_timeout = "4s"
probe_misses_max = 5
"#;

/// A cluster of Cassandra nodes at 127.0.`net`.x; dropping it ends it.
struct Database {
    folder: TempDir,
    net: &'static str,
    nodes: usize,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/cassandra")
}

impl Database {
    async fn start(net: &'static str, nodes: usize) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let database = Self { folder, net, nodes };
        database.tell(&["up", &nodes.to_string()]).await;
        database
    }

    async fn tell(&self, arguments: &[&str]) {
        let output = Command::new(script())
            .args(arguments)
            .env("CASSANDRA_NET", self.net)
            .env("CASSANDRA_DIR", self.folder.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output();
        let output = output.await.expect("bash runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "deploy/cassandra {arguments:?}: {error}");
    }

    fn journals(&self) -> LocalJournals {
        LocalJournals::Cassandra {
            contact_points: (1..=self.nodes)
                .map(|node| format!("127.0.{}.{node}:9042", self.net))
                .collect(),
            keyspace: "antiphon".into(),
            copies: u32::try_from(self.nodes).expect("a small number"),
            run: "test".into(),
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = std::process::Command::new(script())
            .arg("down")
            .env("CASSANDRA_NET", self.net)
            .env("CASSANDRA_DIR", self.folder.path().join("data"))
            .stdin(Stdio::null())
            .status();
    }
}

async fn writes_go_on(writers: &Writers) {
    let before = writers.count();
    wait_for("writes go on", async || writers.count() > before + 50).await;
}

/// Until a node says that it is not ready, and why.
async fn says_what_it_waits_for(processes: &Processes) {
    let mut client = processes.client(0);
    let mut last = String::new();
    wait_for("a node says what it waits for", async || {
        let Ok((status, body)) = client.get("/health/ready", &[]).await else { return false };
        last = String::from_utf8_lossy(&body).into_owned();
        !status.is_success() && last.contains("database")
    })
    .await;
}

/// One server: while it is away nothing is acknowledged, and when it is back everything goes on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_or_frozen_loses_nothing_and_writes_go_on_by_themselves() {
    let database = Database::start("31", 1).await;
    let processes = Processes::start_on(database.journals(), &["DC-A", "DC-B"], 2, PATIENT).await;
    let writers = Writers::start(addresses(&processes), 3);
    writes_go_on(&writers).await;

    database.tell(&["kill", "1"]).await;
    says_what_it_waits_for(&processes).await;
    database.tell(&["start", "1"]).await;
    writes_go_on(&writers).await;

    database.tell(&["pause", "1"]).await;
    says_what_it_waits_for(&processes).await;
    database.tell(&["resume", "1"]).await;
    writes_go_on(&writers).await;
    for index in 0..processes.cluster.nodes().len() {
        processes.ready(index).await;
    }
    check(&processes, writers).await;
}

/// Three servers with three copies: writes go on while one is away, however it went. Three servers want minutes on two cores.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a long campaign: make soak-cassandra"]
async fn writes_go_on_while_one_of_three_database_nodes_is_killed_frozen_or_restarted() {
    let database = Database::start("32", 3).await;
    let processes = Processes::start_on(database.journals(), &["DC-A", "DC-B"], 2, PATIENT).await;
    let writers = Writers::start(addresses(&processes), 3);
    writes_go_on(&writers).await;

    database.tell(&["kill", "2"]).await;
    writes_go_on(&writers).await;
    database.tell(&["start", "2"]).await;
    writes_go_on(&writers).await;

    let clock = SystemClock;
    database.tell(&["pause", "3"]).await;
    let until = clock.now() + Duration::from_secs(30);
    while clock.now() < until {
        writes_go_on(&writers).await;
    }
    database.tell(&["resume", "3"]).await;
    writes_go_on(&writers).await;

    for node in ["1", "2", "3"] {
        database.tell(&["kill", node]).await;
    }
    for node in ["1", "2", "3"] {
        database.tell(&["start", node]).await;
    }
    writes_go_on(&writers).await;
    check(&processes, writers).await;
}
