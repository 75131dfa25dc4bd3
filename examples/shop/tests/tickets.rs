//! Tickets that every place sells by itself: one entity at several places, and a cluster through a
//! cut, kills and a restart.

use std::time::Duration;

use antiphon::persistence::entity::testkit::{
    EntityTest, ReplicasTest, check_answers, check_commands, check_stored,
};
use antiphon::prelude::*;
use antiphon_shop::{Tally, Tickets, TicketsCommand};
use antiphon_testkit::TestCluster;

type Sale = std::result::Result<Tally, String>;

const WITHIN: Duration = Duration::from_secs(1);

fn put(count: u32) -> impl Fn(ReplyTo<Tally>) -> TicketsCommand {
    move |reply_to| TicketsCommand::Put { count, reply_to }
}

fn sell(buyer: &str, count: u32) -> impl Fn(ReplyTo<Sale>) -> TicketsCommand {
    let buyer = buyer.to_owned();
    move |reply_to| TicketsCommand::Sell { buyer: buyer.clone(), count, reply_to }
}

fn get(reply_to: ReplyTo<Tally>) -> TicketsCommand {
    TicketsCommand::Get { reply_to }
}

fn give(tickets: &mut ReplicasTest<Tickets>, from: &str, to: &str, count: u64) -> u64 {
    let to = ReplicaId::new(to).expect("a place");
    let given = tickets.at(from).ask(|reply_to| TicketsCommand::Give { to, count, reply_to });
    given.expect("an answer")
}

fn at_places(places: &[&str], count: u32) -> ReplicasTest<Tickets> {
    let behaviour = Tickets::new(WITHIN);
    let mut tickets = EntityTest::replicas(behaviour, "tickets|fair", places.iter().copied());
    tickets.at(places[0]).ask(put(count)).expect("an answer");
    tickets
}

#[test]
fn places_that_sell_at_the_same_time_sell_their_own_and_no_ticket_twice() {
    let mut tickets = at_places(&["A", "B"], 10);
    tickets.concurrently(|tickets| {
        for (place, buyer) in [("A", "ada"), ("B", "bob")] {
            let sold = tickets.at(place).try_ask(sell(buyer, 5));
            assert_eq!(sold, Ok(Tally { left: 5, here: 0, sold: 5 }), "{place}");
            // the five of the other place were not given, and may be sold
            let refused = tickets.at(place).try_ask(sell(buyer, 6)).expect_err("too many");
            assert_eq!(refused.refusal().as_deref(), Some("5 tickets are left"), "{place}");
        }
    });
    for place in ["A", "B"] {
        assert_eq!(tickets.at(place).ask(get), Ok(Tally { left: 0, here: 0, sold: 10 }));
        assert!(tickets.at(place).try_ask(sell("eve", 1)).is_err(), "{place}");
    }
}

#[test]
fn sales_and_gifts_of_three_places_agree_in_every_order() {
    let mut tickets = at_places(&["A", "B", "C"], 12);
    tickets.concurrently(|tickets| {
        // two that are needed, and one of the other two
        assert_eq!(give(tickets, "A", "B", 2), 3);
        tickets.at("B").try_ask(sell("bob", 3)).expect("three of four");
        tickets.at("C").ask(put(3)).expect("an answer");
        assert_eq!(give(tickets, "C", "A", 1), 3);
        tickets.at("C").try_ask(sell("cem", 2)).expect("two of two");
        tickets.at("A").try_ask(sell("ada", 1)).expect("one of one");
    });
    let here = ["A", "B", "C"].map(|place| tickets.at(place).ask(get).expect("a tally"));
    assert!(here.iter().all(|tally| (tally.left, tally.sold) == (9, 6)), "{here:?}");
    assert_eq!(here.map(|tally| tally.here).iter().sum::<u64>(), 9, "each has one place");
}

#[test]
fn tickets_are_given_to_other_places_of_the_event_only() {
    let mut tickets = at_places(&["A", "B"], 10);
    for nobody in ["A", "C"] {
        assert_eq!(give(&mut tickets, "A", nobody, 3), 0, "{nobody}");
    }
    assert_eq!(give(&mut tickets, "A", "B", 100), 5, "all that it has");
    assert_eq!(give(&mut tickets, "A", "B", 100), 0);
    assert_eq!(tickets.at("A").new_events().len(), 3, "came in, and was given twice");
}

