//! A Cassandra server that is killed, frozen and restarted while nodes write to it. These tests
//! start servers of their own, beside the server of the other tests.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use antiphon::app::cluster::LocalJournals;
use antiphon_base::time::{Clock, SystemClock};
use antiphon_tests::journals::on_cassandra;
use tempfile::TempDir;
use tokio::process::Command;

use crate::command::accept_loss;
use crate::history::Writers;
use crate::kill::{addresses, check};
use crate::support::{Processes, add, wait_for};

/// In the table `[node]`: a server that has just started uses both cores for seconds, so that nodes
/// miss each other's probes.
const PATIENT: &str = r#"
renew_timeout = "10s"
store_timeout = "4s"
probe_interval = "1s"
probe_timeout = "4s"
probe_misses_max = 5
cut_timeout = "5s"
bridged_cut_timeout = "10s"
"#;

/// A cluster of Cassandra servers at 127.0.`net`.x; the drop of this value ends it.
struct Database {
    folder: TempDir,
    net: &'static str,
    nodes: usize,
    /// The size of each server's disk, if the servers have disks of their own.
    disk: Option<&'static str>,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/cassandra")
}

impl Database {
    async fn start(net: &'static str, nodes: usize) -> Self {
        Self::start_with(net, nodes, None).await
    }

