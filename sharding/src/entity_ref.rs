//! The application's reference to one replica of an entity, wherever that replica lives.

mod encoded;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::bounds::YEAR;
use antiphon_persistence::entity::Awaiting;
use antiphon_persistence::event::Metadata;
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::reply::{AskFailure, Claim, ReplyTo, claimed_reply_channel};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::AskError;

/// Takes commands for entities of one type.
pub(crate) trait CommandPort<C>: Send + Sync {
    /// Index of the shard that takes the commands of an entity. It never changes. `None`: no such
    /// replica.
    fn index(&self, replica: &ReplicaId, entity: &str) -> Option<usize>;

    /// Takes a command at the time `now`. Each holder of the command asks `claim` before it acts
    /// on the command.
    fn tell(&self, now: Instant, index: usize, entity: Arc<str>, command: C, claim: Claim);

    /// The monotonic time of the node.
    fn now(&self) -> Instant;
}

/// A reference to one replica of an entity, on this node or another. Cheap to clone. It stays valid
/// when the entity moves.
///
/// ```
/// # use antiphon_persistence::reply::ReplyTo;
/// use antiphon_base::Result;
/// use antiphon_sharding::EntityRef;
///
/// # #[derive(Debug, serde::Serialize, serde::Deserialize)]
/// # enum Command { Reset, Get { reply_to: ReplyTo<i64> } }
/// async fn reset(counter: &EntityRef<Command>) -> Result<i64> {
///     counter.tell(Command::Reset);
///     // handled after `Reset`, if the shard does not move meanwhile
///     Ok(counter.ask(|reply_to| Command::Get { reply_to }).await?)
/// }
/// ```
pub struct EntityRef<C> {
    id: ReplicationId,
    port: Arc<dyn CommandPort<C>>,
    index: usize,
    ask_timeout: Duration,
    metadata: Metadata,
}

impl<C> Clone for EntityRef<C> {
    fn clone(&self) -> Self {
        Self {
            id: self.id.clone(),
            port: self.port.clone(),
            index: self.index,
            ask_timeout: self.ask_timeout,
            metadata: self.metadata.clone(),
        }
    }
}

