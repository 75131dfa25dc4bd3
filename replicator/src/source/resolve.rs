//! From what the event store's client says to deliveries, and its errors to ours.

use antiphon_eventstore as es;

use super::{Delivery, Position, Token};
use crate::event::{Envelope, Event, Link};
use crate::{Error, ErrorKind};

/// The type of events that point to another event.
const LINK_TYPE: &str = "$>";

/// How positions are taken from events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PositionOf {
    /// The number in the subscribed stream.
    Stream,
    /// The place in `$all`.
    All,
    /// The source keeps it.
    Nobody,
}

/// The delivery of an event; none when there is neither an event nor a link.
pub(super) fn delivery(
    resolved: es::ResolvedEvent,
    position_of: PositionOf,
    retry_count: u32,
    token: Option<Token>,
) -> Option<Delivery> {
    let original = resolved.original()?;
    let position = match position_of {
        PositionOf::Stream => Some(Position::Stream(original.revision)),
        PositionOf::All => Some(all_position(original.position)),
        PositionOf::Nobody => None,
    };
    let link = resolved
        .link
        .as_ref()
        .map(|link| Link { stream: link.stream.clone(), revision: link.revision });
    let is_resolved = resolved.event.as_ref().is_some_and(|event| &*event.event_type != LINK_TYPE);
    let event = event(resolved.event.or(resolved.link)?);
    let envelope = Box::new(Envelope { event, link, position, retry_count, token });
    Some(if is_resolved { Delivery::Event(envelope) } else { Delivery::Unresolved(envelope) })
}

pub(super) fn all_position(position: es::Position) -> Position {
    Position::All { commit: position.commit, prepare: position.prepare }
}

/// The event as the source has it.
pub(crate) fn event(recorded: es::RecordedEvent) -> Event {
    Event {
        id: recorded.id,
        stream: recorded.stream,
        revision: recorded.revision,
        event_type: recorded.event_type,
        is_json: recorded.is_json,
        data: recorded.data,
        metadata: recorded.metadata,
        created: recorded.created,
    }
}

/// What an error of the client means here: try again, or change something.
pub(crate) fn error(error: es::Error) -> Error {
    let kind = match error.kind() {
        es::ErrorKind::Unavailable | es::ErrorKind::Timeout | es::ErrorKind::NotLeader => {
            ErrorKind::Unavailable
        }
        es::ErrorKind::Corrupt => ErrorKind::Corrupt,
        es::ErrorKind::Bug => ErrorKind::Bug,
        es::ErrorKind::NotFound
        | es::ErrorKind::AlreadyExists
        | es::ErrorKind::AccessDenied
        | es::ErrorKind::StreamDeleted
        | es::ErrorKind::Rejected => ErrorKind::Rejected,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, message(&error)).with_source(error)
}

/// The message with what is underneath, for people who see no more than one line.
pub(crate) fn message(error: &es::Error) -> String {
    let mut text = error.message().to_owned();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
