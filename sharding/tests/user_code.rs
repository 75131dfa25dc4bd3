//! Whole nodes in memory, under paused time, with applications that fail: each failure hurts only
//! its own entity.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use antiphon_base::{Error, Result};
use antiphon_persistence::codec::CodecId;
use antiphon_persistence::entity::{
    CommandContext, Effect, EventContext, EventSourced, SkippedEvent,
};
use antiphon_persistence::event::Payload;
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::memory::MemoryStores;
use antiphon_persistence::reply::ReplyTo;
use antiphon_runtime::admin::ClusterSection;
use antiphon_runtime::transport::memory::MemoryNetwork;
use antiphon_runtime::{Node, NodeId, NodeParts, NodeSettings, PeerPlace};
use antiphon_sharding::{
    AskError, ContinuitySection, EntityRef, ReplicatedEntityProvider, ReplicatedSharding,
    ShardingSection, ShardingSettings,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
enum Command {
    Add(String, ReplyTo<usize>),
    Read(ReplyTo<Vec<String>>),
    /// Never answers and never ends.
    Forever(ReplyTo<usize>),
    /// The command's answer cannot be encoded for another node.
    Unsendable(ReplyTo<Unsendable>),
    /// Persists, and tells the place for the answer to another entity, whose handler panics.
    PassOn(ReplyTo<usize>),
    Panic(ReplyTo<usize>),
    Done,
}

#[derive(Debug, Deserialize)]
struct Unsendable;

impl Serialize for Unsendable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
        panic!("the test wants it")
    }
}

/// The faults of one node.
#[derive(Default)]
struct Trouble {
    /// Events named `new` cannot be read, as in an older release.
    is_old: AtomicBool,
    /// Number of times that the factory panics, or fails.
    factory_panics: AtomicUsize,
    factory_errors: AtomicUsize,
    /// The factory fails for this id.
    refused: Option<&'static str>,
    /// The entity that `PassOn` tells.
    other: Mutex<Option<EntityRef<Command>>>,
}

struct Log(Arc<Trouble>);

impl EventSourced for Log {
    type Command = Command;
    type Event = String;
    type State = Vec<String>;

    fn on_command(
        &self,
        _: &CommandContext,
        state: &Vec<String>,
        command: Command,
    ) -> Effect<Self> {
        match command {
            Command::Add(text, reply_to) => Effect::persist(text).then_reply(reply_to, Vec::len),
            Command::Read(reply_to) => Effect::reply(reply_to, state.clone()),
            Command::Forever(reply_to) => Effect::asynchronous(async move {
                let _held = reply_to;
                std::future::pending().await
            }),
            Command::Unsendable(reply_to) => {
                Effect::persist("unsendable".to_owned()).then_reply(reply_to, |_| Unsendable)
            }
            Command::PassOn(reply_to) => {
                let other = self.0.other.lock().clone();
                Effect::persist("passed on".to_owned()).then_run(
                    |_| (),
                    move |()| other.expect("somebody to tell").tell(Command::Panic(reply_to)),
                )
            }
            Command::Panic(_reply_to) => panic!("the test wants it"),
            Command::Done => Effect::none(),
        }
    }

    fn on_event(&self, _: &EventContext, state: &mut Vec<String>, event: &String) {
        state.push(event.clone());
    }

    fn from_journal(&self, payload: &Payload) -> Result<Vec<String>> {
        let event: String = CodecId::from_stored(payload.codec)?.decode(&payload.bytes)?;
        if event == "new" && self.0.is_old.load(Ordering::Acquire) {
            return Err(Error::corrupt("an event of a later version"));
        }
        Ok(vec![event])
    }
}

struct World {
    network: MemoryNetwork,
    stores: [MemoryStores; 2],
    incarnations: u64,
    direct_replication: bool,
}

struct Running {
    node: Node,
    sharding: ReplicatedSharding<Log>,
    trouble: Arc<Trouble>,
}

const PLACES: [&str; 2] = ["A", "B"];

fn replica(name: &str) -> ReplicaId {
    ReplicaId::new(name).expect("a good name")
}

impl World {
    fn new() -> Self {
        let stores = [MemoryStores::new(), MemoryStores::new()];
        let network = MemoryNetwork::new(1);
        Self { network, stores, incarnations: 0, direct_replication: true }
    }

