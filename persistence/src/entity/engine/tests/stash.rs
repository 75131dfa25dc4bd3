//! The stash: its room, its order, and the end of what commands do to each other in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};

use super::log::Command;
use super::world::{Mode, World};
use crate::entity::EntitySettings;
use crate::entity::engine::{Input, Queued, Slot};
use crate::reply::{Claim, PendingReply, ReplyError, ReplyTo, reply_channel};

/// A command with a slot of a mailbox for `max` commands.
fn tell(world: &mut World, mailbox: &Arc<AtomicUsize>, max: usize, command: Command) {
    let slot = Slot::take(mailbox, max).expect("the mailbox has room");
    world.feed("A", Input::Command(Queued { slot, ..Queued::unlimited(command) }));
}

fn stash(text: &'static str) -> (Command, PendingReply<usize>) {
    let (reply_to, reply) = reply_channel();
    (Command::Stash(vec![text], reply_to), reply)
}

fn world(stash_max: usize) -> World {
    let settings = EntitySettings { stash_max, pull_at_start: false, ..EntitySettings::default() };
    World::with(&["A"], settings)
}

#[test]
fn a_stash_as_large_as_the_mailbox_does_not_keep_out_the_command_that_opens_it() {
    let (mut world, mailbox) = (world(2), Arc::default());
    let mut replies = Vec::new();
    for text in ["1", "2"] {
        let (command, reply) = stash(text);
        tell(&mut world, &mailbox, 2, command);
        replies.push(reply);
    }
    tell(&mut world, &mailbox, 2, Command::Unstash);
    assert_eq!(replies.into_iter().map(PendingReply::now).collect::<Vec<_>>(), [Ok(2), Ok(3)]);
    assert_eq!(world.texts("A"), ["open", "1", "2"]);
    assert_eq!(mailbox.load(Ordering::Acquire), 0);
}

#[test]
fn an_entity_whose_commands_are_all_stashed_is_not_empty_and_an_unstashed_command_counts_again() {
    let (mut world, mailbox) = (world(2), Arc::default());
    let (command, reply) = stash("1");
    tell(&mut world, &mailbox, 1, command);
    assert_eq!(mailbox.load(Ordering::Acquire), 0, "the mailbox is free");
    assert_eq!(world.replica("A").engine.is_empty(), Some(false));

    world.mode = Mode::Hold;
    tell(&mut world, &mailbox, 1, Command::Unstash);
    assert_eq!(mailbox.load(Ordering::Acquire), 2, "both wait for the disk");
    world.io("A");
    assert_eq!((reply.now(), mailbox.load(Ordering::Acquire)), (Ok(2), 0));
}

#[test]
fn commands_whose_askers_gave_up_make_room_in_a_full_stash() {
    let mut world = world(2);
    let until = SystemClock.now() + Duration::from_secs(3600);
    let (claims, replies): (Vec<_>, Vec<_>) = ["1", "2"]
        .into_iter()
        .map(|text| {
            let (claim, (command, reply)) = (Claim::until(until), stash(text));
            let queued = Queued { claim: claim.clone(), ..Queued::unlimited(command) };
            world.feed("A", Input::Command(queued));
            (claim, reply)
        })
        .unzip();
    let (command, overflow) = stash("3");
    world.just("A", command);
    assert!(matches!(overflow.now(), Err(ReplyError::Overloaded(_))), "both askers wait");

    assert!(claims[0].void());
    let (command, third) = stash("3");
    world.just("A", command);
    let [first, second] = <[_; 2]>::try_from(replies).unwrap();
    assert!(matches!(first.now(), Err(ReplyError::Expired(_))));
    assert_eq!(world.replica("A").counters.commands_expired.load(Ordering::Relaxed), 1);

    world.just("A", Command::Unstash);
    assert_eq!((second.now(), third.now()), (Ok(2), Ok(3)));
}

#[test]
fn a_command_that_is_stashed_and_unstashes_the_others_stays_before_those_that_come_back() {
    let mut world = world(3);
    for text in ["1", "2"] {
        world.just("A", stash(text).0);
    }
    world.command("A", |to| Command::StashAndUnstash("3", to));
    assert_eq!(world.texts("A"), Vec::<String>::new());
    world.just("A", Command::Unstash);
    assert_eq!(world.texts("A"), ["open", "3", "1", "2"]);
}

#[test]
fn commands_that_unstash_each_other_for_ever_do_not_keep_a_kill_from_being_read() {
    let mut world = world(3);
    world.mode = Mode::Hold;
    let both = |to: ReplyTo<usize>| Command::StashAndUnstash("x", to);
    let (first, second) = (world.command("A", both), world.command("A", both));
    assert_eq!(world.replica("A").held.len(), 1, "it goes on later");
    assert!(world.io_once("A"));
    world.add("A", "meanwhile");
    assert_eq!(world.replica("A").held.len(), 1, "one message to itself is enough");

    world.feed("A", Input::Kill);
    for reply in [first, second] {
        assert!(matches!(reply.now(), Err(ReplyError::NotHere(_))));
    }
}
