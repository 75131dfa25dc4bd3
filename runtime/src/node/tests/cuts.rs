//! Cuts inside a place whose store can be reached: they end in one stable state, and a place never
//! kills itself.

use std::time::Duration;

use antiphon_base::{ErrorKind, task};
use tokio::time::sleep;

use super::{Place, holder, until, up};
use crate::membership::Membership;
use crate::transport::memory::{Faults, SplitMix64};
use crate::{Node, NodeId};

/// Time within which a cut has an end.
const STABLE: Duration = Duration::from_secs(5);

/// Runs of each test, each with another seed.
const RUNS: u64 = 20;

async fn two(place: &Place) -> (Node, Node) {
    let a = place.start("a", 1).await.unwrap();
    holder(&a, a.id()).await;
    let b = place.start("b", 1).await.unwrap();
    until(&a, "two are up", |members| up(members) == 2).await;
    (a, b)
}

/// The only one of the two that is live; it is not out later either.
async fn survivor<'a>(seed: u64, a: &'a Node, b: &'a Node) -> &'a Node {
    sleep(STABLE).await;
    let live = |node: &&Node| node.is_live();
    let after: Vec<&Node> = [a, b].into_iter().filter(live).collect();
    let [one] = after[..] else { panic!("seed {seed}: {} are live", after.len()) };
    let other = if one.id() == a.id() { b } else { a };
    until(one, "the other one is gone", |members| members.is_gone(other.id())).await;
    sleep(Duration::from_secs(8)).await;
    assert!(one.is_live(), "seed {seed}: the survivor is out later");
    one
}

#[tokio::test(start_paused = true)]
async fn when_two_nodes_are_cut_from_each_other_the_holder_of_the_lease_stays_in_each_run() {
    for seed in 0..RUNS {
        let place = Place::seeded(seed);
        let (a, b) = two(&place).await;
        let mut random = SplitMix64::new(seed);
        sleep(Duration::from_millis(random.next_u64() % 3000)).await;
        if seed % 4 == 3 {
            // the connection breaks too, so that both know at once
            place.network.break_connection(a.id(), b.id());
        }
        place.network.cut_both(a.id(), b.id());
        let stays = survivor(seed, &a, &b).await;
        assert_eq!(stays.id(), a.id(), "seed {seed}");
        let reason = b.fenced().await;
        assert!(reason.contains("cannot reach each other"), "{reason}");
        assert!(
            place.stores.stores().journal.open_writer(b.writer()).await.is_err(),
            "it is sealed"
        );
        a.crash();
        b.crash();
    }
}

/// Messages of a node that is in no table kept the ticks of this node away, and with them its
/// probes.
#[tokio::test(start_paused = true)]
async fn a_cut_is_noticed_while_messages_ask_for_the_tables_without_a_pause() {
    let place = Place::new();
    let (a, b) = two(&place).await;
    let asks = |node: &Node| {
        let node = node.clone();
        task::spawn("asks for the tables", async move {
            loop {
                node.look_at_tables();
                sleep(Duration::from_millis(5)).await;
            }
        })
    };
    let asking = [asks(&a), asks(&b)];
    place.network.cut_both(a.id(), b.id());
    assert_eq!(survivor(0, &a, &b).await.id(), a.id());
    asking.iter().for_each(|task| task.abort());
}

