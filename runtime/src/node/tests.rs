//! Nodes over links and stores in memory, under paused time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use antiphon_base::time::SystemClock;
use antiphon_persistence::memory::MemoryStores;
use antiphon_persistence::store::Stores;

mod cuts;
mod panics;
mod silence;
mod store;

use super::{Node, NodeParts, NodeSettings};
use crate::membership::{MemberState, Membership};
use crate::metrics::Metrics;
use crate::transport::memory::MemoryNetwork;
use crate::{NodeId, Result};

struct Place {
    network: MemoryNetwork,
    stores: MemoryStores,
}

impl Place {
    fn new() -> Self {
        Self::seeded(1)
    }

    fn seeded(seed: u64) -> Self {
        Self { network: MemoryNetwork::new(seed), stores: MemoryStores::new() }
    }

    async fn start(&self, name: &str, incarnation: u64) -> Result<Node> {
        let settings =
            NodeSettings { name: name.into(), place: "p".into(), ..NodeSettings::default() };
        self.start_with(settings, incarnation).await
    }

    async fn start_with(&self, settings: NodeSettings, incarnation: u64) -> Result<Node> {
        self.start_on(settings, incarnation, self.stores.stores()).await
    }

    async fn start_on(
        &self,
        settings: NodeSettings,
        incarnation: u64,
        stores: Stores,
    ) -> Result<Node> {
        let id = NodeId::new(&settings.name, incarnation).unwrap();
        let parts = NodeParts {
            clock: Arc::new(SystemClock),
            stores,
            transport: self.network.transport(&id),
            address: id.to_string(),
            http_address: None,
            peers: Vec::new(),
            incarnation,
            metrics: Arc::new(Metrics::new()),
        };
        Node::start(settings, parts).await
    }
}

async fn until(node: &Node, what: &str, predicate: impl FnMut(&Arc<Membership>) -> bool) {
    let mut members = node.members();
    let seen = tokio::time::timeout(Duration::from_secs(60), members.wait_for(predicate)).await;
    assert!(seen.is_ok_and(|seen| seen.is_ok()), "{what}: {:?}", node.members().borrow());
}

fn up(members: &Membership) -> usize {
    members.up_in("p").count()
}

