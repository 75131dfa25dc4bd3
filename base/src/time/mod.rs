//! Time: the clock seam, timestamps, and the hybrid logical clock.

mod clock;
mod hybrid;
pub mod text;

pub use clock::{Clock, SystemClock};
pub use hybrid::{HybridClock, Timestamp};
