//! The coordinator lease of each place, and the sealing of dead nodes.

mod state;

pub use state::{LeaseHolder, LeaseState};
