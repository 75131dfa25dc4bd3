//! All rules together: the selection of events, and their form for the destination.

use super::{Filters, Metadata, Renames, came_from, provenance};
use crate::Result;
use crate::config::{LoopSettings, Settings};
use crate::event::Event;

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
    ///
    /// A stream of users has its events of types that begin with `$`, and its links, like its other
    /// events: without them, the later ones would have other numbers.
    pub fn excludes(&self, event: &Event) -> Option<String> {
        if let Some(is_copied) = self.copies_special(event) {
            if !is_copied {
                // written as a plain event, it would be refused, or have another effect than at
                // the source
                return Some(format!(
                    "type `{}` is copied only by `Settings:CopyStreamMetadata` and `Settings:CopyDeletes`",
                    event.event_type
                ));
            }
            // the stream's own filters decide; the type is the server's, not the user's
            let stream = event.stream.strip_prefix("$$").unwrap_or(&event.stream);
            return self.is_system(stream).or_else(|| self.filters.excludes_stream(stream));
        }
        self.is_system(&event.stream)
            .or_else(|| self.filters.excludes(&event.stream, &event.event_type))
            .or_else(|| self.goes_round(event))
    }

    fn is_system(&self, stream: &str) -> Option<String> {
        let is_excluded = stream.starts_with('$') && !self.system_events;
        is_excluded.then(|| format!("stream `{stream}` is the server's own"))
    }

    /// Returns whether metadata or a deletion is copied; none for any other event.
    fn copies_special(&self, event: &Event) -> Option<bool> {
        if event.is_tombstone() {
            return Some(self.copy_deletes);
        }
        if !event.is_stream_metadata() {
            return None;
        }
        let deletes = Metadata::parse(&event.data).is_ok_and(|metadata| metadata.deletes());
        Some(if deletes { self.copy_deletes } else { self.copy_stream_metadata })
    }

    fn goes_round(&self, event: &Event) -> Option<String> {
        let destination = &self.loops.destination_name;
        let came_back = self.loops.enabled && came_from(&event.metadata, destination) == Ok(true);
        came_back.then(|| format!("it was at `{destination}` before"))
    }

    /// The name of a stream at the destination.
    pub fn stream_name(&self, stream: &str) -> String {
        self.renames.stream(&stream.into()).to_string()
    }

    /// True when events that came from the destination are left out.
    pub fn prevents_loops(&self) -> bool {
        self.loops.enabled
    }

    /// Renames the event and adds to its metadata, as the destination gets it.
    pub fn shape(&self, event: &Event) -> Shaped {
        let mut shaped = event.clone();
        shaped.stream = self.renames.stream(&event.stream);
        shaped.event_type = self.renames.event_type(&event.event_type);
        let is_special = event.is_stream_metadata() || event.is_tombstone();
        if is_special || !(self.loops.enabled || self.provenance) {
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

#[cfg(test)]
mod tests;