#[tokio::test(start_paused = true)]
async fn when_nobody_holds_the_lease_and_both_give_way_to_each_other_one_stays() {
    for seed in 0..RUNS {
        let place = Place::seeded(seed);
        // both start at the same moment, and the cut comes while they join
        let (a, b) = tokio::join!(place.start("a", 1), place.start("b", 2));
        let (a, b) = (a.unwrap(), b.unwrap());
        place.network.cut_both(a.id(), b.id());
        survivor(seed, &a, &b).await;
        a.crash();
        b.crash();
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_of_one_way_is_a_cut() {
    for seed in 0..RUNS {
        let place = Place::seeded(seed);
        let (a, b) = two(&place).await;
        let (from, to) = if seed % 2 == 0 { (&a, &b) } else { (&b, &a) };
        sleep(Duration::from_millis(seed * 37)).await;
        place.network.cut(from.id(), to.id());
        assert_eq!(survivor(seed, &a, &b).await.id(), a.id(), "seed {seed}");
        a.crash();
        b.crash();
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_loses_a_third_of_its_frames_never_costs_both_nodes() {
    for seed in 0..RUNS {
        let place = Place::seeded(seed);
        let (a, b) = two(&place).await;
        let loss = Faults { drop_per_million: 300_000, ..Faults::default() };
        place.network.set_faults(loss);
        sleep(Duration::from_secs(30)).await;
        assert!(a.is_live(), "seed {seed}: the holder of the lease stays");
        a.crash();
        b.crash();
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_cut_costs_nothing() {
    let place = Place::new();
    let (a, b) = two(&place).await;
    for _ in 0..10 {
        place.network.cut_both(a.id(), b.id());
        sleep(Duration::from_millis(1500)).await;
        place.network.heal_all();
        sleep(Duration::from_secs(3)).await;
    }
    assert!(a.is_live() && b.is_live());
}

#[tokio::test(start_paused = true)]
async fn a_restarted_node_that_cannot_reach_the_other_stays_out_until_it_can() {
    let place = Place::new();
    let (a, b) = two(&place).await;
    let again = NodeId::new("b", 2).unwrap();
    place.network.cut_both(a.id(), b.id());
    place.network.cut_both(a.id(), &again);
    let reason = b.fenced().await;
    b.crash();
    assert!(reason.contains("`a@1`"), "{reason}");

    let error = place.start("b", 2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let message = error.to_string();
    assert!(message.contains("cannot reach `a@1` at `a@1`"), "{message}");
    assert!(
        message.contains("`advertised_host`") && message.contains("`join_timeout`"),
        "{message}"
    );
    until(&a, "its row says that it has gone", |members| members.is_gone(&again)).await;
    assert!(a.is_live());
    assert_eq!(up(&a.members().borrow()), 1);

    let third = place.start("b", 3).await.unwrap();
    until(&third, "two are up again", |members| up(members) == 2).await;
    assert!(a.is_live());
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_given_up_leaves_no_node_behind() {
    let place = Place::new();
    let a = place.start("a", 1).await.unwrap();
    let b = NodeId::new("b", 1).unwrap();
    place.network.cut_both(a.id(), &b);
    let given_up = tokio::time::timeout(Duration::from_secs(3), place.start("b", 1)).await;
    assert!(given_up.is_err());
    until(&a, "it is gone", |members| members.is_gone(&b)).await;
}

#[tokio::test(start_paused = true)]
async fn two_of_three_that_are_cut_from_each_other_are_shown_and_one_gives_way_in_ten_seconds() {
    for (one, other) in [("b", "c"), ("a", "c"), ("a", "b")] {
        let place = Place::new();
        let (a, b) = two(&place).await;
        let c = place.start("c", 1).await.unwrap();
        let all = [&a, &b, &c];
        until(&a, "three are up", |members| up(members) == 3).await;
        let by_name = |name: &str| all.into_iter().find(|node| node.id().name() == name).unwrap();
        let (one, other) = (by_name(one), by_name(other));
        place.network.cut_both(one.id(), other.id());
        let is_cut = |members: &std::sync::Arc<Membership>| members.is_cut(one.id(), other.id());
        for node in all {
            let shown = until(node, "the cut is shown", is_cut);
            tokio::time::timeout(Duration::from_secs(4), shown).await.unwrap();
        }
        sleep(Duration::from_secs(6)).await;
        let live = all.into_iter().filter(|node| node.is_live()).count();
        assert_eq!(live, 2, "one of {one:?} and {other:?}");
        assert!(a.is_live(), "it holds the lease");
        assert!(!(one.is_live() && other.is_live()));
        let is_healed =
            |members: &std::sync::Arc<Membership>| members.unreachable().next().is_none();
        until(&a, "nobody is cut off any more", is_healed).await;
        sleep(Duration::from_secs(20)).await;
        assert_eq!(all.into_iter().filter(|node| node.is_live()).count(), 2);
    }
}
