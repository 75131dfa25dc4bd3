//! Compares the destination with the source, stream by stream.
//!
//! Journals are compared with journals, event stores with event stores. The subscriptions determine
//! the streams. A stream is read page by page on both sides at the same time, so memory does not
//! depend on its length. Events written during the comparison may not yet be at the destination. So
//! the source is read first, up to its end at that time, and any further events of the destination
//! are then searched at the source once more.
//!
//! A stream as a whole is compared too: deleted or not, and its metadata where it is copied.
//! Streams that only the destination has are found in its whole log, for the subscriptions to
//! `$all` and to categories.

mod compare;
mod journal;
mod pages;
mod report;
mod state;
mod streams;

use std::collections::{BTreeMap, BTreeSet};

use antiphon_eventstore as es;
use pages::Side;
pub use report::{Difference, Report, StreamReport};
pub use state::State;

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
    let mut known = BTreeSet::new();
    let mut there: BTreeMap<String, Option<u64>> = BTreeMap::new();
    for subscription in subscriptions.iter().filter(|one| !is_journal(one)) {
        let found = streams::of(&source, subscription, &shaping).await?;
        let at_destination =
            streams::at_destination(&destination, config, subscription, &shaping).await?;
        there.extend(at_destination.replicated);
        for (stream, highest) in &found.replicated {
            if report.streams.contains_key(stream) {
                continue;
            }
            let mut compared = compare::stream(from, to, stream, &shaping).await?;
            let copy = shaping.stream_name(stream);
            let numbers = (*highest, there.get(&copy).copied().flatten());
            whole(config, (&source, stream), (&destination, &copy), numbers, &mut compared).await?;
            report.streams.insert(stream.clone(), compared);
        }
        let names = found.replicated.into_keys().chain(found.excluded.into_keys());
        known.extend(names.map(|stream| shaping.stream_name(&stream)));
    }
    for stream in there.into_keys().filter(|stream| !known.contains(stream)) {
        // a stream that is deleted there is as good as missing; a new one at the source is none
        let is_there = state::of(&destination, &stream).await?.0 == State::There;
        if is_there && state::of(&source, &stream).await?.0 == State::Missing {
            report.only_there.insert(stream);
        }
    }
    Ok(report)
}

/// Compares a stream as a whole; `numbers` are the highest ones in both logs, where they are known.
async fn whole(
    config: &Config,
    (source, stream): (&es::EventStoreClient, &str),
    (destination, copy): (&es::EventStoreClient, &str),
    numbers: (Option<u64>, Option<u64>),
    report: &mut StreamReport,
) -> Result<()> {
    let (wanted, wanted_metadata) = state::of(source, stream).await?;
    let (found, found_metadata) = state::of(destination, copy).await?;
    if wanted != found {
        report.add(Difference::State(wanted, found));
        return Ok(());
    }
    let keeps_numbers = !config.settings.skip_version_check && !config.leaves_out_single_events();
    if wanted == State::Deleted
        && keeps_numbers
        && let (Some(highest), Some(highest_there)) = numbers
        && highest != highest_there
    {
        report.add(Difference::Hidden(highest, highest_there));
    }
    if wanted == State::There && config.settings.copy_stream_metadata {
        let ignores_age = config.settings.time_to_live.is_some();
        let differing = state::differing(&wanted_metadata, &found_metadata, ignores_age);
        differing.into_iter().for_each(|name| report.add(Difference::Metadata(name)));
    }
    Ok(())
}
