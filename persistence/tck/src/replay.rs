//! Cases of [`Journal::replay`](antiphon_persistence::store::Journal::replay) and `highest`:
//! bounds, limits, order.
//!
//! Most cases start with a stream of the events 1 to 5, the last two of which were appended
//! together.

use antiphon_persistence::identity::PersistenceId;

use crate::Kit;
use crate::kit::{events, id, nr, numbers};

async fn five_events(kit: &Kit) -> PersistenceId {
    let pen = kit.writer("writer-1").await;
    let id = id("cart|c-1|DC-A");
    for expected in 0..3 {
        pen.append(&id, expected, 1).await;
    }
    pen.append(&id, 3, 2).await;
    id
}

async fn check(kit: Kit, first: u64, last: u64, event_count_max: usize, expected: &[u64]) {
    let id = five_events(&kit).await;
    let journal = &kit.stores.journal;
    let read = journal.replay(&id, nr(first), nr(last), event_count_max).await;
    assert_eq!(numbers(&read.expect("replay")), expected);
    let page = journal.replay_page(&id, nr(first), nr(last), event_count_max).await;
    let page = page.expect("replay_page");
    assert_eq!(numbers(&page.events), expected);
    assert!(page.highest.is_none_or(|highest| highest == nr(5)), "{:?}", page.highest);
}

/// `replay` must return events in order, without holes.
pub async fn all_events_come_in_order(kit: Kit) {
    let id = five_events(&kit).await;
    kit.assert_same(&kit.replay_all(&id).await, &events(1, 5));
}

/// `replay` must return events first to last inclusive: it starts at `first`.
pub async fn replay_starts_at_the_first_number(kit: Kit) {
    check(kit, 3, u64::MAX, 100, &[3, 4, 5]).await;
}

/// A first number of zero means from the beginning.
pub async fn replay_from_zero_starts_at_one(kit: Kit) {
    check(kit, 0, u64::MAX, 100, &[1, 2, 3, 4, 5]).await;
}

/// `replay` must return events first to last inclusive: it ends at `last`.
pub async fn replay_ends_at_the_last_number(kit: Kit) {
    check(kit, 1, 3, 100, &[1, 2, 3]).await;
}

/// `replay` must return at most `event_count_max` events.
pub async fn replay_keeps_to_its_limit(kit: Kit) {
    check(kit, 1, u64::MAX, 3, &[1, 2, 3]).await;
}

/// `replay` must return events first to last inclusive.
pub async fn replay_keeps_to_both_bounds(kit: Kit) {
    check(kit, 2, 4, 100, &[2, 3, 4]).await;
}

/// `replay` must return events first to last inclusive, at most `event_count_max`.
pub async fn replay_keeps_to_both_bounds_and_its_limit(kit: Kit) {
    check(kit, 2, 5, 2, &[2, 3]).await;
}

/// A range of one number is one event.
pub async fn replay_of_one_number_is_one_event(kit: Kit) {
    check(kit, 4, 4, 100, &[4]).await;
}

/// `replay` may start and end within events that were appended together.
pub async fn replay_may_start_within_an_append(kit: Kit) {
    check(kit, 5, 5, 100, &[5]).await;
}

/// A limit of one is one event.
pub async fn replay_of_at_most_one_is_one_event(kit: Kit) {
    check(kit, 1, u64::MAX, 1, &[1]).await;
}

/// A limit of zero gives no event, and no error.
pub async fn replay_of_at_most_none_is_empty(kit: Kit) {
    check(kit, 1, u64::MAX, 0, &[]).await;
}

/// A first number above the last one gives no event, and no error.
pub async fn replay_of_an_empty_range_is_empty(kit: Kit) {
    check(kit, 3, 2, 100, &[]).await;
}

/// Numbers that do not exist yet give no event, and no error.
pub async fn replay_after_the_end_is_empty(kit: Kit) {
    check(kit, 6, u64::MAX, 100, &[]).await;
}

/// `highest` is zero for an unknown stream, and its replay is empty.
pub async fn an_unknown_stream_is_empty(kit: Kit) {
    five_events(&kit).await;
    let other = id("cart|c-2|DC-A");
    assert_eq!(kit.highest(&other).await, 0);
    assert_eq!(kit.replay_all(&other).await, []);
    let page = kit.stores.journal.replay_page(&other, nr(1), nr(u64::MAX), 100).await;
    let page = page.expect("replay_page");
    assert_eq!(page.events, []);
    assert!(page.highest.is_none_or(|highest| highest == nr(0)), "{:?}", page.highest);
}

/// `highest` is known without a replay.
pub async fn the_highest_number_needs_no_replay(kit: Kit) {
    let id = five_events(&kit).await;
    assert_eq!(kit.highest(&id).await, 5);
}

/// `replay` must return fewer than asked only when the stream ends there or a size limit was hit
/// (then at least one).
pub async fn a_long_stream_is_replayed_in_pages(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let id = id("cart|long|DC-A");
    for part in 0..30 {
        pen.append(&id, part * 100, part % 3 + 1).await;
        pen.append(&id, part * 100 + part % 3 + 1, 99 - part % 3).await;
    }
    let mut read = Vec::new();
    for _ in 0..3000 {
        let page = kit.stores.journal.replay(&id, nr(read.len() as u64 + 1), nr(2990), 7).await;
        let page = page.expect("replay");
        assert!(page.len() <= 7, "at most 7 were asked, {} came", page.len());
        if page.is_empty() {
            break;
        }
        read.extend(numbers(&page));
    }
    assert_eq!(read, (1..=2990).collect::<Vec<u64>>());
}

/// Streams whose names look alike are different streams.
pub async fn streams_with_similar_names_are_kept_apart(kit: Kit) {
    let names = [
        "cart|a",
        "cart|A",
        "cart|a |A",
        "cart|a|A",
        "cart|a|a",
        "cart|%|A",
        "cart|_|A",
        "cart|ä|A",
        "cart|a\u{308}|A",
        "Cart|a|A",
        "car|ta|A",
        "cart|'a|A",
        "cart|a*|A",
        "cart|a\\|A",
    ];
    let pen = kit.writer("writer-1").await;
    for (count, name) in (1..).zip(names) {
        pen.append(&id(name), 0, count).await;
    }
    for (count, name) in (1..).zip(names) {
        assert_eq!(kit.highest(&id(name)).await, count, "{name}");
        kit.assert_same(&kit.replay_all(&id(name)).await, &events(1, count));
    }
}
