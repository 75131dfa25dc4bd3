//! Several replicas: deliveries, orders and convergence.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{assert_names, failure};
use crate::entity::testkit::{Did, EntityTest, ReplicasTest};
use crate::entity::{CommandContext, Effect, Effects, EventContext, EventSourced, Signal};
use crate::event::EventMeta;
use crate::identity::ReplicationId;
use crate::reply::ReplyTo;

#[derive(Debug, Serialize, Deserialize)]
enum Command {
    Add(String),
    Get(ReplyTo<Vec<String>>),
}

/// Texts, whose replicas differ in the way that the test wants.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Texts {
    /// A set: the replicas converge.
    Sorted,
    /// A list in the order of arrival.
    Arrival,
    /// A list whose order is right, but for events of three replicas that do not know each other.
    Majority,
    /// A set that a snapshot does not have.
    Unstored,
    /// A replica answers each event of another one with one of its own, once.
    Reacts,
    /// An event of another replica cannot be applied.
    Panics,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    texts: Vec<String>,
    #[serde(skip)]
    unstored: BTreeSet<String>,
}

impl EventSourced for Texts {
    type Command = Command;
    type Event = String;
    type State = State;

    fn on_command(&self, _: &CommandContext, state: &State, command: Command) -> Effect<Self> {
        match command {
            Command::Add(text) => self.persist(text),
            Command::Get(reply_to) => self.reply(reply_to, state.texts.clone()),
        }
    }

    fn on_event(&self, context: &EventContext, state: &mut State, text: &String) {
        let is_other = context.origin() != context.replica_id();
        assert!(!(*self == Self::Panics && is_other), "the test wants it");
        if *self == Self::Unstored {
            state.unstored.insert(text.clone());
            return;
        }
        state.texts.push(text.clone());
        let is_last_wrong = state.texts.len() == 3 && text == "b";
        if *self != Self::Arrival && !(*self == Self::Majority && is_last_wrong) {
            state.texts.sort();
        }
    }

    fn reacts(&self, _: &ReplicationId) -> bool {
        *self == Self::Reacts
    }

    fn on_replicated(
        &self,
        context: &CommandContext,
        _: &State,
        text: &String,
        _: &EventMeta,
    ) -> Effect<Self> {
        if text.contains("seen") {
            return self.none();
        }
        self.persist(format!("{text} seen at {}", context.replica_id()))
    }

    fn on_signal(&self, _: &CommandContext, _: &State, _: &Signal) {}
}

fn texts(of: Texts, names: &[&str]) -> ReplicasTest<Texts> {
    EntityTest::replicas(of, "texts|t-1", names.iter().copied())
}

fn add(texts: &mut ReplicasTest<Texts>, at: &str, text: &str) {
    texts.at(at).tell(Command::Add(text.to_owned()));
}

#[test]
fn an_event_arrives_where_the_test_delivers_it_and_takes_its_causes_along() {
    let mut texts = texts(Texts::Sorted, &["A", "B", "C"]);
    add(&mut texts, "A", "a");
    texts.deliver("A", "B");
    add(&mut texts, "B", "b");
    assert_eq!(texts.at("C").ask(Command::Get), Ok(vec![]));
    let early = failure(|| texts.assert_converged());
    assert_names(&early, &["`A` of `texts|t-1` has not event 1 of `B`", "`deliver_all`"]);
    texts.deliver("B", "C");
    assert_eq!(texts.at("C").ask(Command::Get), Ok(vec!["a".to_owned(), "b".to_owned()]));
    texts.deliver("C", "A");
    texts.assert_converged();
    texts.deliver("C", "A");
    assert!(texts.at("A").effects().is_empty(), "nothing is delivered twice");
}

#[test]
fn replicas_that_converge_pass_every_order_and_every_restart() {
    let mut texts = texts(Texts::Sorted, &["A", "B", "C"]);
    texts.concurrently(|texts| {
        for (at, text) in [("A", "a"), ("B", "b"), ("C", "c"), ("A", "d")] {
            add(texts, at, text);
        }
    });
    texts.at("B").restart_from_snapshot();
    texts.at("C").restart_from_events();
    texts.assert_converged();
    assert_eq!(texts.at("A").state().texts, ["a", "b", "c", "d"]);
}

#[test]
fn states_that_follow_the_order_of_arrival_fail_with_both_and_the_events() {
    let differ = failure(|| {
        texts(Texts::Arrival, &["A", "B"]).with_seed(7).concurrently(|texts| {
            add(texts, "A", "first");
            add(texts, "B", "second");
        });
    });
    let parts = [
        "the replicas of `texts|t-1` differ (seed 7)",
        "at A, after B:1",
        r#"texts: ["first", "second"]"#,
        "at B, after A:1",
        r#"texts: ["second", "first"]"#,
        r#"A:1 "first""#,
        "`on_event` must give the same state",
    ];
    assert_names(&differ, &parts);
}

#[test]
fn one_wrong_order_of_many_is_found() {
    // only a replica that gets `b` last, of three, is wrong
    let differ = failure(|| {
        texts(Texts::Majority, &["A", "B", "C", "D"]).concurrently(|texts| {
            for (at, text) in [("A", "a"), ("B", "b"), ("C", "c")] {
                add(texts, at, text);
            }
        });
    });
    assert_names(&differ, &["differ", "B:1"]);
}

#[test]
fn a_state_that_a_snapshot_does_not_bring_back_is_found() {
    let differ = failure(|| {
        texts(Texts::Unstored, &["A", "B"]).concurrently(|texts| add(texts, "A", "a"));
    });
    assert_names(&differ, &["differ", "after a restart from a snapshot", r#"unstored: {"a"}"#]);
}

#[test]
fn events_of_reactions_are_delivered_too() {
    let mut texts = texts(Texts::Reacts, &["A", "B"]);
    texts.concurrently(|texts| add(texts, "A", "a"));
    assert_eq!(texts.at("A").state().texts, ["a", "a seen at B"]);
}

#[test]
fn an_event_that_cannot_be_applied_fails_with_its_name_and_the_replica() {
    let mut texts = texts(Texts::Panics, &["A", "B"]);
    add(&mut texts, "A", "a");
    let held = failure(|| texts.deliver("A", "B"));
    assert_names(&held, &["event 1 of `A` is not applied at `texts|t-1|B`", "`on_event`"]);
    assert!(texts.at("B").effects().contains(&Did::Panicked("on_event")));
}

#[test]
fn a_replica_that_is_not_there_is_named_with_those_that_are() {
    let unknown = failure(|| drop(texts(Texts::Sorted, &["A", "B"]).at("C").effects()));
    assert_names(&unknown, &[r#"no replica "C""#, r#"["A", "B"]"#]);
    let qualified = failure(|| EntityTest::replicas(Texts::Sorted, "texts|t-1|A", ["A"]));
    assert_names(&qualified, &["expected `type|entity`", "name the replicas apart"]);
}
