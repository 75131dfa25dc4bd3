//! Compares the destination with the source, stream by stream.
//!
//! Journals are compared with journals, event stores with event stores. The subscriptions determine
//! the streams. A stream is read page by page on both sides at the same time, so memory does not
//! depend on its length. Events written during the comparison may not yet be at the destination. So
//! the source is read first, up to its end at that time, and any further events of the destination
//! are then searched at the source once more.

mod compare;
mod journal;
mod streams;

use std::collections::BTreeMap;

use antiphon_eventstore as es;
pub use compare::{Difference, StreamReport};

use crate::config::{Choice, Config, SinkKind, SubscriptionKind, SubscriptionSettings};
use crate::filter::Shaping;
use crate::run::{destination_client, source_client};
use crate::{Error, Result};

/// The result of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The reports by stream at the source.
    pub streams: BTreeMap<String, StreamReport>,
}

impl Report {
    /// True when no stream differs.
    pub fn is_equal(&self) -> bool {
        self.streams.values().all(StreamReport::is_equal)
    }

    /// A table for people: every stream that differs, and the totals.
    pub fn table(&self) -> String {
        let mut lines = Vec::new();
        for (stream, report) in self.streams.iter().filter(|(_, report)| !report.is_equal()) {
            lines.push(format!(
                "{stream}: {} missing, {} extra, {} different, {} out of order",
                report.missing, report.extra, report.different, report.out_of_order
            ));
            lines.extend(report.examples.iter().map(|example| format!("  {example}")));
        }
        let equal = self.streams.values().filter(|report| report.is_equal()).count();
        let events: u64 = self.streams.values().map(|report| report.same).sum();
        let count = self.streams.len();
        lines.push(format!("{equal} of {count} streams equal, {events} events the same"));
        lines.join("\n")
    }
}

/// Compares the destination of a configuration with its source.
///
/// # Errors
/// `Rejected` when the sink cannot be compared; `Unavailable` when a side cannot be read.
pub async fn verify(config: &Config) -> Result<Report> {
    let shaping = Shaping::new(&config.settings)?;
    let mut report = Report::default();
    let is_journal = |one: &&SubscriptionSettings| one.kind == SubscriptionKind::Journal;
    let subscriptions = &config.settings.subscriptions;
    for subscription in subscriptions.iter().filter(is_journal) {
        journal::compare(config, subscription, &shaping, &mut report).await?;
    }
    if subscriptions.iter().all(|one| is_journal(&one)) {
        return Ok(report);
    }
    if config.sink() != SinkKind::EventStore {
        return Err(Error::rejected(format!(
            "`Settings:Sink`: expected `eventstore`, because what is read from an event store is compared with event stores only, actual `{}`",
            config.sink().word()
        )));
    }
    let (source, destination) = (source_client(config)?, destination_client(config)?);
    for subscription in subscriptions.iter().filter(|one| !is_journal(one)) {
        for stream in streams::of(&source, subscription, &shaping).await? {
            if report.streams.contains_key(&stream) {
                continue;
            }
            let compared = compare::stream(&source, &destination, &stream, &shaping).await?;
            report.streams.insert(stream, compared);
        }
    }
    Ok(report)
}

/// Largest number of events in one page of a stream.
pub(crate) const PAGE: u64 = 500;

pub(crate) async fn page(
    client: &es::EventStoreClient,
    stream: &str,
    from: u64,
) -> Result<Vec<es::RecordedEvent>> {
    let (direction, from) = (es::Direction::Forwards, es::ReadFrom::At(from));
    let events = match client.read_stream(stream, direction, from, PAGE, false).await {
        Ok(events) => events.collect().await,
        Err(failed) => Err(failed),
    };
    match events {
        Ok(events) => Ok(events.into_iter().filter_map(|one| one.link.or(one.event)).collect()),
        Err(failed)
            if matches!(failed.kind(), es::ErrorKind::NotFound | es::ErrorKind::StreamDeleted) =>
        {
            Ok(Vec::new())
        }
        Err(failed) => Err(crate::source::error(failed)),
    }
}
