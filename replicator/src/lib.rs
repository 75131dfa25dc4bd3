//! Event store to event store replication.
//!
//! - [`event`]: the event that travels.
//! - [`source`], [`sink`]: the ends that events come from and go to.
//! - [`pipeline`]: the rules for the order and the time of writes, as a pure core.
//! - [`checkpoint`]: the position to go on from after a restart.

pub mod checkpoint;
pub mod cli;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod event;
pub mod filter;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod health;
pub mod http;
mod journal_event;
pub mod kinesis;
pub mod logging;
pub mod metrics;
pub mod park;
pub mod pipeline;
mod position;
pub mod run;
mod say;
pub mod sink;
pub mod source;
pub mod subscription;
pub mod transform;
pub mod verify;

pub use antiphon_persistence::{Error, ErrorKind, Result};
