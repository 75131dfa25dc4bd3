//! The messages between nodes about shards.

mod answer;
mod answers;
pub(crate) mod bounded;
mod command;
mod completions;
mod control;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
pub(crate) mod hops;

pub(crate) use answers::{Answers, answered_as};
use antiphon_runtime::ServiceId;
pub(crate) use command::{REPLIES_MAX, WireCommand};
pub(crate) use completions::Completions;
pub(crate) use control::{Asker, HomesAnswer, ReachAnswer, Wire};

/// The service for commands to entities, and their answers.
pub(crate) const COMMANDS: ServiceId = ServiceId(16);
/// The service for homes and events.
pub(crate) const SHARDING: ServiceId = ServiceId(17);

#[cfg(test)]
mod fixtures;
