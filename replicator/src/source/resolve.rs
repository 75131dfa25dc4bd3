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
    // in `$all`, and as a target, a link is an event like others; elsewhere it stands for its
    // target
    let is_event = position_of == PositionOf::All || link.is_some();
    let is_resolved = resolved.event.as_ref().is_some_and(|event| is_event || !is_link(event));
    let event = event(resolved.event.or(resolved.link)?);
    let envelope = Box::new(Envelope { link, position, retry_count, token, ..Envelope::of(event) });
    Some(if is_resolved { Delivery::Event(envelope) } else { Delivery::Unresolved(envelope) })
}

/// Returns true for an event that points to another event.
pub(super) fn is_link(event: &es::RecordedEvent) -> bool {
    &*event.event_type == LINK_TYPE
}

/// The target of a link that the server did not resolve; none when it is gone, or names no event.
pub(super) async fn target_of(
    client: &es::EventStoreClient,
    link: &es::RecordedEvent,
) -> Result<Option<es::RecordedEvent>, Error> {
    let text = std::str::from_utf8(&link.data).unwrap_or_default();
    let target = text.split_once('@').filter(|(_, stream)| !stream.is_empty());
    let Some((revision, stream)) = target else { return Ok(None) };
    let Some(revision) = revision.parse().ok().filter(|number| *number < i64::MAX.unsigned_abs())
    else {
        return Ok(None);
    };
    let (forwards, from) = (es::Direction::Forwards, es::ReadFrom::At(revision));
    let found = match client.read_if_there(stream, forwards, from, 1).await {
        Ok(found) => found,
        Err(failed) if failed.kind() == es::ErrorKind::StreamDeleted => Vec::new(),
        Err(failed) => return Err(error(failed)),
    };
    let found = found.into_iter().find_map(|one| one.link.or(one.event));
    Ok(found.filter(|event| event.revision == revision))
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
