//! A shard: the entities of a range of slices, on the node that is its home.

mod core;
mod entities;
mod eviction;

pub use self::core::{Effect, Input, Lifecycle, LifecycleSettings, Use};
pub use self::eviction::Pressure;

#[cfg(test)]
mod tests;
