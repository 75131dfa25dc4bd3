//! Events and errors between the pipeline and the client.

use antiphon_eventstore as es;
use uuid::Uuid;

use crate::event::Event;
use crate::sink::{Conflict, Outcome};
use crate::source::message;

pub(super) fn new_event(event: &Event) -> es::NewEvent {
    es::NewEvent {
        id: event.id,
        event_type: event.event_type.clone(),
        is_json: event.is_json,
        data: event.data.clone(),
        metadata: event.metadata.clone(),
    }
}

/// The outcome of an event whose call failed.
pub(super) fn failure(failed: &es::Error) -> Outcome {
    let reason = message(failed);
    match failed.kind() {
        es::ErrorKind::Unavailable
        | es::ErrorKind::Timeout
        | es::ErrorKind::NotLeader
        // a changed password: not the fault of an event
        | es::ErrorKind::AccessDenied => Outcome::Unavailable(reason),
        es::ErrorKind::StreamDeleted => Outcome::Conflict(Conflict::Ended),
        es::ErrorKind::Rejected => Outcome::Rejected(reason),
        es::ErrorKind::NotFound
        | es::ErrorKind::AlreadyExists
        | es::ErrorKind::Corrupt
        | es::ErrorKind::Bug => Outcome::Retryable(reason),
        _ => Outcome::Retryable(reason),
    }
}

/// The expected revision of an append behind the event with number `last`.
pub(super) fn behind(last: Option<u64>) -> es::ExpectedRevision {
    last.map_or(es::ExpectedRevision::NoStream, es::ExpectedRevision::Exact)
}

/// Numbers and ids of at most `count` events of a destination's stream.
pub(super) async fn ids(
    client: &es::EventStoreClient,
    stream: &str,
    direction: es::Direction,
    from: es::ReadFrom<u64>,
    count: u64,
) -> Result<Vec<(u64, Uuid)>, Outcome> {
    let events = client.read_if_there(stream, direction, from, count).await;
    let events = events.map_err(|failed| failure(&failed))?;
    let originals = events.into_iter().filter_map(|resolved| resolved.link.or(resolved.event));
    Ok(originals.map(|event| (event.revision, event.id)).collect())
}
