//! Failure detection: each node probes its next neighbours on the ring of names.
//!
//! A detector is only a hint: it leads to votes, the table decides, and safety hangs on sealing alone.

mod core;

pub use self::core::{DetectorSettings, Effect, FailureDetector, Input};

#[cfg(test)]
mod tests;
