//! All rules together: the selection of events, and their form for the destination.

use super::{Filters, Metadata, Renames, came_from, provenance};
use crate::Result;
use crate::config::{LoopSettings, Settings};
use crate::event::Event;

/// The type of the events that hold a stream's metadata.
const METADATA_TYPE: &str = "$metadata";
/// The type of the event that ends a stream for ever.
const DELETED_TYPE: &str = "$streamDeleted";

/// The compiled rules of one replicator.
#[derive(Debug, Clone, Default)]
pub struct Shaping {
    filters: Filters,
    renames: Renames,
    loops: LoopSettings,
    system_events: bool,
    copy_stream_metadata: bool,
    copy_deletes: bool,
    provenance: bool,
}

/// The form of an event for the destination.
#[derive(Debug, Clone, PartialEq)]
pub enum Shaped {
    /// The event as the destination gets it.
    Event(Event),
    /// No event, for this lasting reason: the event is parked.
    Refused(String),
}

impl Shaping {
    /// Compiles the rules of the settings.
    ///
    /// # Errors
    /// `Rejected`, naming the rule.
    pub fn new(settings: &Settings) -> Result<Self> {
        Ok(Self {
            filters: Filters::compile(&settings.filters)?,
            renames: Renames::compile(&settings.renames)?,
            loops: settings.loops.clone(),
            system_events: settings.system_events,
            copy_stream_metadata: settings.copy_stream_metadata,
            copy_deletes: settings.copy_deletes,
            provenance: settings.provenance,
        })
    }

    /// The reason why an event is excluded; `None` when it is replicated.
    pub fn excludes(&self, event: &Event) -> Option<String> {
        let is_deletion = is_deletion(event);
        let is_copied = match &*event.event_type {
            _ if is_deletion => self.copy_deletes,
            METADATA_TYPE => self.copy_stream_metadata,
            _ => false,
        };
        if is_copied {
            // the stream's own filters decide; the type is the server's, not the user's
            let stream = event.stream.strip_prefix("$$").unwrap_or(&event.stream);
            let system = stream.starts_with('$') && !self.system_events;
            return system
                .then(|| format!("stream `{}` is a system stream", event.stream))
                .or_else(|| self.filters.excludes_stream(stream));
        }
        if is_deletion || &*event.event_type == METADATA_TYPE {
            // written as a plain event, it would be refused, or have another effect than at the
            // source
            return Some(format!(
                "type `{}` is copied only by `Settings:CopyStreamMetadata` and `Settings:CopyDeletes`",
                event.event_type
            ));
        }
        if !self.system_events {
            for (field, name) in [("stream", &event.stream), ("type", &event.event_type)] {
                if name.starts_with('$') {
                    return Some(format!("{field} `{name}` is the server's own"));
                }
            }
        }
        self.filters.excludes(&event.stream, &event.event_type).or_else(|| self.goes_round(event))
    }

    fn goes_round(&self, event: &Event) -> Option<String> {
        let destination = &self.loops.destination_name;
        let came_back = self.loops.enabled && came_from(&event.metadata, destination) == Ok(true);
        came_back.then(|| format!("it was at `{destination}` before"))
    }

    /// Renames the event and adds to its metadata, as the destination gets it.
    pub fn shape(&self, event: &Event) -> Shaped {
        let mut shaped = event.clone();
        shaped.stream = self.renames.stream(&event.stream);
        shaped.event_type = self.renames.event_type(&event.event_type);
        let is_metadata = &*event.event_type == METADATA_TYPE || &*event.event_type == DELETED_TYPE;
        if is_metadata || !(self.loops.enabled || self.provenance) {
            return Shaped::Event(shaped);
        }
        match Metadata::parse(&event.metadata) {
            Ok(mut metadata) => {
                if self.loops.enabled {
                    provenance::add_origin(&mut metadata, &self.loops.source_name);
                }
                if self.provenance {
                    provenance::add_original(&mut metadata, event);
                }
                shaped.metadata = metadata.to_bytes();
                Shaped::Event(shaped)
            }
            Err(_) if self.loops.enabled => Shaped::Refused(
                "its metadata is no JSON object and cannot hold `$origin`, so that it would go round between the two places: `Settings:LoopPrevention`"
                    .to_owned(),
            ),
            Err(_) => Shaped::Event(shaped),
        }
    }
}

/// Returns whether an event records the deletion of its stream, for ever or until the stream is
/// written again.
fn is_deletion(event: &Event) -> bool {
    if &*event.event_type == DELETED_TYPE {
        return true;
    }
    if &*event.event_type != METADATA_TYPE {
        return false;
    }
    // a soft delete is a truncation before the largest possible number
    let Ok(metadata) = Metadata::parse(&event.data) else { return false };
    metadata.get("$tb").and_then(|raw| raw.parse::<i64>().ok()) == Some(i64::MAX)
}

#[cfg(test)]
mod tests;
