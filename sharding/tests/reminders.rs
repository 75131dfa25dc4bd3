//! Reminders on whole nodes of one place, in memory, under paused time: the wall clock follows the
//! paused time.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock, Timestamp};
use antiphon_persistence::entity::{
    CommandContext, DueReminder, Effect, Effects, EventContext, EventSourced, Reminder,
};
use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::{PersistenceId, ReplicaId, ReplicationId};
use antiphon_persistence::memory::MemoryStores;
use antiphon_persistence::reply::ReplyTo;
use antiphon_persistence::store::ReminderRow;
use antiphon_runtime::transport::memory::MemoryNetwork;
use antiphon_runtime::{Node, NodeId, NodeParts, NodeSettings};
use antiphon_sharding::{ReplicatedEntityProvider, ReplicatedSharding, ShardingSettings};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize, Deserialize)]
enum Command {
    Order { expires_after_secs: u64, reply_to: ReplyTo<()> },
}

/// The calls of `on_reminder`, by entity and node.
type Fired = Arc<Mutex<BTreeMap<String, Vec<&'static str>>>>;

struct Cart {
    node: &'static str,
    fired: Fired,
}

impl EventSourced for Cart {
    type Command = Command;
    type Event = String;
    type State = Vec<String>;

    fn on_command(&self, _: &CommandContext, _: &Vec<String>, command: Command) -> Effect<Self> {
        let Command::Order { expires_after_secs, reply_to } = command;
        self.persist("ordered".to_owned())
            .remind("expire", Reminder::after(Duration::from_secs(expires_after_secs)))
            .then_reply(reply_to, |_| ())
    }

    fn on_event(&self, _: &EventContext, texts: &mut Vec<String>, text: &String) {
        texts.push(text.clone());
    }

    fn on_reminder(
        &self,
        context: &CommandContext,
        texts: &Vec<String>,
        _: &DueReminder,
    ) -> Effect<Self> {
        assert!(texts.iter().any(|text| text == "ordered"), "never without its event");
        let entity = context.entity_id().to_owned();
        let (fired, node) = (self.fired.clone(), self.node);
        self.persist("expired".to_owned())
            .then_run(|_| (), move |()| fired.lock().entry(entity).or_default().push(node))
    }
}

/// A wall clock that goes on with the paused time.
struct Virtual(Instant);

impl Clock for Virtual {
    fn now(&self) -> Instant {
        SystemClock.now()
    }

    fn wall(&self) -> Timestamp {
        let passed = SystemClock.now().duration_since(self.0).as_micros();
        Timestamp::from_micros(1_000_000_000_000 + u64::try_from(passed).unwrap())
    }
}

/// A clock whose time of day is six seconds behind.
struct Behind(Arc<Virtual>);

impl Clock for Behind {
    fn now(&self) -> Instant {
        SystemClock.now()
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_micros(self.0.wall().as_micros() - 6_000_000)
    }
}

struct World {
    network: MemoryNetwork,
    stores: MemoryStores,
    clock: Arc<Virtual>,
    fired: Fired,
    settings: ShardingSettings,
}

struct Running {
    node: Node,
    carts: ReplicatedSharding<Cart>,
}

fn replica() -> ReplicaId {
    ReplicaId::new("A").unwrap()
}

impl World {
    fn new(settings: ShardingSettings) -> Self {
        Self {
            network: MemoryNetwork::new(1),
            stores: MemoryStores::new(),
            clock: Arc::new(Virtual(SystemClock.now())),
            fired: Fired::default(),
            settings,
        }
    }

    async fn start(&self, name: &'static str) -> Running {
        self.start_with(name, self.clock.clone()).await
    }

    async fn start_with(&self, name: &'static str, clock: Arc<dyn Clock>) -> Running {
        let id = NodeId::new(name, 1).unwrap();
        let settings = NodeSettings {
            name: name.to_owned(),
            place: "A".to_owned(),
            shard_count: 8,
            ..NodeSettings::default()
        };
        let parts =
            NodeParts { clock, ..support::parts(&id, 1, self.stores.stores(), &self.network) };
        let node = Node::start(settings, parts).await.unwrap();
        let fired = self.fired.clone();
        let cart = move |_: &ReplicationId| Cart { node: name, fired: fired.clone() };
        let provider = ReplicatedEntityProvider::per_role("cart", [replica()], cart)
            .with_settings(self.settings.clone());
        let carts = ReplicatedSharding::init(&node, provider).await.unwrap();
        let running = Running { node, carts };
        running.until("shards have homes", || running.carts.is_ready()).await;
        running
    }

    async fn rows(&self) -> usize {
        let reminders = self.stores.stores().reminders;
        reminders.due("cart", ReminderRow::due_max(), None, 100_000).await.unwrap().len()
    }

    fn fired_count(&self) -> usize {
        self.fired.lock().len()
    }
}

