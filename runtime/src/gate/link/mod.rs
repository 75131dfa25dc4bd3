//! One link: the stream of frames to one peer and the one back.
//!
//! [`core`] holds the rules, [`queue`] what waits to be sent, [`incoming`] what has arrived, [`record`] the bytes of a
//! frame, [`budget`] how much may have arrived without being with its receiver.

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
