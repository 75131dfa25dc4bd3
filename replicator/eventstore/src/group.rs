//! Persistent subscription groups: the server keeps the position, the consumer answers each
//! message.

use std::fmt;

use futures::StreamExt;
use futures::stream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use crate::client::{EventStoreClient, Opened};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{ALL, ResolvedEvent, stream_name, uuid_to_wire};
use crate::group_settings::{GroupInfo, GroupSettings};
use crate::link::{Link, within};
use crate::read::not_a_write;
use crate::wire;
use crate::wire::persistent_subscriptions as groups;
use crate::wire::persistent_subscriptions::persistent_subscriptions_client::PersistentSubscriptionsClient;
use crate::wire::persistent_subscriptions::{ReadReq, ReadResp, read_req, read_resp};

/// Largest number of ids in one answer; the server refuses more.
const IDS_MAX: usize = 2000;

/// The treatment of a message that was not handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
pub struct GroupSubscription {
    client: EventStoreClient,
    doing: String,
    messages: tonic::Streaming<ReadResp>,
    link: Link,
    answers: GroupAnswers,
    confirmed_by: Option<Instant>,
}

/// The answering side of a [`GroupSubscription`], for use by other tasks.
#[derive(Clone)]
pub struct GroupAnswers {
    client: EventStoreClient,
    doing: std::sync::Arc<str>,
    requests: mpsc::Sender<ReadReq>,
}

