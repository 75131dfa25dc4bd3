//! Node processes, with links over TLS: started, killed, frozen, and started again when they end,
//! as a supervisor does.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use antiphon::Journal;
use antiphon::app::cluster::LocalJournals;
use antiphon::app::commands::cert::{self, CertNode};
use antiphon_base::task;
use antiphon_base::time::{Clock, SystemClock};
use antiphon_tests::antiphon_binary;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::proxy::Network;

/// The places.
pub(crate) const PLACES: [&str; 2] = ["DC-A", "DC-B"];
/// Nodes of each place. The nodes of the first place have the numbers from 0.
pub(crate) const EACH: usize = 2;
/// All nodes.
pub(crate) const NODES: usize = PLACES.len() * EACH;

/// Short times and few shards, so that a round has many changes and entities are passivated soon.
const SETTINGS: &str = r#"
shard_count = 16

[sharding]
passivate_after = "3s"
loop_interval = "1s"
loop_interval_max = "3s"

[sharding.entity]
snapshot_every = 25
"#;

struct Node {
    name: String,
    place: usize,
    child: Option<Child>,
    /// Set while the node must not be started.
    is_held: bool,
    http: Arc<Mutex<Option<String>>>,
    starts: u32,
    started: Instant,
}

/// Time after a start at which a node that has ended is started again.
const RESTART_AFTER: Duration = Duration::from_millis(500);

/// All nodes of a run. The drop of this value kills them.
pub(crate) struct Nodes {
    folder: PathBuf,
    journals: LocalJournals,
    nodes: Vec<Node>,
    network: Network,
}

pub(crate) fn place_of(node: usize) -> usize {
    node / EACH
}

impl Nodes {
    /// Configures the nodes and starts them.
    pub(crate) async fn start(folder: PathBuf, journals: LocalJournals, network: &Network) -> Self {
        let mut nodes = Self { folder, journals, nodes: Vec::new(), network: network.clone() };
        let journal = nodes.journal(0);
        // a store that makes its tables by itself has no schema
        if journal.schema().is_ok() {
            journal.apply_schema().await.expect("a keyspace");
        }
        for number in 0..NODES {
            let place = place_of(number);
            let name = format!("{}-{}", PLACES[place].to_lowercase(), number % EACH + 1);
            let port = network.open(number).await.port();
            let folder = nodes.place_folder(place);
            std::fs::create_dir_all(folder).expect("a writable folder");
            let text = nodes.configuration(number, &name, port);
            std::fs::write(nodes.file(&name, "toml"), text).expect("a writable folder");
            let (http, child) = (Arc::default(), None);
            let started = SystemClock.now();
            nodes.nodes.push(Node { name, place, child, is_held: false, http, starts: 0, started });
        }
        for number in 0..NODES {
            nodes.spawn(number);
        }
        nodes
    }

    fn configuration(&self, number: usize, name: &str, port: u16) -> String {
        let place = place_of(number);
        let mut peers = String::new();
        for other in (0..PLACES.len()).filter(|other| *other != place) {
            let (name, journal) = (PLACES[other], self.journal_text(other));
            peers.push_str(&format!("[[peers]]\nplace = {name:?}\njournal = {journal}\n\n"));
        }
        let (host, journal) = (number + 1, self.journal_text(place));
        let certs = self.folder.join("certs");
        let (place_name, name_of_it) = (PLACES[place].to_owned(), name.to_owned());
        let node = CertNode { place: place_name, name: name_of_it, hosts: Vec::new() };
        let tls = cert::table(&certs, "antiphon", 30, node).expect("a certificate");
        format!(
            "journal = {journal}\nbind = '127.0.1.{host}:{port}'\nadvertised_host = '127.0.2.{host}'\n\
             http_bind = '127.0.1.{host}:0'\nlog = 'info'\n\n{peers}[node]\nname = {name:?}\n\
             place = {:?}\n{SETTINGS}\n{tls}",
            PLACES[place]
        )
    }

    fn journal_text(&self, place: usize) -> String {
        self.journals.text(&self.place_folder(place), PLACES[place]).expect("a journal")
    }

    fn file(&self, name: &str, ending: &str) -> PathBuf {
        self.folder.join(format!("{name}.{ending}"))
    }

    pub(crate) fn is_on_files(&self) -> bool {
        self.journals.file(&self.folder, PLACES[0]).is_some()
    }

    /// The folder of a place's journal; it may have a disk of its own.
    pub(crate) fn place_folder(&self, place: usize) -> PathBuf {
        self.folder.join(PLACES[place].to_lowercase())
    }

