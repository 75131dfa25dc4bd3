//! The admission of messages of other nodes: a node can say only what it may say.
//!
//! | message | taken from | rule |
//! |---|---|---|
//! | every one | a node in the membership table of its place; a newcomer's wait | `newcomers` |
//! | a command | every member, or those of the own place (`commands_from`) | `region::incoming` |
//! | `Homes`, also as an answer | the holder of the place's lease, under its token | `leases` |
//! | `ShardStopped` | the home that the shard leaves | `coordinator::core` |
//! | `Replicate` | a node of the place whose replica wrote the events | `replication::arrival` |
//! | `WayOpened` | a node of the place of the replica that the way comes from | `region::port` |
//!
//! The place of a node is that of the membership table that names it. Every refusal is counted by
//! its [reason](Refusal::reason), and logged once in `fault_log_interval` with the last sender.

mod coordinators;
mod entrance;
mod leases;
mod newcomers;
mod refusal;
mod refusals;

pub(crate) use self::coordinators::Coordinators;
pub(crate) use self::entrance::{Arrived, Entrance};
pub(crate) use self::refusal::Refusal;
pub(crate) use self::refusals::Refusals;

use std::sync::Arc;

use antiphon_runtime::NodeId;

/// The node that sent a message, with its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sender<'a> {
    pub(crate) id: &'a NodeId,
    pub(crate) place: &'a Arc<str>,
}
