//! The handle of a running entity.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ractor::{ActorRef, MessagingErr};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::engine::{Input, Queued, Slot};
use super::message::EntityMessage;
use super::signs::{EMPTY, Signs, UNKNOWN};
use super::{EntityCounters, EventSourced, PeerHas, Writes};
use crate::event::StoredEvent;
use crate::reply::{AskFailure, Claim, ReplyError, ReplyTo, claimed_reply_channel};
use crate::store::ReminderRow;

/// The reason why a command was not taken, with the command.
pub enum TellError<C> {
    /// The mailbox is full (`mailbox_max`).
    Full(C),
    /// The entity is gone.
    Stopped(C),
}

impl<C> TellError<C> {
    /// The command, which was not handled.
    pub fn into_command(self) -> C {
        let (Self::Full(command) | Self::Stopped(command)) = self;
        command
    }
}

impl<C> fmt::Display for TellError<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the mailbox of the entity is full (`mailbox_max`)",
            Self::Stopped(_) => "the entity has stopped",
        })
    }
}

impl<C> fmt::Debug for TellError<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::Stopped(_) => "Stopped(..)",
        })
    }
}

impl<C> std::error::Error for TellError<C> {}

/// A running entity. Cheap to clone.
pub struct EntityHandle<E: EventSourced> {
    pub(super) actor: ActorRef<EntityMessage<E>>,
    pub(super) mailbox_max: usize,
    pub(super) signs: Arc<Signs>,
    pub(super) arrivals_max: usize,
    pub(super) writes: Arc<Writes>,
    pub(super) counters: Arc<EntityCounters>,
}

impl<E: EventSourced> Clone for EntityHandle<E> {
    fn clone(&self) -> Self {
        Self {
            actor: self.actor.clone(),
            mailbox_max: self.mailbox_max,
            signs: self.signs.clone(),
            arrivals_max: self.arrivals_max,
            writes: self.writes.clone(),
            counters: self.counters.clone(),
        }
    }
}

impl<E: EventSourced> EntityHandle<E> {
    /// Hands a command to the entity, in order with the others of this caller.
    ///
    /// # Errors
    /// `Full` or `Stopped`, with the command.
    pub fn try_tell(&self, command: E::Command) -> Result<(), TellError<E::Command>> {
        self.try_claimed(command, Claim::unlimited())
    }

    /// The same for a command that may become void: the entity takes `claim` when the command's
    /// turn comes.
    ///
    /// # Errors
    /// `Full` or `Stopped`, with the command.
    pub fn try_claimed(
        &self,
        command: E::Command,
        claim: Claim,
    ) -> Result<(), TellError<E::Command>> {
        let Some(slot) = Slot::take(&self.signs.taken, self.mailbox_max) else {
            EntityCounters::add(&self.counters.commands_refused, 1);
            return Err(TellError::Full(command));
        };
        let input = Input::Command(Queued { command, slot, claim });
        match self.actor.send_message(EntityMessage::Input(input)) {
            Err(MessagingErr::SendErr(EntityMessage::Input(Input::Command(queued)))) => {
                Err(TellError::Stopped(queued.command))
            }
            _ => Ok(()),
        }
    }

