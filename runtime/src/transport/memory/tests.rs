//! The network in memory keeps the contract of a transport, and has exactly the faults that a test
//! sets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Faults, MemoryNetwork, MemoryTransport};
use crate::NodeId;
use crate::transport::{SendError, Transport, TransportHandler};

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Log {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

impl TransportHandler for Log {
    fn up(&self, peer: &NodeId) {
        self.0.lock().push(format!("up {peer}"));
    }

    fn down(&self, peer: &NodeId) {
        self.0.lock().push(format!("down {peer}"));
    }

    fn frame(&self, _: &NodeId, frame: Bytes) {
        self.0.lock().push(String::from_utf8_lossy(&frame).into_owned());
    }
}

fn id(name: &str) -> NodeId {
    NodeId::new(name, 1).unwrap()
}

fn join(network: &MemoryNetwork, name: &str) -> (Arc<MemoryTransport>, Arc<Log>) {
    let (transport, log) = (network.transport(&id(name)), Arc::new(Log::default()));
    transport.start(log.clone());
    (transport, log)
}

async fn settle() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

fn send(from: &MemoryTransport, to: &str, count: u32) {
    for number in 0..count {
        from.send(&id(to), Bytes::from(number.to_string())).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn frames_arrive_in_order_between_up_and_down() {
    let network = MemoryNetwork::new(1);
    let ((a, log_a), (b, log_b)) = (join(&network, "a"), join(&network, "b"));
    assert!(matches!(a.send(&id("b"), Bytes::new()), Err(SendError::Unreachable(_))));
    a.connect(&id("b"), "");
    b.connect(&id("a"), "");
    settle().await;

    send(&a, "b", 100);
    settle().await;
    network.crash(&id("a"));
    settle().await;

    assert_eq!(log_a.take(), ["up b@1"]);
    let mut expected = vec!["up a@1".to_owned()];
    expected.extend((0..100).map(|number: u32| number.to_string()));
    expected.push("down a@1".to_owned());
    assert_eq!(log_b.take(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_cut_is_silent_and_one_way() {
    let network = MemoryNetwork::new(1);
    let ((a, log_a), (b, log_b)) = (join(&network, "a"), join(&network, "b"));
    a.connect(&id("b"), "");
    settle().await;
    log_a.take();
    log_b.take();

    network.cut(&id("a"), &id("b"));
    send(&a, "b", 3);
    send(&b, "a", 2);
    settle().await;
    assert_eq!(log_a.take(), ["0", "1"]);
    assert!(log_b.take().is_empty());

    network.heal(&id("a"), &id("b"));
    send(&a, "b", 1);
    settle().await;
    assert_eq!(log_b.take(), ["0"]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_comes_back_unless_it_is_given_up() {
    let network = MemoryNetwork::new(1);
    let ((a, log_a), (b, _log_b)) = (join(&network, "a"), join(&network, "b"));
    a.connect(&id("b"), "");
    settle().await;

    network.break_connection(&id("a"), &id("b"));
    settle().await;
    assert_eq!(log_a.take(), ["up b@1", "down b@1", "up b@1"]);

    a.disconnect(&id("b"));
    b.connect(&id("a"), "");
    settle().await;
    assert_eq!(log_a.take(), ["down b@1"]);
}

#[tokio::test(start_paused = true)]
async fn faults_follow_from_the_seed() {
    let mut logs = Vec::new();
    for seed in [5, 5, 6] {
        let network = MemoryNetwork::new(seed);
        let ((a, _), (_b, log_b)) = (join(&network, "a"), join(&network, "b"));
        a.connect(&id("b"), "");
        settle().await;
        network.set_faults(Faults {
            drop_per_million: 200_000,
            duplicate_per_million: 200_000,
            reorder_per_million: 200_000,
            ..Faults::default()
        });
        send(&a, "b", 200);
        settle().await;

        let stats = network.stats();
        assert!(stats.dropped > 10 && stats.duplicated > 10 && stats.reordered > 10, "{stats:?}");
        logs.push(log_b.take());
    }
    assert_eq!(logs[0], logs[1]);
    assert_ne!(logs[0], logs[2]);
}

#[tokio::test]
async fn the_network_in_memory_refuses_streams() {
    let network = MemoryNetwork::new(1);
    let transport = network.transport(&NodeId::new("a", 1).unwrap());
    let opened = transport.open_stream(&NodeId::new("b", 1).unwrap(), "b", "test").await;
    let error = opened.unwrap_err().to_string();
    assert_eq!(error, "this transport has no streams: expected that of TCP");
    transport.accept_streams("test", None).unwrap_err();
}
