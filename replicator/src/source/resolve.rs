//! Converts events and errors of the event store's client.

use antiphon_eventstore as es;

use super::{Delivery, Position, Token};
use crate::event::{Envelope, Event, Link};
use crate::{Error, ErrorKind};

/// The type of events that point to another event.
const LINK_TYPE: &str = "$>";

/// The way in which positions are taken from events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PositionOf {
    /// The number in the subscribed stream.
    Stream,
    /// The position in `$all`.
    All,
    /// The source keeps the position.
    Nobody,
}

/// The delivery of an event; none when the answer has neither an event nor a link.
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

/// The event as recorded at the source.
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

/// Converts an error of the client. The kind says if a retry helps or a setting must change.
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

/// Settings as the client's messages name them, and their keys in the configuration.
const KEYS: [(&str, &str); 4] = [
    (
        "setting `request_timeout`",
        "`Settings:WriteTimeout`, or `defaultDeadline` in the connection string",
    ),
    ("setting `connect_timeout`", "`Settings:Client:ConnectTimeout`"),
    ("setting `gossip_timeout`", "`Settings:Client:GossipTimeout`, or `gossipTimeout` there"),
    ("setting `message_bytes_max`", "`Settings:Client:MessageBytesMax`"),
];

/// The message with its causes, for readers who see only one line.
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
    KEYS.iter().fold(text, |text, (theirs, ours)| text.replace(theirs, ours))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use antiphon_eventstore_testserver::{ServerSettings, TestServer};
    use bytes::Bytes;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_timeout_names_the_key_that_the_user_has() {
        let server = ServerSettings { listen: "127.0.0.1:0".into(), ..ServerSettings::default() };
        let server = TestServer::start(server).await.unwrap();
        let connection = es::ConnectionString::parse(&server.connection_string()).unwrap();
        let request_timeout = Duration::from_millis(300);
        let limits = es::ClientSettings { request_timeout, ..es::ClientSettings::default() };
        let client = es::EventStoreClient::new(connection, limits).unwrap();
        client.ping().await.unwrap();
        server.faults().hold_requests(true);
        let event = es::NewEvent::json("Happened", Bytes::from_static(b"{}"));
        let refused = client.append("a", es::ExpectedRevision::Any, vec![event]).await.unwrap_err();

        let message = message(&refused);
        assert!(
            message.contains("no answer within 300ms (`Settings:WriteTimeout`, or"),
            "{message}"
        );
        assert!(!message.contains("request_timeout"), "{message}");
    }
}