    async fn start(&mut self, name: &str, place: usize, trouble: Trouble) -> Running {
        self.incarnations += 1;
        let id = NodeId::new(name, self.incarnations).expect("a good name");
        let settings = NodeSettings {
            name: name.to_owned(),
            place: PLACES[place].to_owned(),
            shard_count: 2,
            ..NodeSettings::default()
        };
        let other = 1 - place;
        let peer =
            PeerPlace { place: PLACES[other].to_owned(), stores: self.stores[other].stores() };
        let parts = NodeParts {
            peers: vec![peer],
            ..support::parts(&id, self.incarnations, self.stores[place].stores(), &self.network)
        };
        let node = Node::start(settings, parts).await.expect("a node");
        let trouble = Arc::new(trouble);
        let known = trouble.clone();
        let take = |count: &AtomicUsize| {
            count
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| count.checked_sub(1))
                .is_ok()
        };
        let factory = move |id: &ReplicationId| {
            assert!(!take(&known.factory_panics), "the test wants it");
            if take(&known.factory_errors) || known.refused == Some(&**id.entity_id()) {
                return Err(Error::rejected("no such log"));
            }
            Ok(Log(known.clone()))
        };
        let settings = ShardingSettings {
            loop_interval: Duration::from_secs(1),
            stop_timeout: Duration::from_secs(3),
            direct_replication: self.direct_replication,
            ..ShardingSettings::default()
        };
        let provider = ReplicatedEntityProvider::try_per_role("log", PLACES.map(replica), factory)
            .with_settings(settings);
        let sharding = ReplicatedSharding::init(&node, provider).await.expect("a good provider");
        Running { node, sharding, trouble }
    }
}

impl Running {
    fn log(&self, id: &str, place: &str) -> EntityRef<Command> {
        self.sharding.entity_ref_for(id, &replica(place)).expect("a replica")
    }

    async fn add(&self, id: &str, place: &str, text: &str) -> std::result::Result<usize, AskError> {
        self.log(id, place).ask(|reply_to| Command::Add(text.to_owned(), reply_to)).await
    }

    async fn read(&self, id: &str, place: &str) -> Vec<String> {
        self.log(id, place).ask(Command::Read).await.unwrap_or_default()
    }

    async fn ready(self) -> Self {
        until("the node is ready", || async { self.sharding.is_ready() }).await;
        self
    }
}

