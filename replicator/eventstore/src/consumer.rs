//! A consumer of a persistent subscription group: it answers each message.

use tokio::sync::mpsc;
use uuid::Uuid;

use crate::client::EventStoreClient;
use crate::conversion;
use crate::error::{Error, ErrorKind, Result};
use crate::event::ResolvedEvent;
use crate::group::{doing, source};
use crate::link::within;
use crate::messages::Messages;
use crate::read::structured_ids;
use crate::requests::Requests;
use crate::wire;
use crate::wire::persistent_subscriptions::persistent_subscriptions_client::PersistentSubscriptionsClient;
use crate::wire::persistent_subscriptions::{ReadReq, ReadResp, read_req, read_resp};

/// Largest number of ids in one answer; the server refuses more.
const IDS_MAX: usize = 2000;

/// The treatment of a message that was not handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NackAction {
    /// Park it, to be replayed on request.
    Park,
    /// Deliver it again. After `max_retry_count` retries it is parked.
    Retry,
    /// Skip it.
    Skip,
    /// Disconnect this consumer.
    Stop,
}

/// A message of a group. The consumer must answer it by [`Self::answer_id`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupEvent {
    /// The event.
    pub resolved: ResolvedEvent,
    /// Number of earlier deliveries.
    pub retry_count: u32,
}

impl GroupEvent {
    /// The id to answer with: of the link if there is one, else of the event.
    pub fn answer_id(&self) -> Option<Uuid> {
        self.resolved.original().map(|event| event.id)
    }
}

/// A consumer of a group. Dropping it returns its unanswered messages to the group.
#[derive(Debug)]
pub struct GroupSubscription {
    messages: Messages<ReadResp>,
    answers: GroupAnswers,
}

/// The answering side of a [`GroupSubscription`], for use by other tasks.
#[derive(Debug, Clone)]
pub struct GroupAnswers {
    client: EventStoreClient,
    doing: std::sync::Arc<str>,
    requests: mpsc::Sender<ReadReq>,
}

impl EventStoreClient {
    /// Becomes a consumer of `group` on `stream` (or `$all`), with at most `buffer_size` unanswered
    /// messages. A cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `NotFound` when the group does not exist, `Rejected` when it has no room for another
    /// consumer, `Unavailable`, `NotLeader`, `AccessDenied`; here or from the first
    /// [`GroupSubscription::next`].
    pub async fn subscribe_group(
        &self,
        stream: &str,
        group: &str,
        buffer_size: u32,
    ) -> Result<GroupSubscription> {
        use read_req::options::What;
        let doing = doing("subscription to", stream, group);
        let buffer = i32::try_from(buffer_size).ok().filter(|size| *size > 0).ok_or_else(|| {
            let most = i32::MAX;
            let why = format!("`buffer_size`: expected 1 to {most}, actual {buffer_size}");
            Error::of(ErrorKind::Rejected, &doing, why)
        })?;
        let options = read_req::Options {
            what: Some(source(stream, What::Stream, What::All)),
            group: group.to_owned(),
            buffer_size: buffer,
            uuid: Some(structured_ids()),
        };
        let first = ReadReq { content: Some(read_req::Content::Options(options)) };
        let settings = self.settings();
        let requests = Requests::default();
        let opened = self.open(&doing, |link| {
            let stream = requests.open(Some(first.clone()), settings.group_answers_max);
            let request = self.request(stream);
            let client = PersistentSubscriptionsClient::new(link.channel)
                .max_decoding_message_size(settings.message_bytes_max);
            async move { { client }.read(request).await }
        });
        let opened = opened.await?;
        let requests = requests.into_sender(&doing)?;
        let answers = GroupAnswers { client: self.clone(), doing: doing.as_str().into(), requests };
        Ok(GroupSubscription { messages: Messages::endless(self, doing, opened), answers })
    }
}

impl GroupSubscription {
    /// The next message. Cancel-safe: dropping the future loses nothing.
    ///
    /// # Errors
    /// `Unavailable` when the server ended the stream or disconnected the consumer, or the
    /// connection broke; `NotFound` when the group does not exist; `Rejected` when it has no room
    /// for another consumer. After an error a new subscription is needed.
    pub async fn next(&mut self) -> Result<GroupEvent> {
        loop {
            match self.messages.next().await?.content {
                Some(read_resp::Content::Event(event)) => return group_event(event),
                Some(read_resp::Content::Confirmation(_)) => self.messages.confirmed(),
                None => {}
            }
        }
    }

    /// The answering side, for use by another task.
    pub fn answers(&self) -> GroupAnswers {
        self.answers.clone()
    }
}

impl GroupAnswers {
    /// Acknowledges messages by their [`GroupEvent::answer_id`]. The protocol has no reply to this:
    /// if the connection breaks first, the messages are delivered again.
    ///
    /// # Errors
    /// `Unavailable` when the subscription has ended, or `group_answers_max` answers wait for
    /// longer than `request_timeout`. A cancelled call may have sent some of the answers.
    pub async fn ack(&self, ids: Vec<Uuid>) -> Result<()> {
        for ids in ids.chunks(IDS_MAX) {
            let ack = read_req::Ack { ids: to_wire(ids), ..Default::default() };
            self.send(read_req::Content::Ack(ack)).await?;
        }
        Ok(())
    }

    /// Refuses messages, for a reason that the server stores with parked ones. A cancelled call may
    /// have sent some of the answers.
    ///
    /// # Errors
    /// The errors of [`Self::ack`].
    pub async fn nack(&self, ids: Vec<Uuid>, action: NackAction, reason: &str) -> Result<()> {
        let action = match action {
            NackAction::Park => read_req::nack::Action::Park,
            NackAction::Retry => read_req::nack::Action::Retry,
            NackAction::Skip => read_req::nack::Action::Skip,
            NackAction::Stop => read_req::nack::Action::Stop,
        };
        for ids in ids.chunks(IDS_MAX) {
            let nack = read_req::Nack {
                ids: to_wire(ids),
                action: action.into(),
                reason: reason.to_owned(),
                ..Default::default()
            };
            self.send(read_req::Content::Nack(nack)).await?;
        }
        Ok(())
    }

    async fn send(&self, content: read_req::Content) -> Result<()> {
        let limit = self.client.settings().request_timeout;
        let sent = within(limit, self.requests.send(ReadReq { content: Some(content) })).await;
        let why = match sent {
            Some(Ok(())) => return Ok(()),
            Some(Err(_)) => "it has ended, the answer is lost".to_owned(),
            None => format!("the server took no answer for {limit:?} (setting `request_timeout`)"),
        };
        Err(Error::of(ErrorKind::Unavailable, &self.doing, why))
    }
}

fn to_wire(ids: &[Uuid]) -> Vec<wire::Uuid> {
    ids.iter().map(|id| (*id).into()).collect()
}

pub(crate) fn group_event(event: read_resp::Event) -> Result<GroupEvent> {
    use read_resp::event::{Count, Position};
    let commit = match event.position {
        Some(Position::CommitPosition(commit)) => Some(commit),
        Some(Position::NoPosition(_)) | None => None,
    };
    let retry_count = match event.count {
        Some(Count::RetryCount(count)) => u32::try_from(count).unwrap_or_default(),
        Some(Count::NoRetryCount(_)) | None => 0,
    };
    let resolved = conversion::resolved(event.event, event.link, commit)?;
    Ok(GroupEvent { resolved, retry_count })
}
