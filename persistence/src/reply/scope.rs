//! The context of a `ReplyTo` in serde, which passes none: a scope of the thread, set for the
//! length of one synchronous encode or decode.

use std::cell::RefCell;
use std::sync::Arc;

use antiphon_base::guard;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Claim, CommandEffect, ReplyError};
use crate::codec::CodecId;
use crate::version::SessionToken;
use crate::{Error, Result};

/// Hands an answer that came from another node to its asker.
pub type RemoteCompletion = Box<dyn FnOnce(std::result::Result<Bytes, ReplyError>) + Send>;

/// Keeps the askers of commands that went to another node.
pub trait ReplyRegistrar: Send + Sync {
    /// Keeps `completion` until its answer comes, and returns the number to send along. A
    /// completion that is dropped answers "no reply".
    fn register(&self, completion: RemoteCompletion) -> u64;
}

/// Sends answers back to the node that a command came from.
pub trait ReplySender: Send + Sync {
    /// Sends the answer number `id`; it may be lost, then the asker times out.
    fn send(&self, id: u64, answer: std::result::Result<Bytes, ReplyError>);
}

/// The reason why a `ReplyTo` is dropped with its command.
#[derive(Clone)]
pub(crate) enum Reason {
    Known(ReplyError),
    /// The code with this name has panicked, and the command has this effect unless it had acted
    /// before. No text is made for the many commands whose code does not panic.
    Panicked(&'static str, CommandEffect),
    /// A command with the same request id was answered with this encoded value.
    Answered(Bytes),
}

impl Reason {
    /// The error for the askers of the command with the claim `failed`.
    fn error(self, failed: Option<&Claim>) -> ReplyError {
        let (code, effect) = match self {
            Self::Known(error) => return error,
            Self::Answered(_) => {
                let why = "its answer was for another place than this `ReplyTo`";
                return ReplyError::Done(why.to_owned());
            }
            Self::Panicked(code, effect) => (code, effect),
        };
        let why = format!("`{code}` panicked");
        let error = match effect {
            CommandEffect::None => ReplyError::Failed(why),
            CommandEffect::Unknown => ReplyError::Unanswered(why),
        };
        match failed {
            Some(failed) => failed.truth(error),
            None => error,
        }
    }
}

/// The error of a command, for each `ReplyTo` that is dropped with it.
#[derive(Clone)]
pub(super) struct Refusal {
    reason: Reason,
    /// The claim of the command that failed; `None` when the caller does not know it.
    failed: Option<Claim>,
}

impl Refusal {
    /// The encoded answer for the asker with this claim, if the command that is dropped is a
    /// repetition that was answered before. A command with more than one place for an answer gets
    /// none: it is not known for which one the answer was.
    pub(super) fn answer(&self, asker: &Claim) -> Option<Bytes> {
        let Reason::Answered(bytes) = &self.reason else { return None };
        let request = self.failed.as_ref()?.request()?;
        (asker.request() == Some(request) && !asker.has_places()).then(|| bytes.clone())
    }

