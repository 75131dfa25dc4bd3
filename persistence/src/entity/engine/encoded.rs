//! The events of a command as they will be stored: encoded, and with their labels.

use antiphon_base::guard;

use super::proof;
use super::shared::Shared;
use crate::Result;
use crate::entity::{EntityCounters, EventSourced};
use crate::event::{Labels, Metadata, Payload, Tags};

/// An event of a command, before it has its place in the stream.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) payload: Payload,
    pub(super) labels: Labels,
}

/// Encodes the events of a command, each with the command's metadata and its own tags. The last one
/// has the notes about reminders.
///
/// # Errors
/// The reason why one of them cannot be stored.
pub(super) fn encode<E: EventSourced>(
    shared: &Shared<E>,
    events: &[E::Event],
    metadata: Metadata,
    reminders: Option<Box<str>>,
) -> Result<Vec<Encoded>, String> {
    let limit = shared.settings.command_events_max;
    if events.len() > limit {
        return Err(format!(
            "{} events of one command: expected at most {limit} (`command_events_max`)",
            events.len()
        ));
    }
    metadata.check_unreserved()?;
    let untagged = Labels::new(metadata, Tags::none()).map_err(|error| error.to_string())?;
    let encode = |event, untagged| {
        let payload = proof::event(shared, event)?;
        let labels = labels(shared, event, untagged)?;
        Ok(Encoded { payload, labels })
    };
    let Some(notes) = reminders else {
        return events.iter().map(|event| encode(event, &untagged)).collect();
    };
    let noted = untagged.metadata().with_reminders(notes);
    let noted = Labels::new(noted, Tags::none()).map_err(|error| error.to_string())?;
    let (last, others) = events.split_last().ok_or("reminders are set with an event")?;
    let others = others.iter().map(|event| encode(event, &untagged));
    others.chain(std::iter::once_with(|| encode(last, &noted))).collect()
}

/// The labels of an event, of which `untagged` has the metadata.
fn labels<E: EventSourced>(
    shared: &Shared<E>,
    event: &E::Event,
    untagged: &Labels,
) -> Result<Labels, String> {
    let tags = guard::call("tags", &shared.id, || shared.behaviour.tags(event));
    let labelled = match tags {
        Ok(tags) if tags.is_empty() => return Ok(untagged.clone()),
        Ok(tags) => {
            Labels::new(untagged.metadata().clone(), tags).map_err(|error| error.to_string())
        }
        Err(_) => {
            EntityCounters::add(&shared.counters.handler_panics, 1);
            Err("`tags` panicked".to_owned())
        }
    };
    labelled.map_err(|why| {
        EntityCounters::add(&shared.counters.events_rejected, 1);
        let kind = shared.behaviour.event_type(event).manifest;
        format!("an event of manifest {kind:?} is not stored: {why}")
    })
}
