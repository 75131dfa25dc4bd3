//! `park list`, `park replay`, `park drop`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clap::{Args, Subcommand};
use uuid::Uuid;

use crate::config::{Config, SubscriptionKind, SubscriptionSettings};
use crate::event::Envelope;
use crate::park::{ParkedEvent, ParkingLot};
use crate::run::{sink_of, source_client};
use crate::say::say;
use crate::sink::{Outcome, Sink};
use crate::{Error, Result};

#[derive(Debug, Subcommand)]
pub(super) enum ParkCommand {
    /// Show parked events, with their reasons
    List(Which),
    /// Write parked events to the destination, in the order of their streams, and remove the
    /// written ones. A group's own parked messages are delivered again by the server
    Replay(Which),
    /// Remove parked events for ever
    Drop {
        #[command(flatten)]
        which: Which,
        /// Confirm that the events are lost
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The subscription, by `Name`, or by stream and group; all subscriptions without it
    #[arg(long)]
    subscription: Option<String>,
    /// Only events of this stream
    #[arg(long)]
    stream: Option<String>,
    /// Only events with these ids
    #[arg(long = "id")]
    ids: Vec<Uuid>,
}

impl Which {
    fn has(&self, event: &ParkedEvent) -> bool {
        self.stream.as_ref().is_none_or(|stream| *stream == event.stream)
            && (self.ids.is_empty() || self.ids.contains(&event.event_id))
    }

    fn lots(&self, config: &Config) -> Result<Vec<(SubscriptionSettings, ParkingLot)>> {
        let retry = &config.settings.retry;
        let names: Vec<String> =
            config.settings.subscriptions.iter().map(|one| one.display_name()).collect();
        if let Some(wanted) = &self.subscription
            && !names.contains(wanted)
        {
            return Err(Error::rejected(format!(
                "`--subscription`: expected one of {names:?}, actual `{wanted}`"
            )));
        }
        let subscriptions = config.settings.subscriptions.iter().zip(names);
        subscriptions
            .filter(|(_, name)| self.subscription.as_ref().is_none_or(|wanted| wanted == name))
            .map(|(one, name)| {
                let lot = ParkingLot::new(&retry.park_directory, &name, retry.parked_max)?;
                Ok((one.clone(), lot))
            })
            .collect()
    }
}

pub(super) async fn execute(command: ParkCommand, config: &Config) -> Result<()> {
    match command {
        ParkCommand::List(which) => list(&which, config).await,
        ParkCommand::Replay(which) => replay(&which, config).await,
        ParkCommand::Drop { which, yes } => drop_events(&which, yes, config),
    }
}

async fn list(which: &Which, config: &Config) -> Result<()> {
    let mut count = 0;
    for (subscription, lot) in which.lots(config)? {
        let name = subscription.display_name();
        for event in lot.list()?.iter().filter(|event| which.has(event)) {
            count += 1;
            say(&format!(
                "{name}: #{} of `{}`, {} {}: {}",
                event.revision, event.stream, event.event_type, event.event_id, event.reason
            ))?;
        }
        if subscription.kind == SubscriptionKind::Group {
            let client = source_client(config)?;
            let (stream, group) = (subscription.subscribed_stream(), &subscription.group_name);
            let info = client.group_info(&stream, group).await.map_err(crate::source::error)?;
            say(&format!("{name}: {} messages parked at the server", info.parked))?;
        }
    }
    say(&format!("{count} events in parking lots"))
}

async fn replay(which: &Which, config: &Config) -> Result<()> {
    let mut left = 0;
    for (subscription, lot) in which.lots(config)? {
        let name = subscription.display_name();
        let events: Vec<ParkedEvent> =
            lot.list()?.into_iter().filter(|event| which.has(event)).collect();
        if !events.is_empty() {
            let count = events.len();
            // a name of its own, so that a running replicator keeps its writer
            let sink = sink_of(config, &format!("park replay {name}")).await?;
            let written = replay_events(sink.clone(), events).await;
            sink.close().await?;
            let written = written?;
            lot.remove(&written)?;
            left += count - written.len();
            say(&format!("{name}: {} of {count} events replayed", written.len()))?;
        }
        if subscription.kind == SubscriptionKind::Group {
            let client = source_client(config)?;
            let (stream, group) = (subscription.subscribed_stream(), &subscription.group_name);
            client.replay_parked(&stream, group, None).await.map_err(crate::source::error)?;
            say(&format!("{name}: the server delivers its parked messages again"))?;
        }
    }
    if left == 0 {
        return Ok(());
    }
    Err(Error::rejected(format!("{left} events could not be replayed and stay parked")))
}

/// Writes events stream by stream, in order; a stream ends at its first failure. Returns the ids of
/// the events that are at the destination or were dropped on purpose.
async fn replay_events(sink: Arc<dyn Sink>, events: Vec<ParkedEvent>) -> Result<BTreeSet<Uuid>> {
    let mut streams: BTreeMap<String, Vec<ParkedEvent>> = BTreeMap::new();
    for event in events {
        streams.entry(event.stream.clone()).or_default().push(event);
    }
    let mut written = BTreeSet::new();
    for (stream, mut events) in streams {
        events.sort_by_key(|event| event.revision);
        for parked in events {
            let event = parked.to_event()?;
            let envelope = Envelope { retry_count: 1, ..Envelope::of(event) };
            match sink.write(&[envelope]).await.pop() {
                Some(Outcome::Written(_) | Outcome::Duplicate | Outcome::Dropped) => {
                    written.insert(parked.event_id);
                }
                outcome => {
                    let why =
                        outcome.map_or_else(|| "no answer".to_owned(), |one| format!("{one:?}"));
                    say(&format!("`{stream}` #{}: not replayed: {why}", parked.revision))?;
                    break;
                }
            }
        }
    }
    Ok(written)
}

fn drop_events(which: &Which, yes: bool, config: &Config) -> Result<()> {
    for (subscription, lot) in which.lots(config)? {
        let ids: BTreeSet<Uuid> = lot
            .list()?
            .iter()
            .filter(|event| which.has(event))
            .map(|event| event.event_id)
            .collect();
        let name = subscription.display_name();
        if !yes {
            return Err(Error::rejected(format!(
                "{name}: {} events would be lost: say `--yes` to drop them",
                ids.len()
            )));
        }
        say(&format!("{name}: {} events dropped", lot.remove(&ids)?))?;
    }
    Ok(())
}
