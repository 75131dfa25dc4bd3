//! A network in memory, for tests and for the simulation: frames take time, get lost, come twice or
//! in another order; nodes are cut off and crash; and all of it follows from one seed.
//!
//! Time is tokio's, so it can be paused. On a current-thread runtime, two runs with the same seed
//! and the same program are the same.

mod events;
mod faults;
mod network;
mod random;
mod state;
mod transport;

pub use faults::{Faults, NetworkStats};
pub use network::MemoryNetwork;
pub use random::SplitMix64;
pub use transport::MemoryTransport;

#[cfg(test)]
mod tests;
