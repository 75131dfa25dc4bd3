//! The messages of a node to itself: a queue of their own, without the transport.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::asks::Asks;
use super::link::Message;
use super::settings::GateSettings;
use crate::transport::SendError;

/// The queue of a node's messages to itself, and its asks.
pub(super) struct Loopback {
    queue: mpsc::Sender<Message>,
    pub(super) asks: Arc<Asks>,
    message_bytes_max: usize,
    queue_messages_max: usize,
}

impl Loopback {
    /// An empty queue, and its receiver.
    pub(super) fn new(settings: &GateSettings) -> (Self, mpsc::Receiver<Message>) {
        let (queue, messages) = mpsc::channel(settings.queue_messages_max);
        let loopback = Self {
            queue,
            asks: Arc::new(Asks::new(settings.asks_max)),
            message_bytes_max: settings.message_bytes_max,
            queue_messages_max: settings.queue_messages_max,
        };
        (loopback, messages)
    }

    /// Queues a message.
    ///
    /// # Errors
    /// `TooLarge`; `Full`; `Unreachable` when the gate was closed.
    pub(super) fn send(&self, message: Message) -> Result<(), SendError> {
        let (actual, limit) = (message.payload.len(), self.message_bytes_max);
        if actual > limit {
            let setting = "message_bytes_max".into();
            return Err(SendError::TooLarge { actual, limit, setting });
        }
        self.queue.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                SendError::Full(format!("`queue_messages_max` {}", self.queue_messages_max))
            }
            mpsc::error::TrySendError::Closed(_) => {
                SendError::Unreachable("the gate was closed".into())
            }
        })
    }
}
