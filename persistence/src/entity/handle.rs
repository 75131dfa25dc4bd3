//! The handle of a running entity.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ractor::ActorRef;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::engine::{Input, Queued, Slot};
use super::mailbox::Mailbox;
use super::message::{EntityMessage, send_input};
use super::signs::{EMPTY, UNKNOWN};
use super::{EntityCounters, EventSourced, PeerHas, Writes};
use crate::event::{Metadata, RequestId, StoredEvent};
use crate::reply::{
    AskFailure, Claim, ReplyError, ReplyTo, claimed_reply_channel, encoded_reply_channel,
};
use crate::store::ReminderRow;

/// The reason why a command was not taken, with the command.
///
/// ```
/// use antiphon_persistence::entity::TellError;
///
/// let refused = TellError::Full("reset");
/// assert_eq!(refused.to_string(), "the mailbox of the entity is full (`mailbox_max`)");
/// assert_eq!(refused.into_command(), "reset", "it can be sent again");
/// ```
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
    pub(super) mailbox: Arc<Mailbox<E::Command>>,
    pub(super) mailbox_max: usize,
    pub(super) arrivals_max: usize,
    pub(super) writes: Arc<Writes>,
    pub(super) counters: Arc<EntityCounters>,
}

impl<E: EventSourced> Clone for EntityHandle<E> {
    fn clone(&self) -> Self {
        Self {
            actor: self.actor.clone(),
            mailbox: self.mailbox.clone(),
            mailbox_max: self.mailbox_max,
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
        let Some(slot) = Slot::take(&self.mailbox.signs.taken, self.mailbox_max) else {
            EntityCounters::add(&self.counters.commands_refused, 1);
            return Err(TellError::Full(command));
        };
        let queued = Queued { command, slot, claim };
        self.put(queued).map_err(|left| TellError::Stopped(left.command))
    }

    /// The same for a caller that keeps a command which the entity does not take, with its claim,
    /// whatever the reason. The refusal is not counted.
    ///
    /// ```
    /// use antiphon_persistence::entity::{EntityHandle, EventSourced};
    /// use antiphon_persistence::reply::Claim;
    ///
    /// /// Hands the command to the first entity that takes it. Returns whether one does.
    /// fn to_any<E: EventSourced>(entities: &[EntityHandle<E>], command: E::Command) -> bool {
    ///     let mut left = (command, Claim::open());
    ///     for entity in entities {
    ///         match entity.offer(left.0, left.1) {
    ///             Ok(()) => return true,
    ///             Err(back) => left = back,
    ///         }
    ///     }
    ///     false
    /// }
    /// ```
    ///
    /// # Errors
    /// The command and its claim.
    pub fn offer(&self, command: E::Command, claim: Claim) -> Result<(), (E::Command, Claim)> {
        let Some(slot) = Slot::take(&self.mailbox.signs.taken, self.mailbox_max) else {
            return Err((command, claim));
        };
        let queued = Queued { command, slot, claim };
        self.put(queued).map_err(|left| (left.command, left.claim))
    }

    /// Puts a command into the mailbox, and tells the actor of the first one. The command comes
    /// back when the actor is gone.
    fn put(&self, queued: Queued<E::Command>) -> Result<(), Queued<E::Command>> {
        self.mailbox.put(queued, || self.actor.send_message(EntityMessage::Commands).is_ok())
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
            Err(refused) => Err(self.refusal(&refused)),
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

    /// The same as [`Self::ask`] for a request that is handled once, although the command is
    /// repeated with the same id. See `EntityRef::ask_once` for the promise and its bounds.
    ///
    /// # Errors
    /// See [`ReplyError`]; `Done` when the request was done, and its answer is not kept.
    pub async fn ask_once<R>(
        &self,
        id: &RequestId,
        command: impl FnOnce(ReplyTo<R>) -> E::Command,
    ) -> Result<R, ReplyError>
    where
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        let claim = Claim::open_with(Metadata::new().with_request(id));
        let (reply_to, reply) = encoded_reply_channel(&claim);
        match self.try_claimed(command(reply_to), claim) {
            Ok(()) => reply.wait().await,
            Err(refused) => Err(self.refusal(&refused)),
        }
    }

    /// The error for a command that was not taken.
    fn refusal(&self, refused: &TellError<E::Command>) -> ReplyError {
        match refused {
            TellError::Full(_) => {
                ReplyError::Overloaded(format!("`mailbox_max` {}", self.mailbox_max))
            }
            TellError::Stopped(_) => ReplyError::NotHere("the entity is gone".into()),
        }
    }

    /// Hands events of other replicas to the entity. The events are dropped if the entity is gone,
    /// or dropped and counted if more than `arrivals_max` events would be under way to it. Returns
    /// whether the entity has them: if not, they are to be read from the journal of their replica.
    pub fn replicated(&self, events: Vec<StoredEvent>) -> bool {
        let count = events.len();
        if self.mailbox.signs.arriving.fetch_add(count, Ordering::AcqRel) + count
            > self.arrivals_max
        {
            self.mailbox.signs.arriving.fetch_sub(count, Ordering::AcqRel);
            EntityCounters::add(&self.counters.arrival_overflows, count);
            return false;
        }
        if self.actor.send_message(EntityMessage::Replicated(events)).is_err() {
            self.mailbox.signs.arriving.fetch_sub(count, Ordering::AcqRel);
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
        let Some(slot) = Slot::take(&self.mailbox.signs.taken, self.mailbox_max) else {
            return false;
        };
        send_input(&self.actor, Input::ReminderDue(Box::new(row), slot))
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
        self.mailbox.signs.gone.load(Ordering::Acquire)
    }

    /// Returns whether the entity has no event and no command, so that nothing is lost when it is
    /// stopped; `None` while it is not at work.
    pub fn is_empty(&self) -> Option<bool> {
        // in this order: the entity says that it has a stash before it gives the slots back
        let count = self.command_count();
        match self.mailbox.signs.is_empty.load(Ordering::Relaxed) {
            UNKNOWN => None,
            is_empty => Some(is_empty == EMPTY && count == 0),
        }
    }

    /// The number of commands that the entity has taken and not answered, without the stashed ones.
    pub fn command_count(&self) -> usize {
        self.mailbox.signs.taken.load(Ordering::Acquire)
    }

    /// Sends an input, which is dropped when the entity is gone.
    fn send(&self, input: Input<E>) {
        send_input(&self.actor, input);
    }
}

impl<E: EventSourced> fmt::Debug for EntityHandle<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntityHandle({})", self.actor.get_id())
    }
}
