//! A region: routes the commands of one entity type on one node to the homes of their shards, and
//! runs the shards that live here.
//!
//! ```text
//!   assembly ----> status, homes, incoming, direct -----> routing
//!   (port, host)                                            |
//!                     hosting, following, ways, outgoing <--+
//!                        |                        |
//!                        +------> slot <----------+       cores: route, relay, readiness
//! ```
//!
//! - `assembly`: the `Region`: its start, its ticks, its end. `port`: messages of other nodes for
//!   it. `host`: reports of its entities.
//! - `routing`: brings commands to the homes of their shards. [`route`](Route): the rules for one
//!   shard: its home, and the commands that wait.
//! - `slot`: the lock of one shard, under which no application code runs.
//! - `hosting`: the entities of the shards that live here; `local_shard`: those of one shard;
//!   `following`: its journal loops.
//! - `outgoing`, `incoming`: commands to and from other nodes. `relay`: members that pass commands
//!   on to homes to which this node is not connected; `relay_search`: the questions to them.
//! - `direct`: events to and from other nodes. `ways`: tells the homes of other replicas' shards to
//!   read events that direct replication may have lost.
//! - `reminding`: hands reminders that are due to their entities.
//! - `homes`: the homes that the coordinators name. `status`: the state for the operator;
//!   `readiness`: whether every shard has a home.
//! - `room`: the number of entities that the node may have. `doubts`: entities that may miss own
//!   events, because the journal may have gone back.
//! - `differences`: members with other replicas of the type than this node.
//! - `parts`, `layout`, `metrics`, `envelope`: shared by these.

mod assembly;
mod differences;
mod direct;
mod doubts;
mod envelope;
mod following;
mod homes;
mod host;
mod hosting;
mod incoming;
mod layout;
mod local_shard;
mod metrics;
mod outgoing;
mod parts;
mod port;
mod readiness;
mod relay;
mod relay_search;
mod reminding;
mod room;
mod route;
mod routing;
mod slot;
mod status;
mod ways;

pub(crate) use assembly::Region;
pub(crate) use host::Host;
pub(crate) use layout::Layout;
pub(crate) use parts::RegionParts;
pub use route::{Backlog, Effect, Input, Reach, Route, RouteSettings};

#[cfg(test)]
mod tests;
