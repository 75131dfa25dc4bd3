//! Circles of entities that wait for each other: refused, but not for a future that is over.

use super::log::Command;
use super::world::{Mode, World, replica_id};
use crate::entity::AsynchronousFailure;
use crate::entity::engine::{Action, Input, Queued};
use crate::identity::ReplicationId;
use crate::reply::{Askers, Claim, PendingReply, ReplyError, reply_channel};

/// Begins a future of A. Returns its action, and its number.
fn begin(world: &mut World) -> (Action<super::log::Log>, u64) {
    let (reply_to, reply) = reply_channel();
    drop(reply);
    world.just("A", Command::Later(reply_to));
    let action = world.replica("A").held.pop_front().unwrap();
    let Action::RunAsynchronous(_, _, (None, number)) = &action else { panic!("{action:?}") };
    let number = *number;
    (action, number)
}

/// A command for whose answer this future of A waits.
fn ask(world: &mut World, future: u64) -> PendingReply<usize> {
    let id = ReplicationId::new("log", "l-1", replica_id("A")).unwrap();
    let (reply_to, reply) = reply_channel();
    let claim = Claim::unlimited().asked_by(Some(Askers::and(None, &id, future)));
    let queued = Queued { claim, ..Queued::unlimited(Command::Read(reply_to)) };
    world.feed("A", Input::Command(queued));
    reply
}

#[test]
fn a_late_command_of_a_future_that_gave_up_is_no_circle_with_the_next_future() {
    let mut world = World::new(&["A"]);
    world.mode = Mode::Hold;
    world.io("A");
    let (first, first_number) = begin(&mut world);
    let refused = ask(&mut world, first_number).now();
    assert!(matches!(refused, Err(ReplyError::Rejected(_))), "{refused:?}");
    let Action::RunAsynchronous(generation, future, _) = first else { panic!("{first:?}") };
    drop(future);
    let failure = AsynchronousFailure::Panicked;
    world.feed("A", Input::AsynchronousDone(generation, Err(failure)));

    let (second, second_number) = begin(&mut world);
    assert!(first_number < second_number);
    let late = ask(&mut world, first_number);
    let Action::RunAsynchronous(generation, future, _) = second else { panic!("{second:?}") };
    drop(future);
    let failure = AsynchronousFailure::Panicked;
    world.feed("A", Input::AsynchronousDone(generation, Err(failure)));
    assert_eq!(late.now(), Ok(0), "it waited for its turn");
}
