//! The commands on their way to an entity's actor.
//!
//! A message wakes the actor, and costs more than the handling of a small command. So the commands
//! wait beside the actor's messages, and one message stands for all of them that have come until
//! the actor takes it: under load, one wake serves many commands.
//!
//! Invariant: while commands wait, a message of this mailbox is under way to the actor, or the
//! actor is gone, and its [`Receiving`] refuses them. The message is sent under the mailbox's lock:
//! no sender is between the two. So a command may be handled before a message of another sender
//! that came first; and never after a later stop, before which the actor takes all that wait.

use std::sync::Arc;

use parking_lot::Mutex;

use super::engine::Queued;
use super::signs::Signs;
use crate::reply::ReplyError;

/// Most commands that the actor takes at once: their answers are let out together.
const TAKEN_MAX: usize = 64;

/// The commands on their way to an entity's actor; each has a slot, so they are bounded by
/// `mailbox_max`.
#[derive(Debug)]
pub(super) struct Mailbox<C> {
    waiting: Mutex<Waiting<C>>,
    /// The facts beside the commands.
    pub(super) signs: Signs,
}

#[derive(Debug)]
struct Waiting<C> {
    commands: Vec<Queued<C>>,
    /// The number of commands that were taken last: as many may come next. An idle entity keeps no
    /// room for them.
    last: usize,
    is_closed: bool,
}

impl<C> Default for Mailbox<C> {
    fn default() -> Self {
        let waiting = Waiting { commands: Vec::new(), last: 0, is_closed: false };
        Self { waiting: Mutex::new(waiting), signs: Signs::default() }
    }
}

impl<C> Mailbox<C> {
    /// Puts a command behind the others. The first one is told to the actor by `tell`, which never
    /// waits, and returns whether the actor is there. The command comes back when it is gone.
    pub(super) fn put(
        &self,
        queued: Queued<C>,
        tell: impl FnOnce() -> bool,
    ) -> Result<(), Queued<C>> {
        let mut waiting = self.waiting.lock();
        if waiting.is_closed {
            return Err(queued);
        }
        if waiting.commands.is_empty() {
            // under the lock: a sender that is held up here would let the messages of those behind
            // it, a stop for one, overtake its command
            if !tell() {
                return Err(queued);
            }
            let expected = waiting.last.clamp(1, TAKEN_MAX);
            waiting.commands.reserve_exact(expected);
        }
        waiting.commands.push(queued);
        Ok(())
    }

    /// Takes the commands that are next. Returns also whether others wait behind them.
    pub(super) fn take(&self) -> (Vec<Queued<C>>, bool) {
        let mut waiting = self.waiting.lock();
        let mut taken = std::mem::take(&mut waiting.commands);
        waiting.last = taken.len();
        if taken.len() > TAKEN_MAX {
            waiting.commands = taken.split_off(TAKEN_MAX);
        }
        (taken, !waiting.commands.is_empty())
    }

    /// Takes all commands: a stop comes next.
    fn take_all(&self) -> Vec<Queued<C>> {
        std::mem::take(&mut self.waiting.lock().commands)
    }
}

/// The actor's end of its mailbox. When it is dropped, no command comes any more, and those that
/// wait are refused.
#[derive(Debug)]
pub(super) struct Receiving<C>(Arc<Mailbox<C>>);

impl<C> Receiving<C> {
    pub(super) fn new(mailbox: Arc<Mailbox<C>>) -> Self {
        Self(mailbox)
    }

    /// See [`Mailbox::take`].
    pub(super) fn take(&self) -> (Vec<Queued<C>>, bool) {
        self.0.take()
    }

    /// Takes all commands that wait: those that came before a stop.
    pub(super) fn take_all(&self) -> Vec<Queued<C>> {
        self.0.take_all()
    }

    /// The facts that the handles read.
    pub(super) fn signs(&self) -> &Signs {
        &self.0.signs
    }

    /// The end of the senders.
    pub(super) fn sending(&self) -> Arc<Mailbox<C>> {
        self.0.clone()
    }
}

impl<C> Drop for Receiving<C> {
    fn drop(&mut self) {
        let left = {
            let mut waiting = self.0.waiting.lock();
            waiting.is_closed = true;
            std::mem::take(&mut waiting.commands)
        };
        for queued in left {
            queued.refuse(ReplyError::NotHere("the entity is gone".to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::{ReplyTo, reply_channel};

    /// Puts a command. Returns whether the actor was told.
    fn put(mailbox: &Mailbox<u32>, command: u32) -> bool {
        let mut is_told = false;
        let tell = || {
            is_told = true;
            true
        };
        mailbox.put(Queued::unlimited(command), tell).expect("it is open");
        is_told
    }

    fn commands(taken: Vec<Queued<u32>>) -> Vec<u32> {
        taken.into_iter().map(|queued| queued.command).collect()
    }

    #[test]
    fn the_actor_is_told_once_of_all_commands_that_come_before_it_takes_them() {
        let mailbox = Mailbox::default();
        assert_eq!([1, 2, 3].map(|number| put(&mailbox, number)), [true, false, false]);
        let (taken, has_more) = mailbox.take();
        assert_eq!((commands(taken), has_more), (vec![1, 2, 3], false));
        assert!(put(&mailbox, 4));
    }

    #[test]
    fn the_actor_takes_a_bounded_number_at_once_and_is_told_of_the_others() {
        let mailbox = Mailbox::default();
        let all: Vec<u32> = (0..100).collect();
        for number in &all {
            put(&mailbox, *number);
        }
        let (first, has_more) = mailbox.take();
        assert!(has_more);
        assert!(!put(&mailbox, 100), "the actor tells itself");
        let (second, has_more) = mailbox.take();
        assert!(!has_more);
        assert_eq!(first.len(), TAKEN_MAX);
        assert_eq!([commands(first), commands(second)].concat(), (0..=100).collect::<Vec<_>>());
    }

    #[test]
    fn no_other_sender_comes_between_a_command_and_its_message() {
        let mailbox = Mailbox::default();
        let tell = || {
            assert!(mailbox.waiting.is_locked(), "a sender behind this one waits");
            true
        };
        assert!(mailbox.put(Queued::unlimited(1), tell).is_ok());
    }

    #[test]
    fn a_command_comes_back_when_the_actor_cannot_be_told() {
        let mailbox = Mailbox::default();
        assert_eq!(mailbox.put(Queued::unlimited(1), || false).unwrap_err().command, 1);
        assert!(mailbox.take().0.is_empty());
    }

    #[test]
    fn commands_that_wait_for_an_actor_that_ends_are_refused_and_later_ones_come_back() {
        let mailbox = Arc::<Mailbox<ReplyTo<u32>>>::default();
        let receiving = Receiving::new(mailbox.clone());
        let (reply_to, reply) = reply_channel();
        assert!(mailbox.put(Queued::unlimited(reply_to), || true).is_ok());
        drop(receiving);
        assert!(reply.now().unwrap_err().is_without_effect());
        let (reply_to, _reply) = reply_channel();
        assert!(mailbox.put(Queued::unlimited(reply_to), || panic!("it is gone")).is_err());
    }
}
