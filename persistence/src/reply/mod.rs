//! Answers to commands: the same type for an asker on this node and on another.
//!
//! A [`ReplyTo`] travels inside a command. On one node it is the sending half of a one-shot channel
//! and nothing is serialised. When a command is encoded for another node, [`encode_command`] takes
//! the channel out and puts a number in its place; [`decode_command`] turns that number into a
//! `ReplyTo` that sends its answer through a [`ReplySender`].

mod askers;
mod claim;
mod error;
mod missing;
mod reply_to;
mod scope;
mod session;
mod status;

pub use askers::Askers;
pub use claim::{Claim, Notice};
pub use error::{CommandEffect, ReplyError};
pub use missing::{Missing, MissingEvents};
pub use reply_to::{
    PendingEncoded, PendingReply, ReplyTo, claimed_reply_channel, encoded_reply_channel,
    reply_channel,
};
pub(crate) use scope::{Reason, answer_again, lending_claim, with_answering, with_panic_reason};
pub use scope::{
    RemoteCompletion, ReplyRegistrar, ReplySender, decode_command, encode_claimed_command,
    encode_command, refuse, refuse_claimed,
};
pub use session::Session;
#[cfg(feature = "fuzzing")]
pub(crate) use session::fuzzing;
pub use status::AskFailure;

pub(crate) use scope::with_sender;

#[cfg(test)]
mod tests;
