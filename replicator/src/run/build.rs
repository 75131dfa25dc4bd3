//! Builds the parts of the subscriptions from a configuration.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::SystemClock;
use antiphon_cassandra::Role;
use antiphon_eventstore as es;
use antiphon_persistence::identity::ReplicaId;

use super::journals::{sink_journal, source_journal};
use crate::checkpoint::{CheckpointStore, DestinationCheckpoint, FileCheckpoint, MemoryCheckpoint};
use crate::config::{
    self, CheckpointKind, Config, ConsumerStrategy, Secret, ServerFilterBy, SinkKind, StartFrom,
    SubscriptionKind, SubscriptionSettings,
};
use crate::filter::Shaping;
use crate::health::{Board, Monitor, Subscription};
use crate::metrics::{Metrics, Summary, TimedSink};
use crate::park::ParkingLot;
use crate::pipeline::Neighbours;
use crate::sink::{
    EventStoreSink, EventStoreSinkSettings, JournalSink, JournalSinkSettings, NdjsonSink, NullSink,
    Sink,
};
use crate::source::{
    CatchUpSource, GroupSource, JournalSource, JournalSourceSettings, Source, Start, What,
};
use crate::stores_on_demand::StoresOnDemand;
use crate::subscription::Parts;
use crate::transform::{Hook, ShapingSink};
use crate::{Error, ErrorKind, Result};

/// Interval at which the source is asked for its newest event.
const HEAD_INTERVAL: Duration = Duration::from_secs(5);

/// A client of the source.
///
/// # Errors
/// `Rejected`, naming the setting, when the connection string cannot be used.
pub fn source_client(config: &Config) -> Result<es::EventStoreClient> {
    let text = &config.settings.source;
    client("Settings:SourceEventStoreConnectionString", text, "Ditto:Source", config)
}

/// A client of the destination.
///
/// # Errors
/// As [`source_client`].
pub fn destination_client(config: &Config) -> Result<es::EventStoreClient> {
    let text = &config.settings.destination;
    client("Settings:DestinationEventStoreConnectionString", text, "Ditto:Destination", config)
}

fn client(key: &str, text: &Secret, name: &str, config: &Config) -> Result<es::EventStoreClient> {
    let failed = |error: es::Error| {
        Error::rejected(format!("`{key}`: {}", crate::source::message(&error))).with_source(error)
    };
    let mut connection = es::ConnectionString::parse(text.expose()).map_err(failed)?;
    connection.connection_name.get_or_insert_with(|| name.to_owned());
    es::EventStoreClient::new(connection, config.client()).map_err(failed)
}

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
        all.push(parts(config, subscription, metrics, shaping.clone(), sink)?);
        if let Some(parts) = all.last() {
            board.add(parts.monitor.clone());
        }
    }
    Ok(all)
}

fn parts(
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
    let mixes_streams = sink.mixes_streams() && settings.work.when_blocked == Neighbours::GoOn;
    let mut pipeline = config.pipeline(subscription, mixes_streams);
    if subscription.kind == SubscriptionKind::Group {
        // the server sends at most its buffer: blocked events must leave room in it
        let buffer = usize::try_from(settings.buffer_size).unwrap_or(usize::MAX);
        pipeline.blocked_count_max = pipeline.blocked_count_max.min((buffer / 2).max(1));
    }
    if settings.read_only {
        pipeline.throttle = Duration::ZERO;
    }
    let parked_max = usize::try_from(settings.retry.parked_max).unwrap_or(usize::MAX);
    let parking = ParkingLot::new(&settings.retry.park_directory, &name, parked_max)?;
    Ok(Parts {
        source: source_of(config, subscription)?,
        sink,
        checkpoints: checkpoints(config, subscription, &name)?,
        parking: Arc::new(parking),
        shaping,
        monitor: Arc::new(monitor),
        clock: metrics.clock().clone(),
        pipeline,
        held_bytes_max: usize::try_from(settings.work.held_bytes_max).unwrap_or(usize::MAX),
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
            Arc::new(DestinationCheckpoint::new(destination_client(config)?, name))
        }
    })
}

