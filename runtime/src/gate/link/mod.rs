//! A link: the stream of frames to one node, and the stream back.
//!
//! [`core`] holds the rules and [`shell`] keeps them behind a lock, [`queue`] has the messages that
//! wait to be sent, [`incoming`] the frames that have arrived, [`record`] the bytes of a frame, and
//! [`budget`] the limit of bytes that have arrived without being with their receivers.

mod budget;
mod core;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod incoming;
mod queue;
mod record;
mod shell;

pub(super) use self::budget::Budget;
pub(super) use self::core::{Effect, Input, STALLED};
pub(super) use self::record::{Message, MessageKind};
pub(super) use self::shell::Link;

#[cfg(test)]
mod fixtures;
