//! Writes of the two kinds of appends: their events, their faults and their success.

use antiphon_eventstore::wire;
use antiphon_eventstore::wire::expected_stream::Expected;
use antiphon_eventstore::wire::streams::append_resp::{self, success};
use antiphon_eventstore::{ExpectedRevision, NewEvent, content_type};
use bytes::Bytes;
use tonic::Status;

use super::request::required;
use crate::faults::Fault;
use crate::io::ConnectionHandle;
use crate::node::Node;
use crate::refusal;
use crate::store::Appended;

/// Writes, unless a fault prevents it, which breaks the connection.
pub(super) fn write(
    node: &Node,
    stream: &str,
    expected: ExpectedRevision,
    events: Vec<NewEvent>,
    connection: Option<&ConnectionHandle>,
) -> Result<Appended, Status> {
    let broken = || {
        if let Some(connection) = connection {
            connection.reset();
        }
        refusal::not_ready()
    };
    node.allow(stream)?;
    if node.faults.happens(Fault::LostRequest) {
        return Err(broken());
    }
    let appended = node.store().append(stream, expected, events);
    let appended = appended.map_err(|error| refusal::failed(&error))?;
    if node.faults.happens(Fault::LostReply) { Err(broken()) } else { Ok(appended) }
}

pub(super) fn event(given: wire::NewEvent) -> Result<NewEvent, Status> {
    let property = |name: &str| {
        let value = given.system.get(name).filter(|value| !value.is_empty());
        value.ok_or_else(|| refusal::lacks_property(name))
    };
    let id = given.id.as_ref().and_then(wire::Uuid::id).filter(|id| !id.is_nil());
    Ok(NewEvent {
        event_type: property("type")?.as_str().into(),
        is_json: property("content-type")? == content_type(true),
        id: required(id, "id")?,
        // copied, because a slice would keep the whole message in memory
        data: Bytes::copy_from_slice(&given.data),
        metadata: Bytes::copy_from_slice(&given.metadata),
    })
}

/// The size of an event by which a real server limits appends.
pub(super) fn size_on_disk(event: &NewEvent) -> usize {
    let letters = event.event_type.encode_utf16().count();
    event.data.len() + event.metadata.len() + 2 * letters
}

pub(super) fn expected(given: Option<Expected>) -> Result<ExpectedRevision, Status> {
    let expected = required(given, "expected stream revision")?.into();
    // the number before the first one
    let is_none = expected == ExpectedRevision::Exact(u64::MAX);
    Ok(if is_none { ExpectedRevision::NoStream } else { expected })
}

/// The success message of an append; none when it was refused.
pub(super) fn written(appended: Appended) -> Option<append_resp::Success> {
    let (last, at) = match appended {
        Appended::Written { last, position } => (last, Some(position)),
        Appended::Repeated { last, position } => (Some(last), position),
        Appended::Wrong { .. } | Appended::Tombstoned => return None,
    };
    let at = at.map_or(success::At::NoPosition(wire::Empty {}), |at| {
        success::At::Position(wire::Position { commit: at, prepare: at })
    });
    let none = success::Current::NoStream(wire::Empty {});
    let current = last.map_or(none, success::Current::CurrentRevision);
    Some(append_resp::Success { current: Some(current), at: Some(at) })
}