/// The source of a subscription.
///
/// # Errors
/// `Rejected`, naming the setting.
pub fn source_of(config: &Config, subscription: &SubscriptionSettings) -> Result<Arc<dyn Source>> {
    let stream = subscription.subscribed_stream();
    let start = match subscription.start_from {
        StartFrom::Start => Start::Beginning,
        StartFrom::End => Start::End,
        StartFrom::Revision(revision) => Start::Revision(revision),
    };
    Ok(match subscription.kind {
        SubscriptionKind::Group => Arc::new(GroupSource::new(
            source_client(config)?,
            stream,
            &subscription.group_name,
            config.settings.buffer_size,
            subscription.group.create.then(|| group_settings(&subscription.group)),
        )),
        SubscriptionKind::Stream | SubscriptionKind::Category => {
            Arc::new(CatchUpSource::new(source_client(config)?, What::Stream(stream), start))
        }
        SubscriptionKind::All => {
            let what = What::All(server_filter(config, subscription));
            Arc::new(CatchUpSource::new(source_client(config)?, what, start))
        }
        SubscriptionKind::Journal => {
            let settings = JournalSourceSettings {
                entity_type: subscription.journal_entity_type.clone().unwrap_or_default(),
                replica: replica(&subscription.journal_replica)?,
                poll_interval: subscription.journal_poll_interval,
                change_count_max: usize::try_from(subscription.journal_changes_max)
                    .unwrap_or(usize::MAX),
            };
            Arc::new(JournalSource::new(source_journal(subscription)?, settings))
        }
    })
}

fn replica(name: &str) -> Result<ReplicaId> {
    if name.is_empty() { Ok(ReplicaId::empty()) } else { ReplicaId::new(name) }
}

/// The sink of the configuration under this name, for use beside a running replicator.
///
/// # Errors
/// `Rejected`, naming the setting; `Unavailable` when a file cannot be opened.
pub async fn sink_of(config: &Config, name: &str) -> Result<Arc<dyn Sink>> {
    let metrics = Metrics::new(Arc::new(SystemClock));
    let shaping = Arc::new(Shaping::new(&config.settings)?);
    let hook = Hook::new(&config.settings.transform, &config.settings.retry)?.map(Arc::new);
    let inner = Sinks::new(config, &metrics).await?.sink(name).await?;
    Ok(Arc::new(ShapingSink::new(shaping, hook, inner)))
}

fn server_filter(config: &Config, subscription: &SubscriptionSettings) -> es::Filter {
    let filter = &subscription.filter;
    match (&filter.regex, filter.by) {
        (Some(regex), ServerFilterBy::Stream) => es::Filter::StreamRegex(regex.clone()),
        (Some(regex), ServerFilterBy::Type) => es::Filter::TypeRegex(regex.clone()),
        (None, ServerFilterBy::Stream) if !filter.prefixes.is_empty() => {
            es::Filter::StreamPrefix(filter.prefixes.clone())
        }
        (None, ServerFilterBy::Type) if !filter.prefixes.is_empty() => {
            es::Filter::TypePrefix(filter.prefixes.clone())
        }
        // metadata and deletes have types with `$`, so only a filter by stream lets them pass
        (None, _) if filter.exclude_system && !config.settings.system_events => {
            let copies = config.settings.copy_stream_metadata || config.settings.copy_deletes;
            if copies {
                es::Filter::StreamRegex(r"^(\$\$)?[^$].*".to_owned())
            } else {
                es::Filter::TypeRegex(r"^[^$].*".to_owned())
            }
        }
        (None, _) => es::Filter::None,
    }
}

