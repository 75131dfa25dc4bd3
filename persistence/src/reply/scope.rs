//! The context of a `ReplyTo` in serde, which passes none: a scope of the thread, set for the
//! length of one synchronous encode or decode.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Claim, ReplyError};
use crate::codec::CodecId;
use crate::{Error, Result, guard};

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

thread_local! {
    static PANICKED: RefCell<Option<ReplyError>> = const { RefCell::new(None) };
    static REFUSAL: RefCell<Option<ReplyError>> = const { RefCell::new(None) };
    static REGISTRAR: RefCell<Option<Arc<dyn ReplyRegistrar>>> = const { RefCell::new(None) };
    static SENDER: RefCell<Option<(Arc<dyn ReplySender>, Claim)>> = const { RefCell::new(None) };
}

/// Encodes a command for another node, with bincode.
///
/// # Errors
/// `Rejected` when it cannot be encoded; its askers then get "no reply".
pub fn encode_command<C: Serialize>(
    command: &C,
    registrar: Arc<dyn ReplyRegistrar>,
) -> Result<Vec<u8>> {
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
/// would abort the process. A `ReplyTo` of another command, which was passed on in this one, gets
/// an error with the effect of its own command.
pub fn refuse<C>(command: C, reason: ReplyError) {
    let outer = REFUSAL.replace(Some(reason));
    let _ = guard::call("Drop of a command", &std::any::type_name::<C>(), || drop(command));
    REFUSAL.replace(outer);
}

/// Runs application code; a `ReplyTo` that is dropped because the code panics answers `reason`.
pub(crate) fn with_panic_reason<T>(reason: ReplyError, code: impl FnOnce() -> T) -> T {
    struct Restore(Option<ReplyError>);
    impl Drop for Restore {
        fn drop(&mut self) {
            PANICKED.replace(self.0.take());
        }
    }
    let _restore = Restore(PANICKED.replace(Some(reason)));
    code()
}

pub(super) fn refusal() -> Option<ReplyError> {
    let reasons = if std::thread::panicking() { &PANICKED } else { &REFUSAL };
    reasons.with_borrow(Clone::clone).or_else(|| REFUSAL.with_borrow(Clone::clone))
}

pub(super) fn registrar() -> Result<Arc<dyn ReplyRegistrar>> {
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
