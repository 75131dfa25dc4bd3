//! A coordination store that panics while homes are read and written. Time is paused.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use antiphon_base::Result;
use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::memory::{Call, Fault, FaultyStores, MemoryStores};
use antiphon_persistence::reply::ReplyTo;
use antiphon_persistence::store::Stores;
use antiphon_runtime::transport::memory::MemoryNetwork;
use antiphon_runtime::{Node, NodeId, NodeSettings};
use antiphon_sharding::{ReplicatedEntityProvider, ReplicatedSharding};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Add(ReplyTo<u64>);

#[derive(Debug, Serialize, Deserialize)]
struct Added;

struct Counter;

impl EventSourced for Counter {
    type Command = Add;
    type Event = Added;
    type State = u64;

    fn on_command(&self, _: &CommandContext, _: &u64, Add(reply_to): Add) -> Effect<Self> {
        Effect::persist(Added).then_reply(reply_to, |value| *value)
    }

    fn on_event(&self, _: &EventContext, value: &mut u64, _: &Added) {
        *value += 1;
    }
}

/// Panics at the first call of each kind for the table of homes.
#[derive(Default)]
struct Fragile {
    has_panicked: [AtomicBool; 3],
}

impl Fragile {
    fn call(&self, kind: usize, table: &str) {
        let is_first =
            table.starts_with("shards/") && !self.has_panicked[kind].swap(true, Ordering::Relaxed);
        assert!(!is_first, "the test wants it");
    }
}

#[async_trait]
impl Fault for Fragile {
    async fn before(&self, call: Call<'_>) -> Result<()> {
        if let Call::Scan(table) = call {
            self.call(0, table);
        } else if let Call::RaiseToken(table) = call {
            self.call(1, table);
        } else if let Call::PutFenced(table) = call {
            self.call(2, table);
        }
        Ok(())
    }
}

async fn start(stores: Stores) -> Node {
    let id = NodeId::new("a", 1).unwrap();
    let settings = NodeSettings {
        name: "a".into(),
        place: "A".into(),
        shard_count: 8,
        ..NodeSettings::default()
    };
    let parts = support::parts(&id, 1, stores, &MemoryNetwork::new(1));
    Node::start(settings, parts).await.unwrap()
}

/// The coordinator waited for the result of the call for ever, and no shard got a home.
#[tokio::test(start_paused = true)]
async fn shards_get_homes_although_the_store_panics_while_they_are_read_and_written() {
    let stores = MemoryStores::new().stores();
    let fragile = Arc::new(Fragile::default());
    let node = start(FaultyStores::behind(fragile.clone(), stores)).await;
    let replica = ReplicaId::new("A").unwrap();
    let counter = |_: &ReplicationId| Counter;
    let provider = ReplicatedEntityProvider::per_role("counter", [replica.clone()], counter);
    let counters = ReplicatedSharding::init(&node, provider).await.unwrap();
    let ready = async {
        while !counters.is_ready() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ready).await.expect("shards have homes");
    assert!(fragile.has_panicked.iter().all(|has| has.load(Ordering::Relaxed)));
    let counter = counters.entity_ref_for("c", &replica).unwrap();
    assert_eq!(counter.ask(Add).await, Ok(1));
}
