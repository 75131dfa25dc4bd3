//! The number of parked events and the oldest.

/// The parked events of a subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parked {
    /// Number of parked events.
    pub count: u64,
    /// The event that was parked first, where it is known.
    pub oldest: Option<ParkedOldest>,
}

/// The event that was parked first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedOldest {
    /// The event's stream at the source.
    pub stream: String,
    /// The event's number in that stream.
    pub revision: u64,
    /// The time of parking, in microseconds since 1970.
    pub parked_at: u64,
    /// The reason, where it is known.
    pub reason: Option<String>,
}
