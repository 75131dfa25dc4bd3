//! The coordinator lease of each place.

mod core;
mod fitness;
mod state;

pub(crate) use self::core::{COORDINATOR, LEASES};
pub use self::core::{Effect, Input, LeaseCore, LeaseRow, VersionedLease, verdicts};
pub use self::state::{LeaseHolder, LeaseState};

#[cfg(test)]
mod tests;
