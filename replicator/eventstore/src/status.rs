//! Meaning of a gRPC status. The server names its refusals in the trailer `exception`. Other errors
//! are classified by the code, and by their origin: the server or the connection.

use std::error::Error as StdError;

use bytes::Bytes;
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::connector::ConnectFailed;
use crate::error::{Error, ErrorKind, Result};
use crate::event::AppendOutcome;
use crate::wire;

/// The leader's address as reported by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaderAt {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A classified status.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// True when the connection is unusable.
    pub(crate) broken: bool,
    /// Set when another node must be asked.
    pub(crate) leader: Option<LeaderAt>,
}

/// Classifies `status`. The error begins with `doing`, for example "append to stream `a`".
pub(crate) fn failure(doing: &str, status: Status) -> Failure {
    if status.source().is_some() {
        return local(doing, status);
    }
    let leader = leader(status.metadata());
    let kind = exception_kind(status.metadata())
        .unwrap_or_else(|| code_kind(status.code(), status.message()));
    let broken = matches!(kind, ErrorKind::Unavailable | ErrorKind::NotLeader)
        && exception(status.metadata()) != Some("persistent-subscription-dropped");
    let error = Error::new(kind, format!("{doing}: {}", explain(&status)));
    Failure { error, broken, leader }
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

/// The failure of a connection, not of the request.
fn local(doing: &str, status: Status) -> Failure {
    if let Some(refused) = connect_failure(&status) {
        let error = Error::new(ErrorKind::Unavailable, format!("{doing}: {refused}"));
        return Failure { error, broken: true, leader: None };
    }
    // the server may have executed the request before the connection broke
    let error = Error::new(
        ErrorKind::Timeout,
        format!("{doing}: the connection broke before the answer came, the outcome is unknown"),
    )
    .with_source(status);
    Failure { error, broken: true, leader: None }
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

fn exception(trailers: &MetadataMap) -> Option<&str> {
    trailers.get("exception").and_then(|value| value.to_str().ok())
}

fn exception_kind(trailers: &MetadataMap) -> Option<ErrorKind> {
    Some(match exception(trailers)? {
        "access-denied" => ErrorKind::AccessDenied,
        "not-leader" => ErrorKind::NotLeader,
        "stream-deleted" => ErrorKind::StreamDeleted,
        "stream-not-found" | "persistent-subscription-does-not-exist" => ErrorKind::NotFound,
        "persistent-subscription-exists" => ErrorKind::AlreadyExists,
        "persistent-subscription-dropped" => ErrorKind::Unavailable,
        "maximum-subscribers-reached"
        | "maximum-append-size-exceeded"
        | "maximum-append-event-size-exceeded"
        | "missing-required-metadata-property"
        | "invalid-transaction"
        | "wrong-expected-version" => ErrorKind::Rejected,
        _ => return None,
    })
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

fn explain(status: &Status) -> String {
    let trailers = status.metadata();
    let named = |name: &str| {
        trailers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("unknown").to_owned()
    };
    match exception(trailers) {
        Some("access-denied") => DENIED.to_owned(),
        Some("not-leader") => "the node is not the leader".to_owned(),
        Some("stream-deleted") => TOMBSTONED.to_owned(),
        Some("maximum-append-size-exceeded") => too_large(&named("maximum-append-size")),
        Some("maximum-subscribers-reached") => {
            "the group has all the consumers that its setting `max_subscriber_count` allows"
                .to_owned()
        }
        Some("persistent-subscription-does-not-exist") => {
            "the group does not exist: create it first".to_owned()
        }
        Some("persistent-subscription-exists") => "the group exists already".to_owned(),
        Some("persistent-subscription-dropped") => {
            "the server dropped the consumer (the group was deleted, changed or restarted)"
                .to_owned()
        }
        Some("wrong-expected-version") => format!(
            "the stream is not at the expected revision (expected {}, actual {})",
            named("expected-version"),
            named("actual-version")
        ),
        _ => by_code(status),
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

fn leader(trailers: &MetadataMap) -> Option<LeaderAt> {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    let host = text("leader-endpoint-host")?.to_owned();
    let port = text("leader-endpoint-port")?.parse().ok()?;
    Some(LeaderAt { host, port })
}
