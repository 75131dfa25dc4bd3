//! Starts node processes on this machine: for the demo, and for tests with real processes.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use crate::Journal;
use crate::prelude::*;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::app::commands::cert::{self, CertNode};

mod journals;

pub use journals::LocalJournals;

/// The settings of a cluster on this machine.
#[derive(Debug, Clone)]
pub struct LocalClusterSettings {
    /// The folder for configurations, journals and logs.
    pub data_dir: PathBuf,
    /// The places.
    pub replicas: Vec<String>,
    /// Nodes of each place.
    pub nodes_per_replica: usize,
    /// The kind of store of the journals, and the server that has them.
    pub journals: LocalJournals,
    /// True for links with certificates, which are made in the data directory.
    pub tls: bool,
    /// TOML that is added to each configuration, for example `[sharding]` with its keys.
    pub extra: String,
    /// The `antiphon` binary.
    pub binary: PathBuf,
    /// Longest time until a node is ready; also the `start_timeout` of each node.
    pub start_timeout: Duration,
}

/// A node process.
#[derive(Debug)]
pub struct NodeProcess {
    /// The name of the node.
    pub name: String,
    /// The place of the node.
    pub replica: String,
    /// The HTTP address of the node.
    pub http: String,
    /// The id of the node, with the incarnation.
    pub id: String,
    /// The address of the link port of the node.
    pub links: String,
    child: Option<Child>,
    // kept open, so that the node can write to it
    _stdout: Option<Lines<BufReader<ChildStdout>>>,
}

/// A cluster of node processes. The drop of this value kills them; they also end by themselves when
/// this process ends.
#[derive(Debug)]
pub struct LocalCluster {
    settings: LocalClusterSettings,
    nodes: Vec<NodeProcess>,
}

impl LocalCluster {
    /// Writes the configurations and starts all nodes.
    ///
    /// # Errors
    /// `Rejected` when the data directory cannot be written; `Unavailable`, with the end of the
    /// log, when a node does not become ready.
    pub async fn start(settings: LocalClusterSettings) -> Result<Self> {
        std::fs::create_dir_all(&settings.data_dir).map_err(|error| {
            Error::rejected(format!(
                "data directory {}: cannot be made: {error}: choose one that can be written with --data-dir",
                settings.data_dir.display()
            ))
        })?;
        let mut cluster = Self { nodes: Vec::new(), settings };
        if let Some(first) = cluster.settings.replicas.first() {
            let journal = cluster.journal(first)?;
            // a store that makes its tables itself has no schema
            if journal.schema().is_ok() {
                journal.apply_schema().await?;
            }
        }
        let mut names = Vec::new();
        for number in 1..=cluster.settings.nodes_per_replica {
            for replica in cluster.settings.replicas.clone() {
                names.push((format!("{}-{number}", replica.to_lowercase()), replica));
            }
        }
        for (name, replica) in &names {
            cluster.configure(name, replica)?;
            let process = cluster.spawn(name, replica)?;
            cluster.nodes.push(process);
        }
        for index in 0..cluster.nodes.len() {
            cluster.wait_ready(index).await?;
        }
        Ok(cluster)
    }

    /// All nodes, also the killed ones.
    pub fn nodes(&self) -> &[NodeProcess] {
        &self.nodes
    }

    /// The settings of a place's journal, for opening it.
    ///
    /// # Errors
    /// As [`LocalJournals::journal`].
    pub fn journal(&self, replica: &str) -> Result<Journal> {
        self.settings.journals.journal(&self.settings.data_dir, replica)
    }

    /// The file of a place's journal, for a kind of store with a file.
    pub fn journal_file(&self, replica: &str) -> PathBuf {
        self.settings.journals.file(&self.settings.data_dir, replica).unwrap_or_default()
    }

    fn journal_text(&self, replica: &str) -> Result<String> {
        self.settings.journals.text(&self.settings.data_dir, replica)
    }

