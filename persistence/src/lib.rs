//! Event-sourced entities, their journals' contracts and replication: everything of Antiphon that
//! needs no cluster.
//!
//! - [`identity`]: replica, entity, persistence id, slice.
//! - [`version`]: version vectors.
//! - [`event`]: events as a journal stores them.
//! - [`store`]: the contracts of journals, snapshots, offsets and coordination.
//! - [`memory`]: all stores in memory, for tests and simulation.
//! - [`codec`]: payload codecs with manifests and versions.
//! - [`delivery`]: causal, exactly-once delivery of replicated events.
//! - [`entity`]: the engine that runs an [`entity::EventSourced`] behaviour.
//! - [`record`]: the binary records of events, for backends.
//! - [`shape`]: the shapes of events and states, so that a changed type is noticed.
//! - [`verify`]: the search of a whole store for damage.
//! - [`reply`]: answers to commands, local or remote.
//! - [`crdt`]: operation-based replicated data types.

pub mod codec;
pub mod crdt;
pub mod delivery;
pub mod entity;
pub mod event;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod identity;
pub mod memory;
pub mod record;
pub mod reply;
pub mod shape;
pub mod store;
pub mod verify;
pub mod version;

pub use antiphon_base::{Error, ErrorKind, Result};

/// Makes a type that never leaves its node a message of actors, in programs with remote actors (the
/// feature `cluster`) and in those without: ractor makes every type one in the latter.
///
/// ```
/// enum Message { Tick }
/// antiphon_persistence::local_message!(Message);
/// # fn of<M: ractor::Message>(_: M) {}
/// # of(Message::Tick);
/// ```
#[cfg(feature = "cluster")]
#[macro_export]
macro_rules! local_message {
    ($message:ty) => {
        impl ::ractor::Message for $message {}
    };
}

/// Makes a type that never leaves its node a message of actors, in programs with remote actors (the
/// feature `cluster`) and in those without: ractor makes every type one in the latter.
///
/// ```
/// enum Message { Tick }
/// antiphon_persistence::local_message!(Message);
/// # fn of<M: ractor::Message>(_: M) {}
/// # of(Message::Tick);
/// ```
#[cfg(not(feature = "cluster"))]
#[macro_export]
macro_rules! local_message {
    ($message:ty) => {};
}
