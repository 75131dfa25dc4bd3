//! Time: the clock seam, timestamps, and the hybrid logical clock.

mod clock;
mod hybrid;

pub use clock::{Clock, SystemClock};
pub use hybrid::{HybridClock, Timestamp};
