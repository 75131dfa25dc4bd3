//! Tells and asks between nodes, on top of a `Transport`.
//!
//! ```text
//!   tell, ask --> queue of the link --> frames --> transport ~~~> transport --> link --> service
//!     ^                                                                                    |
//!     +-- answer <-- link <-- transport <~~~ transport <-- frames <-- queue <-- responder <-+
//! ```
//!
//! The rules of a link (batching, credit, order, loss) are in `link::core`. Around them, [`Gate`]
//! is the handle, `sender` fills the queues, `inner` runs the effects of the links, `handler` takes
//! the reports of the transport, and `delivery` hands over the messages that have arrived.

mod ask_error;
mod asks;
mod delivery;
mod handler;
mod inner;
mod link;
mod links;
mod loopback;
mod metrics;
mod sender;
mod served;
mod service;
mod settings;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::task;
use antiphon_base::time::Clock;
pub use ask_error::AskError;
use asks::AnswerCall;
use bytes::Bytes;
use handler::Handler;
use inner::Inner;
use link::MessageKind;
#[cfg(feature = "fuzzing")]
pub(crate) use link::fuzzing;
pub use service::{Responder, Service, ServiceId};
pub use settings::GateSettings;
use tokio::sync::watch;

use crate::NodeId;
use crate::metrics::Metrics;
use crate::transport::{OpeningStream, Protection, SendError, StreamAcceptor, Transport};

/// A time limit that is never reached.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Sends messages to other nodes and hands their messages to services. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

impl Gate {
    /// Starts the gate of `local` on its transport. A [`crate::Node`] does this itself; other
    /// callers are tests only.
    pub fn start(
        local: NodeId,
        transport: Arc<dyn Transport>,
        settings: GateSettings,
        clock: Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Self {
        let (inner, local_messages) = Inner::new(local, transport, settings, clock, metrics);
        inner.transport.start(Arc::new(Handler::new(&inner)));
        inner.run_tasks(local_messages);
        Self { inner }
    }

    /// The node id of this node.
    pub fn local_node(&self) -> &NodeId {
        &self.inner.sender.local
    }

    /// Hands messages for `id` to `service` from now on; a service that was registered before gets
    /// no more. A request for a service that is not registered is answered with
    /// [`AskError::NotHere`].
    pub fn register(&self, id: ServiceId, service: Arc<dyn Service>) {
        self.inner.delivery.register(id, service);
    }

    /// Sends a message, without an answer or a confirmation. Never blocks. A message to the local
    /// node goes through a queue of its own, without the transport.
    ///
    /// # Errors
    /// `Full`, `Unreachable` or `TooLarge`: nothing was sent.
    pub fn tell(&self, to: &NodeId, service: ServiceId, message: Bytes) -> Result<(), SendError> {
        self.inner.sender.send(to, MessageKind::Tell, service, 0, message)
    }

    /// Sends a request and waits for its answer. The request is queued before this returns, in
    /// order with the tells; the future only waits, from its first poll on.
    ///
    /// Cancellation: dropping the future gives the answer up; the request still arrives.
    pub fn ask(
        &self,
        to: &NodeId,
        service: ServiceId,
        message: Bytes,
        timeout: Duration,
    ) -> impl Future<Output = Result<Bytes, AskError>> + Send + use<> {
        let asked = self.inner.sender.ask(to, service, message);
        let metrics = self.inner.metrics.clone();
        async move {
            let answer = match asked {
                Err(error) => Err(error),
                Ok(mut ticket) => match tokio::time::timeout(timeout, &mut ticket.answer).await {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(_)) => Err(AskError::Unreachable("the gate was closed".into())),
                    Err(_) => Err(AskError::Timeout),
                },
            };
            if let Err(error) = &answer {
                metrics.asks_failed.with_label_values(&[error.reason()]).inc();
            }
            answer
        }
    }

