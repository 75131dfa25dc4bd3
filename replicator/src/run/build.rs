//! Builds the parts of the subscriptions from a configuration.

use std::sync::Arc;
use std::time::Duration;

use super::clients::destination_client;
use super::sinks::Sinks;
use super::sources::source_of;
use crate::Result;
use crate::checkpoint::{CheckpointStore, DestinationCheckpoint, FileCheckpoint, MemoryCheckpoint};
use crate::config::{CheckpointKind, Config, SubscriptionKind, SubscriptionSettings};
use crate::filter::Shaping;
use crate::health::{Board, Monitor, Subscription};
use crate::metrics::Metrics;
use crate::park::ParkingLot;
use crate::pipeline::Neighbours;
use crate::sink::Sink;
use crate::subscription::Parts;
use crate::transform::{Hook, ShapingSink};

/// Interval at which the source is asked for its newest event.
const HEAD_INTERVAL: Duration = Duration::from_secs(5);

pub(super) async fn all_parts(
    config: &Config,
    metrics: &Metrics,
    board: &Arc<Board>,
) -> Result<Vec<Parts>> {
    let shaping = Arc::new(Shaping::new(&config.settings)?);
    let hook = Hook::new(&config.settings.transform, &config.settings.retry)?.map(Arc::new);
    let sinks = Sinks::new(config, metrics).await?;
    let mut all = Vec::with_capacity(config.settings.subscriptions.len());
    for subscription in &config.settings.subscriptions {
        let inner = sinks.sink(&subscription.display_name()).await?;
        let sink = Arc::new(ShapingSink::new(shaping.clone(), hook.clone(), inner));
        all.push(parts(config, subscription, metrics, shaping.clone(), sink).await?);
        if let Some(parts) = all.last() {
            board.add(parts.monitor.clone());
        }
    }
    Ok(all)
}

async fn parts(
    config: &Config,
    subscription: &SubscriptionSettings,
    metrics: &Metrics,
    shaping: Arc<Shaping>,
    sink: Arc<dyn Sink>,
) -> Result<Parts> {
    let settings = &config.settings;
    let name = subscription.display_name();
    let monitor = Monitor::new(
        Subscription::new(subscription),
        config.sink(),
        metrics,
        config.health.stall_time,
    );
    // in a mixed write the other streams continue before the failure of one is known
    let mixes_streams = sink.mixes_streams() && settings.pipeline.neighbours == Neighbours::GoOn;
    let mut pipeline = config.pipeline(subscription, mixes_streams);
    if subscription.kind == SubscriptionKind::Group {
        // the server sends at most its buffer: blocked events must leave room in it
        let buffer = usize::try_from(settings.buffer_size).unwrap_or(usize::MAX);
        pipeline.blocked_count_max = pipeline.blocked_count_max.min((buffer / 2).max(1));
    }
    if settings.read_only {
        pipeline.throttle = Duration::ZERO;
    }
    let retry = &settings.retry;
    let parking = match settings.dry_run {
        true => ParkingLot::of_nothing(),
        false => ParkingLot::new(&retry.park_directory, &name, retry.parked_max)?,
    };
    Ok(Parts {
        source: source_of(config, subscription).await?,
        sink,
        checkpoints: checkpoints(config, subscription, &name)?,
        parking: Arc::new(parking),
        shaping,
        monitor: Arc::new(monitor),
        clock: metrics.clock().clone(),
        pipeline,
        held_bytes_max: settings.held_bytes_max,
        head_interval: HEAD_INTERVAL,
        run_once: settings.run_once,
        settles_nothing: settings.dry_run,
    })
}

fn checkpoints(
    config: &Config,
    subscription: &SubscriptionSettings,
    name: &str,
) -> Result<Arc<dyn CheckpointStore>> {
    if config.settings.dry_run || subscription.kind == SubscriptionKind::Group {
        return Ok(Arc::new(MemoryCheckpoint::default()));
    }
    Ok(match config.settings.checkpoint.kind {
        CheckpointKind::File => {
            Arc::new(FileCheckpoint::new(&config.settings.checkpoint.directory, name)?)
        }
        CheckpointKind::Destination => {
            let subscriptions = config.settings.subscriptions.iter();
            let names: Vec<String> = subscriptions.map(|one| one.display_name()).collect();
            Arc::new(DestinationCheckpoint::new(destination_client(config)?, name, &names))
        }
    })
}
