//! Event store to event store replication.
//!
//! - [`event`]: what travels.
//! - [`source`], [`sink`]: where it comes from and goes to.
//! - [`checkpoint`]: where it goes on after a restart.

pub mod checkpoint;
pub mod config;
pub mod event;
pub mod metrics;
pub mod sink;
pub mod source;

pub use antiphon_persistence::{Error, ErrorKind, Result};
