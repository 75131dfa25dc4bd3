//! Entities that are asked over HTTP: the trait of an application, and one type behind the routes.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::base::guard;
use crate::persistence::entity::EventSourced;
use crate::prelude::*;

/// The JSON of an answer.
#[derive(Debug, PartialEq)]
pub(super) enum Answered {
    /// The entity has done what it was asked.
    Done(Value),
    /// The entity refuses, with its reason: status 409.
    Refused(Value),
}

/// The JSON of an answer with the next token of the session, or the error of an ask.
pub(super) type Answer = Pin<
    Box<
        dyn Future<Output = std::result::Result<(Answered, Option<SessionToken>), AskError>> + Send,
    >,
>;

/// The session of a request.
#[derive(Debug, Default)]
pub(super) enum InSession {
    /// The request is of none.
    #[default]
    No,
    /// The first request of a session.
    New,
    /// A request that sees at least the events of the token.
    After(SessionToken),
}

/// The things that go with a command beside it.
#[derive(Debug, Default)]
pub(super) struct Terms {
    pub(super) metadata: Metadata,
    pub(super) session: InSession,
}

impl Terms {
    /// The reference with these terms, and whether the client wants the version of the answer.
    fn apply<C: Send + 'static>(self, entity: EntityRef<C>) -> (EntityRef<C>, bool) {
        let entity = with_metadata(entity, self.metadata);
        match self.session {
            InSession::No => (entity, false),
            InSession::New => (entity, true),
            InSession::After(token) => (entity.after(&token), true),
        }
    }
}

fn to_json(value: impl Serialize) -> std::result::Result<Value, AskError> {
    serde_json::to_value(value).map_err(|error| AskError::Unanswered(error.to_string()))
}

/// An ask whose answer becomes JSON.
///
/// ```
/// use antiphon::app::Ask;
/// use antiphon::prelude::*;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// enum Command { Add { delta: i64, reply_to: ReplyTo<i64> } }
///
/// let ask = Ask::new(|reply_to| Command::Add { delta: 1, reply_to });
/// # drop(ask);
/// ```
pub struct Ask<C>(MakeAnswer<C>);

/// Asks the reference; with the version of the answer if the flag is set.
type MakeAnswer<C> = Box<dyn FnOnce(EntityRef<C>, bool) -> Answer + Send>;

async fn asked<C, R>(
    entity: EntityRef<C>,
    wants_version: bool,
    command: impl FnOnce(ReplyTo<R>) -> C,
) -> std::result::Result<(R, Option<SessionToken>), AskError>
where
    C: Send + 'static,
    R: Serialize + DeserializeOwned + Send + 'static,
{
    if !wants_version {
        return Ok((entity.ask(command).await?, None));
    }
    let (answer, token) = entity.ask_with_version(command).await?;
    Ok((answer, Some(token)))
}

impl<C: Serialize + DeserializeOwned + Send + 'static> Ask<C> {
    /// An ask with the command that `command` makes of the receiver of the answer.
    pub fn new<R, F>(command: F) -> Self
    where
        R: Serialize + DeserializeOwned + Send + 'static,
        F: FnOnce(ReplyTo<R>) -> C + Send + 'static,
    {
        Self(Box::new(move |entity, wants_version| {
            Box::pin(async move {
                let (answer, token) = asked(entity, wants_version, command).await?;
                Ok((Answered::Done(to_json(answer)?), token))
            })
        }))
    }

    /// An ask that the entity may refuse: the reason `F` becomes the body of an answer with the
    /// status 409.
    pub fn fallible<R, F, M>(command: M) -> Self
    where
        R: Serialize + DeserializeOwned + Send + 'static,
        F: Serialize + DeserializeOwned + Send + 'static,
        M: FnOnce(ReplyTo<std::result::Result<R, F>>) -> C + Send + 'static,
    {
        Self(Box::new(move |entity, wants_version| {
            Box::pin(async move {
                let (answer, token) = asked(entity, wants_version, command).await?;
                let answered = match answer {
                    Ok(done) => Answered::Done(to_json(done)?),
                    Err(refused) => Answered::Refused(to_json(refused)?),
                };
                Ok((answered, token))
            })
        }))
    }

    fn ask(self, (entity, wants_version): (EntityRef<C>, bool)) -> Answer {
        (self.0)(entity, wants_version)
    }
}