    async fn start_with(net: &'static str, nodes: usize, disk: Option<&'static str>) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let database = Self { folder, net, nodes, disk };
        database.tell(&["up", &nodes.to_string()]).await;
        database
    }

    async fn tell(&self, arguments: &[&str]) {
        let output = Command::new(script())
            .args(arguments)
            .env("CASSANDRA_NET", self.net)
            .env("CASSANDRA_DIR", self.folder.path().join("data"))
            .envs(self.disk.map(|size| ("CASSANDRA_DISK", size)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output();
        let output = output.await.expect("bash runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "deploy/cassandra {arguments:?}: {error}");
    }

    fn journals(&self) -> LocalJournals {
        let points: Vec<String> =
            (1..=self.nodes).map(|node| format!("127.0.{}.{node}:9042", self.net)).collect();
        on_cassandra(&points, "antiphon", self.nodes, "test")
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

/// Waits until a node reports that it is not ready, with the reason.
async fn says_what_it_waits_for(processes: &Processes, index: usize) {
    let mut client = processes.client(index);
    let mut last = String::new();
    wait_for("a node says what it waits for", async || {
        let Ok((status, body)) = client.get("/health/ready", &[]).await else { return false };
        last = String::from_utf8_lossy(&body).into_owned();
        let names = ["database", "contact_points", "cassandra:"];
        !status.is_success() && names.iter().any(|name| last.contains(name))
    })
    .await;
}

/// Waits until the log of a node names a trace of the server, after statements that failed.
async fn a_trace_is_named(processes: &Processes) {
    wait_for("the log names a trace of the server", async || {
        processes.cluster.nodes().iter().any(|node| {
            let log = std::fs::read_to_string(processes.cluster.log(&node.name));
            log.is_ok_and(|log| log.contains("tracing_id"))
        })
    })
    .await;
}

/// A single server: while it is down, no command is acknowledged; when it is back, nodes continue
/// by themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_or_frozen_loses_nothing_and_writes_go_on_by_themselves() {
    let database = Database::start("31", 1).await;
    let mut processes =
        Processes::start_on(database.journals(), &["DC-A", "DC-B"], 2, PATIENT).await;
    let writers = Writers::start(addresses(&processes), 3);
    writes_go_on(&writers).await;

    database.tell(&["kill", "1"]).await;
    says_what_it_waits_for(&processes, 0).await;
    // a node that starts meanwhile waits too
    let name = processes.name(3);
    processes.cluster.kill(&name).await.expect("a node to kill");
    processes.cluster.begin_restart(&name).await.expect("a node that starts");
    says_what_it_waits_for(&processes, 3).await;
    database.tell(&["start", "1"]).await;
    processes.cluster.ready(&name).await.expect("a node that waited");
    *writers.nodes.write() = addresses(&processes);
    writes_go_on(&writers).await;

    database.tell(&["pause", "1"]).await;
    says_what_it_waits_for(&processes, 0).await;
    database.tell(&["resume", "1"]).await;
    writes_go_on(&writers).await;
    a_trace_is_named(&processes).await;
    for index in 0..processes.cluster.nodes().len() {
        processes.ready(index).await;
    }
    check(&processes, writers).await;
}

/// The server stops itself when it cannot write; an operator makes room and starts it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "mounts a disk, for which it must be root: make check as root"]
async fn a_database_whose_disk_is_full_loses_nothing_and_writes_go_on_when_it_has_room_again() {
    let database = Database::start_with("33", 1, Some("400m")).await;
    let processes = Processes::start_on(database.journals(), &["DC-A", "DC-B"], 1, PATIENT).await;
    let writers = Writers::start(addresses(&processes), 3);
    writes_go_on(&writers).await;

    database.tell(&["fill", "1"]).await;
    says_what_it_waits_for(&processes, 0).await;
    says_what_it_waits_for(&processes, 1).await;
    database.tell(&["free", "1"]).await;
    database.tell(&["kill", "1"]).await;
    database.tell(&["start", "1"]).await;
    writes_go_on(&writers).await;
    for index in 0..processes.cluster.nodes().len() {
        processes.ready(index).await;
    }
    check(&processes, writers).await;
}

/// The loss of one place stops nothing in another place, not even the start of its nodes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_and_works_while_the_database_of_another_place_is_away() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let point = nobody.local_addr().expect("an address");
    drop(nobody);
    let peer = format!("{{ kind = 'cassandra', contact_points = ['{point}'] }}");
    let extra = format!("[[peers]]\nplace = 'DC-B'\njournal = {peer}\n");
    let mut processes = Processes::start(&["DC-A"], 1, "").await;
    let name = processes.name(0);
    processes.cluster.kill(&name).await.expect("a node");
    let path = processes.folder.path().join(format!("{name}.toml"));
    let text = std::fs::read_to_string(&path).expect("the configuration");
    std::fs::write(&path, format!("{text}\n{extra}")).expect("written");
    processes.cluster.begin_restart(&name).await.expect("it starts");

    // DC-B cannot be asked for events of this place: an operator decides
    wait_for("the loss is accepted", async || {
        // before the node has opened its session there is no loss to accept
        let said = accept_loss(&path, "DC-B").await.stdout;
        String::from_utf8_lossy(&said).contains("goes on without the word of `DC-B`")
    })
    .await;
    processes.ready(0).await;
    let mut client = processes.client(0);
    wait_for("a command is taken", async || add(&mut client, "c-1", "DC-A", 1).await.is_some())
        .await;
    let cluster = client.json("/cluster", &[]).await.expect("an answer");
    let reason = cluster["journal"]["peers_out_of_reach"]["DC-B"].as_str();
    assert!(reason.is_some_and(|reason| reason.contains(&point.to_string())), "{cluster:#}");
}

/// Three servers with three copies: writes go on while one server is killed, frozen or restarted,
/// and while a fourth joins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs both cores for itself: make check runs it after the others"]
async fn writes_go_on_while_a_database_node_of_three_is_killed_frozen_or_restarted_or_one_is_added()
{
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

    let before = writers.count();
    database.tell(&["add"]).await;
    assert!(writers.count() > before, "no write was acknowledged while a node was added");
    writes_go_on(&writers).await;

    for node in ["1", "2", "3", "4"] {
        database.tell(&["kill", node]).await;
    }
    for node in ["1", "2", "3", "4"] {
        database.tell(&["start", node]).await;
    }
    writes_go_on(&writers).await;
    for index in 0..processes.cluster.nodes().len() {
        processes.ready(index).await;
    }
    check(&processes, writers).await;
}
