//! The application's reference to one replica of an entity, wherever that replica lives.

mod encoded;
mod options;
mod time_limit;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::bounds::YEAR;
use antiphon_persistence::entity::Awaiting;
use antiphon_persistence::event::{Metadata, RequestId};
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::reply::{
    AskFailure, Claim, ReplyTo, Session, claimed_reply_channel, encoded_reply_channel,
    refuse_claimed,
};
use antiphon_persistence::version::SessionToken;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::options::Options;
use crate::AskError;

/// Takes commands for entities of one type.
pub(crate) trait CommandPort<C>: Send + Sync {
    /// Index of the shard that takes the commands of an entity. It never changes. `None`: no such
    /// replica.
    fn index(&self, replica: &ReplicaId, entity: &str) -> Option<usize>;

    /// Takes a command at the time `now`. Each holder of the command asks `claim` before it acts
    /// on the command.
    fn tell(&self, now: Instant, index: usize, entity: &Arc<str>, command: C, claim: Claim);

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
    options: Options,
}

impl<C> Clone for EntityRef<C> {
    fn clone(&self) -> Self {
        Self {
            id: self.id.clone(),
            port: self.port.clone(),
            index: self.index,
            options: self.options.clone(),
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
        Self { id, port, index, options: Options::new(ask_timeout) }
    }

    /// The entity type, entity id and replica id.
    pub fn replication_id(&self) -> &ReplicationId {
        &self.id
    }

    /// The same reference with another time limit for [`Self::ask`].
    #[must_use]
    pub fn with_ask_timeout(mut self, timeout: Duration) -> Self {
        self.options.ask_timeout = timeout;
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
    ///
    /// The entries of Antiphon, in the metadata of a command or an event, are not handed on. The
    /// [request id](Self::with_request_id) stays that of the reference.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        let request = self.options.metadata.request_id();
        self.options.metadata = metadata.without_reserved();
        match request {
            Some(id) => self.with_request_id(&id),
            None => self,
        }
    }

    /// The same reference for **one** request: its commands are repetitions of each other, and the
    /// first of them that stores events is the only one. [`Self::ask_once`] does this for one call;
    /// this form is for a command that is passed on to another entity, which decides it.
    ///
    /// ```
    /// # use antiphon_persistence::reply::ReplyTo;
    /// # use antiphon_sharding::EntityRef;
    /// use antiphon_persistence::entity::CommandContext;
    ///
    /// # enum Command { CheckOut { reply_to: ReplyTo<u64> } }
    /// fn pass_on(context: &CommandContext, home: EntityRef<Command>, command: Command) {
    ///     match context.request_id() {
    ///         Some(id) => home.with_request_id(&id).tell(command),
    ///         None => home.tell(command),
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn with_request_id(mut self, id: &RequestId) -> Self {
        self.options.metadata = self.options.metadata.with_request(id);
        self
    }

    /// The same reference, whose commands are handled by a replica that has the events of the
    /// token: a session reads its own writes, at whichever replica. A command waits for them within
    /// its `ask_timeout`, also one without an answer. A second token adds its events.
    ///
    /// An ask whose events do not come gets [`AskError::Behind`], which names the missing events; a
    /// token of another entity is `Rejected`. `Overloaded`: `behind_max` commands of the entity
    /// wait so already. See `docs/sessions.md`.
    ///
    /// ```
    /// # use antiphon_persistence::reply::ReplyTo;
    /// use antiphon_sharding::{AskError, EntityRef};
    ///
    /// # #[derive(Debug, serde::Serialize, serde::Deserialize)]
    /// # enum Command { Add { reply_to: ReplyTo<i64> }, Get { reply_to: ReplyTo<i64> } }
    /// async fn add_here_and_read_there(
    ///     here: &EntityRef<Command>,
    ///     there: &EntityRef<Command>,
    /// ) -> Result<i64, AskError> {
    ///     let add = |reply_to| Command::Add { reply_to };
    ///     let (sum, token) = here.ask_with_version(add).await?;
    ///     match there.after(&token).ask(|reply_to| Command::Get { reply_to }).await {
    ///         // the other place is cut off: the answer from here is as new
    ///         Err(AskError::Behind(_)) => Ok(sum),
    ///         answer => answer,
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn after(&self, token: &SessionToken) -> Self {
        let mut after = self.clone();
        after.options.add_token(&self.id, token);
        after
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
        let now = self.port.now();
        let session = match self.options.session(&self.id) {
            Ok(session) => session.map(Arc::new),
            Err(error) => {
                tracing::warn!(id = %self.id, %error, "a command without an asker is dropped");
                return refuse_claimed(command, &Claim::unlimited(), error);
            }
        };
        let claim = self.options.tell_claim(now, session);
        self.port.tell(now, self.index, self.id.entity_id(), command, claim);
    }

    /// Sends a command with a place for the answer, and waits for the answer, at most
    /// `ask_timeout`. A command that was not handed to the entity or to another node by then is
    /// void: it is never handled, and the error is `Expired`.
    ///
    /// A cancelled call gives up the answer; the command goes on, and may take effect. One that
    /// still waits at this node for the events of [`Self::after`] is void.
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
        let session = self.options.session(&self.id)?;
        self.ask_in(session.map(Arc::new), command).await
    }

