//! Handlers that reach other entities, themselves and values of the application, on whole nodes in
//! memory under paused time.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::time::Duration;

use antiphon_persistence::entity::{
    CommandContext, Effect, EventContext, EventSourced, ListenError,
};
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::memory::MemoryStores;
use antiphon_persistence::reply::ReplyTo;
use antiphon_runtime::transport::memory::MemoryNetwork;
use antiphon_runtime::{Node, NodeId, NodeSettings};
use antiphon_sharding::{EntityRef, EntityRefs, ReplicatedEntityProvider, ReplicatedSharding};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
enum CartCommand {
    Add {
        item: String,
        reply_to: ReplyTo<u32>,
    },
    Reserved {
        item: String,
        price: u32,
        reply_to: ReplyTo<u32>,
    },
    /// Told by the stock: the item is this cart's.
    Yours(String),
    Items(ReplyTo<Vec<String>>),
    /// Answers with the error of a reference to this type, whose commands are said to be numbers.
    Wrong {
        entity_type: String,
        reply_to: ReplyTo<String>,
    },
    WrongReplica(ReplyTo<String>),
}

/// The price of each item.
struct Price(u32);

struct Cart;

impl EventSourced for Cart {
    type Command = CartCommand;
    type Event = String;
    type State = Vec<String>;

    fn on_command(
        &self,
        context: &CommandContext,
        items: &Vec<String>,
        command: CartCommand,
    ) -> Effect<Self> {
        match command {
            CartCommand::Add { item, reply_to } => {
                let stock = context.entity_ref::<StockCommand>("stock", &item).unwrap();
                let cart = context.entity_id().to_owned();
                Effect::asynchronous(async move {
                    let reserve =
                        |reply_to| StockCommand::Reserve { cart: cart.to_string(), reply_to };
                    let price = stock.ask(reserve).await.unwrap();
                    CartCommand::Reserved { item, price, reply_to }
                })
            }
            CartCommand::Reserved { item, price, reply_to } => {
                Effect::persist(format!("{item} for {price}")).then_reply(reply_to, move |_| price)
            }
            CartCommand::Yours(item) => Effect::persist(format!("{item} is mine")),
            CartCommand::Items(reply_to) => Effect::reply(reply_to, items.clone()),
            CartCommand::Wrong { entity_type, reply_to } => {
                let wrong = context.entity_ref::<u64>(&entity_type, "x").unwrap_err();
                Effect::reply(reply_to, format!("{:?}: {wrong}", wrong.kind()))
            }
            CartCommand::WrongReplica(reply_to) => {
                let replica = ReplicaId::new("X").unwrap();
                let wrong = context.entity_ref_at::<StockCommand>("stock", "apple", &replica);
                Effect::reply(reply_to, wrong.unwrap_err().to_string())
            }
        }
    }

    fn on_event(&self, _: &EventContext, items: &mut Vec<String>, item: &String) {
        items.push(item.clone());
    }
}

#[derive(Debug, Serialize, Deserialize)]
enum StockCommand {
    Reserve { cart: String, reply_to: ReplyTo<u32> },
}

struct Stock;

impl EventSourced for Stock {
    type Command = StockCommand;
    type Event = String;
    type State = Vec<String>;

    fn on_command(
        &self,
        context: &CommandContext,
        _: &Vec<String>,
        command: StockCommand,
    ) -> Effect<Self> {
        let StockCommand::Reserve { cart, reply_to } = command;
        let price = context.extension::<Price>().unwrap().0;
        let item = context.entity_id().to_string();
        let back: EntityRef<CartCommand> = context.entity_ref("cart", &cart).unwrap();
        Effect::persist(cart)
            .then_run(|_| (), move |()| back.tell(CartCommand::Yours(item)))
            .then_reply(reply_to, move |_| price)
    }

    fn on_event(&self, _: &EventContext, carts: &mut Vec<String>, cart: &String) {
        carts.push(cart.clone());
    }
}

fn replicas() -> [ReplicaId; 1] {
    [ReplicaId::new("A").unwrap()]
}

async fn node() -> Node {
    let id = NodeId::new("node-A", 1).unwrap();
    let settings = NodeSettings {
        name: "node-A".to_owned(),
        place: "A".to_owned(),
        shard_count: 2,
        ..NodeSettings::default()
    };
    let parts = support::parts(&id, 1, MemoryStores::new().stores(), &MemoryNetwork::new(1));
    Node::start(settings, parts).await.unwrap()
}