    /// The log of a node.
    pub fn log(&self, name: &str) -> PathBuf {
        self.settings.data_dir.join(format!("{name}.log"))
    }

    /// The configuration of a node. A change counts from the next start of the node.
    pub fn config(&self, name: &str) -> PathBuf {
        self.settings.data_dir.join(format!("{name}.toml"))
    }

    fn configure(&self, name: &str, replica: &str) -> Result<()> {
        let mut peers = String::new();
        for other in self.settings.replicas.iter().filter(|other| *other != replica) {
            let journal = self.journal_text(other)?;
            peers.push_str(&format!("[[peers]]\nplace = {other:?}\njournal = {journal}\n\n"));
        }
        let tls = self.tls(name, replica)?;
        let text = format!(
            "journal = {}\nbind = \"127.0.0.1:0\"\nhttp_bind = \"127.0.0.1:0\"\nlog = \"info\"\nstart_timeout = \"{}ms\"\nrejoin_after = \"0s\"\n\n{peers}[node]\nname = {name:?}\nplace = {replica:?}\n\n{}\n{tls}",
            self.journal_text(replica)?,
            self.settings.start_timeout.as_millis(),
            self.settings.extra
        );
        write(&self.config(name), &text)
    }

    /// Makes the certificate of a node, and returns the table that names its files.
    fn tls(&self, name: &str, replica: &str) -> Result<String> {
        if !self.settings.tls {
            return Ok(String::new());
        }
        let (place, name) = (replica.to_owned(), name.to_owned());
        let node = CertNode { place, name, hosts: Vec::new() };
        cert::table(&self.settings.data_dir.join("certs"), "antiphon", 30, node)
    }

