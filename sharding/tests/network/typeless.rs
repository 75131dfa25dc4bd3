//! Members of one place with different entity types: the coordinator lease goes to a member that
//! has all of them, and a type without a coordinator is told.

use antiphon_persistence::identity::ReplicationId;
use antiphon_runtime::Node;
use antiphon_runtime::admin::ClusterSection;
use antiphon_sharding::{ReplicatedEntityProvider, ReplicatedSharding, ShardingSection};

use super::world::{Counter, Running, World, add, ready, replica, settings, wait};

fn holds(node: &Node) -> bool {
    node.coordinator_lease().borrow().held.is_some()
}

fn provider(entity_type: &str) -> ReplicatedEntityProvider<Counter> {
    let provider =
        ReplicatedEntityProvider::per_role(entity_type, [replica("A")], |_: &ReplicationId| {
            Counter
        });
    provider.with_settings(settings())
}

fn lacking(running: &Running) -> String {
    let text = running.metrics.text();
    let line = text.lines().find_map(|line| line.strip_prefix("antiphon_lease_types_lacking "));
    line.unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_member_without_the_type_gives_the_lease_to_one_that_has_it() {
    let world = World::new(&["A"], settings());
    let typeless = world.lonely_liar("A").await.node;
    wait("the member without the type holds the lease", || holds(&typeless)).await;

    let a = world.start("A", "a").await;
    ready(&[&a]).await;
    assert!(holds(&a.node) && !holds(&typeless));
    assert_eq!(add(&a, "A", "x").await, 1);
    assert_eq!(ShardingSection::new(&a.node).warnings(), [""; 0]);

    // the only member with the type goes, and comes back
    a.node.leave().await.unwrap();
    let again = world.start("A", "again").await;
    ready(&[&again]).await;
    assert_eq!(add(&again, "A", "x").await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_type_that_the_holder_lacks_is_told_when_no_member_has_all_types() {
    let world = World::new(&["A"], settings());
    let (other, _) = world.node(world.in_memory("A", "other")).await;
    let stock = ReplicatedSharding::init(&other, provider("stock")).await.unwrap();
    wait("the other member holds the lease", || holds(&other)).await;
    wait("its type has homes", || stock.is_ready()).await;

    let a = world.start("A", "a").await;
    let section = ShardingSection::new(&a.node);
    wait("the type is told", || lacking(&a) == "1").await;
    let why = section.ready().unwrap_err();
    for part in ["`other@1` holds the coordinator lease of place `A`", "not started `counter`"] {
        assert!(why.contains(part), "{why}");
        assert!(section.warnings()[0].contains(part), "{:?}", section.warnings());
    }
    assert!(stock.is_ready() && holds(&other), "the holder keeps what it has");

    let counters = ReplicatedSharding::init(&other, provider("counter")).await.unwrap();
    ready(&[&a]).await;
    wait("nothing is told", || lacking(&a) == "0").await;
    wait("shards are spread", || counters.hosted_shards().len() == 2).await;
    assert_eq!(add(&a, "A", "x").await, 1);
}
