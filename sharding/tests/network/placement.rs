//! An operator's view of replicas that nobody can host, and of members with other replicas.

use antiphon_persistence::identity::ReplicationId;
use antiphon_runtime::admin::ClusterSection;
use antiphon_sharding::{ReplicatedEntityProvider, ShardingSection};

use crate::world::{Counter, Running, World, replica, settings, wait};

fn provider() -> ReplicatedEntityProvider<Counter> {
    ReplicatedEntityProvider::per_role("counter", [replica("A")], |_: &ReplicationId| Counter)
}

/// The value of the gauge of shards without a role; `None`: there is none.
fn without_role(running: &Running) -> Option<String> {
    let text = running.metrics.text();
    let line = text.lines().find(|line| line.starts_with("antiphon_shards_without_role{"))?;
    line.rsplit(' ').next().map(str::to_owned)
}

#[tokio::test(start_paused = true)]
async fn shards_without_a_role_are_counted_and_a_member_with_other_replicas_is_named() {
    let world = World::new(&["A"], settings());
    let rack = provider().with_replica_role(replica("A"), "rack-1");
    let one = world.start_with("A", "one", rack).await;
    wait("all shards are counted", || without_role(&one).as_deref() == Some("4")).await;
    let section = ShardingSection::new(&one.node);
    let json = section.json();
    let lacks = json["counter"]["without_role"][0].as_str().unwrap_or_default();
    assert!(lacks.contains("rack-1"), "{json}");
    assert_eq!(json["counter"]["other_replicas"].as_array().map(Vec::len), Some(0), "{json}");

    let _two = world.start_with("A", "two", provider()).await;
    let others = || section.json()["counter"]["other_replicas"].clone();
    wait("the difference is seen", || others().as_array().is_some_and(|all| !all.is_empty())).await;
    let line = others()[0].as_str().unwrap_or_default().to_owned();
    assert!(line.contains("`two") && line.contains("without a role there"), "{line}");
    assert!(line.contains("with the role `rack-1` here"), "{line}");
    assert!(section.warnings().contains(&line), "{:?}", section.warnings());
}
