//! Reads, subscriptions, appends, deletes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use antiphon_eventstore::wire;
use antiphon_eventstore::wire::expected_stream::Expected as WireExpected;
use antiphon_eventstore::wire::streams::append_resp::{success, wrong_expected_version};
use antiphon_eventstore::wire::streams::read_req::{self, options};
use antiphon_eventstore::wire::streams::{
    AppendReq, AppendResp, BatchAppendReq, BatchAppendResp, DeleteReq, DeleteResp, ReadReq,
    ReadResp, append_req, append_resp, batch_append_req, delete_resp, streams_server,
};
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::reader::{End, Live, Reader, Source};
use super::{Answers, batch, name};
use crate::node::{Node, connection};
use crate::refusal;
use crate::service::group_record::filter;
use crate::store::{Appended, Deletion, Event, Expected, place_after, place_at};
use crate::uuids::{uuid, wants_text};

pub(crate) struct StreamsService(pub(crate) Arc<Node>);

#[tonic::async_trait]
impl streams_server::Streams for StreamsService {
    type ReadStream = Answers<ReadResp>;
    type BatchAppendStream = Answers<BatchAppendResp>;

    async fn read(&self, request: Request<ReadReq>) -> Result<Response<Self::ReadStream>, Status> {
        self.0.admit(&request).await?;
        let options = request.into_inner().options.ok_or_else(|| refusal::malformed("options"))?;
        Ok(Response::new(self.reader(options)?.answers()))
    }

    async fn append(
        &self,
        request: Request<Streaming<AppendReq>>,
    ) -> Result<Response<AppendResp>, Status> {
        self.0.admit(&request).await?;
        let connection = connection(&request);
        let (options, events) = self.collect(request.into_inner()).await?;
        let stream = name(options.stream)?;
        let expected = expected(options.expected)?;
        let appended = self.write(&stream, expected, events, || {
            if let Some(connection) = &connection {
                connection.reset();
            }
        })?;
        answer(&stream, expected, appended).map(Response::new)
    }

    async fn batch_append(
        &self,
        request: Request<Streaming<BatchAppendReq>>,
    ) -> Result<Response<Self::BatchAppendStream>, Status> {
        self.0.admit(&request).await?;
        let connection = connection(&request);
        let service = Self(Arc::clone(&self.0));
        Ok(Response::new(batch::answers(service, request.into_inner(), connection)))
    }

    async fn delete(&self, request: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
        self.remove(request, Deletion::Soft).await
    }

    async fn tombstone(&self, request: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
        self.remove(request, Deletion::Tombstone).await
    }
}

impl StreamsService {
    /// Writes, unless a fault prevents it. `reset` breaks the connection.
    pub(super) fn write(
        &self,
        stream: &str,
        expected: Expected,
        events: Vec<Event>,
        reset: impl Fn(),
    ) -> Result<Appended, Status> {
        self.0.allow(stream)?;
        if self.0.faults.loses_request() {
            reset();
            return Err(refusal::not_ready());
        }
        let appended = self.0.store().append(stream, expected, events);
        let appended = appended.map_err(|error| refusal::failed(&error))?;
        if self.0.faults.loses_reply() {
            reset();
            return Err(refusal::not_ready());
        }
        Ok(appended)
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.0.settings.append_bytes_max
    }

    async fn collect(
        &self,
        mut messages: Streaming<AppendReq>,
    ) -> Result<(wire::ExpectedStream, Vec<Event>), Status> {
        let mut options = None;
        let mut events = Vec::new();
        let mut bytes = 0;
        while let Some(message) = messages.message().await? {
            match message.content.ok_or_else(|| refusal::malformed("content"))? {
                append_req::Content::Options(given) => options = Some(given),
                append_req::Content::Event(given) => {
                    bytes += given.data.len() + given.metadata.len();
                    if bytes > self.bytes_max() {
                        return Err(refusal::too_large(self.bytes_max()));
                    }
                    events.push(event(given)?);
                }
            }
        }
        Ok((options.ok_or_else(|| refusal::malformed("options"))?, events))
    }

