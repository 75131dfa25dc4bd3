//! Meaning of a gRPC status. The server names its refusals in the trailer `exception`. Other errors
//! are classified by the code, and by their origin: the server or the connection.

use std::error::Error as StdError;

use bytes::Bytes;
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::address::NodeAddress;
use crate::connector::ConnectFailed;
use crate::error::{Error, ErrorKind, Result};
use crate::event::AppendOutcome;
use crate::wire;

/// A classified status.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// True when the connection is unusable.
    pub(crate) broken: bool,
    /// Set when another node must be asked.
    pub(crate) leader: Option<NodeAddress>,
}

/// Classifies `status`. The error begins with `doing`, for example "append to stream `a`".
pub(crate) fn failure(doing: &str, status: Status) -> Failure {
    if status.source().is_some() {
        return local(doing, status);
    }
    let (kind, why) = refusal(status.metadata()).unwrap_or_else(|| {
        let kind = exception_kind(status.metadata())
            .unwrap_or_else(|| code_kind(status.code(), status.message()));
        (kind, by_code(&status))
    });
    let broken = matches!(kind, ErrorKind::Unavailable | ErrorKind::NotLeader)
        && text(status.metadata(), "exception") != Some("persistent-subscription-dropped");
    let leader = leader(status.metadata());
    Failure { error: Error::of(kind, doing, why), broken, leader }
}

/// Classifies the error of one append of a batch. The type of the details names the error.
pub(crate) fn batch_failure(
    code: Code,
    message: &str,
    details: Option<&wire::Any>,
) -> Result<AppendOutcome> {
    use wire::wrong_expected_version::Current;
    let (name, value) = match details {
        Some(any) => (any.type_url.rsplit('.').next().unwrap_or_default(), any.value.clone()),
        None => ("", Bytes::new()),
    };
    let unreadable = |error: prost::DecodeError| {
        Error::corrupt(format!("the details `{name}` of an error cannot be read"))
            .with_source(error)
    };
    match name {
        "WrongExpectedVersion" => {
            let wrong = wire::WrongExpectedVersion::decode(value).map_err(unreadable)?;
            let current = match wrong.current {
                Some(Current::CurrentRevision(revision)) => Some(revision),
                Some(Current::CurrentNoStream(_)) | None => None,
            };
            Ok(AppendOutcome::WrongExpectedRevision { current })
        }
        "MaximumAppendSizeExceeded" => {
            let limit = wire::MaximumAppendSizeExceeded::decode(value).map_err(unreadable)?;
            Err(Error::rejected(too_large(&limit.bytes_max.to_string())))
        }
        "MaximumAppendEventSizeExceeded" => {
            let limit = wire::MaximumAppendEventSizeExceeded::decode(value).map_err(unreadable)?;
            let (bytes, most) = (limit.bytes.to_string(), limit.bytes_max.to_string());
            Err(Error::rejected(event_too_large(&limit.event, &bytes, &most)))
        }
        "BadRequest" => {
            let refused = wire::BadRequest::decode(value).map_err(unreadable)?;
            let why = format!("the server refuses the request: {}", refused.message);
            Err(Error::rejected(why))
        }
        "StreamDeleted" => Err(Error::new(ErrorKind::StreamDeleted, TOMBSTONED)),
        "AccessDenied" => Err(Error::new(ErrorKind::AccessDenied, DENIED)),
        "Timeout" => {
            Err(Error::new(ErrorKind::Timeout, "the server timed out, the outcome is unknown"))
        }
        _ => {
            let status = Status::new(code, message);
            Err(Error::new(code_kind(code, message), by_code(&status)))
        }
    }
}

const TOMBSTONED: &str = "the stream was deleted for ever (tombstone)";
const DENIED: &str = "the user may not do this: check its rights";

fn too_large(limit: &str) -> String {
    let setting = "its setting `MaxAppendSize`";
    format!("the events are larger than the server's limit of {limit} bytes ({setting})")
}

fn event_too_large(event: &str, bytes: &str, limit: &str) -> String {
    let setting = "its setting `MaxAppendEventSize`";
    format!("event `{event}` has {bytes} bytes, the server's limit is {limit} ({setting})")
}

/// The failure of a connection, not of the request.
fn local(doing: &str, status: Status) -> Failure {
    let error = match connect_failure(&status) {
        Some(refused) => Error::of(ErrorKind::Unavailable, doing, refused),
        // the server may have executed the request before the connection broke
        None => unknown(doing, "the connection broke before the answer came").with_source(status),
    };
    Failure { error, broken: true, leader: None }
}

/// The error of a write that is perhaps done.
pub(crate) fn unknown(doing: &str, why: &str) -> Error {
    Error::of(ErrorKind::Timeout, doing, format!("{why}, the outcome is unknown"))
}

