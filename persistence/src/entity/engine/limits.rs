//! The bytes of one append: groups are formed by the measure by which the store refuses them.
//!
//! The events of one command are stored together or not at all, so a command whose events do not
//! fit one append is rejected before anything happens. Events of other replicas need not be stored
//! together: they are cut where an append is full.

use antiphon_base::time::Timestamp;

use super::encoded::Encoded;
use super::shared::Shared;
use crate::entity::EventSourced;
use crate::event::{EventMeta, Labels, SequenceNr, StoredEvent};
use crate::store::Limits;
use crate::version::VersionVector;

/// Cuts events into groups that each fit one append, of at most `event_count_max` events.
pub(super) fn cut(
    limits: &Limits,
    event_count_max: usize,
    mut events: Vec<StoredEvent>,
) -> Vec<Vec<StoredEvent>> {
    let mut groups = Vec::new();
    while !events.is_empty() {
        let count = limits.fitting(&events, event_count_max);
        let rest = events.split_off(count);
        groups.push(std::mem::replace(&mut events, rest));
    }
    groups
}

/// Checks that the store takes the encoded events of a command. `seen` is the entity's version.
///
/// # Errors
/// The reason why it does not.
pub(super) fn check_command<E: EventSourced>(
    shared: &Shared<E>,
    seen: &VersionVector,
    events: &[Encoded],
) -> Result<(), String> {
    let Limits { append_bytes_max, event_bytes_max, .. } = shared.limits;
    // far below the limits an estimate from above is enough
    let bound = |Encoded { payload, labels }: &Encoded| {
        Limits::event_bytes_bound(shared.replicas().len(), labels, payload)
    };
    if events.iter().map(bound).sum::<usize>() <= event_bytes_max {
        return Ok(());
    }
    let mut largest = largest_meta(shared, seen);
    let mut all = 0;
    for Encoded { payload, labels } in events {
        largest.labels.clone_from(labels);
        let actual = Limits::event_bytes(&largest, payload);
        if actual > event_bytes_max {
            return Err(format!(
                "event of {actual} bytes, encoded: expected at most {event_bytes_max}"
            ));
        }
        all += actual;
    }
    if all > append_bytes_max.saturating_sub(Limits::append_bytes(&[])) {
        return Err(format!(
            "{} events of one command with {all} bytes, encoded: expected at most {append_bytes_max} (`append_bytes_max`)",
            events.len()
        ));
    }
    Ok(())
}

/// The metadata of the next own events, with the largest numbers.
fn largest_meta<E: EventSourced>(shared: &Shared<E>, seen: &VersionVector) -> EventMeta {
    let me = shared.id.replica_id();
    let mut version = seen.clone();
    version.set(me, u64::MAX);
    EventMeta {
        origin: me.clone(),
        version,
        source_seq: SequenceNr::MAX,
        concurrent: false,
        timestamp: Timestamp::from_micros(u64::MAX),
        labels: Labels::none(),
    }
}
