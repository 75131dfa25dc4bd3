//! Commands of an entity to itself, on actors: they come back through its mailbox.

use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use super::{alone, quiet};
use crate::entity::testkit::EntityTest;
use crate::entity::{
    CommandContext, Effect, EntityRuntime, EntitySettings, EventContext, EventSourced, SelfRef,
    TellError,
};
use crate::identity::ReplicationId;
use crate::reply::{ReplyError, ReplyTo};

enum Command {
    /// Persists the number, and then tells itself of the numbers below, down to one.
    Down(u32),
    /// Tells itself this many times from within the handler, and answers how many were refused.
    Flood(usize, ReplyTo<usize>),
    Me(ReplyTo<()>, mpsc::Sender<SelfRef<Steps>>),
    /// Asks for a reference to itself as to another behaviour.
    Wrong(ReplyTo<()>),
    Read(ReplyTo<Vec<u32>>),
}

struct Steps;

impl EventSourced for Steps {
    type Command = Command;
    type Event = u32;
    type State = Vec<u32>;

    fn on_command(
        &self,
        context: &CommandContext,
        steps: &Vec<u32>,
        command: Command,
    ) -> Effect<Self> {
        let me = context.self_ref::<Self>();
        assert_eq!(me.replication_id(), context.replication_id());
        match command {
            Command::Down(number) => Effect::persist(number).then_run(
                |steps: &Vec<u32>| steps.len(),
                move |_| {
                    if number > 1 {
                        me.tell(Command::Down(number - 1)).unwrap();
                    }
                },
            ),
            Command::Flood(count, reply_to) => {
                let told = (0..count).map(|_| me.tell(Command::Down(1)));
                let refused = told.filter(|told| matches!(told, Err(TellError::Full(_)))).count();
                Effect::reply(reply_to, refused)
            }
            Command::Me(reply_to, sender) => {
                sender.try_send(me).unwrap();
                Effect::reply(reply_to, ())
            }
            Command::Wrong(reply_to) => {
                drop(context.self_ref::<Other>());
                Effect::reply(reply_to, ())
            }
            Command::Read(reply_to) => Effect::reply(reply_to, steps.clone()),
        }
    }

    fn on_event(&self, _: &EventContext, steps: &mut Vec<u32>, step: &u32) {
        steps.push(*step);
    }
}

struct Other;

impl EventSourced for Other {
    type Command = Command;
    type Event = u32;
    type State = Vec<u32>;

    fn on_command(&self, context: &CommandContext, _: &Vec<u32>, _: Command) -> Effect<Self> {
        Effect::persist(*context.extension::<u32>().unwrap())
    }

    fn on_event(&self, _: &EventContext, steps: &mut Vec<u32>, step: &u32) {
        steps.push(*step);
    }
}

async fn runtime(settings: EntitySettings) -> EntityRuntime<Steps> {
    alone(|_| Steps, settings).await
}

fn id() -> ReplicationId {
    ReplicationId::parse("steps|s-1").unwrap()
}

#[test]
fn a_tell_comes_back_after_the_events_and_the_testkit_handles_it() {
    let mut steps = EntityTest::local(Steps, "steps|s-1");
    steps.tell(Command::Down(3));
    assert_eq!(steps.new_events(), [3, 2, 1]);
    steps.restart();
    assert_eq!(steps.state(), &[3, 2, 1], "recovery tells nothing again");
    assert_eq!(steps.ask(|to| Command::Flood(1001, to)), Ok(1), "`mailbox_max` is 1000");
}

#[tokio::test(start_paused = true)]
async fn a_tell_comes_back_through_the_mailbox_behind_the_commands_that_are_there() {
    let steps = runtime(quiet()).await.spawn(id()).unwrap();
    steps.try_tell(Command::Down(2)).unwrap();
    steps.try_tell(Command::Down(9)).unwrap();
    let read = async || steps.ask(Command::Read).await.unwrap();
    while read().await.len() < 2 + 9 {
        tokio::task::yield_now().await;
    }
    let all = read().await;
    assert_eq!(all[..4], [2, 9, 1, 8], "in turn with the other commands");
    assert_eq!(steps.command_count(), 0, "every place of the mailbox is free again");
}

#[tokio::test(start_paused = true)]
async fn tells_of_the_entity_itself_and_of_others_are_handled_in_the_order_they_came() {
    let steps = runtime(quiet()).await.spawn(id()).unwrap();
    let (sender, mut references) = mpsc::channel(1);
    steps.ask(|to| Command::Me(to, sender)).await.unwrap();
    let me = references.recv().await.unwrap();
    let order = [1, 0, 1, 1, 0, 0, 1, 0];
    for step in order {
        match step {
            0 => steps.try_tell(Command::Down(0)).unwrap(),
            _ => me.tell(Command::Down(step)).unwrap(),
        }
    }
    assert_eq!(steps.ask(Command::Read).await, Ok(order.to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_refuses_the_tells_of_the_entity_itself() {
    let runtime = runtime(EntitySettings { mailbox_max: 5, ..quiet() }).await;
    let steps = runtime.spawn(id()).unwrap();
    // the asker's command has one of the five places
    assert_eq!(steps.ask(|to| Command::Flood(7, to)).await, Ok(3));
    assert_eq!(runtime.counters().commands_refused.load(Ordering::Relaxed), 3);
    while steps.command_count() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(steps.ask(Command::Read).await, Ok(vec![1; 4]));
}

#[tokio::test(start_paused = true)]
async fn a_reference_of_an_earlier_start_is_refused_also_when_the_entity_runs_again() {
    let runtime = runtime(quiet()).await;
    let steps = runtime.spawn(id()).unwrap();
    let (sender, mut references) = mpsc::channel(1);
    steps.ask(|to| Command::Me(to, sender)).await.unwrap();
    let me = references.recv().await.unwrap();
    me.tell(Command::Down(1)).unwrap();
    steps.stop();
    while !steps.is_gone() {
        tokio::task::yield_now().await;
    }
    let refused = me.tell(Command::Down(5)).unwrap_err();
    assert_eq!(refused.to_string(), "the entity has stopped");
    assert!(matches!(refused.into_command(), Command::Down(5)));

    let again = runtime.spawn(id()).unwrap();
    assert!(matches!(me.clone().tell(Command::Down(5)), Err(TellError::Stopped(_))));
    assert_eq!(again.ask(Command::Read).await, Ok(vec![1]));
}

#[tokio::test(start_paused = true)]
async fn a_reference_as_to_another_behaviour_fails_the_command_only() {
    let steps = runtime(quiet()).await.spawn(id()).unwrap();
    let error = steps.ask(Command::Wrong).await.unwrap_err();
    assert_eq!(error, ReplyError::Failed("`on_command` panicked".to_owned()));
    assert_eq!(steps.ask(Command::Read).await, Ok(vec![]));
}

#[test]
fn a_handler_finds_the_last_value_of_a_type() {
    let other = EntityTest::local(Other, "other|o-1");
    let mut other = other.with_extension(1_u32).with_extension(4_u32);
    other.tell(Command::Down(0));
    assert_eq!(other.state(), &[4]);
}
