//! What goes wrong on the way, and how often it did.

use std::ops::RangeInclusive;
use std::time::Duration;

/// What happens to the frames from one node to another.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// How long a frame takes. Without reordering, a frame also waits for those before it.
    pub delay: RangeInclusive<Duration>,
    /// How many frames in a million are lost.
    pub drop_per_million: u32,
    /// How many frames in a million come twice.
    pub duplicate_per_million: u32,
    /// How many frames in a million overtake those before them, or let others overtake them.
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

/// What has happened so far.
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
