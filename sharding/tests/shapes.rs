//! A type whose factory refuses the example id: its shapes are compared when the first entity
//! starts. Time is paused.

mod support;

use std::fmt::Debug;
use std::marker::PhantomData;
use std::time::Duration;

use antiphon_base::Error;
use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::memory::MemoryStores;
use antiphon_persistence::reply::ReplyTo;
use antiphon_runtime::transport::memory::MemoryNetwork;
use antiphon_runtime::{Node, NodeId, NodeSettings, Result};
use antiphon_sharding::{AskError, ReplicatedEntityProvider, ReplicatedSharding};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

trait Event: Default + Serialize + DeserializeOwned + Debug + Send + Sync + 'static {}

mod first {
    #[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
    pub(super) enum Event {
        #[default]
        Deposited,
        Withdrawn,
    }
}

mod reordered {
    #[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
    pub(super) enum Event {
        Withdrawn,
        #[default]
        Deposited,
    }
}

impl Event for first::Event {}
impl Event for reordered::Event {}

#[derive(Debug, Serialize, Deserialize)]
struct Deposit(ReplyTo<u64>);

struct Account<E>(PhantomData<fn() -> E>);

impl<E: Event> EventSourced for Account<E> {
    type Command = Deposit;
    type Event = E;
    type State = u64;

    fn on_command(&self, _: &CommandContext, _: &u64, Deposit(to): Deposit) -> Effect<Self> {
        Effect::persist(E::default()).then_reply(to, |count| *count)
    }

    fn on_event(&self, _: &EventContext, count: &mut u64, _: &E) {
        *count += 1;
    }
}

/// An account has a number.
fn factory<E>(id: &ReplicationId) -> Result<Account<E>> {
    match id.entity_id().parse::<u32>() {
        Ok(_) => Ok(Account(PhantomData)),
        Err(_) => Err(Error::rejected("no number")),
    }
}

struct World {
    network: MemoryNetwork,
    stores: MemoryStores,
    incarnations: u64,
}

impl World {
    async fn node(&mut self) -> Node {
        self.incarnations += 1;
        let id = NodeId::new("a", self.incarnations).expect("a good name");
        let settings = NodeSettings {
            name: "a".to_owned(),
            place: "A".to_owned(),
            shard_count: 1,
            ..NodeSettings::default()
        };
        let parts = support::parts(&id, self.incarnations, self.stores.stores(), &self.network);
        Node::start(settings, parts).await.expect("a node")
    }
}

fn provider<E: Event>() -> ReplicatedEntityProvider<Account<E>> {
    let replica = ReplicaId::new("A").expect("a good name");
    ReplicatedEntityProvider::try_per_role("account", [replica], factory)
}

/// The first answer, once the shard has a home.
async fn deposit<E: Event>(
    sharding: &ReplicatedSharding<Account<E>>,
) -> std::result::Result<u64, AskError> {
    let replica = ReplicaId::new("A").expect("a good name");
    let account = sharding.entity_ref_for("7", &replica).expect("a replica");
    for _ in 0..600 {
        if sharding.is_ready() {
            return account.ask(Deposit).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the shard has no home");
}

#[tokio::test(start_paused = true)]
async fn a_changed_type_is_noticed_when_the_factory_refuses_the_example() {
    let stores = MemoryStores::new();
    let mut world = World { network: MemoryNetwork::new(1), stores, incarnations: 0 };
    let node = world.node().await;
    let sharding = ReplicatedSharding::init(&node, provider::<first::Event>()).await.unwrap();
    assert_eq!(deposit(&sharding).await.unwrap(), 1);
    node.leave().await.unwrap();

    let node = world.node().await;
    let sharding = ReplicatedSharding::init(&node, provider::<reordered::Event>()).await.unwrap();
    let why = deposit(&sharding).await.unwrap_err().to_string();
    assert!(why.contains("variant 0 of `Event` was `Deposited`, is `Withdrawn`"), "{why}");
    node.leave().await.unwrap();

    let node = world.node().await;
    let named = provider::<reordered::Event>().with_example("1");
    let Err(error) = ReplicatedSharding::init(&node, named).await else {
        panic!("an example that the factory takes is compared at the start")
    };
    assert!(error.to_string().contains("was `Deposited`"), "{error}");
}
