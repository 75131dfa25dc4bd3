//! Reads of existing events, forwards or backwards, up to a count.

use std::fmt;

use crate::append::position_from_wire;
use crate::client::{EventStoreClient, Opened};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{ALL, Position, ResolvedEvent, stream_name};
use crate::link::{Link, within};
use crate::wire;
use crate::wire::streams::read_req::{self, Control, Options, options};
use crate::wire::streams::streams_client::StreamsClient;
use crate::wire::streams::{ReadReq, ReadResp, read_resp};

/// The order of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    Forwards,
    /// Newest first.
    Backwards,
}

/// The start of a read, inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom<P> {
    /// The oldest event.
    Start,
    /// The newest event (backwards), or the position behind it (forwards).
    End,
    /// A revision of a stream, or a position of `$all`.
    At(P),
}

/// The events of a read, in the order of arrival.
pub struct EventStream {
    client: EventStoreClient,
    doing: String,
    messages: tonic::Streaming<ReadResp>,
    link: Link,
}

impl EventStoreClient {
    /// Reads at most `count` events of a stream. With `resolve_links`, links are resolved to their
    /// targets.
    ///
    /// # Errors
    /// The errors of [`EventStream::next`], which also reports a missing stream.
    pub async fn read_stream(
        &self,
        stream: &str,
        direction: Direction,
        from: ReadFrom<u64>,
        count: u64,
        resolve_links: bool,
    ) -> Result<EventStream> {
        let doing = format!("read stream `{stream}`");
        let what = stream_from(stream, from);
        self.read(doing, options::What::Stream(what), direction, count, resolve_links).await
    }

    /// Reads at most `count` events of the whole store. A backward read excludes the position
    /// itself.
    ///
    /// # Errors
    /// The errors of [`EventStream::next`].
    pub async fn read_all(
        &self,
        direction: Direction,
        from: ReadFrom<Position>,
        count: u64,
        resolve_links: bool,
    ) -> Result<EventStream> {
        let what = options::What::All(all_from(from));
        self.read(format!("read `{ALL}`"), what, direction, count, resolve_links).await
    }

    async fn read(
        &self,
        doing: String,
        what: options::What,
        direction: Direction,
        count: u64,
        resolve_links: bool,
    ) -> Result<EventStream> {
        let direction = match direction {
            Direction::Forwards => read_req::Direction::Forwards,
            Direction::Backwards => read_req::Direction::Backwards,
        };
        let options = Options {
            what: Some(what),
            direction: direction.into(),
            resolve_links,
            amount: Some(options::Amount::Count(count)),
            filtering: Some(options::Filtering::NoFilter(wire::Empty {})),
            ..common()
        };
        let Opened { messages, link } = self.open_read(&doing, options).await?;
        Ok(EventStream { client: self.clone(), doing, messages, link })
    }

    pub(crate) async fn open_read(
        &self,
        doing: &str,
        options: Options,
    ) -> Result<Opened<ReadResp>> {
        let message = ReadReq { options: Some(options) };
        let bytes_max = self.settings().message_bytes_max;
        let opened = self.open(doing, |link| {
            let request = self.request(message.clone());
            let client = StreamsClient::new(link.channel).max_decoding_message_size(bytes_max);
            async move { { client }.read(request).await }
        });
        opened.await.map_err(|error| not_a_write(doing, error))
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventStream({})", self.doing)
    }
}

impl EventStream {
    /// The next event; none when the read is complete. Cancel-safe.
    ///
    /// # Errors
    /// `NotFound` when the stream does not exist, `StreamDeleted`, `AccessDenied`; `Unavailable`
    /// when the connection breaks or no event arrives within `request_timeout`.
    pub async fn next(&mut self) -> Result<Option<ResolvedEvent>> {
        let limit = self.client.settings().request_timeout;
        loop {
            let message = within(limit, self.messages.message()).await.ok_or_else(|| {
                let why = format!("no event within {limit:?} (setting `request_timeout`)");
                Error::new(ErrorKind::Unavailable, format!("{}: {why}", self.doing))
            })?;
            let message = message
                .map_err(|status| self.client.ended(&self.doing, Some(status), &self.link))?;
            let Some(message) = message else { return Ok(None) };
            match message.content {
                Some(read_resp::Content::Event(event)) => return resolved(event).map(Some),
                Some(read_resp::Content::StreamNotFound(_)) => {
                    let message = format!("{}: the stream does not exist", self.doing);
                    return Err(Error::new(ErrorKind::NotFound, message));
                }
                // positions and notices that a read does not need
                _ => {}
            }
        }
    }

    /// All remaining events. A cancelled call loses the events that it had read.
    ///
    /// # Errors
    /// The errors of [`Self::next`].
    pub async fn collect(mut self) -> Result<Vec<ResolvedEvent>> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await? {
            events.push(event);
        }
        Ok(events)
    }
}

/// Turns a timeout into `Unavailable`, for opening a stream that only reads.
pub(crate) fn not_a_write(doing: &str, error: Error) -> Error {
    if error.kind() != ErrorKind::Timeout {
        return error;
    }
    let message = format!("{doing}: no answer, or the connection broke");
    Error::new(ErrorKind::Unavailable, message).with_source(error)
}

/// The options common to all reads.
pub(crate) fn common() -> Options {
    let structured = wire::uuid_form::Form::Structured(wire::Empty {});
    Options {
        uuid: Some(wire::UuidForm { form: Some(structured) }),
        control: Some(Control { compatibility: 1 }),
        ..Default::default()
    }
}

pub(crate) fn stream_from(stream: &str, from: ReadFrom<u64>) -> wire::StreamFrom {
    use wire::stream_from::From;
    let from = match from {
        ReadFrom::Start => From::Start(wire::Empty {}),
        ReadFrom::End => From::End(wire::Empty {}),
        ReadFrom::At(revision) => From::Revision(revision),
    };
    wire::StreamFrom { stream: Some(stream_name(stream)), from: Some(from) }
}

pub(crate) fn all_from(from: ReadFrom<Position>) -> wire::AllFrom {
    use wire::all_from::From;
    let from = match from {
        ReadFrom::Start => From::Start(wire::Empty {}),
        ReadFrom::End => From::End(wire::Empty {}),
        ReadFrom::At(Position { commit, prepare }) => {
            From::Position(wire::Position { commit, prepare })
        }
    };
    wire::AllFrom { from: Some(from), filtering: None }
}

pub(crate) fn resolved(event: read_resp::Event) -> Result<ResolvedEvent> {
    let commit = match event.position {
        Some(read_resp::event::Position::CommitPosition(commit)) => Some(commit),
        Some(read_resp::event::Position::NoPosition(_)) | None => None,
    };
    ResolvedEvent::from_wire(event.event, event.link, commit)
}

pub(crate) fn checkpoint(checkpoint: read_resp::Checkpoint) -> Position {
    position_from_wire(wire::Position { commit: checkpoint.commit, prepare: checkpoint.prepare })
}
