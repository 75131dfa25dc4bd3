//! The coordinator of one entity type in one place: decides which node is the home of which shard.
//!
//! It runs where the place's lease is. Homes are written with the lease's token and told only after that, so that a coordinator
//! that lost its lease changes nothing. All shards have homes all the time, since each runs the journal loops of its entities.
//!
//! ```text
//!   no home, or its node is dead and sealed --> write --> At(node)
//!   At(a) -- a leaves, or has too many --> Moving(a) -- a has stopped it --> write --> At(b)
//! ```
//!
//! The shards of a node that is dead and not sealed stay where they are: nobody may host them yet.

mod actor;
mod core;
mod homes;

pub(crate) use self::actor::{CoordinatorHandle, CoordinatorParts};
pub use self::core::{CoordinatorCore, CoordinatorSettings, Effect, Input};
pub use self::homes::{Home, Homes, HomesVersion, MoveId};

#[cfg(test)]
mod tests;
