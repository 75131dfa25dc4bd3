//! Commands that come to an entity before its actor runs: it takes them together.

use super::{Command, fixture, quiet, spawn};
use crate::entity::StopReason;
use crate::reply::{PendingReply, reply_channel};

/// Adds that are sent one after the other while the actor does not run.
fn adds(entity: &super::EntityHandle<super::Counter>, count: i64) -> Vec<PendingReply<i64>> {
    let add = |_| {
        let (reply_to, reply) = reply_channel();
        entity.try_tell(Command::Add(1, reply_to)).unwrap();
        reply
    };
    (0..count).map(add).collect()
}

#[tokio::test(start_paused = true)]
async fn commands_that_come_together_are_handled_in_order_and_more_than_one_step_takes() {
    let fixture = fixture(quiet()).await;
    let entity = spawn(&fixture);
    let replies = adds(&entity, 200);
    assert_eq!(entity.command_count(), 200);
    for (reply, expected) in replies.into_iter().zip(1..) {
        assert_eq!(reply.wait().await, Ok(expected));
    }
    assert_eq!(entity.ask(|to| Command::Add(1, to)).await, Ok(201));
    assert_eq!(entity.command_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stop_behind_commands_comes_after_them() {
    let mut fixture = fixture(quiet()).await;
    let entity = spawn(&fixture);
    assert_eq!(entity.ask(|to| Command::Add(1, to)).await, Ok(1));
    let replies = adds(&entity, 100);
    entity.stop();
    for (reply, expected) in replies.into_iter().zip(2..) {
        assert_eq!(reply.wait().await, Ok(expected));
    }
    assert_eq!(fixture.stopped.recv().await, Some(StopReason::Drained));
}

#[tokio::test(start_paused = true)]
async fn commands_that_store_nothing_are_answered_before_a_stop_behind_more_than_one_step_takes() {
    let mut fixture = fixture(quiet()).await;
    let entity = spawn(&fixture);
    assert_eq!(entity.ask(Command::Get).await, Ok(0));
    let gets = (0..100).map(|_| {
        let (reply_to, reply) = reply_channel();
        entity.try_tell(Command::Get(reply_to)).unwrap();
        reply
    });
    let replies: Vec<_> = gets.collect();
    entity.stop();
    for reply in replies {
        assert_eq!(reply.wait().await, Ok(0));
    }
    assert_eq!(fixture.stopped.recv().await, Some(StopReason::Drained));
}

#[tokio::test(start_paused = true)]
async fn commands_that_wait_for_an_actor_that_is_killed_are_refused_without_an_effect() {
    let mut fixture = fixture(quiet()).await;
    let entity = spawn(&fixture);
    assert_eq!(entity.ask(|to| Command::Add(1, to)).await, Ok(1));
    let replies = adds(&entity, 3);
    entity.actor.kill();
    for reply in replies {
        assert!(reply.wait().await.unwrap_err().is_without_effect());
    }
    assert!(matches!(fixture.stopped.recv().await, Some(StopReason::Failed(_))));
    assert!(entity.ask(|to| Command::Add(1, to)).await.unwrap_err().is_without_effect());
    assert_eq!(entity.command_count(), 0, "their slots are free");
}