/// The JSON that a client has posted.
#[derive(Debug, Clone, PartialEq)]
pub struct Body(pub(super) Value);

impl Body {
    /// Reads the JSON as a value of the application.
    ///
    /// # Errors
    /// `Rejected`, with what was expected.
    pub fn read<T: DeserializeOwned>(self) -> Result<T> {
        serde_json::from_value(self.0).map_err(|error| Error::rejected(error.to_string()))
    }
}

/// An entity that clients ask as JSON: `GET` and `POST /entities/{type}/{id}`.
///
/// An entity without an implementation of the functions refuses requests over HTTP (405 for `GET`,
/// 400 for `POST`), and takes commands of other entities and of the routes of the application.
///
/// ```
/// use antiphon::app::{Ask, Body, HttpEntity};
/// use antiphon::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// enum Command {
///     Add { delta: i64, reply_to: ReplyTo<i64> },
///     Get { reply_to: ReplyTo<i64> },
/// }
/// #[derive(Debug, Serialize, Deserialize)]
/// struct Added(i64);
/// struct Counter;
///
/// impl EventSourced for Counter {
///     // ..
/// #     type Command = Command;
/// #     type Event = Added;
/// #     type State = i64;
/// #     fn on_command(&self, _: &CommandContext, sum: &i64, command: Command) -> Effect<Self> {
/// #         match command {
/// #             Command::Add { delta, reply_to } =>
/// #                 Effect::persist(Added(delta)).then_reply(reply_to, |sum| *sum),
/// #             Command::Get { reply_to } => Effect::reply(reply_to, *sum),
/// #         }
/// #     }
/// #     fn on_event(&self, _: &EventContext, sum: &mut i64, added: &Added) { *sum += added.0; }
/// }
///
/// #[derive(Deserialize)]
/// struct Add { add: i64 }
///
/// impl HttpEntity for Counter {
///     fn on_get() -> Option<Ask<Command>> {
///         Some(Ask::new(|reply_to| Command::Get { reply_to }))
///     }
///
///     fn on_post(body: Body) -> Result<Ask<Command>> {
///         let Add { add: delta } = body.read()?;
///         Ok(Ask::new(move |reply_to| Command::Add { delta, reply_to }))
///     }
///
///     fn expected() -> &'static str {
///         r#"{"add": 1}"#
///     }
/// }
/// ```
pub trait HttpEntity: EventSourced {
    /// The ask of a `GET`; `None`: the entity answers none, and the client gets 405.
    fn on_get() -> Option<Ask<Self::Command>> {
        None
    }

    /// The ask of a `POST` with this body.
    ///
    /// # Errors
    /// `Rejected` when the body is no command; the client gets 400, with this message and with
    /// [`Self::expected`].
    fn on_post(_body: Body) -> Result<Ask<Self::Command>> {
        Err(Error::rejected("the entity takes no commands over HTTP"))
    }

    /// Returns whether programs outside the cluster may send **every** command of this type, as
    /// [`antiphon::client`](crate::client) does: whoever may use `/entities/..` then may, and the
    /// functions above are not asked. By default they may not, and get 415.
    fn takes_commands() -> bool {
        false
    }

    /// The bodies that [`Self::on_post`] takes, for the messages of errors.
    fn expected() -> &'static str {
        "no request over HTTP"
    }
}

/// A command that a program outside the cluster has sent in its encoded form.
pub(super) struct Encoded {
    pub(super) command: Bytes,
    /// False: the sender wants no answer but the notice that the handler has the command.
    pub(super) is_ask: bool,
    /// Time that the sender still waits; `None`: that of the type.
    pub(super) time_left: Option<Duration>,
}

/// The encoded answer to an encoded command; empty for a tell.
pub(super) type EncodedAnswer =
    Pin<Box<dyn Future<Output = std::result::Result<Bytes, AskError>> + Send>>;

/// The replica to ask, or how to choose it.
pub(super) enum Target {
    Replica(ReplicaId),
    Policy(RoutingPolicy),
}

