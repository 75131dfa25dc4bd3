//! Event store to event store replication.
//!
//! - [`event`]: what travels.
//! - [`source`], [`sink`]: where it comes from and goes to.
//! - [`pipeline`]: the rules of what is written when, as a pure core.
//! - [`checkpoint`]: where it goes on after a restart.

pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod demo;
pub mod event;
pub mod filter;
pub mod health;
mod journal_event;
pub mod kinesis;
pub mod logging;
pub mod metrics;
pub mod park;
pub mod pipeline;
pub mod run;
pub mod sink;
pub mod source;
pub mod stores_on_demand;
pub mod subscription;
pub mod transform;
pub mod verify;

pub use antiphon_persistence::{Error, ErrorKind, Result};
