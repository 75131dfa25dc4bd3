//! A link: the stream of frames to one peer, and the stream back.
//!
//! [`core`] holds the rules, [`queue`] the messages that wait to be sent, [`incoming`] the frames
//! that have arrived, [`record`] the bytes of a frame, and [`budget`] the limit of bytes that have
//! arrived without being with their receivers.

mod budget;
mod core;
mod incoming;
mod queue;
mod record;

pub(super) use self::budget::Budget;
pub(super) use self::core::{Effect, Input, LinkCore};
pub(super) use self::record::{Message, MessageKind};

#[cfg(test)]
mod fixtures;
