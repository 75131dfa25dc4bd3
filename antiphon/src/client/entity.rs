//! The typed reference of a program outside the cluster.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Cluster;
use super::cluster::Sent;
use crate::header::{IDEMPOTENCY_KEY, NEW_SESSION, POLICY, REPLICA, SESSION, encode};
use crate::persistence::reply::{
    Claim, RemoteCompletion, ReplyRegistrar, Session, claimed_reply_channel, encode_command,
};
use crate::prelude::*;

/// A reference to an entity of a cluster, from a program outside it. Cheap to clone. The errors are
/// those of an [`EntityRef`], and say whether the command may have taken effect.
pub struct EntityClient<C> {
    cluster: Cluster,
    path: Arc<str>,
    headers: Vec<(&'static str, String)>,
    ask_timeout: Duration,
    entity: ReplicationId,
    after: Option<SessionToken>,
    commands: PhantomData<fn(C)>,
}

impl<C> Clone for EntityClient<C> {
    fn clone(&self) -> Self {
        let Self { cluster, path, headers, ask_timeout, entity, after, commands } = self;
        Self {
            cluster: cluster.clone(),
            path: path.clone(),
            headers: headers.clone(),
            ask_timeout: *ask_timeout,
            entity: entity.clone(),
            after: after.clone(),
            commands: *commands,
        }
    }
}

impl<C> fmt::Debug for EntityClient<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntityClient({})", self.path)
    }
}

impl<C> EntityClient<C> {
    pub(super) fn new(cluster: Cluster, entity: ReplicationId, ask_timeout: Duration) -> Self {
        let names = (in_path(entity.entity_type()), in_path(entity.entity_id()));
        let path = format!("/entities/{}/{}", names.0, names.1).into();
        let (headers, after, commands) = (Vec::new(), None, PhantomData);
        Self { cluster, path, headers, ask_timeout, entity, after, commands }
    }

    /// The same reference with another time limit of a command, over all attempts.
    #[must_use]
    pub fn with_ask_timeout(mut self, timeout: Duration) -> Self {
        self.ask_timeout = timeout;
        self
    }

    /// The same reference to this replica of the entity.
    #[must_use]
    pub fn with_replica(self, replica: &ReplicaId) -> Self {
        self.with_header(REPLICA, encode(replica.as_str()))
    }

    /// The same reference to the replica that the node chooses by this policy, from its own place.
    #[must_use]
    pub fn with_policy(self, policy: &RoutingPolicy) -> Self {
        let text = match policy {
            RoutingPolicy::Nearest => "nearest".to_owned(),
            RoutingPolicy::FailOver => "fail-over".to_owned(),
            RoutingPolicy::Sticky(key) => format!("sticky:{key}"),
        };
        self.with_header(POLICY, encode(&text))
    }

    /// The same reference, whose commands belong to this trace (W3C): `traceparent` is metadata of
    /// each command at nodes with `http.trace_commands`; the others ignore it, as all nodes ignore
    /// a text that is no `traceparent`.
    #[must_use]
    pub fn with_traceparent(self, traceparent: &str) -> Self {
        self.with_header("traceparent", encode(traceparent))
    }

    /// The same reference, whose commands are handled by a replica that has the events of the
    /// token, as [`EntityRef::after`] says. A second token adds its events.
    #[must_use]
    pub fn after(&self, token: &SessionToken) -> Self {
        let mut after = self.clone();
        let mut both = token.clone();
        match &self.after {
            // one of the two is of another entity, and is refused at the command
            Some(before) if !before.is_of(&self.entity) => return after,
            Some(before) if token.is_of(&self.entity) => {
                both.merge(before).expect("both are of this entity");
            }
            Some(_) | None => {}
        }
        after.after = Some(both);
        after
    }

    fn with_header(mut self, name: &'static str, value: String) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value));
        self
    }
}

