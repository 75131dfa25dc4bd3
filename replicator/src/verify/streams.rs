//! The streams that a subscription replicates.

use std::collections::BTreeSet;

use antiphon_eventstore as es;

use super::pages::page;
use crate::Result;
use crate::config::{SubscriptionKind, SubscriptionSettings};
use crate::filter::Shaping;
use crate::source::{error, recorded_event};

pub(super) async fn of(
    client: &es::EventStoreClient,
    subscription: &SubscriptionSettings,
    shaping: &Shaping,
) -> Result<BTreeSet<String>> {
    match subscription.kind {
        SubscriptionKind::All => of_all(client, shaping).await,
        // journals are compared in `verify::journal`
        SubscriptionKind::Journal => Ok(BTreeSet::new()),
        SubscriptionKind::Group | SubscriptionKind::Stream | SubscriptionKind::Category => {
            of_stream(client, &subscription.subscribed_stream(), shaping).await
        }
    }
}

/// The streams of a stream's events: the stream itself, or the targets of its links.
async fn of_stream(
    client: &es::EventStoreClient,
    stream: &str,
    shaping: &Shaping,
) -> Result<BTreeSet<String>> {
    let mut streams = BTreeSet::new();
    let mut from = 0;
    loop {
        let (events, next) = page(client, stream, from, true).await?;
        let Some(next) = next else { return Ok(streams) };
        from = next;
        add(&mut streams, events, shaping);
    }
}

async fn of_all(client: &es::EventStoreClient, shaping: &Shaping) -> Result<BTreeSet<String>> {
    let mut streams = BTreeSet::new();
    let forwards = es::Direction::Forwards;
    let mut events =
        client.read_all(forwards, es::ReadFrom::Start, u64::MAX, false).await.map_err(error)?;
    while let Some(event) = events.next().await.map_err(error)? {
        add(&mut streams, vec![event], shaping);
    }
    Ok(streams)
}

fn add(streams: &mut BTreeSet<String>, events: Vec<es::ResolvedEvent>, shaping: &Shaping) {
    for event in events.into_iter().filter_map(|resolved| resolved.event) {
        let is_known = streams.contains(&*event.stream);
        let is_metadata = event.event_type.starts_with('$');
        if !is_known && !is_metadata && shaping.excludes(&recorded_event(event.clone())).is_none() {
            streams.insert(event.stream.to_string());
        }
    }
}
