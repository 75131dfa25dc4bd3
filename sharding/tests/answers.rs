//! Refusals, acknowledged tells and entities that ask each other, between two places in memory,
//! under paused time.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use antiphon_base::ErrorKind;
use antiphon_base::time::{Clock, SystemClock};
use antiphon_persistence::entity::{CommandContext, Effect, Effects, EventContext, EventSourced};
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::memory::MemoryStores;
use antiphon_persistence::reply::ReplyTo;
use antiphon_runtime::transport::memory::MemoryNetwork;
use antiphon_runtime::{Node, NodeId, NodeParts, NodeSettings, PeerPlace};
use antiphon_sharding::{
    AskError, AskFailure, EntityRef, ReplicatedEntityProvider, ReplicatedSharding, ShardingSettings,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SoldOut {
    left: u32,
}

impl fmt::Display for SoldOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "only {} are left", self.left)
    }
}

impl std::error::Error for SoldOut {}

type Answer = ReplyTo<Result<u32, SoldOut>>;

#[derive(Debug, Serialize, Deserialize)]
enum Command {
    Take(u32, Answer),
    Refill,
    /// Never ends, and holds up the commands behind it.
    Forever,
    /// Asks the other entity, which asks back; `true`: other commands wait meanwhile.
    AskOther(bool, ReplyTo<Option<String>>),
    Asked(Option<String>, ReplyTo<Option<String>>),
    Left(ReplyTo<u32>),
}

/// The two entities that ask each other.
type Pair = Arc<OnceLock<[EntityRef<Command>; 2]>>;

struct Stock(Pair);

impl Stock {
    /// Asks the other entity: `first` asks the second one, and that one asks what is left at
    /// `first`, or tells it (`teller`).
    async fn ask_other(pair: Pair, id: String, holds_up: bool) -> Option<String> {
        let [first, second] = pair.get().unwrap();
        if id == "first" {
            let asked = second.ask(|reply_to| Command::AskOther(holds_up, reply_to)).await;
            return asked.unwrap_or_else(|error| Some(error.to_string()));
        }
        let left = match &*id {
            "teller" => first.tell_acknowledged(Command::Refill).await,
            _ => first.ask(Command::Left).await.map(drop),
        };
        left.err().map(|error| error.to_string())
    }
}

impl EventSourced for Stock {
    type Command = Command;
    type Event = i64;
    type State = u32;

    fn on_command(&self, context: &CommandContext, left: &u32, command: Command) -> Effect<Self> {
        match command {
            Command::Take(pieces, reply_to) if pieces > *left => {
                self.reply(reply_to, Err(SoldOut { left: *left }))
            }
            Command::Take(pieces, reply_to) => {
                self.persist(-i64::from(pieces)).then_reply(reply_to, |left| Ok(*left))
            }
            Command::Refill => self.persist(10),
            Command::Forever => self.asynchronous(std::future::pending()),
            Command::AskOther(holds_up, reply_to) => {
                let asking = Self::ask_other(self.0.clone(), context.entity_id().into(), holds_up);
                if holds_up {
                    return self
                        .asynchronous(async move { Command::Asked(asking.await, reply_to) });
                }
                self.none().then_asynchronous(
                    |_| asking,
                    |asked| {
                        let text = asked.unwrap_or_else(|failure| Some(failure.to_string()));
                        Command::Asked(text, reply_to)
                    },
                )
            }
            Command::Asked(text, reply_to) => self.reply(reply_to, text),
            Command::Left(reply_to) => self.reply(reply_to, *left),
        }
    }

    fn on_event(&self, _: &EventContext, left: &mut u32, change: &i64) {
        *left = left.saturating_add_signed(i32::try_from(*change).unwrap());
    }
}

const PLACES: [&str; 2] = ["A", "B"];

fn replica(name: &str) -> ReplicaId {
    ReplicaId::new(name).unwrap()
}

struct Running {
    node: Node,
    stocks: ReplicatedSharding<Stock>,
    pair: Pair,
}

async fn start(network: &MemoryNetwork, stores: &[MemoryStores; 2], place: usize) -> Running {
    let name = format!("node-{}", PLACES[place]);
    let id = NodeId::new(&name, 1).unwrap();
    let (own, other) = (PLACES[place].to_owned(), PLACES[1 - place].to_owned());
    let settings = NodeSettings { name, place: own, shard_count: 2, ..NodeSettings::default() };
    let parts = NodeParts {
        peers: vec![PeerPlace { place: other, stores: stores[1 - place].stores() }],
        ..support::parts(&id, 1, stores[place].stores(), network)
    };
    let node = Node::start(settings, parts).await.unwrap();
    let mut settings = ShardingSettings::default();
    settings.entity.mailbox_max = 3;
    let pair = Pair::default();
    let made = pair.clone();
    let factory = move |_: &ReplicationId| Stock(made.clone());
    let provider = ReplicatedEntityProvider::per_role("stock", PLACES.map(replica), factory);
    let stocks = ReplicatedSharding::init(&node, provider.with_settings(settings)).await.unwrap();
    Running { node, stocks, pair }
}

impl Running {
    fn stock(&self, id: &str, place: &str) -> EntityRef<Command> {
        self.stocks.entity_ref_for(id, &replica(place)).unwrap()
    }
}