    async fn remove(
        &self,
        request: Request<DeleteReq>,
        how: Deletion,
    ) -> Result<Response<DeleteResp>, Status> {
        self.0.admit(&request).await?;
        let options = request.into_inner().options.ok_or_else(|| refusal::malformed("options"))?;
        let stream = name(options.stream)?;
        self.0.allow(&stream)?;
        let expected = expected(options.expected)?;
        let deleted = self.0.store().delete(&stream, expected, how);
        match deleted.map_err(|error| refusal::failed(&error))? {
            Appended::Tombstoned => Err(refusal::stream_deleted(&stream)),
            Appended::Wrong { current } => Err(refusal::wrong_version(&stream, expected, current)),
            Appended::Written { position, .. } => {
                let at = wire::Position { commit: position, prepare: position };
                Ok(Response::new(DeleteResp { at: Some(delete_resp::At::Position(at)) }))
            }
            Appended::Repeated { .. } => {
                let at = delete_resp::At::NoPosition(wire::Empty {});
                Ok(Response::new(DeleteResp { at: Some(at) }))
            }
        }
    }

    fn reader(&self, options: read_req::Options) -> Result<Reader, Status> {
        let node = &self.0;
        let text_ids = wants_text(options.uuid.as_ref());
        let forwards = options.direction() == read_req::Direction::Forwards;
        let tells = options.control.is_some_and(|control| control.compatibility >= 1);
        let end = match options.amount {
            Some(options::Amount::Count(count)) => End::After(count),
            Some(options::Amount::Subscription(_)) => End::Never(Live::new(node, tells)),
            None => return Err(refusal::malformed("count or subscription")),
        };
        let live = matches!(end, End::Never(_));
        if live && !forwards {
            return Err(refusal::invalid("a subscription reads forwards only"));
        }
        let (source, next) = match options.what {
            None => return Err(refusal::malformed("stream or all")),
            Some(options::What::Stream(from)) => {
                let stream = name(from.stream)?;
                node.allow(&stream)?;
                let next = self.stream_start(&stream, from.from, live)?;
                (Source::Stream(stream), next)
            }
            Some(options::What::All(from)) => {
                node.allow(antiphon_eventstore::ALL)?;
                let next = self.all_start(from.from, live)?;
                let (filter, checkpoint_interval) = match options.filtering {
                    Some(options::Filtering::Filter(given)) => {
                        let interval = checkpoint_interval(&given);
                        (Some(filter(given)?), interval)
                    }
                    Some(options::Filtering::NoFilter(_)) | None => (None, u64::MAX),
                };
                (Source::All { filter, checkpoint_interval }, next)
            }
        };
        Ok(Reader {
            node: Arc::clone(node),
            source,
            resolve: options.resolve_links,
            text_ids,
            forwards,
            next: Some(next),
            end,
            queue: VecDeque::new(),
            unreported: 0,
        })
    }

    fn stream_start(
        &self,
        stream: &str,
        from: Option<wire::stream_from::From>,
        live: bool,
    ) -> Result<u64, Status> {
        use wire::stream_from::From;
        let after_last = || self.0.store().visible(stream).map_or(0, |visible| visible.last + 1);
        match from.ok_or_else(|| refusal::malformed("revision, start or end"))? {
            From::Revision(revision) if live => Ok(revision.saturating_add(1)),
            From::Revision(revision) => Ok(revision),
            From::Start(_) => Ok(0),
            From::End(_) if live => Ok(after_last()),
            From::End(_) => Ok(u64::MAX),
        }
    }

    fn all_start(&self, from: Option<wire::all_from::From>, live: bool) -> Result<u64, Status> {
        use wire::all_from::From;
        match from.ok_or_else(|| refusal::malformed("position, start or end"))? {
            From::Position(position) if live => Ok(place_after(position.commit)),
            From::Position(position) => Ok(place_at(position.commit)),
            From::Start(_) => Ok(0),
            From::End(_) => Ok(self.0.store().len() as u64),
        }
    }
}

