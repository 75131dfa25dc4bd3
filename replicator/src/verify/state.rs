//! A stream as a whole on one side: its existence, and its metadata.

use std::fmt;

use antiphon_eventstore as es;
use serde_json::{Map, Value};

use crate::Result;
use crate::source::error;

/// The existence of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The stream has events, or had some that were truncated.
    There,
    /// The stream was never written.
    Missing,
    /// The stream was deleted, and can be written again.
    Deleted,
    /// The stream was deleted for ever.
    Tombstoned,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::There => "there",
            Self::Missing => "missing",
            Self::Deleted => "deleted",
            Self::Tombstoned => "deleted for ever",
        })
    }
}

/// The existence of a stream at an event store, and its metadata, empty when there is none.
pub(super) async fn of(
    client: &es::EventStoreClient,
    stream: &str,
) -> Result<(State, Map<String, Value>)> {
    let first = client.read_stream(stream, es::Direction::Forwards, es::ReadFrom::Start, 1, false);
    let events = match first.await {
        Ok(events) => events.collect().await,
        Err(failed) => Err(failed),
    };
    let is_there = match events {
        Ok(_) => true,
        Err(failed) if failed.kind() == es::ErrorKind::NotFound => false,
        Err(failed) if failed.kind() == es::ErrorKind::StreamDeleted => {
            return Ok((State::Tombstoned, Map::new()));
        }
        Err(failed) => return Err(error(failed)),
    };
    let newest = client.newest(&format!("$${stream}")).await.map_err(error)?;
    let data = newest.and_then(|newest| newest.event).map(|event| event.data).unwrap_or_default();
    // metadata that is not JSON has no property that a server would follow
    let properties: Map<String, Value> = serde_json::from_slice(&data).unwrap_or_default();
    let is_deleted = properties.get("$tb").and_then(Value::as_i64) == Some(i64::MAX);
    let state = match (is_there, is_deleted) {
        (true, _) => State::There,
        (false, true) => State::Deleted,
        (false, false) => State::Missing,
    };
    Ok((state, properties))
}

/// The names of the properties that differ. With `ignores_age` the destination may have a `$maxAge`
/// of its own.
pub(super) fn differing(
    wanted: &Map<String, Value>,
    found: &Map<String, Value>,
    ignores_age: bool,
) -> Vec<String> {
    let mut names: Vec<&String> = wanted.keys().chain(found.keys()).collect();
    names.sort();
    names.dedup();
    let differs = |name: &&String| wanted.get(*name) != found.get(*name);
    let is_own = |name: &&String| ignores_age && *name == "$maxAge" && !wanted.contains_key(*name);
    names.into_iter().filter(differs).filter(|name| !is_own(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn properties_are_compared_by_their_values_and_an_age_of_the_destination_may_be_allowed() {
        let object = |value: Value| value.as_object().cloned().unwrap_or_default();
        let wanted = object(json!({ "$maxCount": 3, "own": { "b": 1, "a": 2 } }));
        let same = object(json!({ "own": { "a": 2, "b": 1 }, "$maxCount": 3, "$maxAge": 5 }));
        assert_eq!(differing(&wanted, &same, true), Vec::<String>::new());
        assert_eq!(differing(&wanted, &same, false), ["$maxAge"]);
        let other = object(json!({ "$maxCount": 4 }));
        assert_eq!(differing(&wanted, &other, true), ["$maxCount", "own"]);
    }
}
