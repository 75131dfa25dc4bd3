//! Appends over one stream of requests, answered one by one in order.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_eventstore::wire;
use antiphon_eventstore::wire::expected_stream::Expected;
use antiphon_eventstore::wire::streams::{BatchAppendReq, BatchAppendResp, batch_append_resp};
use antiphon_eventstore::{ExpectedRevision, NewEvent};
use futures::stream;
use prost::Message;
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use super::request::{self, Answers, name, required};
use super::write::{event, expected, write, written};
use crate::io::ConnectionHandle;
use crate::node::Node;
use crate::refusal;
use crate::store::Appended;

/// Largest number of incomplete batches on one stream of requests.
const OPEN_MAX: usize = 1024;

struct Session {
    node: Arc<Node>,
    requests: Streaming<BatchAppendReq>,
    connection: Option<ConnectionHandle>,
    /// Incomplete batches by their id: the options, the events and the size of all.
    parts: BTreeMap<Uuid, (wire::ExpectedStream, Vec<NewEvent>, usize)>,
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

    /// Adds a part. After the last part of a batch, writes it and returns the answer.
    fn take(&mut self, request: BatchAppendReq) -> Result<Option<BatchAppendResp>, Status> {
        let correlation = request.correlation_id.clone();
        let id = required(correlation.as_ref().and_then(wire::Uuid::id), "correlation id")?;
        self.collect(id, request.options, request.events)?;
        if !request.is_final {
            return Ok(None);
        }
        let Some((options, events, bytes)) = self.parts.remove(&id) else { return Ok(None) };
        let wanted = options.expected;
        let stream_name = options.stream.clone();
        let stream = name(options.stream)?;
        let result = self.write(&stream, wanted, events, bytes)?;
        Ok(Some(BatchAppendResp {
            correlation_id: correlation,
            result: Some(result),
            stream: stream_name,
            expected: wanted.map(echoed),
        }))
    }

    fn collect(
        &mut self,
        id: Uuid,
        options: Option<wire::ExpectedStream>,
        events: Vec<wire::NewEvent>,
    ) -> Result<(), Status> {
        if let Some(options) = options {
            if self.parts.len() >= OPEN_MAX {
                return Err(refusal::invalid("too many open batches on one stream of requests"));
            }
            self.parts.insert(id, (options, Vec::new(), 0));
        }
        let (_, collected, bytes) = required(self.parts.get_mut(&id), "options")?;
        for given in events {
            *bytes += given.data.len() + given.metadata.len();
            // a batch that is too large is refused at its end, but not kept until then
            if *bytes <= self.node.settings.append_bytes_max {
                collected.push(event(given)?);
            }
        }
        Ok(())
    }

    fn write(
        &self,
        stream: &str,
        wanted: Option<Expected>,
        events: Vec<NewEvent>,
        bytes: usize,
    ) -> Result<batch_append_resp::Result, Status> {
        use batch_append_resp::Result as Answer;
        let bytes_max = self.node.settings.append_bytes_max;
        if bytes > bytes_max {
            let details = wire::MaximumAppendSizeExceeded {
                bytes_max: u32::try_from(bytes_max).unwrap_or(u32::MAX),
            };
            let status = refusal::too_large(bytes_max);
            return Ok(Answer::Error(refused(&status, "MaximumAppendSizeExceeded", &details)));
        }
        let expected = expected(wanted)?;
        let appended = write(&self.node, stream, expected, events, self.connection.as_ref());
        let appended = match appended {
            Err(status) if status.code() == Code::PermissionDenied => {
                return Ok(Answer::Error(refused(&status, "AccessDenied", &wire::Empty {})));
            }
            other => other?,
        };
        Ok(match (appended, written(appended)) {
            (_, Some(written)) => Answer::Success(written),
            (Appended::Wrong { current }, None) => {
                let status = refusal::wrong_version(stream, expected, current);
                let details = details(expected, current);
                Answer::Error(refused(&status, "WrongExpectedVersion", &details))
            }
            _ => {
                // the details have the stream's name in field 1, as this message does
                let details = wire::StreamFrom { stream: Some(stream.into()), from: None };
                Answer::Error(refused(&refusal::stream_deleted(stream), "StreamDeleted", &details))
            }
        })
    }
}

fn refused(status: &Status, name: &str, details: &impl Message) -> batch_append_resp::Status {
    batch_append_resp::Status {
        code: status.code() as i32,
        message: status.message().to_owned(),
        details: Some(wire::Any {
            type_url: format!("type.googleapis.com/event_store.client.{name}"),
            value: details.encode_to_vec().into(),
        }),
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

fn echoed(expected: Expected) -> batch_append_resp::Expected {
    use batch_append_resp::Expected as Echo;
    match expected {
        Expected::Revision(revision) => Echo::Revision(revision),
        Expected::NoStream(empty) => Echo::NoStream(empty),
        Expected::Any(empty) => Echo::Any(empty),
        Expected::StreamExists(empty) => Echo::StreamExists(empty),
    }
}