    /// Sends a request like [`Self::ask`] and calls `then` with the answer, once. `then` runs after
    /// this returns, or at once on another thread: on the task that delivers messages, so it must
    /// be short and must not block. The time limit is checked every `tick_interval`. Costs less
    /// than a task that waits for [`Self::ask`].
    pub fn ask_then(
        &self,
        to: &NodeId,
        service: ServiceId,
        message: Bytes,
        timeout: Duration,
        then: impl FnOnce(Result<Bytes, AskError>) + Send + 'static,
    ) {
        let metrics = self.inner.metrics.clone();
        let then = AnswerCall::new(move |answer| {
            if let Err(error) = &answer {
                metrics.asks_failed.with_label_values(&[error.reason()]).inc();
            }
            then(answer);
        });
        let now = self.inner.clock.now();
        let deadline = now.checked_add(timeout).unwrap_or(now + FOREVER);
        let asked = self.inner.sender.ask_then(to, service, message, (then, deadline));
        if let Err((error, then)) = asked {
            // the caller may be the code that `then` calls again
            task::spawn("ask not sent", async move { then.answer(Err(error)) });
        }
    }

    /// Returns whether there is a connection to that node. The local node is always connected.
    pub fn is_connected(&self, node: &NodeId) -> bool {
        self.inner.is_connected(node)
    }

    /// The number of the connection to another node; each connection of this process has another
    /// number. `None` while there is no connection, and for the local node. Messages that were sent
    /// over a connection with another number may be lost.
    pub fn connection(&self, node: &NodeId) -> Option<u64> {
        self.inner.connection(node)
    }

    /// The reason why there is no connection to `node`, if it is known.
    pub fn trouble(&self, node: &NodeId) -> Option<String> {
        self.inner.transport.trouble(node)
    }

    /// The protection of the connections to other nodes against strangers.
    pub fn protection(&self) -> Protection {
        self.inner.transport.protection()
    }

    /// Notes the place whose member the node is: a connection of the same name from another place
    /// is refused from now on, as far as the transport knows places.
    pub fn expect_place(&self, node: &NodeId, place: &Arc<str>) {
        self.inner.transport.expect_place(node, place);
    }

    /// The place that the node has named in its greeting, if the transport knows it.
    pub fn place_of(&self, node: &NodeId) -> Option<Arc<str>> {
        self.inner.transport.place_of(node)
    }

    /// Hands the streams that members with smaller ids open for this purpose to `acceptor`;
    /// `None` refuses them, and ends those that are open ([`crate::transport::Stream`]).
    ///
    /// # Errors
    /// `Rejected` when the transport has no streams, as that in memory.
    pub fn accept_streams(
        &self,
        purpose: &'static str,
        acceptor: Option<StreamAcceptor>,
    ) -> crate::Result<()> {
        self.inner.transport.accept_streams(purpose, acceptor)
    }

    /// Opens a stream for this purpose to a member with a larger id, at the address of its row. It
    /// is tried once, within `links.handshake_timeout`.
    ///
    /// Cancellation: dropping the future opens none; the other node may see one that ends.
    ///
    /// # Errors
    /// `Rejected` when the node is no member, has a smaller id, or the transport has no streams;
    /// `Unavailable` or `Timeout`: try again later.
    pub fn open_stream(
        &self,
        node: &NodeId,
        address: &str,
        purpose: &'static str,
    ) -> OpeningStream {
        self.inner.transport.open_stream(node, address, purpose)
    }

    /// Keeps a connection to `node` until [`Self::disconnect`].
    pub fn connect(&self, node: &NodeId, address: &str) {
        self.inner.connect(node, address);
    }

    /// Ends the connection to `node`; its asks fail.
    pub fn disconnect(&self, node: &NodeId) {
        self.inner.disconnect(node);
    }

    /// A number that changes whenever a link goes up or down.
    pub fn link_changes(&self) -> watch::Receiver<u64> {
        self.inner.link_changes.subscribe()
    }

    /// The number of links, and of their bytes that have arrived and are not with their
    /// receivers.
    #[cfg(test)]
    pub(crate) fn holds(&self) -> (usize, usize) {
        self.inner.sender.links.holds()
    }

    /// Waits until every request of another node was answered and every answer has arrived, so that
    /// a node that leaves breaks no link under an answer.
    ///
    /// Cancellation: dropping the future changes nothing.
    pub async fn quiesce(&self) {
        const INTERVAL: Duration = Duration::from_millis(10);
        while !self.inner.is_quiet() {
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Ends everything at once, for good: the transport, the tasks, all asks. Idempotent.
    pub fn close(&self) {
        self.inner.close();
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({})", self.inner.sender.local)
    }
}

#[cfg(test)]
mod tests;
