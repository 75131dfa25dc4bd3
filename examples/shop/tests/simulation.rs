//! A simulation of tickets under faults: no place sells what another one has, and no answered sale
//! is void.

use std::time::Duration;

use antiphon::prelude::*;
use antiphon_shop::{Tally, Tickets, TicketsCommand};
use antiphon_testkit::{SimulatedRun, simulate};
use proptest::prelude::*;

type Run<'a> = SimulatedRun<'a, Tickets, Op, Answer>;

/// A command of a client.
#[derive(Debug, Clone)]
enum Op {
    Put(u32),
    Sell(u32),
    Get,
}

/// The answer that a client got.
#[derive(Debug, PartialEq)]
enum Answer {
    Done(Tally),
    Refused(String),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (1..12_u32).prop_map(Op::Put),
        7 => (1..7_u32).prop_map(Op::Sell),
        1 => Just(Op::Get),
    ]
}

async fn ask(tickets: EntityRef<TicketsCommand>, op: Op) -> std::result::Result<Answer, AskError> {
    let tally = match op {
        Op::Put(count) => tickets.ask(|reply_to| TicketsCommand::Put { count, reply_to }).await?,
        Op::Get => tickets.ask(|reply_to| TicketsCommand::Get { reply_to }).await?,
        Op::Sell(count) => {
            let buyer = "somebody".to_owned();
            let sell = |reply_to| TicketsCommand::Sell { buyer, count, reply_to };
            match tickets.ask(sell).await? {
                Ok(tally) => tally,
                Err(why) => return Ok(Answer::Refused(why)),
            }
        }
    };
    Ok(Answer::Done(tally))
}

/// The tickets of the commands that `of` chooses: those that were certainly done, and those that
/// may have been.
fn sums(run: &Run<'_>, entity: &str, of: fn(&Op) -> u32) -> (u64, u64) {
    let (mut certain, mut possible) = (0, 0);
    for one in run.answers_of(entity) {
        let count = u64::from(of(&one.input));
        match &one.answer {
            Ok(Answer::Done(_)) => (certain, possible) = (certain + count, possible + count),
            Ok(Answer::Refused(_)) => {}
            Err(error) if error.is_without_effect() => {}
            Err(_) => possible += count,
        }
    }
    (certain, possible)
}

fn put(op: &Op) -> u32 {
    match op {
        Op::Put(count) => *count,
        Op::Sell(_) | Op::Get => 0,
    }
}

fn sold(op: &Op) -> u32 {
    match op {
        Op::Sell(count) => *count,
        Op::Put(_) | Op::Get => 0,
    }
}

/// The tickets that came in and that were sold are those that clients were told of.
fn add_up(run: &Run<'_>) -> std::result::Result<(), String> {
    for (entity, replica, tickets) in run.states() {
        let tally = tickets.tally(replica);
        let (came_in, sold_of) = (sums(run, entity, put), sums(run, entity, sold));
        let is_within = |value: u64, (least, most): (u64, u64)| (least..=most).contains(&value);
        if !is_within(tickets.came_in(), came_in) || !is_within(tally.sold, sold_of) {
            let came = tickets.came_in();
            return Err(format!(
                "`{entity}` at `{replica}`: {came} came in, expected {came_in:?}; {tally:?}, expected {sold_of:?} sold"
            ));
        }
    }
    Ok(())
}

/// Each ticket that is left is at one place.
fn each_has_a_place(run: &Run<'_>) -> std::result::Result<(), String> {
    let states: Vec<_> = run.states().collect();
    for (entity, _, tickets) in &states {
        let of_entity = states.iter().filter(|(other, _, _)| other == entity);
        let here: u64 = of_entity.map(|(_, replica, _)| tickets.tally(replica).here).sum();
        if here != tickets.left() {
            let left = tickets.left();
            return Err(format!("`{entity}`: {left} are left, and places have {here}"));
        }
    }
    Ok(())
}

#[test]
fn no_ticket_is_sold_twice_and_no_answered_sale_is_void() {
    simulate(Tickets::provider(Duration::from_millis(500)), op(), ask)
        // a sale that waited for a gift is stored by another command: `add_up` looks for it
        .stores_events(|op, _| matches!(op, Op::Put(_)))
        .always("never more sold than came in", |tickets| {
            if tickets.left() <= tickets.came_in() {
                return Ok(());
            }
            Err(format!("{} of {} are left", tickets.left(), tickets.came_in()))
        })
        .invariant("the tickets add up", add_up)
        .invariant("each ticket has a place", each_has_a_place)
        .seeds(20)
        .check();
}
