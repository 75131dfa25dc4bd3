//! The messages between nodes about shards.

pub(crate) mod bounded;
mod command;
mod completions;
mod control;
pub(crate) mod hops;

use antiphon_runtime::ServiceId;
pub(crate) use command::{Answers, REPLIES_MAX, WireCommand, complete};
pub(crate) use completions::Completions;
pub(crate) use control::{HomesAnswer, ReachAnswer, Wire};

/// The service for commands to entities, and their answers.
pub(crate) const COMMANDS: ServiceId = ServiceId(16);
/// The service for homes and events.
pub(crate) const SHARDING: ServiceId = ServiceId(17);

#[cfg(test)]
mod fixtures;