/// The reason why an entity was not asked: nothing had an effect.
#[derive(Debug)]
pub(super) enum NotAsked {
    /// The request is no command.
    Wrong(Error),
    /// The entity answers no `GET`.
    NoGet,
    /// The code of the application panicked.
    Panicked(guard::UserFailure),
}

/// An entity type as the HTTP routes ask it.
pub(super) trait Asked: Send + Sync {
    fn choose(&self, id: &str, target: &Target) -> Result<ReplicaId>;
    /// Asks the entity on these terms: `None` reads, `Some` is the posted JSON.
    ///
    /// # Errors
    /// The reason why the entity was not asked.
    fn ask(
        &self,
        id: &str,
        replica: &ReplicaId,
        terms: Terms,
        body: Option<Value>,
    ) -> std::result::Result<Answer, NotAsked>;
    /// Sends an encoded command; `None` when the type takes none.
    ///
    /// # Errors
    /// The reason why the entity was not asked.
    fn send(
        &self,
        id: &str,
        replica: &ReplicaId,
        terms: Terms,
        encoded: Encoded,
    ) -> std::result::Result<Option<EncodedAnswer>, NotAsked>;
    fn expected(&self) -> &'static str;
}

impl<E> Asked for ReplicatedSharding<E>
where
    E: HttpEntity,
    E::Command: Serialize + DeserializeOwned,
{
    fn choose(&self, id: &str, target: &Target) -> Result<ReplicaId> {
        let reference = match target {
            Target::Replica(replica) => self.entity_ref_for(id, replica)?,
            Target::Policy(policy) => self.route(id, policy)?,
        };
        Ok(reference.replication_id().replica_id().clone())
    }

    fn ask(
        &self,
        id: &str,
        replica: &ReplicaId,
        terms: Terms,
        body: Option<Value>,
    ) -> std::result::Result<Answer, NotAsked> {
        let entity = self.entity_ref_for(id, replica).map_err(NotAsked::Wrong)?;
        let ask = ask_of::<E>(id, body)?;
        Ok(ask.ask(terms.apply(entity)))
    }

    fn send(
        &self,
        id: &str,
        replica: &ReplicaId,
        terms: Terms,
        encoded: Encoded,
    ) -> std::result::Result<Option<EncodedAnswer>, NotAsked> {
        let takes = guard::call("takes_commands", &id, E::takes_commands);
        if !takes.map_err(NotAsked::Panicked)? {
            return Ok(None);
        }
        let entity = self.entity_ref_for(id, replica).map_err(NotAsked::Wrong)?;
        let (mut entity, wants_version) = terms.apply(entity);
        let Encoded { command, is_ask, time_left } = encoded;
        if let Some(time_left) = time_left {
            entity = entity.with_ask_timeout(time_left);
        }
        Ok(Some(Box::pin(async move {
            match (is_ask, wants_version) {
                (true, false) => entity.ask_encoded(&command).await,
                (true, true) => entity.ask_encoded_with_version(&command).await,
                (false, _) => entity.tell_encoded(&command).await.map(|()| Bytes::new()),
            }
        })))
    }

    fn expected(&self) -> &'static str {
        guard::call("expected", &std::any::type_name::<E>(), E::expected).unwrap_or("JSON")
    }
}

/// The reference whose commands have this metadata, and the request id in it.
fn with_metadata<C: Send + 'static>(entity: EntityRef<C>, metadata: Metadata) -> EntityRef<C> {
    match metadata.request_id() {
        Some(id) => entity.with_metadata(metadata).with_request_id(&id),
        None => entity.with_metadata(metadata),
    }
}

/// The ask of a request: `None` reads, `Some` is the posted JSON.
pub(super) fn ask_of<E: HttpEntity>(
    id: &str,
    body: Option<Value>,
) -> std::result::Result<Ask<E::Command>, NotAsked> {
    match body {
        None => guard::call("on_get", &id, E::on_get)
            .map_err(NotAsked::Panicked)?
            .ok_or(NotAsked::NoGet),
        Some(body) => guard::call("on_post", &id, || E::on_post(Body(body)))
            .map_err(NotAsked::Panicked)?
            .map_err(NotAsked::Wrong),
    }
}
