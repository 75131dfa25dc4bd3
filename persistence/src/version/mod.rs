//! Version vectors: which events of each origin a replica has.

mod vector;

pub use vector::{Causality, VersionVector};
