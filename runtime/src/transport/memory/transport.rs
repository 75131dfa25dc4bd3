//! The end of the network in memory at one node.

use std::sync::Arc;

use antiphon_base::task;
use antiphon_base::time::{Clock, SystemClock};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use super::MemoryNetwork;
use super::events::Event;
use super::state::Next;
use crate::NodeId;
use crate::transport::{SendError, Transport, TransportHandler};

/// The transport of one node in a [`MemoryNetwork`].
pub struct MemoryTransport {
    network: MemoryNetwork,
    node: NodeId,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl MemoryTransport {
    pub(super) fn new(network: MemoryNetwork, node: NodeId) -> Self {
        Self { network, node, task: Mutex::default() }
    }
}

impl Transport for MemoryTransport {
    fn start(&self, handler: Arc<dyn TransportHandler>) {
        let (network, node) = (self.network.clone(), self.node.clone());
        let task = task::spawn("memory transport", run(network, node, handler));
        *self.task.lock() = Some(task);
    }

    fn connect(&self, peer: &NodeId, _address: &str) {
        self.network.lock().want(SystemClock.now(), &self.node, peer);
    }

    fn disconnect(&self, peer: &NodeId) {
        self.network.lock().unwant(SystemClock.now(), &self.node, peer);
    }

    fn send(&self, peer: &NodeId, frame: Bytes) -> Result<(), SendError> {
        self.network.lock().send(SystemClock.now(), &self.node, peer, frame)
    }

    fn stop(&self) {
        self.network.crash(&self.node);
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

async fn run(network: MemoryNetwork, node: NodeId, handler: Arc<dyn TransportHandler>) {
    let Some(wake) = network.lock().nodes.get(&node).map(|entry| entry.wake.clone()) else {
        return;
    };
    loop {
        let next = network.lock().next(SystemClock.now(), &node);
        match next {
            Next::Gone => return,
            Next::Idle => wake.notified().await,
            Next::At(due) => {
                let _ = tokio::time::timeout_at(due, wake.notified()).await;
            }
            Next::Event(event) => match event {
                Event::Up { peer, .. } => handler.up(&peer),
                Event::Down { peer, .. } => handler.down(&peer),
                Event::Frame { peer, frame, .. } => handler.frame(&peer, frame),
                Event::Dial { .. } => {}
            },
        }
    }
}
