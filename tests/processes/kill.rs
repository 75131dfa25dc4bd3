//! kill -9 in a loop during writes, a frozen node, a restart of all nodes, and a graceful end.

use std::collections::BTreeMap;
use std::time::Duration;

use antiphon::app::client::Client;
use antiphon::app::cluster::LocalJournals;
use antiphon_base::time::{Clock, SystemClock};

use crate::history::{Writers, journal};
use crate::support::{PATIENCE, Processes, add, get, wait_for};

pub(crate) fn addresses(processes: &Processes) -> BTreeMap<String, Vec<String>> {
    let mut nodes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in processes.cluster.nodes() {
        nodes.entry(node.replica.clone()).or_default().push(node.http.clone());
    }
    nodes
}

/// Checks that both journals end with the same events, and with every acknowledged bid.
pub(crate) async fn check(processes: &Processes, writers: Writers) {
    let acknowledged = writers.finish().await;
    assert!(acknowledged.len() > 100, "only {} bids were acknowledged", acknowledged.len());
    let (a, b) =
        ["DC-A", "DC-B"].map(|place| processes.cluster.journal(place).expect("a journal")).into();
    wait_for("the journals have the same events", async || {
        journal(&a).await.0 == journal(&b).await.0
    })
    .await;
    for (place, of) in [("DC-A", &a), ("DC-B", &b)] {
        let bids = journal(of).await.1;
        let lost: Vec<_> = acknowledged.difference(&bids).collect();
        assert!(lost.is_empty(), "acknowledged and not in {place}: {lost:?}");
    }
}

/// Runs each test on both kinds of journal.
macro_rules! on_each_journal {
    ($($test:ident,)*) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(antiphon::app::cluster::LocalJournals::default()).await;
                }
            )*
        }

        mod cassandra {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(crate::support::cassandra()).await;
                }
            )*
        }
    };
}

pub(crate) use on_each_journal;

on_each_journal! {
    no_acknowledged_command_is_lost_when_nodes_are_killed_in_a_loop,
    a_frozen_node_is_replaced_and_when_it_wakes_it_writes_nothing_and_ends,
    a_frozen_node_comes_back_in_the_same_process_as_a_new_incarnation,
    after_a_restart_of_everything_both_places_have_everything,
    a_rolling_restart_during_writes_loses_nothing_and_hands_shards_over,
}

async fn no_acknowledged_command_is_lost_when_nodes_are_killed_in_a_loop(journals: LocalJournals) {
    let rounds =
        std::env::var("KILL_ROUNDS").ok().map_or(10, |text| text.parse().expect("a number"));
    let mut processes = Processes::start_on(journals, &["DC-A", "DC-B"], 2, "").await;
    let writers = Writers::start(addresses(&processes), 3);
    for round in 0..rounds {
        let before = writers.count();
        wait_for("writes go on", async || writers.count() > before + 20).await;
        let name = processes.name(round % processes.cluster.nodes().len());
        processes.cluster.kill(&name).await.expect("a node to kill");
        processes.cluster.restart(&name).await.expect("a node that comes back");
        *writers.nodes.write() = addresses(&processes);
    }
    check(&processes, writers).await;
}

async fn a_frozen_node_is_replaced_and_when_it_wakes_it_writes_nothing_and_ends(
    journals: LocalJournals,
) {
    let mut processes = Processes::start_on(journals, &["DC-A", "DC-B"], 2, "").await;
    let writers = Writers::start(addresses(&processes), 3);
    freeze_until_declared_dead(&processes, &writers).await;
    let frozen = processes.name(0);
    processes.cluster.signal(&frozen, "CONT").await.expect("a node to wake");
    let ended_well = processes.cluster.ended(&frozen, Duration::from_secs(30)).await;
    assert!(
        !ended_well.expect("it ends by itself"),
        "a node that was declared dead ends with an error"
    );
    let before = writers.count();
    wait_for("writes go on", async || writers.count() > before + 50).await;
    check(&processes, writers).await;
}