impl Running {
    async fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let waits = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let done = tokio::time::timeout(10 * MINUTE, waits).await;
        done.unwrap_or_else(|_| panic!("{what} within ten minutes"));
    }

    async fn order(&self, cart: &str, expires_after: Duration) {
        let cart = self.carts.entity_ref_for(cart, &replica()).unwrap();
        let expires_after_secs = expires_after.as_secs();
        cart.ask(|reply_to| Command::Order { expires_after_secs, reply_to }).await.unwrap();
    }

    fn gauge(&self, name: &'static str) -> i64 {
        self.node.metrics().gauges_of(name).with_label_values(&["cart"]).get()
    }

    fn in_flight(&self) -> i64 {
        self.gauge("antiphon_reminders_in_flight")
    }

    fn recoveries(&self) -> u64 {
        let counters = self.node.metrics().counters_of("antiphon_entities_total");
        counters.with_label_values(&["cart", "recoveries"]).get()
    }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("c-{number}")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_passivated_entity_is_started_for_its_reminder_and_fires_once() {
    let passivate_after = Duration::from_secs(30);
    let world = World::new(ShardingSettings { passivate_after, ..ShardingSettings::default() });
    let a = world.start("a").await;
    a.order("c-1", 10 * MINUTE).await;
    let begin = SystemClock.now();
    tokio::time::sleep(9 * MINUTE).await;
    assert_eq!((world.fired_count(), world.rows().await), (0, 1));
    let recovered = a.recoveries();
    a.until("it fires", || world.fired_count() == 1).await;
    let after = begin.elapsed();
    assert!(after >= 10 * MINUTE && after <= 10 * MINUTE + Duration::from_secs(2), "{after:?}");
    a.until("it was started", || a.recoveries() == recovered + 1).await;
    tokio::time::sleep(5 * MINUTE).await;
    assert_eq!(world.fired.lock()["c-1"], ["a"]);
    assert_eq!((world.rows().await, a.in_flight()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn reminders_fire_at_the_homes_to_which_their_shards_have_moved() {
    let world = World::new(ShardingSettings::default());
    let a = world.start("a").await;
    for name in names(20) {
        a.order(&name, 10 * MINUTE).await;
    }
    let b = world.start("b").await;
    tokio::time::sleep(5 * MINUTE).await;
    b.until("all fire", || world.fired_count() == 20).await;
    let fired = world.fired.lock().clone();
    assert!(fired.values().all(|nodes| nodes.len() == 1), "each once: {fired:?}");
    for node in ["a", "b"] {
        assert!(fired.values().any(|nodes| nodes == &[node]), "also at {node}: {fired:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_node_takes_the_lease_of_a_dead_one_and_late_reminders_fire_there() {
    let world = World::new(ShardingSettings::default());
    let a = world.start("a").await;
    let b = world.start("b").await;
    for name in names(10) {
        a.order(&name, MINUTE).await;
    }
    assert!(a.node.coordinator_lease().borrow().held.is_some());
    a.node.crash();
    tokio::time::sleep(2 * MINUTE).await;
    b.until("all fire", || world.fired_count() == 10).await;
    let fired = world.fired.lock().clone();
    assert!(fired.values().all(|nodes| nodes == &["b"]), "{fired:?}");
    assert!(b.node.coordinator_lease().borrow().held.is_some());
}

#[tokio::test(start_paused = true)]
async fn many_late_reminders_fire_at_the_start_of_a_place_within_the_bound() {
    const COUNT: usize = 2_000;
    let settings = ShardingSettings { reminders_in_flight_max: 100, ..ShardingSettings::default() };
    let world = World::new(settings);
    let a = world.start("a").await;
    for name in names(COUNT) {
        a.order(&name, 10 * MINUTE).await;
    }
    a.node.crash();
    tokio::time::sleep(60 * MINUTE).await;
    assert_eq!((world.fired_count(), world.rows().await), (0, COUNT));
    let b = world.start("b").await;
    let mut most = 0;
    b.until("all fire", || {
        most = most.max(b.in_flight());
        world.fired_count() == COUNT
    })
    .await;
    // those that were handed over before their shards had homes are stuck: as many again
    assert!((1..=200).contains(&most), "{most} under way");
    assert!(world.fired.lock().values().all(|nodes| nodes == &["b"]));
    tokio::time::sleep(MINUTE).await;
    assert_eq!((world.rows().await, b.in_flight()), (0, 0));
}

/// The holder of the lease finds the row six seconds before it is due at the home of the entity.
#[tokio::test(start_paused = true)]
async fn a_reminder_is_not_late_when_the_clock_of_its_home_is_behind_that_of_the_scanner() {
    let world = World::new(ShardingSettings::default());
    let a = world.start("a").await;
    let behind = Arc::new(Behind(world.clock.clone()));
    let b = world.start_with("b", behind).await;
    b.until("shards are spread", || b.carts.hosted_shards().len() == 4).await;
    for name in names(20) {
        a.order(&name, MINUTE).await;
    }
    let begin = SystemClock.now();
    b.until("all fire", || world.fired_count() == 20).await;
    let fired = world.fired.lock().clone();
    assert!(fired.values().any(|nodes| nodes == &["b"]), "also there: {fired:?}");
    let after = begin.elapsed();
    assert!(after >= MINUTE && after <= MINUTE + Duration::from_secs(2), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn rows_of_a_replica_that_nobody_has_are_counted_and_removed_when_it_is_said_to_be_removed() {
    let mut world = World::new(ShardingSettings::default());
    let row = |entity: u64| ReminderRow {
        due: Timestamp::from_micros(entity),
        persistence_id: PersistenceId::parse(format!("cart|c-{entity}|OLD")).unwrap(),
        name: "expire".into(),
        set_by: SequenceNr::new(1),
    };
    world.stores.stores().reminders.put(&[row(1), row(2)]).await.unwrap();
    let a = world.start("a").await;
    a.until("they are counted", || a.gauge("antiphon_reminders_unowned") == 2).await;
    a.order("c-1", MINUTE).await;
    a.until("others fire", || world.fired_count() == 1).await;
    assert_eq!(world.rows().await, 2);
    a.node.leave().await.unwrap();

    world.settings.removed_replicas = vec!["OLD".to_owned()];
    let b = world.start("b").await;
    let counters = b.node.metrics().counters_of("antiphon_reminders_total");
    let removed = counters.with_label_values(&["cart", "removed"]);
    b.until("they are removed", || removed.get() == 2).await;
    assert_eq!((world.rows().await, b.gauge("antiphon_reminders_unowned")), (0, 0));
}
