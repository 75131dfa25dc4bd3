//! The command `demo` of an application that has none of its own: a cluster of this program.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::app::cluster::{LocalCluster, LocalClusterSettings, LocalJournals, NodeProcess};
use crate::app::config::Known;
use crate::app::output::{self, say};
use crate::prelude::*;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Longest time until a node is ready.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest time until a node has left; then it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// The time from the end of a node until it starts again.
const AWAY: Duration = Duration::from_secs(10);

/// The arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct PlacesArguments {
    /// The places, each with its own journal.
    #[arg(long, value_name = "NAME", default_values = ["DC-A", "DC-B"])]
    place: Vec<String>,
    /// Nodes of each place.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=20))]
    nodes: u8,
    /// A file whose text is added to the configuration of each node, for example the tables of the
    /// application.
    #[arg(long, value_name = "FILE")]
    extra: Option<PathBuf>,
    /// Links with certificates, which are made in the data directory.
    #[arg(long)]
    tls: bool,
    /// The folder for configurations, journals and logs; without it, a new folder that is deleted
    /// at the end.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

/// Runs the cluster until ctrl-c or SIGTERM; then the nodes leave in order. A node that ends
/// meanwhile starts again after [`AWAY`]. Returns whether all nodes started.
///
/// # Errors
/// Those of [`LocalCluster::start`]; `Rejected` when the file `extra` cannot be read.
pub(crate) async fn run(arguments: PlacesArguments, known: &Known) -> Result<bool> {
    let PlacesArguments { place, nodes, extra, tls, data_dir } = arguments;
    let cannot = |what: String, error: std::io::Error| Error::rejected(format!("{what}: {error}"));
    let extra = match &extra {
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| cannot(format!("--extra {}", file.display()), error))?,
        None => String::new(),
    };
    let made = tempfile::tempdir().map_err(|error| cannot("a folder".into(), error))?;
    let binary = std::env::current_exe();
    let settings = LocalClusterSettings {
        data_dir: data_dir.unwrap_or_else(|| made.path().to_owned()),
        replicas: place,
        nodes_per_replica: usize::from(nodes),
        journals: LocalJournals { stores: known.stores.clone(), ..LocalJournals::default() },
        tls,
        extra,
        binary: binary.map_err(|error| cannot("the file of this program".into(), error))?,
        start_timeout: START_TIMEOUT,
    };
    let cannot = |error| Error::bug(format!("signals cannot be received: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    // before the nodes start: none of their ends is overlooked
    let child = signal(SignalKind::child()).map_err(cannot)?;
    let mut cluster = tokio::select! {
        started = LocalCluster::start(settings) => started?,
        _ = interrupt.recv() => return Ok(false),
        _ = terminate.recv() => return Ok(false),
    };
    for node in cluster.nodes() {
        tell(node)?;
    }
    say!("ctrl-c ends all nodes; a node that ends starts again after {AWAY:?}")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        stopped = start_again(&mut cluster, child) => stopped?,
    }
    tokio::select! {
        () = cluster.stop(STOP_TIMEOUT) => {}
        // a second signal does not wait for the nodes
        _ = interrupt.recv() => cluster.kill_all().await,
        _ = terminate.recv() => cluster.kill_all().await,
    }
    output::complain(format_args!("all nodes are stopped"));
    Ok(true)
}

fn tell(node: &NodeProcess) -> Result<()> {
    let process = node.process_id().map_or_else(String::new, |id| format!(", process {id}"));
    say!("{} of {}: http://{}{process}", node.name, node.replica, node.http)
}

/// Starts each node again that has ended. Returns when one cannot, with its error.
async fn start_again(cluster: &mut LocalCluster, mut child: Signal) -> Result<()> {
    loop {
        for (name, status) in cluster.take_ended() {
            say!("{name} has ended ({status}); it starts again after {AWAY:?}")?;
            tokio::time::sleep(AWAY).await;
            cluster.restart(&name).await?;
            cluster.nodes().iter().filter(|node| node.name == name).try_for_each(tell)?;
        }
        child.recv().await;
    }
}