async fn a_frozen_node_comes_back_in_the_same_process_as_a_new_incarnation(
    journals: LocalJournals,
) {
    let mut processes = Processes::start_on(journals, &["DC-A", "DC-B"], 2, "").await;
    let frozen = processes.name(0);
    processes.restart_rejoining(&frozen).await;
    let writers = Writers::start(addresses(&processes), 3);
    freeze_until_declared_dead(&processes, &writers).await;
    let before = processes.cluster.nodes()[0].id.clone();
    processes.cluster.signal(&frozen, "CONT").await.expect("a node to wake");
    processes.cluster.ready(&frozen).await.expect("its process goes on");
    assert_ne!(processes.cluster.nodes()[0].id, before, "a new incarnation");
    processes.ready(0).await;
    *writers.nodes.write() = addresses(&processes);
    let count = writers.count();
    wait_for("writes go on", async || writers.count() > count + 50).await;
    check(&processes, writers).await;
    processes.cluster.signal(&frozen, "TERM").await.expect("a node to end");
    let ended_well = processes.cluster.ended(&frozen, PATIENCE).await;
    assert!(ended_well.expect("it ends"), "the new incarnation leaves in order");
}

/// Freezes the first node until its place has declared it dead.
async fn freeze_until_declared_dead(processes: &Processes, writers: &Writers) {
    wait_for("writes go on", async || writers.count() > 50).await;
    let (frozen, mut other) = (processes.name(0), processes.client(2));
    let id = processes.cluster.nodes()[0].id.clone();
    let clock = SystemClock;
    for _ in 0..40 {
        processes.cluster.signal(&frozen, "STOP").await.expect("a node to freeze");
        let until = clock.now() + Duration::from_secs(8);
        while clock.now() < until {
            if is_sealed(&mut other, &id).await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // the node was frozen while it held the lock of the journal's file: then no node of its
        // place can write, and none can take over (persistence/sqlite/README.md); another moment is
        // tried
        processes.cluster.signal(&frozen, "CONT").await.expect("a node to wake");
        let before = writers.count();
        wait_for("writes go on", async || writers.count() > before + 20).await;
    }
    panic!("the node was never frozen outside of a transaction");
}

async fn is_sealed(client: &mut Client, id: &str) -> bool {
    let Ok(cluster) = client.json("/cluster", &[]).await else { return false };
    let members = cluster["members"].as_array().cloned().unwrap_or_default();
    members.iter().any(|member| member["id"] == id && member["sealed"] == true)
}

/// A restart of all processes, after each place was down once.
async fn after_a_restart_of_everything_both_places_have_everything(journals: LocalJournals) {
    let mut processes = Processes::start_on(journals, &["DC-A", "DC-B"], 1, "").await;
    let (mut a, mut b) = (processes.client(0), processes.client(1));
    assert_eq!(add(&mut a, "c-1", "DC-A", 5).await, Some(5));
    wait_for("it is at the other place", async || get(&mut b, "c-1", "DC-B").await == Some(5))
        .await;

    // one place writes while the other is down; then all nodes are down
    let name = processes.name(1);
    processes.cluster.kill(&name).await.expect("a node");
    assert_eq!(add(&mut a, "c-1", "DC-A", 1).await, Some(6));
    processes.cluster.kill_all().await;
    for index in 0..2 {
        let name = processes.name(index);
        processes.cluster.restart(&name).await.expect("a node that comes back");
    }
    for (index, replica) in ["DC-A", "DC-B"].into_iter().enumerate() {
        processes.ready(index).await;
        let mut client = processes.client(index);
        wait_for("everything is there", async || get(&mut client, "c-1", replica).await == Some(6))
            .await;
    }
}

/// A rolling restart, as an operator does it.
async fn a_rolling_restart_during_writes_loses_nothing_and_hands_shards_over(
    journals: LocalJournals,
) {
    let mut processes = Processes::start_on(journals, &["DC-A", "DC-B"], 2, "").await;
    let writers = Writers::start(addresses(&processes), 3);
    for index in 0..processes.cluster.nodes().len() {
        let before = writers.count();
        wait_for("writes go on", async || writers.count() > before + 20).await;
        let name = processes.name(index);
        processes.cluster.signal(&name, "TERM").await.expect("a node");
        let ended = processes.cluster.ended(&name, Duration::from_secs(40)).await;
        assert!(ended.expect("it ends"), "{name} drains and ends well");
        processes.cluster.restart(&name).await.expect("a node that comes back");
        *writers.nodes.write() = addresses(&processes);
        processes.ready(index).await;
    }
    check(&processes, writers).await;
}
