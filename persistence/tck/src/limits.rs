//! Cases of [`Limits`]: an append within the limits is taken and a larger one is refused, in one
//! unit.

use antiphon_base::ErrorKind;
use antiphon_persistence::event::{SequenceNr, StoredEvent};
use antiphon_persistence::store::{EVENT_BYTES_MAX, Limits};

use crate::Kit;
use crate::kit::{assert_kind, event, events, id, nr};

/// An event with this number and this encoded size.
fn event_of(number: u64, bytes: usize) -> StoredEvent {
    let mut event = event(number);
    let size = |event: &StoredEvent| Limits::event_bytes(&event.meta, &event.payload);
    event.payload.bytes = vec![b'x'; bytes].into();
    // bytes of the payload's length and of the rest
    let rest = size(&event) - bytes;
    event.payload.bytes = vec![b'x'; bytes - rest].into();
    let missing = bytes - size(&event);
    event.payload.bytes = vec![b'x'; bytes - rest + missing].into();
    assert_eq!(size(&event), bytes);
    event
}

/// The limit of an event must be the same in every store, so that every other place can store the
/// events of a place.
pub async fn the_largest_event_is_the_same_in_every_store(kit: Kit) {
    let limits = kit.stores.journal.limits();
    assert_eq!(limits.event_bytes_max, EVENT_BYTES_MAX);
    assert!(limits.append_bytes_max >= Limits::append_bytes(&[event_of(1, EVENT_BYTES_MAX)]));
}

/// `append` must take every append within `limits`: the largest event, and the largest append, to
/// the byte.
pub async fn what_fits_to_the_byte_is_stored(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let limits = kit.stores.journal.limits();
    let one = id("cart|c-1|DC-A");
    let largest = vec![event_of(1, limits.event_bytes_max)];
    pen.try_append_events(&one, 0, largest.clone()).await.expect("the largest event");
    kit.assert_same(&kit.replay_all(&one).await, &largest);

    let many = id("cart|c-2|DC-A");
    let full = full_append(&limits);
    assert_eq!(Limits::append_bytes(&full), limits.append_bytes_max);
    pen.try_append_events(&many, 0, full.clone()).await.expect("the largest append");
    kit.assert_same(&kit.replay_all(&many).await, &full);
}

/// Events that fill an append to the byte.
fn full_append(limits: &Limits) -> Vec<StoredEvent> {
    let mut left = limits.append_bytes_max - Limits::append_bytes(&[]);
    let mut full = Vec::new();
    while left > 0 {
        // leaves no rest that is smaller than an event
        let bytes = if left <= 1 << 20 { left } else { (left / 2).min(1 << 20) };
        full.push(event_of(full.len() as u64 + 1, bytes));
        left -= bytes;
    }
    full
}

/// `append` must fail with `Rejected`, storing nothing, when an event or the append is larger.
pub async fn what_is_a_byte_too_large_is_rejected_and_not_stored(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let limits = kit.stores.journal.limits();
    let id = id("cart|c-1|DC-A");
    let large = vec![event(1), event_of(2, limits.event_bytes_max + 1)];
    assert_kind(pen.try_append_events(&id, 0, large).await, ErrorKind::Rejected);

    let mut full = full_append(&limits);
    let last = full.len() as u64 + 1;
    full.push(event(last));
    assert_kind(pen.try_append_events(&id, 0, full).await, ErrorKind::Rejected);

    assert_eq!(kit.highest(&id).await, 0);
    pen.append(&id, 0, 2).await;
    kit.assert_same(&kit.replay_all(&id).await, &events(1, 2));
}

/// Backlogs with events of any size can be read in pages. Each page can be stored elsewhere, in as
/// many appends as its size needs.
pub async fn pages_of_every_size_of_event_can_be_stored_elsewhere(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let limits = kit.stores.journal.limits();
    for (index, (bytes, count)) in
        [(1 << 10, 300), (20 << 10, 300), (100 << 10, 60), (1 << 20, 12), (4 << 20, 3)]
            .into_iter()
            .enumerate()
    {
        let from = id(&format!("cart|c-{index}|DC-A"));
        let to = id(&format!("cart|c-{index}|DC-B"));
        for number in 1..=count {
            let append = vec![event_of(number, bytes)];
            pen.try_append_events(&from, number - 1, append).await.expect("append");
        }
        let mut next = 1;
        while next <= count {
            let page = kit.stores.journal.replay(&from, nr(next), SequenceNr::MAX, 1000).await;
            let page = page.expect("replay");
            let mut rest = page.as_slice();
            assert!(!rest.is_empty(), "events of {bytes} bytes from {next}");
            while !rest.is_empty() {
                let (now, later) = rest.split_at(limits.fitting(rest, 1000));
                let appended = pen.try_append_events(&to, next - 1, now.to_vec()).await;
                appended.unwrap_or_else(|error| panic!("events of {bytes} bytes: {error}"));
                (next, rest) = (next + now.len() as u64, later);
            }
        }
        assert_eq!(kit.highest(&to).await, count);
    }
}
