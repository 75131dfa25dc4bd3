//! The two halves of an answer.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use antiphon_base::guard;
use bytes::Bytes;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::scope::{self, RemoteCompletion, ReplySender};
use super::session::{WANTS_VERSION, split_token, with_token};
use super::{Claim, ReplyError};
use crate::Error;
use crate::codec::CodecId;

type Answer<R> = Result<R, ReplyError>;

/// The receiver of the answer to a command. Answering consumes it; dropping it answers "no reply".
///
/// ```
/// use antiphon_persistence::reply::{ReplyError, reply_channel};
///
/// let (reply_to, reply) = reply_channel();
/// reply_to.reply(5);
/// assert_eq!(reply.now(), Ok(5));
///
/// let (reply_to, reply) = reply_channel::<i64>();
/// drop(reply_to);
/// assert_eq!(reply.now(), Err(ReplyError::NoReply));
/// ```
pub struct ReplyTo<R> {
    target: Mutex<Option<Target<R>>>,
    /// The claim of the asker's command, which this `ReplyTo` may have left since.
    claim: Claim,
}

enum Target<R> {
    Local(oneshot::Sender<Answer<R>>),
    /// The number of the place has the bit `WANTS_VERSION` when its asker wants a version.
    Remote {
        id: u64,
        sender: Arc<dyn ReplySender>,
    },
}

/// Sends an encoded answer, or an error, to the place with this number.
fn send(sender: &dyn ReplySender, id: u64, answer: Answer<Bytes>) {
    sender.send(id & !WANTS_VERSION, answer);
}

/// The asker's half.
#[derive(Debug)]
pub struct PendingReply<R>(oneshot::Receiver<Answer<R>>);

/// A new pair without a claim. A command with a claim needs [`claimed_reply_channel`]: without it,
/// when the `ReplyTo` is passed on in another command, an error of that command reports the effect
/// of that command alone.
pub fn reply_channel<R>() -> (ReplyTo<R>, PendingReply<R>) {
    claimed_reply_channel(&Claim::unlimited())
}

/// A new pair for the command with this claim.
pub fn claimed_reply_channel<R>(claim: &Claim) -> (ReplyTo<R>, PendingReply<R>) {
    let (sender, receiver) = oneshot::channel();
    (ReplyTo::new(Target::Local(sender), claim.clone()), PendingReply(receiver))
}

/// The asker's half of a command whose answer is encoded at the entity, also on the same node.
pub struct PendingEncoded<R> {
    answer: oneshot::Receiver<Answer<Bytes>>,
    /// The claim of an asker who wants the version of the answer.
    versioned: Option<Claim>,
    reads: PhantomData<fn() -> R>,
}

/// Takes the one answer to such a command.
struct Encoded(Mutex<Option<oneshot::Sender<Answer<Bytes>>>>);

impl ReplySender for Encoded {
    fn send(&self, _: u64, answer: Answer<Bytes>) {
        if let Some(sender) = self.0.lock().take() {
            gone_is_logged(sender.send(answer).is_err());
        }
    }
}

/// A new pair for the command with this claim, whose answer is encoded: the form for a command with
/// a request id, whose answer is kept for repetitions.
pub fn encoded_reply_channel<R>(claim: &Claim) -> (ReplyTo<R>, PendingEncoded<R>) {
    let (sender, answer) = oneshot::channel();
    let sender = Arc::new(Encoded(Mutex::new(Some(sender))));
    let versioned = claim.wants_version().then(|| claim.clone());
    let id = versioned.as_ref().map_or(0, |_| WANTS_VERSION);
    let reply_to = ReplyTo::new(Target::Remote { id, sender }, claim.clone());
    (reply_to, PendingEncoded { answer, versioned, reads: PhantomData })
}

impl<R: DeserializeOwned> PendingEncoded<R> {
    /// Waits for the answer, as [`PendingReply::wait`] does.
    ///
    /// # Errors
    /// Any [`ReplyError`] but `Timeout`.
    pub async fn wait(self) -> Result<R, ReplyError> {
        let answer = self.answer.await.unwrap_or(Err(ReplyError::NoReply));
        answered(self.versioned.as_ref(), answer)
    }

    /// The answer, if it is there already.
    ///
    /// # Errors
    /// `NoReply` when there is no answer yet; else see [`ReplyError`].
    pub fn now(mut self) -> Result<R, ReplyError> {
        let answer = self.answer.try_recv().unwrap_or(Err(ReplyError::NoReply));
        answered(self.versioned.as_ref(), answer)
    }
}

