//! Appends over one stream of requests, answered one by one in order.

use std::collections::BTreeMap;

use antiphon_eventstore::wire;
use antiphon_eventstore::wire::streams::batch_append_req::options::Expected as WireExpected;
use antiphon_eventstore::wire::streams::{
    BatchAppendReq, BatchAppendResp, batch_append_req, batch_append_resp,
};
use futures::stream;
use prost::Message;
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use super::streams::{Parts, StreamsService, event, written};
use super::{Answers, name};
use crate::io::ConnectionHandle;
use crate::refusal;
use crate::store::{Appended, Event, Expected};
use crate::uuids::uuid;

/// Largest number of incomplete batches on one stream of requests.
const OPEN_MAX: usize = 1024;

struct Session {
    service: StreamsService,
    requests: Streaming<BatchAppendReq>,
    connection: Option<ConnectionHandle>,
    parts: Parts,
    over: bool,
}

pub(super) fn answers(
    service: StreamsService,
    requests: Streaming<BatchAppendReq>,
    connection: Option<ConnectionHandle>,
) -> Answers<BatchAppendResp> {
    let parts = BTreeMap::new();
    let session = Session { service, requests, connection, parts, over: false };
    Box::pin(stream::unfold(session, |mut session| async move {
        let answer = session.answer().await?;
        session.over = answer.is_err();
        Some((answer, session))
    }))
}

impl Session {
    async fn answer(&mut self) -> Option<Result<BatchAppendResp, Status>> {
        while !self.over {
            let request = match self.requests.message().await {
                Ok(request) => request?,
                Err(status) => return Some(Err(status)),
            };
            match self.take(request) {
                Ok(None) => {}
                Ok(Some(answer)) => return Some(Ok(answer)),
                Err(status) => return Some(Err(status)),
            }
        }
        None
    }

    /// Adds a part. After the last part of a batch, writes it and returns the answer.
    fn take(&mut self, request: BatchAppendReq) -> Result<Option<BatchAppendResp>, Status> {
        let correlation = request.correlation_id.clone();
        let id =
            correlation.as_ref().map(uuid).ok_or_else(|| refusal::malformed("correlation id"))?;
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
        options: Option<batch_append_req::Options>,
        events: Vec<wire::NewEvent>,
    ) -> Result<(), Status> {
        if let Some(options) = options {
            if self.parts.len() >= OPEN_MAX {
                return Err(refusal::invalid("too many open batches on one stream of requests"));
            }
            self.parts.insert(id, (options, Vec::new(), 0));
        }
        let (_, collected, bytes) =
            self.parts.get_mut(&id).ok_or_else(|| refusal::malformed("options"))?;
        for given in events {
            *bytes += given.data.len() + given.metadata.len();
            // a batch that is too large is refused at its end, but not kept until then
            if *bytes <= self.service.bytes_max() {
                collected.push(event(given)?);
            }
        }
        Ok(())
    }

    fn write(
        &self,
        stream: &str,
        wanted: Option<WireExpected>,
        events: Vec<Event>,
        bytes: usize,
    ) -> Result<batch_append_resp::Result, Status> {
        use batch_append_resp::Result as Answer;
        let bytes_max = self.service.bytes_max();
        if bytes > bytes_max {
            let details = wire::MaximumAppendSizeExceeded {
                bytes_max: u32::try_from(bytes_max).unwrap_or(u32::MAX),
            };
            let status = refusal::too_large(bytes_max);
            return Ok(Answer::Error(refused(&status, "MaximumAppendSizeExceeded", &details)));
        }
        let expected = match wanted.ok_or_else(|| refusal::malformed("expected stream position"))? {
            WireExpected::Revision(revision) => Expected::Exact(revision),
            WireExpected::NoStream(_) => Expected::NoStream,
            WireExpected::Any(_) => Expected::Any,
            WireExpected::StreamExists(_) => Expected::StreamExists,
        };
        let reset = || {
            if let Some(connection) = &self.connection {
                connection.reset();
            }
        };
        let appended = self.service.write(stream, expected, events, reset);
        Ok(match appended {
            Err(status) if status.code() == Code::PermissionDenied => {
                Answer::Error(refused(&status, "AccessDenied", &wire::Empty {}))
            }
            Err(status) => return Err(status),
            Ok(Appended::Tombstoned) => {
                let status = refusal::stream_deleted(stream);
                let stream = wire::StreamName { name: stream.to_owned().into() };
                // the details have the stream's name in field 1, as this message does
                let details = wire::StreamFrom { stream: Some(stream), from: None };
                Answer::Error(refused(&status, "StreamDeleted", &details))
            }
            Ok(Appended::Wrong { current }) => {
                let status = refusal::wrong_version(stream, expected, current);
                let details = details(expected, current);
                Answer::Error(refused(&status, "WrongExpectedVersion", &details))
            }
            Ok(appended) => Answer::Success(written(appended)),
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

fn details(expected: Expected, current: Option<u64>) -> wire::WrongExpectedVersion {
    use wire::wrong_expected_version::{Current, Expected as Is};
    let empty = wire::Empty {};
    wire::WrongExpectedVersion {
        current: Some(current.map_or(Current::CurrentNoStream(empty), Current::CurrentRevision)),
        expected: Some(match expected {
            Expected::Any => Is::ExpectedAny(empty),
            Expected::NoStream => Is::ExpectedNoStream(empty),
            Expected::StreamExists => Is::ExpectedStreamExists(empty),
            Expected::Exact(revision) => Is::ExpectedRevision(revision),
        }),
    }
}

fn echoed(expected: WireExpected) -> batch_append_resp::Expected {
    use batch_append_resp::Expected as Echo;
    match expected {
        WireExpected::Revision(revision) => Echo::Revision(revision),
        WireExpected::NoStream(empty) => Echo::NoStream(empty),
        WireExpected::Any(empty) => Echo::Any(empty),
        WireExpected::StreamExists(empty) => Echo::StreamExists(empty),
    }
}