fn group_settings(group: &config::GroupSettings) -> es::GroupSettings {
    let (from, from_position) = match group.start_from {
        StartFrom::Start => (es::ReadFrom::Start, es::ReadFrom::Start),
        StartFrom::End => (es::ReadFrom::End, es::ReadFrom::End),
        StartFrom::Revision(revision) => (es::ReadFrom::At(revision), es::ReadFrom::Start),
    };
    es::GroupSettings {
        resolve_links: true,
        from,
        from_position,
        max_retry_count: group.max_retry_count,
        message_timeout: group.message_timeout,
        checkpoint_after: group.checkpoint_after,
        strategy: match group.strategy {
            ConsumerStrategy::Pinned => es::ConsumerStrategy::Pinned,
            ConsumerStrategy::RoundRobin => es::ConsumerStrategy::RoundRobin,
            ConsumerStrategy::DispatchToSingle => es::ConsumerStrategy::DispatchToSingle,
        },
        ..es::GroupSettings::default()
    }
}

/// The parts that the sinks of all subscriptions share.
enum Sinks {
    Nothing,
    EventStore(es::EventStoreClient, EventStoreSinkSettings, Summary),
    /// A journal, and the timeout of an append.
    Journal(StoresOnDemand, Duration),
    Shared(Arc<dyn Sink>),
}

impl Sinks {
    async fn new(config: &Config, metrics: &Metrics) -> Result<Self> {
        if config.settings.read_only || config.settings.dry_run {
            return Ok(Self::Nothing);
        }
        Ok(match config.sink() {
            SinkKind::EventStore => {
                let duration = TimedSink::summary(metrics);
                Self::EventStore(destination_client(config)?, config.event_store_sink(), duration)
            }
            SinkKind::Ndjson => {
                let path = config.settings.ndjson_path.clone().unwrap_or_default();
                Self::Shared(Arc::new(NdjsonSink::open(path)?))
            }
            SinkKind::Journal => {
                let stores = sink_journal(config, Role::Owner)?;
                Self::Journal(stores, config.settings.work.write_timeout)
            }
            SinkKind::Kinesis => Self::Shared(kinesis(config, metrics).await?),
        })
    }

    /// The sink of one subscription. Its writer, and its memory of streams, are its own.
    async fn sink(&self, name: &str) -> Result<Arc<dyn Sink>> {
        Ok(match self {
            Self::Nothing => Arc::new(NullSink),
            Self::EventStore(client, settings, duration) => {
                let sink = Arc::new(EventStoreSink::new(client.clone(), settings.clone()));
                Arc::new(TimedSink::new(sink, duration.clone()))
            }
            Self::Journal(stores, write_timeout) => {
                let name = name.to_owned();
                let settings = JournalSinkSettings { name, write_timeout: *write_timeout };
                let sink = JournalSink::new(stores.clone(), settings);
                match sink.take_over().await {
                    Ok(()) => {}
                    Err(error)
                        if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) =>
                    {
                        tracing::warn!(%error, "the journal of the sink is away, and tried again");
                    }
                    // missing tables, for example: later writes would fail in the same way
                    Err(error) => return Err(error),
                }
                Arc::new(sink)
            }
            Self::Shared(sink) => sink.clone(),
        })
    }
}

#[cfg(feature = "kinesis")]
async fn kinesis(config: &Config, metrics: &Metrics) -> Result<Arc<dyn Sink>> {
    let client = crate::kinesis::connect(&config.aws, |name| std::env::var(name).ok()).await;
    let settings =
        crate::kinesis::KinesisSinkSettings::new(&config.kinesis, &config.settings.retry);
    let stream = config.kinesis.stream_name.clone().unwrap_or_default();
    let duration = metrics.io("kinesis", &stream, "put_record");
    let clock = metrics.clock().clone();
    Ok(Arc::new(crate::kinesis::KinesisSink::new(client, settings, clock, duration)))
}

#[cfg(not(feature = "kinesis"))]
async fn kinesis(_config: &Config, _metrics: &Metrics) -> Result<Arc<dyn Sink>> {
    Err(Error::rejected(
        "`Settings:Sink`: this program was built without Kinesis: build it with the cargo feature `kinesis`",
    ))
}
