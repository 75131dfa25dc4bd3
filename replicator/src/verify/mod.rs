//! Compares the destination with the source, stream by stream.
//!
//! Journals are compared with journals, event stores with event stores. The subscriptions determine
//! the streams. A stream is read page by page on both sides at the same time, so memory does not
//! depend on its length. Events written during the comparison may not yet be at the destination. So
//! the source is read first, up to its end at that time, and any further events of the destination
//! are then searched at the source once more.

mod compare;
mod journal;
mod pages;
mod report;
mod streams;

use pages::Side;
pub use report::{Difference, Report, StreamReport};

use crate::config::{Choice, Config, SinkKind, SubscriptionKind, SubscriptionSettings};
use crate::filter::Shaping;
use crate::run::{destination_client, source_client};
use crate::{Error, Result};

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
        journal::all(config, subscription, &shaping, &mut report).await?;
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
    let (from, to) = (Side::EventStore(&source), Side::EventStore(&destination));
    for subscription in subscriptions.iter().filter(|one| !is_journal(one)) {
        for stream in streams::of(&source, subscription, &shaping).await? {
            if report.streams.contains_key(&stream) {
                continue;
            }
            let compared = compare::stream(from, to, &stream, &shaping).await?;
            report.streams.insert(stream, compared);
        }
    }
    Ok(report)
}
