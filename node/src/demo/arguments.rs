//! The arguments of the demo, and their check.

use std::path::PathBuf;

use antiphon::persistence::store::Registry;
use antiphon::prelude::*;
use clap::Args;

use antiphon::app::client::AccessArguments;

/// The arguments of the demo.
#[derive(Debug, Clone, Args)]
pub struct DemoArguments {
    /// Folder for configurations, journals and logs; by default a new temporary directory, which
    /// stays.
    #[arg(long)]
    pub(super) data_dir: Option<PathBuf>,
    /// Seed of another stream of bids; by default the recorded stream.
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Number of bids; by default all of the recorded stream.
    #[arg(long)]
    pub(super) bids: Option<usize>,
    /// Nodes of each replica.
    #[arg(long, default_value_t = 2)]
    pub(super) nodes_per_replica: usize,
    /// The kind of store of the journals; by default files.
    #[arg(long, value_name = "KIND")]
    pub(super) journal: Option<String>,
    /// Servers that run, for a kind of store with servers: `host:port`, separated by commas; by
    /// default the demo starts one.
    #[arg(long, value_delimiter = ',')]
    pub(super) contact_points: Vec<String>,
    /// Number of replicas.
    #[arg(long, default_value_t = 2)]
    pub(super) replicas: usize,
    /// Encrypts the links between the nodes, with certificates that are made for this run.
    #[arg(long)]
    pub(super) tls: bool,
    /// Leaves the cluster running at the end, until ctrl-c.
    #[arg(long)]
    pub(super) keep: bool,
    /// Starts no node: sends bids to a running place, given by the configuration of its nodes and
    /// their HTTP addresses, `FILE=HOST:PORT,HOST:PORT`; once for each place. With `--stage`.
    #[arg(long, value_name = "FILE=HOST:PORT,..", requires = "stage")]
    #[arg(conflicts_with_all = ["data_dir", "nodes_per_replica", "journal", "contact_points", "replicas", "tls", "keep"])]
    pub(super) attach: Vec<String>,
    /// Name of a stage of the attached places, during which the bids go on, until SIGUSR1; once for
    /// each stage, in order. After the last stage the bids end, and the checks begin.
    #[arg(long, value_name = "TEXT", requires = "attach")]
    pub(super) stage: Vec<String>,
    /// Bids a second; by default 1000, and 100 to attached places.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) pace: Option<u32>,
    /// The access to attached places.
    #[command(flatten)]
    pub(super) access: AccessArguments,
}

/// Checks the arguments of a demo that starts its nodes itself.
///
/// # Errors
/// `Rejected`, naming the argument and what was expected.
pub(super) fn check(arguments: &DemoArguments, stores: &Registry) -> Result<()> {
    if let Some(kind) = &arguments.journal {
        let found = stores.find(kind);
        found.map_err(|error| Error::rejected(format!("`--journal`: {error}")))?;
    }
    if !(1..=12).contains(&arguments.replicas) {
        let actual = arguments.replicas;
        return Err(Error::rejected(format!("`--replicas`: expected 1 to 12, actual {actual}")));
    }
    if !(2..=8).contains(&arguments.nodes_per_replica) {
        return Err(Error::rejected(format!(
            "`--nodes-per-replica`: expected 2 to 8, since one is killed, actual {}",
            arguments.nodes_per_replica
        )));
    }
    if arguments.bids == Some(0) {
        return Err(Error::rejected("`--bids`: expected at least 1, actual 0"));
    }
    if arguments.access != AccessArguments::default() {
        return Err(Error::rejected(
            "`--ca-file`, `--token-file`, `--cert-file`: expected with `--attach` only",
        ));
    }
    Ok(())
}
