//! Scenarios of the forms of replication: several replicas in one place, by roles or on all nodes,
//! and mixtures.

use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_sharding::RoutingPolicy;

use crate::form::Form;
use crate::invariants;
use crate::ledger::Command;
use crate::run::settings;
use crate::scenarios::{Story, replica, story};

impl Story {
    /// The slots of a node by replica: the replica of each shard that it hosts.
    fn replicas_at(&self, index: usize) -> Vec<String> {
        let shards = self.node(index).sharding.hosted_shards();
        let mut replicas: Vec<_> = shards.iter().map(|shard| shard.replica.to_string()).collect();
        replicas.dedup();
        replicas
    }
}

#[test]
fn replicas_by_role_are_on_the_nodes_of_their_role_and_share_a_journal() {
    story(async {
        let mut story = Story::begin_in(Form::roles(), 2, settings()).await;
        assert_eq!(story.replicas_at(0), ["A1"]);
        assert_eq!(story.replicas_at(1), ["A2"]);
        for _ in 0..5 {
            story.add(0, &replica("A1")).await;
            story.add(0, &replica("A2")).await;
            story.add(1, &replica("A1")).await;
        }
        story.converge().await;
        assert_eq!(story.count(0).await, 15);
        let nearest = story.node(1).sharding.route("l-0", &RoutingPolicy::Nearest).expect("an id");
        assert_eq!(nearest.replication_id().replica_id(), &replica("A2"), "of its own role");
    });
}

#[test]
fn without_publishing_events_reach_the_other_replica_through_the_common_journal() {
    for form in [Form::roles(), Form::replica_qualified(), Form::mixture()] {
        story(async {
            let mut settings = settings();
            settings.event_publishing = false;
            let mut story = Story::begin_in(form, 2, settings).await;
            for name in ["A1", "A2", "A1"] {
                story.add(0, &replica(name)).await;
            }
            story.converge().await;
            assert_eq!(story.count(0).await, 3);
            assert_eq!(story.counter("events_direct"), 0);
        });
    }
}

#[test]
fn a_lost_role_is_named_and_a_node_that_gets_it_back_serves_again() {
    story(async {
        let mut story = Story::begin_in(Form::roles(), 2, settings()).await;
        story.add(0, &replica("A2")).await;
        story.cluster.crash(1);
        let until = SystemClock.now() + Duration::from_secs(60);
        loop {
            let ledger = story.ledger(0, &replica("A2"));
            let answer = ledger.ask(|reply_to| Command::Read { reply_to }).await;
            let text = answer.expect_err("no node has the role").to_string();
            if text.contains("role `two`") && text.contains("place `A`") {
                break;
            }
            assert!(SystemClock.now() < until, "the role is not named: {text}");
        }
        story.add(0, &replica("A1")).await;
        assert_eq!(story.replicas_at(0), ["A1"], "no shard of the other role");
        tokio::time::sleep(settings().homeless_grace * 2).await;
        assert!(story.node(0).sharding.is_ready(), "it serves its own replica");
        story.cluster.begin_start(1);
        story.until("the node is back", |story| story.cluster.running().count() == 2).await;
        let ledger = story.ledger(0, &replica("A2"));
        while ledger.ask(|reply_to| Command::Read { reply_to }).await.is_err() {}
        story.converge().await;
        assert_eq!(story.count(1).await, 2);
    });
}

#[test]
fn the_last_node_of_a_role_leaves_without_waiting_for_another() {
    story(async {
        let mut story = Story::begin_in(Form::roles(), 2, settings()).await;
        story.add(0, &replica("A2")).await;
        let leaving = story.cluster.members[1].running.take().expect("a node that runs");
        let began = SystemClock.now();
        leaving.node.leave().await.expect("it leaves");
        let took = SystemClock.now() - began;
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert_eq!(story.replicas_at(0), ["A1"]);
        story.add(0, &replica("A1")).await;
    });
}

/// The coordinator knows roles, and the node that leaves does not: it takes the other nodes for
/// nodes that can take its shards.
#[test]
fn a_node_that_leaves_with_another_table_of_roles_than_the_coordinator_does_not_wait_for_it() {
    story(async {
        let mut story = Story::begin_in(Form::roles(), 2, settings()).await;
        story.add(0, &replica("A2")).await;
        story.cluster.members[1].ignores_roles = true;
        story.cluster.crash(1);
        tokio::time::sleep(Duration::from_secs(8)).await;
        story.cluster.begin_start(1);
        story.until("it is back", |story| story.cluster.running().count() == 2).await;
        story.until("it hosts", |story| story.replicas_at(1) == ["A2"]).await;
        let leaving = story.cluster.members[1].running.take().expect("a node that runs");
        let began = SystemClock.now();
        leaving.node.leave().await.expect("it leaves");
        let took = SystemClock.now() - began;
        assert!(took < Duration::from_secs(10), "{took:?}");
        story.add(0, &replica("A1")).await;
    });
}

#[test]
fn a_proxy_hosts_no_shard_also_when_it_is_alone_and_reaches_all_of_them() {
    story(async {
        let mut story = Story::begin_in(Form::replica_qualified(), 3, settings()).await;
        assert!(story.node(2).sharding.hosted_shards().is_empty());
        assert!(story.node(2).sharding.is_ready());
        story.add(2, &replica("A1")).await;
        story.add(2, &replica("A2")).await;
        story.cluster.crash(0);
        story.cluster.crash(1);
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(story.node(2).sharding.hosted_shards().is_empty());
        assert!(!story.node(2).sharding.is_ready());
        story.cluster.begin_start(0);
        story.until("the proxy is ready", |story| story.node(2).sharding.is_ready()).await;
        story.add(2, &replica("A1")).await;
        invariants::right_role::check(&story.cluster).expect("the right nodes");
        let proxy = story.cluster.members[2].running.take().expect("a node that runs");
        let began = SystemClock.now();
        proxy.node.leave().await.expect("it leaves");
        assert!(SystemClock.now() - began < Duration::from_secs(10), "it has nothing to drain");
    });
}

/// An upgrade from a version that ignores roles, one node after the other.
#[test]
fn nodes_that_ignore_roles_beside_nodes_that_heed_them_never_host_the_same_shard() {
    story(async {
        let mut story = Story::begin_in(Form::roles(), 3, settings()).await;
        let earlier = [0, 1, 2, 1].map(|index| (index, true));
        let later = [2, 0, 1].map(|index| (index, false));
        for (step, (index, ignores_roles)) in earlier.into_iter().chain(later).enumerate() {
            story.cluster.members[index].ignores_roles = ignores_roles;
            story.cluster.crash(index);
            // the others take over what it hosted
            tokio::time::sleep(Duration::from_secs(8)).await;
            story.cluster.begin_start(index);
            let until = SystemClock.now() + Duration::from_secs(15);
            while SystemClock.now() < until {
                story.cluster.collect();
                invariants::single_home::check(&story.cluster).expect("one home");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            story.add(2, &replica("A1")).await;
            story.add(2, &replica("A2")).await;
            if step == 3 {
                let wrong = invariants::right_role::check(&story.cluster);
                wrong.expect_err("all nodes ignore roles");
            }
        }
        invariants::right_role::check(&story.cluster).expect("the right nodes");
        story.converge().await;
        assert_eq!(story.count(0).await, 14);
    });
}