    /// The error for the asker with this claim.
    pub(super) fn tell(self, asker: &Claim) -> ReplyError {
        let Self { reason, failed } = self;
        let reason = reason.error(failed.as_ref());
        match &failed {
            Some(failed) => asker.truth_of(failed, reason),
            None => asker.truth(reason),
        }
    }
}

/// The place for the askers of a command that is encoded, with the claim of the command; `None`
/// when the caller does not know it.
type Registrar = (Arc<dyn ReplyRegistrar>, Option<Claim>);

thread_local! {
    static PANICKED: RefCell<Option<Refusal>> = const { RefCell::new(None) };
    static REFUSAL: RefCell<Option<Refusal>> = const { RefCell::new(None) };
    static REGISTRAR: RefCell<Option<Registrar>> = const { RefCell::new(None) };
    static ANSWERING: RefCell<Option<Arc<SessionToken>>> = const { RefCell::new(None) };
    static SENDER: RefCell<Option<(Arc<dyn ReplySender>, Claim)>> = const { RefCell::new(None) };
}

/// Encodes a command for another node, with bincode. A `ReplyTo` that was passed on in the command
/// cannot be told apart from the command's own: use [`encode_claimed_command`].
///
/// # Errors
/// `Rejected` when it cannot be encoded; its askers then get "no reply".
pub fn encode_command<C: Serialize>(
    command: &C,
    registrar: Arc<dyn ReplyRegistrar>,
) -> Result<Vec<u8>> {
    encode(command, (registrar, None))
}

/// Encodes the command with this claim for another node. The asker of a `ReplyTo` that was passed
/// on in the command gets an error of that command as one whose effect is unknown, unless the
/// asker's own command has ended without an effect when the error comes.
///
/// # Errors
/// As for [`encode_command`].
pub fn encode_claimed_command<C: Serialize>(
    command: &C,
    claim: &Claim,
    registrar: Arc<dyn ReplyRegistrar>,
) -> Result<Vec<u8>> {
    encode(command, (registrar, Some(claim.clone())))
}

fn encode<C: Serialize>(command: &C, registrar: Registrar) -> Result<Vec<u8>> {
    let outer = REGISTRAR.replace(Some(registrar));
    let encoded = guard::call("Serialize of a command", &std::any::type_name::<C>(), || {
        CodecId::Bincode.encode(command)
    });
    REGISTRAR.replace(outer);
    encoded.unwrap_or_else(|failure| Err(Error::rejected(failure.to_string())))
}

/// Decodes a command from another node; `claim` is the claim with which it is handled here.
///
/// # Errors
/// `Corrupt` when the bytes are not such a command.
pub fn decode_command<C: DeserializeOwned>(
    bytes: &[u8],
    sender: Arc<dyn ReplySender>,
    claim: &Claim,
) -> Result<C> {
    let outer = SENDER.replace(Some((sender, claim.clone())));
    let decoded = guard::call("Deserialize of a command", &std::any::type_name::<C>(), || {
        CodecId::Bincode.decode(bytes)
    });
    SENDER.replace(outer);
    decoded.unwrap_or_else(|failure| Err(Error::corrupt(failure.to_string())))
}

/// Runs `read`, which makes up commands; their answers go to `sender`.
pub(crate) fn with_sender<T>(sender: Arc<dyn ReplySender>, read: impl FnOnce() -> T) -> T {
    let outer = SENDER.replace(Some((sender, Claim::unlimited())));
    let made = read();
    SENDER.replace(outer);
    made
}

/// Drops a command that nobody will handle, so that its askers get the reason. A destructor that
/// panics is logged. Drop one value at a time: a second destructor that panics in a collection
/// would abort the process. A `ReplyTo` that was passed on in the command cannot be told apart from
/// the command's own, as long as its own command has not acted: use [`refuse_claimed`].
pub fn refuse<C>(command: C, reason: ReplyError) {
    refuse_with(command, Refusal { reason: Reason::Known(reason), failed: None });
}

/// Drops the command with this claim as [`refuse`] does. A `ReplyTo` of another command, which was
/// passed on in this one, gets an error whose effect is unknown: its own command may still act. A
/// sender that waits to be told of the command gets the reason.
pub fn refuse_claimed<C>(command: C, claim: &Claim, reason: ReplyError) {
    if let Some(notice) = claim.take_notice() {
        notice(Err(reason.clone()));
    }
    let reason = Reason::Known(reason);
    refuse_with(command, Refusal { reason, failed: Some(claim.clone()) });
}

/// Drops the command with this claim, which repeats a request: its asker gets the encoded answer of
/// the first one.
pub(crate) fn answer_again<C>(command: C, claim: &Claim, answer: Bytes) {
    let reason = Reason::Answered(answer);
    refuse_with(command, Refusal { reason, failed: Some(claim.clone()) });
}

fn refuse_with<C>(command: C, refusal: Refusal) {
    let outer = REFUSAL.replace(Some(refusal));
    let _ = guard::call("Drop of a command", &std::any::type_name::<C>(), || drop(command));
    REFUSAL.replace(outer);
}

/// Runs application code for the command with this claim; a `ReplyTo` that is dropped because the
/// code panics answers `reason`.
pub(crate) fn with_panic_reason<T>(claim: &Claim, reason: Reason, code: impl FnOnce() -> T) -> T {
    lending_claim(claim.clone(), reason, code).0
}

/// The same for a caller that needs its claim only afterwards: it is lent, and not cloned.
pub(crate) fn lending_claim<T>(
    claim: Claim,
    reason: Reason,
    code: impl FnOnce() -> T,
) -> (T, Claim) {
    struct Restore(Option<Refusal>);
    impl Drop for Restore {
        fn drop(&mut self) {
            PANICKED.replace(self.0.take());
        }
    }
    let mut restore = Restore(PANICKED.replace(Some(Refusal { reason, failed: Some(claim) })));
    let made = code();
    let outer = restore.0.take();
    std::mem::forget(restore);
    let own = PANICKED.replace(outer).and_then(|refusal| refusal.failed);
    (made, own.expect("a scope inside has put back what it found"))
}

/// Lets the visible parts of an effect out, whose answers could have seen the events of `token`.
pub(crate) fn with_answering<T>(token: Arc<SessionToken>, release: impl FnOnce() -> T) -> T {
    let outer = ANSWERING.replace(Some(token));
    let released = release();
    ANSWERING.replace(outer);
    released
}

/// The events that an answer could have seen which is given now, if they are known.
pub(super) fn answering() -> Option<Arc<SessionToken>> {
    ANSWERING.with_borrow(Clone::clone)
}

pub(super) fn refusal() -> Option<Refusal> {
    let reasons = if std::thread::panicking() { &PANICKED } else { &REFUSAL };
    reasons.with_borrow(Clone::clone).or_else(|| REFUSAL.with_borrow(Clone::clone))
}

pub(super) fn registrar() -> Result<Registrar> {
    REGISTRAR.with_borrow(|registrar| match registrar {
        Some(registrar) => Ok(registrar.clone()),
        None => Err(Error::rejected("a `ReplyTo` can only be sent through an entity ref")),
    })
}

pub(super) fn sender() -> Result<(Arc<dyn ReplySender>, Claim)> {
    SENDER.with_borrow(|sender| match sender {
        Some(sender) => Ok(sender.clone()),
        None => Err(Error::rejected("a `ReplyTo` can only be received by an entity")),
    })
}
