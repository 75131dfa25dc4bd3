//! Event-sourced entities: the behaviour that an application writes, and the engine that runs it.
//!
//! - [`EventSourced`] is the behaviour: two plain functions and three types.
//! - [`Effect`] says what a command does: persist, reply, stop, and so on.
//! - [`CommandContext`] and [`EventContext`] are arguments of the two functions; only the second
//!   knows where an event came from.
//! - [`engine`] has the rules: recovery, output commit, replication, failure. It is a pure core.
//! - [`EntityRuntime`] starts entities as ractor actors around the engine and does their I/O.
//! - [`testkit`] runs a behaviour without actors, journals or a cluster.

mod actor;
mod behaviour;
mod check;
mod context;
mod counters;
mod effect;
pub mod engine;
mod forked;
mod handle;
mod host;
mod reading;
mod runtime;
mod settings;
mod skip;
mod storing;
pub mod testkit;
mod writes;
mod writing;

pub use behaviour::{EventSourced, EventType, Signal};
pub use context::{CommandContext, EventContext, ReplicationContext};
pub use counters::EntityCounters;
pub use effect::{AsynchronousFailure, Effect};
pub use forked::ForkedEntity;
pub use handle::{EntityHandle, TellError};
pub use host::{EntityHost, HeldEvent, PeerHas, StandaloneHost, StopReason};
pub use reading::UnknownVersion;
pub use runtime::{EntityParts, EntityRuntime, LateShapes};
pub use settings::EntitySettings;
pub use skip::SkippedEvent;
pub use writes::Writes;

#[cfg(test)]
mod tests;
