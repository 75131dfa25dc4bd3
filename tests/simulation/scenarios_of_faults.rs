//! Scenarios with one fault, during which everything else must go on.

use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_runtime::NodeId;
use antiphon_sharding::ShardingSettings;

use crate::ledger::Command;
use crate::run::settings;
use crate::scenarios::{Story, replica, story};
use crate::user::Where;

impl Story {
    /// Lets the simulation run, and restarts nodes that end, as a supervisor does; returns how many
    /// nodes ended.
    async fn go_on(&mut self, lasts: Duration) -> usize {
        let until = SystemClock.now() + lasts;
        let mut ended = 0;
        while SystemClock.now() < until {
            self.cluster.collect();
            let before = self.cluster.running().count();
            self.cluster.restart_fenced();
            ended += before - self.cluster.running().count();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ended
    }

    fn id(&self, index: usize) -> NodeId {
        self.node(index).node.id().clone()
    }

    /// Entities of a place that do not answer through a node within a second each.
    async fn silent(&self, through: usize, place: &str) -> Vec<String> {
        let mut silent = Vec::new();
        for number in 0..8 {
            let id = format!("l-{number}");
            let ledger = self.node(through).sharding.entity_ref_for(&id, &replica(place));
            let ledger = ledger.expect("a known replica");
            let answer = ledger.ask(|reply_to| Command::Read { reply_to });
            let answer = tokio::time::timeout(Duration::from_secs(1), answer).await;
            if !matches!(answer, Ok(Ok(_))) {
                silent.push(id);
            }
        }
        silent
    }
}

#[test]
fn a_cut_within_a_place_whose_store_is_there_costs_one_node_at_most_and_is_over_in_five_seconds() {
    story(async {
        let mut story = Story::begin(&["A"], 2, settings()).await;
        let (a, b) = (story.id(0), story.id(1));
        story.cluster.network.cut_both(&a, &b);
        let until = SystemClock.now() + Duration::from_secs(5);
        let mut ended = 0;
        while SystemClock.now() < until {
            story.cluster.collect();
            for index in 0..2 {
                let member = &story.cluster.members[index];
                let is_out = member.running.as_ref().is_some_and(|running| !running.node.is_live());
                if is_out {
                    // the node stays down: a restarted node would be cut too
                    story.cluster.crash(index);
                    ended += 1;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(ended <= 1, "{ended} of two nodes ended");
        let left = (0..2).find(|index| story.cluster.members[*index].running.is_some());
        assert_eq!(story.silent(left.expect("one node"), "A").await, [""; 0]);
    });
}

#[test]
fn two_of_three_nodes_that_are_cut_from_each_other_serve_every_shard_within_ten_seconds() {
    story(async {
        let mut story = Story::begin(&["A"], 3, settings()).await;
        let (a, b) = (story.id(0), story.id(1));
        story.cluster.network.cut_both(&a, &b);
        story.go_on(Duration::from_secs(10)).await;
        let alive: Vec<usize> =
            (0..3).filter(|index| story.cluster.members[*index].running.is_some()).collect();
        assert!(alive.len() > 1, "{alive:?}");
        for index in alive {
            assert_eq!(story.silent(index, "A").await, [""; 0], "through node {index}");
        }
    });
}

#[test]
fn a_command_to_a_place_that_is_down_is_without_effect() {
    story(async {
        // with the default, an ask ends long before the node gives up the way to a home
        let mut story = Story::begin(&["A", "B"], 1, ShardingSettings::default()).await;
        story.cluster.crash(1);
        story.go_on(Duration::from_secs(8)).await;
        for line in 0..5 {
            let ledger = story.ledger(0, &replica("B"));
            let answer = ledger.ask(|reply_to| Command::Add { lines: vec![line], reply_to }).await;
            let error = answer.expect_err("nobody is there");
            assert!(error.is_without_effect(), "{error:?}");
        }
    });
}

#[test]
fn an_event_that_one_place_cannot_apply_holds_up_that_origin_of_that_entity_only() {
    story(async {
        let mut story = Story::begin(&["A", "B"], 1, settings()).await;
        // lines are numbered from one; line 5 of `l-0` cannot be applied at A
        story.cluster.user.faults.panic_on_event(Where { place: replica("A"), lines: 0 });
        for _ in 0..5 {
            story.add(1, &replica("B")).await;
        }
        story.go_on(Duration::from_secs(3)).await;
        for number in (0..6).chain([0; 20]) {
            let id = format!("l-{number}");
            for place in ["A", "B"] {
                let sharding = &story.node(0).sharding;
                let ledger = sharding.entity_ref_for(&id, &replica(place)).expect("a replica");
                story.lines += if (story.lines + 1).is_multiple_of(5) { 2 } else { 1 };
                let lines = vec![story.lines];
                let answer = ledger.ask(|reply_to| Command::Add { lines, reply_to }).await;
                assert!(answer.is_ok(), "{id} at {place}: {answer:?}");
            }
        }
        // B's events of the other entities arrive; the events of `l-0` wait
        let until = SystemClock.now() + Duration::from_secs(10);
        while crate::invariants::stream(&story.cluster, "l-1", &replica("A")).await.len() < 2 {
            assert!(SystemClock.now() < until, "an event of another entity is held up");
            story.go_on(Duration::from_millis(50)).await;
        }
        story.cluster.user.faults.end();
        story.go_on(Duration::from_secs(1)).await;
        story.converge().await;
    });
}

#[test]
fn something_that_never_ends_in_one_entity_stops_neither_its_neighbours_nor_a_move_of_its_shard() {
    story(async {
        let mut story = Story::begin(&["A"], 2, settings()).await;
        for number in 0..4 {
            let id = format!("l-{number}");
            let ledger = story.node(0).sharding.entity_ref_for(&id, &replica("A"));
            ledger.expect("a replica").tell(Command::Hang);
        }
        story.go_on(Duration::from_secs(1)).await;
        for number in 4..12 {
            let id = format!("l-{number}");
            let ledger = story.node(0).sharding.entity_ref_for(&id, &replica("A"));
            let answer =
                ledger.expect("a replica").ask(|reply_to| Command::Read { reply_to }).await;
            assert!(answer.is_ok(), "{id}: {answer:?}");
        }
        // node 1 comes back and gets shards of node 0, which hang
        story.cluster.crash(1);
        story.go_on(Duration::from_secs(5)).await;
        story.cluster.begin_start(1);
        story.go_on(Duration::from_secs(60)).await;
        assert!(!story.node(1).sharding.hosted_shards().is_empty(), "no shard has moved");
        assert_eq!(story.silent(0, "A").await, [""; 0]);
    });
}
