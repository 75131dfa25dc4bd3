//! Requests of the services to a group, and the messages to its consumers.

use antiphon_eventstore::wire;
use antiphon_eventstore::wire::persistent_subscriptions::{ReadResp, read_resp};
use tokio::sync::{mpsc, oneshot};
use tonic::Status;
use uuid::Uuid;

use super::core::{Counts, Load};
use crate::store::{Found, position};

/// The destination of a consumer's messages.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) messages: mpsc::Sender<Result<ReadResp, Status>>,
    /// True when the consumer wants ids as text.
    pub(crate) text_ids: bool,
    pub(crate) user: String,
    pub(crate) connection_name: String,
}

/// A consumer's answer for messages.
#[derive(Debug)]
pub(crate) enum Answer {
    Done(Vec<Uuid>),
    Retry(Vec<Uuid>),
    Park(Vec<Uuid>, String),
}

/// A request of the services to a group.
pub(crate) enum Command {
    Connect {
        id: u64,
        buffer: usize,
        consumer: Consumer,
        /// Told whether the group has room for the consumer.
        admitted: oneshot::Sender<bool>,
    },
    Disconnect {
        id: u64,
    },
    Answer(Answer),
    Replay {
        /// The number in the parking lot before which to stop; none for all.
        before: Option<u64>,
        done: oneshot::Sender<()>,
    },
    Status(oneshot::Sender<GroupStatus>),
    /// The group was deleted or changed: notify its consumers, and end the task.
    Drop,
}

/// The state of a group.
#[derive(Debug, Clone, Default)]
pub(crate) struct GroupStatus {
    pub(crate) consumers: Vec<ConsumerStatus>,
    pub(crate) counts: Counts,
    pub(crate) next: u64,
}

/// The state of a consumer.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerStatus {
    pub(crate) user: String,
    pub(crate) connection_name: String,
    pub(crate) load: Load,
}

impl Consumer {
    /// Sends a message. Returns false when the consumer is gone or does not receive.
    pub(super) fn send(&self, found: &Found, retry_count: u32) -> bool {
        use read_resp::event::{Count, Position};
        let formed = |event: &Option<wire::RecordedEvent>| formed(event.clone(), self.text_ids);
        let event = read_resp::Event {
            event: formed(&found.event),
            link: formed(&found.link),
            position: Some(Position::CommitPosition(position(found.index))),
            count: Some(Count::RetryCount(i32::try_from(retry_count).unwrap_or(i32::MAX))),
        };
        let content = Some(read_resp::Content::Event(event));
        self.messages.try_send(Ok(ReadResp { content })).is_ok()
    }

    /// Ends the consumer. One that does not receive is gone.
    pub(super) fn end(&self, status: Status) {
        let _ = self.messages.try_send(Err(status));
    }
}

/// The same event, with its id as text if requested.
pub(crate) fn formed(
    event: Option<wire::RecordedEvent>,
    as_text: bool,
) -> Option<wire::RecordedEvent> {
    let mut event = event?;
    if let Some(id) = event.id.as_ref().filter(|_| as_text).and_then(wire::Uuid::id) {
        event.id = Some(wire::Uuid { form: Some(wire::uuid::Form::Text(id.to_string())) });
    }
    Some(event)
}