async fn both() -> [Running; 2] {
    let network = MemoryNetwork::new(1);
    let stores = [MemoryStores::new(), MemoryStores::new()];
    let running = [start(&network, &stores, 0).await, start(&network, &stores, 1).await];
    for node in &running {
        for place in PLACES {
            let stock = node.stock("probe", place);
            until(|| async { stock.ask(Command::Left).await.is_ok() }).await;
        }
    }
    running
}

async fn until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    let looking = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looking).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_an_answer_of_its_own_here_and_at_the_other_place() {
    let [a, b] = both().await;
    for place in PLACES {
        let stock = a.stock(&format!("s-{place}"), place);
        stock.tell_acknowledged(Command::Refill).await.unwrap();
        assert_eq!(stock.try_ask(|to| Command::Take(1, to)).await, Ok(9));
        let refused = stock.try_ask(|to| Command::Take(100, to)).await.unwrap_err();
        assert_eq!(refused, AskFailure::Refused(SoldOut { left: 9 }));
        let error = antiphon_base::Error::from(refused);
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert_eq!(error.to_string(), "only 9 are left");
    }
    let hasty = b.stock("s-2", "A").with_ask_timeout(Duration::ZERO);
    let none = hasty.try_ask(|to| Command::Take(1, to)).await.unwrap_err();
    assert!(matches!(none, AskFailure::NoAnswer(_)), "{none}");
}

#[tokio::test(start_paused = true)]
async fn a_tell_says_that_it_was_refused_here_and_at_the_other_place() {
    let [a, b] = both().await;
    for place in PLACES {
        let stock = a.stock("s-1", place).with_ask_timeout(Duration::from_secs(1));
        assert_eq!(stock.tell_acknowledged(Command::Forever).await, Ok(()));
        stock.tell(Command::Refill);
        stock.tell(Command::Refill);
        let refused = stock.tell_acknowledged(Command::Refill).await.unwrap_err();
        assert!(matches!(refused, AskError::Overloaded(_)), "{place}: {refused}");
    }
    let waiting = a.stock("s-2", "A").with_ask_timeout(Duration::from_secs(1));
    assert_eq!(waiting.tell_acknowledged(Command::Forever).await, Ok(()));
    let expired = waiting.tell_acknowledged(Command::Refill).await.unwrap_err();
    assert!(matches!(expired, AskError::Expired(_)), "it will never be handled: {expired}");

    let remote = a.stock("s-3", "B");
    b.node.leave().await.unwrap();
    drop(b);
    let gone = remote.tell_acknowledged(Command::Refill).await.unwrap_err();
    assert!(gone.is_without_effect() || matches!(gone, AskError::Unreachable(_)), "{gone}");
}

#[tokio::test(start_paused = true)]
async fn entities_that_ask_each_other_answer_beside_their_commands_and_are_named_if_they_hold_up() {
    for place in PLACES {
        let running = both().await;
        let long = Duration::from_secs(3600);
        for node in &running {
            let pair = [("first", "A"), ("second", place)];
            let pair = pair.map(|(id, place)| node.stock(id, place).with_ask_timeout(long));
            node.pair.set(pair).ok().unwrap();
        }
        let [first, _] = running[0].pair.get().unwrap();
        let beside = first.ask(|to| Command::AskOther(false, to)).await;
        assert_eq!(beside, Ok(None), "each answers while the other one waits");

        let begin = SystemClock.now();
        let why = first.ask(|to| Command::AskOther(true, to)).await.unwrap().unwrap();
        let circle =
            format!("`stock|first|A` asks `stock|second|{place}`, which asks `stock|first|A`");
        assert!(why.contains(&circle) && why.contains("then_asynchronous"), "{why}");
        assert!(
            SystemClock.now() - begin < Duration::from_secs(1),
            "it does not wait for a time-out"
        );
        let counted: u64 =
            running.iter().map(|node| node.stocks.counter("commands_in_circles")).sum();
        assert_eq!(counted, 1);
        assert_eq!(first.ask(Command::Left).await, Ok(0), "it goes on");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tell_that_waits_for_an_entity_that_waits_for_it_is_refused_at_once() {
    for place in PLACES {
        let running = both().await;
        let long = Duration::from_secs(3600);
        for node in &running {
            let pair = [("first", "A"), ("teller", place)];
            let pair = pair.map(|(id, place)| node.stock(id, place).with_ask_timeout(long));
            node.pair.set(pair).ok().unwrap();
        }
        let [first, _] = running[0].pair.get().unwrap();
        let begin = SystemClock.now();
        let why = first.ask(|to| Command::AskOther(true, to)).await.unwrap().unwrap();
        let circle =
            format!("`stock|first|A` asks `stock|teller|{place}`, which asks `stock|first|A`");
        assert!(why.contains(&circle), "{why}");
        assert!(SystemClock.now() - begin < Duration::from_secs(1), "not after a time-out");
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_out_of_a_future_names_the_entity_that_has_not_answered() {
    let [a, _b] = both().await;
    let long = Duration::from_secs(3600);
    let pair = ["first", "second"].map(|id| a.stock(id, "A").with_ask_timeout(long));
    let [first, second] = pair.clone();
    a.pair.set(pair).ok().unwrap();
    second.tell_acknowledged(Command::Forever).await.unwrap();
    let holding = first.ask(|to| Command::AskOther(true, to)).await.unwrap_err();
    let AskError::Unanswered(why) = holding else { panic!("{holding}") };
    assert!(why.contains("asynchronous_timeout") && why.contains("`stock|second|A`"), "{why}");
}
