//! The server's refusals: a code, a message, and the trailers by which clients tell them apart.

use antiphon_eventstore::{Error, ExpectedRevision};
use tonic::{Code, Status};
use uuid::Uuid;

fn refusal(code: Code, message: String, trailers: &[(&'static str, &str)]) -> Status {
    let mut status = Status::new(code, message);
    for (name, value) in trailers {
        // a stream name that is not a valid header value is left out; the message has it too
        if let Ok(value) = value.parse() {
            status.metadata_mut().insert(*name, value);
        }
    }
    status
}

pub(crate) fn malformed(field: &str) -> Status {
    Status::invalid_argument(format!("expected `{field}`, actual none"))
}

pub(crate) fn invalid(what: &str) -> Status {
    Status::invalid_argument(what)
}

pub(crate) fn unauthenticated() -> Status {
    Status::unauthenticated("")
}

pub(crate) fn access_denied() -> Status {
    refusal(Code::PermissionDenied, "Access Denied".to_owned(), &[("exception", "access-denied")])
}

pub(crate) fn not_ready() -> Status {
    Status::unavailable("Server Is Not Ready")
}

pub(crate) fn not_leader(host: &str, port: u16) -> Status {
    let port = port.to_string();
    let trailers = [
        ("exception", "not-leader"),
        ("leader-endpoint-host", host),
        ("leader-endpoint-port", port.as_str()),
    ];
    refusal(Code::NotFound, "Leader info available".to_owned(), &trailers)
}

pub(crate) fn stream_deleted(stream: &str) -> Status {
    let trailers = [("exception", "stream-deleted"), ("stream-name", stream)];
    refusal(Code::FailedPrecondition, format!("Event stream '{stream}' is deleted."), &trailers)
}

pub(crate) fn too_large(bytes_max: usize) -> Status {
    let limit = bytes_max.to_string();
    let trailers =
        [("exception", "maximum-append-size-exceeded"), ("maximum-append-size", limit.as_str())];
    let message = format!("Maximum Append Size of {bytes_max} Exceeded.");
    refusal(Code::InvalidArgument, message, &trailers)
}

pub(crate) fn event_too_large(event: Uuid, bytes: usize, bytes_max: usize) -> Status {
    let (event, bytes, limit) = (event.to_string(), bytes.to_string(), bytes_max.to_string());
    let trailers = [
        ("exception", "maximum-append-event-size-exceeded"),
        ("maximum-append-event-size", limit.as_str()),
        ("event-id", event.as_str()),
        ("proposed-append-event-size", bytes.as_str()),
    ];
    let message = format!(
        "Event with Id: {event}, Size: {bytes}, exceeds Maximum Append Event Size of {limit}."
    );
    refusal(Code::InvalidArgument, message, &trailers)
}

pub(crate) fn lacks_property(name: &str) -> Status {
    let trailers = [
        ("exception", "missing-required-metadata-property"),
        ("required-metadata-properties", "type,content-type"),
    ];
    let message = format!("Required Metadata Property '{name}' is missing");
    refusal(Code::InvalidArgument, message, &trailers)
}

/// The refusal of a deletion.
pub(crate) fn wrong_version(
    stream: &str,
    expected: ExpectedRevision,
    current: Option<u64>,
) -> Status {
    let expected = match expected {
        ExpectedRevision::Any => "-2".to_owned(),
        ExpectedRevision::NoStream => "-1".to_owned(),
        ExpectedRevision::StreamExists => "-4".to_owned(),
        ExpectedRevision::Exact(revision) => revision.to_string(),
    };
    let actual = current.map_or("-1".to_owned(), |current| current.to_string());
    let trailers = [
        ("exception", "wrong-expected-version"),
        ("stream-name", stream),
        ("expected-version", expected.as_str()),
        ("actual-version", actual.as_str()),
    ];
    let message = format!(
        "Delete failed due to WrongExpectedVersion. Stream: {stream}, Expected version: {expected}, \
         Actual version: {actual}"
    );
    refusal(Code::FailedPrecondition, message, &trailers)
}

fn of_group(code: Code, exception: &'static str, stream: &str, group: &str, says: &str) -> Status {
    let trailers = [("exception", exception), ("stream-name", stream), ("group-name", group)];
    refusal(code, format!("Subscription group {group} on stream {stream} {says}"), &trailers)
}

pub(crate) fn no_group(stream: &str, group: &str) -> Status {
    let exception = "persistent-subscription-does-not-exist";
    of_group(Code::NotFound, exception, stream, group, "does not exist.")
}

pub(crate) fn group_exists(stream: &str, group: &str) -> Status {
    of_group(Code::AlreadyExists, "persistent-subscription-exists", stream, group, "exists.")
}

pub(crate) fn too_many_consumers(stream: &str, group: &str) -> Status {
    let trailers = [
        ("exception", "maximum-subscribers-reached"),
        ("stream-name", stream),
        ("group-name", group),
    ];
    let message =
        format!("Maximum subscriptions reached for subscription group {group} on stream {stream}.");
    refusal(Code::FailedPrecondition, message, &trailers)
}

/// The refusal of a group whose settings make no sense to the server.
pub(crate) fn group_failed(stream: &str, group: &str, reason: &str) -> Status {
    let trailers = [
        ("exception", "persistent-subscription-failed"),
        ("stream-name", stream),
        ("group-name", group),
        ("reason", reason),
    ];
    let message = format!("Subscription group {group} on stream {stream} failed: '{reason}'");
    refusal(Code::Internal, message, &trailers)
}

pub(crate) fn dropped(stream: &str, group: &str) -> Status {
    let exception = "persistent-subscription-dropped";
    of_group(Code::Cancelled, exception, stream, group, "was dropped.")
}

/// The failure of the store itself.
pub(crate) fn failed(error: &Error) -> Status {
    Status::internal(error.to_string())
}