impl<C: Serialize> EntityClient<C> {
    /// Sends a command with a place for the answer, and waits for the answer, at most
    /// `ask_timeout`. The command is handled once at most.
    ///
    /// A cancelled call gives up the answer; the command may take effect.
    ///
    /// # Errors
    /// As for [`EntityRef::ask`]. `Expired` when no node could be reached, or none had a home for
    /// the entity, in time. `Rejected`, too, for a token without the right, and for an entity type
    /// that takes no commands of clients.
    pub async fn ask<R>(
        &self,
        command: impl FnOnce(ReplyTo<R>) -> C,
    ) -> std::result::Result<R, AskError>
    where
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        let session = self.session()?;
        let session = self.after.as_ref().map(|_| Arc::new(session));
        self.ask_in(session, command).await
    }

    /// The same, with the token of the events that the answer could have seen, as
    /// [`EntityRef::ask_with_version`] says.
    ///
    /// # Errors
    /// As for [`Self::ask`].
    pub async fn ask_with_version<R>(
        &self,
        command: impl FnOnce(ReplyTo<R>) -> C,
    ) -> std::result::Result<(R, SessionToken), AskError>
    where
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        let session = Arc::new(self.session()?.with_version());
        let answer = self.ask_in(Some(session.clone()), command).await?;
        Ok((answer, session.token()))
    }

    /// The session of a command.
    fn session(&self) -> std::result::Result<Session, AskError> {
        let session = Session::after(&self.entity, self.after.as_ref());
        session.map_err(|error| AskError::Rejected(error.to_string()))
    }

    async fn ask_in<R>(
        &self,
        session: Option<Arc<Session>>,
        command: impl FnOnce(ReplyTo<R>) -> C,
    ) -> std::result::Result<R, AskError>
    where
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        let is_in_session = session.is_some();
        let claim = Claim::unlimited().in_session(session);
        let (reply_to, reply) = claimed_reply_channel(&claim);
        let only = Arc::new(Only::default());
        let command = encoded(&command(reply_to), only.clone())?;
        let completion = only.0.lock().take();
        let Some(completion) = completion else {
            return Err(AskError::Rejected("the command has no place for the answer".into()));
        };
        completion(self.send(command, true, is_in_session).await);
        reply.now()
    }

    /// Sends a command that is done once, although it is sent again with the same id, as
    /// [`EntityRef::ask_once`] does: after an error whose effect is unknown, call again.
    ///
    /// ```no_run
    /// # use antiphon::prelude::*;
    /// # #[derive(Debug, serde::Serialize, serde::Deserialize)]
    /// # enum Command { CheckOut { reply_to: ReplyTo<u64> } }
    /// # async fn example(cart: antiphon::client::EntityClient<Command>) -> Result<()> {
    /// let id = RequestId::new("order-2026-11-30-7")?;
    /// let cents = cart.ask_once(&id, |reply_to| Command::CheckOut { reply_to }).await?;
    /// # drop(cents);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As for [`Self::ask`]; `Done` when the request was done, and its answer is not kept.
    pub async fn ask_once<R>(
        &self,
        id: &RequestId,
        command: impl FnOnce(ReplyTo<R>) -> C,
    ) -> std::result::Result<R, AskError>
    where
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        self.clone().with_header(IDEMPOTENCY_KEY, encode(&id.marked_text())).ask(command).await
    }

    /// The same as [`Self::ask_once`] for a command whose answer is a value or a refusal.
    ///
    /// # Errors
    /// `Refused` when the entity has refused; `NoAnswer` with the error of [`Self::ask_once`].
    pub async fn try_ask_once<T, R>(
        &self,
        id: &RequestId,
        command: impl FnOnce(ReplyTo<std::result::Result<T, R>>) -> C,
    ) -> std::result::Result<T, AskFailure<R>>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        AskFailure::flatten(self.ask_once(id, command).await)
    }

    /// The same for a command whose answer is a value or a refusal of the application.
    ///
    /// # Errors
    /// `Refused` when the entity has refused; `NoAnswer` with the error of [`Self::ask`].
    pub async fn try_ask<T, R>(
        &self,
        command: impl FnOnce(ReplyTo<std::result::Result<T, R>>) -> C,
    ) -> std::result::Result<T, AskFailure<R>>
    where
        T: Serialize + DeserializeOwned + Send + 'static,
        R: Serialize + DeserializeOwned + Send + 'static,
    {
        AskFailure::flatten(self.ask(command).await)
    }

    /// Sends a command, and waits until the entity's handler has taken it, at most `ask_timeout`,
    /// as [`EntityRef::tell_acknowledged`] does. Says nothing of the outcome of the command.
    ///
    /// A cancelled call gives up the notice; the command may take effect.
    ///
    /// # Errors
    /// As for [`EntityRef::tell_acknowledged`], and for [`Self::ask`].
    pub async fn tell(&self, command: &C) -> std::result::Result<(), AskError> {
        let command = encoded(command, Arc::new(Only::default()))?;
        self.session()?;
        self.send(command, false, self.after.is_some()).await.map(drop)
    }

    async fn send(
        &self,
        command: Bytes,
        is_ask: bool,
        is_in_session: bool,
    ) -> std::result::Result<Bytes, AskError> {
        let mut headers = self.headers.clone();
        if is_in_session {
            let token = self.after.as_ref().map(ToString::to_string);
            headers.push((SESSION, token.unwrap_or_else(|| NEW_SESSION.to_owned())));
        }
        let sent = Sent { path: &self.path, headers: &headers, command, is_ask };
        self.cluster.send(&sent, self.ask_timeout).await
    }
}

fn encoded<C: Serialize>(
    command: &C,
    registrar: Arc<Only>,
) -> std::result::Result<Bytes, AskError> {
    let encoded = encode_command(command, registrar);
    encoded.map(Bytes::from).map_err(|error| AskError::Rejected(error.to_string()))
}

/// The place of the one answer; the `ReplyTo` of any other answers "no reply".
#[derive(Default)]
struct Only(Mutex<Option<RemoteCompletion>>);

impl ReplyRegistrar for Only {
    fn register(&self, completion: RemoteCompletion) -> u64 {
        let mut first = self.0.lock();
        match &*first {
            None => {
                *first = Some(completion);
                0
            }
            Some(_) => 1,
        }
    }
}

/// A name as a part of a path: bytes that are not plain there are `%` and two digits.
fn in_path(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_characters_is_one_part_of_the_path() {
        assert_eq!(in_path("c-1"), "c-1");
        assert_eq!(in_path("a/b ü.."), "a%2Fb%20%C3%BC%2E%2E");
    }

    #[tokio::test]
    async fn a_command_without_a_place_for_the_answer_is_not_sent() {
        let cluster = Cluster::new(["127.0.0.1:1"]).unwrap();
        let entity = cluster.entity::<u64>("counter", "c-1").unwrap();
        let error = entity.ask(|_: ReplyTo<u64>| 1).await.unwrap_err();
        assert!(matches!(error, AskError::Rejected(_)), "{error:?}");
    }
}
