//! The demo on a cluster that another program runs: `deploy/demo.sh` does so, with containers.
//!
//! The bids go on at an even pace through all stages, also while a place is down. The program that
//! breaks and repairs the places reads on this standard output which stage has begun, and sends
//! SIGUSR1 when the stage is over:
//!
//! ```text
//! stage begins: the places are cut
//!                                          <- SIGUSR1
//! stage ended: the places are cut: 800 bids, 0 repeated, 187 auctions apart,
//!   longest answer DC-A 12.1ms, DC-B 9.8ms                  (one line)
//! ```
//!
//! Each stage must have had bids, else the checks fail.

use std::sync::Arc;
use std::time::Duration;

use antiphon::persistence::store::Registry;
use antiphon::prelude::*;
use antiphon_auction::Bids;
use tokio::signal::unix::{SignalKind, signal};

use super::arguments::DemoArguments;
use super::feed::{Feed, Stage};
use super::figures::Watch;
use super::places::Places;
use super::report::Report;
use super::verify;

/// Default number of bids: enough for half an hour at the default pace.
const BIDS: usize = 180_000;
/// Default bids a second.
const PACE: u32 = 100;
/// Longest time until the places are ready, and until they agree after the last bid.
const LIMIT: Duration = Duration::from_secs(120);

/// Sends bids through all stages. Returns whether all checks hold.
///
/// # Errors
/// `Rejected` when an argument is wrong, `Timeout` when the places do not become ready,
/// `Unavailable` when a node does not answer at the end of a stage.
pub(super) async fn run(arguments: &DemoArguments, stores: &Registry) -> Result<bool> {
    let cannot = |error: std::io::Error| Error::bug(format!("signals cannot be received: {error}"));
    let mut over = signal(SignalKind::user_defined1()).map_err(cannot)?;
    let places = Places::attach(&arguments.attach, arguments.access.read()?, stores)?;
    verify::wait_ready(&places, LIMIT).await?;

    let settings = Bids {
        seed: arguments.seed.unwrap_or(Bids::RECORDED.seed),
        count: arguments.bids.unwrap_or(BIDS),
        ..Bids::RECORDED
    };
    let bids = Arc::new(settings.generate());
    let feed = Feed::start(&places, bids.clone(), arguments.pace.unwrap_or(PACE));
    let mut watch = Watch::default();
    let mut stages: Vec<Stage> = Vec::new();
    for name in &arguments.stage {
        say!("stage begins: {name}")?;
        over.recv().await;
        let figures = watch.look(&places).await?;
        let stage = feed.stage(name, &stages, &figures);
        let apart = verify::apart(&places, &bids).await?;
        say!("stage ended: {name}: {}", line(&stage, apart))?;
        stages.push(stage);
    }
    let outcome = feed.stop().await;

    let converged = verify::converged(&places, &bids, LIMIT).await?;
    let journals = verify::journals(&places, &outcome.acknowledged).await?;
    let report = Report { outcome, failed_over: None, stages, converged, journals };
    report.print()?;
    Ok(report.is_good())
}

fn line(stage: &Stage, apart: usize) -> String {
    let longest: Vec<String> =
        stage.longest.iter().map(|(replica, took)| format!("{replica} {took:.1?}")).collect();
    format!(
        "{} bids, {} repeated, {apart} auctions apart, longest answer {}",
        stage.bids,
        stage.retries,
        longest.join(", ")
    )
}