async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    for _ in 0..1200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what}: not after two minutes");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_one_place_cannot_read_holds_up_nothing_but_its_origin_there() {
    let mut world = World::new();
    let old = Trouble { is_old: true.into(), ..Trouble::default() };
    let a = world.start("a", 0, old).await.ready().await;
    let b = world.start("b", 1, Trouble::default()).await.ready().await;
    b.add("l-1", "B", "before").await.unwrap();
    b.add("l-1", "B", "new").await.unwrap();

    for count in 0..50 {
        let answer = a.add("l-1", "A", "own").await;
        assert!(answer.is_ok(), "{count}: {answer:?}");
        b.add("l-1", "B", "after").await.unwrap();
    }
    for number in 2..40 {
        b.add(&format!("l-{number}"), "B", "x").await.unwrap();
    }
    until("the loop brings all others", || async {
        let mut all = true;
        for number in 2..40 {
            all &= a.read(&format!("l-{number}"), "A").await == ["x"];
        }
        all
    })
    .await;
    let section = ShardingSection::new(&a.node);
    until("the operator sees it", || async {
        let json = section.json().to_string();
        json.contains("an event of a later version") && json.contains(r#""entities_behind":0"#)
    })
    .await;
    assert_eq!(a.sharding.counter("origins_held"), 1);
    assert_eq!(a.read("l-1", "A").await.iter().filter(|text| *text == "own").count(), 50);
    assert!(!a.read("l-1", "A").await.contains(&"after".to_owned()));

    // the next release can read the event, and no writes are made any more
    let left = a.node.leave().await;
    assert!(left.is_ok(), "{left:?}");
    let a = world.start("a", 0, Trouble::default()).await.ready().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let section = ShardingSection::new(&a.node);
    until("it arrives by itself", || async {
        let json = section.json().to_string();
        json.contains(r#""entities_held":0"#) && a.sharding.counter("events_pulled") >= 51
    })
    .await;
    assert_eq!(a.read("l-1", "A").await.iter().filter(|text| *text == "after").count(), 50);
    drop(b);
}

#[tokio::test(start_paused = true)]
async fn an_operator_can_skip_an_event_that_a_place_will_never_read() {
    let mut world = World::new();
    let old = Trouble { is_old: true.into(), ..Trouble::default() };
    let a = world.start("a", 0, old).await.ready().await;
    let b = world.start("b", 1, Trouble::default()).await.ready().await;
    b.add("l-1", "B", "new").await.unwrap();
    b.add("l-1", "B", "after").await.unwrap();
    until("A holds back", || async { a.sharding.counter("origins_held") == 1 }).await;
    let skipped = SkippedEvent {
        id: ReplicationId::parse("log|l-1|A").unwrap(),
        origin: replica("B"),
        number: 1,
    };
    let coordination = world.stores[0].stores().coordination;
    assert_eq!(skipped.record(&*coordination, "the test wants it").await.ok(), Some(true));
    until("the rest comes", || async { a.read("l-1", "A").await == ["after"] }).await;
    assert_eq!(b.read("l-1", "B").await, ["new", "after"]);
}

#[tokio::test(start_paused = true)]
async fn a_factory_that_fails_once_fails_one_ask_and_the_next_one_starts_the_entity() {
    let mut world = World::new();
    let a = world.start("a", 0, Trouble::default()).await.ready().await;
    a.trouble.factory_panics.store(1, Ordering::Release);
    let error = a.add("l-1", "A", "x").await.unwrap_err();
    assert!(matches!(&error, AskError::Failed(why) if why.contains("factory")), "{error}");
    assert!(error.is_without_effect());
    assert_eq!(a.add("l-1", "A", "x").await, Ok(1));

    a.trouble.factory_errors.store(1, Ordering::Release);
    let error = a.add("l-2", "A", "x").await.unwrap_err();
    assert!(matches!(&error, AskError::Failed(why) if why.contains("no such log")), "{error}");
    assert_eq!(a.add("l-2", "A", "x").await, Ok(1));
    let stopped = tokio::time::timeout(Duration::from_secs(60), a.node.leave()).await;
    assert!(stopped.is_ok(), "its shard drains");
}

#[tokio::test(start_paused = true)]
async fn a_future_that_never_ends_keeps_neither_its_entity_nor_its_shard_for_ever() {
    let mut world = World::new();
    let a = world.start("a", 0, Trouble::default()).await.ready().await;
    let log = a.log("l-1", "A").with_ask_timeout(Duration::from_secs(100));
    let error = log.ask(Command::Forever).await.unwrap_err();
    assert!(matches!(&error, AskError::Unanswered(why) if why.contains("asynchronous_timeout")));
    assert_eq!(a.add("l-1", "A", "x").await, Ok(1), "the entity goes on");

    log.tell(Command::Forever(antiphon_persistence::reply::reply_channel().0));
    let stopped = tokio::time::timeout(Duration::from_secs(20), a.node.leave()).await;
    assert!(stopped.is_ok(), "after `stop_timeout` the entity is killed");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_sent_is_not_without_effect() {
    let mut world = World::new();
    let a = world.start("a", 0, Trouble::default()).await.ready().await;
    let b = world.start("b", 1, Trouble::default()).await.ready().await;
    until("b reaches a", || async { b.add("l-1", "A", "x").await.is_ok() }).await;
    let error = b.log("l-1", "A").ask(Command::Unsendable).await.unwrap_err();
    assert!(matches!(error, AskError::Unanswered(_)), "{error}");
    assert!(!error.is_without_effect(), "{error}");
    assert!(a.read("l-1", "A").await.contains(&"unsendable".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_a_reply_to_that_was_passed_on_says_nothing_of_its_own_command() {
    let mut world = World::new();
    let a = world.start("a", 0, Trouble::default()).await.ready().await;
    let b = world.start("b", 1, Trouble::default()).await.ready().await;
    until("b reaches a", || async { b.add("l-1", "A", "x").await.is_ok() }).await;
    until("a reaches b", || async { a.add("l-2", "B", "x").await.is_ok() }).await;
    for other in [a.log("l-2", "A"), a.log("l-2", "B")] {
        let error = other.ask(Command::Panic).await.unwrap_err();
        assert!(error.is_without_effect(), "asked at first hand: {error}");
        *a.trouble.other.lock() = Some(other);
        for asker in [&a, &b] {
            let error = asker.log("l-1", "A").ask(Command::PassOn).await.unwrap_err();
            assert!(matches!(error, AskError::Unanswered(_)), "{error}");
            assert!(!error.is_without_effect(), "its own command is stored: {error}");
        }
    }
    assert_eq!(a.read("l-1", "A").await.iter().filter(|text| *text == "passed on").count(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_nobody_could_take_in_time_is_void() {
    let mut world = World::new();
    let a = world.start("a", 0, Trouble::default()).await.ready().await;
    let hasty = a.log("l-1", "B").with_ask_timeout(Duration::from_secs(1));
    let error = hasty.ask(|reply_to| Command::Add("late".to_owned(), reply_to)).await.unwrap_err();
    assert!(matches!(error, AskError::Expired(_)), "place B is not there: {error}");
    assert!(error.is_without_effect());

    let b = world.start("b", 1, Trouble::default()).await.ready().await;
    until("b is reached", || async { a.add("l-1", "B", "x").await.is_ok() }).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!b.read("l-1", "B").await.contains(&"late".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn an_entity_that_cannot_start_keeps_no_other_one_from_the_journal_of_a_peer() {
    let mut world = World { direct_replication: false, ..World::new() };
    let refusing = Trouble { refused: Some("l-0"), ..Trouble::default() };
    let a = world.start("a", 0, refusing).await.ready().await;
    let b = world.start("b", 1, Trouble::default()).await.ready().await;
    let ids: Vec<String> = (1..20).map(|number| format!("l-{number}")).collect();
    for id in &ids {
        assert_eq!(a.read(id, "A").await, Vec::<String>::new(), "it runs");
    }
    for round in ["one", "two", "three"] {
        assert!(b.add("l-0", "B", round).await.is_ok());
        for id in &ids {
            b.add(id, "B", round).await.expect("B goes on");
        }
        until("A has what B wrote", || async {
            let mut have = 0;
            for id in &ids {
                have += usize::from(a.read(id, "A").await.last().is_some_and(|last| last == round));
            }
            have == ids.len()
        })
        .await;
    }
    let section = ShardingSection::new(&a.node);
    until("it is shown with the reason", || async {
        section.json().to_string().contains("no such log")
    })
    .await;
}

/// All nodes of the place were away. Its journal may be an older one, so it asks its peers for own
/// events first.
#[tokio::test(start_paused = true)]
async fn after_a_restart_of_its_place_an_entity_that_holds_back_goes_on_with_its_own_commands() {
    let old = || Trouble { is_old: true.into(), ..Trouble::default() };
    let mut world = World::new();
    let a = world.start("a", 0, old()).await.ready().await;
    let b = world.start("b", 1, Trouble::default()).await.ready().await;
    assert_eq!(a.add("l-1", "A", "own").await, Ok(1));
    until("B has it", || async { b.read("l-1", "B").await.len() == 1 }).await;
    b.add("l-1", "B", "new").await.unwrap();
    until("A holds back", || async { a.sharding.counter("origins_held") == 1 }).await;
    a.node.leave().await.unwrap();

    let a = world.start("a", 0, old()).await.ready().await;
    until("it takes commands", || async { a.add("l-1", "A", "more").await.is_ok() }).await;
    let section = ContinuitySection::new(&a.node);
    until("no shard is in doubt", || async {
        section.json().to_string().contains(r#""shards_in_doubt":{}"#)
    })
    .await;
    assert_eq!(a.read("l-1", "A").await, ["own", "more"]);
    until("the other entities work", || async { a.add("l-2", "A", "x").await.is_ok() }).await;
}

#[tokio::test(start_paused = true)]
async fn a_thread_without_a_runtime_can_tell_an_entity_that_is_not_running() {
    let mut world = World::new();
    let a = world.start("a", 0, Trouble::default()).await.ready().await;
    let log = a.log("l-1", "A");
    // the first command of the entity, which starts it
    let told = std::thread::spawn(move || log.tell(Command::Done)).join();
    assert!(told.is_ok());
    assert_eq!(a.add("l-1", "A", "x").await, Ok(1));
}
