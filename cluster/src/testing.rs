//! Nodes in memory, for the tests of this crate. Groups belong to the process, so each test has
//! keys of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use antiphon_base::time::SystemClock;
use antiphon_persistence::memory::MemoryStores;
use antiphon_runtime::metrics::Metrics;
use antiphon_runtime::transport::memory::MemoryNetwork;
use antiphon_runtime::{Node, NodeId, NodeParts, NodeSettings};
use ractor::{Actor, ActorProcessingErr, ActorRef, Message};
use tokio::sync::mpsc;

/// Places with their nodes, in one network.
pub(crate) struct Place {
    network: MemoryNetwork,
    stores: MemoryStores,
}

static INCARNATIONS: AtomicU64 = AtomicU64::new(1);

impl Place {
    pub(crate) fn new() -> Self {
        Self { network: MemoryNetwork::new(1), stores: MemoryStores::new() }
    }

    pub(crate) async fn start(&self, name: &str) -> Node {
        let incarnation = INCARNATIONS.fetch_add(1, Ordering::Relaxed);
        let id = NodeId::new(name, incarnation).unwrap();
        let settings =
            NodeSettings { name: name.into(), place: "p".into(), ..NodeSettings::default() };
        let parts = NodeParts {
            clock: Arc::new(SystemClock),
            stores: self.stores.stores(),
            transport: self.network.transport(&id),
            address: id.to_string(),
            http_address: None,
            peers: Vec::new(),
            incarnation,
            metrics: Arc::new(Metrics::new()),
        };
        Node::start(settings, parts).await.unwrap()
    }
}

/// A text that an actor gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl Message for Text {}

pub(crate) fn text(text: &str) -> Text {
    Text(text.to_owned())
}

/// An actor that gives its messages to the test.
pub(crate) struct Probe<M>(mpsc::Sender<M>);

impl<M: Message> Actor for Probe<M> {
    type Msg = M;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<M>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<M>,
        message: M,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        self.0.send(message).await.map_err(|_| "the test has ended".into())
    }
}

/// Starts an actor whose messages the test takes.
pub(crate) async fn probe<M: Message>() -> (ActorRef<M>, mpsc::Receiver<M>) {
    let (sender, receiver) = mpsc::channel(1000);
    let (actor, _) = Probe::spawn(None, Probe(sender), ()).await.unwrap();
    (actor, receiver)
}

/// Waits for a value, at most a minute.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(Duration::from_secs(60), future).await;
    ended.unwrap_or_else(|_| panic!("{what}: nothing within a minute"))
}

/// Waits until a condition holds, at most a minute.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    within(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
