//! The events of a command as they will be stored: encoded, and with their labels.

use antiphon_base::guard;

use super::proof;
use super::shared::Shared;
use crate::Result;
use crate::entity::request_note::RequestNote;
use crate::entity::{EntityCounters, EventSourced};
use crate::event::{Labels, Metadata, Payload, Tags};

/// An event of a command, before it has its place in the stream.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) payload: Payload,
    pub(super) labels: Labels,
}

/// The notes that events of a command get besides the command's metadata.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The note about reminders, for the last event.
    pub(super) reminders: Option<Box<str>>,
    /// The note about the request of the command, for the first event; later events count on.
    pub(super) request: Option<RequestNote>,
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
    Notes { reminders, mut request }: Notes,
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
    let encode = |event: &E::Event, untagged: &Labels| {
        let payload = proof::event(shared, event)?;
        let labels = labels(shared, event, untagged, &payload.manifest)?;
        Ok(Encoded { payload, labels })
    };
    if reminders.is_none() && request.is_none() {
        return events.iter().map(|event| encode(event, &untagged)).collect();
    }
    if reminders.is_some() && events.is_empty() {
        return Err("reminders are set with an event".to_owned());
    }
    let mut all = Vec::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        let mut metadata = untagged.metadata().clone();
        if let Some(note) = &mut request {
            metadata = metadata.with_done(note.write());
            note.back += 1;
        }
        if let Some(notes) = reminders.as_ref().filter(|_| index + 1 == events.len()) {
            metadata = metadata.with_reminders(notes.clone());
        }
        let noted = Labels::new(metadata, Tags::none()).map_err(|error| error.to_string())?;
        all.push(encode(event, &noted)?);
    }
    Ok(all)
}

/// The labels of an event of this kind, of which `untagged` has the metadata.
fn labels<E: EventSourced>(
    shared: &Shared<E>,
    event: &E::Event,
    untagged: &Labels,
    kind: &str,
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
        format!("an event of manifest {kind:?} is not stored: {why}")
    })
}
