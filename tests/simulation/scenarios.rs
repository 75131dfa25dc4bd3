//! Scenarios by their names, each with one story in place of random trouble.

use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_persistence::identity::ReplicaId;
use antiphon_sharding::{EntityRef, ShardingSettings};

use crate::cluster::{Cluster, Running, cluster};
use crate::form::Form;
use crate::invariants;
use crate::ledger::Command;
use crate::place::MEMORY;
use crate::run::settings;
use crate::stores::StoreFaults;

pub(crate) struct Story {
    pub(crate) cluster: Cluster,
    pub(crate) lines: u64,
}

impl Story {
    pub(crate) async fn begin(
        places: &[&'static str],
        nodes: usize,
        settings: ShardingSettings,
    ) -> Self {
        Self::begin_in(Form::each_place(places), nodes, settings).await
    }

    pub(crate) async fn begin_in(form: Form, nodes: usize, settings: ShardingSettings) -> Self {
        Self::begin_with(form, nodes, settings, false).await
    }

    /// Begins with ledgers that react to the events of other replicas, or do not.
    pub(crate) async fn begin_with(
        form: Form,
        nodes: usize,
        settings: ShardingSettings,
        reacts: bool,
    ) -> Self {
        let mut cluster = cluster(1, SystemClock.now(), form, nodes, MEMORY, settings);
        cluster.user.reacts = reacts;
        for index in 0..cluster.members.len() {
            cluster.begin_start(index);
        }
        let mut story = Self { cluster, lines: 0 };
        story
            .until("all nodes are up", |story| {
                story.cluster.running().count() == story.cluster.members.len()
            })
            .await;
        for index in 0..story.cluster.members.len() {
            for replica in story.cluster.replicas() {
                let ledger = story.ledger(index, &replica);
                while ledger.ask(|reply_to| Command::Read { reply_to }).await.is_err() {}
            }
        }
        story
    }

    pub(crate) fn node(&self, index: usize) -> &Running {
        self.cluster.members[index].running.as_ref().expect("a node that runs")
    }

    pub(crate) fn ledger(&self, index: usize, replica: &ReplicaId) -> EntityRef<Command> {
        self.node(index).sharding.entity_ref_for("l-0", replica).expect("a known replica")
    }

    /// Adds a line at a replica through a node.
    pub(crate) async fn add(&mut self, index: usize, replica: &ReplicaId) {
        self.lines += 1;
        let (ledger, lines) = (self.ledger(index, replica), vec![self.lines]);
        let answer = ledger.ask(|reply_to| Command::Add { lines, reply_to }).await;
        assert!(answer.is_ok(), "{replica}: {answer:?}");
    }

    pub(crate) async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let until = SystemClock.now() + Duration::from_secs(120);
        while !holds(self) {
            assert!(SystemClock.now() < until, "{what}: not after two minutes");
            self.cluster.collect();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn converge(&self) {
        let until = SystemClock.now() + Duration::from_secs(120);
        while let Err(reason) = invariants::convergence::check(&self.cluster).await {
            assert!(SystemClock.now() < until, "{reason}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        invariants::causal_order::check(&self.cluster).await.expect("causal order");
        invariants::exactly_once::check(&self.cluster).await.expect("exactly once");
    }

    /// Number of events of the replica with this number.
    pub(crate) async fn count(&self, number: usize) -> usize {
        let replica = &self.cluster.replicas()[number];
        invariants::stream(&self.cluster, "l-0", replica).await.len()
    }

    pub(crate) fn cut_places(&self, a: usize, b: usize) {
        for (one, first) in self.cluster.running() {
            for (other, second) in self.cluster.running() {
                if one.place == a && other.place == b {
                    self.cluster.network.cut_both(first.node.id(), second.node.id());
                }
            }
        }
    }

    /// Makes the journals of all places unreadable from one place.
    pub(crate) fn blind(&self, place: usize, blind: bool) {
        let refuse_percent = if blind { 100 } else { 0 };
        for (member, running) in self.cluster.running() {
            if member.place == place {
                for stores in &running.stores[1..] {
                    stores.set(StoreFaults { refuse_percent, ..StoreFaults::default() });
                }
            }
        }
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.cluster.running().map(|(_, running)| running.sharding.counter(name)).sum()
    }
}

pub(crate) fn replica(name: &str) -> ReplicaId {
    ReplicaId::new(name).expect("a name")
}

pub(crate) fn story(run: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, run);
}

#[test]
fn writes_at_both_places_arrive_directly_with_the_journals_unreadable() {
    story(async {
        let mut story = Story::begin(&["A", "B"], 2, settings()).await;
        for _ in 0..3 {
            story.add(0, &replica("A")).await;
            story.add(0, &replica("B")).await;
        }
        story.converge().await;
        let pulled = story.counter("events_pulled");
        story.blind(0, true);
        story.blind(1, true);
        for _ in 0..50 {
            story.add(0, &replica("A")).await;
            story.add(2, &replica("B")).await;
        }
        story.converge().await;
        assert_eq!(story.counter("events_pulled"), pulled);
    });
}

#[test]
fn causes_come_first_when_one_link_is_cut() {
    story(async {
        let mut story = Story::begin(&["A", "B", "C"], 1, settings()).await;
        // A's events reach C only through journals, B's come directly
        story.cut_places(0, 2);
        for _ in 0..10 {
            story.add(0, &replica("A")).await;
            story.add(1, &replica("B")).await;
        }
        story.converge().await;
    });
}

#[test]
fn a_place_whose_journal_cannot_be_read_for_a_while_is_caught_up_with_later() {
    story(async {
        let mut settings = settings();
        settings.event_publishing = false;
        let mut story = Story::begin(&["A", "B"], 1, settings).await;
        story.blind(1, true);
        for _ in 0..5 {
            story.add(0, &replica("A")).await;
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(story.count(1).await, 0);
        story.add(1, &replica("B")).await;
        story.blind(1, false);
        story.converge().await;
    });
}

#[test]
fn three_places_that_wrote_while_they_were_apart_converge() {
    story(async {
        let mut story = Story::begin(&["A", "B", "C"], 1, settings()).await;
        for (a, b) in [(0, 1), (1, 2), (0, 2)] {
            story.cut_places(a, b);
        }
        for place in 0..3 {
            story.blind(place, true);
        }
        for _ in 0..5 {
            for (index, name) in ["A", "B", "C"].into_iter().enumerate() {
                story.add(index, &replica(name)).await;
            }
        }
        for place in 0..3 {
            assert_eq!(story.count(place).await, 5, "each has its own");
        }
        story.cluster.network.heal_all();
        for place in [2, 0, 1] {
            story.blind(place, false);
        }
        story.converge().await;
        assert_eq!(story.count(0).await, 15);
    });
}

#[test]
fn what_one_place_cannot_read_from_another_comes_through_a_third() {
    story(async {
        let mut settings = settings();
        settings.event_publishing = false;
        let mut story = Story::begin(&["A", "B", "C"], 1, settings).await;
        // the stores of the other places, in order: C knows A's and B's
        story.node(2).stores[1].set(StoreFaults { refuse_percent: 100, ..StoreFaults::default() });
        story.cut_places(0, 2);
        for _ in 0..5 {
            story.add(0, &replica("A")).await;
        }
        story.until("C has A's events", |_| true).await;
        let until = SystemClock.now() + Duration::from_secs(60);
        while story.count(2).await < 5 {
            assert!(SystemClock.now() < until, "A's events do not come through B");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
}

#[test]
fn an_event_wakes_the_other_replica_which_goes_to_sleep_again() {
    story(async {
        let mut story = Story::begin(&["A", "B"], 1, settings()).await;
        story.add(0, &replica("A")).await;
        story.converge().await;
        story
            .until("both sleep", |story| {
                story.cluster.running().all(|(_, running)| running.sharding.entity_count() == 0)
            })
            .await;
        story.add(0, &replica("A")).await;
        story.until("B is awake", |story| story.node(1).sharding.entity_count() == 1).await;
        story.converge().await;
        story.until("B sleeps again", |story| story.node(1).sharding.entity_count() == 0).await;
    });
}

#[test]
fn with_direct_replication_off_events_come_through_the_journals() {
    story(async {
        let mut settings = settings();
        settings.direct_replication = false;
        let mut story = Story::begin(&["A", "B"], 1, settings).await;
        for _ in 0..5 {
            story.add(0, &replica("A")).await;
        }
        story.converge().await;
        assert_eq!(story.counter("events_direct"), 0);
        assert_eq!(story.counter("events_pulled"), 5);
    });
}

#[test]
fn entities_of_a_crashed_node_answer_from_another_within_five_seconds() {
    story(async {
        let mut story = Story::begin(&["A", "B"], 2, settings()).await;
        story.add(1, &replica("A")).await;
        let homes = story.node(0).sharding.hosted_shards();
        assert!(!homes.is_empty());
        story.cluster.crash(0);
        let crashed_at = SystemClock.now();
        for number in 0..8 {
            let sharding = &story.node(1).sharding;
            let id = format!("l-{number}");
            let ledger = sharding.entity_ref_for(id, &replica("A")).expect("a replica");
            while ledger.ask(|reply_to| Command::Read { reply_to }).await.is_err() {}
        }
        let took = SystemClock.now() - crashed_at;
        assert!(took < Duration::from_secs(5), "{took:?}");
    });
}