    fn spawn(&self, name: &str, replica: &str) -> Result<NodeProcess> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log(name));
        let cannot = |error: std::io::Error| {
            Error::unavailable(format!("node {name}: cannot start: {error}"))
        };
        let mut child = Command::new(&self.settings.binary)
            .arg("node")
            .arg("--config")
            .arg(self.config(name))
            .arg("--exit-with-stdin")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.map_err(cannot)?)
            // ctrl-c goes to this process only, which ends its nodes in order
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(cannot)?;
        let stdout = child.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        Ok(NodeProcess {
            name: name.to_owned(),
            replica: replica.to_owned(),
            http: String::new(),
            id: String::new(),
            links: String::new(),
            child: Some(child),
            _stdout: stdout,
        })
    }

    async fn wait_ready(&mut self, index: usize) -> Result<()> {
        while !self.read_state(index).await? {}
        Ok(())
    }

    /// Reads the next line that the node prints about its state; returns whether the node is ready.
    async fn read_state(&mut self, index: usize) -> Result<bool> {
        let limit = self.settings.start_timeout;
        let log = self.log(&self.nodes[index].name);
        let node = &mut self.nodes[index];
        let Some(lines) = &mut node._stdout else {
            return Err(Error::bug("a node without an output"));
        };
        let line = tokio::time::timeout(limit, lines.next_line()).await;
        let state: Option<Value> = match line {
            Ok(Ok(Some(line))) => serde_json::from_str(&line).ok(),
            Ok(Ok(None) | Err(_)) | Err(_) => None,
        };
        let Some(state) = state else {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let end = lines[lines.len().saturating_sub(10)..].join("\n");
            return Err(Error::unavailable(format!(
                "node {} is not ready within {limit:?}; the end of {}:\n{end}",
                node.name,
                log.display()
            )));
        };
        node.http = state["http"].as_str().unwrap_or_default().to_owned();
        node.id = state["node"].as_str().unwrap_or_default().to_owned();
        node.links = state["address"].as_str().unwrap_or_default().to_owned();
        Ok(state["ready"] == true)
    }

    /// Kills a node with SIGKILL and waits for its end.
    ///
    /// # Errors
    /// `Bug` when there is no such node.
    pub async fn kill(&mut self, name: &str) -> Result<()> {
        let index = self.index(name)?;
        if let Some(mut child) = self.nodes[index].child.take() {
            let _ = child.kill().await;
        }
        Ok(())
    }

    /// Starts a node that was killed, or has ended, and waits until it is ready.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn restart(&mut self, name: &str) -> Result<()> {
        self.begin_restart(name).await?;
        self.ready(name).await
    }

    /// The same, but waits only until the node answers over HTTP.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn begin_restart(&mut self, name: &str) -> Result<()> {
        let index = self.index(name)?;
        let replica = self.nodes[index].replica.clone();
        self.nodes[index] = self.spawn(name, &replica)?;
        self.read_state(index).await.map(drop)
    }

    /// Waits until a node is ready after [`Self::begin_restart`], or after it has begun again by
    /// itself.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn ready(&mut self, name: &str) -> Result<()> {
        let index = self.index(name)?;
        self.wait_ready(index).await
    }

    /// Sends a signal to a node; `signal` is a name as `kill` takes it.
    ///
    /// # Errors
    /// `Unavailable` when there is no such process.
    pub async fn signal(&self, name: &str, signal: &str) -> Result<()> {
        let node = &self.nodes[self.index(name)?];
        let id = node
            .child
            .as_ref()
            .and_then(Child::id)
            .ok_or_else(|| Error::unavailable(format!("node {name} is not there")))?;
        let sent =
            Command::new("kill").arg(format!("-{signal}")).arg(id.to_string()).status().await;
        match sent {
            Ok(status) if status.success() => Ok(()),
            other => Err(Error::unavailable(format!("kill -{signal} of {name}: {other:?}"))),
        }
    }

    /// Waits for the end of a node that got a signal to end. Returns whether it ended without an
    /// error.
    ///
    /// # Errors
    /// `Timeout` when the node does not end.
    pub async fn ended(&mut self, name: &str, limit: Duration) -> Result<bool> {
        let index = self.index(name)?;
        let Some(child) = &mut self.nodes[index].child else { return Ok(true) };
        // `wait` closes the standard input, which would end the node
        let stdin = child.stdin.take();
        let status = tokio::time::timeout(limit, child.wait()).await;
        child.stdin = stdin;
        let status = status
            .map_err(|_| Error::timeout(format!("node {name} has not ended in {limit:?}")))?;
        self.nodes[index].child = None;
        Ok(status.is_ok_and(|status| status.success()))
    }

    /// The nodes that have ended since the last call, and how; it does not wait.
    pub fn take_ended(&mut self) -> Vec<(String, ExitStatus)> {
        let mut ended = Vec::new();
        for node in &mut self.nodes {
            let Some(child) = &mut node.child else { continue };
            if let Ok(Some(status)) = child.try_wait() {
                node.child = None;
                ended.push((node.name.clone(), status));
            }
        }
        ended
    }

    /// Ends all nodes: SIGTERM, and SIGKILL for nodes that do not end in time.
    pub async fn stop(&mut self, limit: Duration) {
        let names: Vec<String> = self.nodes.iter().map(|node| node.name.clone()).collect();
        for name in &names {
            let _ = self.signal(name, "TERM").await;
        }
        for name in &names {
            if self.ended(name, limit).await.is_err() {
                let _ = self.kill(name).await;
            }
        }
    }

    /// Kills all nodes.
    pub async fn kill_all(&mut self) {
        let names: Vec<String> = self.nodes.iter().map(|node| node.name.clone()).collect();
        for name in names {
            let _ = self.kill(&name).await;
        }
    }

    fn index(&self, name: &str) -> Result<usize> {
        let index = self.nodes.iter().position(|node| node.name == name);
        index.ok_or_else(|| Error::bug(format!("no node {name}")))
    }
}

impl NodeProcess {
    /// Returns whether the process was started and not killed.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// The process id.
    pub fn process_id(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| {
        Error::rejected(format!(
            "{}: cannot be written: {error}: choose a data directory that can be written",
            path.display()
        ))
    })
}
