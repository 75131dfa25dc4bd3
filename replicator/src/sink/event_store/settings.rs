//! Settings of the sink.

use std::time::Duration;

/// The way in which an append is made repeatable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// Append at the event's number of the source.
    Exact,
    /// Append behind the last event, after a search for the event's id.
    LookBack,
}

/// Settings of the sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventStoreSinkSettings {
    /// The way in which an append is made repeatable.
    pub versions: Versions,
    /// `$maxAge` of streams that are new at the destination. None for no limit.
    pub time_to_live: Option<Duration>,
    /// Number of ids read from the end of a destination stream to find events written before. Must
    /// exceed the number of events in progress at a crash.
    pub look_back_max: u64,
    /// Largest number of ids kept for all streams together. Above it streams are forgotten, and
    /// read again at their next write.
    pub known_ids_max: usize,
}

impl Default for EventStoreSinkSettings {
    fn default() -> Self {
        Self {
            versions: Versions::Exact,
            time_to_live: None,
            look_back_max: 4096,
            known_ids_max: 500_000,
        }
    }
}
