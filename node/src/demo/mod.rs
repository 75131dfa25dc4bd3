//! The demo: a real cluster on this machine, and a table of the results.
//!
//! - `arguments`: the arguments, and their check;
//! - `feed`: bids over HTTP to all places at once;
//! - `failover`: kills a node and watches one of its entities;
//! - `verify`: the checks of the journals;
//! - `figures`: the figures from the nodes' metrics;
//! - `report`: the table;
//! - `places`: the nodes and journals that the demo talks to;
//! - `attach`: the same on a cluster that another program runs, and breaks.

/// Prints one line as [`println!`] does, and returns `Result<()>`.
macro_rules! say {
    ($($text:tt)*) => {
        antiphon::app::output::print(format_args!("{}\n", format_args!($($text)*)))
    };
}

mod arguments;
mod attach;
mod failover;
mod feed;
mod figures;
mod places;
mod report;
mod server;
mod verify;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use antiphon::persistence::store::Registry;
use antiphon::prelude::*;
use antiphon_auction::{Bids, RecordedBid, recorded};

use antiphon::app::cluster::{LocalCluster, LocalClusterSettings};
use antiphon::app::output;
pub use arguments::DemoArguments;
use arguments::check;
use feed::Feed;
use figures::Watch;
use places::Places;
use report::Report;
use server::Server;

/// Default bids a second: a load that the nodes bear with ease, so that the table shows latencies
/// and no queues.
const PACE: u32 = 1000;

/// Runs the demo on one of these kinds of stores. Returns whether all checks hold.
///
/// # Errors
/// The error of a cluster that cannot be started or asked.
pub async fn demo(arguments: DemoArguments, stores: Registry) -> Result<bool> {
    let interrupted = tokio::signal::ctrl_c();
    if !arguments.attach.is_empty() {
        return attach::run(&arguments, &stores).await;
    }
    tokio::select! {
        outcome = run(arguments, stores) => outcome,
        _ = interrupted => {
            // the future above owns the cluster; its drop kills the nodes
            output::complain(format_args!("\ninterrupted: all nodes are stopped"));
            Ok(false)
        }
    }
}

fn bids(arguments: &DemoArguments) -> Vec<RecordedBid> {
    let recorded_count = Bids::RECORDED.count;
    match (arguments.seed, arguments.bids) {
        (None, None) => recorded(),
        (None, Some(count)) if count <= recorded_count => {
            recorded().into_iter().take(count).collect()
        }
        (seed, count) => Bids {
            seed: seed.unwrap_or(Bids::RECORDED.seed),
            count: count.unwrap_or(recorded_count),
            ..Bids::RECORDED
        }
        .generate(),
    }
}

async fn run(arguments: DemoArguments, stores: Registry) -> Result<bool> {
    check(&arguments, &stores)?;
    let data_dir = data_dir(&arguments)?;
    let letters = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L"];
    let replicas: Vec<String> =
        letters[..arguments.replicas].iter().map(|letter| format!("DC-{letter}")).collect();
    say!(
        "starting {} nodes of {} in {}",
        replicas.len() * arguments.nodes_per_replica,
        replicas.join(", "),
        data_dir.display()
    )?;
    let binary = std::env::current_exe()
        .map_err(|error| Error::bug(format!("the path of this program: {error}")))?;
    let server = Server::start(&arguments, stores, &data_dir).await?;
    let mut cluster = LocalCluster::start(LocalClusterSettings {
        journals: server.journals.clone(),
        data_dir,
        replicas: replicas.clone(),
        nodes_per_replica: arguments.nodes_per_replica,
        tls: arguments.tls,
        extra: String::new(),
        binary,
        start_timeout: Duration::from_secs(30),
    })
    .await?;
    let places = Places::of(&cluster, &replicas)?;
    verify::wait_ready(&places, Duration::from_secs(30)).await?;

    let bids = Arc::new(bids(&arguments));
    let feed = Feed::start(&places, bids.clone(), arguments.pace.unwrap_or(PACE));
    let (mut watch, mut stages) = (Watch::default(), Vec::new());
    feed.progress_until(0.5).await?;
    // the counters of a process are lost with it, so they are read before the kill
    stages.push(feed.stage("all nodes up", &stages, &watch.look(&places).await?));
    let victim = failover::victim(&cluster, &replicas);
    let failed_over = Some(failover::kill_and_watch(&mut cluster, &victim).await?);
    feed.progress_until(0.75).await?;
    let places = Places::of(&cluster, &replicas)?;
    feed.answered().await;
    let figures = watch.look_until_calm(&places).await?;
    stages.push(feed.stage(&format!("{victim} killed"), &stages, &figures));
    cluster.restart(&victim).await?;
    say!("{victim} is back")?;
    let places = Places::of(&cluster, &replicas)?;
    feed.replace(&places);
    feed.progress_until(1.0).await?;
    let figures = watch.look_until_calm(&places).await?;
    stages.push(feed.stage(&format!("{victim} back"), &stages, &figures));
    let outcome = feed.ended().await;

    let converged = verify::converged(&places, &bids, Duration::from_secs(90)).await?;
    let journals = verify::journals(&places, &outcome.acknowledged).await?;
    let report = Report { outcome, failed_over, stages, converged, journals };
    report.print()?;
    if arguments.keep {
        keep(&cluster).await?;
    }
    cluster.stop(Duration::from_secs(20)).await;
    drop(server);
    Ok(report.is_good())
}

fn data_dir(arguments: &DemoArguments) -> Result<PathBuf> {
    if let Some(path) = &arguments.data_dir {
        let has_journals = std::fs::read_dir(path).is_ok_and(|entries| {
            entries.flatten().any(|entry| entry.path().extension().is_some_and(|e| e == "db"))
        });
        if has_journals {
            return Err(Error::rejected(format!(
                "`--data-dir` {}: expected a directory without journals: the table counts what this run writes",
                path.display()
            )));
        }
        return Ok(path.clone());
    }
    let made = tempfile::Builder::new().prefix("antiphon-demo-").tempdir();
    let made = made.map_err(|error| Error::rejected(format!("no temporary directory: {error}")))?;
    Ok(made.keep())
}

async fn keep(cluster: &LocalCluster) -> Result<()> {
    say!("\nThe cluster stays up until ctrl-c. For example:\n")?;
    for node in cluster.nodes() {
        say!("  {:<8} http://{}", node.name, node.http)?;
    }
    let (first, last) = (&cluster.nodes()[0], &cluster.nodes()[cluster.nodes().len() - 1]);
    say!("\n  curl http://{}/entities/auction/a-1", first.http)?;
    say!(
        "  curl --json '{{\"add\": 1}}' -H 'antiphon-replica: {}' http://{}/entities/counter/c-1",
        last.replica,
        first.http
    )?;
    say!("  curl http://{}/entities/counter/c-1", first.http)?;
    say!("  curl http://{}/cluster", first.http)?;
    say!("  curl http://{}/metrics", first.http)?;
    std::future::pending().await
}