/// The message of the connector, if the connector failed.
pub(crate) fn connect_failure(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<ConnectFailed>() {
            return Some(refused.to_string());
        }
        cause = error.source();
    }
    None
}

fn text<'a>(trailers: &'a MetadataMap, name: &str) -> Option<&'a str> {
    trailers.get(name).and_then(|value| value.to_str().ok())
}

/// The kind and the reason of a refusal that the server names.
fn refusal(trailers: &MetadataMap) -> Option<(ErrorKind, String)> {
    let named = |name: &str| text(trailers, name).unwrap_or("unknown");
    let (kind, why) = match text(trailers, "exception")? {
        "access-denied" => (ErrorKind::AccessDenied, DENIED),
        "not-leader" => (ErrorKind::NotLeader, "the node is not the leader"),
        "stream-deleted" => (ErrorKind::StreamDeleted, TOMBSTONED),
        "persistent-subscription-does-not-exist" => {
            (ErrorKind::NotFound, "the group does not exist: create it first")
        }
        "persistent-subscription-exists" => (ErrorKind::AlreadyExists, "the group exists already"),
        "persistent-subscription-dropped" => (
            ErrorKind::Unavailable,
            "the server dropped the consumer (the group was deleted, changed or restarted)",
        ),
        "maximum-subscribers-reached" => (
            ErrorKind::Rejected,
            "the group has all the consumers that its setting `max_subscriber_count` allows",
        ),
        "maximum-append-size-exceeded" => {
            return Some((ErrorKind::Rejected, too_large(named("maximum-append-size"))));
        }
        "maximum-append-event-size-exceeded" => {
            let (bytes, most) = ("proposed-append-event-size", "maximum-append-event-size");
            let why = event_too_large(named("event-id"), named(bytes), named(most));
            return Some((ErrorKind::Rejected, why));
        }
        "persistent-subscription-failed" => {
            let why = format!("the server refuses the group: {}", named("reason"));
            return Some((ErrorKind::Rejected, why));
        }
        "wrong-expected-version" => {
            let why = format!(
                "the stream is not at the expected revision (expected {}, actual {})",
                revision(named("expected-version")),
                revision(named("actual-version"))
            );
            return Some((ErrorKind::Rejected, why));
        }
        _ => return None,
    };
    Some((kind, why.to_owned()))
}

/// A revision in words: the server has numbers for its special cases.
fn revision(number: &str) -> &str {
    match number {
        "" | "-1" => "no stream",
        "-2" => "any",
        "-4" => "any of a stream that exists",
        other => other,
    }
}

/// The kind of a refusal whose name says no more than its message.
fn exception_kind(trailers: &MetadataMap) -> Option<ErrorKind> {
    match text(trailers, "exception")? {
        "stream-not-found" => Some(ErrorKind::NotFound),
        "missing-required-metadata-property" | "invalid-transaction" => Some(ErrorKind::Rejected),
        _ => None,
    }
}

/// The kind for a bare code. The text is used only because old servers return "unknown" for
/// everything.
fn code_kind(code: Code, message: &str) -> ErrorKind {
    match code {
        Code::Unavailable | Code::ResourceExhausted => ErrorKind::Unavailable,
        Code::DeadlineExceeded | Code::Aborted | Code::Cancelled => ErrorKind::Timeout,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists => ErrorKind::AlreadyExists,
        Code::Unauthenticated | Code::PermissionDenied => ErrorKind::AccessDenied,
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented => ErrorKind::Rejected,
        Code::DataLoss => ErrorKind::Corrupt,
        Code::Unknown if message.contains("Timeout") => ErrorKind::Timeout,
        Code::Ok | Code::Unknown | Code::Internal => ErrorKind::Bug,
    }
}

fn by_code(status: &Status) -> String {
    let (code, message) = (status.code(), status.message());
    if code == Code::Unauthenticated {
        return "the server does not accept the user and password of the connection string"
            .to_owned();
    }
    if code == Code::PermissionDenied {
        return DENIED.to_owned();
    }
    if code == Code::Unimplemented {
        return "the server does not know this call: it needs EventStoreDB 20.6 or newer"
            .to_owned();
    }
    if code == Code::OutOfRange && message.contains("message length too large") {
        let setting = "setting `message_bytes_max`";
        return format!("an event is larger than this client accepts ({setting}): {message}");
    }
    format!("the server answered {code:?}: {message}")
}

fn leader(trailers: &MetadataMap) -> Option<NodeAddress> {
    let host = text(trailers, "leader-endpoint-host")?.to_owned();
    let port = text(trailers, "leader-endpoint-port")?.parse().ok()?;
    Some(NodeAddress { host, port })
}
