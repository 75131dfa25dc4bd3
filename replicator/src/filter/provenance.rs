//! The origin of an event, in its metadata: `$original..` for people, `$origin` so that no event
//! goes round.
//!
//! `$origin` is the list of the places that an event has been in before. A replicator adds the name
//! of its source, and drops an event whose list has the name of its destination. An event that was
//! written in a place itself has no list.

use serde_json::{Value, json};

use super::{Metadata, NotAnObject};
use crate::event::Event;
use crate::logging::iso_timestamp;

/// The key of the list of places.
pub const ORIGIN: &str = "$origin";

/// Returns whether an event was in `place` before.
///
/// # Errors
/// `NotAnObject` when the metadata can hold no list, so that the event would go round for ever.
pub fn came_from(metadata: &[u8], place: &str) -> Result<bool, NotAnObject> {
    Ok(origins(&Metadata::parse(metadata)?).iter().any(|origin| origin == place))
}

fn origins(metadata: &Metadata) -> Vec<String> {
    // another tool may have written a single name as `$origin`
    match metadata.get(ORIGIN).and_then(|raw| serde_json::from_str(raw).ok()) {
        Some(Value::Array(places)) => {
            places.into_iter().filter_map(|place| place.as_str().map(str::to_owned)).collect()
        }
        Some(Value::String(place)) => vec![place],
        _ => Vec::new(),
    }
}

/// Adds a place to the list.
pub(super) fn add_origin(metadata: &mut Metadata, place: &str) {
    let mut origins = origins(metadata);
    if !origins.iter().any(|origin| origin == place) {
        origins.push(place.to_owned());
    }
    metadata.set(ORIGIN, &json!(origins));
}

/// Adds the stream, number, type and date of the event at its source. Existing keys stay: they
/// describe the first source.
pub(super) fn add_original(metadata: &mut Metadata, event: &Event) {
    for (key, value) in [
        ("$originalStream", json!(&*event.stream)),
        ("$originalEventNumber", json!(event.revision)),
        ("$originalEventType", json!(&*event.event_type)),
        ("$originalCreatedDate", json!(iso_timestamp(event.created))),
    ] {
        if metadata.get(key).is_none() {
            metadata.set(key, &value);
        }
    }
}
