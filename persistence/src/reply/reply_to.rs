//! The two halves of an answer.

use std::fmt;
use std::sync::Arc;

use antiphon_base::guard;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tokio::sync::oneshot;

use super::scope::{self, RemoteCompletion, ReplySender};
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
    Remote { id: u64, sender: Arc<dyn ReplySender> },
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
    pub fn fail(self, error: ReplyError) {
        match self.take() {
            Some(Target::Local(sender)) => gone_is_logged(sender.send(Err(error)).is_err()),
            Some(Target::Remote { id, sender }) => sender.send(id, Err(error)),
            None => {}
        }
    }

    /// Answers that the command with the claim `failed` is not handled, or that it failed. The
    /// error is without effect only if that is the asker's own command, and has not acted.
    pub(crate) fn refuse(self, failed: &Claim, error: ReplyError) {
        let error = self.claim.truth_of(failed, error);
        self.fail(error);
    }

    fn take(&self) -> Option<Target<R>> {
        self.target.lock().take()
    }
}

impl<R: Serialize> ReplyTo<R> {
    /// Answers. An asker that has given up is no error: it is logged at debug level.
    pub fn reply(self, value: R) {
        match self.take() {
            Some(Target::Local(sender)) => gone_is_logged(sender.send(Ok(value)).is_err()),
            Some(Target::Remote { id, sender }) => {
                // the command was handled: an answer that cannot be sent does not undo that
                let answer = match guard::call("Serialize of an answer", &id, || {
                    CodecId::Bincode.encode(&value)
                }) {
                    Ok(Ok(bytes)) => Ok(bytes.into()),
                    Ok(Err(error)) => Err(ReplyError::Unanswered(error.to_string())),
                    Err(failure) => Err(ReplyError::Unanswered(failure.to_string())),
                };
                sender.send(id, answer);
            }
            None => {}
        }
    }
}

fn gone_is_logged(gone: bool) {
    if gone {
        tracing::debug!("a reply came after its asker gave up");
    }
}

impl<R> Drop for ReplyTo<R> {
    fn drop(&mut self) {
        let reason = scope::refusal().map(|refusal| refusal.tell(&self.claim));
        match (self.take(), reason) {
            (Some(Target::Local(sender)), Some(reason)) => drop(sender.send(Err(reason))),
            (Some(Target::Remote { id, sender }), reason) => {
                sender.send(id, Err(reason.unwrap_or(ReplyError::NoReply)));
            }
            (Some(Target::Local(_)) | None, _) => {}
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
        let completion: RemoteCompletion = match self.take() {
            Some(Target::Local(sender)) => Box::new(move |answer| {
                gone_is_logged(sender.send(answer.and_then(|bytes| read(&bytes))).is_err());
            }),
            // the command is passed on: the answer goes back by the same path
            Some(Target::Remote { id, sender }) => Box::new(move |answer| sender.send(id, answer)),
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
        registrar.register(completion).serialize(serializer)
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
        Ok(Self::new(Target::Remote { id, sender }, claim))
    }
}