impl<C: Send + 'static> EntityRef<C> {
    pub(crate) fn new(
        id: ReplicationId,
        port: Arc<dyn CommandPort<C>>,
        ask_timeout: Duration,
    ) -> Self {
        let index = port.index(id.replica_id(), id.entity_id());
        let index = index.expect("the replica was checked by the caller");
        Self { id, port, index, ask_timeout, metadata: Metadata::new() }
    }

    /// The entity type, entity id and replica id.
    pub fn replication_id(&self) -> &ReplicationId {
        &self.id
    }

    /// The same reference with another time limit for [`Self::ask`].
    #[must_use]
    pub fn with_ask_timeout(mut self, timeout: Duration) -> Self {
        self.ask_timeout = timeout;
        self
    }

    /// The same reference, whose commands have this metadata: the handler reads it
    /// ([`metadata`](antiphon_persistence::entity::CommandContext::metadata)), and it is stored
    /// with each event of the command, at every replica. It replaces the metadata that the
    /// reference had.
    ///
    /// A node of a version without metadata refuses such commands: an asker gets `Rejected`, and a
    /// command without an asker is dropped and counted there.
    ///
    /// ```
    /// # use antiphon_sharding::EntityRef;
    /// use antiphon_base::Result;
    /// use antiphon_persistence::event::Metadata;
    ///
    /// # enum Command { Reset }
    /// fn reset(counter: &EntityRef<Command>, traceparent: &str) -> Result<()> {
    ///     let metadata = Metadata::new().with("traceparent", traceparent)?;
    ///     counter.clone().with_metadata(metadata).tell(Command::Reset);
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Sends a command, at most once, and does not say whether it arrived:
    /// [`Self::tell_acknowledged`] does. Commands of one sender to one entity arrive in order while
    /// the home of the shard does not change.
    ///
    /// ```
    /// # use antiphon_sharding::EntityRef;
    /// # enum Command { Reset }
    /// fn reset_all(counters: &[EntityRef<Command>]) {
    ///     counters.iter().for_each(|counter| counter.tell(Command::Reset));
    /// }
    /// ```
    pub fn tell(&self, command: C) {
        let claim = Claim::unlimited_with(self.metadata.clone());
        let entity = self.id.entity_id().clone();
        self.port.tell(self.port.now(), self.index, entity, command, claim);
    }

    /// Sends a command with a place for the answer, and waits for the answer, at most
    /// `ask_timeout`. A command that was not handed to the entity or to another node by then is
    /// void: it is never handled, and the error is `Expired`.
    ///
    /// A cancelled call gives up the answer; the command goes on, and may take effect.
    ///
    /// ```
    /// # use antiphon_persistence::reply::ReplyTo;
    /// use std::time::Duration;
    ///
    /// use antiphon_sharding::{AskError, EntityRef};
    ///
    /// # #[derive(Debug, serde::Serialize, serde::Deserialize)]
    /// # enum Command { Get { reply_to: ReplyTo<i64> } }
    /// async fn read_soon(counter: &EntityRef<Command>) -> Result<i64, AskError> {
    ///     let hasty = counter.clone().with_ask_timeout(Duration::from_millis(100));
    ///     hasty.ask(|reply_to| Command::Get { reply_to }).await
    /// }
    /// ```
    ///
    /// # Errors
    /// See [`AskError`]. [`AskError::is_without_effect`] tells whether the command can be sent
    /// again safely.
    pub async fn ask<R>(&self, command: impl FnOnce(ReplyTo<R>) -> C) -> Result<R, AskError>
    where
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        let (now, metadata) = (self.port.now(), self.metadata.clone());
        let awaiting = Awaiting::the_answer_of(&self.id);
        let claim = Claim::lasting_with(now, self.ask_timeout, metadata);
        let claim = claim.asked_by(awaiting.askers());
        let (reply_to, reply) = claimed_reply_channel(&claim);
        let entity = self.id.entity_id().clone();
        self.port.tell(now, self.index, entity, command(reply_to), claim.clone());
        let answer = self.wait(now, &claim, reply.wait()).await;
        drop(awaiting);
        answer
    }

    /// The same for a command whose answer is a value or a refusal of the application. The refusal
    /// and the lack of an answer are one error: match it, or convert it with `?`.
    ///
    /// ```
    /// # use antiphon_persistence::reply::ReplyTo;
    /// use antiphon_sharding::{AskFailure, EntityRef};
    ///
    /// #[derive(Debug, serde::Serialize, serde::Deserialize)]
    /// struct SoldOut { left: u32 }
    /// # impl std::fmt::Display for SoldOut {
    /// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    /// #         f.write_str("sold out")
    /// #     }
    /// # }
    /// # impl std::error::Error for SoldOut {}
    /// #[derive(Debug, serde::Serialize, serde::Deserialize)]
    /// enum Command { Take { pieces: u32, reply_to: ReplyTo<Result<u32, SoldOut>> } }
    ///
    /// async fn take(stock: &EntityRef<Command>) -> antiphon_base::Result<u32> {
    ///     let take = |pieces| move |reply_to| Command::Take { pieces, reply_to };
    ///     match stock.try_ask(take(10)).await {
    ///         Err(AskFailure::Refused(SoldOut { left })) => Ok(stock.try_ask(take(left)).await?),
    ///         taken => Ok(taken?),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// `Refused` when the entity has refused; `NoAnswer` with the error of [`Self::ask`].
    pub async fn try_ask<T, R>(
        &self,
        command: impl FnOnce(ReplyTo<Result<T, R>>) -> C,
    ) -> Result<T, AskFailure<R>>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        AskFailure::flatten(self.ask(command).await)
    }

    /// Sends a command, at most once, and waits until the entity's handler has taken it, at most
    /// `ask_timeout`. Says nothing of the outcome of the command: for that, the command needs a
    /// `ReplyTo`, and [`Self::ask`]. Over a link the notice comes with the answers of the command,
    /// if it has places for them.
    ///
    /// A cancelled call gives up the notice; the command goes on, and may take effect.
    ///
    /// ```
    /// # use antiphon_sharding::EntityRef;
    /// use antiphon_sharding::AskError;
    ///
    /// # enum Command { Reset }
    /// async fn reset(counter: &EntityRef<Command>) -> bool {
    ///     match counter.tell_acknowledged(Command::Reset).await {
    ///         Ok(()) => true,
    ///         // a full mailbox, no home, no room: it was not handled, and never will be
    ///         Err(refused) if refused.is_without_effect() => false,
    ///         Err(unknown) => panic!("it may have been handled: {unknown}"),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// The reason why the handler did not take the command, as [`Self::ask`] has it: `Overloaded`
    /// when a mailbox or another bound is full, `NotHere`, `Unavailable` and so on. `Expired` when
    /// nobody took it in time; `Timeout` and `Unreachable` when it is not known.
    pub async fn tell_acknowledged(&self, command: C) -> Result<(), AskError> {
        let (sender, receiver) = oneshot::channel();
        // a sender that has given up needs no notice
        let notice = Box::new(move |taken| drop(sender.send(taken)));
        let (now, metadata) = (self.port.now(), self.metadata.clone());
        let claim = Claim::noticed_with(now, Some(self.ask_timeout), notice, metadata);
        let entity = self.id.entity_id().clone();
        self.port.tell(now, self.index, entity, command, claim.clone());
        let told = async { receiver.await.unwrap_or(Err(AskError::NoReply)) };
        let _awaiting = Awaiting::the_answer_of(&self.id);
        self.wait(now, &claim, told).await
    }

    /// Waits for an answer about the command with this claim, at most `ask_timeout` from `begin`.
    async fn wait<R>(
        &self,
        begin: Instant,
        claim: &Claim,
        answer: impl Future<Output = Result<R, AskError>>,
    ) -> Result<R, AskError> {
        let deadline = begin.checked_add(self.ask_timeout).unwrap_or(begin + YEAR);
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(answer) => answer,
            Err(_) if claim.void() => Err(AskError::Expired(format!(
                "nobody took the command within {:?} (`ask_timeout`)",
                self.ask_timeout
            ))),
            Err(_) => Err(AskError::Timeout),
        }
    }
}

impl<C> fmt::Debug for EntityRef<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntityRef({})", self.id)
    }
}
