//! Reads of existing events, forwards or backwards, up to a count.

use crate::client::{EventStoreClient, Opened};
use crate::conversion;
use crate::error::{ErrorKind, Result};
use crate::event::{ALL, Position, ResolvedEvent};
use crate::messages::Messages;
use crate::subscribe::{Filter, filter_to_wire};
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
#[derive(Debug)]
pub struct EventStream {
    messages: Messages<ReadResp>,
}

impl EventStoreClient {
    /// Reads at most `count` events of a stream. With `resolve_links`, links are resolved to their
    /// targets. A cancelled call leaves nothing behind.
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
        let what = options::What::Stream(stream_from(stream, from));
        self.read(format!("read stream `{stream}`"), what, direction, count, resolve_links).await
    }

    /// Reads at most `count` events of the whole store. A backward read excludes the position
    /// itself. A cancelled call leaves nothing behind.
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

    /// At most `count` events of a stream, links not resolved; none of a stream that does not
    /// exist. A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// The errors of [`EventStream::next`], except that of a missing stream.
    pub async fn read_if_there(
        &self,
        stream: &str,
        direction: Direction,
        from: ReadFrom<u64>,
        count: u64,
    ) -> Result<Vec<ResolvedEvent>> {
        let events = match self.read_stream(stream, direction, from, count, false).await {
            Ok(events) => events.collect().await,
            Err(error) => Err(error),
        };
        match events {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            other => other,
        }
    }

    /// The newest entry of a stream or of `$all`, links not resolved; none when there is none. A
    /// cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// The errors of [`EventStream::next`], except that of a missing stream.
    pub async fn newest(&self, stream: &str) -> Result<Option<ResolvedEvent>> {
        let backwards = Direction::Backwards;
        let mut newest = match stream {
            ALL => self.read_all(backwards, ReadFrom::End, 1, false).await?.collect().await?,
            _ => self.read_if_there(stream, backwards, ReadFrom::End, 1).await?,
        };
        Ok(newest.pop())
    }

    /// The newest event of `$all` that passes `filter`; none when none does. A cancelled call
    /// leaves nothing behind.
    ///
    /// # Errors
    /// The errors of [`EventStream::next`]; `Rejected` by a server that cannot filter a read.
    pub async fn newest_of_all(&self, filter: Filter) -> Result<Option<ResolvedEvent>> {
        let filtering = match filter_to_wire(filter, self.settings())? {
            Some(filter) => options::Filtering::Filter(filter),
            None => options::Filtering::NoFilter(wire::Empty {}),
        };
        let doing = format!("newest event of `{ALL}`");
        let options = Options {
            what: Some(options::What::All(all_from(ReadFrom::End))),
            direction: read_req::Direction::Backwards.into(),
            amount: Some(options::Amount::Count(1)),
            filtering: Some(filtering),
            ..common()
        };
        let opened = self.open_read(&doing, options).await?;
        EventStream { messages: Messages::new(self, doing, opened) }.next().await
    }

    /// Checks that the store answers, by reading one entry of its log. A cancelled call leaves
    /// nothing behind.
    ///
    /// # Errors
    /// The errors of a read.
    pub async fn ping(&self) -> Result<()> {
        self.newest(ALL).await.map(|_| ())
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
        let opened = self.open_read(&doing, options).await?;
        Ok(EventStream { messages: Messages::new(self, doing, opened) })
    }

    pub(crate) async fn open_read(
        &self,
        doing: &str,
        options: Options,
    ) -> Result<Opened<ReadResp>> {
        let message = ReadReq { options: Some(options) };
        let bytes_max = self.settings().message_bytes_max;
        self.open(doing, |link| {
            let request = self.request(message.clone());
            let client = StreamsClient::new(link.channel).max_decoding_message_size(bytes_max);
            async move { { client }.read(request).await }
        })
        .await
    }
}

impl EventStream {
    /// The next event; none when the read is complete. Cancel-safe.
    ///
    /// # Errors
    /// `NotFound` when the stream does not exist, `StreamDeleted`, `AccessDenied`; `Unavailable`
    /// when the connection breaks or no event arrives within `request_timeout`.
    pub async fn next(&mut self) -> Result<Option<ResolvedEvent>> {
        while let Some(message) = self.messages.next_soon().await? {
            match message.content {
                Some(read_resp::Content::Event(event)) => return resolved(event).map(Some),
                Some(read_resp::Content::StreamNotFound(_)) => {
                    return Err(self.messages.not_found());
                }
                // positions and notices that a read does not need
                _ => {}
            }
        }
        Ok(None)
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

/// The options common to all reads.
pub(crate) fn common() -> Options {
    Options {
        uuid: Some(structured_ids()),
        control: Some(Control { compatibility: 1 }),
        ..Default::default()
    }
}

/// The form of ids in answers.
pub(crate) fn structured_ids() -> wire::UuidForm {
    wire::UuidForm { form: Some(wire::uuid_form::Form::Structured(wire::Empty {})) }
}

pub(crate) fn stream_from(stream: &str, from: ReadFrom<u64>) -> wire::StreamFrom {
    use wire::stream_from::From;
    let from = match from {
        ReadFrom::Start => From::Start(wire::Empty {}),
        ReadFrom::End => From::End(wire::Empty {}),
        ReadFrom::At(revision) => From::Revision(revision),
    };
    wire::StreamFrom { stream: Some(stream.into()), from: Some(from) }
}

pub(crate) fn all_from(from: ReadFrom<Position>) -> wire::AllFrom {
    use wire::all_from::From;
    let from = match from {
        ReadFrom::Start => From::Start(wire::Empty {}),
        ReadFrom::End => From::End(wire::Empty {}),
        ReadFrom::At(position) => From::Position(position.into()),
    };
    wire::AllFrom { from: Some(from), filtering: None }
}

pub(crate) fn resolved(event: read_resp::Event) -> Result<ResolvedEvent> {
    let commit = match event.position {
        Some(read_resp::event::Position::CommitPosition(commit)) => Some(commit),
        Some(read_resp::event::Position::NoPosition(_)) | None => None,
    };
    conversion::resolved(event.event, event.link, commit)
}