/// Number of entries after which a filtered subscription reports its position.
fn checkpoint_interval(filter: &wire::Filter) -> u64 {
    let window = match filter.window {
        Some(wire::filter::Window::Max(max)) => u64::from(max),
        Some(wire::filter::Window::Count(_)) | None => 32,
    };
    (window * u64::from(filter.checkpoint_interval_multiplier)).max(1)
}

pub(super) fn event(given: wire::NewEvent) -> Result<Event, Status> {
    let property = |name: &str| given.system.get(name).filter(|value| !value.is_empty());
    let event_type = property("type").ok_or_else(|| refusal::lacks_property("type"))?;
    let content =
        property("content-type").ok_or_else(|| refusal::lacks_property("content-type"))?;
    let id = given.id.as_ref().map(uuid).filter(|id| *id != Uuid::nil());
    Ok(Event {
        id: id.ok_or_else(|| refusal::malformed("id"))?,
        event_type: event_type.as_str().into(),
        is_json: content == "application/json",
        // copied, because a slice would keep the whole message in memory
        data: bytes::Bytes::copy_from_slice(&given.data),
        metadata: bytes::Bytes::copy_from_slice(&given.metadata),
    })
}

fn expected(given: Option<WireExpected>) -> Result<Expected, Status> {
    Ok(match given.ok_or_else(|| refusal::malformed("expected stream revision"))? {
        WireExpected::Revision(revision) => Expected::Exact(revision),
        WireExpected::NoStream(_) => Expected::NoStream,
        WireExpected::Any(_) => Expected::Any,
        WireExpected::StreamExists(_) => Expected::StreamExists,
    })
}

fn answer(stream: &str, expected: Expected, appended: Appended) -> Result<AppendResp, Status> {
    let result = match appended {
        Appended::Tombstoned => return Err(refusal::stream_deleted(stream)),
        Appended::Written { .. } | Appended::Repeated { .. } => {
            append_resp::Result::Success(written(appended))
        }
        Appended::Wrong { current } => {
            append_resp::Result::WrongExpectedVersion(wrong(expected, current))
        }
    };
    Ok(AppendResp { result: Some(result) })
}

pub(super) fn written(appended: Appended) -> append_resp::Success {
    let (last, at) = match appended {
        Appended::Written { last, position } => {
            let at = wire::Position { commit: position, prepare: position };
            (last, success::At::Position(at))
        }
        Appended::Repeated { last } => (last, success::At::NoPosition(wire::Empty {})),
        Appended::Wrong { .. } | Appended::Tombstoned => {
            (0, success::At::NoPosition(wire::Empty {}))
        }
    };
    append_resp::Success { current: Some(success::Current::CurrentRevision(last)), at: Some(at) }
}

fn wrong(expected: Expected, current: Option<u64>) -> append_resp::WrongExpectedVersion {
    use wrong_expected_version::{Current, CurrentOld, Expected as Is, ExpectedOld};
    let empty = wire::Empty {};
    append_resp::WrongExpectedVersion {
        current_old: Some(match current {
            Some(current) => CurrentOld::CurrentRevisionOld(current),
            None => CurrentOld::NoStreamOld(empty),
        }),
        expected_old: match expected {
            Expected::Any => Some(ExpectedOld::AnyOld(empty)),
            Expected::NoStream => None,
            Expected::StreamExists => Some(ExpectedOld::StreamExistsOld(empty)),
            Expected::Exact(revision) => Some(ExpectedOld::ExpectedRevisionOld(revision)),
        },
        current: Some(match current {
            Some(current) => Current::CurrentRevision(current),
            None => Current::NoStream(empty),
        }),
        expected: Some(match expected {
            Expected::Any => Is::ExpectedAny(empty),
            Expected::NoStream => Is::ExpectedNoStream(empty),
            Expected::StreamExists => Is::ExpectedStreamExists(empty),
            Expected::Exact(revision) => Is::ExpectedRevision(revision),
        }),
    }
}

/// Incomplete batches by their id.
pub(super) type Parts = BTreeMap<Uuid, (batch_append_req::Options, Vec<Event>, usize)>;
