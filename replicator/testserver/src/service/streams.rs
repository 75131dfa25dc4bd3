//! Reads, subscriptions, appends, deletes.

use std::collections::VecDeque;
use std::sync::Arc;

use antiphon_eventstore::wire;
use antiphon_eventstore::wire::streams::append_resp::wrong_expected_version;
use antiphon_eventstore::wire::streams::read_req::{self, options};
use antiphon_eventstore::wire::streams::{
    AppendReq, AppendResp, BatchAppendReq, BatchAppendResp, DeleteReq, DeleteResp, ReadReq,
    ReadResp, append_req, append_resp, delete_resp, streams_server,
};
use antiphon_eventstore::{ExpectedRevision, NewEvent};
use tonic::{Request, Response, Status, Streaming};

use super::batch;
use super::reader::{End, Live, Reader, Source};
use super::request::{Answers, name, required, wants_text};
use super::write::{event, expected, size_on_disk, write, written};
use crate::node::{Node, connection};
use crate::refusal;
use crate::store::{Appended, Deletion, EventFilter, Log, place_after, place_at};

pub(crate) struct StreamsService(pub(crate) Arc<Node>);

#[tonic::async_trait]
impl streams_server::Streams for StreamsService {
    type ReadStream = Answers<ReadResp>;
    type BatchAppendStream = Answers<BatchAppendResp>;

    async fn read(&self, request: Request<ReadReq>) -> Result<Response<Self::ReadStream>, Status> {
        self.0.admit(&request).await?;
        let options = required(request.into_inner().options, "options")?;
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
        let appended = write(&self.0, &stream, expected, events, connection.as_ref())?;
        let result = match (appended, written(appended)) {
            (_, Some(written)) => append_resp::Result::Success(written),
            (Appended::Wrong { current }, None) => {
                append_resp::Result::WrongExpectedVersion(wrong(expected, current))
            }
            _ => return Err(refusal::stream_deleted(&stream)),
        };
        Ok(Response::new(AppendResp { result: Some(result) }))
    }

    async fn batch_append(
        &self,
        request: Request<Streaming<BatchAppendReq>>,
    ) -> Result<Response<Self::BatchAppendStream>, Status> {
        self.0.admit(&request).await?;
        let connection = connection(&request);
        let node = Arc::clone(&self.0);
        Ok(Response::new(batch::answers(node, request.into_inner(), connection)))
    }

    async fn delete(&self, request: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
        self.remove(request, Deletion::Soft).await
    }

    async fn tombstone(&self, request: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
        self.remove(request, Deletion::Tombstone).await
    }
}

impl StreamsService {
    async fn collect(
        &self,
        mut messages: Streaming<AppendReq>,
    ) -> Result<(wire::ExpectedStream, Vec<NewEvent>), Status> {
        let mut options = None;
        let mut events = Vec::new();
        let (mut bytes, bytes_max) = (0, self.0.settings.append_bytes_max);
        let event_bytes_max = self.0.settings.event_bytes_max;
        while let Some(message) = messages.message().await? {
            match required(message.content, "content")? {
                append_req::Content::Options(given) => options = Some(given),
                append_req::Content::Event(given) => {
                    let event = event(given)?;
                    let size = size_on_disk(&event);
                    if size > event_bytes_max {
                        return Err(refusal::event_too_large(event.id, size, event_bytes_max));
                    }
                    bytes += size;
                    if bytes > bytes_max {
                        return Err(refusal::too_large(bytes_max));
                    }
                    events.push(event);
                }
            }
        }
        Ok((required(options, "options")?, events))
    }

    async fn remove(
        &self,
        request: Request<DeleteReq>,
        how: Deletion,
    ) -> Result<Response<DeleteResp>, Status> {
        self.0.admit(&request).await?;
        let options = required(request.into_inner().options, "options")?;
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
            Appended::Repeated { .. } => Ok(Response::new(DeleteResp { at: None })),
        }
    }

    fn reader(&self, options: read_req::Options) -> Result<Reader, Status> {
        let node = &self.0;
        let text_ids = wants_text(options.uuid.as_ref());
        let forwards = options.direction() == read_req::Direction::Forwards;
        let tells_ends = options.control.is_some_and(|control| control.compatibility >= 1);
        let end = match required(options.amount, "count or subscription")? {
            options::Amount::Count(count) => End::After(count),
            options::Amount::Subscription(_) => End::Never(Live::new(node)),
        };
        let live = matches!(end, End::Never(_));
        if live && !forwards {
            return Err(refusal::invalid("a subscription reads forwards only"));
        }
        let (source, next) = match required(options.what, "stream or all")? {
            options::What::Stream(from) => {
                let stream = name(from.stream)?;
                node.allow(&stream)?;
                let from = required(from.from, "revision, start or end")?;
                let next = stream_start(node.store().log(), &stream, from, live);
                (Source::Stream(stream), next)
            }
            options::What::All(from) => {
                node.allow(antiphon_eventstore::ALL)?;
                let from = required(from.from, "position, start or end")?;
                let next = all_start(node.store().log(), from, live);
                let (filter, checkpoint_interval) = match options.filtering {
                    Some(options::Filtering::Filter(given)) => {
                        let interval = checkpoint_interval(&given);
                        let filter = EventFilter::from_wire(given);
                        (Some(filter.map_err(|why| refusal::invalid(&why))?), interval)
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
            tells_ends,
            is_new: true,
        })
    }
}

fn stream_start(log: &Log, stream: &str, from: wire::stream_from::From, live: bool) -> u64 {
    use wire::stream_from::From;
    match from {
        From::Revision(revision) if live => revision.saturating_add(1),
        From::Revision(revision) => revision,
        From::Start(_) => 0,
        From::End(_) if live => log.end_of(stream),
        From::End(_) => u64::MAX,
    }
}

fn all_start(log: &Log, from: wire::all_from::From, live: bool) -> u64 {
    use wire::all_from::From;
    match from {
        From::Position(position) if live => place_after(position.commit),
        From::Position(position) => place_at(position.commit),
        From::Start(_) => 0,
        From::End(_) => log.len() as u64,
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

fn wrong(expected: ExpectedRevision, current: Option<u64>) -> append_resp::WrongExpectedVersion {
    use wrong_expected_version::{Current, Expected as Is};
    let empty = wire::Empty {};
    append_resp::WrongExpectedVersion {
        current: Some(current.map_or(Current::NoStream(empty), Current::CurrentRevision)),
        expected: Some(match expected {
            ExpectedRevision::Any => Is::ExpectedAny(empty),
            ExpectedRevision::NoStream => Is::ExpectedNoStream(empty),
            ExpectedRevision::StreamExists => Is::ExpectedStreamExists(empty),
            ExpectedRevision::Exact(revision) => Is::ExpectedRevision(revision),
        }),
        ..Default::default()
    }
}