    pub(crate) fn journal_file(&self, place: usize) -> PathBuf {
        let file = self.journals.file(&self.place_folder(place), PLACES[place]);
        file.expect("a journal in a file")
    }

    /// The settings of a place's journal, for opening it.
    pub(crate) fn journal(&self, place: usize) -> Journal {
        self.journals.journal(&self.place_folder(place), PLACES[place]).expect("a journal")
    }

    fn spawn(&mut self, number: usize) {
        let name = self.nodes[number].name.clone();
        let mut log = std::fs::OpenOptions::new();
        let log = log.create(true).append(true).open(self.file(&name, "log")).expect("a log");
        let mut command = Command::new(antiphon_binary());
        // variables that a shell sets for a node of its own must not reach these nodes
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("ANTIPHON_") {
                command.env_remove(variable);
            }
        }
        let mut child = command
            .args(["node", "--exit-with-stdin", "--config"])
            .arg(self.file(&name, "toml"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .expect("the binary runs");
        self.network.process(number, child.id().expect("it has just started"));
        let http: Arc<Mutex<Option<String>>> = Arc::default();
        let (told, host) = (http.clone(), format!("127.0.1.{}", number + 1));
        let output = child.stdout.take().expect("it is piped");
        task::spawn("output of a node", async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let state: Value = serde_json::from_str(&line).unwrap_or_default();
                let port = state["http"].as_str().and_then(|address| address.rsplit(':').next());
                if let Some(port) = port {
                    let address = Some(format!("{host}:{port}"));
                    *told.lock() = address;
                }
            }
        });
        let node = &mut self.nodes[number];
        (node.child, node.http, node.is_held) = (Some(child), http, false);
        (node.starts, node.started) = (node.starts + 1, SystemClock.now());
    }

    /// Starts the nodes that have ended and are not held down. Returns their names.
    pub(crate) fn supervise(&mut self) -> Vec<String> {
        let mut started = Vec::new();
        for number in 0..self.nodes.len() {
            let node = &mut self.nodes[number];
            let has_ended =
                node.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            let is_due = SystemClock.now() - node.started > RESTART_AFTER;
            if has_ended && is_due && !node.is_held {
                started.push(node.name.clone());
                self.spawn(number);
            }
        }
        started
    }

    /// Kills a node with SIGKILL, and holds it down until [`Self::let_go`].
    pub(crate) async fn kill(&mut self, number: usize) {
        self.nodes[number].is_held = true;
        if let Some(mut child) = self.nodes[number].child.take() {
            let _ = child.kill().await;
        }
    }

    /// Lets a node start again.
    pub(crate) fn let_go(&mut self, number: usize) {
        self.nodes[number].is_held = false;
    }

    /// Sends a signal; `signal` is a name as `kill` takes it. Does nothing when the node has ended.
    pub(crate) async fn signal(&self, number: usize, signal: &str) {
        let process = self.nodes[number].child.as_ref().and_then(Child::id);
        let Some(process) = process else { return };
        let mut kill = Command::new("kill");
        kill.arg(format!("-{signal}")).arg(process.to_string()).stderr(Stdio::null());
        let _ = kill.status().await;
    }

    pub(crate) fn name(&self, number: usize) -> &str {
        &self.nodes[number].name
    }

    /// The HTTP interfaces of the nodes: number, place and address.
    pub(crate) fn addresses(&self) -> Vec<(usize, usize, String)> {
        let address = |(number, node): (usize, &Node)| {
            let address = node.http.lock().clone()?;
            Some((number, node.place, address))
        };
        self.nodes.iter().enumerate().filter_map(address).collect()
    }

    /// The number of process starts.
    pub(crate) fn starts(&self) -> u32 {
        self.nodes.iter().map(|node| node.starts).sum()
    }

    /// The last lines of a node's log.
    pub(crate) fn log_end(&self, number: usize, lines: usize) -> String {
        let text = std::fs::read_to_string(self.file(&self.nodes[number].name, "log"));
        let text = text.unwrap_or_default();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Ends all nodes in order; those that do not end in time are killed.
    pub(crate) async fn stop(&mut self) {
        for number in 0..self.nodes.len() {
            self.nodes[number].is_held = true;
            self.signal(number, "TERM").await;
        }
        let limit = Duration::from_secs(30);
        for number in 0..self.nodes.len() {
            if let Some(child) = &mut self.nodes[number].child {
                let _ = tokio::time::timeout(limit, child.wait()).await;
            }
            self.kill(number).await;
        }
    }
}
