//! A region: routes the commands of one entity type on one node to the homes of their shards, and runs the shards that live here.
//!
//! - [`route`](Route): the rules for one shard: where it lives, what waits meanwhile. A pure core.
//! - `shared`: the shared handle. Senders step the route of their shard themselves, under its lock, so that local delivery costs no
//!   hop and the order of one sender is kept (`docs/design/0002-delivery-path.md`).
//! - `slot`: the lock of one shard, under which no application code runs.
//! - `local`: the entities of a shard that lives here.
//! - `remote`: commands to and from other nodes.
//! - `control`: homes, ticks, shutdown.

mod control;
mod host;
mod local;
mod remote;
mod route;
mod shared;
mod slot;

pub(crate) use host::Host;
pub use route::{Effect, Input, Route, RouteSettings};
pub(crate) use shared::{Envelope, Region, RegionParts};

#[cfg(test)]
mod tests;