/// Reads an encoded answer; its token is added to the version for the asker with this claim.
fn answered<R: DeserializeOwned>(
    versioned: Option<&Claim>,
    answer: Answer<Bytes>,
) -> Result<R, ReplyError> {
    let answer = match versioned {
        Some(claim) => without_token(claim, answer),
        None => answer,
    };
    answer.and_then(|bytes| read(&bytes))
}

impl<R> PendingReply<R> {
    /// Waits for the answer, without a limit of its own. A cancelled call drops the answer; the
    /// command is handled nevertheless.
    ///
    /// # Errors
    /// Any [`ReplyError`] but `Timeout`.
    ///
    /// ```
    /// use antiphon_persistence::reply::{ReplyError, reply_channel};
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// let (reply_to, reply) = reply_channel::<i64>();
    /// reply_to.fail(ReplyError::Rejected("not enough money".into()));
    /// assert!(reply.wait().await.unwrap_err().is_without_effect());
    /// # });
    /// ```
    pub async fn wait(self) -> Result<R, ReplyError> {
        self.0.await.unwrap_or(Err(ReplyError::NoReply))
    }

    /// The answer, once it is there; `None` before. An answer is given out once.
    ///
    /// ```
    /// use antiphon_persistence::reply::reply_channel;
    ///
    /// let (reply_to, mut reply) = reply_channel();
    /// assert_eq!(reply.try_now(), None);
    /// reply_to.reply(5);
    /// assert_eq!(reply.try_now(), Some(Ok(5)));
    /// ```
    pub fn try_now(&mut self) -> Option<Result<R, ReplyError>> {
        match self.0.try_recv() {
            Ok(answer) => Some(answer),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(Err(ReplyError::NoReply)),
        }
    }

    /// The answer, if it is there already.
    ///
    /// # Errors
    /// `NoReply` when there is no answer yet; else see [`ReplyError`].
    pub fn now(mut self) -> Result<R, ReplyError> {
        self.0.try_recv().unwrap_or(Err(ReplyError::NoReply))
    }
}

impl<R> ReplyTo<R> {
    fn new(target: Target<R>, claim: Claim) -> Self {
        Self { target: Mutex::new(Some(target)), claim }
    }

    /// Answers with an error in place of a value. The error comes from the application and is sent
    /// unchanged. One exception: when the `ReplyTo` was passed on in another command and came
    /// through the codec, an error is changed to one of unknown effect, unless the asker's own
    /// command has ended without an effect.
    pub fn fail(mut self, error: ReplyError) {
        match self.target.get_mut().take() {
            Some(Target::Local(sender)) => gone_is_logged(sender.send(Err(error)).is_err()),
            Some(Target::Remote { id, sender }) => send(&*sender, id, Err(error)),
            None => {}
        }
    }

    /// Returns whether the asker wants the version of the answer.
    pub(crate) fn wants_version(&mut self) -> bool {
        match self.target.get_mut() {
            Some(Target::Remote { id, .. }) => *id & WANTS_VERSION != 0,
            Some(Target::Local(_)) => self.claim.wants_version(),
            None => false,
        }
    }

    /// Answers that the command with the claim `failed` is not handled, or that it failed. The
    /// error is without effect only if that is the asker's own command, and has not acted.
    pub(crate) fn refuse(self, failed: &Claim, error: ReplyError) {
        let error = self.claim.truth_of(failed, error);
        self.fail(error);
    }

    /// Returns whether this is the place for the answer to the request with this id.
    pub(crate) fn is_of_request(&self, id: &str) -> bool {
        self.claim.request() == Some(id)
    }

    fn take(&self) -> Option<Target<R>> {
        self.target.lock().take()
    }
}

impl<R: Serialize> ReplyTo<R> {
    /// Answers. An asker that has given up is no error: it is logged at debug level.
    pub fn reply(mut self, value: R) {
        match self.target.get_mut().take() {
            Some(Target::Local(sender)) => {
                note_version(&self.claim);
                gone_is_logged(sender.send(Ok(value)).is_err());
            }
            Some(Target::Remote { id, sender }) => {
                // the command was handled: an answer that cannot be sent does not undo that
                let answer = match guard::call("Serialize of an answer", &id, || {
                    CodecId::Bincode.encode(&value)
                }) {
                    Ok(Ok(bytes)) if id & WANTS_VERSION != 0 => Ok(versioned(&self.claim, &bytes)),
                    Ok(Ok(bytes)) => Ok(bytes.into()),
                    Ok(Err(error)) => Err(ReplyError::Unanswered(error.to_string())),
                    Err(failure) => Err(ReplyError::Unanswered(failure.to_string())),
                };
                send(&*sender, id, answer);
            }
            None => {}
        }
    }
}

