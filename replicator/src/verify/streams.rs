//! The streams that a subscription replicates, and the streams of the same kind at the destination.

use std::collections::BTreeMap;

use antiphon_eventstore as es;
use regex::Regex;

use super::pages::page;
use crate::Result;
use crate::config::{Config, ServerFilterBy, SubscriptionKind, SubscriptionSettings};
use crate::event::Event;
use crate::filter::Shaping;
use crate::source::{error, recorded_event};

/// The streams of one side.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Streams with an event that is replicated, with their highest number where the whole log was
    /// read.
    pub(super) replicated: BTreeMap<String, Option<u64>>,
    /// Streams with events that a setting excludes only.
    pub(super) excluded: BTreeMap<String, Option<u64>>,
}

impl Found {
    fn add(&mut self, event: Event, is_replicated: bool, knows_number: bool) {
        let name = event.stream.to_string();
        let number = knows_number.then_some(event.revision);
        let before = self.excluded.remove(&name).flatten();
        let (to, before) = match self.replicated.get(&name).copied() {
            Some(before) => (&mut self.replicated, before),
            None if is_replicated => (&mut self.replicated, before),
            None => (&mut self.excluded, before),
        };
        to.insert(name, number.max(before));
    }
}

/// The streams of a subscription at the source.
pub(super) async fn of(
    client: &es::EventStoreClient,
    subscription: &SubscriptionSettings,
    shaping: &Shaping,
) -> Result<Found> {
    let mut found = match subscription.kind {
        SubscriptionKind::All => of_all(client, shaping, |_| true).await?,
        // journals are compared in `verify::journal`
        SubscriptionKind::Journal => Found::default(),
        SubscriptionKind::Group | SubscriptionKind::Stream | SubscriptionKind::Category => {
            of_stream(client, &subscription.subscribed_stream(), shaping).await?
        }
    };
    if subscription.kind != SubscriptionKind::Journal && category(subscription).is_none() {
        // a plain stream is compared even if the source has nothing of it, or not any more
        let stream = subscription.subscribed_stream();
        if !stream.starts_with('$') && !found.excluded.contains_key(&stream) {
            found.replicated.entry(stream).or_default();
        }
    }
    Ok(found)
}

/// The streams at the destination that the subscription would have written; none of a subscription
/// to a plain stream, which is compared by its name.
pub(super) async fn at_destination(
    client: &es::EventStoreClient,
    config: &Config,
    subscription: &SubscriptionSettings,
    shaping: &Shaping,
) -> Result<Found> {
    let category = category(subscription);
    if category.is_none() && subscription.kind != SubscriptionKind::All {
        return Ok(Found::default());
    }
    let filter = &subscription.filter;
    // the server's dialect of expressions is another one: what is not understood passes
    let regex = filter.regex.as_deref().and_then(|regex| Regex::new(regex).ok());
    let is_meant = |event: &Event| {
        if let Some(category) = &category {
            return event.stream.split_once('-').is_some_and(|(name, _)| name == category);
        }
        let text = match filter.by {
            ServerFilterBy::Stream => &event.stream,
            ServerFilterBy::Type => &event.event_type,
        };
        let prefixes = &filter.prefixes;
        let has_prefix = prefixes.is_empty() || prefixes.iter().any(|one| text.starts_with(&**one));
        has_prefix && regex.as_ref().is_none_or(|regex| regex.is_match(text))
    };
    let mut found = of_all(client, shaping, is_meant).await?;
    if config.settings.checkpoint.kind == crate::config::CheckpointKind::Destination {
        // the replicator's own streams
        found.replicated.retain(|name, _| !name.starts_with("Ditto_ReplicatingConsumer_"));
    }
    Ok(found)
}

/// The category of a subscription to `$ce-..`.
fn category(subscription: &SubscriptionSettings) -> Option<String> {
    match subscription.kind {
        SubscriptionKind::Group | SubscriptionKind::Stream | SubscriptionKind::Category => {
            subscription.subscribed_stream().strip_prefix("$ce-").map(str::to_owned)
        }
        SubscriptionKind::All | SubscriptionKind::Journal => None,
    }
}

/// The streams of a stream's events: the stream itself, or the targets of its links.
async fn of_stream(
    client: &es::EventStoreClient,
    stream: &str,
    shaping: &Shaping,
) -> Result<Found> {
    let mut found = Found::default();
    let mut from = 0;
    loop {
        let (events, next) = page(client, stream, from, true).await?;
        let Some(next) = next else { return Ok(found) };
        from = next;
        for event in events.into_iter().filter_map(|resolved| resolved.event) {
            add(&mut found, recorded_event(event), shaping, false);
        }
    }
}

async fn of_all(
    client: &es::EventStoreClient,
    shaping: &Shaping,
    is_meant: impl Fn(&Event) -> bool,
) -> Result<Found> {
    let mut found = Found::default();
    let forwards = es::Direction::Forwards;
    let mut events =
        client.read_all(forwards, es::ReadFrom::Start, u64::MAX, false).await.map_err(error)?;
    while let Some(event) = events.next().await.map_err(error)? {
        if let Some(event) = event.event.map(recorded_event).filter(&is_meant) {
            add(&mut found, event, shaping, true);
        }
    }
    Ok(found)
}

fn add(found: &mut Found, event: Event, shaping: &Shaping, knows_number: bool) {
    let is_metadata = event.event_type.starts_with('$');
    if !is_metadata {
        let is_replicated = shaping.excludes(&event).is_none();
        found.add(event, is_replicated, knows_number);
    }
}
