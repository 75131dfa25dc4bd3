//! The end of the network in memory at one node.

use std::sync::Arc;

use antiphon_base::task;
use antiphon_base::time::{Clock, SystemClock};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::task::JoinHandle;

use super::events::Event;
use super::state::{Next, State};
use crate::NodeId;
use crate::transport::{SendError, Transport, TransportHandler};

/// The transport of one node in a network in memory.
pub struct MemoryTransport {
    network: Arc<Mutex<State>>,
    node: NodeId,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl MemoryTransport {
    pub(super) fn new(network: Arc<Mutex<State>>, node: NodeId) -> Self {
        Self { network, node, task: Mutex::default() }
    }

    fn network(&self) -> MutexGuard<'_, State> {
        self.network.lock()
    }
}

impl Transport for MemoryTransport {
    fn start(&self, handler: Arc<dyn TransportHandler>) {
        let (network, node) = (self.network.clone(), self.node.clone());
        let task = task::spawn("memory transport", run(network, node, handler));
        *self.task.lock() = Some(task);
    }

    fn connect(&self, to: &NodeId, _address: &str) {
        self.network().want(SystemClock.now(), &self.node, to);
    }

    fn disconnect(&self, to: &NodeId) {
        self.network().unwant(SystemClock.now(), &self.node, to);
    }

    fn send(&self, to: &NodeId, frame: Bytes) -> Result<(), SendError> {
        self.network().send(SystemClock.now(), &self.node, to, frame)
    }

    fn stop(&self) {
        self.network().remove(SystemClock.now(), &self.node);
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

async fn run(network: Arc<Mutex<State>>, node: NodeId, handler: Arc<dyn TransportHandler>) {
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