async fn holder(node: &Node, id: &NodeId) {
    let mut leases = node.coordinator_lease();
    let seen = leases.wait_for(|leases| leases.holder_of("p") == Some(id));
    let seen = tokio::time::timeout(Duration::from_secs(60), seen).await.map(|_| ());
    assert!(seen.is_ok(), "{id} is to hold the lease: {:?}", node.coordinator_lease().borrow());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_crashes_is_dead_and_sealed_in_five_seconds_and_the_lease_moves() {
    let place = Place::new();
    let a = place.start("a", 1).await.unwrap();
    holder(&a, a.id()).await;
    let b = place.start("b", 1).await.unwrap();
    let c = place.start("c", 1).await.unwrap();
    until(&b, "three are up", |members| up(members) == 3).await;
    until(&c, "three are up", |members| up(members) == 3).await;
    tokio::time::sleep(Duration::from_secs(2)).await;

    let crashed_at = b.clock().now();
    a.crash();
    place.network.crash(a.id());
    until(&b, "a is gone", |members| members.is_gone(a.id())).await;
    let took = b.clock().now() - crashed_at;
    assert!(took < Duration::from_secs(5), "{took:?}");
    let leases = b.coordinator_lease().borrow().clone();
    assert_ne!(leases.holder_of("p"), Some(a.id()));
    assert!(a.stores().journal.open_writer(a.writer()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_cut_off_from_the_others_is_out_and_the_others_stay() {
    let place = Place::new();
    let a = place.start("a", 1).await.unwrap();
    let b = place.start("b", 1).await.unwrap();
    let c = place.start("c", 1).await.unwrap();
    for node in [&a, &b, &c] {
        until(node, "three are up", |members| up(members) == 3).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    place.network.isolate(c.id());

    let reason = tokio::time::timeout(Duration::from_secs(30), c.fenced()).await.unwrap();
    assert!(reason.contains("declared dead"), "{reason}");
    assert!(!c.is_live());
    until(&a, "c is gone", |members| members.is_gone(c.id())).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(a.is_live() && b.is_live());
}

#[tokio::test(start_paused = true)]
async fn a_name_in_use_is_refused_and_a_crashed_one_is_waited_out() {
    let place = Place::new();
    let a = place.start("a", 1).await.unwrap();
    until(&a, "a is up", |members| up(members) == 1).await;
    let refused = place.start("a", 2).await.unwrap_err().to_string();
    assert!(refused.contains("is used by `a@1`"), "{refused}");

    a.crash();
    let again = place.start("a", 3).await.unwrap();
    until(&again, "the new one is up", |members| {
        members.up_in("p").map(|member| member.id.incarnation()).eq([3])
    })
    .await;
    let members = again.members().borrow().clone();
    assert!(members.is_gone(a.id()));
    holder(&again, again.id()).await;
}

/// The earlier incarnation was frozen until then. Both were live, with one name.
#[tokio::test(start_paused = true)]
async fn a_name_is_refused_when_its_node_wakes_at_the_last_moment() {
    let place = Place::new();
    let a = place.start("a", 1).await.unwrap();
    a.crash();
    let way = Arc::new(store::Way::default());
    way.wakes.store(true, Ordering::Relaxed);
    let settings = NodeSettings { name: "a".into(), place: "p".into(), ..NodeSettings::default() };
    let again = place.start_on(settings, 2, store::behind(&way, place.stores.stores())).await;
    let refused = again.unwrap_err().to_string();
    assert!(refused.contains("is used by `a@1`, which renewed its row just now"), "{refused}");
    assert!(!way.wakes.load(Ordering::Relaxed), "it has woken");
}

#[tokio::test(start_paused = true)]
async fn a_store_of_another_cluster_is_refused_by_the_setting() {
    let place = Place::new();
    let _a = place.start("a", 1).await.unwrap();
    let base = NodeSettings { name: "b".into(), place: "p".into(), ..NodeSettings::default() };
    for (settings, expected) in [
        (NodeSettings { cluster_name: "x".into(), ..base.clone() }, "`cluster_name`"),
        (
            NodeSettings { shard_count: 3, ..base.clone() },
            "`shard_count`: expected 3, as configured, actual 64 in the store",
        ),
        (NodeSettings { place: "q".into(), ..base.clone() }, "`place`"),
    ] {
        let message = place.start_with(settings, 1).await.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_is_dead_and_sealed_at_once_and_gives_the_lease_back() {
    let place = Place::new();
    let a = place.start("a", 1).await.unwrap();
    holder(&a, a.id()).await;
    let b = place.start("b", 1).await.unwrap();
    until(&b, "two are up", |members| up(members) == 2).await;
    a.leave().await.unwrap();
    assert!(!a.is_live());
    until(&b, "a is gone", |members| {
        members.get(a.id()).is_some_and(|a| a.state == MemberState::Dead && a.sealed)
    })
    .await;
    holder(&b, b.id()).await;
}

#[tokio::test(start_paused = true)]
async fn extensions_are_made_once_and_end_with_the_node() {
    let place = Place::new();
    let a = place.start("a", 1).await.unwrap();
    let first = a.extension(|| Arc::new(7u32));
    let second = a.extension(|| Arc::new(8u32));
    assert_eq!((*first, *second), (7, 7));
    let weak = Arc::downgrade(&first);
    drop((first, second));
    a.crash();
    assert_eq!(weak.strong_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn when_two_of_three_crash_at_once_the_third_takes_over() {
    let place = Place::new();
    let a = place.start("a", 1).await.unwrap();
    let b = place.start("b", 1).await.unwrap();
    let c = place.start("c", 1).await.unwrap();
    until(&c, "three are up", |members| up(members) == 3).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    for node in [&a, &b] {
        node.crash();
        place.network.crash(node.id());
    }
    until(&c, "both are gone", |members| members.is_gone(a.id()) && members.is_gone(b.id())).await;
    holder(&c, c.id()).await;
}

/// The fenced node renewed its row and held the lease until its process ended: its shards had no
/// home, and no node gave them one.
#[tokio::test(start_paused = true)]
async fn a_node_that_was_fenced_from_outside_is_replaced_although_its_process_goes_on() {
    let place = Place::new();
    let a = place.start("a", 1).await.unwrap();
    holder(&a, a.id()).await;
    let b = place.start("b", 1).await.unwrap();
    until(&a, "two are up", |members| up(members) == 2).await;
    a.fence("its journal is lost");
    let gone = until(&b, "a is gone", |members| members.is_gone(a.id()));
    tokio::time::timeout(Duration::from_secs(6), gone).await.unwrap();
    holder(&b, b.id()).await;

    let left = tokio::time::timeout(Duration::from_secs(30), a.leave()).await.unwrap();
    let error = left.unwrap_err().to_string();
    assert!(error.contains("its journal is lost"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_task_that_the_node_needs_ends_the_node_with_a_reason() {
    let place = Place::new();
    let node = place.start("a", 1).await.unwrap();
    node.spawn_vital("node", async { panic!("an invariant does not hold") });
    let reason = node.fenced().await;
    assert!(reason.contains("`node` panicked") && !node.is_live(), "{reason}");
    assert!(node.metrics().text().contains("antiphon_node_live 0"));
}