    /// Hands a command with a `ReplyTo` to the entity, and waits for the answer. The call has no
    /// timeout: wrap it in one. The entity has the command from the first poll on: a cancelled call
    /// leaves the command there, which is handled as if the asker waited, and its answer is
    /// dropped.
    ///
    /// # Errors
    /// See [`ReplyError`].
    pub async fn ask<R>(
        &self,
        command: impl FnOnce(ReplyTo<R>) -> E::Command,
    ) -> Result<R, ReplyError>
    where
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        let claim = Claim::open();
        let (reply_to, reply) = claimed_reply_channel(&claim);
        match self.try_claimed(command(reply_to), claim) {
            Ok(()) => reply.wait().await,
            Err(TellError::Full(_)) => {
                Err(ReplyError::Overloaded(format!("`mailbox_max` {}", self.mailbox_max)))
            }
            Err(TellError::Stopped(_)) => Err(ReplyError::NotHere("the entity is gone".into())),
        }
    }

    /// The same for a command whose answer is a value or a refusal of the application: the refusal
    /// and the lack of an answer are one error, to be matched or converted with `?`.
    ///
    /// # Errors
    /// `Refused` when the entity has refused; `NoAnswer` with the error of [`Self::ask`].
    pub async fn try_ask<T, R>(
        &self,
        command: impl FnOnce(ReplyTo<Result<T, R>>) -> E::Command,
    ) -> Result<T, AskFailure<R>>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        AskFailure::flatten(self.ask(command).await)
    }

    /// Hands events of other replicas to the entity. The events are dropped if the entity is gone,
    /// or dropped and counted if more than `arrivals_max` events would be under way to it. Returns
    /// whether the entity has them: if not, they are to be read from the journal of their replica.
    pub fn replicated(&self, events: Vec<StoredEvent>) -> bool {
        let count = events.len();
        if self.signs.arriving.fetch_add(count, Ordering::AcqRel) + count > self.arrivals_max {
            self.signs.arriving.fetch_sub(count, Ordering::AcqRel);
            EntityCounters::add(&self.counters.arrival_overflows, count);
            return false;
        }
        if self.actor.send_message(EntityMessage::Replicated(events)).is_err() {
            self.signs.arriving.fetch_sub(count, Ordering::AcqRel);
            return false;
        }
        true
    }

    /// Tells the entity which events another replica has.
    pub fn peer_has(&self, news: PeerHas) {
        self.send(Input::PeerHas(Box::new(news)));
    }

    /// Tells the entity that the row of one of its reminders is due. Returns whether the entity
    /// takes it: a full mailbox, or an entity that is gone, does not, and the row comes again. An
    /// entity that takes it removes the row when the reminder has fired, or when it is none of its
    /// own any more.
    pub fn reminder_due(&self, row: ReminderRow) -> bool {
        let Some(slot) = Slot::take(&self.signs.taken, self.mailbox_max) else { return false };
        let input = Input::ReminderDue(Box::new(row), slot);
        self.actor.send_message(EntityMessage::Input(input)).is_ok()
    }

    /// Lets the entity finish the commands that it has taken, and stops it. The host is told when
    /// the entity is gone.
    pub fn stop(&self) {
        self.send(Input::Stop);
    }

    /// Stops the entity at once, as if its process had been killed. Application code that is
    /// running ends first, and its effects are not carried out. An append that is under way may
    /// still be stored: the host is told that the entity is gone after that append has ended.
    pub fn kill(&self) {
        self.writes.close();
        self.send(Input::Kill);
    }

    /// Returns whether the entity is gone; its host was told, or is about to be.
    pub fn is_gone(&self) -> bool {
        self.signs.gone.load(Ordering::Acquire)
    }

    /// Returns whether the entity has no event and no command, so that nothing is lost when it is
    /// stopped; `None` while it is not at work.
    pub fn is_empty(&self) -> Option<bool> {
        // in this order: the entity says that it has a stash before it gives the slots back
        let count = self.command_count();
        match self.signs.is_empty.load(Ordering::Relaxed) {
            UNKNOWN => None,
            is_empty => Some(is_empty == EMPTY && count == 0),
        }
    }

    /// The number of commands that the entity has taken and not answered, without the stashed ones.
    pub fn command_count(&self) -> usize {
        self.signs.taken.load(Ordering::Acquire)
    }

    /// Sends an input, which is dropped when the entity is gone.
    fn send(&self, input: Input<E>) {
        let _ = self.actor.send_message(EntityMessage::Input(input));
    }
}

impl<E: EventSourced> fmt::Debug for EntityHandle<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntityHandle({})", self.actor.get_id())
    }
}
