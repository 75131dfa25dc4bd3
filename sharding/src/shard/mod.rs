//! A shard: the entities of a range of slices, on the node that is its home.

mod lifecycle;

pub use lifecycle::{Effect, Input, Lifecycle, LifecycleSettings, Pressure};

#[cfg(test)]
mod tests;
