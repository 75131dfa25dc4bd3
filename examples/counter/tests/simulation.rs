//! A simulation of counters under faults: copy it, and put your commands and your promises in.

use antiphon_counter::{Command, Counter};
use antiphon_testkit::simulate;
use proptest::prelude::*;

/// A command of a client.
#[derive(Debug, Clone)]
enum Op {
    Add(i64),
    Get,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![4 => (1..100_i64).prop_map(Op::Add), 1 => Just(Op::Get)]
}

impl Op {
    fn delta(&self) -> i64 {
        match self {
            Self::Add(delta) => *delta,
            Self::Get => 0,
        }
    }
}

#[test]
fn no_addition_that_was_acknowledged_is_lost_and_none_is_counted_twice() {
    simulate(Counter::provider(), op(), async |counter, op| match op {
        Op::Add(delta) => counter.ask(|reply_to| Command::Add { delta, reply_to }).await,
        Op::Get => counter.ask(|reply_to| Command::Get { reply_to }).await,
    })
    .stores_events(|op, _| matches!(op, Op::Add(_)))
    .always(
        "a counter only grows",
        |value| {
            if *value < 0 { Err(format!("it is {value}")) } else { Ok(()) }
        },
    )
    .invariant("the sum", |run| {
        for (entity, replica, value) in run.states() {
            // an addition without an answer may have taken effect or not
            let certain = run.answers_of(entity).filter(|one| one.answer.is_ok());
            let certain: i64 = certain.map(|one| one.input.delta()).sum();
            let possible: i64 = run.answers_of(entity).map(|one| one.input.delta()).sum();
            if !(certain..=possible).contains(value) {
                let range = format!("{certain} to {possible}");
                return Err(format!("`{entity}` at `{replica}` is {value}, expected {range}"));
            }
        }
        Ok(())
    })
    .seeds(50)
    .check();
}