impl EventStoreClient {
    /// Becomes a consumer of `group` on `stream` (or `$all`), with at most `buffer_size` unanswered
    /// messages.
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
        let doing = format!("subscription to group `{group}` of stream `{stream}`");
        let buffer = i32::try_from(buffer_size).ok().filter(|size| *size > 0).ok_or_else(|| {
            let most = i32::MAX;
            Error::rejected(format!(
                "{doing}: `buffer_size`: expected 1 to {most}, actual {buffer_size}"
            ))
        })?;
        let what = if stream == ALL {
            What::All(wire::Empty {})
        } else {
            What::Stream(stream_name(stream))
        };
        let structured = wire::uuid_form::Form::Structured(wire::Empty {});
        let options = read_req::Options {
            what: Some(what),
            group: group.to_owned(),
            buffer_size: buffer,
            uuid: Some(wire::UuidForm { form: Some(structured) }),
        };
        let first = ReadReq { content: Some(read_req::Content::Options(options)) };
        let bytes_max = self.settings().message_bytes_max;
        // each attempt has its own channel; the channel of the successful one is kept
        let kept = parking_lot::Mutex::new(None);
        let opened = self.open(&doing, |link| {
            let (sender, receiver) = mpsc::channel(self.settings().group_answers_max);
            *kept.lock() = Some(sender);
            let rest = stream::unfold(receiver, |mut receiver| async {
                receiver.recv().await.map(|request| (request, receiver))
            });
            let request = self.request(stream::iter([first.clone()]).chain(rest));
            let client = PersistentSubscriptionsClient::new(link.channel)
                .max_decoding_message_size(bytes_max);
            async move { { client }.read(request).await }
        });
        let opened = opened.await.map_err(|error| not_a_write(&doing, error));
        let Opened { messages, link } = opened?;
        let sender = kept.into_inner();
        let requests = sender
            .ok_or_else(|| Error::new(ErrorKind::Bug, format!("{doing}: opened without a call")))?;
        let answers = GroupAnswers { client: self.clone(), doing: doing.as_str().into(), requests };
        let confirmed_by = Some(self.now() + self.settings().request_timeout);
        Ok(GroupSubscription { client: self.clone(), doing, messages, link, answers, confirmed_by })
    }

    /// Creates a group.
    ///
    /// # Errors
    /// `AlreadyExists`, `AccessDenied`, `Rejected` for settings out of range, and the errors of any
    /// call.
    pub async fn create_group(
        &self,
        stream: &str,
        group: &str,
        settings: &GroupSettings,
    ) -> Result<()> {
        let doing = format!("create group `{group}` of stream `{stream}`");
        let message = settings.request(stream, group, self.settings())?;
        let answer = self.call(&doing, |link| {
            let request = self.request(message.clone());
            async move { PersistentSubscriptionsClient::new(link.channel).create(request).await }
        });
        answer.await.map(|_| ())
    }

    /// Changes the settings of a group and disconnects its consumers. The filter cannot be changed.
    ///
    /// # Errors
    /// `NotFound`, and the errors of [`Self::create_group`].
    pub async fn update_group(
        &self,
        stream: &str,
        group: &str,
        settings: &GroupSettings,
    ) -> Result<()> {
        let doing = format!("update group `{group}` of stream `{stream}`");
        let message = settings.request(stream, group, self.settings())?;
        let answer = self.call(&doing, |link| {
            let request = self.request(message.clone());
            async move { PersistentSubscriptionsClient::new(link.channel).update(request).await }
        });
        answer.await.map(|_| ())
    }

    /// Deletes a group and its position. Its parked messages stay in their stream.
    ///
    /// # Errors
    /// `NotFound`, `AccessDenied`, and the errors of any call.
    pub async fn delete_group(&self, stream: &str, group: &str) -> Result<()> {
        use groups::delete_req::{Options, options::What};
        let doing = format!("delete group `{group}` of stream `{stream}`");
        let what = source(stream, What::Stream, What::All);
        let options = Options { what: Some(what), group: group.to_owned() };
        let message = groups::DeleteReq { options: Some(options) };
        let answer = self.call(&doing, |link| {
            let request = self.request(message.clone());
            async move { PersistentSubscriptionsClient::new(link.channel).delete(request).await }
        });
        answer.await.map(|_| ())
    }

    /// The state of a group. Needs server 22.6 or newer.
    ///
    /// # Errors
    /// `NotFound`, `AccessDenied`, `Rejected` by an older server, and the errors of any call.
    pub async fn group_info(&self, stream: &str, group: &str) -> Result<GroupInfo> {
        use groups::get_info_req::{Options, options::What};
        let doing = format!("info of group `{group}` of stream `{stream}`");
        let what = source(stream, What::Stream, What::All);
        let options = Options { what: Some(what), group: group.to_owned() };
        let message = groups::GetInfoReq { options: Some(options) };
        let answer = self.call(&doing, |link| {
            let request = self.request(message.clone());
            async move { PersistentSubscriptionsClient::new(link.channel).get_info(request).await }
        });
        let info = answer.await?.info;
        info.map(GroupInfo::from_wire)
            .ok_or_else(|| Error::corrupt(format!("{doing}: the server's answer is empty")))
    }

    /// All groups of the store. Needs server 22.6 or newer.
    ///
    /// # Errors
    /// `AccessDenied`, `Rejected` by an older server, and the errors of any call.
    pub async fn list_groups(&self) -> Result<Vec<GroupInfo>> {
        use groups::list_req::{Options, options::What};
        let options = Options { what: Some(What::Everything(wire::Empty {})) };
        let message = groups::ListReq { options: Some(options) };
        let answer = self.call("list groups", |link| {
            let request = self.request(message.clone());
            async move { PersistentSubscriptionsClient::new(link.channel).list(request).await }
        });
        match answer.await {
            Ok(answer) => Ok(answer.groups.into_iter().map(GroupInfo::from_wire).collect()),
            // the server's answer when it has no group at all
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Delivers the parked messages of a group again, at most `limit` of them.
    ///
    /// # Errors
    /// `NotFound`, `AccessDenied`, and the errors of any call.
    pub async fn replay_parked(&self, stream: &str, group: &str, limit: Option<u64>) -> Result<()> {
        use groups::replay_parked_req::{Options, options::Limit, options::What};
        let doing = format!("replay parked messages of group `{group}` of stream `{stream}`");
        let limit = match limit {
            Some(limit) => Limit::StopAt(i64::try_from(limit).unwrap_or(i64::MAX)),
            None => Limit::NoLimit(wire::Empty {}),
        };
        let what = source(stream, What::Stream, What::All);
        let options = Options { group: group.to_owned(), what: Some(what), limit: Some(limit) };
        let message = groups::ReplayParkedReq { options: Some(options) };
        let answer =
            self.call(&doing, |link| {
                let request = self.request(message.clone());
                async move {
                    PersistentSubscriptionsClient::new(link.channel).replay_parked(request).await
                }
            });
        answer.await.map(|_| ())
    }
}

impl fmt::Debug for GroupSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupSubscription({})", self.doing)
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
            let message = self.message().await?;
            match message.content {
                Some(read_resp::Content::Event(event)) => return group_event(event),
                Some(read_resp::Content::Confirmation(_)) => self.confirmed_by = None,
                None => {}
            }
        }
    }

    /// Acknowledges messages by their [`GroupEvent::answer_id`]. The protocol has no reply to this:
    /// if the connection breaks first, the messages are delivered again.
    ///
    /// # Errors
    /// `Unavailable` when the subscription has ended, or `group_answers_max` answers wait for
    /// longer than `request_timeout`. A cancelled call may have sent some of the answers.
    pub async fn ack(&self, ids: Vec<Uuid>) -> Result<()> {
        self.answers.ack(ids).await
    }

    /// Refuses messages, for a reason that the server stores with parked ones.
    ///
    /// # Errors
    /// The errors of [`Self::ack`].
    pub async fn nack(&self, ids: Vec<Uuid>, action: NackAction, reason: &str) -> Result<()> {
        self.answers.nack(ids, action, reason).await
    }

    /// The answering side, for use by another task.
    pub fn answers(&self) -> GroupAnswers {
        self.answers.clone()
    }

    async fn message(&mut self) -> Result<ReadResp> {
        let message = match self.confirmed_by {
            None => self.messages.message().await,
            Some(deadline) => {
                let first = tokio::time::timeout_at(deadline, self.messages.message());
                first.await.map_err(|_| {
                    let why = "the server did not confirm within the setting `request_timeout`";
                    Error::new(ErrorKind::Unavailable, format!("{}: {why}", self.doing))
                })?
            }
        };
        match message {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(self.client.ended(&self.doing, None, &self.link)),
            Err(status) => Err(self.client.ended(&self.doing, Some(status), &self.link)),
        }
    }
}

