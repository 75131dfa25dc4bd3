//! Tests of the lock of a shard, with a node in memory.

use std::panic::{AssertUnwindSafe, catch_unwind};

use antiphon_base::time::SystemClock;
use antiphon_persistence::entity::{CommandContext, Effect, EventContext};
use antiphon_persistence::identity::ReplicaId;
use antiphon_persistence::memory::MemoryStores;
use antiphon_runtime::transport::memory::MemoryNetwork;
use antiphon_runtime::{Metrics, Node, NodeParts, NodeSettings};

use super::super::envelope::CommandTaker;
use super::super::layout::Layout;
use super::super::relay_search::RelaySearch;
use super::*;
use crate::ShardingSettings;

struct Nothing;

impl EventSourced for Nothing {
    type Command = ();
    type Event = ();
    type State = ();

    fn on_command(&self, _: &CommandContext, (): &(), (): ()) -> Effect<Self> {
        Effect::none()
    }

    fn on_event(&self, _: &EventContext, (): &mut (), (): &()) {}
}

struct Nobody;

impl CommandTaker<()> for Nobody {
    fn deliver(&self, _: &ReplicaId, _: Envelope<()>) {}
}

async fn node() -> Node {
    let id = NodeId::new("a", 1).unwrap();
    let parts = NodeParts {
        clock: Arc::new(SystemClock),
        stores: MemoryStores::new().stores(),
        transport: MemoryNetwork::new(1).transport(&id),
        address: id.to_string(),
        http_address: None,
        peers: Vec::new(),
        incarnation: 1,
        metrics: Arc::new(Metrics::new()),
    };
    let settings = NodeSettings { name: "a".into(), place: "A".into(), ..NodeSettings::default() };
    Node::start(settings, parts).await.unwrap()
}

fn slots(node: &Node) -> Arc<Slots<Nothing>> {
    let replica = ReplicaId::new("A").unwrap();
    let places = [(replica.clone(), "A".into())].into();
    let layout = Layout::new("t".into(), [replica].into(), places, 1);
    let parts = RegionParts::new(node.clone(), layout, ShardingSettings::default(), false);
    let relays = Arc::new(RelaySearch::new(parts.clone()));
    let nobody: Weak<dyn CommandTaker<()>> = Weak::<Nobody>::new();
    Slots::new(parts.clone(), Outgoing::new(parts, relays, nobody))
}

#[tokio::test(start_paused = true)]
async fn a_panic_under_the_lock_of_a_shard_ends_the_node() {
    let node = node().await;
    let slots = slots(&node);
    let broken = catch_unwind(AssertUnwindSafe(|| {
        let _slot = slots.lock(0);
        panic!("an invariant is broken");
    }));
    assert!(broken.is_err() && !node.is_live());
    assert!(node.fenced().await.contains("broken invariant"));
}

/// Locks a slot when it is dropped, as a destructor of application code does that sends a command.
struct Sender(Arc<Slots<Nothing>>);

impl Drop for Sender {
    fn drop(&mut self) {
        let _slot = self.0.lock(0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_destructor_that_sends_a_command_while_a_thread_panics_is_no_broken_shard() {
    let node = node().await;
    let sender = Sender(slots(&node));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _sender = sender;
        panic!("application code");
    }));
    assert!(panicked.is_err() && node.is_live());
    node.crash();
}
