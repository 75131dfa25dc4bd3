//! The state before the first event: made from the id, at each start, under the guard.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::{Host, open_writer, parts, quiet};
use crate::entity::testkit::{self, EntityTest};
use crate::entity::{
    CommandContext, Effect, EntityRuntime, EventContext, EventSourced, StopReason,
};
use crate::identity::{ReplicaId, ReplicationId};
use crate::memory::MemoryStores;
use crate::reply::ReplyTo;

/// Letters, which begin with the entity's id. An entity named `bad` has no state.
struct Letters;

impl EventSourced for Letters {
    type Command = (String, ReplyTo<String>);
    type Event = String;
    type State = String;

    fn on_command(
        &self,
        _: &CommandContext,
        _: &String,
        (more, reply_to): Self::Command,
    ) -> Effect<Self> {
        Effect::persist(more).then_reply(reply_to, Clone::clone)
    }

    fn on_event(&self, _: &EventContext, letters: &mut String, more: &String) {
        letters.push_str(more);
    }

    fn initial_state(&self, id: &ReplicationId) -> String {
        assert_ne!(&**id.entity_id(), "bad", "the test wants it");
        format!("{}:", id.entity_id())
    }
}

fn more(text: &str) -> impl FnOnce(ReplyTo<String>) -> (String, ReplyTo<String>) {
    let text = text.to_owned();
    move |reply_to| (text, reply_to)
}

#[test]
fn the_first_state_comes_from_the_id_at_each_start() {
    let mut entity = EntityTest::new(Letters, "letters|l-1");
    assert_eq!(entity.state(), "l-1:");
    assert_eq!(entity.ask(more("a")), Ok("l-1:a".to_owned()));
    entity.restart();
    assert_eq!(entity.ask(more("b")), Ok("l-1:ab".to_owned()), "and before the replayed events");
    let mut other = EntityTest::new(Letters, "letters|l-2");
    assert_eq!(other.state(), "l-2:");
}

struct Picky;

impl EventSourced for Picky {
    type Command = ();
    type Event = ();
    type State = u8;

    fn on_command(&self, _: &CommandContext, _: &u8, (): ()) -> Effect<Self> {
        Effect::none()
    }

    fn on_event(&self, _: &EventContext, _: &mut u8, (): &()) {}

    fn initial_state(&self, id: &ReplicationId) -> u8 {
        id.entity_id().parse().expect("an id that is a number")
    }
}

#[test]
fn a_check_of_stored_values_names_a_first_state_that_cannot_be_made() {
    assert_eq!(testkit::check_stored(&Letters), Ok(()));
    let problem = testkit::check_stored(&Picky).unwrap_err();
    assert!(problem.contains("`initial_state` panicked for `example|example"), "{problem}");
}

#[tokio::test(start_paused = true)]
async fn an_entity_whose_first_state_cannot_be_made_does_not_start_and_says_so() {
    let stores = MemoryStores::new().stores();
    let writer = open_writer(&stores).await;
    let (sender, mut stopped) = mpsc::channel(10);
    let host = Host { stopped: sender, published: Default::default(), live: true.into() };
    let parts = parts(&stores, writer, Arc::new(host));
    let replicas = [ReplicaId::empty()];
    let runtime = EntityRuntime::new(replicas, |_: &ReplicationId| Letters, quiet(), parts);
    let runtime = runtime.unwrap();
    let bad = runtime.spawn(ReplicationId::parse("letters|bad").unwrap()).unwrap();
    let error = bad.ask(more("a")).await.unwrap_err();
    assert!(error.is_without_effect() && error.to_string().contains("`initial_state`"), "{error}");
    let Some(StopReason::Failed(why)) = stopped.recv().await else { panic!("a failure") };
    assert!(why.contains("starting `letters|bad") && why.contains("`initial_state`"), "{why}");
    assert_eq!(runtime.counters().handler_panics.load(Ordering::Relaxed), 1);

    let good = runtime.spawn(ReplicationId::parse("letters|good").unwrap()).unwrap();
    assert_eq!(good.ask(more("a")).await, Ok("good:a".to_owned()));
}
