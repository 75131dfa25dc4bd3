//! Size limits of events and appends. The unit is the bytes of the [record](crate::record::batch)
//! that a store keeps, counted without encoding. An event has the same size and the same limit at
//! every replica, so that every place can store an event which another place has stored.

use crate::event::{EventMeta, Labels, Payload, StoredEvent};
use crate::identity::NAME_BYTES_MAX;
use crate::record::batch;
use crate::{Error, Result};

/// The largest event, in encoded bytes with its metadata and tags: 4 MiB of payload and 64 KiB for
/// the rest. The same in every store, and not a setting.
pub const EVENT_BYTES_MAX: usize = (4 << 20) + (64 << 10);

/// The limits of a store. Code that forms groups or pages of events keeps to them.
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
    /// The bytes of an event, as the limits count them.
    pub fn event_bytes(meta: &EventMeta, payload: &Payload) -> usize {
        batch::event_bytes(meta, payload)
    }

    /// A number of bytes that an event whose version has `version_count` entries does not exceed,
    /// found faster than [the exact number](Self::event_bytes).
    pub fn event_bytes_bound(version_count: usize, labels: &Labels, payload: &Payload) -> usize {
        const NUMBERS_BYTES: usize = 64;
        let names = version_count + 1;
        payload.bytes.len()
            + payload.manifest.len()
            + names * (NAME_BYTES_MAX + 16)
            + batch::labels_bytes(labels)
            + NUMBERS_BYTES
    }

    /// Number of leading `events` that fit one append: at least one, at most `event_count_max`.
    ///
    /// # Panics
    /// When there is no event.
    pub fn fitting(&self, events: &[StoredEvent], event_count_max: usize) -> usize {
        assert!(!events.is_empty(), "expected at least one event");
        let count_max = events.len().min(event_count_max).max(1);
        let bound = |event: &StoredEvent| {
            let EventMeta { version, labels, .. } = &event.meta;
            Self::event_bytes_bound(version.iter().count(), labels, &event.payload)
        };
        let bounds: usize = events[..count_max].iter().map(bound).sum();
        if batch::HEAD_BYTES_MAX + bounds <= self.append_bytes_max {
            return count_max;
        }
        let mut bytes = batch::HEAD_BYTES_MAX;
        let fits = |event: &&StoredEvent| {
            bytes += Self::event_bytes(&event.meta, &event.payload);
            bytes <= self.append_bytes_max
        };
        let count = events.iter().take(event_count_max).take_while(fits).count().max(1);
        assert!(count <= count_max, "{count} events fit, at most {count_max} were asked for");
        count
    }

    /// The bytes of an append of these events, as the limits count them.
    pub fn append_bytes(events: &[StoredEvent]) -> usize {
        batch::HEAD_BYTES_MAX + batch::events_bytes(events)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Metadata, SequenceNr};
    use crate::identity::ReplicaId;
    use antiphon_base::time::Timestamp;

    use crate::version::VersionVector;

    #[test]
    fn no_event_is_larger_than_its_bound() {
        let longest = |index: usize| {
            ReplicaId::new(format!("{index}{}", "r".repeat(NAME_BYTES_MAX - 1))).unwrap()
        };
        for replicas in 0..5 {
            let version: VersionVector =
                (0..replicas).map(|index| (longest(index), u64::MAX)).collect();
            let meta = EventMeta {
                origin: longest(0),
                version,
                source_seq: SequenceNr::MAX,
                concurrent: true,
                timestamp: Timestamp::from_micros(u64::MAX),
                labels: Labels::new(Metadata::new().with("k", "v").unwrap(), ["t"].into()).unwrap(),
            };
            for bytes in [0, 1, 127, 128, 70_000] {
                let payload = Payload {
                    codec: u8::MAX,
                    manifest: "m".repeat(256).into(),
                    version: u16::MAX,
                    bytes: vec![1; bytes].into(),
                };
                let exact = Limits::event_bytes(&meta, &payload);
                let bound = Limits::event_bytes_bound(replicas, &meta.labels, &payload);
                assert!(exact <= bound, "{exact}");
            }
        }
    }

    #[test]
    fn a_limit_that_would_keep_a_place_from_catching_up_is_refused() {
        let limit = 8 << 20;
        for (bytes, is_good) in [
            (0, false),
            (EVENT_BYTES_MAX, false),
            (EVENT_BYTES_MAX + batch::HEAD_BYTES_MAX, true),
            (limit, true),
            (limit + 1, false),
        ] {
            assert_eq!(check_append_bytes_max(bytes, limit).is_ok(), is_good, "{bytes}");
        }
    }
}
