//! Scenarios of reminders and reactions, each with one story.

use std::time::Duration;

use crate::form::Form;
use crate::invariants;
use crate::ledger::Command;
use crate::orders::Order;
use crate::run::settings;
use crate::scenarios::{Story, replica, story};

impl Story {
    /// Adds a line with an order at a replica through a node.
    async fn order(&mut self, index: usize, at: &str, order: Order) {
        self.lines += 1;
        let (ledger, lines) = (self.ledger(index, &replica(at)), vec![self.lines]);
        let answer = ledger.ask(|reply_to| Command::Order { lines, order, reply_to }).await;
        assert!(answer.is_ok(), "{at}: {answer:?}");
    }

    /// The replicas at which the line's reminder has fired, and how often.
    fn fired(&self, line: u64) -> Vec<(String, u64)> {
        self.cluster.user.acts.with(|log| {
            let of_line = log.fired.iter().filter_map(|((_, replica), lines)| {
                Some((replica.as_str().to_owned(), lines.get(&line)?.values().sum()))
            });
            of_line.collect()
        })
    }

    fn nothing_broken(&self) {
        invariants::acts::check(&self.cluster).expect("each act in its right");
    }
}

fn once(after: u64, at: Option<&str>) -> Order {
    let at = at.map(replica);
    Order::Set { name: "s-0".into(), after, by_wall: false, every: None, at }
}

#[test]
fn each_event_of_another_replica_has_one_reaction_over_stops_and_a_hand_off() {
    story(async {
        let form = Form::each_place(&["A", "B"]);
        let mut story = Story::begin_with(form, 2, settings(), true).await;
        for round in 0..30 {
            story.add(0, &replica("A")).await;
            story.add(2, &replica("B")).await;
            if round % 4 == 1 {
                story.ledger(0, &replica("A")).tell(Command::Stop);
                story.ledger(2, &replica("B")).tell(Command::Stop);
            }
            if round == 15 {
                let home = story.node(0).node.clone();
                home.leave().await.expect("a hand-off");
            }
            if round == 15 {
                story.cluster.crash(0);
                story.cluster.begin_start(0);
                story.until("it is back", |story| story.cluster.members[0].running.is_some()).await;
            }
        }
        story.converge().await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        story.converge().await;
        story.nothing_broken();
        invariants::reactions::check_done(&story.cluster).await.expect("a reaction to each");
        story.cluster.user.acts.with(|log| {
            for (key, lines) in &log.reacted {
                let more: Vec<_> = lines.iter().filter(|(_, count)| **count != 1).collect();
                assert!(more.is_empty(), "{key:?} has reacted again to {more:?}");
            }
            assert_eq!(log.reacted.len(), 2);
        });
    });
}

/// Both set the name during a cut, each at its own replica: the later one fires, and only there.
#[test]
fn of_two_reminders_at_one_replica_each_that_do_not_know_of_each_other_the_later_one_fires() {
    for (a, b) in [("A", "B"), ("B", "A")] {
        story(async {
            let mut story = Story::begin(&["A", "B"], 1, settings()).await;
            story.cut_places(0, 1);
            story.blind(0, true);
            story.blind(1, true);
            story.order(0, "A", once(5_000, Some(a))).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            story.order(1, "B", once(5_000, Some(b))).await;
            story.cluster.network.heal_all();
            story.blind(0, false);
            story.blind(1, false);
            story.converge().await;
            tokio::time::sleep(Duration::from_secs(20)).await;
            story.nothing_broken();
            assert_eq!(story.fired(1), []);
            assert_eq!(story.fired(2), [(b.to_owned(), 1)]);
        });
    }
}
