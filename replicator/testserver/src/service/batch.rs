//! Appends over one stream of requests, answered one by one in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_eventstore::wire;
use antiphon_eventstore::wire::expected_stream::Deadline;
use antiphon_eventstore::wire::streams::{
    BatchAppendReq, BatchAppendResp, append_resp, batch_append_resp,
};
use antiphon_eventstore::{ExpectedRevision, NewEvent};
use futures::stream;
use prost::Message;
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use super::request::{self, Answers, name, required};
use super::write::{event, expected, size_on_disk, write, written};
use crate::io::ConnectionHandle;
use crate::node::Node;
use crate::refusal;
use crate::store::{Appended, now_ticks};

/// Largest number of incomplete batches on one stream of requests.
const OPEN_MAX: usize = 1024;

struct Session {
    node: Arc<Node>,
    requests: Streaming<BatchAppendReq>,
    connection: Option<ConnectionHandle>,
    /// Incomplete batches by their id.
    parts: BTreeMap<Uuid, Batch>,
}

pub(super) fn answers(
    node: Arc<Node>,
    requests: Streaming<BatchAppendReq>,
    connection: Option<ConnectionHandle>,
) -> Answers<BatchAppendResp> {
    let session = Session { node, requests, connection, parts: BTreeMap::new() };
    request::answers(stream::unfold(session, |mut session| async move {
        Some((session.answer().await?, session))
    }))
}

impl Session {
    async fn answer(&mut self) -> Option<Result<BatchAppendResp, Status>> {
        loop {
            let request = self.requests.message().await.transpose()?;
            if let Some(answer) = request.and_then(|request| self.take(request)).transpose() {
                return Some(answer);
            }
        }
    }

    /// Adds a part. After the last part of a batch, writes it and returns the answer. A request
    /// that makes no sense is answered too, and harms no other batch.
    fn take(&mut self, request: BatchAppendReq) -> Result<Option<BatchAppendResp>, Status> {
        let correlation_id = request.correlation_id.clone();
        let id = required(correlation_id.as_ref().and_then(wire::Uuid::id), "correlation id")?;
        let named = request.options.as_ref().and_then(|options| options.stream.clone());
        let known = self.parts.get(&id).and_then(|batch| batch.options.stream.clone());
        let stream = named.or(known);
        let result = match self.result(id, request) {
            Ok(None) => return Ok(None),
            Ok(Some(written)) => batch_append_resp::Result::Success(written),
            Err(Refused::Batch(status)) => {
                self.parts.remove(&id);
                batch_append_resp::Result::Error(status)
            }
            Err(Refused::All(status)) => return Err(status),
        };
        // what was expected is not repeated, as on a real server
        Ok(Some(BatchAppendResp { correlation_id, result: Some(result), stream, expected: None }))
    }

    fn result(
        &mut self,
        id: Uuid,
        request: BatchAppendReq,
    ) -> Result<Option<append_resp::Success>, Refused> {
        if let Some(options) = request.options {
            self.begin(id, options)?;
        }
        let (bytes_max, event_bytes_max) =
            (self.node.settings.append_bytes_max, self.node.settings.event_bytes_max);
        // the parts of a batch that was refused
        let Some(batch) = self.parts.get_mut(&id) else { return Ok(None) };
        for given in request.events {
            let event = event(given).map_err(|status| bad(status.message()))?;
            let size = size_on_disk(&event);
            if size > event_bytes_max {
                return Err(event_too_large(event.id, size, event_bytes_max));
            }
            batch.bytes += size;
            if batch.bytes > bytes_max {
                return Err(too_large(bytes_max));
            }
            batch.events.push(event);
        }
        if !request.is_final {
            return Ok(None);
        }
        let Some(batch) = self.parts.remove(&id) else { return Ok(None) };
        self.write(batch).map(Some)
    }

