//! The sinks of a configuration.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::SystemClock;
use antiphon_eventstore as es;
use antiphon_persistence::store::{DeferredStores, Role};

use super::clients::{destination_client, source_client};
use super::journals::sink_journal;
use crate::config::{Config, SinkKind, SubscriptionKind, SubscriptionSettings};
use crate::filter::Shaping;
use crate::metrics::{Metrics, Summary, TimedSink};
use crate::sink::{
    EventStoreSink, EventStoreSinkSettings, JournalSink, JournalSinkSettings, NdjsonSink, NullSink,
    Origin, Sink,
};
use crate::transform::{Hook, ShapingSink};
use crate::{ErrorKind, Result};

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

/// The parts that the sinks of all subscriptions share.
pub(super) enum Sinks {
    Nothing,
    EventStore(es::EventStoreClient, EventStoreSinkSettings, Option<Origin>, Summary),
    /// A journal, and the timeout of an append.
    Journal(DeferredStores, Duration),
    Shared(Arc<dyn Sink>),
}

impl Sinks {
    pub(super) async fn new(config: &Config, metrics: &Metrics) -> Result<Self> {
        if config.settings.read_only || config.settings.dry_run {
            return Ok(Self::Nothing);
        }
        Ok(match config.sink() {
            SinkKind::EventStore => {
                let duration = TimedSink::summary(metrics);
                let (client, settings) = (destination_client(config)?, config.event_store_sink());
                Self::EventStore(client, settings, origin(config)?, duration)
            }
            SinkKind::Ndjson => {
                let path = config.settings.ndjson_path.clone().unwrap_or_default();
                Self::Shared(Arc::new(NdjsonSink::open(path)?))
            }
            SinkKind::Journal => {
                let stores = sink_journal(config, Role::Owner).await?;
                Self::Journal(stores, config.settings.write_timeout)
            }
            SinkKind::Kinesis => Self::Shared(kinesis(config, metrics).await?),
        })
    }

    /// The sink of one subscription. Its writer, and its memory of streams, are its own.
    pub(super) async fn sink(&self, name: &str) -> Result<Arc<dyn Sink>> {
        Ok(match self {
            Self::Nothing => Arc::new(NullSink),
            Self::EventStore(client, settings, origin, duration) => {
                let sink = EventStoreSink::new(client.clone(), settings.clone(), origin.clone());
                let sink = Arc::new(sink);
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

/// The source that the sink asks about hidden events; none when journals are read.
fn origin(config: &Config) -> Result<Option<Origin>> {
    let reads_journal = |one: &SubscriptionSettings| one.kind == SubscriptionKind::Journal;
    if config.settings.subscriptions.iter().any(reads_journal) {
        return Ok(None);
    }
    let shaping = Arc::new(Shaping::new(&config.settings)?);
    Ok(Some(Origin::new(source_client(config)?, shaping)))
}

#[cfg(feature = "kinesis")]
async fn kinesis(config: &Config, metrics: &Metrics) -> Result<Arc<dyn Sink>> {
    let client = crate::kinesis::connect(&config.aws, |name| std::env::var(name).ok()).await?;
    let (settings, retry) = (config.kinesis.clone(), config.settings.retry.clone());
    let stream = config.kinesis.stream_name.clone().unwrap_or_default();
    let duration = metrics.io("kinesis", &stream, "put_record");
    let clock = metrics.clock().clone();
    Ok(Arc::new(crate::kinesis::KinesisSink::new(client, settings, retry, clock, duration)))
}

/// The answer to a configuration that needs Kinesis, of a program without it.
pub(super) const WITHOUT_KINESIS: &str =
    "this program was built without Kinesis: build it with the cargo feature `kinesis`";

#[cfg(not(feature = "kinesis"))]
async fn kinesis(_config: &Config, _metrics: &Metrics) -> Result<Arc<dyn Sink>> {
    Err(crate::Error::rejected(format!("`Settings:Sink`: {WITHOUT_KINESIS}")))
}
