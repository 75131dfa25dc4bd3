//! Writing: appends, deletes, tombstones.

use std::sync::Arc;

use crate::client::EventStoreClient;
use crate::error::{Error, ErrorKind, Result};
use crate::event::{AppendOutcome, ExpectedRevision, NewEvent, Position};
use crate::wire::ExpectedStream;
use crate::wire::streams::append_resp::{success, wrong_expected_version};
use crate::wire::streams::delete_resp::At;
use crate::wire::streams::streams_client::StreamsClient;
use crate::wire::streams::{AppendReq, AppendResp, DeleteReq, DeleteResp, append_req, append_resp};

impl EventStoreClient {
    /// Appends `events` to `stream`, all or none, in order.
    ///
    /// A repeated call with the same ids and the same exact revision writes nothing and returns the
    /// first outcome. A cancelled call may have written.
    ///
    /// # Errors
    /// `Timeout` when it is unknown whether the events were written; `Unavailable` or `NotLeader`
    /// when they were not; `Rejected` for an event above the server's limit, an event without a
    /// type, or an empty list; `StreamDeleted`; `AccessDenied`. An unexpected revision is an
    /// outcome, not an error.
    pub async fn append(
        &self,
        stream: &str,
        expected: ExpectedRevision,
        events: Vec<NewEvent>,
    ) -> Result<AppendOutcome> {
        let doing = append_to(stream);
        check(stream, &events)?;
        let options = ExpectedStream::new(stream, expected);
        let first = AppendReq { content: Some(append_req::Content::Options(options)) };
        // rebuilt for a second attempt at another node; each event is encoded when it is sent
        let events: Arc<[NewEvent]> = events.into();
        let answer = self.call(&doing, |link| {
            let (first, events) = (first.clone(), Arc::clone(&events));
            let rest = (0..events.len()).map(move |index| AppendReq {
                content: Some(append_req::Content::Event(events[index].clone().into())),
            });
            let request = self.request(futures::stream::iter(std::iter::once(first).chain(rest)));
            async move { StreamsClient::new(link.channel).append(request).await }
        });
        let answer = answer.await.map_err(|error| deleted(error, &doing, expected))?;
        outcome(&doing, answer)
    }

    /// Deletes `stream` such that it can be written again: its numbers continue. A cancelled call
    /// may have deleted.
    ///
    /// # Errors
    /// The errors of an append; `Rejected` when the stream is not at the expected revision.
    pub async fn delete_stream(
        &self,
        stream: &str,
        expected: ExpectedRevision,
    ) -> Result<Option<Position>> {
        let message = DeleteReq { options: Some(ExpectedStream::new(stream, expected)) };
        let doing = format!("delete stream `{stream}`");
        let answer = self.ask(doing.clone(), message, |link, request| async move {
            StreamsClient::new(link.channel).delete(request).await
        });
        Ok(deleted_at(answer.await.map_err(|error| deleted(error, &doing, expected))?))
    }

    /// Deletes `stream` for ever: it cannot be written again. A cancelled call may have deleted.
    ///
    /// # Errors
    /// The errors of an append; `Rejected` when the stream is not at the expected revision.
    pub async fn tombstone_stream(
        &self,
        stream: &str,
        expected: ExpectedRevision,
    ) -> Result<Option<Position>> {
        let message = DeleteReq { options: Some(ExpectedStream::new(stream, expected)) };
        let doing = format!("tombstone stream `{stream}`");
        let answer = self.ask(doing.clone(), message, |link, request| async move {
            StreamsClient::new(link.channel).tombstone(request).await
        });
        Ok(deleted_at(answer.await.map_err(|error| deleted(error, &doing, expected))?))
    }
}

/// The error of a write to a deleted stream. A stream that was expected to exist may be deleted
/// softly.
pub(crate) fn deleted(error: Error, doing: &str, expected: ExpectedRevision) -> Error {
    let softly = expected == ExpectedRevision::StreamExists;
    if error.kind() == ErrorKind::StreamDeleted && softly {
        return Error::of(
            ErrorKind::StreamDeleted,
            doing,
            "the stream is deleted, softly or for ever",
        );
    }
    error
}

/// The name of an append in messages.
pub(crate) fn append_to(stream: &str) -> String {
    format!("append to stream `{stream}`")
}

/// Rejects appends that the server would refuse without naming the event, or would accept.
pub(crate) fn check(stream: &str, events: &[NewEvent]) -> Result<()> {
    let refused = |why: &str| Err(Error::of(ErrorKind::Rejected, &append_to(stream), why));
    if stream.is_empty() {
        return refused("expected a stream's name, actual none");
    }
    if events.is_empty() {
        return refused("expected at least one event, actual none");
    }
    match events.iter().find(|event| event.event_type.is_empty()) {
        Some(event) => refused(&format!("event `{}`: expected a type, actual none", event.id)),
        None => Ok(()),
    }
}

/// The outcome in a success message; an error when it has no revision.
pub(crate) fn success(written: append_resp::Success) -> Result<AppendOutcome> {
    let Some(success::Current::CurrentRevision(next_revision)) = written.current else {
        return Err(unclear());
    };
    let position = match written.at {
        Some(success::At::Position(position)) => Some(position.into()),
        Some(success::At::NoPosition(_)) | None => None,
    };
    Ok(AppendOutcome::Written { next_revision, position })
}

pub(crate) fn unclear() -> Error {
    Error::corrupt("the server's answer says nothing")
}

fn deleted_at(answer: DeleteResp) -> Option<Position> {
    match answer.at? {
        At::Position(position) => Some(position.into()),
        At::NoPosition(_) => None,
    }
}

fn outcome(doing: &str, answer: AppendResp) -> Result<AppendOutcome> {
    match answer.result.ok_or_else(unclear).map_err(|error| error.of_call(doing))? {
        append_resp::Result::Success(written) => {
            success(written).map_err(|error| error.of_call(doing))
        }
        append_resp::Result::WrongExpectedVersion(wrong) => {
            use wrong_expected_version::{Current, CurrentOld};
            let current = match (wrong.current, wrong.current_old) {
                (Some(Current::CurrentRevision(revision)), _)
                | (None, Some(CurrentOld::CurrentRevisionOld(revision))) => Some(revision),
                (Some(Current::NoStream(_)), _)
                | (None, Some(CurrentOld::NoStreamOld(_)) | None) => None,
            };
            Ok(AppendOutcome::WrongExpectedRevision { current })
        }
    }
}