    fn begin(&mut self, id: Uuid, options: wire::ExpectedStream) -> Result<(), Refused> {
        let stream = name(options.stream.clone()).map_err(|status| bad(status.message()))?;
        self.node
            .allow(&stream)
            .map_err(|_| Refused::batch(Code::PermissionDenied, "AccessDenied", &wire::Empty {}))?;
        if options.deadline.is_some_and(has_passed) {
            return Err(Refused::batch(Code::DeadlineExceeded, "Timeout", &wire::Empty {}));
        }
        if self.parts.len() >= OPEN_MAX {
            let why = "too many open batches on one stream of requests";
            return Err(Refused::All(refusal::invalid(why)));
        }
        self.parts.insert(id, Batch { options, events: Vec::new(), bytes: 0 });
        Ok(())
    }

    fn write(&self, batch: Batch) -> Result<append_resp::Success, Refused> {
        let stream = name(batch.options.stream).map_err(|status| bad(status.message()))?;
        let expected = expected(batch.options.expected).map_err(|status| bad(status.message()))?;
        let appended = write(&self.node, &stream, expected, batch.events, self.connection.as_ref());
        let appended = appended.map_err(Refused::All)?;
        match (appended, written(appended)) {
            (_, Some(written)) => Ok(written),
            (Appended::Wrong { current }, None) => {
                let details = details(expected, current);
                Err(Refused::batch(Code::AlreadyExists, "WrongExpectedVersion", &details))
            }
            _ => {
                let details = wire::StreamDeleted { stream: Some((&*stream).into()) };
                Err(Refused::batch(Code::NotFound, "StreamDeleted", &details))
            }
        }
    }
}

/// A batch whose last part has not come.
struct Batch {
    options: wire::ExpectedStream,
    events: Vec<NewEvent>,
    bytes: usize,
}

/// The refusal of one batch, or of all that is to come.
enum Refused {
    Batch(batch_append_resp::Status),
    All(Status),
}

impl Refused {
    /// The refusal of one batch, with the name of its kind as message and as type of the details.
    fn batch(code: Code, name: &str, details: &impl Message) -> Self {
        Self::Batch(batch_append_resp::Status {
            code: code as i32,
            message: name.to_owned(),
            details: Some(wire::Any {
                type_url: format!("type.googleapis.com/event_store.client.{name}"),
                value: details.encode_to_vec().into(),
            }),
        })
    }
}

fn bad(message: &str) -> Refused {
    let details = wire::BadRequest { message: message.to_owned() };
    Refused::batch(Code::InvalidArgument, "BadRequest", &details)
}

fn too_large(bytes_max: usize) -> Refused {
    let details = wire::MaximumAppendSizeExceeded { bytes_max: small(bytes_max) };
    Refused::batch(Code::InvalidArgument, "MaximumAppendSizeExceeded", &details)
}

fn event_too_large(event: Uuid, bytes: usize, bytes_max: usize) -> Refused {
    let details = wire::MaximumAppendEventSizeExceeded {
        event: event.to_string(),
        bytes: small(bytes),
        bytes_max: small(bytes_max),
    };
    Refused::batch(Code::InvalidArgument, "MaximumAppendEventSizeExceeded", &details)
}

fn small(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Returns true when the latest time of a write is over.
fn has_passed(deadline: Deadline) -> bool {
    match deadline {
        Deadline::DeadlineIn(span) => span.seconds < 0 || (span.seconds == 0 && span.nanos <= 0),
        Deadline::DeadlineAt(at) => {
            let ticks =
                at.seconds.saturating_mul(10_000_000).saturating_add((at.nanos / 100).into());
            u64::try_from(ticks).unwrap_or_default() <= now_ticks()
        }
    }
}

fn details(expected: ExpectedRevision, current: Option<u64>) -> wire::WrongExpectedVersion {
    use wire::wrong_expected_version::{Current, Expected as Is};
    let empty = wire::Empty {};
    wire::WrongExpectedVersion {
        current: Some(current.map_or(Current::CurrentNoStream(empty), Current::CurrentRevision)),
        expected: Some(match expected {
            ExpectedRevision::Any => Is::ExpectedAny(empty),
            ExpectedRevision::NoStream => Is::ExpectedNoStream(empty),
            ExpectedRevision::StreamExists => Is::ExpectedStreamExists(empty),
            ExpectedRevision::Exact(revision) => Is::ExpectedRevision(revision),
        }),
    }
}