async fn carts(node: &Node) -> ReplicatedSharding<Cart> {
    let provider = ReplicatedEntityProvider::per_role("cart", replicas(), |_: &ReplicationId| Cart);
    ReplicatedSharding::init(node, provider).await.unwrap()
}

async fn stocks(node: &Node) -> ReplicatedSharding<Stock> {
    let provider =
        ReplicatedEntityProvider::per_role("stock", replicas(), |_: &ReplicationId| Stock)
            .with_extension(Price(7));
    ReplicatedSharding::init(node, provider).await.unwrap()
}

fn cart(carts: &ReplicatedSharding<Cart>) -> EntityRef<CartCommand> {
    carts.entity_ref_for("c-1", &replicas()[0]).unwrap()
}

/// Adds an apple, and waits until the cart has all that follows from it.
async fn buys_an_apple(cart: EntityRef<CartCommand>) {
    let add = |reply_to| CartCommand::Add { item: "apple".to_owned(), reply_to };
    assert_eq!(cart.ask(add).await, Ok(7));
    let reads = async {
        loop {
            let mut items = cart.ask(CartCommand::Items).await.unwrap();
            items.sort();
            if items.len() == 2 {
                return items;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let items = tokio::time::timeout(Duration::from_secs(60), reads).await.unwrap();
    assert_eq!(items, ["apple for 7", "apple is mine"]);
}

#[tokio::test(start_paused = true)]
async fn a_cart_asks_the_stock_and_the_stock_tells_the_cart_whichever_is_started_first() {
    let first = node().await;
    let started = carts(&first).await;
    let _stocks = stocks(&first).await;
    buys_an_apple(cart(&started)).await;

    let second = node().await;
    let _stocks = stocks(&second).await;
    buys_an_apple(cart(&carts(&second).await)).await;
}

#[tokio::test(start_paused = true)]
async fn a_listener_hears_the_events_of_its_type_until_the_node_ends() {
    for leaves in [true, false] {
        let node = node().await;
        let (carts, stocks) = (carts(&node).await, stocks(&node).await);
        let mut heard_carts = carts.events().unwrap();
        let mut heard_stocks = stocks.events().unwrap();
        buys_an_apple(cart(&carts)).await;
        let durable = heard_stocks.next().await.unwrap();
        assert_eq!((durable.id.to_string().as_str(), &*durable.event), ("stock|apple|A", "c-1"));
        let mut events = Vec::new();
        for _ in 0..2 {
            events.push(heard_carts.next().await.unwrap().event);
        }
        events.sort();
        assert_eq!(events, ["apple for 7", "apple is mine"]);
        if leaves {
            node.leave().await.unwrap();
        } else {
            node.crash();
        }
        let minute = Duration::from_secs(60);
        let ended = tokio::time::timeout(minute, heard_carts.next()).await.unwrap();
        let ended = ended.map(|durable| durable.event);
        assert_eq!(ended, Err(ListenError::Ended), "the handle and the node are still there");
        let mut late = carts.events().unwrap();
        let late = tokio::time::timeout(minute, late.next()).await.unwrap();
        let late = late.map(|durable| durable.event);
        assert_eq!(late, Err(ListenError::Ended));
    }
}

#[tokio::test(start_paused = true)]
async fn a_type_that_is_not_here_and_a_command_of_another_type_are_named() {
    let node = node().await;
    let carts = carts(&node).await;
    let cart = cart(&carts);
    let wrong = async |entity_type: &str| {
        let entity_type = entity_type.to_owned();
        cart.ask(|reply_to| CartCommand::Wrong { entity_type, reply_to }).await.unwrap()
    };
    let missing = wrong("stock").await;
    for part in ["Unavailable", "`stock`", "[\"cart\"]", "ReplicatedSharding::init"] {
        assert!(missing.contains(part), "{part}: {missing}");
    }
    let _stocks = stocks(&node).await;
    let other = wrong("stock").await;
    for part in ["Rejected", "`stock`", "`acting::StockCommand`", "actual `u64`"] {
        assert!(other.contains(part), "{part}: {other}");
    }
    let replica = cart.ask(CartCommand::WrongReplica).await.unwrap();
    assert!(replica.contains("replica `X` of `stock`"), "{replica}");
}
