//! A region: routes the commands of one entity type on one node to the homes of their shards, and
//! runs the shards that live here.
//!
//! - [`route`](Route): the rules for one shard: its home, and the commands that wait. A pure core.
//! - `shared`: the shared handle. Senders step the route of their shard themselves, under its lock,
//!   so that local delivery costs no hop and the order of one sender is kept
//!   (`docs/design/0002-delivery-path.md`).
//! - `slot`: the lock of one shard, under which no application code runs.
//! - `local`: the entities of a shard that lives here.
//! - `following`: the journal loops of a shard that lives here, and events of direct replication.
//! - `remote`: commands to and from other nodes.
//! - `relay`: members that pass commands on to homes to which this node is not connected.
//! - `ways`: tells the homes of other replicas' shards to read events that direct replication may
//!   have lost.
//! - `room`: the number of entities that the node may have.
//! - `control`: homes, ticks, shutdown. `readiness`: whether every shard has a home.
//! - `doubts`: entities that may miss own events, because the journal may have gone back.

mod control;
mod doubts;
mod following;
mod host;
mod local;
mod port;
mod readiness;
mod relay;
mod remote;
mod room;
mod route;
mod shared;
mod slot;
mod ways;

pub(crate) use host::Host;
pub use route::{Effect, Input, Route, RouteSettings};
pub(crate) use shared::{Envelope, Region, RegionParts};

#[cfg(test)]
mod tests;
