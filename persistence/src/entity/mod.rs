//! Event-sourced entities: the behaviour that an application writes, and the engine that runs it.
//!
//! - [`EventSourced`] is the behaviour: two plain functions and three types.
//! - [`Effect`] says what a command does: persist, reply, stop, and so on. [`Effects`] makes it in
//!   a handler: `self.persist(event)`.
//! - [`CommandContext`] and [`EventContext`] are arguments of the two functions; only the second
//!   knows where an event came from.
//! - [`engine`] has the rules: recovery, output commit, replication, failure. It is a pure core.
//! - [`EntityRuntime`] starts entities as ractor actors around the engine and does their I/O.
//! - [`testkit`] runs a behaviour without actors, journals or a cluster.

mod actor;
mod asynchronous;
mod awaited;
mod behaviour;
mod check;
mod context;
mod counters;
mod effects;
pub mod engine;
mod event_type;
mod extensions;
mod forked;
mod futures;
mod handle;
mod host;
mod listener;
mod listeners;
mod mailbox;
mod message;
mod parts;
mod reading;
mod remind;
mod reminder;
mod replayed;
mod request_note;
mod runtime;
mod self_ref;
mod settings;
mod signs;
mod skip;
mod storing;
mod surroundings;
pub mod testkit;
mod then;
mod timer;
mod versioned;
mod writes;
mod writing;

pub use asynchronous::AsynchronousFailure;
pub use awaited::Awaiting;
pub use behaviour::{Effect, EventSourced, Signal};
pub use context::{CommandContext, DoneBefore, EventContext, ReplicationContext};
pub use counters::EntityCounters;
pub use effects::Effects;
pub use event_type::EventType;
pub use extensions::Extensions;
pub use forked::ForkedEntity;
pub use handle::{EntityHandle, TellError};
pub use host::{EntityHost, HeldEvent, PeerHas, StandaloneHost, StopReason};
pub use listener::{DurableEvent, EventListener, ListenError};
pub use parts::{EntityParts, LateShapes};
pub use reading::UnknownVersion;
pub use reminder::{DueReminder, Reminder};
pub use replayed::Replayed;
pub use runtime::EntityRuntime;
pub use self_ref::SelfRef;
pub use settings::EntitySettings;
pub use skip::SkippedEvent;
pub use timer::Timer;
pub use writes::Writes;

#[cfg(test)]
mod tests;