    /// The same as [`Self::ask`]; returns the answer with the token of the events that it could
    /// have seen, and of those of [`Self::after`]. An ask at another replica with
    /// [`after`](Self::after) that token sees at least as much.
    ///
    /// The answer must be a visible part of an effect (`then_reply`, `then_run`,
    /// `then_asynchronous`): a handler that answers by hand gives a token without the events of its
    /// own command.
    ///
    /// # Errors
    /// As for [`Self::ask`].
    pub async fn ask_with_version<R>(
        &self,
        command: impl FnOnce(ReplyTo<R>) -> C,
    ) -> Result<(R, SessionToken), AskError>
    where
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        let session = Arc::new(self.options.session_with_version(&self.id)?);
        let answer = self.ask_in(Some(session.clone()), command).await?;
        Ok((answer, session.token()))
    }

    async fn ask_in<R>(
        &self,
        session: Option<Arc<Session>>,
        command: impl FnOnce(ReplyTo<R>) -> C,
    ) -> Result<R, AskError>
    where
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        let now = self.port.now();
        let awaiting = Awaiting::the_answer_of(&self.id);
        let claim = self.options.claim(now, session).asked_by(awaiting.askers());
        if claim.metadata().has_request() {
            // the future of the many asks without an id stays small
            return Box::pin(self.ask_again(now, claim, command)).await;
        }
        let (reply_to, reply) = claimed_reply_channel(&claim);
        let command = command(reply_to);
        self.port.tell(now, self.index, self.id.entity_id(), command, claim.clone());
        let answer = self.wait(now, &claim, reply.wait()).await;
        drop(awaiting);
        answer
    }

    /// Asks with a request id; the answer is encoded.
    async fn ask_again<R>(
        &self,
        now: Instant,
        claim: Claim,
        command: impl FnOnce(ReplyTo<R>) -> C,
    ) -> Result<R, AskError>
    where
        R: DeserializeOwned,
    {
        let (reply_to, reply) = encoded_reply_channel(&claim);
        let command = command(reply_to);
        self.port.tell(now, self.index, self.id.entity_id(), command, claim.clone());
        self.wait(now, &claim, reply.wait()).await
    }

    /// Sends a command that is done once, although it is sent again: the same as [`Self::ask`] with
    /// a request id, which the client chooses once and sends with each repetition of the command.
    ///
    /// The id is stored with the events of the command. A repetition, also after a lost answer, a
    /// fail-over or a passivation, and at another replica once the events are there, stores nothing
    /// and gets the first one's answer. A repetition that arrives while the first command is still
    /// being handled waits for its answer. The bounds:
    /// - a command that stored no event (a read, a refusal) is not remembered: its repetition is
    ///   handled anew;
    /// - the last `requests_max` requests of the entity are remembered, for `requests_age`;
    /// - an answer of more than `request_answer_bytes_max` bytes is not kept: a repetition gets
    ///   [`AskError::Done`];
    /// - a request that is sent to two replicas before the events of the first have reached the
    ///   second is handled at both: [`EventContext::done_before`] shows it to the state.
    ///
    /// An error without effect speaks of this attempt alone, and not of those before it. The answer
    /// is that of `then_reply`; one that a side effect gives by hand is not kept.
    ///
    /// [`EventContext::done_before`]: antiphon_persistence::entity::EventContext::done_before
    ///
    /// ```
    /// # use antiphon_persistence::reply::ReplyTo;
    /// use antiphon_persistence::event::RequestId;
    /// use antiphon_sharding::{AskError, EntityRef};
    ///
    /// # #[derive(Debug, serde::Serialize, serde::Deserialize)]
    /// # enum Command { CheckOut { reply_to: ReplyTo<u64> } }
    /// async fn check_out(cart: &EntityRef<Command>, id: &RequestId) -> Result<u64, AskError> {
    ///     let attempt = || cart.ask_once(id, |reply_to| Command::CheckOut { reply_to });
    ///     match attempt().await {
    ///         // nobody knows whether it was done: it can be sent again safely
    ///         Err(AskError::Timeout | AskError::Unreachable(_)) => attempt().await,
    ///         answer => answer,
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// As for [`Self::ask`]; `Done` when the request was done, and its answer is not kept;
    /// `Rejected` when `requests_max` is zero; `Overloaded`, without effect, while the entity
    /// remembers `requests_max` requests that are younger than `requests_kept_min`.
    pub async fn ask_once<R>(
        &self,
        id: &RequestId,
        command: impl FnOnce(ReplyTo<R>) -> C,
    ) -> Result<R, AskError>
    where
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        self.clone().with_request_id(id).ask(command).await
    }

    /// The same as [`Self::ask_once`] for a command whose answer is a value or a refusal of the
    /// application. A refusal that comes with an event is remembered too.
    ///
    /// # Errors
    /// `Refused` when the entity has refused; `NoAnswer` with the error of [`Self::ask_once`].
    pub async fn try_ask_once<T, R>(
        &self,
        id: &RequestId,
        command: impl FnOnce(ReplyTo<Result<T, R>>) -> C,
    ) -> Result<T, AskFailure<R>>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        AskFailure::flatten(self.ask_once(id, command).await)
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
        let (now, session) = (self.port.now(), self.options.session(&self.id)?);
        let awaiting = Awaiting::the_answer_of(&self.id);
        let claim = self.options.noticed_claim(now, notice, session.map(Arc::new));
        let claim = claim.asked_by(awaiting.askers());
        self.port.tell(now, self.index, self.id.entity_id(), command, claim.clone());
        let told = async { receiver.await.unwrap_or(Err(AskError::NoReply)) };
        let told = self.wait(now, &claim, told).await;
        drop(awaiting);
        told
    }

    /// Waits for an answer about the command with this claim, at most `ask_timeout` from `begin`.
    async fn wait<R>(
        &self,
        begin: Instant,
        claim: &Claim,
        answer: impl Future<Output = Result<R, AskError>>,
    ) -> Result<R, AskError> {
        let _gone = WhenGone(claim);
        let deadline = begin.checked_add(self.options.ask_timeout).unwrap_or(begin + YEAR);
        match time_limit::until(deadline, answer).await {
            Some(answer) => answer,
            None if claim.void() => Err(AskError::Expired(format!(
                "nobody took the command within {:?} (`ask_timeout`)",
                self.options.ask_timeout
            ))),
            None => Err(AskError::Timeout),
        }
    }
}

