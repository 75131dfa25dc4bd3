//! Writing: appends, deletes, tombstones.

use std::sync::Arc;

use crate::client::EventStoreClient;
use crate::error::{Error, Result};
use crate::event::{AppendOutcome, ExpectedRevision, NewEvent, Position, stream_name};
use crate::wire;
use crate::wire::expected_stream::Expected;
use crate::wire::streams::append_resp::{success, wrong_expected_version};
use crate::wire::streams::delete_resp;
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
        let doing = format!("append to stream `{stream}`");
        check(stream, &events)?;
        let options = wire::ExpectedStream {
            stream: Some(stream_name(stream)),
            expected: Some(expected_to_wire(expected)),
        };
        let first = AppendReq { content: Some(append_req::Content::Options(options)) };
        // rebuilt for a second attempt at another node; each event is encoded when it is sent
        let events: Arc<[NewEvent]> = events.into();
        let answer = self.call(&doing, |link| {
            let (first, events) = (first.clone(), Arc::clone(&events));
            let rest = (0..events.len()).map(move |index| AppendReq {
                content: Some(append_req::Content::Event(events[index].clone().into_wire())),
            });
            let request = self.request(futures::stream::iter(std::iter::once(first).chain(rest)));
            async move { StreamsClient::new(link.channel).append(request).await }
        });
        outcome(&doing, answer.await?)
    }

    /// Deletes `stream` such that it can be written again: its numbers continue.
    ///
    /// # Errors
    /// The errors of an append; `Rejected` when the stream is not at the expected revision.
    pub async fn delete_stream(
        &self,
        stream: &str,
        expected: ExpectedRevision,
    ) -> Result<Option<Position>> {
        let doing = format!("delete stream `{stream}`");
        let message = delete(stream, expected);
        let answer = self.call(&doing, |link| {
            let request = self.request(message.clone());
            async move { StreamsClient::new(link.channel).delete(request).await }
        });
        Ok(deleted_at(answer.await?))
    }

    /// Deletes `stream` for ever: it cannot be written again.
    ///
    /// # Errors
    /// The errors of an append; `Rejected` when the stream is not at the expected revision.
    pub async fn tombstone_stream(
        &self,
        stream: &str,
        expected: ExpectedRevision,
    ) -> Result<Option<Position>> {
        let doing = format!("tombstone stream `{stream}`");
        let message = delete(stream, expected);
        let answer = self.call(&doing, |link| {
            let request = self.request(message.clone());
            async move { StreamsClient::new(link.channel).tombstone(request).await }
        });
        Ok(deleted_at(answer.await?))
    }
}

/// Rejects appends that the server would refuse without naming the event, or would accept.
pub(crate) fn check(stream: &str, events: &[NewEvent]) -> Result<()> {
    let doing = || format!("append to stream `{stream}`");
    if stream.is_empty() {
        return Err(Error::rejected(format!("{}: expected a stream's name, actual none", doing())));
    }
    if events.is_empty() {
        return Err(Error::rejected(format!(
            "{}: expected at least one event, actual none",
            doing()
        )));
    }
    if let Some(event) = events.iter().find(|event| event.event_type.is_empty()) {
        let id = event.id;
        let message = format!("{}: event `{id}`: expected a type, actual none", doing());
        return Err(Error::rejected(message));
    }
    Ok(())
}

/// The outcome in a success message; none when it has no revision.
pub(crate) fn success(written: append_resp::Success) -> Option<AppendOutcome> {
    let Some(success::Current::CurrentRevision(next_revision)) = written.current else {
        return None;
    };
    let position = match written.at {
        Some(success::At::Position(position)) => Some(position_from_wire(position)),
        Some(success::At::NoPosition(_)) | None => None,
    };
    Some(AppendOutcome::Written { next_revision, position })
}

fn delete(stream: &str, expected: ExpectedRevision) -> DeleteReq {
    let options = wire::ExpectedStream {
        stream: Some(stream_name(stream)),
        expected: Some(expected_to_wire(expected)),
    };
    DeleteReq { options: Some(options) }
}

fn deleted_at(answer: DeleteResp) -> Option<Position> {
    match answer.at? {
        delete_resp::At::Position(position) => Some(position_from_wire(position)),
        delete_resp::At::NoPosition(_) => None,
    }
}

fn expected_to_wire(expected: ExpectedRevision) -> Expected {
    match expected {
        ExpectedRevision::Any => Expected::Any(wire::Empty {}),
        ExpectedRevision::NoStream => Expected::NoStream(wire::Empty {}),
        ExpectedRevision::StreamExists => Expected::StreamExists(wire::Empty {}),
        ExpectedRevision::Exact(revision) => Expected::Revision(revision),
    }
}

fn outcome(doing: &str, answer: AppendResp) -> Result<AppendOutcome> {
    let unclear = || Error::corrupt(format!("{doing}: the server's answer says nothing"));
    match answer.result.ok_or_else(unclear)? {
        append_resp::Result::Success(written) => success(written).ok_or_else(unclear),
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

pub(crate) fn position_from_wire(position: wire::Position) -> Position {
    Position { commit: position.commit, prepare: position.prepare }
}
