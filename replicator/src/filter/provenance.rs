//! Where an event came from, in its metadata: `$original..` for people, `$origin` so that no event goes round.
//!
//! `$origin` is the list of the places that an event has been in before. A link adds the name of its source and drops what has its
//! destination in the list already. An event that was written in a place itself has no list.

use serde_json::{Value, json};

use super::{Metadata, NotAnObject};
use crate::event::Event;
use crate::logging::iso_timestamp;

/// The key of the list of places.
pub const ORIGIN: &str = "$origin";

/// Whether an event was in `place` before.
///
/// # Errors
/// When its metadata can hold no list, so that it would go round for ever.
pub fn came_from(metadata: &[u8], place: &str) -> Result<bool, NotAnObject> {
    Ok(origins(&Metadata::parse(metadata)?).iter().any(|origin| origin == place))
}

fn origins(metadata: &Metadata) -> Vec<String> {
    // another tool may have written a single name there
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

/// Adds what an event was at its source. Keys that are there stay: they tell of the first source.
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
