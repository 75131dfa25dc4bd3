//! The faults of the network in memory, and their counters.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The faults of the frames from one node to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// Time that a frame takes. Without reordering, a frame also waits for the frames before it.
    pub delay: RangeInclusive<Duration>,
    /// Number of frames in a million that are lost.
    pub drop_per_million: u32,
    /// Number of frames in a million that come twice.
    pub duplicate_per_million: u32,
    /// Number of frames in a million that overtake the frames before them, or let others overtake
    /// them.
    pub reorder_per_million: u32,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            delay: Duration::from_micros(100)..=Duration::from_micros(500),
            drop_per_million: 0,
            duplicate_per_million: 0,
            reorder_per_million: 0,
        }
    }
}

/// The counters of a network since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NetworkStats {
    /// Frames that were sent.
    pub sent: u64,
    /// Frames that arrived.
    pub delivered: u64,
    /// Frames lost by chance.
    pub dropped: u64,
    /// Frames lost because the way was cut or the connection was gone when they arrived.
    pub cut: u64,
    /// Frames that came twice.
    pub duplicated: u64,
    /// Frames that were sent out of order.
    pub reordered: u64,
}
