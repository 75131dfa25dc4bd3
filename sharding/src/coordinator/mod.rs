//! The coordinator of one entity type in one place. Decides which node is the home of each shard.
//!
//! The coordinator runs on the holder of the place's lease. A home is published only after it was
//! written under the token of the lease, so that a coordinator that lost its lease changes nothing.
//! Every shard has a home at all times, since the home runs the journal loops of the shard's
//! entities.
//!
//! ```text
//!   no home, or its node is dead and sealed --> write --> At(node)
//!   At(a) -- a leaves, or has too many --> Moving(a) -- a has stopped it --> write --> At(b)
//! ```
//!
//! The shards of a node that is dead and not sealed stay there: no other node may host them yet.

mod actor;
mod allocation;
mod core;
mod homes;

pub use self::actor::homes_table;
pub(crate) use self::actor::{CoordinatorHandle, CoordinatorParts};
pub use self::core::{CoordinatorCore, CoordinatorSettings, Effect, Input};
pub use self::homes::{Home, Homes, HomesVersion, MoveId};

#[cfg(test)]
mod allocation_tests;
#[cfg(test)]
mod role_tests;
#[cfg(test)]
mod tests;