#[test]
fn a_sale_of_nothing_and_a_long_name_are_refused() {
    let mut tickets = at_places(&["A", "B"], 10);
    let mut why = |buyer: &str, count| {
        let refused = tickets.at("A").try_ask(sell(buyer, count)).expect_err("refused");
        refused.refusal().expect("a reason")
    };
    assert_eq!(why("ada", 0), "`count`: expected above 0, actual 0");
    assert!(why(&"a".repeat(101), 1).contains("at most 100 bytes, actual 101"));
}

#[test]
fn everything_of_tickets_that_is_stored_or_sent_can_be_read_again() {
    check_stored(&Tickets::new(WITHIN)).unwrap();
    check_commands::<TicketsCommand>().unwrap();
    check_answers::<Sale>().unwrap();
}

/// Sells at this node until it refuses; returns the number of sales.
async fn sell_out(cluster: &TestCluster, node: &str) -> Result<(u64, String)> {
    for sales in 0.. {
        let buyer = format!("{node} {sales}");
        if let Err(why) = cluster.ask::<Tickets, _>(node, "fair", sell(&buyer, 1)).await? {
            return Ok((sales, why));
        }
    }
    unreachable!("the tickets end")
}

/// Waits until a node sees so many tickets, and so many of them at its place.
async fn until_left(cluster: &TestCluster, node: &str, left: u64, here: u64) -> Result<()> {
    let has = async || {
        let tally = cluster.ask::<Tickets, _>(node, "fair", get).await;
        tally.is_ok_and(|tally| (tally.left, tally.here) == (left, here))
    };
    cluster.until(&format!("{node} sees {left} tickets, {here} of them here"), has).await
}

#[test]
fn a_place_without_tickets_gets_some_of_the_other_one() {
    let places = TestCluster::builder().place("eu", 1).place("us", 1);
    places.entity(Tickets::provider(WITHIN)).run(async |cluster| {
        cluster.ask::<Tickets, _>("eu-0", "fair", put(10)).await?;
        until_left(cluster, "us-0", 10, 5).await?;
        // three that are needed, and one of the other two
        let sold = cluster.ask::<Tickets, _>("us-0", "fair", sell("ulf", 8)).await?;
        assert_eq!(sold, Ok(Tally { left: 2, here: 1, sold: 8 }));
        let (sales, why) = sell_out(cluster, "us-0").await?;
        assert_eq!((sales, &*why), (2, "0 tickets are left"));
        assert_eq!(cluster.until_agreed::<Tickets>("fair").await?.state().left(), 0);
        Ok(())
    });
}

#[test]
fn no_ticket_is_sold_twice_through_a_cut_kills_and_a_restart() {
    let places = TestCluster::builder().place("eu", 2).place("us", 1);
    places.entity(Tickets::provider(WITHIN)).run(async |cluster| {
        cluster.ask::<Tickets, _>("eu-0", "fair", put(20)).await?;
        until_left(cluster, "us-0", 20, 10).await?;

        // both sell while they are cut from each other, and neither sells what the other one has
        cluster.cut_places("eu", "us")?;
        let sold = cluster.ask::<Tickets, _>("eu-0", "fair", sell("ada", 4)).await?;
        assert_eq!(sold, Ok(Tally { left: 16, here: 6, sold: 4 }));
        let (sales, why) = sell_out(cluster, "us-0").await?;
        assert!(sales == 10 && why.contains("try again later: eu: "), "{sales} {why}");

        // the node with the last six dies, and another one of its place sells them; it knows of
        // the sales of the other place, whose journal can be read during the cut
        cluster.kill("eu-0")?;
        until_left(cluster, "eu-1", 6, 6).await?;
        let (sales, why) = sell_out(cluster, "eu-1").await?;
        assert_eq!((sales, &*why), (6, "0 tickets are left"));

        cluster.kill("us-0")?;
        cluster.heal();
        cluster.restart("us-0").await?;
        cluster.restart("eu-0").await?;
        until_left(cluster, "us-0", 0, 0).await?;
        until_left(cluster, "eu-0", 0, 0).await?;
        for node in ["eu-0", "eu-1", "us-0"] {
            assert_eq!(sell_out(cluster, node).await?, (0, "0 tickets are left".to_owned()));
        }
        let agreed = cluster.until_agreed::<Tickets>("fair").await?;
        assert_eq!((agreed.state().left(), agreed.state().came_in()), (0, 20));
        Ok(())
    });
}