/// Frees the place of a command that waits for events, when nobody waits for its answer any more.
struct WhenGone<'a>(&'a Claim);

impl Drop for WhenGone<'_> {
    fn drop(&mut self) {
        self.0.leave_session();
    }
}

impl<C> fmt::Debug for EntityRef<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntityRef({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use antiphon_base::time::{Clock, SystemClock};
    use parking_lot::Mutex;

    use super::*;

    /// Keeps the metadata of the commands.
    #[derive(Default)]
    struct Port(Mutex<Vec<Metadata>>);

    impl CommandPort<u8> for Port {
        fn index(&self, _: &ReplicaId, _: &str) -> Option<usize> {
            Some(0)
        }

        fn tell(&self, _: Instant, _: usize, _: &Arc<str>, _: u8, claim: Claim) {
            self.0.lock().push(claim.metadata().clone());
        }

        fn now(&self) -> Instant {
            SystemClock.now()
        }
    }

    #[test]
    fn metadata_that_is_handed_on_brings_no_request_id_and_takes_none_away() {
        let port = Arc::new(Port::default());
        let id = ReplicationId::parse("cart|c-1|A").unwrap();
        let cart = EntityRef::<u8>::new(id, port.clone(), Duration::from_secs(1));
        let request = |text| RequestId::new(text).unwrap();
        let trace = Metadata::new().with("traceparent", "00-7").unwrap();
        let of_command = trace.with_request(&request("of the command before"));
        cart.clone().with_metadata(of_command.clone()).tell(1);
        cart.with_request_id(&request("own")).with_metadata(of_command).tell(2);
        assert_eq!(*port.0.lock(), [trace.clone(), trace.with_request(&request("own"))]);
    }
}