/// Adds the version of an answer that is given now, for an asker who wants it.
fn note_version(claim: &Claim) {
    if let Some(session) = claim.session()
        && let Some(token) = scope::answering()
    {
        session.note(&token);
    }
}

/// An encoded answer that is given now, with its version. `claim` is that of the command that
/// brought the `ReplyTo` here: if it is of a session itself, the version is of its entity, also
/// when another entity answers.
fn versioned(claim: &Claim, answer: &[u8]) -> Bytes {
    note_version(claim);
    match claim.session() {
        Some(session) if session.wants_version() => with_token(Some(&session.token()), answer),
        Some(_) | None => with_token(scope::answering().as_deref(), answer),
    }
}

/// The answer without its token, which is added to the version for the asker with this claim.
fn without_token(claim: &Claim, answer: Answer<Bytes>) -> Answer<Bytes> {
    let (token, answer) = split_token(&answer?)
        .map_err(|why| ReplyError::Unanswered(format!("the answer cannot be read: {why}")))?;
    if let (Some(session), Some(token)) = (claim.session(), token) {
        session.note(&token);
    }
    Ok(answer)
}

fn gone_is_logged(gone: bool) {
    if gone {
        tracing::debug!("a reply came after its asker gave up");
    }
}

impl<R> Drop for ReplyTo<R> {
    fn drop(&mut self) {
        // most of them were answered
        let Some(target) = self.target.get_mut().take() else { return };
        let refusal = scope::refusal();
        match target {
            Target::Local(sender) => {
                if let Some(refusal) = refusal {
                    drop(sender.send(Err(refusal.tell(&self.claim))));
                }
            }
            Target::Remote { id, sender } => {
                let answer = refusal.as_ref().and_then(|refusal| refusal.answer(&self.claim));
                let answer = answer.map(|bytes| match id & WANTS_VERSION {
                    0 => bytes,
                    _ => versioned(&self.claim, &bytes),
                });
                let reason = || refusal.map_or(ReplyError::NoReply, |it| it.tell(&self.claim));
                send(&*sender, id, answer.ok_or_else(reason));
            }
        }
    }
}

impl<R> fmt::Debug for ReplyTo<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplyTo")
    }
}

impl<R: DeserializeOwned + Send + 'static> Serialize for ReplyTo<R> {
    /// Without a registrar the place stays here: code that logs a command as JSON, say, gets an
    /// error, and its asker still gets the answer.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (registrar, command) = scope::registrar().map_err(serde::ser::Error::custom)?;
        let mut wants_version = 0;
        let completion: RemoteCompletion = match self.take() {
            Some(Target::Local(sender)) if self.claim.wants_version() => {
                wants_version = WANTS_VERSION;
                let own = self.claim.clone();
                Box::new(move |answer| {
                    let answer = without_token(&own, answer).and_then(|bytes| read(&bytes));
                    gone_is_logged(sender.send(answer).is_err());
                })
            }
            Some(Target::Local(sender)) => Box::new(move |answer| {
                gone_is_logged(sender.send(answer.and_then(|bytes| read(&bytes))).is_err());
            }),
            // the command is passed on: the answer goes back by the same path, with its version
            Some(Target::Remote { id, sender }) => {
                wants_version = id & WANTS_VERSION;
                Box::new(move |answer| send(&*sender, id, answer))
            }
            None => return Err(serde::ser::Error::custom("a `ReplyTo` can be sent only once")),
        };
        // the effect of this command says nothing about the effect of the asker's own command,
        // which may act between now and the answer
        let is_passed_on = command.is_some_and(|command| self.claim.is_other_than(&command));
        let completion: RemoteCompletion = if is_passed_on || self.claim.has_acted() {
            let own = self.claim.clone();
            let truth = move |error: ReplyError| {
                if own.has_ended() { error } else { error.with_unknown_effect() }
            };
            Box::new(move |answer| completion(answer.map_err(truth)))
        } else {
            completion
        };
        (registrar.register(completion) | wants_version).serialize(serializer)
    }
}

fn read<R: DeserializeOwned>(bytes: &[u8]) -> Answer<R> {
    let unreadable =
        |error: Error| ReplyError::Unanswered(format!("the answer cannot be read: {error}"));
    match guard::call("Deserialize of an answer", &"an asker", || CodecId::Bincode.decode(bytes)) {
        Ok(decoded) => decoded.map_err(unreadable),
        Err(failure) => Err(ReplyError::Unanswered(failure.to_string())),
    }
}

impl<'de, R> Deserialize<'de> for ReplyTo<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = u64::deserialize(deserializer)?;
        let (sender, claim) = scope::sender().map_err(serde::de::Error::custom)?;
        claim.add_place();
        Ok(Self::new(Target::Remote { id, sender }, claim))
    }
}
