//! How large events and appends may be: one unit, the bytes of the [record](crate::record::batch) that a store keeps, counted without
//! encoding. An event has the same size at every replica, and the same limit everywhere, so that what one place has stored every other
//! place can store.

use super::{Append, Snapshot};
use crate::event::{EventMeta, Payload, StoredEvent};
use crate::identity::PersistenceId;
use crate::record::batch;
use crate::{Error, Result};

/// The largest event, in encoded bytes with its metadata: 4 MiB of payload and 64 KiB for the rest. The same in every store, and no setting.
pub const EVENT_BYTES_MAX: usize = (4 << 20) + (64 << 10);

/// What a store takes. Whoever forms groups of events, or pages of them, keeps to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Encoded bytes of all events of one append.
    pub append_bytes_max: usize,
    /// Encoded bytes of one event, at most [`EVENT_BYTES_MAX`].
    pub event_bytes_max: usize,
    /// Bytes of the state in a snapshot.
    pub snapshot_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            append_bytes_max: 16 << 20,
            event_bytes_max: EVENT_BYTES_MAX,
            snapshot_bytes_max: 64 << 20,
        }
    }
}

impl Limits {
    /// The bytes of an event, as they count here.
    pub fn event_bytes(meta: &EventMeta, payload: &Payload) -> usize {
        batch::event_bytes(meta, payload)
    }

    /// How many of the first of these events fit one append; at least one.
    ///
    /// # Panics
    /// When there is no event.
    pub fn fitting(&self, events: &[StoredEvent], event_count_max: usize) -> usize {
        assert!(!events.is_empty(), "expected at least one event");
        let mut bytes = batch::HEAD_BYTES_MAX;
        let fits = |event: &&StoredEvent| {
            bytes += Self::event_bytes(&event.meta, &event.payload);
            bytes <= self.append_bytes_max
        };
        events.iter().take(event_count_max).take_while(fits).count().max(1)
    }

    /// The bytes of an append of these events, as they count here.
    pub fn append_bytes(events: &[StoredEvent]) -> usize {
        batch::HEAD_BYTES_MAX + batch::events_bytes(events)
    }
}

impl Snapshot {
    /// Checks the size of the state.
    ///
    /// # Errors
    /// `Rejected` when it is larger than the store takes, with the limit.
    pub fn check_size(&self, persistence_id: &PersistenceId, limits: &Limits) -> Result<()> {
        let (limit, actual) = (limits.snapshot_bytes_max, self.state.bytes.len());
        if actual <= limit {
            return Ok(());
        }
        Err(Error::rejected(format!(
            "snapshot {} of `{persistence_id}`: expected a state of at most {limit} bytes, actual {actual}",
            self.sequence_nr
        )))
    }
}

impl Append {
    /// Checks the sizes of the events, and of all of them.
    ///
    /// # Errors
    /// `Rejected` when an event or the append is larger than the store takes, with the limit.
    pub fn check_size(&self, limits: &Limits) -> Result<()> {
        for event in &self.events {
            let actual = Limits::event_bytes(&event.meta, &event.payload);
            if actual > limits.event_bytes_max {
                return Err(Error::rejected(format!(
                    "append to `{}`: event {}: expected at most {} bytes, actual {actual}",
                    self.persistence_id, event.sequence_nr, limits.event_bytes_max
                )));
            }
        }
        let actual = Limits::append_bytes(&self.events);
        if actual > limits.append_bytes_max {
            return Err(Error::rejected(format!(
                "append to `{}`: expected at most {} bytes (`append_bytes_max`), actual {actual}",
                self.persistence_id, limits.append_bytes_max
            )));
        }
        Ok(())
    }
}

/// Checks the setting `append_bytes_max` of a store whose rows can have `limit` bytes.
///
/// # Errors
/// `Rejected` when a single event of the largest size would not fit, or when it is over the limit.
pub fn check_append_bytes_max(actual: usize, limit: usize) -> Result<()> {
    let least = EVENT_BYTES_MAX + batch::HEAD_BYTES_MAX;
    if (least..=limit).contains(&actual) {
        return Ok(());
    }
    Err(Error::rejected(format!(
        "`append_bytes_max`: expected {least} (so that each event which another place has stored can be stored here) to {limit}, actual {actual}"
    )))
}