impl GroupAnswers {
    /// Acknowledges like [`GroupSubscription::ack`].
    ///
    /// # Errors
    /// The errors of [`GroupSubscription::ack`].
    pub async fn ack(&self, ids: Vec<Uuid>) -> Result<()> {
        for ids in ids.chunks(IDS_MAX) {
            let ack = read_req::Ack { ids: to_wire(ids), ..Default::default() };
            self.send(read_req::Content::Ack(ack)).await?;
        }
        Ok(())
    }

    /// Refuses like [`GroupSubscription::nack`].
    ///
    /// # Errors
    /// The errors of [`GroupSubscription::nack`].
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
        let doing = &self.doing;
        match within(limit, self.requests.send(ReadReq { content: Some(content) })).await {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) => {
                let message = format!("{doing}: it has ended, the answer is lost");
                Err(Error::new(ErrorKind::Unavailable, message))
            }
            None => {
                let why = format!("the server took no answer for {limit:?}");
                let message = format!("{doing}: {why} (setting `request_timeout`)");
                Err(Error::new(ErrorKind::Unavailable, message))
            }
        }
    }
}

impl fmt::Debug for GroupAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupAnswers({})", self.doing)
    }
}

fn to_wire(ids: &[Uuid]) -> Vec<wire::Uuid> {
    ids.iter().copied().map(uuid_to_wire).collect()
}

fn source<W>(
    stream: &str,
    one: impl FnOnce(wire::StreamName) -> W,
    all: impl FnOnce(wire::Empty) -> W,
) -> W {
    if stream == ALL { all(wire::Empty {}) } else { one(stream_name(stream)) }
}

fn group_event(event: read_resp::Event) -> Result<GroupEvent> {
    use read_resp::event::{Count, Position};
    let commit = match event.position {
        Some(Position::CommitPosition(commit)) => Some(commit),
        Some(Position::NoPosition(_)) | None => None,
    };
    let retry_count = match event.count {
        Some(Count::RetryCount(count)) => u32::try_from(count).unwrap_or_default(),
        Some(Count::NoRetryCount(_)) | None => 0,
    };
    let resolved = ResolvedEvent::from_wire(event.event, event.link, commit)?;
    Ok(GroupEvent { resolved, retry_count })
}
