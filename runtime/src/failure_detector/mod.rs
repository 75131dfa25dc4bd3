//! Failure detection: each node probes its next neighbours on the ring of names.
//!
//! A detector gives only a hint: it leads to votes, and the table decides. Safety depends on
//! sealing alone.

mod core;

pub use self::core::{DetectorSettings, Effect, FailureDetector, Input};

#[cfg(test)]
mod tests;
