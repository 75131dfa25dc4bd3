//! Version vectors: per origin, the number of events that a replica has.

mod vector;

pub use vector::{Causality, VersionVector};
