//! An append that the store does not finish, while the shard of its entity moves. Time is paused.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::Result;
use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::memory::{Call, Fault, FaultyStores, MemoryStores};
use antiphon_persistence::reply::ReplyTo;
use antiphon_persistence::store::Stores;
use antiphon_runtime::transport::memory::MemoryNetwork;
use antiphon_runtime::{Node, NodeId, NodeSettings};
use antiphon_sharding::{
    EntityRef, ReplicatedEntityProvider, ReplicatedSharding, ShardingSettings,
};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

#[derive(Debug, Serialize, Deserialize)]
enum Command {
    Add(ReplyTo<u64>),
    Get(ReplyTo<u64>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Added;

struct Counter;

impl EventSourced for Counter {
    type Command = Command;
    type Event = Added;
    type State = u64;

    fn on_command(&self, _: &CommandContext, value: &u64, command: Command) -> Effect<Self> {
        match command {
            Command::Add(reply_to) => Effect::persist(Added).then_reply(reply_to, |value| *value),
            Command::Get(reply_to) => Effect::reply(reply_to, *value),
        }
    }

    fn on_event(&self, _: &EventContext, value: &mut u64, _: &Added) {
        *value += 1;
    }
}

/// A store whose appends wait while it is away, and are made when it is back.
struct Slow {
    is_away: watch::Sender<bool>,
}

#[async_trait]
impl Fault for Slow {
    async fn before(&self, call: Call<'_>) -> Result<()> {
        if let Call::Append(..) = call {
            let mut is_away = self.is_away.subscribe();
            is_away.wait_for(|is_away| !is_away).await.unwrap();
        }
        Ok(())
    }
}

struct Running {
    _node: Node,
    counters: ReplicatedSharding<Counter>,
}

fn replica() -> ReplicaId {
    ReplicaId::new("A").unwrap()
}

impl Running {
    async fn start(network: &MemoryNetwork, name: &str, stores: Stores) -> Self {
        let id = NodeId::new(name, 1).unwrap();
        let settings = NodeSettings {
            name: name.into(),
            place: "A".into(),
            shard_count: 8,
            ..NodeSettings::default()
        };
        let parts = support::parts(&id, 1, stores, network);
        let node = Node::start(settings, parts).await.unwrap();
        let settings = ShardingSettings {
            stop_timeout: Duration::from_secs(3),
            ..ShardingSettings::default()
        };
        let counter = |_: &ReplicationId| Counter;
        let provider = ReplicatedEntityProvider::per_role("counter", [replica()], counter)
            .with_settings(settings);
        let counters = ReplicatedSharding::init(&node, provider).await.unwrap();
        let running = Self { _node: node, counters };
        until("the node is ready", || running.counters.is_ready()).await;
        running
    }

    fn counter(&self, id: &str) -> EntityRef<Command> {
        let counter = self.counters.entity_ref_for(id, &replica()).unwrap();
        counter.with_ask_timeout(Duration::from_secs(1))
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..12_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not after two minutes");
}

#[tokio::test(start_paused = true)]
async fn a_shard_gets_no_new_home_while_an_append_of_a_killed_entity_may_still_be_stored() {
    let network = MemoryNetwork::new(1);
    let memory = MemoryStores::new();
    let slow = Arc::new(Slow { is_away: watch::Sender::new(false) });
    let far = FaultyStores::behind(slow.clone(), memory.stores());
    let a = Running::start(&network, "a", far).await;
    let ids: Vec<String> = (0..32).map(|number| format!("c-{number}")).collect();
    for id in &ids {
        assert_eq!(a.counter(id).ask(Command::Add).await, Ok(1));
    }

    slow.is_away.send_replace(true);
    for id in &ids {
        let error = a.counter(id).ask(Command::Add).await.unwrap_err();
        assert!(!error.is_without_effect(), "{error}");
    }
    let b = Running::start(&network, "b", memory.stores()).await;
    // the shards that are to move drain, and their entities are killed after `stop_timeout`
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(b.counters.hosted_shards().len(), 0, "nobody knows what the appends will do");
    for id in &ids {
        let answer = b.counter(id).ask(Command::Get).await;
        assert!(answer.is_err(), "{id}: {answer:?}, although an append is under way");
    }

    slow.is_away.send_replace(false);
    until("shards move", || b.counters.hosted_shards().len() == 4).await;
    for id in &ids {
        assert_eq!(b.counter(id).ask(Command::Add).await, Ok(3), "{id} has what was under way");
    }
}
