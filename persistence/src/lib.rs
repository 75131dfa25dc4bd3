//! Event-sourced entities, their journals' contracts and replication: everything of Antiphon that
//! needs no cluster.
//!
//! - [`identity`]: replica, entity, persistence id, slice.
//! - [`version`]: version vectors.
//! - [`time`]: the clock seam and the hybrid logical clock.
//! - [`event`]: events as a journal stores them.
//! - [`store`]: the contracts of journals, snapshots, offsets and coordination.
//! - [`memory`]: all stores in memory, for tests and simulation.
//! - [`codec`]: payload codecs with manifests and versions.
//! - [`delivery`]: causal, exactly-once delivery of replicated events.
//! - [`entity`]: the engine that runs an [`entity::EventSourced`] behaviour.
//! - [`guard`]: the guard around every call of application code.
//! - [`record`]: the binary records of events, for backends.
//! - [`shape`]: the shapes of events and states, so that a changed type is noticed.
//! - [`verify`]: the search of a whole store for damage.
//! - [`reply`]: answers to commands, local or remote.
//! - [`text`]: text from outside, made fit for logs and errors.
//! - [`crdt`]: operation-based replicated data types.

pub mod bounds;
pub mod codec;
pub mod crdt;
pub mod delivery;
pub mod entity;
mod error;
pub mod event;
pub mod guard;
pub mod identity;
pub mod lasting;
pub mod memory;
pub mod record;
pub mod reply;
pub mod secret;
pub mod shape;
pub mod store;
pub mod task;
pub mod text;
pub mod time;
pub mod verify;
pub mod version;

pub use error::{Error, ErrorKind, Result};
