//! The rules that every entity must keep in every run.

use std::collections::BTreeMap;

use antiphon_persistence::event::StoredEvent;
use antiphon_persistence::identity::ReplicaId;

use super::Failure;
use crate::streams::Stream;

/// The key of the metadata of a simulated command; its value is the number of the command.
pub(super) const COMMAND: &str = "simulated-command";

/// The number of the command that an event comes from.
pub(super) fn command_of(event: &StoredEvent) -> Option<usize> {
    event.meta.labels.metadata().get(COMMAND)?.parse().ok()
}

/// Each event is in a stream once, with dense numbers of its origin, and behind its causes.
pub(super) fn exactly_once_and_causal(stream: &Stream) -> Result<(), Failure> {
    let mut seen: BTreeMap<&ReplicaId, u64> = BTreeMap::new();
    if !stream.is_whole() {
        return Ok(());
    }
    let (entity, at) = (stream.id.entity_id(), stream.id.replica_id());
    for event in &stream.events {
        let (origin, number) = (&event.meta.origin, event.meta.origin_nr());
        let next = seen.get(origin).copied().unwrap_or(0) + 1;
        if number != next {
            let why =
                format!("`{entity}` at `{at}`: event {number} of `{origin}`, {next} was next");
            return Err(Failure::of("exactly once", why));
        }
        let count = |origin: &ReplicaId| seen.get(origin).copied().unwrap_or(0);
        let mut causes = event.meta.version.iter().filter(|(cause, _)| *cause != origin);
        if let Some((cause, causes)) = causes.find(|(cause, causes)| count(cause) < *causes) {
            let why = format!(
                "`{entity}` at `{at}`: event {number} of `{origin}` stands before event {causes} of `{cause}`, its cause"
            );
            return Err(Failure::of("causal order", why));
        }
        seen.insert(origin, next);
    }
    Ok(())
}

/// An event is the same at every replica.
pub(super) fn no_fork(streams: &[Stream]) -> Result<(), Failure> {
    let mut pairs = streams.windows(2);
    match pairs.find_map(|pair| pair[0].fork(&pair[1])) {
        Some(why) => Err(Failure::of("no fork", why)),
        None => Ok(()),
    }
}

/// The events that were in the journal of a replica when a command was answered there.
#[derive(Debug, Clone)]
pub(super) struct Acknowledged {
    pub(super) number: usize,
    pub(super) entity: String,
    pub(super) replica: ReplicaId,
    /// The numbers, among those of the replica, of the events of the command.
    pub(super) events: Vec<u64>,
    /// The command must have an event, as the application says.
    pub(super) stores: bool,
}

/// Every event of an answered command is in the journal of the replica that answered, and every
/// answered command that must store an event has one.
pub(super) fn no_lost_write(
    streams: &[Stream],
    acknowledged: &[Acknowledged],
) -> Result<(), Failure> {
    for one in acknowledged {
        let here = |stream: &&Stream| {
            **stream.id.entity_id() == *one.entity && *stream.id.replica_id() == one.replica
        };
        let Some(stream) = streams.iter().find(here) else { continue };
        if !stream.is_whole() {
            continue;
        }
        let own = stream.events.iter().filter(|event| event.meta.origin == one.replica);
        let of_command: Vec<u64> = own
            .filter(|event| command_of(event) == Some(one.number))
            .map(|event| event.meta.origin_nr())
            .collect();
        let (number, entity, replica) = (one.number, &one.entity, &one.replica);
        if let Some(lost) = one.events.iter().find(|event| !of_command.contains(event)) {
            let why = format!(
                "`{entity}` at `{replica}`: event {lost} of command {number} was there when the command was answered"
            );
            return Err(Failure::of("no lost write", why));
        }
        if one.stores && of_command.is_empty() {
            let why = format!(
                "`{entity}` at `{replica}`: command {number} was acknowledged and must store an event, and there is none"
            );
            return Err(Failure::of("no lost write", why));
        }
    }
    Ok(())
}
